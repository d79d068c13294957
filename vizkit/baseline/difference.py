"""RGB differences (Wang et al., Temporal segment networks, ECCV 2016)."""

from __future__ import annotations

import torch

from vizkit.baseline.checks import require_frames


def rgb_difference(frames: torch.Tensor) -> torch.Tensor:
    """Subtract every frame from the next one.

    Args:
        frames: [B, C, T, H, W], T >= 2.

    Returns:
        [B, C, T - 1, H, W]; entry t is frame t + 1 minus frame t.

    Raises:
        SettingError: another shape or type, or a single frame.
    """
    require_frames(frames, least=2)
    return frames[:, :, 1:] - frames[:, :, :-1]
