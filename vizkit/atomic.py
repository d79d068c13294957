"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it, not even after a crash or on a full disk.

    The bytes go to a hidden file in the same folder, are flushed to the disk and take the name in one step.
    A link is followed: the file it points to is replaced, the link stays.

    Args:
        path: the file; its folder exists.
        data: all of its bytes.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the old file is untouched.
    """
    final = Path(path).resolve()
    part = final.parent / f".{secrets.token_hex(8)}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(final)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
