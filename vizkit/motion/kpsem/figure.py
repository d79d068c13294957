"""KPSEM's picture (figure 10): crosses at the key points of every region, arrows along their shifts, the regions' borders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    FigureSpec,
    ImageLayer,
    Key,
    Layer,
    LegendKey,
    Panel,
    PointLayer,
    Role,
    Table,
)
from vizkit.motion.kpsem.analysis import KeyPointShifts
from vizkit.motion.kpsem.marks import CROSS_SHARE, block_words, channel_words, frame_words, region_legend, region_mark, set_words
from vizkit.motion.kpsem.tracks import draw_tracks

SHORTEST_CELLS = 0.5
"""Shorter shifts are not drawn: the arrow would lie under its cross."""


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    layout: Literal["frames", "channels", "centres", "tracks"] = "frames"
    """All channels on one film strip, a row for each channel, the separation centres of all sets, or the way of each key point in time."""
    arrows: Literal["weighted", "hard", "none"] = "weighted"
    """To the shift, which is a mean over the next step's key points by their match; hard: straight to the best matching one."""
    opacity: Literal["match", "region"] = "match"
    """What makes an arrow opaque: its best match, or its region's weight (1: an equal share or more)."""
    borders: bool = True
    """Draw the borders of the regions."""
    columns: int = Field(4, ge=1, le=16)
    """Frames (or tracks' channels) in a row."""
    follow: Literal["region", "match"] = "region"
    """Tracks: the key points of one region in all steps, or from each to the one that matches it best, in whatever region."""


def draw(result: KeyPointShifts, **look: object) -> FigureSpec:
    """Describe the picture of key points and shifts.

    Step i of the features lies on sampled frame i x the stage's stride in time; frames between are left out. An arrow stands on its
    own step's frame and ends where its key point is in the next one.

    Args:
        result: from :func:`vizkit.motion.kpsem.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look, or the centres of a frame that is not split.
    """
    style = Look.parse(**look)
    if style.layout == "tracks":
        return draw_tracks(result, follow=style.follow, columns=style.columns)
    if style.layout == "centres" and result.regions == 1:
        raise SettingError("layout is 'centres', but one region has no separation centre; choose 'frames' or 'channels'.", code="layout")
    panels = tuple(_panels(result, style))
    what = "Separation centres" if style.layout == "centres" else "Key points and their shifts"
    return FigureSpec(
        title=f"{what} at {result.block}",
        caption=_centres_caption(result) if style.layout == "centres" else _caption(result, style),
        alt=_alt(result),
        panels=panels,
        keys=_keys(result, style, panels),
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate(result),
    )


# --------------------------------------------------------------------------------------------- panels


def _panels(result: KeyPointShifts, style: Look) -> Iterator[Panel]:
    rows = [(channel,) for channel in result.channels.tolist()] if style.layout == "channels" else [tuple(result.channels.tolist())]
    for row, channels in enumerate(rows):
        for step in range(result.grid.shape[0]):
            frame = step * result.grid.stride_frames
            pixels = result.clip.frames[frame]
            grid_row, column = (row, step) if style.layout == "channels" else divmod(step, style.columns)
            own = _centres(result, step) if style.layout == "centres" else _marks(result, step, channels, style)
            several = len(rows) > 1
            source = "" if several else f"frame {result.clip.index[frame]}, "
            yield Panel(
                name=f"channel {channels[0]}, frame {frame}" if several else f"frame {frame}",
                title="" if row else f"t = {frame}   {source}{result.clip.times_s[frame]:.2f} s",
                size_wh=(pixels.shape[1], pixels.shape[0]),
                row=grid_row,
                column=column,
                layers=(ImageLayer(pixels), *(_borders(result, step) if style.borders else ()), *own),
                frame=frame,
                view=f"channel {channels[0]}" if several else "frames",
                row_title=f"c = {channels[0]}" if several and step == 0 else "",
            )


def _borders(result: KeyPointShifts, step: int) -> Iterator[Layer]:
    """Lines from edge to edge of the frame, between the cells that the shown set's boundaries part."""
    boundary_px = result.grid.centre_px(np.floor(result.boundary_cells[result.params.set_shown, step]) + 0.5)
    height, width = result.clip.frames.shape[1:3]
    lines = [((x, -0.5), (x, height - 0.5)) for x in boundary_px[:, 0]] + [((-0.5, y), (width - 0.5, y)) for y in boundary_px[:, 1]]
    if lines:
        start, end = np.array(lines).transpose(1, 0, 2)
        yield ArrowLayer(start, end, "border", np.ones(len(start), np.float32), head_px=0.0, name="region borders")


