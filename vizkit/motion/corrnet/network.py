"""Where CorrNet puts its blocks in R(2+1)D (sections 4 and 6.1), and in the small networks that are shipped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

from vizkit.errors import unknown_name
from vizkit.motion.corrnet.module import CorrelationConcat, CorrelationSum, Initial, OtherLength
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.r2plus1d import Stem, build_r2plus1d
from vizkit.net.backbones.resnet import FrameResNet, place_of
from vizkit.net.backbones.resnet import Stem as FrameStem

Kind = Literal["sum", "concat"]
KINDS = {"sum": CorrelationSum, "concat": CorrelationConcat}

CARRIERS = ("res2", "res3", "res4")
"""Stages with a block after their last residual block; res5 is too coarse (section 4)."""


def build_corrnet(
    num_classes: int,
    *,
    layout: Sequence[int] = (2, 2, 2, 2),
    blocks: Sequence[str] | None = None,
    frames: int = 32,
    patch: int = 7,
    dilation: int = 2,
    group_size: int | None = 32,
    filtered: bool = True,
    kind: Kind = "sum",
    reduction: int = 4,
    initial: Initial = "ones",
    other_length: OtherLength = "error",
    width: int = 64,
    stem_width: int | None = None,
    stem: Stem = "7x7/2",
    temporal_in_res2: bool = False,
    dropout: float = 0.5,
) -> ClipNetwork:
    """Build R(2+1)D with correlation blocks: half the filters in the first layer, no temporal convolutions in res2 (section 6.1).

    Args:
        num_classes: outputs.
        layout: residual blocks of each stage.
        blocks: ``"stage.position"`` of the residual blocks that a correlation block follows; the last of res2, res3 and res4 when None.
        frames: length of the clips, which the filters are tied to; half of it in res4.
        patch: K, side of the neighbourhood (figure 3 compares 3, 5, 7, 9).
        dilation: D, cells between its neighbours.
        group_size: channels of a group; None for one group (table 4, "w/o grouping").
        filtered: False for correlation without filters (table 4, "w/o filter").
        kind: ``"sum"`` or ``"concat"`` (figure 2).
        reduction: the operator works on the stage's channels divided by this.
        initial: start of the filters, see :class:`CorrelationOperator`, as is ``other_length``.
        other_length: what happens to clips of another length.
        width: planes of res2.
        stem_width: filters of the first layer; half of ``width`` when None.
        stem: see :func:`build_r2plus1d`.
        temporal_in_res2: keep the temporal convolutions of res2.
        dropout: before the last layer.

    Raises:
        ValueError: a setting outside what is accepted, or a block that the backbone does not have.
    """
    if kind not in get_args(Kind):
        raise unknown_name("kind", kind, get_args(Kind))
    if blocks is None:
        blocks = [f"{stage}.{number - 1}" for stage, number in zip(CARRIERS, layout, strict=False)]
    build = partial(
        KINDS[kind], reduction=reduction, patch=patch, dilation=dilation, group_size=group_size, filtered=filtered, initial=initial,
        other_length=other_length,
    )  # fmt: skip
    return build_r2plus1d(
        num_classes,
        layout=layout,
        temporal_in_res2=temporal_in_res2,
        width=width,
        stem_width=max(width // 2, 1) if stem_width is None else stem_width,
        stem=stem,
        frames=frames,
        inserted=dict.fromkeys((place_of(block, "res2.1") for block in blocks), build),
        dropout=dropout,
    )


def build_frame_corrnet(
    num_classes: int,
    *,
    depth: int = 18,
    blocks: Sequence[str] = ("res2.1", "res3.1", "res4.1"),
    frames: int = 8,
    kind: Kind = "sum",
    width: int = 64,
    stem: FrameStem = "7x7/2+pool",
    dropout: float = 0.5,
    reduction: int = 4,
    patch: int = 7,
    dilation: int = 1,
    group_size: int | None = None,
    filtered: bool = True,
    initial: Initial = "ones",
    other_length: OtherLength = "error",
    frame_norm: bool = False,
) -> FrameResNet:
    """Build a ResNet on every frame with correlation blocks: it knows no motion but what they bring.

    Args:
        num_classes: outputs.
        depth: of the ResNet.
        blocks: ``"stage.position"`` of the residual blocks that a correlation block follows.
        frames: length of the clips, which the filters are tied to.
        kind: ``"sum"`` or ``"concat"`` (figure 2).
        width: channels of res2.
        stem: see :class:`FrameResNet`.
        dropout: before the last layer.
        reduction: the operator works on the stage's channels divided by this.
        patch: K, see :class:`CorrelationOperator`, as is all down to ``other_length``.
        dilation: D; 1, as small clips have small maps.
        group_size: channels of a group; None for one group.
        filtered: False for correlation without filters.
        initial: start of the filters.
        other_length: what happens to clips of another length.
        frame_norm: norm each frame number by itself after the operator, see :class:`CorrelationBlock`.

    Raises:
        ValueError: a setting outside what is accepted, or a block that the backbone does not have.
    """
    if kind not in get_args(Kind):
        raise unknown_name("kind", kind, get_args(Kind))
    build = partial(
        KINDS[kind], reduction=reduction, patch=patch, dilation=dilation, group_size=group_size, filtered=filtered, initial=initial,
        other_length=other_length, frame_norm=frame_norm,
    )  # fmt: skip
    plan = dict.fromkeys((place_of(block, "res2.1") for block in blocks), build)
    return FrameResNet(depth, num_classes, width=width, stem=stem, inserted=plan, frames=frames, dropout=dropout)
