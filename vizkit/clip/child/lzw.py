"""Whether the pictures of a GIF hold as many pixels as they say: damage that no GIF decoder mentions.

A GIF has no checksums, but a code that was changed usually stands for a run of another length. Decoders stop where the picture
is full, or fill what is left.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

TABLE = 4096
"""Most entries of the table of runs."""
WIDTHS = np.asarray([number.bit_length() for number in range(TABLE)])
HEADER_BYTES, PLACE_BYTES = 13, 9
EXTENSION, PICTURE, END = b"\x21", b"\x2c", b"\x3b"


def damaged_pictures(source: BinaryIO, most: int) -> int:
    """Count the pictures of a GIF whose runs do not add up to width x height; a break in the chain of blocks is one more.

    Args:
        source: the file.
        most: pictures to look at.
    """
    source.seek(0)
    _skip_palette(source, source.read(HEADER_BYTES)[10:11])
    damaged = 0
    for _ in range(most):
        while (label := source.read(1)) == EXTENSION:
            source.seek(1, os.SEEK_CUR)
            _joined_blocks(source)
        if label in (END, b""):
            break
        place = source.read(PLACE_BYTES)
        _skip_palette(source, place[8:])
        bits = int.from_bytes(source.read(1), "little")
        if label != PICTURE or not 2 <= bits <= 8:
            return damaged + 1
        width, height = (int.from_bytes(place[start : start + 2], "little") for start in (4, 6))
        damaged += count_pixels(_joined_blocks(source), bits) != width * height
    return damaged


def _skip_palette(source: BinaryIO, flags: bytes) -> None:
    packed = int.from_bytes(flags, "little")
    if packed & 0x80:
        source.seek(3 << (packed & 7) + 1, os.SEEK_CUR)


def _joined_blocks(source: BinaryIO) -> bytes:
    parts = []
    while length := int.from_bytes(source.read(1), "little"):
        parts.append(source.read(length))
    return b"".join(parts)


def count_pixels(packed: bytes, bits: int) -> int:
    """Number of pixels that LZW codes stand for; -1 where one stands for nothing.

    Args:
        packed: the codes, lowest bit first.
        bits: of a pixel, 2..8.
    """
    held = np.frombuffer(packed + bytes(3), np.uint8).astype(np.uint32)
    words = held[:-2] | held[1:-1] << 8 | held[2:] << 16
    clear, at, pixels = 1 << bits, 0, 0
    while True:
        codes, stop, at = _codes_until_stop(words, at, clear)
        runs = _run_lengths(codes, clear)
        if runs is None:
            return -1
        pixels += int(runs.sum())
        if stop != clear:
            return pixels


def _codes_until_stop(words: NDArray[np.integer[Any]], at: int, clear: int) -> tuple[NDArray[np.int64], int, int]:
    """Codes from a bit on: those before the one that clears the table or ends the picture, that one, and the bit behind it.

    The table has one more entry after each code but the first, so that the width of every code is known beforehand.
    """
    count, last = TABLE, 8 * (len(words) - 1)
    while True:
        entries = np.clip(np.arange(count) + clear + 1, clear + 2, TABLE - 1)
        widths = WIDTHS[entries]
        ends = at + np.cumsum(widths)
        ends = ends[ends <= last]
        starts, widths = ends - widths[: len(ends)], widths[: len(ends)]
        codes = (words[starts >> 3] >> (starts & 7)).astype(np.int64) & (1 << widths) - 1
        stops = np.flatnonzero((codes == clear) | (codes == clear + 1))
        if len(stops):
            return codes[: stops[0]], int(codes[stops[0]]), int(ends[stops[0]])
        if len(ends) < count:  # some writers leave the last code out
            return codes, clear + 1, last
        count *= 2


def _run_lengths(codes: NDArray[np.int64], clear: int) -> NDArray[np.int64] | None:
    """Pixels of each code: one for a colour, and for an entry one more than the code has after which it was made."""
    made_after = np.where(codes < clear, -1, codes - clear - 2)
    if (made_after >= np.arange(len(codes))).any():
        return None
    runs = np.ones(len(codes), np.int64)
    while len(longer := np.flatnonzero(made_after >= 0)):
        before = made_after[longer]
        runs[longer], made_after[longer] = runs[longer] + runs[before], made_after[before]
    return runs
