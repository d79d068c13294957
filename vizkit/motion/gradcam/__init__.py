"""Grad-CAM and its relatives: where a stage's features speak for a label (ICCV 2017), of any network.

| equation or figure | where |
| --- | --- |
| equation 1, channel weights: the gradient's mean over time and space | :func:`vizkit.net.attention.attend` |
| equation 2, sum over channels, negative values cut off | :class:`vizkit.contracts.AttentionVolume` (``signed``, ``values``) |
| figure 1, the map over the picture | :func:`figure.draw` |
| section 4 (localization), here: energy inside what moves | :func:`score.score` |
| Petsiuk et al., RISE (BMVC 2018), deletion and insertion | :func:`curves.curve_areas` |
| Adebayo et al., Sanity Checks for Saliency Maps (NeurIPS 2018) | :func:`score.score` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, MotionModule
from vizkit.net.architecture import Architecture

ARCHITECTURES: tuple[Architecture, ...] = ()
"""None of its own: the view is there for every network with stages."""

VIEW = MotionModule(
    key="gradcam",
    title="Grad-CAM",
    citation=Citation(
        "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
        "Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and Parikh, Devi and Batra, Dhruv",
        "ICCV",
        2017,
    ),
    architectures="vizkit.motion.gradcam:ARCHITECTURES",
    params="vizkit.motion.gradcam.analysis:Params",
    analyze="vizkit.motion.gradcam.analysis:analyze",
    figure="vizkit.motion.gradcam.figure:draw",
    unavailable="vizkit.motion.gradcam.analysis:unavailable",
    score="vizkit.motion.gradcam.score:score",
    no_difference="vizkit.motion.gradcam.figure:no_difference",
    judge="vizkit.motion.gradcam.score:judge",
    headline="energy_in_actor",
    how_to_read=(
        "Bright cells hold features that speak for the label; one scale for all frames, and the numbers are raw, so that maps of two "
        "networks say nothing about which one is surer."
    ),
)
"""Grad-CAM's entry of the catalogue."""
