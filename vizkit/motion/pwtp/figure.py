"""PWTP's pictures: every segment beside other pictures of motion under one display rule, and one segment frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Key, Layer, MotionLayer, Panel, Table, WheelKey
from vizkit.motion.pwtp.analysis import DynamicAppearance, Pictures
from vizkit.motion.pwtp.display import RULES, SHARE, SMALLEST, Rule, Spread, displayed, ends_of, full_range, range_words, visible
from vizkit.motion.pwtp.longer import draw_longer

LONGEST_SHARE, SHORTEST_PX = 99.0, 0.5
"""Percentile of the lengths that gets the full colour of the wheel, and the least length that does: noise stays pale."""
COSINE, WEIGHT = "cosine to a constant", "weight"
FLOWS = {"flow_px": "TV-L1", "flow_tvnet_px": "TVNet"}
ORIGINS = {
    "own": "the projection of {model} ({origin} weights)",
    "start": "an untrained projection",
    "fit": "a projection that was trained on this clip for {steps} steps",
}


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    layout: Literal["comparison", "segment", "lengths"] = "comparison"
    """``comparison``: each segment's frames, and below them its pictures side by side; ``segment``: one segment frame by frame;
    ``lengths``: dynamic appearance of longer and longer sequences."""
    rule: Rule = "signed"
    """Of dynamic appearance and dynamic images: ``signed`` (grey is zero), ``minmax`` or ``abs``."""
    scale: Literal["clip", "segment"] = "clip"
    """One range for all segments, so that brightness compares, or one for each."""
    segment: int = Field(0, ge=0, le=63)
    """Segment that is shown frame by frame."""
    limits: dict[str, tuple[float, float]] = {}
    """Ends of a key's scale, by what is written on it, to draw several pictures on one scale; its own range where none are given."""


@dataclass(frozen=True)
class _Column:
    """Pictures of all segments under one display rule."""

    view: str
    title: str
    """Above the pictures."""
    name: str
    """Beside their key."""
    values: Pictures
    """[segments, H, W, 3]"""
    rule: Rule


def draw(result: DynamicAppearance, **look: object) -> FigureSpec:
    """Describe a picture of static and dynamic appearance.

    Display rules, with q the 99.5th percentile of the absolute values: ``signed`` 0.5 + 0.5 a/q, ``abs`` |a|/q, ``minmax``
    (a - min)/(max - min) over all channels. What has no value above 1e-8 is drawn in flat grey.

    Args:
        result: from :func:`vizkit.motion.pwtp.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look, or a segment that the clip does not have.
        NotAvailableError: sequences of several lengths are asked for, and were not computed.
    """
    style = Look.parse(**look)
    if style.layout == "lengths":
        return draw_longer(result, rule=style.rule, limits=style.limits)
    if style.segment >= len(result.dynamic):
        raise SettingError(f"segment is {style.segment}, but 0 to {len(result.dynamic) - 1} are accepted for this clip.", code="segment")
    panels, keys, flat = _comparison(result, style) if style.layout == "comparison" else _segment(result, style)
    empty = [f"Nothing to show in {', '.join(flat)}: drawn in flat grey."] if flat else []
    return FigureSpec(
        title=_title(result, style),
        caption=_caption(result, style),
        alt=_alt(result),
        panels=tuple(panels),
        keys=tuple(keys),
        notes=(*result.notes, *empty, *_noise(result)),
        provenance=result.provenance,
        arrays=result.arrays(),
        table=_tabulate(result),
    )


# ------------------------------------------------------------------------------------------------ keys


def _said(label: str, rule: Rule) -> str:
    """What is written on the key of a display."""
    return label if rule == "abs" else f"{label}, {rule}"


def _spread(values: NDArray[Any], label: str, rule: Rule, style: Look) -> Spread:
    """What gets the full range of a display: what was set for it, or :func:`full_range`."""
    given = style.limits.get(_said(label, rule))
    return full_range(values) if given is None else (given[1], given)


def _key(label: str, rule: Rule, shown: Spread, extent: tuple[float, float]) -> Key:
    """The key of a display, with the raw range of what was rescaled."""
    return ColorBarKey(_said(label, rule), ends_of(rule, *shown), "gray", f"each channel; raw {range_words(extent)}")


