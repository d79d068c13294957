"""Stages, grids, taps, predictions and where results come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts.base import Record
from vizkit.errors import SettingError

if TYPE_CHECKING:
    import torch

Axes = Literal["BCTHW", "FCHW", "BTHWC", "BNC"]
"""Order of a stage's output: clip, frames folded into the batch, channels last, or tokens (class token first) beside their (T, H, W)."""


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
    axes: Axes = "BCTHW"
    """Order of the axes of the module's output; taps are always [C, T, H, W]."""

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


@dataclass(frozen=True, eq=False, repr=False)
class ReceptiveField(Record):
    """What the cells of a map look at.

    Cell (x, y) sees the columns and rows from ``first_xy_px`` to ``last_xy_px``, both plus ``stride_px`` times (x, y) and both
    included. What lies outside the clip is padding.
    """

    place: str
    """Name of the stage, or of the block whose input it is."""
    first_xy_px: tuple[float, float]
    """First column and row that cell (0, 0) looks at."""
    last_xy_px: tuple[float, float]
    """Last column and row that cell (0, 0) looks at."""
    stride_px: float
    """Model pixels from one cell's field to the next one's."""
    frames: NDArray[np.int64]
    """[T, 2] first and last sampled frame that each time step looks at."""

    def __post_init__(self) -> None:
        """Check the shape."""
        self._expect("frames", ("T", 2), {}, "int64")

    @property
    def size_wh(self) -> tuple[float, float]:
        """Width and height of a field in model pixels, padding included."""
        return self.last_xy_px[0] - self.first_xy_px[0] + 1, self.last_xy_px[1] - self.first_xy_px[1] + 1

    def box_px(self, cell_xy: NDArray[Any]) -> NDArray[np.float64]:
        """First and last column and row (x, y, x, y) ``[..., 4]`` of the fields of cells ``[..., 2]``."""
        shift = np.asarray(cell_xy, np.float64) * self.stride_px
        return np.concatenate([shift + self.first_xy_px, shift + self.last_xy_px], axis=-1)


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
    """float32 [C, T, H, W], no graph; the map itself where the block gives a vector and leaves it as it is."""

    def __post_init__(self) -> None:
        """Check the number of axes."""
        sizes: dict[str, int] = {}
        self._expect("before", ("C", "T", "H", "W"), sizes)


@dataclass(frozen=True, eq=False, repr=False)
class AttentionVolume(Record):
    """Where the features of a stage speak for a label: raw values, comparable within one map only."""

    values: NDArray[np.float32]
    """[T, H, W] at or above zero, not rescaled."""
    signed: NDArray[np.float32]
    """[T, H, W] the same before negative values are cut off: what speaks against the label."""
    target: int
    """Number of the label."""
    label: str
    """Its name."""
    stage: str
    """Name of the stage."""
    method: str
    """Name of the method, see :data:`vizkit.net.attention.METHODS`."""
    grid: Grid
    """Where the cells lie."""
    zero_because: str = ""
    """One sentence where no value is above zero."""
    undefined_cells: int = 0
    """Cells that the method's formula gives no number for; they are zero here."""

    def __post_init__(self) -> None:
        """Check the shapes, and that there is a number everywhere."""
        self._expect("values", self.grid.shape, {}, "float32")
        self._expect("signed", self.grid.shape, {}, "float32")
        if not np.isfinite(self.signed).all():
            raise ValueError("AttentionVolume.signed: expected finite numbers.")


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
        """The ``k`` most probable labels, best first; ties in the order of the labels.

        Raises:
            SettingError: k is below 1.
        """
        if k < 1:
            raise SettingError(f"k is {k}, at least 1 is needed.")
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
    """``"trained"``, ``"converted"``, ``"published"``, ``"random"``, or ``"own"`` for a module that was wrapped."""
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
