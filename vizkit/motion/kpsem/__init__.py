"""KPSEM: effective action recognition with embedded key point shifts.

| equation or figure | where |
| --- | --- |
| equations 4 and 5, the separation centre | :meth:`module.KPSEM.centre`, :func:`module.geometric_centre` |
| equations 6 and 7, key points | :func:`module.key_points` |
| equations 8 to 10, shifts and their weights | :func:`module.shifts` |
| equation 11, regional weights | :func:`module.region_weights` |
| equation 12, figure 4, one set's weighted shifts (AReSE) | :meth:`module.KPSEM.regional_shifts` |
| equations 2 and 3, figure 3, the embedding of all sets | :meth:`module.KPSEM.embed` |
| section 4.2, figure 6b, the reduction to 672 numbers | :meth:`module.KPSEM.reduce` |
| equation 1, figures 2 and 6a, section 4.4, where it stands | :func:`network.build_kpsem`, :data:`ARCHITECTURES` |
| figure 10, key points and shifts on frames | :func:`figure.draw` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, Claim, MotionModule
from vizkit.net.architecture import MFNET_MEAN, MFNET_STD, Architecture, Published
from vizkit.net.backbones import ZOO_COUNTING
from vizkit.net.published import IMAGENET

_BUILD = "vizkit.motion.kpsem.network:build_kpsem"
_COUNTING = f"{ZOO_COUNTING}, and 2 per element of a norm; without the part of the classifier that reads the key point shifts"
JOINED, KINETICS = 672, 400
"""Length of the vector, and the classes of the counted network."""

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        "mf-kpsem", "kpsem", "MFNet-3D with KPSEM", _BUILD, {"backbone": "mfnet"}, KINETICS, frames=16, mean=MFNET_MEAN, std=MFNET_STD,
        published=Published(
            8.11, 11.21, _COUNTING, unit=1e6, every_parameter=True, norm_macs=2, params_left_out=JOINED * KINETICS
        ),
    ),
    Architecture(
        "r3d-kpsem", "kpsem", "ResNet-50 inflated to 1 x k x k, with KPSEM", _BUILD, {"backbone": "r3d", "map_cells": 28}, 51,
        weights=IMAGENET[50],
    ),
    Architecture("kpsem-18", "kpsem", "ResNet-18 on every frame, with KPSEM", _BUILD, {"backbone": "resnet"}),
)  # fmt: skip
"""The named networks (tables 1 and 2d), with the paper's figures; the last is ours, for small checkpoints."""

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="kpsem-centre",
        paper="kpsem",
        statement=(
            "The separation centre learns through hard regions with the straight-through gradient: on a still and a weaker moving dot in "
            "one quadrant it gives at least 90 % of the clips their direction with two of every three seeds, and without it at most 40 % "
            "with every seed (fixed regions and the single key point are measured beside it and decide nothing)."
        ),
        published=(
            "Section 3.3: the splits are trainable (how a gradient reaches them is not said); table 2b: 74.0 % adaptive, 72.5 % fixed "
            "regions on HMDB51 (accuracies on video are not checked here)"
        ),
        params="vizkit.motion.kpsem.claims:CentreSettings",
        run="vizkit.motion.kpsem.claims:check_centre",
        minutes=2.5,
    ),
    Claim(
        name="kpsem-cost",
        paper="kpsem",
        statement=(
            "KPSEM costs what the paper says: MFNet-3D and MF-KPSEM lie within 0.5 % of their published parameters and multiply-adds in "
            "the paper's counting, the embedding shrinks from 24 to 12 to 6 numbers and all of it to a vector of 672, and the module adds "
            "at most 1.5 % to the parameters and 1 % to the multiply-adds."
        ),
        published="Table 1: 8.0 M and 11.1 G without, 8.11 M and 11.21 G with KPSEM; section 4.2: 24-d to 6-d, 384 to 96 channels, 672-d",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.kpsem.claims:check_cost",
        minutes=0.2,
    ),
    Claim(
        name="kpsem-matching",
        paper="kpsem",
        statement=(
            "Shifts follow key points across regions: of dots of four heights that jump within and between the regions, each has a weight "
            "of at least 0.99 on itself in the next frame and a shift at most 0.1 cells off; in a still clip no shift is longer than 0.1 "
            "cells, and a clip moved by a cell together with its centre has the same shifts."
        ),
        published="Section 3.3 and figures 1c and 10: shift weights match key points that change their region",
        params="vizkit.motion.kpsem.claims:MatchingSettings",
        run="vizkit.motion.kpsem.claims:check_matching",
        minutes=0.1,
    ),
)
"""What of the paper can be checked in minutes."""

MODULE = MotionModule(
    key="kpsem",
    title="Key point shifts",
    citation=Citation(
        "Effective Action Recognition with Embedded Key Point Shifts",
        "Cao, Haozhi and Xu, Yuecong and Yang, Jianfei and Mao, Kezhi and Yin, Jianxiong and See, Simon", "Pattern Recognition", 2021,
    ),
    architectures="vizkit.motion.kpsem:ARCHITECTURES",
    params="vizkit.motion.kpsem.analysis:Params",
    analyze="vizkit.motion.kpsem.analysis:analyze",
    figure="vizkit.motion.kpsem.figure:draw",
    unavailable="vizkit.motion.kpsem.analysis:unavailable",
    score="vizkit.motion.kpsem.score:score",
    no_difference="vizkit.motion.kpsem.figure:no_difference",
    judge="vizkit.motion.kpsem.score:judge",
    headline="angular_error_deg",
    how_to_read=(
        "A cross is where a channel is largest in one region of a frame, its shape and colour say in which; its arrow leads towards the "
        "key points of the next step, the more opaque the surer the match, and dashed lines are the borders of the regions."
    ),
    claims=CLAIMS,
)  # fmt: skip
"""KPSEM's entry of the catalogue."""