def _marks(result: KeyPointShifts, step: int, channels: tuple[int, ...], style: Look) -> Iterator[Layer]:
    """Crosses and arrows of one step, a layer of each for every region."""
    size_px = CROSS_SHARE * min(result.clip.frames.shape[1:3])
    chosen, shown = np.array(channels), result.params.set_shown
    for region in range(result.regions):
        role, marker = region_mark(region, result.regions)
        live = chosen[~result.flat[shown, region, chosen, step]]
        xy_px = result.grid.centre_px(result.point_cells[shown, region, live, step])
        words = tuple(_point_words(result, region, channel, step) for channel in live.tolist())
        yield PointLayer(xy_px, role, words, marker, size_px, result.region_name(region))
        if style.arrows != "none" and step < result.grid.shape[0] - 1:
            yield _arrows(result, region, chosen, step, style)


def _arrows(result: KeyPointShifts, region: int, channels: NDArray[np.int64], step: int, style: Look) -> ArrowLayer:
    """The shifts of one region that mean something and are long enough to be seen."""
    at = (result.params.set_shown, region)
    shift = _shift(result, style.arrows)[at][:, step]
    channels = channels[result.drawn[at][channels, step] & (np.linalg.norm(shift[channels], axis=-1) >= SHORTEST_CELLS)]
    start = result.point_cells[at][channels, step]
    strength = result.best_match[at] if style.opacity == "match" else np.minimum(result.region_weight[at] * result.regions, 1)
    return ArrowLayer(
        start_xy_px=result.grid.centre_px(start),
        end_xy_px=result.grid.centre_px(start + shift[channels]),
        role=region_mark(region, result.regions)[0],
        weight=strength[channels, step].astype(np.float32),
        label=tuple(_arrow_words(result, region, channel, step, style.arrows) for channel in channels.tolist()),
        head_px=CROSS_SHARE * min(result.clip.frames.shape[1:3]),
        name=result.region_name(region),
    )


def _shift(result: KeyPointShifts, arrows: str) -> NDArray[np.float32]:
    """[sets, regions, C, T-1, 2] cells: the weighted shifts, or those to the best matching key point."""
    if arrows == "weighted":
        return result.shift_cells
    ahead = np.take_along_axis(result.point_cells[:, :, :, 1:], result.best_region[..., None], axis=1)
    return (ahead - result.point_cells[:, :, :, :-1]).astype(np.float32)


def _centres(result: KeyPointShifts, step: int) -> Iterator[Layer]:
    """The centres of all sets on one frame, the shown one apart."""
    size_px = CROSS_SHARE * min(result.clip.frames.shape[1:3])
    for shown in (False, True):
        sets = [number for number in range(len(result.value)) if (number == result.params.set_shown) == shown]
        cells = result.centre_cells[sets, step]
        words = tuple(f"set {number}: centre at cell (x {x:.2f}, y {y:.2f})" for number, (x, y) in zip(sets, cells, strict=True))
        if sets:
            name = f"set {result.params.set_shown}" if shown else "other sets"
            role: Role = "query" if shown else "peak"
            yield PointLayer(result.grid.centre_px(cells), role, words, "square" if shown else "circle", size_px, name)


# --------------------------------------------------------------------------------------------- words


def _point_words(result: KeyPointShifts, region: int, channel: int, step: int) -> str:
    x, y = result.point_cells[result.params.set_shown, region, channel, step]
    value = result.value[result.params.set_shown, region, channel, step]
    return f"{result.region_name(region)}, channel {channel}: cell (x {x}, y {y}), value {value:.3g}"


def _arrow_words(result: KeyPointShifts, region: int, channel: int, step: int, arrows: str) -> str:
    at = (result.params.set_shown, region, channel, step)
    dx, dy = _shift(result, arrows)[at]
    return (
        f"{result.region_name(region)}, channel {channel}: {arrows} shift ({dx:+.2f}, {dy:+.2f}) cells; "
        f"best match {result.best_match[at]:.2f} with {result.region_name(int(result.best_region[at]))}; "
        f"region weight {result.region_weight[at]:.2f}"
    )


