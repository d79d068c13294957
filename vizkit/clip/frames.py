"""Frames: order of picture files, sizes, resizing, the thinned preview. Used by the server and by the decoder's child process alike."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vizkit.contracts import Resize

ASSUMED_FPS = 25.0
"""Frames per second of pictures and arrays that carry no times."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key under which ``frame_2`` comes before ``frame_10``."""
    return [(0, int(part)) if part.isascii() and part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name) if part]


def is_picture(name: str) -> bool:
    """Whether a file name is one of a picture, and not a hidden one."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def fit_short_side(size_wh: tuple[int, int], short_side_px: int) -> tuple[int, int]:
    """Scale a size so that its short side has ``short_side_px`` pixels; the long side is rounded half up.

    ``(1280, 720)`` with 112 gives ``(199, 112)``, since 1280 * 112 / 720 = 199.1.
    """
    short = min(size_wh)
    width, height = ((2 * side * short_side_px + short) // (2 * short) for side in size_wh)
    return width, height


def shrink_short_side(size_wh: tuple[int, int], short_side_px: int) -> tuple[int, int]:
    """Scale a size down to a short side of ``short_side_px`` pixels; smaller ones stay as they are."""
    return size_wh if min(size_wh) <= short_side_px else fit_short_side(size_wh, short_side_px)


def resize(frame: NDArray[np.uint8], size_wh: tuple[int, int], how: Resize = "area") -> NDArray[np.uint8]:
    """Resize one frame, pixel centres at half-integers.

    Args:
        frame: uint8 [H, W, 3].
        size_wh: width and height wanted.
        how: ``"area"``: exact area averages (down) or bilinear (up); ``"torchvision"``: bilinear both ways, as
            ``torchvision.transforms.functional.resize`` with ``antialias=False``: thin things may vanish when the frame shrinks.

    Returns:
        uint8 [height, width, 3]; ``frame`` itself when it already has the size.
    """
    height, width = frame.shape[:2]
    if size_wh == (width, height):
        return frame
    import cv2

    if how == "torchvision":  # in floats: OpenCV's own bilinear form for uint8 rounds its weights to 11 bits
        exact: NDArray[Any] = cv2.resize(frame.astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR)
        return np.rint(exact).astype(np.uint8)
    shrinks = size_wh[0] <= width and size_wh[1] <= height
    resized: NDArray[Any] = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


class Preview:
    """A preview of a clip whose length is not known: when it is full, every second frame goes and the step doubles.

    Args:
        size_wh: size of the preview's frames.
        most_frames: how many there may be.
        most_bytes: upper bound of their pixels.
    """

    def __init__(self, size_wh: tuple[int, int], most_frames: int, most_bytes: int) -> None:
        self.size_wh = size_wh
        self.capacity = max(2, min(most_frames, most_bytes // (3 * size_wh[0] * size_wh[1])))
        self.step = 1
        self.index: list[int] = []
        self.frames: list[NDArray[np.uint8]] = []

    def wants(self, index: int) -> bool:
        """Whether frame ``index`` belongs into the preview."""
        return index % self.step == 0

    def add(self, index: int, frame: NDArray[np.uint8]) -> None:
        """Take frame ``index`` [h, w, 3], in ascending order and only if wanted."""
        if len(self.frames) == self.capacity:
            self.step *= 2
            kept = [place for place, number in enumerate(self.index) if number % self.step == 0]
            self.index, self.frames = [self.index[place] for place in kept], [self.frames[place] for place in kept]
        if self.wants(index):
            self.index.append(index)
            self.frames.append(frame)


class FramesDigest:
    """The digest of :func:`vizkit.digest.digest_arrays` over frames and their times, frame by frame.

    Args:
        count: number of frames.
        size_wh: their width and height.
    """

    def __init__(self, count: int, size_wh: tuple[int, int]) -> None:
        self._hash = hashlib.sha256(f"frames:|u1:{(count, size_wh[1], size_wh[0], 3)}\n".encode())

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Take the next frame."""
        self._hash.update(np.ascontiguousarray(frame).data)

    def finish(self, times_s: NDArray[np.float64]) -> str:
        """Take the times [N] and give the digest as hex."""
        self._hash.update(f"times_s:{times_s.dtype.str}:{times_s.shape}\n".encode())
        self._hash.update(np.ascontiguousarray(times_s).data)
        return self._hash.hexdigest()
