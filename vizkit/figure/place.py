"""Where things go: panels on the page, cells on pixels, arrows between panels. Plain geometry in NumPy.

A page is measured in units of the caller's choice (inches in print, pixels on the screen), x right, y down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts import Record
from vizkit.figure.spec import ArrowLayer, HeatLayer, LinkLayer, MotionLayer, Panel

Points = NDArray[np.float64]

BOW = (0.10, 0.055)
"""Height of a link's arc: a share of the panel's width and a share of the arc's length, so that long arcs pass over short ones."""

HEAD_WIDTH = 0.9
"""Width of an arrow head over its length."""

GAP_SHARE = 0.1
"""Gaps between panels take at most this share of a column, so that a grid of many panels is not mostly gaps."""


# --------------------------------------------------------------------------------------------- cells on pixels


def heat_on_pixels(layer: HeatLayer, size_wh: tuple[int, int], out_wh: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Resize a layer's cells to the pixels of its panel; cell i is centred on panel pixel ``origin_px + i * stride_px``.

    Between centres the values are interpolated bilinearly (``smooth``) or taken from the nearest cell; beyond the outermost
    centres they stay constant. Unknown (NaN) cells are left out of the interpolation, and pixels nearest to them are NaN.

    Args:
        layer: the cells.
        size_wh: the panel's size in panel pixels.
        out_wh: size of the result in its own pixels, ``size_wh`` unless given; both cover the same area.

    Returns:
        float32 [height, width].
    """
    return _on_pixels(layer, layer.values[..., None], size_wh, out_wh or size_wh)[..., 0]


def motion_on_pixels(
    layer: MotionLayer, size_wh: tuple[int, int], out_wh: tuple[int, int] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Resize a layer's vectors and confidence to the pixels of its panel, by the rules of :func:`heat_on_pixels`.

    Returns:
        float32 [height, width, 2] vectors and float32 [height, width] confidence; both are NaN where nothing is known.
    """
    planes = np.concatenate([layer.vectors, layer.confidence[..., None]], axis=-1)
    pixels = _on_pixels(layer, planes, size_wh, out_wh or size_wh)
    return pixels[..., :2], pixels[..., 2]


def _on_pixels(
    layer: HeatLayer | MotionLayer, planes: NDArray[np.float32], size_wh: tuple[int, int], out_wh: tuple[int, int]
) -> NDArray[np.float32]:
    """Resize ``planes`` [h, w, n]; a cell is unknown when one of its planes is NaN."""
    rows, columns = (_cell_positions(layer, size_wh[axis], out_wh[axis], planes.shape[1 - axis]) for axis in (1, 0))
    known = ~np.isnan(planes.sum(axis=-1, keepdims=True))  # [h, w, 1]
    cells = np.where(known, planes, np.float32(np.nan))
    nearest = cells[np.floor(rows + 0.5).astype(np.int64)[:, None], np.floor(columns + 0.5).astype(np.int64)]
    if not layer.smooth:
        return nearest
    total = _bilinear(np.where(known, planes, np.float32(0)), rows, columns)
    share = _bilinear(known.astype(np.float64), rows, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isnan(nearest), np.nan, total / share).astype(np.float32)


def _cell_positions(layer: HeatLayer | MotionLayer, panel_px: int, out_px: int, cells: int) -> NDArray[np.float64]:
    """[out_px] position of each output pixel in cells along one axis, clipped to the outermost centres."""
    panel = (np.arange(out_px) + 0.5) * panel_px / out_px - 0.5
    return np.clip((panel - layer.origin_px) / layer.stride_px, 0, cells - 1)


def _bilinear(cells: NDArray[Any], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate [h, w, n] along rows, then along columns; positions lie inside the grid."""
    for axis, positions in ((0, rows), (1, columns)):
        low = np.minimum(positions.astype(np.int64), max(cells.shape[axis] - 2, 0))
        high = np.minimum(low + 1, cells.shape[axis] - 1)
        share = np.expand_dims(positions - low, (1 - axis, 2))
        cells = (1 - share) * cells.take(low, axis) + share * cells.take(high, axis)
    return cells


# --------------------------------------------------------------------------------------------- panels on the page


@dataclass(frozen=True)
class Box:
    """The rectangle of a panel on the page, in page units."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height

    def at(self, xy_px: NDArray[Any], panel: Panel) -> Points:
        """Map panel pixels ``[..., 2]`` to the page; pixel index i is the centre of the i-th pixel."""
        scale = np.array([self.width / panel.size_wh[0], self.height / panel.size_wh[1]])
        placed: Points = np.array([self.left, self.top]) + (np.asarray(xy_px, np.float64) + 0.5) * scale
        return placed


@dataclass(frozen=True)
class Layout:
    """Panels on a page."""

    boxes: tuple[Box, ...]
    """One per panel, in the panels' order."""
    size_wh: tuple[float, float]
    """Width and height of the page part that the panels take."""
    gap: float
    """Distance between neighbouring panels."""


def grid_positions(count: int, columns: int) -> tuple[tuple[int, int], ...]:
    """(row, column) of ``count`` panels that fill rows of ``columns``, left to right, top to bottom."""
    return tuple(divmod(number, columns) for number in range(count))


def lay_out(
    panels: Sequence[Panel],
    width: float,
    *,
    gap: float,
    title_height: float = 0.0,
    indent: float = 0.0,
    max_panel_width: float = np.inf,
    max_height: float = np.inf,
) -> Layout:
    """Place panels by row and column: columns of equal width, rows as high as their highest panel, all centred.

    Args:
        panels: the panels; empty rows and columns take no room.
        width: width of the page.
        gap: distance between neighbouring panels, along x and y; less where columns are narrow (:data:`GAP_SHARE`).
        title_height: room above a row in which some panel has a title.
        indent: room at the left for the rows' titles.
        max_panel_width: panels are not drawn wider than this.
        max_height: panels shrink until all rows fit into this height.

    Returns:
        The boxes; y starts at 0 above the first row's titles.
    """
    rows = sorted({panel.row for panel in panels})
    columns = sorted({panel.column for panel in panels})
    shape = {row: max(panel.size_wh[1] / panel.size_wh[0] for panel in panels if panel.row == row) for row in rows}
    above = {row: title_height * any(panel.title for panel in panels if panel.row == row) for row in rows}
    gap = min(gap, GAP_SHARE * (width - indent) / max(len(columns), 1))
    fixed = sum(above.values()) + gap * max(len(rows) - 1, 0)
    across = (width - indent - gap * (len(columns) - 1)) / max(len(columns), 1)
    side = min(across, max_panel_width, (max_height - fixed) / max(sum(shape.values()), 1e-9))
    left = indent + (width - indent - side * len(columns) - gap * (len(columns) - 1)) / 2
    tops, top = {}, 0.0
    for row in rows:
        tops[row] = top + above[row]
        top = tops[row] + side * shape[row] + gap
    boxes = tuple(
        Box(left + columns.index(panel.column) * (side + gap), tops[panel.row], side, side * panel.size_wh[1] / panel.size_wh[0])
        for panel in panels
    )
    return Layout(boxes, (width, max(top - gap, 0.0)), gap)


# --------------------------------------------------------------------------------------------- arrows


@dataclass(frozen=True, eq=False, repr=False)
class Strokes(Record):
    """Arrows on the page, each a quadratic curve from ``start`` over ``control`` to ``end`` (straight: control half way)."""

    start: Points
    """[N, 2]"""
    control: Points
    """[N, 2]"""
    end: Points
    """[N, 2] tip of the arrow."""
    head: Points
    """[N] length of the arrow head."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        for name in ("start", "control", "end"):
            self._expect(name, ("N", 2), sizes, "float64")
        self._expect("head", ("N",), sizes, "float64")

    @classmethod
    def between(cls, start: Points, end: Points, head: float | Points, control: Points | None = None) -> Strokes:
        """Make arrows, straight unless ``control`` is given, with heads no longer than 0.6 of each."""
        bounded = np.minimum(head, 0.6 * np.linalg.norm(end - start, axis=1))
        return cls(start, (start + end) / 2 if control is None else control, end, bounded)

    def shafts(self) -> Strokes:
        """Shorten the curves so that they end inside their heads and do not blunt the tips."""
        speed = 2 * np.linalg.norm(self.end - self.control, axis=1)
        at = 1 - np.divide(0.8 * self.head, speed, out=np.zeros_like(speed), where=speed > 0)[:, None]
        control = (1 - at) * self.start + at * self.control
        end = (1 - at) * control + at * ((1 - at) * self.control + at * self.end)
        return Strokes(self.start, control, end, self.head)

    def heads(self) -> Points:
        """[N, 3, 2] triangles whose first corner is the tip; a stroke without length has an empty one."""
        toward = self.end - self.control
        length = np.linalg.norm(toward, axis=1, keepdims=True)
        along = np.divide(toward, length, out=np.zeros_like(toward), where=length > 0) * self.head[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1) * HEAD_WIDTH / 2
        return np.stack([self.end, self.end - along + across, self.end - along - across], axis=1)

    def points(self, count: int) -> Points:
        """[N, count, 2] points along the curves, ends included."""
        at = np.linspace(0, 1, count)[None, :, None]
        start, control, end = (corner[:, None] for corner in (self.start, self.control, self.end))
        return (1 - at) ** 2 * start + 2 * at * (1 - at) * control + at**2 * end


def arrow_strokes(layer: ArrowLayer, panel: Panel, box: Box, max_head: float) -> Strokes:
    """Place the straight arrows of one panel; no head is longer than ``max_head`` page units."""
    start, end = box.at(layer.start_xy_px, panel), box.at(layer.end_xy_px, panel)
    return Strokes.between(start, end, min(layer.head_px * box.width / panel.size_wh[0], max_head))


def link_strokes(link: LinkLayer, panels: Sequence[Panel], boxes: Sequence[Box], side: int, max_head: float) -> Strokes:
    """Place arrows across panels as arcs: long ones pass over short ones, and no arc leaves the area of its two panels.

    Args:
        link: the arrows.
        panels: the figure's panels.
        boxes: where they are.
        side: 1 bends arcs upward, -1 downward; an arc without room on its side takes the other.
        max_head: longest arrow head in page units.
    """
    start = _ends(link.start_xy_px, link.start_panel, panels, boxes)
    end = _ends(link.end_xy_px, link.end_panel, panels, boxes)
    corners = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes]).reshape(-1, 4)
    first, second = corners[link.start_panel], corners[link.end_panel]
    low, high = np.minimum(first, second)[:, :2], np.maximum(first, second)[:, 2:]
    scale = np.array([boxes[number].width / panels[number].size_wh[0] for number in link.end_panel.tolist()])
    control = _bent(start, end, low, high, (first[:, 2] - first[:, 0]), side)
    return Strokes.between(start, end, np.minimum(link.head_px * scale, max_head), control)


def _ends(xy_px: NDArray[np.float64], numbers: NDArray[np.int64], panels: Sequence[Panel], boxes: Sequence[Box]) -> Points:
    """[N, 2] page positions of points that lie in different panels."""
    placed = [boxes[number].at(point, panels[number]) for number, point in zip(numbers.tolist(), xy_px, strict=True)]
    return np.array(placed, np.float64).reshape(-1, 2)


def _bent(start: Points, end: Points, low: Points, high: Points, panel_width: NDArray[np.float64], side: int) -> Points:
    """[N, 2] control points: the curves leave their chords to one side, within the area ``low`` .. ``high``."""
    chord = end - start
    length = np.linalg.norm(chord, axis=1)
    upward = np.stack([chord[:, 1], -chord[:, 0]], axis=1)
    upward *= np.where(upward[:, 1] > 0, -1, 1)[:, None]
    upward = np.divide(upward, length[:, None], out=np.zeros_like(upward), where=length[:, None] > 0)
    wanted = np.minimum(BOW[0] * panel_width + BOW[1] * length, 0.25 * length)
    room, other = (_room(start, chord, upward * sign, low, high) for sign in (side, -side))
    flip = (room < wanted / 2) & (other > room)
    height = np.minimum(wanted, np.where(flip, other, room)) * np.where(flip, -side, side)
    control: Points = (start + end) / 2 + 2 * height[:, None] * upward
    return control


def _room(start: Points, chord: Points, direction: Points, low: Points, high: Points) -> NDArray[np.float64]:
    """[N] how high an arc over each chord can be so that all of it stays inside its area."""
    at = np.linspace(0, 1, 34)[1:-1, None, None]
    rise = 4 * at * (1 - at) * direction  # of an arc with height 1
    edge = np.where(direction > 0, high, low) - (start + at * chord)
    steps = np.divide(edge, rise, out=np.full_like(edge, np.inf), where=rise != 0)
    room: NDArray[np.float64] = np.maximum(steps.min(axis=(0, 2)), 0.0)
    return room


ARMS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "cross": ((-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8)),
    "plus": ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)),
    "star": ((0.0, -1.0), (0.0, 1.0), (-0.87, -0.5), (0.87, 0.5), (-0.87, 0.5), (0.87, -0.5)),
    "fork": ((-0.87, -0.5), (0.87, -0.5), (0.0, 1.0)),
}
"""Ends of the arms of marks that are made of lines, for a mark of half side 1."""


def mark_outline(marker: str, half_side: float) -> Points:
    """[N, 2] the line of one mark around (0, 0): from arm to arm through the middle, or around; a dot has half the size."""
    if marker in ARMS:
        ends = np.array(ARMS[marker], np.float64)
        return np.stack([ends, np.zeros_like(ends)], axis=1).reshape(-1, 2)[:-1] * half_side
    if marker == "square":
        return np.array([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85), (-0.85, -0.85)]) * half_side
    angle = np.linspace(0, 2 * np.pi, 33)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * (half_side / 2 if marker == "dot" else half_side)


def dashes(points: Points, on: float, off: float) -> list[Points]:
    """Cut a line of points into dashes of length ``on`` with gaps ``off``, measured along the line.

    Args:
        points: [n, 2], n >= 2.
        on: length of a dash in page units.
        off: length of a gap in page units; 0 gives the whole line.

    Returns:
        Lines of points, [m, 2] each.
    """
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if off <= 0 or travelled[-1] == 0:
        return [points]
    pieces = []
    for begin in np.arange(0.0, travelled[-1], on + off):
        stop = min(begin + on, travelled[-1])
        inside = travelled[(travelled > begin) & (travelled < stop)]
        at = np.concatenate([[begin], inside, [stop]])
        pieces.append(np.stack([np.interp(at, travelled, points[:, axis]) for axis in (0, 1)], axis=1))
    return pieces
