"""A figure as data: panels, layers, keys and limits. No plotting library is known here.

Positions are in panel pixels (x right, y down; pixel indices name pixel centres), limits are explicit and never
"auto", and a layer says what it shows by its ``role``: the theme decides the colour and the line style of a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts import Provenance, Record

Role = Literal[
    "frame", "active", "filtered", "proposal", "query", "truth", "region", "peak", "neutral",
    "region_1", "region_2", "region_3", "region_4", "border",
]  # fmt: skip
"""What a mark stands for. ``active``: red solid; ``filtered``: blue dashed; ``proposal``: grey solid (no module decided); ``peak``: the
largest value of a map, white with a dark casing; ``region_1`` to ``region_4``: red, yellow, white and cyan with a black casing, for
parts of a picture, beside a marker of each part's own; ``border``: dashed, between such parts."""

Marker = Literal["cross", "plus", "star", "fork", "circle", "square", "dot"]
"""Shape of a mark: crosses of four arms (diagonal, upright), of six and of three, or outlines; a dot is filled."""

ColorMap = Literal["inferno", "viridis", "cividis", "gray", "diverging", "wheel"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageLayer(Record):
    """A picture that fills its panel."""

    pixels: NDArray[np.uint8]
    """[H, W, 3]"""
    name: str = "frame"
    """Shown in the layer list."""

    def __post_init__(self) -> None:
        """Check the shape."""
        self._expect("pixels", ("H", "W", 3), {}, "uint8")


@dataclass(frozen=True, eq=False, repr=False)
class HeatLayer(Record):
    """Values on a grid of cells, coloured between explicit limits and laid over the picture."""

    values: NDArray[np.float32]
    """[h, w] one value per cell, in ``unit``; NaN where nothing is known (drawn as nothing)."""
    origin_px: float
    """Panel pixel of the centre of cell 0."""
    stride_px: float
    """Panel pixels between neighbouring cells."""
    limits: tuple[float, float]
    """Values of the first and of the last colour; shared by all panels that are compared."""
    name: str
    """Shown in the layer list and on the colour bar."""
    unit: str = ""
    """Unit of the values."""
    colors: ColorMap = "inferno"
    """Colour map."""
    opacity: float = 0.5
    """0 hides the layer, 1 hides the picture."""
    smooth: bool = True
    """Interpolate bilinearly between cell centres; False shows the cells."""
    shown: bool = True
    """False: left out until a reader asks for it, as another map lies in its place."""

    def __post_init__(self) -> None:
        """Check shape and limits."""
        self._expect("values", ("h", "w"), {}, "float32")
        low, high = self.limits
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"HeatLayer.limits: expected finite low < high, got {self.limits}.")


@dataclass(frozen=True, eq=False, repr=False)
class MotionLayer(Record):
    """Displacements on a grid of cells: hue from direction, saturation from length, faded by confidence.

    Vectors and confidence are interpolated to the panel's pixels and coloured after that, never the other way round.
    """

    vectors: NDArray[np.float32]
    """[h, w, 2] (x, y) in ``unit``; NaN where nothing is known (drawn as the backdrop)."""
    confidence: NDArray[np.float32]
    """[h, w] in 0..1: share of the wheel's colour; the rest is the backdrop."""
    origin_px: float
    """Panel pixel of the centre of cell 0."""
    stride_px: float
    """Panel pixels between neighbouring cells."""
    max_magnitude: float
    """Length of full colour; shared by all panels of one key."""
    name: str = "motion"
    """Shown in the layer list."""
    unit: str = "px per frame"
    """Unit of the vectors."""
    backdrop: Literal["white", "picture"] = "white"
    """What shows where the confidence is low: white paper, or the layers below."""
    opacity: float = 1.0
    """0 hides the layer."""
    smooth: bool = True
    """Interpolate bilinearly between cell centres; False shows the cells."""

    def __post_init__(self) -> None:
        """Check shapes and the length of full colour."""
        sizes: dict[str, int] = {}
        self._expect("vectors", ("h", "w", 2), sizes, "float32")
        self._expect("confidence", ("h", "w"), sizes, "float32")
        if not (np.isfinite(self.max_magnitude) and self.max_magnitude > 0):
            raise ValueError(f"MotionLayer.max_magnitude: expected a positive number, got {self.max_magnitude}.")