def _shown(columns: Sequence[_Column], style: Look) -> tuple[list[list[tuple[str, NDArray[np.uint8]]]], list[Key], list[str]]:
    """For each column its pictures with their titles, then the keys, and the columns without anything to show."""
    pictures, keys, flat = [], [], []
    for column in columns:
        extent = full_range(column.values)[1]
        spread = _spread(column.values, column.name, column.rule, style)
        own = [full_range(values) for values in column.values] if style.scale == "segment" else [spread] * len(column.values)
        drawn = []
        for values, (q, ends) in zip(column.values, own, strict=True):
            said = f" {range_words(ends)}" if style.scale == "segment" else ""
            drawn.append((f"{column.title}{said}", displayed(values, column.rule, q, ends)))
        pictures.append(drawn)
        if not visible(column.rule, *spread):
            flat.append(column.name)
        elif style.scale == "clip":
            keys.append(_key(column.name, column.rule, spread, extent))
    return pictures, keys, flat


# ------------------------------------------------------------------------------------------------ all segments


def _comparison(result: DynamicAppearance, style: Look) -> tuple[list[Panel], list[Key], list[str]]:
    """Two rows for each segment: its frames, and what is made of them."""
    columns = [
        _Column("dynamic", "DA", "dynamic appearance (DA)", result.dynamic, style.rule),
        _Column("size", "|DA|", "|DA|", result.dynamic, "abs"),
        _Column("image", "DI", "dynamic image (DI)", result.dynamic_image, style.rule),
        _Column("exact image", "exact DI", "exact dynamic image", result.dynamic_image_exact, style.rule),
        _Column("difference", "RGB diff.", "mean |RGB difference|", np.abs(result.rgb_difference).mean(1), "abs"),
    ]
    pictures, keys, flat = _shown(columns, style)
    flows, longest_px = _flows(result, style)
    panels = []
    for segment, numbers in enumerate(result.frame_number.tolist()):
        row, first = 2 * segment, numbers[0]
        panels += [_frame_panel(result, number, row, place) for place, number in enumerate(numbers)]
        layers: list[tuple[str, str, tuple[Layer, ...]]] = [
            ("mean", "mean frame", (_made(_mean_frame(result, segment)),)),
            ("static", "static part", (_made(_static_picture(result, segment)),)),
            ("cosine", "cosine", (_cosine(result, segment, style),)),
        ]
        layers += [(column.view, *_titled(drawn[segment])) for column, drawn in zip(columns, pictures, strict=True)]
        middle = (len(numbers) - 1) // 2
        layers += [(name, title, (_flow_layer(flow[segment, middle], longest_px, title),)) for name, title, flow in flows]
        for place, (view, title, drawn_layers) in enumerate(layers):
            said = title if segment == 0 or style.scale == "segment" else ""
            heading = f"segment {segment}" if place == 0 else ""
            panels.append(Panel(f"{view} {segment}", said, _size_wh(result), row + 1, place, drawn_layers, first, view, heading))
    keys.insert(0, ColorBarKey(COSINE, _cosine_limits(result, style), "viridis", "1: what never changes vanishes"))
    return panels, [*keys, *(WheelKey(title, longest_px) for _, title, _ in flows)], flat


def _titled(drawn: tuple[str, NDArray[np.uint8]]) -> tuple[str, tuple[Layer, ...]]:
    return drawn[0], (_made(drawn[1]),)


def _made(pixels: NDArray[np.uint8]) -> ImageLayer:
    """A picture that is no frame of the clip."""
    return ImageLayer(pixels, "picture")


def _frame_panel(result: DynamicAppearance, number: int, row: int, place: int) -> Panel:
    heading = "frames" if place == 0 else ""
    pixels = result.clip.frames[number]
    return Panel(f"frame {number}", f"t = {number}", _size_wh(result), row, place, (ImageLayer(pixels),), number, "frames", heading)


def _size_wh(result: DynamicAppearance) -> tuple[int, int]:
    return result.grid.shape[2], result.grid.shape[1]


def _mean_frame(result: DynamicAppearance, segment: int) -> NDArray[np.uint8]:
    return np.rint(result.clip.frames[result.frame_number[segment]].mean(0)).astype(np.uint8)


