"""A network small enough to be trained in a minute, with the papers' places for motion modules."""

from __future__ import annotations

from torch import nn

from vizkit.net.backbones.clips import AfterPlan, ClipNetwork, InsertPlan, PooledHead, conv_norm, start_convolutions
from vizkit.net.backbones.r2plus1d import bottleneck_levels
from vizkit.net.geometry import CellGeometry


def build_tiny_r2d(
    num_classes: int, *, width: int = 8, frames: int = 6, inserted: InsertPlan | None = None, after: AfterPlan | None = None
) -> ClipNetwork:
    """Build an R2D of one bottleneck per stage that sees frames one by one up to the mean at its end; strides 2, 4, 8, 8.

    Args:
        num_classes: outputs.
        width: planes of res2; res2 .. res5 have 4, 8, 16 and 32 times as many channels.
        frames: length of the clips that the modules of ``inserted`` are built for.
        inserted: modules inside the stages.
        after: modules after whole stages.
    """
    stem = conv_norm(3, width, (1, 5, 5), (1, 2, 2))
    levels = bottleneck_levels(
        width, width, (1, 1, 1, 1), strides=(1, 2, 2, 1), strides_frames=(1, 1, 1, 1), temporal=lambda *_: nn.Identity()
    )
    start_convolutions(stem, *(block for level in levels for block in level.blocks))
    head = PooledHead(levels[-1].channels, num_classes, dropout=0.0)
    return ClipNetwork(stem, levels, head, geometry=CellGeometry().through(5, 2, 2), frames=frames, inserted=inserted, after=after)
