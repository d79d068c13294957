"""Folders and archives of pictures: Pillow, one picture at a time."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vizkit.clip.child.pixels import PixelFile
from vizkit.clip.child.refused import Refused, check_size
from vizkit.clip.frames import ASSUMED_FPS, FramesDigest, Preview, is_picture, natural_order, resize, shrink_short_side

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What Pillow and zipfile raise on damaged input."""

# Pillow's own guard is a warning first; check_size refuses before the pixels are decoded
Image.MAX_IMAGE_PIXELS = None


class Folder:
    """Pictures by path.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        """How many there are."""
        return len(self.paths)

    def open(self, number: int) -> BinaryIO:
        """Open a picture."""
        return Path(self.paths[number]).open("rb")


class Archive:
    """Pictures in a zip; nothing is ever unpacked to the disk.

    Args:
        source: the archive.
        limits: fields of :class:`vizkit.clip.limits.Limits`.

    Raises:
        Refused: a damaged or encrypted archive, one with names that leave it, or one that unpacks to too much.
    """

    def __init__(self, source: Any, limits: dict[str, Any]) -> None:
        try:
            self.file = zipfile.ZipFile(source)
            entries = self.file.infolist()
        except BROKEN as error:
            raise Refused("archive") from error
        if any(entry.flag_bits & 1 or _leaves(entry.filename) for entry in entries):
            raise Refused("archive")
        packed, unpacked = sum(entry.compress_size for entry in entries), sum(entry.file_size for entry in entries)
        if unpacked > min(limits["file_bytes"], limits["unpack_ratio"] * packed) or len(entries) > 2 * limits["frames"]:
            raise Refused("too_large_archive")
        self.entries = sorted((entry for entry in entries if is_picture(entry.filename)), key=lambda entry: natural_order(entry.filename))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entries)

    def open(self, number: int) -> BinaryIO:
        """Open a picture; no more than its declared size is unpacked."""
        entry = self.entries[number]
        with self.file.open(entry) as packed:
            return io.BytesIO(packed.read(entry.file_size))


def _leaves(name: str) -> bool:
    """Whether an archive's entry would land outside its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(re.match(r"[A-Za-z]:", name))


def decode(pictures: Folder | Archive, number: int, limits: dict[str, Any]) -> NDArray[np.uint8]:
    """Decode one picture to upright RGB [H, W, 3]; 16-bit grey is scaled to 8 bits, alpha is dropped.

    Raises:
        Refused: damaged, or outside the limits.
    """
    try:
        with pictures.open(number) as file, Image.open(file, formats=FORMATS) as picture:
            check_size(*picture.size, limits)
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):
                grey = np.asarray(upright).astype(np.int64).clip(0, 65535) >> 8
                return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(upright.convert("RGB"))
    except BROKEN as error:
        raise Refused("picture", number + 1) from error


def scan(pictures: Folder | Archive, job: dict[str, Any]) -> dict[str, Any]:
    """Decode every picture once: the preview and the digest of the pixels. The first one sets the size.

    Raises:
        Refused: no picture, too many, or one that cannot be taken.
    """
    limits, bounds = job["limits"], job["preview"]
    count = min(len(pictures), limits["frames"])
    if not count:
        raise Refused("no_pictures")
    first = decode(pictures, 0, limits)
    size_wh = (first.shape[1], first.shape[0])
    preview = Preview(shrink_short_side(size_wh, bounds["short_side_px"]), bounds["frames"], limits["preview_bytes"])
    digest, sizes = FramesDigest(count, size_wh), set()
    for number in range(count):
        frame = decode(pictures, number, limits) if number else first
        sizes.add(frame.shape)
        digest.add(resize(frame, size_wh))
        if preview.wants(number):
            preview.add(number, resize(frame, preview.size_wh))
    _write(PixelFile(job["pixels"], preview.size_wh), len(preview.frames), preview.frames.__getitem__)
    return {
        "codec": "images",
        "container": job["kind"],
        "size_wh": size_wh,
        "ticks": list(range(count)),
        "tick_s": (1, int(ASSUMED_FPS)),
        "sizes": len(sizes),
        "cut": len(pictures) > count,
        "digest": digest.finish(np.arange(count) / ASSUMED_FPS),
        "preview_wh": preview.size_wh,
        "preview_index": preview.index,
    }


def read(pictures: Folder | Archive, job: dict[str, Any]) -> dict[str, Any]:
    """Decode the wanted pictures into the pixel file, scaled to the clip's size and from there to the wanted one.

    Raises:
        Refused: a picture that cannot be taken any more.
    """
    if len(pictures) <= max(job["index"]):
        raise Refused("changed")
    size_wh, out_wh = tuple(job["size_wh"]), tuple(job["out_wh"])

    def picture(place: int) -> NDArray[np.uint8]:
        return resize(resize(decode(pictures, job["index"][place], job["limits"]), size_wh), out_wh, job["how"])

    _write(PixelFile(job["pixels"], out_wh), len(job["index"]), picture)
    return {}


def _write(pixels: PixelFile, count: int, picture: Callable[[int], NDArray[np.uint8]]) -> None:
    for place in range(count):
        pixels.put(place, picture(place))
