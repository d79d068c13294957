"""A sixth module, to prove that adding one touches nothing else: differences of features between neighbouring frames.

| equation or figure | where |
| --- | --- |
| difference to the frame before | :meth:`module.DifferenceModule.differ` |
| the picture | :func:`figure.draw` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, MotionModule
from vizkit.net.architecture import Architecture

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("sixth-18", "sixth", "ResNet-18 on every frame, with differences", "vizkit.motion.sixth.network:build_sixth", {}, 10),
)
"""The named networks."""

MODULE = MotionModule(
    key="sixth",
    title="Feature differences",
    citation=Citation("Differences of Features", "Nobody", "Nowhere", 2026),
    architectures="vizkit.motion.sixth:ARCHITECTURES",
    params="vizkit.motion.sixth.analysis:Params",
    analyze="vizkit.motion.sixth.analysis:analyze",
    figure="vizkit.motion.sixth.figure:draw",
    unavailable="vizkit.motion.sixth.analysis:unavailable",
    score="vizkit.motion.sixth.score:score",
    judge="vizkit.motion.sixth.score:judge",
    how_to_read="The heat is the L1 difference of the features to the frame before.",
)
"""The entry of the catalogue."""
