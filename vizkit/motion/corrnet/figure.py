"""CorrNet's pictures: the grid of filters (figure 4), the response of one channel on the clip, the directions as a polar histogram."""

from __future__ import annotations

from collections.abc import Mapping
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
    HeatLayer,
    ImageLayer,
    Key,
    Layer,
    LegendKey,
    Panel,
    PointLayer,
    Table,
)
from vizkit.motion.corrnet.analysis import FLAT, FilterGrid
from vizkit.motion.corrnet.polar import SECTORS, polar_panels

WEIGHT = "filter weight"
WEIGHT_PX = 8
"""Panel pixels of one weight."""
HEAD_WEIGHTS = 1.2
"""Length of an arrow head in weights."""
FLAT_REACH = 0.1
"""Half the range of colours where all weights are the same."""

ORDERS = {
    "index": "by number",
    "activity": "by falling standard deviation of their weights",
    "direction": "by the angle of their mean arrow",
    "consistency": "by falling mean resultant length of their arrows",
}


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    layout: Literal["filters", "response", "polar"] = "filters"
    """Grid of filters, response of one channel on the clip, or polar histogram of the arrows."""
    rows: int = Field(8, ge=1, le=128)
    """Frames in the grid of filters, one row each."""
    first_row: int = Field(0, ge=0, le=127)
    """First of them."""
    colors: Literal["viridis", "diverging"] = "viridis"
    """Colours of the weights: from the smallest to the largest shown, or symmetric around the value that they started from."""
    arrows: bool = True
    """Draw arrows and dots on the filters."""
    heat_opacity: float = Field(0.6, ge=0, le=1)
    """Opacity of the response; the frames under it are grey, so that colour says one thing only."""
    columns: int = Field(4, ge=1, le=16)
    """Frames (response) or channels (polar) in a row."""
    limits: dict[str, tuple[float, float]] = {}
    """Ends of the colour bar, by what is written on it, to draw several pictures on one scale; its own range where none are given."""


def draw(result: FilterGrid, **look: object) -> FigureSpec:
    """Describe one of the pictures of a block's filters.

    Args:
        result: from :func:`vizkit.motion.corrnet.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look, or a first row beyond the frames.
    """
    style = Look.parse(**look)
    title, caption, panels, keys = {"filters": _filters, "response": _response, "polar": _polar}[style.layout](result, style)
    return FigureSpec(
        title=title,
        caption=f"{caption} {_source(result)}",
        alt=_alt(result),
        panels=panels,
        keys=keys,
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate(result),
    )


Picture = tuple[str, str, tuple[Panel, ...], tuple[Key, ...]]
"""Title, caption, panels, keys."""


# --------------------------------------------------------------------------------------------- filters (figure 4)


def _filters(result: FilterGrid, style: Look) -> Picture:
    if style.first_row >= len(result.weights):
        raise SettingError(f"first_row is {style.first_row}, but the block's filters have frames 0..{len(result.weights) - 1}.")
    steps = range(style.first_row, min(style.first_row + style.rows, len(result.weights)))
    own = _limits(result.weights[steps.start : steps.stop, result.shown], result.initial, style.colors)
    limits = style.limits.get(WEIGHT, own)
    panels = tuple(
        _filter_panel(result, step, column, limits, style, top=row == 0)
        for row, step in enumerate(steps)
        for column in range(len(result.shown))
    )
    note = "one scale for all filters shown" + (f", symmetric around {result.initial:g}" if style.colors == "diverging" else "")
    keys: tuple[Key, ...] = (ColorBarKey(WEIGHT, limits, style.colors, note),)
    if style.arrows and any(isinstance(layer, ArrowLayer) for panel in panels for layer in panel.layers):
        keys += (LegendKey((("peak", "to the largest weight (dot: at the centre)"),)),)
    return f"Correlation filters at {result.block}", _filters_caption(result, steps, limits, style), panels, keys


def _limits(weights: NDArray[np.float32], initial: float, colors: str) -> tuple[float, float]:
    """Range of the colours: smallest to largest weight, or symmetric around the initial value; widened where there is none."""
    low, high = float(weights.min()), float(weights.max())
    if colors == "diverging":
        low, high = initial - max(high - initial, initial - low), initial + max(high - initial, initial - low)
    flat = high - low < FLAT * max(1, abs(low), abs(high))
    return (low - FLAT_REACH, high + FLAT_REACH) if flat else (low, high)


