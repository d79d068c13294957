"""Clips with damage of every kind, at places that a seed chooses, and what becomes of them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from tests.hostile.films import Film, encode
from vizkit.clip import Limits
from vizkit.clip.decode import _open
from vizkit.errors import ClipError

WORKERS = 2
PATIENT = Limits(wall_s=120)
"""A hang takes 20 s of the processor; a busy machine may take longer over a clip."""
KINDS = ("bits", "bytes", "gap", "insert", "word", "cut")
EXTREME = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1")
HEADER_BYTES = 2000
LARGEST_BYTES = 700_000
"""Larger real clips are left alone: a mutant of theirs takes too long."""

SMALL: dict[str, Film] = {
    "h264.mp4": Film(count=24, size_wh=(96, 72)),
    "mpeg4.avi": Film("avi", "mpeg4", count=24, size_wh=(96, 72), options={}, setup={"bit_rate": 400_000}),
    "vp8.webm": Film(
        "webm", "libvpx", count=24, size_wh=(96, 72), options={"deadline": "good", "cpu-used": "4"}, setup={"bit_rate": 400_000}
    ),
    "mpeg2.ts": Film("mpegts", "mpeg2video", count=24, size_wh=(96, 72), rate=Fraction(25), options={}, setup={"bit_rate": 400_000}),
}


@dataclass(frozen=True)
class Seen:
    """What opening a clip gave."""

    refused: str
    """Code of the refusal, empty for none."""
    warnings: frozenset[str] = frozenset()
    frames: tuple[int, ...] = ()
    """Checksum of every frame."""
    times_s: tuple[float, ...] = ()


def damaged(content: bytes, kind: str, luck: random.Random) -> bytes:
    """The same file, damaged."""
    mutant, size = bytearray(content), len(content)
    if kind == "bits":
        for _ in range(luck.choice((1, 3, 10, 40))):
            mutant[luck.randrange(size)] ^= 1 << luck.randrange(8)
    elif kind == "bytes":
        for _ in range(luck.choice((1, 5, 20))):
            mutant[luck.randrange(size)] = luck.randrange(256)
    elif kind == "word":
        at = luck.randrange(min(size, HEADER_BYTES) - 4) if luck.random() < 0.7 else luck.randrange(size - 4)
        mutant[at : at + 4] = luck.choice(EXTREME)
    elif kind == "cut":
        del mutant[luck.randrange(size // 10, size) :]
    else:
        at, length = luck.randrange(size), luck.choice((1, 7, 100))
        mutant[at : at + length * (kind == "gap")] = b"" if kind == "gap" else luck.randbytes(length)
    return bytes(mutant)


def seen(content: bytes, name: str) -> Seen:
    """Open a clip and look at every frame's checksum and time."""
    try:
        clip, scan = _open(content, name, PATIENT)
    except ClipError as error:
        return Seen(error.code)
    assert scan is not None
    return Seen("", frozenset(entry.code for entry in clip.warnings), tuple(scan.checks), tuple(clip.times_s.tolist()))


def films() -> dict[str, bytes]:
    """Small rendered clips, one of each family of codecs."""
    return {name: encode(film) for name, film in SMALL.items()}


def real_clips(media: Path) -> dict[str, bytes]:
    """The real clips that are small enough."""
    found = sorted(path for path in (media / "clips").iterdir() if path.suffix != ".md" and path.stat().st_size < LARGEST_BYTES)
    return {path.name: path.read_bytes() for path in found}


@cache
def _sound(content: bytes, name: str) -> Seen:
    return seen(content, name)


@dataclass(frozen=True)
class Ends:
    """What became of some mutants, each named by clip, kind and number."""

    every: tuple[str, ...]
    broken: tuple[str, ...]
    """The decoder broke down or ran over its limit."""
    told: tuple[str, ...]
    """Refused or warned about."""
    silent: tuple[str, ...]
    """Opened without a word, though frames or times are wrong."""


def tried(clips: dict[str, bytes], numbers: Sequence[int], kinds: Sequence[str]) -> Ends:
    """Open mutants of some clips in turn."""
    names = sorted(clips)
    work = [(names[number % len(names)], kind, number) for kind in kinds for number in numbers]
    with ThreadPoolExecutor(WORKERS) as pool:
        ends = list(pool.map(lambda item: _end(clips[item[0]], *item), work))
    told = [f"{name} {kind} {number}" for name, kind, number in work]
    return Ends(tuple(told), *(tuple(name for name, end in zip(told, ends, strict=True) if end == kind) for kind in ENDS))


ENDS = ("broken", "told", "silent")


def _end(content: bytes, name: str, kind: str, number: int) -> str:
    """One of :data:`ENDS`, or ``"right"``.

    A file that ends early with a whole frame is a shorter clip, and nothing in it is wrong.
    """
    before, start = _sound(content, name), time.monotonic()
    after = seen(damaged(content, kind, random.Random(f"{kind} {number}")), name)
    if after.refused in {"crashed", "too_slow"} or time.monotonic() - start > PATIENT.wall_s + 5:
        return "broken"
    if after.refused or after.warnings - before.warnings:
        return "told"
    count = len(after.frames)
    return "right" if (after.frames, after.times_s) == (before.frames[:count], before.times_s[:count]) else "silent"
