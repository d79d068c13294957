"""Small surgery on containers: boxes of MP4, elements of Matroska, chunks of AVI and PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

TABLE = ("moov", "trak", "mdia", "minf", "stbl")


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Name, start of the body and end of every box between two places."""
    while start + 8 <= end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield name.decode("latin-1"), start + 8, start + size
        start += size


def body(data: bytes, *path: str) -> tuple[int, int]:
    """Start and end of the body of a box."""
    start, end = 0, len(data)
    for wanted in path:
        start, end = next((first, last) for name, first, last in boxes(data, start, end) if name == wanted)
    return start, end


def overwritten(data: bytes, at: int, new: bytes) -> bytes:
    """The same bytes with some of them replaced."""
    return data[:at] + new + data[at + len(new) :]


def word(data: bytes, path: Sequence[str], offset: int, value: int) -> bytes:
    """The same file with one 32-bit number of a box replaced."""
    return overwritten(data, body(data, *path)[0] + offset, struct.pack(">i" if value < 0 else ">I", value))


def exchanged(data: bytes, path: Sequence[str], new: bytes) -> bytes:
    """The same file with the body of a box replaced; the boxes around it grow or shrink."""
    start, end = body(data, *path)
    changed = bytearray(data[:start] + new + data[end:])
    for depth in range(len(path)):
        first, last = body(data, *path[: depth + 1])
        struct.pack_into(">I", changed, first - 8, last - first + 8 + len(new) - (end - start))
    return bytes(changed)


def element(name: str, content: bytes) -> bytes:
    """An element of Matroska; the name is its ID in hex."""
    return bytes.fromhex(name) + struct.pack(">Q", len(content) | 1 << 56) + content


def number(name: str, value: int) -> bytes:
    """An element that holds a number."""
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def matroska(track: bytes, blocks: Sequence[bytes]) -> bytes:
    """A file of one track, one block every 40 ms."""
    head = element("1A45DFA3", element("4282", b"matroska") + number("4287", 2) + number("4285", 2))
    cluster = number("E7", 0) + b"".join(
        element("A3", b"\x81" + struct.pack(">hB", place * 40, 0x80) + block) for place, block in enumerate(blocks)
    )
    entry = element("AE", number("D7", 1) + number("73C5", 1) + track)
    segment = element("1549A966", number("2AD7B1", 1_000_000)) + element("1654AE6B", entry) + element("1F43B675", cluster)
    return head + element("18538067", segment)


def png_track(width: int, height: int) -> bytes:
    """A video track of PNG pictures that claims a size."""
    header = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MPNG", 0, 0, 0, 0, 0)
    size = element("E0", number("B0", width) + number("BA", height))
    return number("83", 1) + element("86", b"V_MS/VFW/FOURCC") + element("63A2", header) + size


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of RIFF, padded to even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def black_png(width: int, height: int) -> bytes:
    """A picture of one bit per pixel: 16000 x 16000 take 31 kB."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    row, packer = bytes(1 + (width + 7) // 8), zlib.compressobj(9)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")