def _filter_panel(result: FilterGrid, step: int, column: int, limits: tuple[float, float], style: Look, *, top: bool) -> Panel:
    channel, frame = int(result.shown[column]), step * result.grid.stride_frames
    middle = (WEIGHT_PX - 1) / 2
    layers: list[Layer] = [
        HeatLayer(result.weights[step, channel], middle, WEIGHT_PX, limits, "filter weight", colors=style.colors, opacity=1.0, smooth=False)
    ]
    if style.arrows and not result.flat[step, channel]:
        layers.append(_peak(result, step, channel))
    return Panel(
        name=f"channel {channel}, frame {frame}",
        title=f"c = {channel}" if top else "",
        size_wh=(WEIGHT_PX * result.patch, WEIGHT_PX * result.patch),
        row=step,
        column=column,
        layers=tuple(layers),
        frame=frame,
        view="filters",
        row_title=f"t = {frame}" if column == 0 else "",
    )


def _peak(result: FilterGrid, step: int, channel: int) -> ArrowLayer | PointLayer:
    """Arrow from the centre to the largest weight, or a dot where that is the centre."""
    peak = result.peak_xy[step, channel].astype(np.float64)
    centre = np.full((1, 2), (result.patch * WEIGHT_PX - 1) / 2)
    label = (_peak_words(result, step, channel),)
    if not peak.any():
        return PointLayer(centre, "peak", label, "dot", 1.5 * WEIGHT_PX, "largest weight")
    end = centre + peak / result.dilation_cells * WEIGHT_PX
    return ArrowLayer(centre, end, "peak", np.ones(1, np.float32), label, HEAD_WEIGHTS * WEIGHT_PX, "largest weight")


def _peak_words(result: FilterGrid, step: int, channel: int) -> str:
    cells = result.peak_xy[step, channel]
    x, y = (f"{part:g}" for part in cells)
    x_px, y_px = (f"{part:g}" for part in cells * result.grid.stride_px)
    largest = float(result.weights[step, channel].max())
    frame = step * result.grid.stride_frames
    return f"channel {channel}, frame {frame}: largest weight {largest:.4g} at ({x}, {y}) cells = ({x_px}, {y_px}) px"


def _filters_caption(result: FilterGrid, steps: range, limits: tuple[float, float], style: Look) -> str:
    frames, channels = result.flat.shape
    stride = result.grid.stride_frames
    every = f" (every {stride} sampled frames)" if stride > 1 else ""
    parts = [
        f"Filters of {_block(result)}: rows are frames {steps.start} to {steps.stop - 1} of {frames}{every}, columns are channels "
        f"{', '.join(map(str, result.shown))} of {channels}, ordered {ORDERS[result.params.sort]}.",
        f"One weight is {_unit(result)}; colours from {limits[0]:.4g} to {limits[1]:.4g} on one scale.",
    ]
    if style.arrows and not result.flat.all():
        parts.append("Arrows point from the centre to the largest weight, dots mark it at the centre.")
    parts.append("A filter looks for the match in the previous frame: motion goes against the arrow. Frame 0 is matched with itself.")
    return " ".join(parts)


def _block(result: FilterGrid) -> str:
    return f"the correlation block {result.block} of {result.provenance.model} ({result.provenance.origin} weights)"


def _unit(result: FilterGrid) -> str:
    """Size of a step between weights: dilation times stride."""
    return f"{result.dilation_cells} cells x {result.grid.stride_px:g} px = {result.unit_px:g} px"


# --------------------------------------------------------------------------------------------- response


def _response(result: FilterGrid, style: Look) -> Picture:
    low, high = float(result.response.min()), float(result.response.max())
    reach = max(-low, high)
    label = "learned response" if result.params.response == "learned" else "response"
    limits = style.limits.get(label, (-reach if low < 0 else 0.0, reach))
    shown, colors = limits[1] > 0, "diverging" if limits[0] < 0 else "inferno"
    panels = tuple(_frame_panel(result, frame, style, limits, colors if shown else None) for frame in range(len(result.clip.frames)))
    rule = f"of channel {result.channel}, one scale for all frames"
    keys: tuple[Key, ...] = (ColorBarKey(label, limits, colors, rule, "response"),) if shown else ()  # type: ignore[arg-type]
    return f"{label.capitalize()} of channel {result.channel} at {result.block}", _response_caption(result, limits, shown), panels, keys


