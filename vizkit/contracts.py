"""The records that cross layers: where computing and drawing meet.

Conventions, said once and kept everywhere:

* arrays are indexed (t, y, x); points and displacements are stored (x, y), x right, y down;
* a displacement at (t, i) with frame offset o points to the match in frame t + o;
* cell i of a grid has its centre at pixel index ``origin_px + i * stride_px``; pixel indices name pixel centres;
* pictures are RGB uint8.

Records are frozen, check their shapes when made and print shapes, never contents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vizkit.errors import SettingError

if TYPE_CHECKING:
    import torch

PREVIEW_SHORT_SIDE_PX = 256
PREVIEW_FRAMES = 512


# --------------------------------------------------------------------------------------------- building blocks


def _shown(value: object) -> str:
    """Describe a field without its contents."""
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return f"{str(value.dtype).replace('torch.', '')}[{', '.join(map(str, shape))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items()) + "}"
    if callable(value):
        return f"<{getattr(value, '__name__', type(value).__name__)}>"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Record:
    """Base of the records: a repr that shows shapes, and one way to check them."""

    def __repr__(self) -> str:
        """Show every field; arrays as dtype and shape."""
        shown = (f"{entry.name}={_shown(getattr(self, entry.name))}" for entry in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _expect(self, name: str, shape: Sequence[int | str], sizes: dict[str, int], dtype: str | None = None) -> None:
        """Check one array field against a shape such as ``("T", "H", "W", 3)``.

        Letters are bound in ``sizes`` the first time they are met and must agree afterwards.

        Raises:
            ValueError: the field has another number of axes, another size or another kind of dtype.
        """
        array = getattr(self, name)
        got = tuple(int(side) for side in array.shape)
        wanted = f"{type(self).__name__}.{name}: expected [{', '.join(map(str, shape))}]"
        if len(got) != len(shape):
            raise ValueError(f"{wanted}, got shape {list(got)}.")
        for axis, side in zip(shape, got, strict=True):
            expected = axis if isinstance(axis, int) else sizes.setdefault(axis, side)
            if side != expected:
                raise ValueError(f"{wanted} with {axis}={expected}, got shape {list(got)}.")
        kind = str(array.dtype).replace("torch.", "")
        if dtype is not None and not kind.startswith(dtype):
            raise ValueError(f"{wanted} of {dtype}, got {kind}.")


class Settings(BaseModel):
    """Base of everything a user sets: frozen, validated, JSON in and out, one way to say what is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def known(cls) -> str:
        """List the fields with their ranges, in one line."""
        return "; ".join(f"{name} ({_range_of(schema)})" for name, schema in cls.model_json_schema().get("properties", {}).items())

    @classmethod
    def parse(cls, **values: Any) -> Self:
        """Build the settings; text such as ``"8"`` is read as the field's type.

        Raises:
            SettingError: an unknown field or a value outside its range; the message lists the known ones.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            what = "is not known" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
            raise SettingError(f"Setting {name!r}: {what}. Known: {cls.known()}.") from error


def _range_of(schema: Mapping[str, Any]) -> str:
    """Say in words what one JSON-schema entry allows."""
    if "anyOf" in schema:
        return " or ".join(_range_of(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = {"null": "none", "array": "list"}.get(str(schema.get("type", "value")), str(schema.get("type", "value")))
    if low is None and high is None:
        return kind
    return f"{kind} {low if low is not None else ''}..{high if high is not None else ''}"


# --------------------------------------------------------------------------------------------- clips


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
    """Step between the frames of a run, in source frames (both schemes)."""
    start_s: float = Field(0.0, ge=0)
    """Start of the window, seconds from the first frame."""
    end_s: float | None = Field(None, gt=0)
    """End of the window in seconds, ``None`` for the end of the clip."""
    short_side_px: int = Field(112, ge=16, le=1024)
    """Frames are resized so that their short side has this many pixels."""
    crop_px: int | None = Field(112, ge=16, le=1024)
    """Side of the centred square crop after the resize, ``None`` for the whole frame."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s}) must lie after start_s ({self.start_s})")
        if self.crop_px is not None and self.crop_px > self.short_side_px:
            raise ValueError(f"crop_px ({self.crop_px}) must not be larger than short_side_px ({self.short_side_px})")
        return self

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
    def tensor(self) -> torch.Tensor:
        """float32 [1, 3, T, H, W] in [0, 1]; a network normalises it by its own mean and std."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.frames)).permute(3, 0, 1, 2)[None].float() / 255


# --------------------------------------------------------------------------------------------- networks


@dataclass(frozen=True)
class Stage:
    """One stage of a backbone and its geometry."""

    name: str
    """``"res2"`` .. ``"res5"``, by position."""
    path: str
    """Module path whose output is the stage's feature map."""
    channels: int
    """Channels of the feature map."""
    stride_px: float
    """Model pixels between neighbouring cells."""
    stride_frames: int
    """Sampled frames between neighbouring time steps."""
    origin_px: float
    """Pixel index of the centre of cell 0."""

    def grid(self, shape: Sequence[int]) -> Grid:
        """Give this stage's geometry to a map of shape (T, H, W)."""
        frames, height, width = (int(side) for side in shape)
        return Grid(self.name, self.origin_px, self.stride_px, self.stride_frames, (frames, height, width))


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie: the centre of cell i is at ``origin_px + i * stride_px``, along x and y alike."""

    stage: str
    """Name of the stage."""
    origin_px: float
    """Pixel index of the centre of cell 0."""
    stride_px: float
    """Model pixels between neighbouring cells."""
    stride_frames: int
    """Sampled frames between neighbouring time steps."""
    shape: tuple[int, int, int]
    """(T, H, W) in cells."""

    def centre_px(self, cells_xy: NDArray[Any]) -> NDArray[np.float64]:
        """Pixel position of cell centres ``[..., 2]`` (x, y)."""
        return self.origin_px + np.asarray(cells_xy, np.float64) * self.stride_px

    def cell_at(self, xy_px: NDArray[Any]) -> NDArray[np.int64]:
        """Nearest cell (x, y) of points ``[..., 2]`` in model pixels, clipped to the grid."""
        nearest = np.rint((np.asarray(xy_px, np.float64) - self.origin_px) / self.stride_px).astype(np.int64)
        return np.clip(nearest, 0, np.array([self.shape[2] - 1, self.shape[1] - 1]))


@dataclass(frozen=True)
class Block:
    """One motion module that was inserted into a backbone."""

    name: str
    """``"res3.0"``: stage and position of the residual block that carries it."""
    path: str
    """Module path in the network."""
    stage: str
    """Name of the stage whose grid its input has."""


@dataclass(frozen=True, eq=False, repr=False)
class Tap(Record):
    """What went into and came out of one inserted block, or of one stage (then both are the stage's output)."""

    stage: Stage
    """The stage whose grid the maps have."""
    before: torch.Tensor
    """float32 [C, T, H, W], no graph."""
    after: torch.Tensor
    """float32 [C, T, H, W], no graph."""

    def __post_init__(self) -> None:
        """Check the number of axes."""
        sizes: dict[str, int] = {}
        self._expect("before", ("C", "T", "H", "W"), sizes)


@dataclass(frozen=True)
class LabelScore:
    """One row of a prediction."""

    label: str
    """Name of the class."""
    index: int
    """Number of the class."""
    probability: float
    """Softmax of the logits."""
    logit: float
    """The logit itself."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Record):
    """The logits of one clip."""

    logits: NDArray[np.float32]
    """[classes]"""
    labels: tuple[str, ...]
    """[classes] names."""

    def __post_init__(self) -> None:
        """Check that there is a name for every logit."""
        self._expect("logits", (len(self.labels),), {}, "float32")

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """[classes] softmax of the logits."""
        shifted = np.exp(self.logits.astype(np.float64) - float(self.logits.max()))
        return shifted / shifted.sum()

    def top(self, k: int = 5) -> tuple[LabelScore, ...]:
        """The ``k`` most probable labels, best first; ties in the order of the labels."""
        probabilities = self.probabilities
        order = np.argsort(-probabilities, kind="stable")[:k]
        return tuple(LabelScore(self.labels[i], int(i), float(probabilities[i]), float(self.logits[i])) for i in order)


@dataclass(frozen=True, repr=False)
class Provenance(Record):
    """What a result was made from; printed under a figure when the weights are random."""

    clip: str
    """Name of the clip."""
    clip_digest: str
    """SHA-256 of the clip."""
    sampling: Mapping[str, Any]
    """The sampling's fields."""
    model: str
    """Name that the network was loaded by."""
    architecture: str
    """Name of the architecture."""
    model_digest: str
    """SHA-256 over the weights."""
    origin: str
    """``"trained"``, ``"converted"``, ``"published"`` or ``"random"``."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What the network was loaded with besides its name (seed and options of random weights)."""
    without: tuple[str, ...] = ()
    """Blocks that were switched off."""
    view: str = ""
    """Name of the view, once one has been computed."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The view's parameters."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of vizkit and torch."""
    threads: int = 0
    """Intra-op threads that computed it."""

    def json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)


