"""Damage that decoders pass over: runs of a GIF that do not add up, checksums that nobody compares, a frame that is lost inside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clip.bars import bar_frame
from tests.hostile.films import Film, encode
from vizkit.clip import Limits, inspect_clip
from vizkit.clip.child.lzw import count_pixels, damaged_pictures
from vizkit.clip.facts import scan_warnings
from vizkit.clip.guard import ScanAnswer

CLEAR, STOP = 4, 5
"""Of pictures with two bits a pixel: the first entry of the table is 6."""


def packed(codes: list[int], bits: int = 2) -> bytes:
    """Codes one behind the other, each as wide as the table needs when it is read."""
    stream, at, entries, fresh = 0, 0, 2 + (1 << bits), True
    for code in codes:
        width = min(entries, 4095).bit_length()
        stream |= code << at
        at += width
        if code == 1 << bits:
            entries, fresh = 2 + (1 << bits), True
        else:
            entries, fresh = entries + (not fresh), False
    return stream.to_bytes((at + 7) // 8, "little")


@pytest.mark.parametrize(
    ("codes", "pixels"),
    [
        ([CLEAR, 1, 2, STOP], 2),
        ([CLEAR, 1, 6, STOP], 3),  # 6 is made by the code that uses it: 1 1
        ([CLEAR, 1, 6, 7, 6, STOP], 8),  # 7 is 1 1 1
        ([1, 2, STOP], 2),  # some begin with an empty table
        ([CLEAR, 1, 6, CLEAR, 3, 6, STOP], 6),
        ([CLEAR, 1, 7, STOP], -1),  # 7 is not made yet
        ([CLEAR, 6, STOP], -1),
        ([CLEAR, *[1] * 6000, STOP], 6000),  # a full table is used on
        ([CLEAR, 1, 6, *[1] * 6000, 6, STOP], 6005),
        ([CLEAR, *[1] * 9000, 4095, STOP], 9002),
    ],
)
def test_pixels_of_codes(codes: list[int], pixels: int) -> None:
    assert count_pixels(packed(codes), 2) == pixels


def test_the_last_code_may_be_left_out() -> None:
    assert count_pixels(packed([256, 1, 2], bits=8), 8) == 2


def gif(**how: object) -> bytes:
    """Six pictures with noise, so that the table fills up."""
    noise, buffer = np.random.default_rng(0), io.BytesIO()
    frames = [np.where(noise.random((120, 160, 1)) < 0.02, noise.integers(0, 256, (120, 160, 3)), bar_frame(n)) for n in range(6)]
    pictures = [Image.fromarray(frame.astype(np.uint8)).quantize(64) for frame in frames]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=40, **how)
    return buffer.getvalue()


@pytest.mark.parametrize("how", [{}, {"interlace": 1}, {"optimize": True}, {"disposal": 2}])
def test_whole_gifs_are_whole(how: dict[str, object]) -> None:
    assert damaged_pictures(io.BytesIO(gif(**how)), 100) == 0
    assert damaged_pictures(io.BytesIO(encode(Film("gif", "gif", "rgb8", count=4, options={}))), 100) == 0


def test_a_changed_code_is_told_though_every_picture_is_decoded() -> None:
    content = bytearray(gif())
    before = inspect_clip(bytes(content), "a.gif")
    content[len(content) // 4] ^= 1
    after = inspect_clip(bytes(content), "a.gif")
    assert before["code"] == "too_short"
    assert after["code"] == "corrupt_frames"
    assert (after["facts"]["frames"], after["facts"]["complaints"]) == (6, 1)


def test_a_broken_chain_of_blocks_counts_once() -> None:
    content = gif()
    assert damaged_pictures(io.BytesIO(content[: len(content) // 2]), 100) == 1
    assert damaged_pictures(io.BytesIO(content[:-1] + b"x"), 100) == 1
    assert damaged_pictures(io.BytesIO(content[:-1]), 100) == 0, "the last byte says no more than that it is over"
    assert damaged_pictures(io.BytesIO(content), 2) == 0


def test_checksums_of_a_png_are_compared() -> None:
    content = bytearray(encode(Film("apng", "apng", "rgb24", count=10, size_wh=(96, 72), options={})))
    assert inspect_clip(bytes(content), "a.apng")["verdict"] == "ok"
    content[content.rindex(b"fdAT") - 9] ^= 1  # the last byte of the CRC of the chunk before that one's neighbour
    assert inspect_clip(bytes(content), "a.apng")["code"] == "corrupt_frames"


@pytest.mark.parametrize(
    ("declared", "ticks", "told"),
    [
        (10, [*range(9)], False),  # the last one is not counted, as in many files
        (10, [*range(4), *range(5, 10)], True),
        (10, [*range(4), *range(5, 11)], False),  # a pause
        (11, [*range(4), *range(5, 10)], True),
    ],
)
def test_a_frame_that_is_lost_inside_is_told(declared: int, ticks: list[int], told: bool) -> None:
    scan = ScanAnswer(
        codec="mpeg4", container="avi", size_wh=(96, 72), ticks=ticks, tick_s=(1, 25), rate=25.0, declared=declared,
        declared_s=declared / 25, preview_wh=(96, 72), preview_index=[0],
    )  # fmt: skip
    found = {entry.code for entry in scan_warnings(scan, np.asarray(ticks) / 25, own=True, fps=25.0, limits=Limits())}
    assert ("count_mismatch" in found) is told


@pytest.mark.media
def test_real_clips_are_whole(media: Path) -> None:
    for path in sorted((media / "clips").glob("*.gif")):
        with path.open("rb") as file:
            assert damaged_pictures(file, 20_000) == 0, path.name
