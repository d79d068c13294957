"""Frames that carry their own number as black and white bars, and a writer for every kind of video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8


def bar_frame(number: int, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """Frame ``number`` [H, W, 3]: a coloured slope, and the number in bars along the top third."""
    y, x = np.mgrid[0:height, 0:width]
    frame = np.stack([40 + x * 120 // width, 40 + y * 120 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    cell = width // BITS
    for bit in range(BITS):
        frame[: height // 3, bit * cell : (bit + 1) * cell] = 235 if number >> (BITS - 1 - bit) & 1 else 20
    return frame


def read_bars(frame: NDArray[np.uint8]) -> int | None:
    """The number in a frame of any size; None when a bar is neither black nor white."""
    height, width = frame.shape[:2]
    cell, number = width / BITS, 0
    for bit in range(BITS):
        left, right = round((bit + 0.3) * cell), max(round((bit + 0.7) * cell), round((bit + 0.3) * cell) + 1)
        level = float(frame[height // 12 : height // 4, left:right].mean())
        if 90 < level < 165:
            return None
        number = number * 2 + (level > 127)
    return number


def all_bars(frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[int | None]:
    """The numbers in many frames."""
    return [read_bars(frame) for frame in frames]


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    codec: str,
    pix_fmt: str,
    options: dict[str, str] | None = None,
    *,
    rate: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> Path:
    """Encode frames by PyAV, one thread; ``pts`` in units of ``time_base`` (1 / rate by default)."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