def _frame_panel(result: FilterGrid, frame: int, style: Look, limits: tuple[float, float], colors: str | None) -> Panel:
    grid, step = result.grid, frame // result.grid.stride_frames
    pixels = _grey(result.clip.frames[frame])
    layers: list[Layer] = [ImageLayer(pixels)]
    title = f"t = {frame}"
    if step < len(result.response):
        if colors is not None:
            heat = result.response[step]
            layers.append(
                HeatLayer(heat, grid.origin_px, grid.stride_px, limits, "response", colors=colors, opacity=style.heat_opacity)  # type: ignore[arg-type]
            )
        if not result.flat[step, result.channel]:
            x, y = (f"{part:g}" for part in result.peak_xy[step, result.channel] * grid.stride_px)
            title += f"   looks at ({x}, {y}) px"
    return Panel(
        name=f"frame {frame}", title=title, size_wh=(pixels.shape[1], pixels.shape[0]), row=frame // style.columns,
        column=frame % style.columns, layers=tuple(layers), frame=frame,
    )  # fmt: skip


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma (ITU-R BT.601) of a frame, in three channels."""
    luma = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=-1)


def _response_caption(result: FilterGrid, limits: tuple[float, float], shown: bool) -> str:
    beyond = " beyond a flat filter of the same mean" if result.params.response == "learned" else ""
    scale = f"{limits[0]:.3g} to {limits[1]:.3g}, one scale for all frames" if shown else "zero everywhere"
    patch = result.patch
    return (
        f"Response of channel {result.channel} of {_block(result)}: what its filters pass on{beyond}, summed over the {patch} x {patch} "
        f"neighbours; {scale}. Each frame is matched with the one before, the first with itself."
    )


# --------------------------------------------------------------------------------------------- polar histogram


def _polar(result: FilterGrid, style: Look) -> Picture:
    panels = polar_panels(result, style.columns)
    caption = (
        f"Directions of the arrows, from the centre to the largest weight, of {int(result.arrows.sum())} of {result.flat.size} filters of "
        f"{_block(result)}, in sectors of {360 / SECTORS:g} degrees; the area of a petal is its number of arrows, the outer ring the "
        f"fullest sector. First all channels, then channels {', '.join(map(str, result.shown))}, over all frames. R is the mean "
        "resultant length (1: all arrows agree), the arrow inside is the mean. The grey outline is what arrows to random neighbours would "
        "give. Arrows point into the previous frame: motion is opposite."
    )
    if not result.arrows.any():
        caption = f"No filter of {_block(result)} has an arrow, so there are no directions."
        return f"Directions of the filters at {result.block}", caption, panels, ()
    keys = (
        LegendKey((("region", "arrows in a sector"), ("neutral", "inside: random arrows; outside: the fullest sector")), kind="point"),
        LegendKey((("peak", "mean of the arrows (length 1: the outer ring)"),)),
    )
    return f"Directions of the filters at {result.block}", caption, panels, keys


# --------------------------------------------------------------------------------------------- words


def _source(result: FilterGrid) -> str:
    return f"Source frames {', '.join(map(str, result.clip.index))} of {result.provenance.clip}."


def _alt(result: FilterGrid) -> str:
    frames, channels = result.flat.shape
    dots = int((~result.flat & ~result.arrows).sum())
    return (
        f"Filters of {channels} channels in {frames} frames: {int(result.arrows.sum())} have their largest weight off the centre (an "
        f"arrow), {dots} at the centre (a dot), {int(result.flat.sum())} are flat."
    )


def tabulate(result: FilterGrid) -> Table:
    """One row for each filter of the channels shown, in all frames: where it looks, its weights, its channel's activity and consistency.

    What a flat filter, or a channel with fewer than two arrows, does not have is left empty.
    """
    columns = (
        "channel", "frame", "flat", "peak_dx_cells", "peak_dy_cells", "peak_dx_px", "peak_dy_px", "weight_max", "weight_min",
        "weight_centre", "activity", "consistency",
    )  # fmt: skip
    rows = []
    for channel in result.shown.tolist():
        for step, weights in enumerate(result.weights[:, channel]):
            peak, middle = result.peak_xy[step, channel], result.patch // 2
            numbers = (*peak, *(peak * result.grid.stride_px), weights.max(), weights.min(), weights[middle, middle])
            spread = (result.activity[channel], result.consistency[channel])
            known = ("" if np.isnan(number) else float(number) for number in (*numbers, *spread))
            rows.append((channel, step * result.grid.stride_frames, bool(result.flat[step, channel]), *known))
    return Table(columns, tuple(rows))


def no_difference(one: FilterGrid, other: FilterGrid, look: Mapping[str, object]) -> str | None:
    """Why a difference of two pictures would mean nothing; None where it means something."""
    same = one.provenance.model_digest == other.provenance.model_digest
    if look.get("layout") == "response" and not (same and (one.block, one.channel) == (other.block, other.channel)):
        return (
            f"Channel {one.channel} of {one.block} and channel {other.channel} of {other.block} look for different things"
            f"{'' if same else ' in two networks'}: a difference of their responses means nothing."
        )
    if one.block != other.block or one.initial != other.initial:
        return f"The filters of {one.block} and {other.block} stand at different places of their networks: no difference is drawn."
    return None
