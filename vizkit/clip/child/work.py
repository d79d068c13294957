"""Entry of the child process: set the limits, do one task, write the answer."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import sys
from typing import Any

from vizkit import fenced
from vizkit.clip.child.refused import Refused

SPARE_BYTES = 16_000_000
BUFFER_BYTES = 1 << 18


class SharedFile(io.RawIOBase):
    """A file that other processes read through the same descriptor: it keeps a position of its own.

    Args:
        descriptor: open for reading; it is not closed here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the current position."""
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "negative position")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position


def confine(limits: dict[str, Any]) -> None:
    """Bound what this process may use, for good."""
    fenced.confine(
        {
            resource.RLIMIT_AS: limits["memory_bytes"],
            resource.RLIMIT_CPU: limits["cpu_s"],
            resource.RLIMIT_FSIZE: max(limits["read_bytes"], limits["preview_bytes"]) + SPARE_BYTES,
        }
    )


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do the task of a job; PyAV and Pillow are imported only for their own kind of source."""
    import cv2

    cv2.setNumThreads(1)
    if job["kind"] == "video":
        from vizkit.clip.child import scan, seek

        source = io.BufferedReader(SharedFile(job["source"]), BUFFER_BYTES)
        return scan.scan(source, job) if job["task"] == "scan" else seek.read(source, job)
    from vizkit.clip.child import images

    pictures = images.Archive(SharedFile(job["source"]), job["limits"]) if job["kind"] == "archive" else images.Folder(job["paths"])
    return images.scan(pictures, job) if job["task"] == "scan" else images.read(pictures, job)


def answer_to(job: dict[str, Any]) -> dict[str, Any]:
    """Do the task; what is wrong with the clip becomes a reason, bugs go on as they are."""
    try:
        return {"reason": "", **run(job)}
    except Refused as refused:
        return {"reason": refused.reason, "number": refused.number}
    except MemoryError:
        return {"reason": "too_large_memory"}
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"reason": "disk_full"}
        raise


def main() -> None:
    """Read the job from standard input, write the answer, leave without tearing the decoders down."""
    job = json.load(sys.stdin)
    confine(job["limits"])
    answer = json.dumps(answer_to(job)).encode()
    os.pwrite(job["answer"], answer, 0)
    os._exit(0)
