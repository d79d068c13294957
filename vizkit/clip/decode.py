"""Opening a clip: whatever it is, out comes a :class:`~vizkit.contracts.VideoClip` or one sentence."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vizkit.clip import messages
from vizkit.clip.arrays import clip_from_frames, open_array_file
from vizkit.clip.facts import clip_facts, presentation_times, scan_warnings
from vizkit.clip.files import Folder, HeldFile, PathFile, Source, chunks_of, sha256
from vizkit.clip.guard import ScanAnswer, run_child
from vizkit.clip.limits import Limits
from vizkit.clip.reader import FileReader, Timeline
from vizkit.contracts import PREVIEW_FRAMES, PREVIEW_SHORT_SIDE_PX, VideoClip
from vizkit.errors import ClipError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".gif", ".apng", ".mpg", ".mpeg", ".vob", ".ts", ".m2ts"}
)
ARCHIVE_SUFFIXES = frozenset({".zip"})
ARRAY_SUFFIXES = frozenset({".npy", ".npz"})

HEAD_BYTES = 512

SEEKABLE = frozenset({"mov", "matroska", "avi"})
"""Containers with an index of their key frames."""

ClipSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[np.uint8]


def open_clip(source: ClipSource, *, name: str | None = None, limits: Limits | None = None) -> VideoClip:
    """Open a clip: every frame is decoded once, in a child process, and only a small preview is kept.

    A path is read in place, again and again; bytes and file objects are copied to a nameless temporary file that lives as
    long as the clip. Every frame has the first frame's size, upright; alpha is dropped; both fields of an interlaced frame
    stay woven; pixels that are not square stay as they are stored.

    Args:
        source: a video (mp4, mov, avi, mkv, webm, gif, mpg, ts), a folder or zip of pictures in natural order of their names,
            ``.npy`` or ``.npz`` (``frames`` uint8 [N, H, W, 3], optional ``times_s`` [N]), as a path, bytes or a file object;
            or an array uint8 [N, H, W, 3].
        name: what to call it; by default the last part of the path. Its suffix, where there is one, must be a known one.
        limits: what opening and reading may cost.

    Returns:
        The clip; ``warnings`` say what is odd about it.

    Raises:
        ClipError: it cannot be read or goes over a limit; ``code`` is one of missing, empty, type_not_allowed, unreadable,
            no_video_stream, codec_not_allowed, no_frames, too_small, too_large, too_slow, crashed, disk_full.
    """
    return _open(source, _name_of(source, name), limits or Limits())[0]


def inspect_clip(source: ClipSource, name: str | None = None, *, limits: Limits | None = None) -> dict[str, Any]:
    """Say whether a clip can be used, without raising for a bad one.

    Returns:
        ``kind`` "clip"; ``verdict`` "ok", "warn" or "reject"; ``code`` of the gravest warning or of the refusal; ``message``,
        one line of at most 160 characters; ``facts``: frames, duration_s, size_wh, codec, fps, vfr, rotation, warnings, ...
        (only the name for a refused clip).
    """
    shown = _name_of(source, name)
    try:
        clip, scan = _open(source, shown, limits or Limits())
    except ClipError as error:
        return {"kind": "clip", "verdict": "reject", "code": error.code, "message": error.message, "facts": {"name": shown}}
    worst = clip.warnings[0] if clip.warnings else None
    return {
        "kind": "clip",
        "verdict": clip.verdict,
        "code": worst.code if worst else "",
        "message": messages.warning_line(shown, worst) if worst else "",
        "facts": clip_facts(clip, scan),
    }


def _name_of(source: ClipSource, name: str | None) -> str:
    if name is None and isinstance(source, str | os.PathLike):
        name = Path(source).absolute().name
    if name is None and isinstance(getattr(source, "name", None), str):
        name = source.name  # type: ignore[union-attr]
    return messages.shown_name(name or ("array" if isinstance(source, np.ndarray) else "clip"))


def _open(source: ClipSource, name: str, limits: Limits) -> tuple[VideoClip, ScanAnswer | None]:
    if isinstance(source, np.ndarray):
        return clip_from_frames(source, name=name, limits=limits), None
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if _is_folder(path):
            folder = Folder(path, name, limits)
            return _scan(folder, {"kind": "folder", "paths": [str(entry) for entry in folder.paths]}, limits)
        kind = _kind_by_suffix(name)
        return _open_file(PathFile(path, name, limits), kind, limits)
    if isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
        kind = _kind_by_suffix(name)
        return _open_file(HeldFile(chunks_of(source, name), name, limits), kind, limits)
    raise messages.refusal(name, "source", type=type(source).__name__)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _kind_by_suffix(name: str) -> str | None:
    """``"video"``, ``"archive"`` or ``"array"``; None for a name without a suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    for kind, suffixes in (("video", VIDEO_SUFFIXES), ("archive", ARCHIVE_SUFFIXES), ("array", ARRAY_SUFFIXES)):
        if suffix in suffixes:
            return kind
    if suffix:
        raise messages.refusal(name, "suffix")
    return None


def _kind_by_content(file: BinaryIO) -> str:
    """The same by the file's first bytes; what is neither array nor archive is left to the video decoder."""
    head = file.read(HEAD_BYTES)
    if head.startswith(b"\x93NUMPY"):
        return "array"
    if head.startswith(b"PK\3\4"):
        first_entry = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return "array" if first_entry.endswith(b".npy") else "archive"
    return "video"


def _open_file(file: PathFile | HeldFile, kind: str | None, limits: Limits) -> tuple[VideoClip, ScanAnswer | None]:
    with file.open() as descriptor, os.fdopen(os.dup(descriptor), "rb") as opened:
        opened.seek(0)
        kind = kind or _kind_by_content(opened)
        if kind == "array":
            return open_array_file(opened, file.name, limits), None
    return _scan(file, {"kind": kind}, limits)


def _scan(source: Source, job: dict[str, Any], limits: Limits) -> tuple[VideoClip, ScanAnswer]:
    bounds = {"short_side_px": PREVIEW_SHORT_SIDE_PX, "frames": PREVIEW_FRAMES}
    with source.open() as descriptor:
        with run_child(source.name, limits, job | {"task": "scan", "preview": bounds}, descriptor, ScanAnswer) as outcome:
            scan = outcome.answer
            preview = outcome.pixels(len(scan.preview_index), scan.preview_wh)
        digest = scan.digest if descriptor is None or job["kind"] == "archive" else sha256(descriptor)
    times_s, own = presentation_times(scan)
    clip = VideoClip(
        name=source.name,
        digest=digest,
        size_wh=scan.size_wh,
        times_s=times_s,
        preview=preview,
        preview_index=np.asarray(scan.preview_index, np.int64),
        reader=FileReader(source, job, scan.size_wh, limits, _timeline(scan)),
        codec=scan.codec,
    )
    return replace(clip, warnings=messages.told(scan_warnings(scan, times_s, own, clip.fps, limits))), scan


def _timeline(scan: ScanAnswer) -> Timeline:
    """Frames can be found by seeking where every one has a time stamp of its own and nothing is damaged."""
    ticks = [tick for tick in scan.ticks if tick is not None]
    whole = len(ticks) == len(scan.ticks) == len(scan.checks) and all(earlier < later for earlier, later in pairwise(ticks))
    if scan.container not in SEEKABLE or not scan.presented or scan.complaints or scan.corrupt or not whole:
        return Timeline()
    return Timeline(ticks, scan.checks, scan.keys)