def _keys(result: KeyPointShifts, style: Look, panels: tuple[Panel, ...]) -> tuple[Key, ...]:
    """Legends of what is there: regions or centres, arrows, borders."""
    layers = [layer for panel in panels for layer in panel.layers]
    keys: list[LegendKey | ColorBarKey] = []
    if style.layout == "centres":
        entries = [(layer.role, layer.name) for layer in panels[0].layers if isinstance(layer, PointLayer)]
        keys.append(LegendKey(tuple(entries[::-1]), kind="point"))
    else:
        keys.append(region_legend(result))
    if any(isinstance(layer, ArrowLayer) and layer.role != "border" and len(layer.weight) for layer in layers):
        to = "way to the best match in the next step" if style.arrows == "hard" else "weighted shift to the next step"
        keys.append(LegendKey((("neutral", to),)))
    if any(isinstance(layer, ArrowLayer) and layer.role == "border" for layer in layers):
        keys.append(LegendKey((("border", "region borders"),), kind="line"))
    return tuple(keys)


def _caption(result: KeyPointShifts, style: Look) -> str:
    where = "the whole frame" if result.regions == 1 else f"each of {result.regions} regions"
    parts = [
        f"Key points of {block_words(result)}: the largest value of {where} in channels {channel_words(result)}, {set_words(result)}, "
        f"{result.grid.stride_px:g}-px cells."
    ]
    if result.regions > 4:
        parts.append("Colours are the regions' columns, shapes their rows.")
    if style.arrows != "none":
        parts.append(_arrows_caption(result, style))
    return " ".join((*parts, frame_words(result)))


def _arrows_caption(result: KeyPointShifts, style: Look) -> str:
    way = {
        "weighted": "Arrows in the region's colour: the mean way to the next step's key points, weighted by how alike the values are",
        "hard": "Arrows in the region's colour: to the next step's key point with the most similar value",
    }[style.arrows]
    strength = "the best match" if style.opacity == "match" else "the region's weight, full from an equal share on"
    found = result.summary()
    moved, total = found["cross_region_moves_shown"], found["shifts_shown"]
    return (
        f"{way}; opacity is {strength}; those below {SHORTEST_CELLS:g} cells are left out. "
        f"The best match of {moved} of {total} key points lies in another region."
    )


def _centres_caption(result: KeyPointShifts) -> str:
    apart = float(np.ptp(result.centre_cells, axis=0).max()) if len(result.value) > 1 else 0.0
    moved = float(np.ptp(result.centre_cells, axis=1).max())
    return (
        f"Separation centres of the {len(result.value)} sets of {block_words(result)}; borders of set {result.params.set_shown}. Sets lie "
        f"up to {apart:.1f} cells apart, and one moves up to {moved:.1f} over the clip ({result.grid.stride_px:g}-px cells). "
        f"{frame_words(result)}"
    )


def _alt(result: KeyPointShifts) -> str:
    found = result.summary()
    return (
        f"Crosses at the key points of {result.regions} regions and {len(result.channels)} channels on {result.grid.shape[0]} frames, with "
        f"arrows along {found['shifts_shown']} shifts; {found['cross_region_moves_shown']} lead into another region."
    )


def tabulate(result: KeyPointShifts) -> Table:
    """One row for each key point of the set and channels shown; what the last step and flat regions do not have is left empty."""
    columns = (
        "channel", "region", "step", "frame", "x_cells", "y_cells", "x_px", "y_px", "value", "shift_x_cells", "shift_y_cells",
        "shift_x_px", "shift_y_px", "best_region", "best_match", "cross_region", "region_weight",
    )  # fmt: skip
    shown, rows = result.params.set_shown, []
    for channel in result.channels.tolist():
        for region in range(result.regions):
            for step in range(result.grid.shape[0]):
                at = (shown, region, channel, step)
                cell = result.point_cells[at]
                place = (*cell.tolist(), *result.grid.centre_px(cell).tolist()) if not result.flat[at] else ("",) * 4
                ahead = _ahead(result, at) if step < result.grid.shape[0] - 1 and result.drawn[at] else ("",) * 8
                named = (channel, result.region_name(region), step, step * result.grid.stride_frames)
                rows.append((*named, *place, float(result.value[at]), *ahead))
    return Table(columns, tuple(rows))


def _ahead(result: KeyPointShifts, at: tuple[int, int, int, int]) -> tuple[float | str | bool, ...]:
    """The last columns of a row: the shift and its match."""
    shift, best = result.shift_cells[at], int(result.best_region[at])
    pixels = (float(part) for part in shift * result.grid.stride_px)
    match = (result.region_name(best), float(result.best_match[at]), best != at[1], float(result.region_weight[at]))
    return (*(float(part) for part in shift), *pixels, *match)


def no_difference(_one: KeyPointShifts, _other: KeyPointShifts, _look: Mapping[str, object]) -> str | None:
    """Why there is no difference of two pictures: crosses are no values."""
    return "Key points are places, not values of a map: nothing is subtracted. The table lists those of both sides."
