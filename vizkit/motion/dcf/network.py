"""Where DCF puts its blocks: one after each of res2, res3 and res4 of a depthwise R(2+1)D or an X3D (section 3.3, tables 6 and 7).

The small networks that are shipped have them in a ResNet on every frame, which knows no motion but what the blocks bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

from torch import nn

from vizkit.motion.dcf.module import Activation, DCFBlock, ResidualInit
from vizkit.net.backbones.clips import check_name
from vizkit.net.backbones.depthwise import build_depthwise
from vizkit.net.backbones.resnet import STAGE_NAMES, FrameResNet
from vizkit.net.backbones.x3d import build_x3d

Backbone = Literal["depthwise", "x3d", "resnet"]
Stem = Literal["7x7/2+pool", "3x3/2", "5x5/2"]

REDUCED_TO = {"depthwise": 4, "x3d": 2, "resnet": 2}  # section 3.3: a quarter of the channels in R(2+1)D, half in X3D; ResNet: ours
SHORT_RANGE = "res4"  # section 3.3: L = 1 "for the last stage"


def build_dcf(
    num_classes: int,
    *,
    backbone: Backbone = "depthwise",
    layout: Sequence[int] | None = None,
    stages: Sequence[str] = ("res2", "res3", "res4"),
    patch: int = 5,
    temporal_range: int | Sequence[int] | None = None,
    pyramid: bool = True,
    residual_init: ResidualInit = "near_identity",
    act: Activation = "inside",
    width: int | None = None,
    stem: Stem | None = None,
    depth: int = 18,
    dropout: float = 0.5,
) -> nn.Module:
    """Build a backbone with DCF blocks after whole stages.

    Args:
        num_classes: outputs.
        backbone: ``"depthwise"`` (R(2+1)D, depthwise in time), ``"x3d"`` or ``"resnet"`` (a ResNet on every frame).
        layout: residual blocks of each stage; the backbone's default when None (not of ``"resnet"``, which goes by ``depth``).
        stages: stages that a block follows.
        patch: K.
        temporal_range: L, one number for all blocks or one for each of ``stages``; 2, but 1 after res4, when None.
        pyramid: carry volumes from stage to stage.
        residual_init: start of the blocks, see :class:`DCFBlock`, as is ``act``.
        act: place of the blocks' ReLU.
        width: of the backbone; its default when None.
        stem: of the backbone; its default when None.
        depth: layers of the ResNet (``"resnet"`` only).
        dropout: before the last layer.

    Raises:
        ValueError: a name or a size that cannot be, stages twice or out of order, or another number of ranges than of stages.
    """
    check_name("backbone", backbone, get_args(Backbone))
    after, carried = {}, 0
    for stage, reach in zip(stages, _ranges(stages, temporal_range), strict=True):
        build = partial(
            _block, REDUCED_TO[backbone], patch=patch, temporal_range=reach, carried_channels=carried, pyramid=pyramid,
            residual_init=residual_init, act=act,
        )  # fmt: skip
        after[stage] = build
        carried += 2 * reach * patch**2 if pyramid else 0
    given = {"layout": layout, "width": width, "stem": stem}
    options = {name: value for name, value in given.items() if value is not None}
    if backbone == "resnet":
        if layout is not None:
            raise ValueError("layout is given, but a ResNet's goes by its depth")
        return FrameResNet(depth, num_classes, after=after, after_name="dcf", dropout=dropout, **options)  # type: ignore[arg-type]
    build_backbone = build_depthwise if backbone == "depthwise" else build_x3d
    return build_backbone(num_classes, after=after, after_name="dcf", dropout=dropout, **options)  # type: ignore[arg-type]


def _block(share: int, channels: int, **settings: object) -> DCFBlock:
    return DCFBlock(channels, reduced=max(1, channels // share), **settings)  # type: ignore[arg-type]


def _ranges(stages: Sequence[str], temporal_range: int | Sequence[int] | None) -> Sequence[int]:
    """L of every block."""
    if [name for name in STAGE_NAMES if name in stages] != list(stages):
        raise ValueError(f"stages is {tuple(stages)}, some of {', '.join(STAGE_NAMES)} in this order are accepted")
    if temporal_range is None:
        return [1 if stage == SHORT_RANGE else 2 for stage in stages]
    ranges = [temporal_range] * len(stages) if isinstance(temporal_range, int) else list(temporal_range)
    if len(ranges) != len(stages):
        raise ValueError(f"temporal_range is {tuple(ranges)}, one number or one for each of {tuple(stages)} is accepted")
    return ranges
