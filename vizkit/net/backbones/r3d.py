"""R3D-50 as KPSEM has it: a ResNet whose kernels are inflated to 1 x k x k (KPSEM, section 4.4, table 2d).

Frames meet in the mean at the end only, and a network takes the weights of an image network as they are. The paper does not say how many
frames a clip has nor whether a stage drops some; here none does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

from torch import nn

from vizkit.net.backbones.clips import BesidePlan, ClipNetwork, PooledHead, check_name, check_sizes, conv_norm, start_convolutions
from vizkit.net.backbones.r2plus1d import bottleneck_levels
from vizkit.net.geometry import CellGeometry

Stem = Literal["7x7/2+pool", "5x5/2"]


def build_r3d(
    num_classes: int,
    *,
    layout: Sequence[int] = (3, 4, 6, 3),
    width: int = 64,
    stem: Stem = "7x7/2+pool",
    frames: int = 8,
    beside: BesidePlan | None = None,
    beside_name: str = "beside",
    dropout: float = 0.5,
) -> ClipNetwork:
    """Build R3D with bottlenecks of 1x1x1, 1x3x3, 1x1x1; every stage keeps all frames.

    Args:
        num_classes: outputs.
        layout: residual blocks of each stage: (3, 4, 6, 3) for depth 50.
        width: planes of res2.
        stem: ``"7x7/2+pool"`` (res2 .. res5 lie at strides 4, 8, 16, 32) or ``"5x5/2"`` (small nets for small clips: 2, 4, 8, 16).
        frames: length of the clips that the modules of ``beside`` are built for.
        beside: modules beside the stages.
        beside_name: what their blocks are called: ``"res3.kpsem"``.
        dropout: before the last layer.

    Raises:
        ValueError: a size below one, an unknown stem, or a plan for a stage that is not there.
    """
    check_sizes(layout, width=width, frames=frames)
    check_name("stem", stem, get_args(Stem))
    kernel, pooled = int(stem[0]), stem.endswith("+pool")
    first = conv_norm(3, width, (1, kernel, kernel), (1, 2, 2))
    geometry = CellGeometry().through(kernel, 2, kernel // 2)
    if pooled:
        first.add_module("pool", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        geometry = geometry.through(3, 2, 1)
    levels = bottleneck_levels(width, width, layout, strides=(1, 2, 2, 2), strides_frames=(1, 1, 1, 1), temporal=lambda *_: nn.Identity())
    start_convolutions(first, *(block for level in levels for block in level.blocks))
    head = partial(PooledHead, levels[-1].channels, num_classes, dropout)
    return ClipNetwork(first, levels, head, geometry=geometry, frames=frames, beside=beside, beside_name=beside_name)
