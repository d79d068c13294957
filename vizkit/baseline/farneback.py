"""Farnebaeck's optical flow (Two-frame motion estimation based on polynomial expansion, SCIA 2003), of OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.baseline.checks import require_pair
from vizkit.baseline.coarse_to_fine import grey_pictures


def farneback(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Estimate the motion from the first picture to the second by polynomials fitted to neighbourhoods; settings of OpenCV's example.

    Args:
        first: [B, C, H, W], C = 1 or 3, pixels in [0, 1]; rounded to 256 grey levels.
        second: the same shape; the next frame.

    Returns:
        [B, H, W, 2] (x, y) in pixels, in the inputs' type and on their device; computed on the processor. No gradient flows.

    Raises:
        SettingError: other shapes or types, or NaN.
    """
    require_pair(first, second)
    pictures = grey_pictures(first.detach().float(), second.detach().float(), stretch=False)
    grey = [picture[:, 0].round().clamp(0, 255).byte().cpu().numpy() for picture in pictures]
    return torch.from_numpy(np.stack([_of_pair(*pair) for pair in zip(*grey, strict=True)])).to(first.device, first.dtype)


def _of_pair(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[Any]:
    """[H, W, 2] px of two grey pictures [H, W]."""
    flow = np.zeros((*first.shape, 2), np.float32)
    return cv2.calcOpticalFlowFarneback(
        first, second, flow, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0
    )