class ViewResult(Protocol):
    """What every view's record offers to the command line, the exports and the pages."""

    params: Settings
    """The parameters it was computed with."""
    grid: Grid
    """Where its cells lie."""
    provenance: Provenance
    """What it was made from."""
    notes: tuple[str, ...]
    """Sentences a reader must know ("identity module: ...")."""
    shapes: tuple[tuple[str, str], ...]
    """The strip frame -> features -> operator -> picture: (word, shape) with this run's shapes."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The record's arrays by name: the NPZ export."""

    def summary(self) -> dict[str, float | int | str | bool]:
        """A few numbers that say what was found."""


# --------------------------------------------------------------------------------------------- the catalogue's view of a paper


@dataclass(frozen=True)
class Citation:
    """Where a module comes from."""

    title: str
    authors: str
    venue: str
    year: int

    def bibtex(self, key: str) -> str:
        """A BibTeX entry."""
        return (
            f"@inproceedings{{{key},\n  title = {{{self.title}}},\n  author = {{{self.authors}}},\n"
            f"  booktitle = {{{self.venue}}},\n  year = {{{self.year}}}\n}}\n"
        )


@dataclass(frozen=True)
class MotionModule:
    """What the catalogue, the command line, the pages and the scores need of a paper.

    Functions are named as ``"module.path:function"`` and imported on first use, so that listing the catalogue loads no torch.
    """

    key: str
    """Name of the view, e.g. ``"cpnet"``."""
    title: str
    """Short title for people."""
    citation: Citation
    """The paper."""
    params: str
    """The view's :class:`Settings` class."""
    architectures: str
    """``() -> tuple[Architecture, ...]``: the named networks."""
    analyze: str
    """``(run, params) -> record``."""
    figure: str
    """``(record, **look) -> FigureSpec``."""
    unavailable: str
    """``(network) -> str | None``: why the view cannot be had of a network."""
    score: str
    """``(network, *, clips, seed) -> dict[str, Score]``: measures over clips of known motion."""
    judge: str
    """``(record, truth) -> dict[str, float]``: the same measures for one picture whose truth is known."""
    how_to_read: str
    """One sentence: how to read this picture."""


@dataclass(frozen=True)
class Score:
    """One measure against known motion."""

    value: float
    """The measured share or error."""
    interval: tuple[float, float]
    """95 % interval."""
    n: int
    """Number of things counted."""
