"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk without room says."""


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it, not even after a crash or on a full disk.

    The bytes go to a hidden file in the same folder, are flushed to the disk and take the name in one step.
    A link is followed: the file it points to is replaced, the link stays.

    Args:
        path: the file; its folder exists.
        data: all of its bytes.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the old file is untouched, and the error names it.
    """
    final = Path(path).resolve()
    part = final.parent / f".{secrets.token_hex(8)}.part"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            settle(file, part, final)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(final)
        raise


def settle(file: BinaryIO, part: Path, final: Path) -> None:
    """Flush a file to the disk and give it its name in one step.

    Args:
        file: open for writing, all of it written.
        part: its name by now.
        final: its name from now on, in the same folder.
    """
    file.flush()
    os.fsync(file.fileno())
    part.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network folders cannot
            os.fsync(folder)  # the name too
    finally:
        os.close(folder)
