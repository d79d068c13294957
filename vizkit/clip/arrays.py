"""Arrays as clips: from memory, from ``.npy`` and from ``.npz``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vizkit.clip import messages
from vizkit.clip.facts import picture_warnings
from vizkit.clip.frames import ASSUMED_FPS, Preview, resize, shrink_short_side
from vizkit.clip.guard import numbers
from vizkit.clip.limits import Limits
from vizkit.clip.reader import ArrayReader
from vizkit.contracts import PREVIEW_FRAMES, PREVIEW_SHORT_SIDE_PX, ClipWarning, VideoClip
from vizkit.digest import digest_arrays

ARRAY_NAME = "frames"
TIMES_NAME = "times_s"
BROKEN = (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, SyntaxError)
"""What numpy and zipfile raise on damaged input."""


def clip_from_frames(
    frames: NDArray[np.uint8],
    *,
    name: str = "array",
    times_s: NDArray[np.float64] | None = None,
    limits: Limits | None = None,
    warnings: tuple[ClipWarning, ...] = (),
) -> VideoClip:
    """Make a clip of an array; the pixels are copied.

    Args:
        frames: uint8 [N, H, W, 3], RGB, 0..255.
        name: what to call it.
        times_s: [N] time of every frame in seconds, ascending; 25 frames per second when None.
        limits: bounds on sides and bytes.
        warnings: what is odd about where the array comes from.

    Raises:
        ClipError: another dtype or shape, too small, too large, or times that are no times.
    """
    limits, name = limits or Limits(), messages.shown_name(name)
    check_array(frames.shape, frames.dtype, name, limits)
    pixels, count = np.ascontiguousarray(frames).copy(), len(frames)
    times = _checked_times(times_s, count, name)
    size_wh = (pixels.shape[2], pixels.shape[1])
    preview = Preview(shrink_short_side(size_wh, PREVIEW_SHORT_SIDE_PX), PREVIEW_FRAMES, limits.preview_bytes)
    for index in range(count):
        if preview.wants(index):
            preview.add(index, resize(pixels[index], preview.size_wh))
    return VideoClip(
        name=name,
        digest=digest_arrays({ARRAY_NAME: pixels, TIMES_NAME: times}),
        size_wh=size_wh,
        times_s=times,
        preview=np.stack(preview.frames),
        preview_index=np.asarray(preview.index, np.int64),
        reader=ArrayReader(pixels, name, limits),
        warnings=messages.told((*warnings, *picture_warnings(count, size_wh, limits))),
    )


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, limits: Limits) -> None:
    """Refuse an array that is no clip, by its shape and dtype alone.

    Raises:
        ClipError: not uint8 [N, H, W, 3], too small or too large.
    """
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise messages.refusal(name, "array_type", dtype=dtype.name[:20], shape=str(list(shape))[:30])
    count, height, width = shape[:3]
    if not count:
        raise messages.refusal(name, "no_frames")
    if min(height, width) < limits.side_min_px:
        raise messages.refusal(name, "too_small", **numbers(limits))
    if max(height, width) > limits.side_px or height * width > limits.frame_px:
        raise messages.refusal(name, "too_large_picture", **numbers(limits))
    if count > limits.frames or count * height * width * 3 > limits.read_bytes:
        raise messages.refusal(name, "too_large_array", **numbers(limits))


def _checked_times(times_s: Any, count: int, name: str) -> NDArray[np.float64]:
    if times_s is None:
        return np.arange(count) / ASSUMED_FPS
    times = np.asarray(times_s)
    sound = times.shape == (count,) and times.dtype.kind in "fiu" and np.isfinite(times).all() and (np.diff(times) >= 0).all()
    if not sound:
        raise messages.refusal(name, "array_times")
    return times.astype(np.float64) - float(times[0])


def open_array_file(file: IO[bytes], name: str, limits: Limits) -> VideoClip:
    """Read a ``.npy`` file, or the arrays ``frames`` and (optional) ``times_s`` of an ``.npz`` file.

    Shapes and dtypes are checked before any data are read; objects are never unpickled.

    Args:
        file: at its start.
        name: shown name of the clip.
        limits: bounds on sides and bytes.

    Raises:
        ClipError: damaged, other arrays than these, or outside the limits.
    """
    try:
        zipped = zipfile.is_zipfile(file)
        file.seek(0)
        arrays = _read_npz(file, name, limits) if zipped else {ARRAY_NAME: _read_npy(file, name, limits)}
    except BROKEN as error:
        raise messages.refusal(name, "array_file") from error
    times = arrays.get(TIMES_NAME)
    warnings = () if times is not None else (messages.warning("times_assumed", fps=ASSUMED_FPS),)
    return clip_from_frames(arrays[ARRAY_NAME], name=name, times_s=times, limits=limits, warnings=warnings)


def _read_npz(file: IO[bytes], name: str, limits: Limits) -> Mapping[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        with archive.open(f"{ARRAY_NAME}.npy") as entry:
            arrays = {ARRAY_NAME: _read_npy(entry, name, limits)}
        if f"{TIMES_NAME}.npy" in archive.namelist():
            with archive.open(f"{TIMES_NAME}.npy") as entry:
                arrays[TIMES_NAME] = _read_times(entry, len(arrays[ARRAY_NAME]), name)
        return arrays


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of the array that follows."""
    version = npy.read_magic(file)
    return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)


def _read_body(file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = file.read(size)
    if len(data) != size or file.read(1):
        raise ValueError("the data are shorter or longer than the header says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _read_npy(file: IO[bytes], name: str, limits: Limits) -> NDArray[Any]:
    shape, fortran, dtype = _read_header(file)
    check_array(shape, dtype, name, limits)
    return _read_body(file, shape, fortran, dtype)


def _read_times(file: IO[bytes], count: int, name: str) -> NDArray[Any]:
    shape, fortran, dtype = _read_header(file)
    if shape != (count,) or dtype.kind not in "fiu":
        raise messages.refusal(name, "array_times")
    return _read_body(file, shape, fortran, dtype)
