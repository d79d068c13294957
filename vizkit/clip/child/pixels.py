"""Where the child puts pixels: a file without a name that the server reads afterwards."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray


class PixelFile:
    """Frames of one size, one behind the other, as raw uint8.

    Args:
        descriptor: open for writing.
        size_wh: width and height of every frame.
    """

    def __init__(self, descriptor: int, size_wh: tuple[int, int]) -> None:
        self._descriptor = descriptor
        self._shape = (size_wh[1], size_wh[0], 3)

    def put(self, place: int, frame: NDArray[np.uint8]) -> None:
        """Write a frame [H, W, 3] at a place."""
        if frame.shape != self._shape:
            raise ValueError(f"expected a frame of {self._shape}, got {frame.shape}")
        left = np.ascontiguousarray(frame).data.cast("B")
        at = place * left.nbytes
        while left:
            count = os.pwrite(self._descriptor, left, at)
            left, at = left[count:], at + count
