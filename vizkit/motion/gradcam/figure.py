"""Grad-CAM's picture: the map over the sampled frames, on one scale of raw values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.figure.spec import ColorBarKey, ColorMap, FigureSpec, HeatLayer, ImageLayer, Key, Layer, Panel, Table
from vizkit.motion.gradcam.analysis import ClassAttention
from vizkit.net.attention import METHODS


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    frames: tuple[int, ...] = Field((), max_length=128)
    """Sampled frames that are shown; empty for all."""
    values: Literal["positive", "signed"] = "positive"
    """What speaks for the label alone, or also what speaks against it."""
    time: Literal["step", "linear"] = "step"
    """What a frame between two time steps of the map shows: the step before it, or both by their distance."""
    limit: float | None = Field(None, gt=0)
    """Value of the last colour, to compare pictures on one scale; None for this map's own largest."""
    heat_opacity: float = Field(0.6, ge=0, le=1)
    """Opacity of the map; the frames under it are grey, so that colour says one thing only."""
    smooth: bool = True
    """Interpolate between cells; False shows them."""
    columns: int = Field(4, ge=1, le=16)
    """Frames in a row."""

    @field_validator("frames", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def draw(result: ClassAttention, **look: object) -> FigureSpec:
    """Describe the picture of a map.

    Args:
        result: from :func:`vizkit.motion.gradcam.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look, or a frame beyond the clip.
    """
    style = Look.parse(**look)
    shown = style.frames or tuple(range(len(result.clip.frames)))
    beyond = [frame for frame in shown if not 0 <= frame < len(result.clip.frames)]
    if beyond:
        raise SettingError(f"frames has {beyond[0]}, but the clip has sampled frames 0..{len(result.clip.frames) - 1}.", code="frames")
    maps = maps_of_frames(result, style)
    limits = limits_of(result, style)
    colors: ColorMap = "diverging" if style.values == "signed" else "inferno"
    panels = tuple(_panel(result, frame, place, maps[frame], limits, colors, style) for place, frame in enumerate(shown))
    title = f"{METHODS[result.volume.method].title} at {result.volume.stage}: {result.volume.label}"
    keys: tuple[Key, ...] = ()
    if limits:
        rule = "raw values, one scale for all frames" if style.limit is None else "raw values, a scale given for several pictures"
        keys = (ColorBarKey(_bar_label(result, style), limits, colors, rule, METHODS[result.volume.method].title),)
    return FigureSpec(
        title=title,
        caption=_caption(result, style, limits),
        alt=_alt(result),
        panels=panels,
        keys=keys,
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate(result),
    )


def limits_of(result: ClassAttention, style: Look) -> tuple[float, float] | None:
    """Values of the first and the last colour; None where the map is zero."""
    values = result.values if style.values == "positive" else result.signed
    largest = float(np.abs(values).max())
    if largest == 0:
        return None
    top = style.limit or largest
    return (-top if style.values == "signed" else 0.0, top)


def maps_of_frames(result: ClassAttention, style: Look) -> NDArray[np.float32]:
    """[frames, H, W] what each sampled frame shows of the map's time steps.

    Step i stands at frame ``i * stride_frames``. A frame shows the step at or before it, or the two around it weighted by how near
    they are; after the last step, that one.
    """
    values = result.values if style.values == "positive" else result.signed
    at = np.minimum(np.arange(len(result.clip.frames)) / result.grid.stride_frames, len(values) - 1)
    before = np.floor(at).astype(np.int64)
    if style.time == "step":
        return values[before]
    share = (at - before).astype(np.float32)[:, None, None]
    return (1 - share) * values[before] + share * values[np.minimum(before + 1, len(values) - 1)]


def _panel(
    result: ClassAttention,
    frame: int,
    place: int,
    heat: NDArray[np.float32],
    limits: tuple[float, float] | None,
    colors: ColorMap,
    style: Look,
) -> Panel:
    pixels = _grey(result.clip.frames[frame])
    layers: list[Layer] = [ImageLayer(pixels)]
    if limits is not None:
        grid, name = result.grid, METHODS[result.volume.method].title
        layers.append(
            HeatLayer(
                heat, grid.origin_px, grid.stride_px, limits, name, "raw", colors=colors, opacity=style.heat_opacity, smooth=style.smooth
            )
        )
    return Panel(
        name=f"frame {frame}",
        title=f"t = {frame}   frame {result.clip.index[frame]}, {result.clip.times_s[frame]:.2f} s",
        size_wh=(pixels.shape[1], pixels.shape[0]),
        row=place // style.columns,
        column=place % style.columns,
        layers=tuple(layers),
        frame=frame,
    )


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma (ITU-R BT.601) of a frame, in three channels."""
    luma = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=-1)


def _bar_label(result: ClassAttention, style: Look) -> str:
    if not METHODS[result.volume.method].uses_label:
        return "strength of the features"
    return "speaks for the label" if style.values == "positive" else "speaks for (against) the label"


# --------------------------------------------------------------------------------------------- words


def _caption(result: ClassAttention, style: Look, limits: tuple[float, float] | None) -> str:
    volume, source = result.volume, result.provenance
    method = METHODS[volume.method]
    of = f"{volume.label!r} (probability {result.probability:.3f})"
    predicted = " the predicted label" if result.params.target == "predicted" else ""
    parts = [
        f"{method.title} ({method.reference}) of {source.model} ({source.origin} weights) at {volume.stage}"
        + (f" for{predicted} {of}." if method.uses_label else f"; the prediction is {of}." if predicted else "."),
        f"Raw values from {volume.signed.min():.3g} to {volume.signed.max():.3g}, not rescaled"
        + ("; below zero nothing is shown." if style.values == "positive" else "."),
    ]
    if limits:
        parts.append(f"Colours from {limits[0]:.3g} to {limits[1]:.3g}, one scale for all frames; values do not compare between networks.")
    return " ".join((*parts, time_map(result, style), f"Source frames {', '.join(map(str, result.clip.index))} of {source.clip}."))


def time_map(result: ClassAttention, style: Look) -> str:
    """Which frames share a time step, and which frames a time step looks at."""
    steps, stride, frames = result.grid.shape[0], result.grid.stride_frames, len(result.clip.frames)
    if stride == 1:
        words = "Each frame has a time step of its own"
    elif steps == 1:
        words = f"All {frames} frames share one time step"
    else:
        between = "frames between steps show the step before" if style.time == "step" else "frames between steps are interpolated"
        words = f"The map has {steps} time steps, {stride} frames apart; {between}"
    low, high = result.frames_covered.T
    if not result.covers_known:
        return f"{words}."
    if (low == high).all():
        return f"{words}, and looks at that frame alone." if stride == 1 else f"{words}; each step looks at its own frame alone."
    if (low == 0).all() and (high == frames - 1).all():
        return f"{words}, and looks at all frames." if steps == 1 else f"{words}; every step looks at all frames."
    middle = steps // 2
    return f"{words}; step {middle} (frame {middle * stride}) looks at frames {low[middle]} to {high[middle]}."


def _alt(result: ClassAttention) -> str:
    volume = result.volume
    if volume.zero_because:
        return volume.zero_because
    step, y, x = (int(part) for part in np.unravel_index(int(volume.values.argmax()), volume.values.shape))
    column, row = result.grid.centre_px(np.array([x, y]))
    return (
        f"{METHODS[volume.method].title} for {volume.label!r} over {len(result.clip.frames)} frames: strongest ({volume.values.max():.3g}) "
        f"at frame {step * result.grid.stride_frames}, pixel ({column:g}, {row:g}); {float((volume.values > 0).mean()):.0%} of the cells "
        "are above zero."
    )


def tabulate(result: ClassAttention) -> Table:
    """One row for each time step: what it looks at, its values, where the largest lies."""
    columns = ("step", "frame", "first_frame", "last_frame", "value_max", "value_mean", "signed_min", "peak_x_px", "peak_y_px")
    rows = []
    for step, values in enumerate(result.values):
        y, x = np.unravel_index(int(values.argmax()), values.shape)
        peak = result.grid.centre_px(np.array([x, y])) if values.any() else None
        low, high = (int(frame) for frame in result.frames_covered[step])
        numbers = (float(values.max()), float(values.mean()), float(result.signed[step].min()))
        place: tuple[float | str, float | str] = ("", "") if peak is None else (float(peak[0]), float(peak[1]))
        rows.append((step, step * result.grid.stride_frames, low, high, *numbers, *place))
    return Table(columns, tuple(rows))


def no_difference(one: ClassAttention, other: ClassAttention, _look: Mapping[str, object]) -> str | None:
    """Why a difference of two maps would mean nothing; None where it means something."""
    if one.provenance.model_digest != other.provenance.model_digest:
        return "Raw values of attention maps do not compare between networks: compare where the maps are bright. No difference is drawn."
    if (one.volume.stage, one.volume.method) != (other.volume.stage, other.volume.method):
        return "Raw values of attention maps do not compare between stages or methods: no difference is drawn."
    return None
