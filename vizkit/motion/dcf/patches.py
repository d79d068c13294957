"""The correlations behind a cell: its neighbourhood in every frame that it was compared with, at every stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    FigureSpec,
    HeatLayer,
    ImageLayer,
    Layer,
    LegendKey,
    Panel,
    PointLayer,
    PolygonLayer,
    Table,
)
from vizkit.motion.dcf.analysis import CorrelationFields
from vizkit.motion.dcf.decode import inside_map
from vizkit.motion.dcf.levels import CorrelationLevel

CORRELATION_PX = 16  # side of one correlation in its panel


@dataclass(frozen=True)
class _Cell:
    """One picked cell at one stage."""

    number: int
    level: CorrelationLevel
    step: int
    row: int
    column: int

    @classmethod
    def at(cls, number: int, level: CorrelationLevel, t: float, xy_px: NDArray[np.float64]) -> _Cell:
        """The cell of a stage that a point lies in."""
        column, row = (int(part) for part in level.grid.cell_at(xy_px))
        step = min(int(t) // level.grid.stride_frames, level.grid.shape[0] - 1)
        return cls(number, level, step, row, column)

    @property
    def centre_px(self) -> NDArray[np.float64]:
        """(x, y) of its centre."""
        return self.level.grid.centre_px(np.array([self.column, self.row]))

    @property
    def frame(self) -> int:
        """The sampled frame."""
        return self.step * self.level.grid.stride_frames

    def correlations(self, index: int) -> NDArray[np.float32]:
        """[P, P] correlations at one offset; NaN where the neighbour lies outside the image, or there is no such frame."""
        level = self.level
        _, height, width = level.grid.shape
        inside = inside_map(height, width, level.patch, int(level.dilation_cells[index])).numpy()[:, self.row, self.column]
        values = level.volume[index, self.step, :, :, self.row, self.column]
        known = inside.reshape(values.shape) & level.valid_time[index, self.step]
        return np.where(known, values, np.float32(np.nan))

    def peak_xy(self, index: int) -> tuple[int, int] | None:
        """Steps (x, y) from the centre to the largest correlation; None where there is no frame."""
        values = self.correlations(index)
        if np.isnan(values).all():
            return None
        row, column = divmod(int(np.nanargmax(values)), values.shape[1])
        return column - values.shape[1] // 2, row - values.shape[0] // 2


def draw_patches(result: CorrelationFields) -> FigureSpec:
    """Describe the correlations of the picked cells: rows are stages, columns are offsets.

    Each panel is the K x K neighbourhood; what lies outside the image is left open. The arrow runs from the centre, no motion, to the
    largest correlation. All panels of a stage share one scale.

    Args:
        result: from :func:`vizkit.motion.dcf.analysis.analyze`.
    """
    cells = [
        _Cell.at(number, level, t, np.array([x, y]))
        for number, (t, x, y) in enumerate(result.picked_txy.tolist())
        for level in result.levels
    ]
    limits = {level.grid.stage: _limits([cell for cell in cells if cell.level is level]) for level in result.levels}
    offsets = sorted({offset for level in result.levels for offset in level.frame_offset.tolist()})
    panels = [panel for row, cell in enumerate(cells) for panel in _panels(result, cell, row, offsets, limits[cell.level.grid.stage])]
    bars = (ColorBarKey(f"correlation at {stage}", span, "viridis", "one scale for all its panels") for stage, span in limits.items())
    marks = LegendKey((("query", "picked cell"), ("region", "its neighbourhoods, wider for frames further away")), "point")
    arrows = LegendKey((("peak", "to the largest correlation"),))
    return FigureSpec(
        title="Correlations of a cell with its neighbourhood",
        caption=_caption(result, cells),
        alt=_alt(cells),
        panels=tuple(panels),
        keys=(*bars, marks, arrows),
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate_patches(cells),
    )


def _limits(cells: list[_Cell]) -> tuple[float, float]:
    """Smallest and largest correlation of some cells of one stage."""
    values = np.concatenate([cell.correlations(index).ravel() for cell in cells for index in range(len(cell.level.frame_offset))])
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _panels(result: CorrelationFields, cell: _Cell, row: int, offsets: list[int], limits: tuple[float, float]) -> Iterator[Panel]:
    """The frame with the cell, then its neighbourhood at every offset."""
    level, stage, first = cell.level, cell.level.grid.stage, cell.level is result.levels[0]
    pixels = result.clip.frames[cell.frame]
    name = f"cell {cell.number} {stage}"
    title = f"t = {cell.frame}" if first else ""
    size_wh = (pixels.shape[1], pixels.shape[0])
    yield Panel(name, title, size_wh, row, 0, _where(cell, pixels), cell.frame, "frames", row_title=stage)
    side = level.patch * CORRELATION_PX
    for index, offset in enumerate(level.frame_offset.tolist()):
        there = f"frame t {offset * level.grid.stride_frames:+d}" if level.valid_time[index, cell.step] else "no frame"
        yield Panel(
            f"{name} {offset:+d}",
            there if first else "",
            (side, side),
            row,
            1 + offsets.index(offset),
            _patch(cell, index, limits),
            None,
            stage,
        )


def _where(cell: _Cell, pixels: NDArray[np.uint8]) -> tuple[Layer, ...]:
    """The picked cell in its frame, and the neighbourhoods that it is compared with."""
    grid, (x, y) = cell.level.grid, cell.centre_px
    outlines = []
    for dilation in sorted(set(cell.level.dilation_cells.tolist())):
        half = (cell.level.patch // 2 * dilation + 0.5) * grid.stride_px
        outlines.append(np.array([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]]))
    label = (f"cell (t {cell.step}, y {cell.row}, x {cell.column}) of {grid.stage}",)
    return (
        ImageLayer(pixels),
        PolygonLayer(tuple(outlines), "region", filled=False, name="neighbourhoods"),
        PointLayer(cell.centre_px[None], "query", label, "square", grid.stride_px, "picked cell"),
    )


def _patch(cell: _Cell, index: int, limits: tuple[float, float]) -> tuple[Layer, ...]:
    """The neighbourhood as a heat map with the way to its largest value."""
    origin = (CORRELATION_PX - 1) / 2
    heat = HeatLayer(
        cell.correlations(index),
        origin,
        CORRELATION_PX,
        limits,
        f"correlation at {cell.level.grid.stage}",
        "",
        "viridis",
        1.0,
        smooth=False,
    )
    peak = cell.peak_xy(index)
    if peak is None:
        return (heat,)
    centre = np.full((1, 2), origin + cell.level.patch // 2 * CORRELATION_PX)
    end = centre + CORRELATION_PX * np.array([peak])
    told = (_told(cell, index),)
    if peak == (0, 0):
        return heat, PointLayer(centre, "peak", told, "dot", CORRELATION_PX / 2, "largest correlation")
    return heat, ArrowLayer(centre, end, "peak", np.ones(1, np.float32), told, CORRELATION_PX / 2, "largest correlation")


def _told(cell: _Cell, index: int) -> str:
    dx, dy = (float(value) for value in cell.level.displacement_px[index, cell.step, cell.row, cell.column])
    sure = float(cell.level.confidence[index, cell.step, cell.row, cell.column])
    frames = int(cell.level.frame_offset[index]) * cell.level.grid.stride_frames
    return f"displacement x {dx:+.1f}, y {dy:+.1f} px to t {frames:+d}, confidence {sure:.2f}"


def _caption(result: CorrelationFields, cells: list[_Cell]) -> str:
    source = result.provenance
    stages = ", ".join(level.grid.stage for level in result.levels)
    what = "Centred cosine similarity of the features" if result.params.source == "cosine" else "The DCF block's own correlations"
    patches = ", ".join(sorted({f"{level.patch} x {level.patch}" for level in result.levels}))
    picked = "; ".join(f"t {t:g}, x {x:g}, y {y:g} px" for t, x, y in result.picked_txy.tolist())
    chosen = "picked" if result.params.points else "the clearest that moves"
    reach = ", ".join(f"{level.reach_px:g} px per frame ({level.grid.stage})" for level in result.levels)
    return (
        f"{what} of {source.model} ({source.origin} weights) at {stages}, for the cell at {picked} ({chosen}): {patches} neighbours in the "
        f"frame of each column, as many cells apart as time steps; centre: no motion; edge: {reach}. The arrow points to the largest; "
        "what lies outside the image is left open. "
        f"Source frames {', '.join(str(number) for number in result.clip.index)} of {source.clip}."
    )


def _alt(cells: list[_Cell]) -> str:
    found = []
    for cell in cells:
        ahead = cell.level.frame_offset.tolist().index(1)
        peak = cell.peak_xy(ahead)
        place = "no later frame" if peak is None else f"largest one time step later {peak[0]:+d} cells in x, {peak[1]:+d} in y"
        found.append(f"cell {cell.number} at {cell.level.grid.stage}: {place}")
    return f"Heat maps of correlations. {'; '.join(found)}."


def tabulate_patches(cells: list[_Cell]) -> Table:
    """One row for each picked cell, stage and offset: largest correlation, decoded displacement, confidence.

    ``t`` and ``frame_offset`` count sampled frames, as in the table of the pyramid; ``y`` and ``x`` are cells.
    """
    columns = (
        "cell", "stage", "t", "y", "x", "frame_offset", "valid", "complete", "peak_dx_cells", "peak_dy_cells", "displacement_x_px",
        "displacement_y_px", "confidence",
    )  # fmt: skip
    rows = []
    for cell in cells:
        level = cell.level
        for index, offset in enumerate(level.frame_offset.tolist()):
            dx, dy = cell.peak_xy(index) or (0, 0)
            dilation, frames = int(level.dilation_cells[index]), offset * level.grid.stride_frames
            shift = level.displacement_px[index, cell.step, cell.row, cell.column]
            rows.append((
                cell.number, level.grid.stage, cell.frame, cell.row, cell.column, frames, bool(level.valid_time[index, cell.step]),
                bool(level.complete[index, cell.row, cell.column]), dx * dilation, dy * dilation, float(shift[0]), float(shift[1]),
                float(level.confidence[index, cell.step, cell.row, cell.column]),
            ))  # fmt: skip
    return Table(columns, tuple(rows))
