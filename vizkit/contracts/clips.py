"""Clips and how they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from vizkit.contracts.base import Record, Settings
from vizkit.errors import SettingError

if TYPE_CHECKING:
    import torch

PREVIEW_SHORT_SIDE_PX = 256
PREVIEW_FRAMES = 512

Resize = Literal["area", "torchvision"]
"""How frames are brought to another size, see :func:`vizkit.clip.frames.resize`."""


@dataclass(frozen=True, repr=False)
class ClipWarning(Record):
    """One thing that is odd about a clip that could be read."""

    code: str
    """A short stable word, e.g. ``"vfr"`` or ``"corrupt_frames"``."""
    message: str
    """One sentence for a person."""


@dataclass(frozen=True, eq=False, repr=False)
class VideoClip(Record):
    """A clip whose frames can be read one by one; only a small preview is held in memory."""

    name: str
    """What the user called it; text only, never a path."""
    digest: str
    """SHA-256 of the file's bytes (of shape, dtype, times and pixels for arrays and folders)."""
    size_wh: tuple[int, int]
    """Width and height in source pixels, rotation applied."""
    times_s: NDArray[np.float64]
    """[N] presentation time of every frame, seconds from the first."""
    preview: NDArray[np.uint8]
    """[M, h, w, 3] small frames, short side <= 256 px, M <= 512."""
    preview_index: NDArray[np.int64]
    """[M] which source frame each preview frame is."""
    reader: Callable[[Sequence[int]], NDArray[np.uint8]]
    """Reads source frames at full resolution; use :meth:`read`."""
    codec: str = "array"
    """Name of the codec, or ``"array"`` / ``"images"``."""
    warnings: tuple[ClipWarning, ...] = ()
    """What is odd about the clip."""

    def __post_init__(self) -> None:
        """Check the shapes of the arrays against each other."""
        sizes: dict[str, int] = {}
        self._expect("times_s", ("N",), sizes, "float64")
        self._expect("preview", ("M", "h", "w", 3), sizes, "uint8")
        self._expect("preview_index", ("M",), sizes, "int64")
        if sizes["N"] == 0:
            raise ValueError("VideoClip.times_s: a clip has at least one frame.")

    @property
    def frames(self) -> int:
        """Number of frames in the clip."""
        return len(self.times_s)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last (the last frame lasts as long as the median frame)."""
        if self.frames == 1:
            return 0.0
        return float(self.times_s[-1] - self.times_s[0] + np.median(np.diff(self.times_s)))

    @property
    def fps(self) -> float:
        """Frames per second (0 for one frame)."""
        return self.frames / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def verdict(self) -> Literal["ok", "warn"]:
        """``"warn"`` when something is odd about the clip."""
        return "warn" if self.warnings else "ok"

    def read(self, index: Sequence[int]) -> NDArray[np.uint8]:
        """Read frames at source resolution.

        Args:
            index: frame numbers in 0..N-1, in any order, repeats allowed.

        Returns:
            uint8 [len(index), H, W, 3].

        Raises:
            IndexError: a number outside the clip.
            ClipError: the file can no longer be read.
        """
        outside = [int(number) for number in index if not 0 <= number < self.frames]
        if outside:
            raise IndexError(f"Frame {outside[0]} is outside the clip (0..{self.frames - 1}).")
        return self.reader([int(number) for number in index])


LATER = ("frames_per_second", "resize", "resize_hw", "order")
"""Fields of :class:`Sampling` that its first version did not have."""

SidePx = Annotated[int, Field(ge=16, le=1024)]


class Sampling(Settings):
    """Which frames of a clip a network sees, and how they are resized."""

    scheme: Literal["segments", "dense"] = "segments"
    """``segments``: the window is cut into equal parts, the middle frame(s) of each are taken; ``dense``: every ``interval``-th frame."""
    segments: int = Field(8, ge=1, le=64)
    """Number of parts of the window (scheme ``segments``)."""
    frames_per_segment: int = Field(1, ge=1, le=64)
    """Length of the run of consecutive frames taken from each part (scheme ``segments``)."""
    frames: int = Field(8, ge=1, le=128)
    """Number of frames (scheme ``dense``)."""
    interval: int = Field(1, ge=1, le=64)
    """Step between the frames of a run, in source frames (both schemes); in ticks of ``frames_per_second`` where that is given."""
    frames_per_second: float | None = Field(None, gt=0, le=240)
    """Clock of scheme ``dense``: at every tick the frame nearest in time; ``None`` takes every source frame for a tick."""
    start_s: float = Field(0.0, ge=0)
    """Start of the window, seconds from the first frame."""
    end_s: float | None = Field(None, gt=0)
    """End of the window in seconds, ``None`` for the end of the clip."""
    short_side_px: int = Field(112, ge=16, le=1024)
    """Frames are resized so that their short side has this many pixels."""
    crop_px: int | None = Field(112, ge=16, le=1024)
    """Side of the centred square crop after the resize, ``None`` for the whole frame."""
    resize: Resize = "area"
    """``area``: areas are averaged; ``torchvision``: as its video models were trained, bilinear without smoothing."""
    resize_hw: tuple[SidePx, SidePx] | None = None
    """(height, width) of the resized frames whatever their shape, instead of ``short_side_px``; ``None`` keeps their shape."""
    order: Literal["forward", "reversed", "shuffled", "frozen"] = "forward"
    """How the chosen frames follow each other: as in the clip, backwards, in one fixed random order, or the middle one again and again.
    What a network still says of frozen frames it has not read off motion."""

    @field_validator("resize_hw", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s}) must lie after start_s ({self.start_s})")
        name, side = ("short_side_px", self.short_side_px) if self.resize_hw is None else ("resize_hw", min(self.resize_hw))
        if self.crop_px is not None and self.crop_px > side:
            raise ValueError(f"crop_px ({self.crop_px}) must not be larger than {name} ({side})")
        return self

    @model_serializer(mode="wrap")
    def _since(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults: recipes and digests of what needs none of them stay as they were."""
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if name not in LATER or value != type(self).model_fields[name].default}

    @property
    def total_frames(self) -> int:
        """T, the number of frames that the network sees."""
        return self.segments * self.frames_per_segment if self.scheme == "segments" else self.frames


