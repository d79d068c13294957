"""What every function here refuses."""

from __future__ import annotations

import torch

from vizkit.errors import SettingError


def require_frames(frames: torch.Tensor, least: int = 1) -> None:
    """Refuse what is no batch of clips [B, C, T, H, W] of floating-point numbers with enough frames.

    Args:
        frames: what was given.
        least: frames that a clip needs.

    Raises:
        SettingError: another shape or type, or too few frames.
    """
    if frames.dim() != 5 or not frames.numel():
        raise SettingError(
            f"frames has shape {tuple(frames.shape)}, but 5 axes [B, C, T, H, W], none of length 0, are accepted.", code="shape"
        )
    require_floating("frames", frames)
    if frames.shape[2] < least:
        raise SettingError(f"frames holds {frames.shape[2]} frame(s) a clip, but {least} or more are accepted.", code="frames")


def require_pair(first: torch.Tensor, second: torch.Tensor) -> None:
    """Refuse what is no pair of equal batches of pictures [B, C, H, W], grey or RGB.

    Raises:
        SettingError: another shape, number of channels or type, or two that differ in them.
    """
    for name, pictures in (("first", first), ("second", second)):
        if pictures.dim() != 4 or not pictures.numel() or pictures.shape[1] not in (1, 3):
            raise SettingError(
                f"{name} has shape {tuple(pictures.shape)}, but 4 axes [B, 1 or 3, H, W], none of length 0, are accepted.", code="shape"
            )
        require_floating(name, pictures)
    if first.shape != second.shape or first.dtype != second.dtype or first.device != second.device:
        given = (
            f"{name} is {tuple(value.shape)} {value.dtype} on {value.device}" for name, value in (("first", first), ("second", second))
        )
        raise SettingError(f"{' and '.join(given)}, but two of one shape, type and device are accepted.", code="shape")


def require_floating(name: str, values: torch.Tensor) -> None:
    """Refuse whole numbers.

    Raises:
        SettingError: another type.
    """
    if not values.is_floating_point():
        raise SettingError(f"{name} is of type {values.dtype}, but floating-point numbers are accepted.", code="dtype")
