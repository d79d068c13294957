"""What the forms of the correlation share: their setting, and the chunks that bound their memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

CHUNK_BYTES = 6 << 20  # buffers of the frames worked on together: most of it stays in the cache
CHUNK_BYTES_GPU = 256 << 20


class Setting(NamedTuple):
    """What a form is told."""

    patch: int
    dilation: int
    groups: int
    factor: float
    """What the sum over channels is multiplied by."""
    computed: torch.dtype
    """Type of the products and sums."""


def chunk_frames(like: torch.Tensor, bytes_per_frame: int) -> int:
    """Number of frames of [B, C, T, H, W] that are worked on together, at least 1."""
    most = CHUNK_BYTES_GPU if like.is_cuda else CHUNK_BYTES
    return max(1, min(like.shape[2], most // max(1, bytes_per_frame)))


def chunks(like: torch.Tensor, frames: int) -> list[tuple[int, slice]]:
    """Clip and frames of [B, C, T, H, W], so many at once (the last chunk of a clip may be shorter)."""
    batch, _, total = like.shape[:3]
    return [(clip, slice(t, min(t + frames, total))) for clip in range(batch) for t in range(0, total, frames)]