@dataclass(frozen=True)
class Window:
    """The exact map from model pixels to source pixels: ``source = offset_xy + scale_xy * model``."""

    scale_xy: tuple[float, float]
    """Source pixels per model pixel."""
    offset_xy: tuple[float, float]
    """Source position of the centre of model pixel (0, 0)."""
    size_wh: tuple[int, int]
    """Width and height of the model's frame in model pixels."""

    def to_source(self, xy_px: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Map points ``[..., 2]`` from model to source pixels."""
        return np.asarray(xy_px, np.float64) * np.asarray(self.scale_xy) + np.asarray(self.offset_xy)

    def to_model(self, xy_source_px: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Map points ``[..., 2]`` from source to model pixels."""
        return (np.asarray(xy_source_px, np.float64) - np.asarray(self.offset_xy)) / np.asarray(self.scale_xy)


COPIES = "Some of the sampled frames are copies of others"
"""How every view begins the note on repeated frames, before it says what that means for its picture."""
FAR_APART_S = 0.25
"""Between frames further apart than this most things move further than networks compare: hands and balls pass the reach of res4 in less."""


@dataclass(frozen=True, eq=False, repr=False)
class SampledClip(Record):
    """The frames that a network sees."""

    name: str
    """Name of the clip."""
    digest: str
    """Digest of the clip."""
    sampling: Sampling
    """How the frames were chosen."""
    frames: NDArray[np.uint8]
    """[T, H, W, 3] as the model saw them, before normalisation."""
    index: NDArray[np.int64]
    """[T] source frame numbers."""
    times_s: NDArray[np.float64]
    """[T] their times in seconds."""
    window: Window
    """Model pixels to source pixels."""
    warnings: tuple[ClipWarning, ...] = ()
    """Warnings of the clip and of the sampling (frames repeated in a short clip, for instance)."""

    def __post_init__(self) -> None:
        """Check the shapes of the arrays against each other."""
        sizes: dict[str, int] = {}
        self._expect("frames", ("T", "H", "W", 3), sizes, "uint8")
        self._expect("index", ("T",), sizes, "int64")
        self._expect("times_s", ("T",), sizes, "float64")

    @property
    def repeats(self) -> bool:
        """Whether a source frame stands there more than once."""
        return len(np.unique(self.index)) < len(self.index)

    @property
    def step_s(self) -> float:
        """Median time between neighbouring frames, whichever comes first; 0 of a single frame."""
        return float(np.median(np.abs(np.diff(self.times_s)))) if len(self.times_s) > 1 else 0.0

    def check_point(self, t: int, x: float, y: float) -> None:
        """Refuse a point (sampled frame, model pixels) outside the frames.

        Raises:
            SettingError: the message says what lies inside.
        """
        frames, height, width, _ = self.frames.shape
        if not (0 <= t < frames and -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            inside = f"t 0..{frames - 1}, x 0..{width - 1}, y 0..{height - 1}"
            raise SettingError(f"Point t={t}, x={x:g}, y={y:g} lies outside the clip: {inside}.", code="point")

    @property
    def tensor(self) -> torch.Tensor:
        """float32 [1, 3, T, H, W] in [0, 1]; a network normalises it by its own mean and std."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.frames)).permute(3, 0, 1, 2)[None].float() / 255


@dataclass(frozen=True, eq=False, repr=False)
class LabelledClips(Record):
    """A batch of clips that networks are trained and measured on."""

    frames: torch.Tensor
    """uint8 [B, T, 3, S, S] RGB"""
    labels: torch.Tensor
    """int64 [B]"""

    def __post_init__(self) -> None:
        """Check that there is a label for every clip."""
        sizes: dict[str, int] = {}
        self._expect("frames", ("B", "T", 3, "S", "S"), sizes, "uint8")
        self._expect("labels", ("B",), sizes, "int64")

    def take(self, rows: slice) -> Self:
        """Some of the clips."""
        return replace(self, frames=self.frames[rows], labels=self.labels[rows])

    def to(self, device: torch.device) -> Self:
        """The clips on another device."""
        return replace(self, frames=self.frames.to(device), labels=self.labels.to(device))
