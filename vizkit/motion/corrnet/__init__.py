"""CorrNet: video modeling with correlation networks (CVPR 2020).

| equation or figure | where |
| --- | --- |
| equation 1 with filters and groups, figure 1 | :class:`module.CorrelationOperator`, :func:`vizkit.net.ops.correlate` |
| figure 1 d, frame t with frame t - 1, the first with itself | :meth:`module.CorrelationOperator.search` |
| figure 2, correlation-sum and correlation-concat blocks | :class:`module.CorrelationSum`, :class:`module.CorrelationConcat` |
| table 2 and section 6.1, where the blocks go | :func:`network.build_corrnet`, :data:`ARCHITECTURES` |
| table 4 and figure 3, ablations | arguments of :func:`network.build_corrnet` |
| figure 4, filters and their arrows | :func:`analysis.find_peaks`, :func:`figure.draw` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, Claim, MotionModule
from vizkit.net.architecture import Architecture, Published

_BUILD = "vizkit.motion.corrnet.network:build_corrnet"
_COUNTING = "multiply-adds, counted once, of convolutions, linear layers and correlations; norms, ReLUs and pooling cost nothing"


def _corrnet(depth: int, gmacs: float, **options: object) -> Architecture:
    return Architecture(
        f"corrnet-{depth}", "corrnet", f"R(2+1)D-{depth} with correlation blocks", _BUILD, options, frames=32,
        published=Published(None, gmacs, _COUNTING),
    )  # fmt: skip


ARCHITECTURES: tuple[Architecture, ...] = (
    _corrnet(26, 74.8),
    _corrnet(50, 115, layout=(3, 4, 6, 3)),
    _corrnet(101, 187, layout=(3, 4, 23, 3), blocks=("res2.2", "res3.3", "res4.11", "res4.22")),
    Architecture(
        "corrnet-18", "corrnet", "ResNet-18 on every frame with correlation blocks", "vizkit.motion.corrnet.network:build_frame_corrnet"
    ),
)
"""The named networks (section 6.3), 32 frames of 224 px, 400 classes; the last is ours, for small checkpoints."""

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="corrnet-toy",
        paper="corrnet",
        statement=(
            "Correlation supplies the motion that a frame-wise network lacks: on eight directions of a textured patch, a tiny R2D with "
            "correlation-sum blocks is right in at least 25 points more of the test clips than without, with every seed."
        ),
        published="Table 3, Something-Something, 32 frames: CorrNet-26 47.4 %, R2D-26 28.1 % (accuracies on video are not checked here)",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.corrnet.claims:check_toy",
        minutes=4,
    ),
    Claim(
        name="corrnet-arrows",
        paper="corrnet",
        statement=(
            "Filters learn to point to where things come from: after one step of gradient ascent on the operator's mean output, the "
            "largest weight of every filter lies exactly opposite to the motion of the features, and at the centre in the first frame."
        ),
        published="Figure 4: different filters learn to match pixels that move in different directions",
        params="vizkit.motion.corrnet.claims:ArrowSettings",
        run="vizkit.motion.corrnet.claims:check_arrows",
        minutes=0.3,
    ),
    Claim(
        name="corrnet-cost",
        paper="corrnet",
        statement=(
            "Multiply-adds are the published ones within 0.5 %, but CorrNet-26's only within 3 %; correlation takes C_out times fewer of "
            "them than a 3-D convolution with as many taps, and groups multiply its output channels at no cost."
        ),
        published="Tables 1, 3 and 6: R2D-26 27.5 / 55.0, R(2+1)D-26 36.0 / 71.9, CorrNet-26 37.4 / 74.8, CorrNet-50 115, CorrNet-101 187",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.corrnet.claims:check_cost",
        minutes=0.5,
    ),
)
"""What of the paper can be checked in minutes."""

MODULE = MotionModule(
    key="corrnet",
    title="Correlation filters",
    citation=Citation(
        "Video Modeling with Correlation Networks", "Wang, Heng and Tran, Du and Torresani, Lorenzo and Feiszli, Matt", "CVPR", 2020
    ),
    architectures="vizkit.motion.corrnet:ARCHITECTURES",
    params="vizkit.motion.corrnet.analysis:Params",
    analyze="vizkit.motion.corrnet.analysis:analyze",
    figure="vizkit.motion.corrnet.figure:draw",
    unavailable="vizkit.motion.corrnet.analysis:unavailable",
    score="vizkit.motion.corrnet.score:score",
    no_difference="vizkit.motion.corrnet.figure:no_difference",
    judge="vizkit.motion.corrnet.score:judge",
    headline="angular_error_deg",
    at_point={"layout": "response"},
    how_to_read=(
        "Each square is one learned filter: a row for each frame, a column for each channel. The white arrow runs from the centre to the "
        "largest weight, which is where the filter looks in the previous frame, so that what moves goes the other way; a dot is a filter "
        "that looks at the same place, and a filter without either is flat."
    ),
    claims=CLAIMS,
)
"""CorrNet's entry of the catalogue."""
