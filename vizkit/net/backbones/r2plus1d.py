"""R2D and R(2+1)D with bottlenecks, the backbones of CorrNet (CorrNet, section 4, tables 2 and 3).

Three choices that the paper leaves open are settled by its multiply-adds: the temporal convolution stands before the spatial one
and carries the temporal stride; the stem does not pool; R2D takes a maximum over time in the place of that convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.net.backbones.clips import (
    ClipNetwork,
    InsertPlan,
    Level,
    PooledHead,
    check_name,
    check_sizes,
    conv_norm,
    start_convolutions,
)
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

Stem = Literal["7x7/2", "5x5/2"]
StrideOn = Literal["3x3", "1x1"]

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1x1, a temporal layer, 1x3x3, 1x1x1, added to the shortcut, ReLU.

    Args:
        inputs: channels that come in.
        planes: channels of the first three layers; four times as many go out.
        temporal: what stands between the 1x1x1 and the 1x3x3; it brings its own norm and ReLU and strides by ``stride_frames``.
        stride: spatial stride.
        stride_frames: temporal stride.
        stride_on: the layer with the spatial stride.
    """

    def __init__(
        self, inputs: int, planes: int, temporal: nn.Module, *, stride: int, stride_frames: int = 1, stride_on: StrideOn = "3x3"
    ) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        early, late = (1, stride) if stride_on == "3x3" else (stride, 1)
        self.a = conv_norm(inputs, planes, (1, 1, 1), (1, early, early))
        self.temporal = temporal
        self.b = conv_norm(planes, planes, (1, 3, 3), (1, late, late))
        self.c = conv_norm(planes, outputs, (1, 1, 1), relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1 or stride_frames != 1:
            self.shortcut = conv_norm(inputs, outputs, (1, 1, 1), (stride_frames, stride, stride), relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, 4*planes, T', H', W']."""
        return F.relu(self.c(self.b(self.temporal(self.a(x)))) + self.shortcut(x))


TemporalLayer = Callable[[str, int, int], nn.Module]
"""(stage name, planes, temporal stride) -> what stands between the 1x1x1 and the 1x3x3."""


def bottleneck_levels(
    inputs: int,
    width: int,
    layout: Sequence[int],
    *,
    strides: Sequence[int],
    strides_frames: Sequence[int],
    temporal: TemporalLayer,
    stride_on: StrideOn = "3x3",
) -> list[Level]:
    """The four stages of a network of bottlenecks.

    Args:
        inputs: channels of the stem.
        width: planes of res2; they double from stage to stage.
        layout: residual blocks of each stage.
        strides: spatial stride of each stage.
        strides_frames: temporal stride of each stage.
        temporal: builder of the temporal layers.
        stride_on: see :class:`Bottleneck`.
    """
    levels = []
    for level, name in enumerate(STAGE_NAMES):
        planes, blocks = width * 2**level, []
        for position in range(layout[level]):
            stride, stride_frames = (strides[level], strides_frames[level]) if position == 0 else (1, 1)
            between = temporal(name, planes, stride_frames)
            blocks.append(Bottleneck(inputs, planes, between, stride=stride, stride_frames=stride_frames, stride_on=stride_on))
            inputs = planes * EXPANSION
        levels.append(Level(inputs, strides[level], strides_frames[level], blocks))
    return levels


def temporal_layer(name: str, planes: int, stride_frames: int, *, temporal: bool, temporal_in_res2: bool) -> nn.Module:
    """A 3x1x1 convolution with norm and ReLU; where there is none, a 3x1x1 maximum if frames are dropped, else nothing."""
    if temporal and (temporal_in_res2 or name != "res2"):
        return conv_norm(planes, planes, (3, 1, 1), (stride_frames, 1, 1))
    return nn.MaxPool3d((3, 1, 1), (stride_frames, 1, 1), (1, 0, 0)) if stride_frames > 1 else nn.Identity()


def build_r2plus1d(
    num_classes: int,
    *,
    layout: Sequence[int] = (2, 2, 2, 2),
    temporal: bool = True,
    temporal_in_res2: bool = True,
    width: int = 64,
    stem_width: int | None = None,
    stem: Stem = "7x7/2",
    frames: int = 16,
    inserted: InsertPlan | None = None,
    dropout: float = 0.5,
) -> ClipNetwork:
    """Build R(2+1)D or R2D with bottlenecks; a clip of T frames has ceil(T/2) of them in res4 and ceil(T/4) in res5.

    Args:
        num_classes: outputs.
        layout: residual blocks of each stage: (2, 2, 2, 2) for depth 26, (3, 4, 6, 3) for 50, (3, 4, 23, 3) for 101.
        temporal: False for R2D, whose frames meet in maxima over time only.
        temporal_in_res2: whether the blocks of res2 have a temporal convolution (CorrNet: no).
        width: planes of res2.
        stem_width: filters of the first layer; ``width`` when None.
        stem: ``"7x7/2"`` (res2 .. res5 lie at strides 4, 8, 16, 32) or ``"5x5/2"`` (small nets for small clips: 2, 4, 8, 16).
        frames: length of the clips that the modules of ``inserted`` are built for.
        inserted: modules inside the stages.
        dropout: before the last layer.

    Raises:
        ValueError: a size below one, an unknown stem, or a plan for a block that is not there.
    """
    stem_width = width if stem_width is None else stem_width
    check_sizes(layout, width=width, stem_width=stem_width, frames=frames)
    check_name("stem", stem, get_args(Stem))
    kernel, first_stride = int(stem[0]), 2 if stem == "7x7/2" else 1
    levels = bottleneck_levels(
        stem_width, width, layout, strides=(first_stride, 2, 2, 2), strides_frames=(1, 1, 2, 2),
        temporal=partial(temporal_layer, temporal=temporal, temporal_in_res2=temporal_in_res2),
    )  # fmt: skip
    first = conv_norm(3, stem_width, (1, kernel, kernel), (1, 2, 2))
    start_convolutions(first, *(block for level in levels for block in level.blocks))
    head = PooledHead(levels[-1].channels, num_classes, dropout)
    geometry = CellGeometry().through(kernel, 2, kernel // 2)
    return ClipNetwork(first, levels, head, geometry=geometry, frames=frames, inserted=inserted)
