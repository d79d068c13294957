"""Where a clip's bytes are: a file of the user's that is read in place, or a nameless copy of what was handed over."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from vizkit.clip import messages
from vizkit.clip.frames import is_picture, natural_order
from vizkit.clip.guard import numbers
from vizkit.clip.limits import Limits

CHUNK_BYTES = 1 << 20


def sha256(descriptor: int) -> str:
    """SHA-256 of an open file, as hex; its position is left alone."""
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, at):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


class Source(Protocol):
    """Where a clip's bytes are."""

    name: str
    """Shown name of the clip."""

    def open(self) -> contextlib.AbstractContextManager[int | None]:
        """Give a descriptor of the clip's file, None where it is many files; raises ClipError when they have changed."""


class PathFile:
    """A file by its path, opened anew for every use.

    Args:
        path: the file.
        name: shown name of the clip.
        limits: the largest size allowed.

    Raises:
        ClipError: missing, empty, too large, not a file, or unreadable for this user.
    """

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.path, self.name = path, name
        self._identity: tuple[int, ...] | None = None
        with self.open() as descriptor:
            status = os.fstat(descriptor)
            _check_size(status.st_size, name, limits)
            self._identity = _identity(status)

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        """Give a descriptor of the very file that was opened first.

        Raises:
            ClipError: it is gone, or has been replaced or written to since.
        """
        try:
            # without O_NONBLOCK the opening of a named pipe waits for a writer
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise messages.refusal(self.name, "no_permission" if isinstance(error, PermissionError) else "missing") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise messages.refusal(self.name, "not_a_file")
            if self._identity not in (None, _identity(status)):
                raise messages.refusal(self.name, "changed")
            yield descriptor
        finally:
            os.close(descriptor)


class HeldFile:
    """A copy of bytes or of a file object in a temporary file without a name: it goes when this object goes, even after a kill.

    Args:
        chunks: the bytes, piece by piece.
        name: shown name of the clip.
        limits: the largest size allowed.

    Raises:
        ClipError: empty or too large.
    """

    def __init__(self, chunks: Iterator[bytes], name: str, limits: Limits) -> None:
        self.name = name
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="vizkit-")  # noqa: SIM115 - lives as long as this object
        weakref.finalize(self, self._file.close)
        size = 0
        try:
            for chunk in chunks:
                size += len(chunk)
                _check_size(size, name, limits)
                self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise messages.refusal(name, "disk_full") from error
        _check_size(size, name, limits)

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        """Give a descriptor; readers must keep positions of their own."""
        yield self._file.fileno()


class Folder:
    """The pictures in a folder, by name in natural order.

    Args:
        path: the folder.
        name: shown name of the clip.
        limits: how many pictures, and how large together.

    Raises:
        ClipError: no pictures, or too large.
    """

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.name = name
        try:
            found = [entry for entry in path.resolve().iterdir() if is_picture(entry.name)]
        except PermissionError as error:
            raise messages.refusal(name, "no_permission") from error
        self.paths = sorted(found, key=lambda entry: natural_order(entry.name))
        if not self.paths:
            raise messages.refusal(name, "no_pictures")
        self._identities = self._look()
        _check_size(sum(identity[2] for identity in self._identities), name, limits)

    def _look(self) -> list[tuple[int, ...]]:
        try:
            return [_identity(entry.stat()) for entry in self.paths]
        except OSError as error:
            raise messages.refusal(self.name, "changed") from error

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Check that the pictures are the ones that were there at first."""
        if self._look() != self._identities:
            raise messages.refusal(self.name, "changed")
        yield None


def chunks_of(source: bytes | bytearray | memoryview | BinaryIO, name: str) -> Iterator[bytes]:
    """Give the bytes of a source piece by piece; a file object is read from its start where it can seek.

    Raises:
        ClipError: the file object gives text.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source).cast("B")
        yield from (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))
        return
    if hasattr(source, "seekable") and source.seekable():
        source.seek(0)
    while chunk := source.read(CHUNK_BYTES):
        if not isinstance(chunk, bytes):
            raise messages.refusal(name, "not_bytes")
        yield chunk


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_size(size: int, name: str, limits: Limits) -> None:
    if size == 0:
        raise messages.refusal(name, "empty")
    if size > limits.file_bytes:
        raise messages.refusal(name, "too_large_file", **numbers(limits))
