"""Starts the decoder's child process, watches it, and believes nothing that it says without a check."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Annotated, Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from vizkit import fenced
from vizkit.clip import messages
from vizkit.clip.limits import Limits

ANSWER_BYTES = 16_000_000

logger = logging.getLogger(__name__)

Size = tuple[PositiveInt, PositiveInt]
Tick = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class Answer(BaseModel):
    """What the child says; every field is checked, none is trusted."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str = Field("", max_length=40)
    number: NonNegativeInt = 0


class ScanAnswer(Answer):
    """What the first pass over a clip found."""

    codec: str = Field(pattern=r"^[a-z0-9_]{1,20}$")
    container: str = Field(pattern=r"^[a-z0-9_]{1,20}$")
    size_wh: Size
    ticks: list[Tick | None] = Field(min_length=1)
    """Time stamp of every frame."""
    presented: bool = True
    """Whether these are the presentation times as the file has them."""
    clock: bool = True
    """Whether the clock of the file moves on; the ticks are counted frames where it does not."""
    tick_s: tuple[NonNegativeInt, PositiveInt]
    """Seconds of one tick, as numerator and denominator."""
    rate: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Frames per second by the file's own account, 0 if unknown."""
    keys: list[NonNegativeInt] = []
    """Numbers of the key frames."""
    checks: list[NonNegativeInt] = []
    """Checksum of every frame."""
    corrupt: NonNegativeInt = 0
    interlaced: NonNegativeInt = 0
    complaints: NonNegativeInt = 0
    declared: NonNegativeInt = 0
    """Number of frames by the file's own account, 0 if unknown."""
    declared_s: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Duration by the file's own account, 0 if unknown."""
    streams: PositiveInt = 1
    sizes: PositiveInt = 1
    cut: bool = False
    rotation: int = Field(0, ge=-180, le=180)
    transfer: NonNegativeInt = 0
    pixel_aspect: float = Field(1.0, gt=0, allow_inf_nan=False)
    digest: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    preview_wh: Size
    preview_index: list[NonNegativeInt] = Field(min_length=1)

    @model_validator(mode="after")
    def _within(self) -> Self:
        for found in (self.keys, self.preview_index):
            if sorted(set(found)) != found or (found and found[-1] >= len(self.ticks)):
                raise ValueError("frame numbers must ascend within the clip")
        return self


Kind = TypeVar("Kind", bound=Answer)


def command() -> list[str]:
    """The decoder's command line."""
    return fenced.command("vizkit.clip.child.work")


@dataclass(frozen=True)
class Outcome(Generic[Kind]):
    """What a run of the child left."""

    name: str
    """Shown name of the clip."""
    answer: Kind
    """Its checked answer."""
    written: IO[bytes]
    """The pixels, unchecked; use :meth:`pixels`."""

    def pixels(self, count: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        """The pixels that the child wrote.

        Args:
            count: how many frames there must be.
            size_wh: their width and height.

        Returns:
            uint8 [count, height, width, 3].

        Raises:
            ClipError: the child wrote more or less than that.
        """
        expected, got = count * size_wh[0] * size_wh[1] * 3, os.fstat(self.written.fileno()).st_size
        if got != expected:
            logger.error("decoder child wrote %d bytes instead of %d", got, expected)
            raise messages.refusal(self.name, "crashed")
        self.written.seek(0)
        return np.fromfile(self.written, np.uint8).reshape(count, size_wh[1], size_wh[0], 3)


@contextlib.contextmanager
def run_child(name: str, limits: Limits, job: dict[str, Any], source: int | None, kind: type[Kind]) -> Iterator[Outcome[Kind]]:
    """Run one task in a child process of its own; the pixels can be fetched inside the ``with`` block.

    Args:
        name: shown name of the clip, for messages.
        limits: what the run may cost.
        job: what the child is told, as JSON.
        source: descriptor of the clip, if it is one file.
        kind: what the answer must be.

    Raises:
        ClipError: the clip is not taken, or the child broke down.
    """
    with tempfile.TemporaryFile(prefix="vizkit-") as answer, tempfile.TemporaryFile(prefix="vizkit-") as pixels:
        told = {"limits": limits.model_dump(), "source": source, "answer": answer.fileno(), "pixels": pixels.fileno()}
        passed = [descriptor for descriptor in (source, answer.fileno(), pixels.fileno()) if descriptor is not None]
        try:
            fenced.run(command(), job | told, passed, limits.wall_s)
        except fenced.Broken as broken:
            raise messages.refusal(name, broken.reason, **numbers(limits)) from None
        said = os.pread(answer.fileno(), ANSWER_BYTES, 0)
        refused = _parse(name, said, Answer)
        if refused.reason:
            reason = refused.reason if refused.reason in messages.REFUSALS else "crashed"
            raise messages.refusal(name, reason, number=refused.number, **numbers(limits))
        yield Outcome(name, _parse(name, said, kind), pixels)


def _parse(name: str, said: bytes, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(said)
    except ValidationError:
        logger.exception("decoder child gave a strange answer")
        raise messages.refusal(name, "crashed") from None


def numbers(limits: Limits) -> dict[str, float]:
    """The limits as messages mention them."""
    return {
        "wall_s": limits.wall_s,
        "side_px": limits.side_px,
        "side_min_px": limits.side_min_px,
        "frame_mpx": limits.frame_px // 1_000_000,
        "file_mb": limits.file_bytes // 1_000_000,
        "memory_mb": limits.memory_bytes // 1_000_000,
        "read_mb": limits.read_bytes // 1_000_000,
    }