@dataclass(frozen=True, eq=False, repr=False)
class PolygonLayer(Record):
    """Filled outlines in one panel, such as the petals of a polar histogram."""

    outlines: tuple[NDArray[np.float64], ...]
    """[N, 2] panel pixels each; closed by themselves."""
    role: Role
    """What they stand for."""
    label: tuple[str, ...] = ()
    """One text on hover for each outline, or empty."""
    filled: bool = True
    """False draws the lines alone (axes, rings)."""
    name: str = "outlines"
    """Shown in the layer list."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        if any(outline.ndim != 2 or outline.shape[1] != 2 for outline in self.outlines):
            raise ValueError("PolygonLayer.outlines: expected arrays [N, 2].")
        if self.label and len(self.label) != len(self.outlines):
            raise ValueError(f"PolygonLayer.label: expected {len(self.outlines)} texts, got {len(self.label)}.")


@dataclass(frozen=True, eq=False, repr=False)
class PointLayer(Record):
    """Marks at points of one panel."""

    xy_px: NDArray[np.float64]
    """[N, 2] panel pixels."""
    role: Role
    """What the marks stand for."""
    label: tuple[str, ...] = ()
    """[N] text on hover, or empty."""
    marker: Marker = "circle"
    """Shape of the mark."""
    size_px: float = 6.0
    """Side of the mark in panel pixels."""
    name: str = "points"
    """Shown in the layer list."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        self._expect("xy_px", ("N", 2), sizes, "float64")
        if self.label and len(self.label) != sizes["N"]:
            raise ValueError(f"PointLayer.label: expected {sizes['N']} texts, got {len(self.label)}.")


@dataclass(frozen=True, eq=False, repr=False)
class ArrowLayer(Record):
    """Arrows inside one panel."""

    start_xy_px: NDArray[np.float64]
    """[N, 2] panel pixels."""
    end_xy_px: NDArray[np.float64]
    """[N, 2] panel pixels."""
    role: Role
    """What the arrows stand for."""
    weight: NDArray[np.float32]
    """[N] in 0..1, drawn as opacity."""
    label: tuple[str, ...] = ()
    """[N] text on hover, or empty."""
    head_px: float = 4.0
    """Length of the arrow head in panel pixels; 0 draws plain lines."""
    name: str = "arrows"
    """Shown in the layer list."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        self._expect("start_xy_px", ("N", 2), sizes, "float64")
        self._expect("end_xy_px", ("N", 2), sizes, "float64")
        self._expect("weight", ("N",), sizes, "float32")


Layer = ImageLayer | HeatLayer | MotionLayer | PolygonLayer | PointLayer | ArrowLayer


@dataclass(frozen=True, eq=False, repr=False)
class LinkLayer(Record):
    """Arrows from a point of one panel to a point of another (or of the same) panel."""

    start_panel: NDArray[np.int64]
    """[N] number of the panel the arrow leaves from, in ``FigureSpec.panels``."""
    start_xy_px: NDArray[np.float64]
    """[N, 2] in that panel's pixels."""
    end_panel: NDArray[np.int64]
    """[N] number of the panel the arrow points into."""
    end_xy_px: NDArray[np.float64]
    """[N, 2] in that panel's pixels."""
    role: Role
    """What the arrows stand for; one layer per role, drawn in the order of ``FigureSpec.links`` (later ones on top)."""
    weight: NDArray[np.float32]
    """[N] in 0..1, drawn as opacity."""
    group: NDArray[np.int64]
    """[N] number of the query that the arrow belongs to."""
    label: tuple[str, ...] = ()
    """[N] text on hover, or empty."""
    head_px: float = 4.0
    """Length of the arrow head in panel pixels."""
    name: str = "links"
    """Shown in the layer list."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        self._expect("start_panel", ("N",), sizes, "int64")
        self._expect("start_xy_px", ("N", 2), sizes, "float64")
        self._expect("end_panel", ("N",), sizes, "int64")
        self._expect("end_xy_px", ("N", 2), sizes, "float64")
        self._expect("weight", ("N",), sizes, "float32")
        self._expect("group", ("N",), sizes, "int64")
        if self.label and len(self.label) != sizes["N"]:
            raise ValueError(f"LinkLayer.label: expected {sizes['N']} texts, got {len(self.label)}.")


@dataclass(frozen=True, eq=False, repr=False)
class Panel(Record):
    """One picture of the figure."""

    name: str
    """Stable name of the panel, e.g. ``"frame 3"``."""
    title: str
    """Printed above it."""
    size_wh: tuple[int, int]
    """Width and height in panel pixels."""
    row: int
    """Row in the layout."""
    column: int
    """Column in the layout."""
    layers: tuple[Layer, ...]
    """Drawn in this order."""
    frame: int | None = None
    """Which sampled frame it shows, if it shows one (the player links panels by it)."""
    view: str = "frames"
    """Panels of one view play as one film; where a figure has several, frames and views stand by ``row`` and ``column``."""
    row_title: str = ""
    """A few letters to the left of it, for the first panel of a row: the rows' headings of a grid."""
    pair: str = ""
    """Panels of one frame with the same word here show the same of two runs, and their difference: the player shows them together."""
    side: str = ""
    """Name of the one of several results that it is of; empty where there is one, or where it shows what all have."""