def _static_picture(result: DynamicAppearance, segment: int) -> NDArray[np.uint8]:
    """The mean of the static part, with the network's normalisation undone: mean frame minus dynamic appearance, in its colours."""
    frames = result.clip.frames[result.frame_number[segment]].astype(np.float64) / 255
    return np.rint(255 * np.clip(frames.mean(0) - result.dynamic[segment] * result.std, 0, 1)).astype(np.uint8)


def _cosine(result: DynamicAppearance, segment: int, style: Look) -> HeatLayer:
    return HeatLayer(result.cosine[segment], 0.0, 1.0, _cosine_limits(result, style), COSINE, colors="viridis", opacity=1.0)


def _cosine_limits(result: DynamicAppearance, style: Look) -> tuple[float, float]:
    """From the smallest value, rounded down to a twentieth, to 1, or what was set."""
    return style.limits.get(COSINE, (min(float(np.floor(20 * result.cosine.min()) / 20), 0.95), 1.0))


def _flows(result: DynamicAppearance, style: Look) -> tuple[list[tuple[str, str, Pictures]], float]:
    """The flows that there are, and the length that gets the full colour in all of them, which may have been set."""
    found = [(name, title, getattr(result, name)) for name, title in FLOWS.items() if getattr(result, name) is not None]
    lengths = [np.percentile(np.hypot(*np.moveaxis(flow, -1, 0)), LONGEST_SHARE) for _, _, flow in found]
    given = [style.limits[title][1] for _, title, _ in found if title in style.limits]
    return found, max(given or [SHORTEST_PX, *(float(length) for length in lengths)])


def _flow_layer(flow: Pictures, longest_px: float, name: str) -> MotionLayer:
    return MotionLayer(flow, np.ones(flow.shape[:2], np.float32), 0.0, 1.0, longest_px, name=name)


# ------------------------------------------------------------------------------------------------ one segment


def _segment(result: DynamicAppearance, style: Look) -> tuple[list[Panel], list[Key], list[str]]:
    """A row for each frame of a segment: the frame, its static part, its residual, how much it adds, and its flow."""
    segment, numbers = style.segment, result.frame_number[style.segment].tolist()
    residual, weight = result.residual[segment], result.weight[segment]
    extent, spread = full_range(residual)[1], _spread(residual, "residual", style.rule, style)
    largest = style.limits[WEIGHT][1] if WEIGHT in style.limits else max(float(np.abs(weight).max()), SMALLEST)
    flows, longest_px = _flows(result, style)
    panels = []
    for place, number in enumerate(numbers):
        layers: list[tuple[str, str, tuple[Layer, ...]]] = [
            ("frames", "frames", (ImageLayer(result.clip.frames[number]),)),
            ("static", "static part", (_made(_static_part(result, segment, place)),)),
            ("residual", f"residual, {style.rule}", (_made(displayed(residual[place], style.rule, *spread)),)),
            ("weight", "weight", (HeatLayer(weight[place], 0.0, 1.0, (-largest, largest), WEIGHT, colors="diverging", opacity=1.0),)),
        ]
        if place + 1 < len(numbers):
            layers += [(name, title, (_flow_layer(flow[segment, place], longest_px, title),)) for name, title, flow in flows]
        for column, (view, title, drawn) in enumerate(layers):
            heading = f"t = {number}" if column == 0 else ""
            name = f"{'frame' if view == 'frames' else view} {number}"
            panels.append(Panel(name, title if place == 0 else "", _size_wh(result), place, column, drawn, number, view, heading))
    shown = visible(style.rule, *spread)
    keys: list[Key] = [_key("residual", style.rule, spread, extent)] if shown else []
    keys.append(ColorBarKey(WEIGHT, (-largest, largest), "diverging", "of a frame in dynamic appearance, times the segment's frames"))
    return panels, [*keys, *(WheelKey(title, longest_px) for _, title, _ in flows)], [] if shown else ["residual"]


def _static_part(result: DynamicAppearance, segment: int, place: int) -> NDArray[np.uint8]:
    """Frame minus residual, in the frame's colours."""
    frame = result.clip.frames[result.frame_number[segment, place]].astype(np.float64) / 255
    return np.rint(255 * np.clip(frame - result.residual[segment, place] * result.std, 0, 1)).astype(np.uint8)


