"""Reading frames again, by number: arrays from memory, files through the child process."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizkit.clip import messages
from vizkit.clip.files import Source
from vizkit.clip.frames import resize
from vizkit.clip.guard import Answer, numbers, run_child
from vizkit.clip.limits import Limits
from vizkit.contracts import Resize

SEEK_COST_FRAMES = 4
"""What one seek costs, in decoded frames."""

ReadKey = tuple[tuple[int, ...], tuple[int, int], Resize]
"""One read: frame numbers, width and height, how they are resized."""


class FrameReader(ABC):
    """Reads frames of a clip by number, scaled on request before they are handed over."""

    @abstractmethod
    def read(self, index: Sequence[int], size_wh: tuple[int, int] | None = None, how: Resize = "area") -> NDArray[np.uint8]:
        """Read frames.

        Args:
            index: frame numbers, in any order, repeats allowed.
            size_wh: width and height wanted; None for the clip's own.
            how: how they are resized, see :func:`vizkit.clip.frames.resize`.

        Returns:
            uint8 [len(index), height, width, 3], a copy of the caller's own.

        Raises:
            ClipError: the frames are too many for one read, or the clip can no longer be read.
        """

    def __call__(self, index: Sequence[int]) -> NDArray[np.uint8]:
        """Read frames at their own size."""
        return self.read(index)


class ArrayReader(FrameReader):
    """Reads from an array.

    Args:
        frames: uint8 [N, H, W, 3].
        name: shown name of the clip.
        limits: how much one read may hand out.
    """

    def __init__(self, frames: NDArray[np.uint8], name: str, limits: Limits) -> None:
        self._frames, self._name, self._limits = frames, name, limits

    def read(self, index: Sequence[int], size_wh: tuple[int, int] | None = None, how: Resize = "area") -> NDArray[np.uint8]:
        """Read frames; see :meth:`FrameReader.read`."""
        size_wh = size_wh or (self._frames.shape[2], self._frames.shape[1])
        check_read(len(index), size_wh, self._name, self._limits)
        out = np.empty((len(index), size_wh[1], size_wh[0], 3), np.uint8)
        for place, number in enumerate(index):
            out[place] = resize(self._frames[number], size_wh, how)
        return out


@dataclass(frozen=True)
class Timeline:
    """How to find the frames of a scanned video again."""

    ticks: Sequence[int] = ()
    """[N] time stamps, strictly ascending; empty where frames can only be counted from the start."""
    checks: Sequence[int] = ()
    """[N] checksums."""
    keys: Sequence[int] = ()
    """Numbers of the key frames, ascending."""

    def seeks(self, index: Sequence[int]) -> list[tuple[int, list[tuple[int, int, int]]]]:
        """Plan the seeks for ascending frame numbers: key tick, then (tick, number, checksum) of the frames behind it.

        The plan is empty where counting from the start decodes fewer frames. With key frames 0, 12, 24, 36 and frames
        (13, 14, 37) wanted, seeking decodes 3 + 2 frames and two seeks, counting 38.
        """
        keys = np.asarray(self.keys, np.int64)
        if not self.ticks or not len(keys) or index[0] < keys[0]:
            return []
        runs: dict[int, list[int]] = {}
        for number in index:
            runs.setdefault(int(keys[np.searchsorted(keys, number, side="right") - 1]), []).append(number)
        cost = sum(run[-1] - key + 1 + SEEK_COST_FRAMES for key, run in runs.items())
        if cost >= index[-1] + 1:
            return []
        return [(self.ticks[key], [(self.ticks[number], number, self.checks[number]) for number in run]) for key, run in runs.items()]


class FileReader(FrameReader):
    """Reads from a video, an archive or a folder of pictures through the child process; the latest reads are kept.

    Args:
        source: where the bytes are.
        job: what the child is told about them.
        size_wh: width and height of the clip.
        limits: what one read may cost.
        timeline: how to find frames by seeking.
    """

    def __init__(
        self,
        source: Source,
        job: Mapping[str, Any],
        size_wh: tuple[int, int],
        limits: Limits,
        timeline: Timeline,
    ) -> None:
        self._source, self._job, self._size_wh, self._limits, self._timeline = source, job, size_wh, limits, timeline
        self._kept: OrderedDict[ReadKey, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, index: Sequence[int], size_wh: tuple[int, int] | None = None, how: Resize = "area") -> NDArray[np.uint8]:
        """Read frames; see :meth:`FrameReader.read`."""
        size_wh = size_wh or self._size_wh
        check_read(len(index), size_wh, self._source.name, self._limits)
        if not index:
            return np.empty((0, size_wh[1], size_wh[0], 3), np.uint8)
        wanted = sorted(set(index))
        key = tuple(wanted), size_wh, how
        frames = self._recall(key)
        if frames is None:
            frames = self._decode(wanted, size_wh, how)
            self._keep(key, frames)
        return frames[np.searchsorted(wanted, index)]

    def _decode(self, wanted: list[int], size_wh: tuple[int, int], how: Resize) -> NDArray[np.uint8]:
        job = {**self._job, "task": "read", "index": wanted, "size_wh": self._size_wh, "out_wh": size_wh, "how": how}
        job["seeks"] = self._timeline.seeks(wanted)
        with self._source.open() as descriptor, run_child(self._source.name, self._limits, job, descriptor, Answer) as outcome:
            return outcome.pixels(len(wanted), size_wh)

    def _recall(self, key: ReadKey) -> NDArray[np.uint8] | None:
        with self._lock:
            frames = self._kept.get(key)
            if frames is not None:
                self._kept.move_to_end(key)
            return frames

    def _keep(self, key: ReadKey, frames: NDArray[np.uint8]) -> None:
        with self._lock:
            self._kept[key] = frames
            while sum(entry.nbytes for entry in self._kept.values()) > self._limits.cache_bytes:
                self._kept.popitem(last=False)


def check_read(count: int, size_wh: tuple[int, int], name: str, limits: Limits) -> None:
    """Refuse a read that hands out too many bytes.

    Raises:
        ClipError: too large.
    """
    if count * size_wh[0] * size_wh[1] * 3 > limits.read_bytes:
        raise messages.refusal(name, "too_large_read", **numbers(limits))