@dataclass(frozen=True)
class ColorBarKey:
    """A colour bar."""

    label: str
    """What the values are, with unit."""
    limits: tuple[float, float]
    """Values at its ends."""
    colors: ColorMap
    """Colour map."""
    note: str = ""
    """The normalisation rule, e.g. ``"shared by all frames"``."""
    layer: str = ""
    """Name of the layers that it belongs to; empty where that is its label."""


@dataclass(frozen=True)
class WheelKey:
    """A colour wheel for directions."""

    label: str
    """What the directions are."""
    max_px: float
    """Length of full colour, in pixels per frame."""
    layer: str = ""
    """Name of the layers that it belongs to; empty where that is its label."""


@dataclass(frozen=True)
class LegendKey:
    """A legend of roles."""

    entries: tuple[tuple[Role, str], ...]
    """(role, text) in the order shown."""
    kind: Literal["arrow", "point", "line"] = "arrow"
    """What sample is drawn beside the text."""
    markers: tuple[Marker, ...] = ()
    """Shape of each entry's sample mark; empty for the shape that the role's marks have in the figure."""

    def __post_init__(self) -> None:
        """Check that there is a shape for every entry, or none."""
        if self.markers and len(self.markers) != len(self.entries):
            raise ValueError(f"LegendKey.markers: expected {len(self.entries)} shapes, got {len(self.markers)}.")


Key = ColorBarKey | WheelKey | LegendKey


@dataclass(frozen=True)
class Table:
    """What is drawn, as rows: the CSV export and the text alternative."""

    columns: tuple[str, ...]
    """Column names; units in the name."""
    rows: tuple[tuple[str | int | float | bool, ...], ...]
    """One tuple per row."""

    def __post_init__(self) -> None:
        """Check that every row is complete."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"Table.rows: expected {len(self.columns)} cells, got {len(row)}.")


@dataclass(frozen=True, eq=False, repr=False)
class FigureSpec(Record):
    """A whole figure, ready for the screen, for print and for animation."""

    title: str
    """One line above the figure."""
    caption: str
    """What is drawn, with layer, rule, limits and frame numbers; ready for a paper."""
    alt: str
    """Text alternative: what a reader who cannot see it should know."""
    panels: tuple[Panel, ...]
    """The pictures."""
    links: tuple[LinkLayer, ...] = ()
    """Arrows across panels, drawn in this order."""
    keys: tuple[Key, ...] = ()
    """Colour bars, wheels and legends."""
    notes: tuple[str, ...] = ()
    """Sentences printed under the figure ("identity module: nothing to show")."""
    provenance: Provenance | None = None
    """What it was made from."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The record behind the figure: the NPZ export."""
    table: Table | None = None
    """What is drawn, as rows: the CSV export."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How to make the figure again: the JSON export."""

    def __post_init__(self) -> None:
        """Check that every link names a panel."""
        for link in self.links:
            for ends in (link.start_panel, link.end_panel):
                if len(ends) and not (ends.min() >= 0 and ends.max() < len(self.panels)):
                    raise ValueError(f"FigureSpec.links: a link names a panel outside 0..{len(self.panels) - 1}.")
