"""One decoded video frame: upright RGB, its size as a person sees it, its checksum."""

from __future__ import annotations

import zlib

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


def quarter_turns(frame: VideoFrame) -> int:
    """Counter-clockwise quarter turns that make a frame upright (0 where the tag is no quarter turn)."""
    return frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Width and height of a frame as a person sees it."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


def checksum(frame: VideoFrame) -> int:
    """CRC-32 of a frame's first plane (luma), without the padding of its rows."""
    plane = frame.planes[0]
    sample_bytes = sum((part.bits + 7) // 8 for part in frame.format.components if part.plane == 0)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return zlib.crc32(np.ascontiguousarray(rows[:, : plane.width * sample_bytes]).data)


class Painter:
    """Turns decoded frames into upright RGB of one size; frames of another size are scaled to it.

    Colours are converted by the frame's own tags; alpha is dropped.

    Args:
        size_wh: width and height of what comes out.
    """

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self.size_wh = size_wh
        self._reformatter = VideoReformatter()

    def paint(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert a frame to uint8 [H, W, 3]."""
        turns = quarter_turns(frame)
        width, height = self.size_wh if turns % 2 == 0 else self.size_wh[::-1]
        method = "BILINEAR" if (width, height) == (frame.width, frame.height) else "AREA"
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=method, threads=1).to_ndarray()
        return np.rot90(rgb, turns)
