"""CPNet: learning video representations from correspondence proposals (CVPR 2019).

| equation or figure | where |
| --- | --- |
| section 3.1, k nearest neighbours in other frames | :func:`module.propose` |
| figure 3, pair vector and shared MLP | :meth:`module.CPModule.embed` |
| equation 1, maximum over the proposals | :meth:`module.CPModule.forward` |
| equation 2, max-pool-active set | :func:`analysis.find_active` |
| section 4, where the modules go | :func:`network.build_cpnet`, :data:`ARCHITECTURES` |
| section 4 and table 1, the toy experiment | :mod:`toy`, :func:`claims.check_toy` |
| figure 5, arrows and feature change | :func:`figure.draw` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, Claim, MotionModule
from vizkit.net.architecture import Architecture, Published
from vizkit.net.backbones import CPNET_COUNTING
from vizkit.net.published import IMAGENET

_BUILD = "vizkit.motion.cpnet.network:build_cpnet"
_TWO = ("res4.0", "res4.1")
_ALL_SIX = ("res3.0", "res3.1", "res4.0", "res4.1", "res5.0", "res5.1")
_PAPER_FIVE_18 = ("res3.0", "res3.1", "res4.0", "res4.1", "res5.0")
_PAPER_FIVE_34 = ("res3.2", "res3.3", "res4.4", "res4.5", "res5.2")
_FIVE_34 = ("res3.2", "res3.3", "res4.3", "res4.4", "res4.5")
_FIVE_101 = ("res3.2", "res3.3", "res4.20", "res4.21", "res4.22")


def _published(params: float) -> Published:
    return Published(params, None, CPNET_COUNTING)


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        "cpnet-18", "cpnet", "ResNet-18 on every frame, with CP modules", _BUILD, {"depth": 18}, 174,
        published=_published(11.3), weights=IMAGENET[18],
    ),
    Architecture(
        "cpnet-34", "cpnet", "ResNet-34 on every frame, with CP modules", _BUILD,
        {"depth": 34, "blocks": _FIVE_34}, 174, published=_published(21.0), weights=IMAGENET[34],
    ),
    Architecture(
        "cpnet-101", "cpnet", "ResNet-101 on every frame, with CP modules", _BUILD,
        {"depth": 101, "blocks": _FIVE_101, "neighbors": 4, "bottleneck_share": 1 / 8, "width_shares": (1 / 8,)}, 400,
        published=_published(42.1), weights=IMAGENET[101],
    ),
    Architecture(
        "cpnet-18-paper", "cpnet", "ResNet-18 on every frame, with CP modules of the paper's size", _BUILD,
        {"depth": 18, "blocks": _PAPER_FIVE_18, "width_shares": (0.5,)}, 174, published=_published(11.3), weights=IMAGENET[18],
    ),
    Architecture(
        "cpnet-34-paper", "cpnet", "ResNet-34 on every frame, with CP modules of the paper's size", _BUILD,
        {"depth": 34, "blocks": _PAPER_FIVE_34, "width_shares": (0.5,)}, 174, published=_published(21.0), weights=IMAGENET[34],
    ),
    Architecture(
        "cpnet-18-1cp", "cpnet", "ResNet-18 on every frame, with CP modules", _BUILD, {"depth": 18, "blocks": ("res4.0",)}, 400,
        weights=IMAGENET[18],
    ),
    Architecture(
        "cpnet-18-2cp", "cpnet", "ResNet-18 on every frame, with CP modules", _BUILD, {"depth": 18, "blocks": _TWO}, 400,
        weights=IMAGENET[18],
    ),
    Architecture(
        "cpnet-18-4cp", "cpnet", "ResNet-18 on every frame, with CP modules", _BUILD, {"depth": 18}, 400,
        weights=IMAGENET[18],
    ),
    Architecture(
        "cpnet-18-6cp", "cpnet", "ResNet-18 on every frame, with CP modules", _BUILD, {"depth": 18, "blocks": _ALL_SIX}, 400,
        weights=IMAGENET[18],
    ),
)  # fmt: skip
"""The named networks; positions and widths as cpnet.md section 4."""

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="cpnet-toy",
        paper="cpnet",
        statement=(
            "The direction of a square that jumps further than two 3 x 3 convolutions see is learnt with a CP module between them, and not "
            "without one: on validation clips CPNet has at least 95 % with every seed, NL, TRN, ART and C2D at most 32 % (chance is 25 %)."
        ),
        published="Table 1, validation: CPNet 97.4 %, I3D NL Net 26.4 %, ARTNet 25.9 %, TRN 26.9 % (32 x 32 px, jumps of 7 to 9 px)",
        params="vizkit.motion.cpnet.claims:ToySettings",
        run="vizkit.motion.cpnet.claims:check_toy",
        minutes=10,
    ),
    Claim(
        name="cpnet-identity",
        paper="cpnet",
        statement="A fresh CPNet-18 with the weights of a C2D-18 gives its logits, bit for bit.",
        published="Section 3.3: the last norm of each module starts at zero, which ensures identity mapping at the start of training",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.cpnet.claims:check_identity",
        minutes=0.1,
    ),
    Claim(
        name="cpnet-size",
        paper="cpnet",
        statement="Five published sizes are met within 1 %, counting convolution and linear weights, in units of 2^20.",
        published="Tables 4 and 5: C2D-18 10.7, C2D-34 20.3, CPNet-18 11.3, CPNet-34 21.0, CPNet-101 42.1",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.cpnet.claims:check_size",
        minutes=0.1,
    ),
)
"""What of the paper can be checked in minutes."""

MODULE = MotionModule(
    key="cpnet",
    title="Correspondence proposals",
    citation=Citation(
        "Learning Video Representations from Correspondence Proposals", "Liu, Xingyu and Lee, Joon-Young and Jin, Hailin", "CVPR", 2019
    ),
    architectures="vizkit.motion.cpnet:ARCHITECTURES",
    params="vizkit.motion.cpnet.analysis:Params",
    analyze="vizkit.motion.cpnet.analysis:analyze",
    figure="vizkit.motion.cpnet.figure:draw",
    unavailable="vizkit.motion.cpnet.analysis:unavailable",
    score="vizkit.motion.cpnet.score:score",
    no_difference="vizkit.motion.cpnet.figure:no_difference",
    judge="vizkit.motion.cpnet.score:judge",
    headline="change_precision",
    how_to_read=(
        "Each arrow runs from a picked cell to one of its nearest neighbours, in feature space, in another frame: red and solid if "
        "that proposal wins at least one channel of the max-pool (the active set), blue and dashed if it wins none; the heat shows "
        "how much the module changes the features."
    ),
    claims=CLAIMS,
)
"""CPNet's entry of the catalogue."""