# ------------------------------------------------------------------------------------------------ words


def _noise(result: DynamicAppearance) -> list[str]:
    """A sentence for a clip in which next to nothing changes: its rescaled pictures look busy."""
    limit, step = full_range(result.dynamic)[0], 1 / (255 * max(result.std))
    if limit < SMALLEST or limit >= step:
        return []
    return [f"Dynamic appearance (q = {limit:.2g}) stays below one step of 8-bit colours ({step:.2g}): rounding shows in it too."]


def _title(result: DynamicAppearance, style: Look) -> str:
    frames = result.frame_number.shape[1]
    if style.layout == "segment":
        return f"Segment {style.segment}, frame by frame"
    return f"Static and dynamic appearance, segments of {frames} frames"


def _caption(result: DynamicAppearance, style: Look) -> str:
    source, params = result.provenance, result.params
    projection = ORIGINS[result.origin].format(model=source.model, origin=source.origin, steps=params.fit_steps)
    rank = result.rank
    ranges = "one range for all segments" if style.scale == "clip" or style.layout == "segment" else "a range for each segment"
    middle = "from the middle frame to the next" if style.layout == "comparison" else "to the next frame"
    flows = " and ".join(title for name, title in FLOWS.items() if getattr(result, name) is not None)
    shown = {
        "comparison": f"Dynamic appearance and dynamic images: {RULES[style.rule]}; its size and the mean absolute RGB difference: "
        f"{RULES['abs']}",
        "segment": f"Residual: {RULES[style.rule]}; weight: how much a frame adds at a pixel, times the number of frames",
    }[style.layout]
    return " ".join(
        (
            f"Segments of {result.frame_number.shape[1]} frames, each pixel projected on {rank} dimension{'s' * (rank > 1)} of time by "
            f"{projection}.",
            f"{shown}; a in normalised RGB, q the {SHARE:g}th percentile of |a|, {ranges}.",
            *([f"{flows}: motion {middle}, direction as hue, one length of full colour for all."] if flows else []),
            f"Source frames {', '.join(str(number) for number in result.clip.index)} of {source.clip}.",
        )
    )


def _alt(result: DynamicAppearance) -> str:
    told = [
        f"segment {segment}: residual {result.enopr[segment]:.3f} (temporal mean {result.enopr_of_mean[segment]:.3f}), "
        f"mean |dynamic appearance| {np.abs(result.dynamic[segment]).mean():.3f}"
        for segment in range(len(result.dynamic))
    ]
    return f"{len(result.dynamic)} segments of {result.frame_number.shape[1]} frames. {'; '.join(told)}."


def _tabulate(result: DynamicAppearance) -> Table:
    """One row for each segment: what is left by the projection, and the raw range of every picture."""
    pictures: dict[str, Pictures] = {
        "dynamic": result.dynamic,
        "dynamic_image": result.dynamic_image,
        "dynamic_image_exact": result.dynamic_image_exact,
        "rgb_difference": result.rgb_difference,
    }
    parts: dict[str, Callable[[Pictures], float]] = {"min": lambda a: float(a.min()), "max": lambda a: float(a.max())}
    parts["mean_abs"] = lambda a: float(np.abs(a).mean())
    flows = {name: getattr(result, name) for name in FLOWS if getattr(result, name) is not None}
    columns = ["segment", "first_frame", "frames", "enopr_rms", "enopr_rms_of_temporal_mean", "mean_cosine"]
    columns += [f"{name}_{part}" for name in pictures for part in parts]
    columns += [f"{name.removesuffix('_px')}_mean_px" for name in flows]
    rows = []
    for segment, numbers in enumerate(result.frame_number.tolist()):
        row: list[str | int | float | bool] = [segment, numbers[0], len(numbers), float(result.enopr[segment])]
        row += [float(result.enopr_of_mean[segment]), float(result.cosine[segment].mean())]
        row += [part(values[segment]) for values in pictures.values() for part in parts.values()]
        row += [float(np.hypot(*np.moveaxis(flow[segment], -1, 0)).mean()) for flow in flows.values()]
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))
