"""DCF's pictures: directions on the colour wheel, stage by stage (the paper's figures 4 and 5), and the correlations behind a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.figure.spec import FigureSpec, ImageLayer, Layer, MotionLayer, Panel, PointLayer, Table, WheelKey
from vizkit.motion.dcf.agreement import CONFIDENT, Agreement
from vizkit.motion.dcf.analysis import CorrelationFields
from vizkit.motion.dcf.levels import CorrelationLevel, pool_levels
from vizkit.motion.dcf.patches import draw_patches

FADED = 0.35  # how much of a frame without a partner is left
FLOW = "TV-L1"
SOURCES = {
    "cosine": "centred cosine similarity of the features",
    "model": "the correlation volumes of its DCF blocks",
}


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    layout: Literal["pyramid", "common", "patch"] = "pyramid"
    """``pyramid``: every stage at its own resolution; ``common``: volumes pooled to the coarsest stage, as the deepest block sees them;
    ``patch``: the correlations of the picked cells."""
    offset: int = Field(1, ge=-8, le=8)
    """Time steps to the other frame (layouts ``pyramid`` and ``common``)."""
    raw: bool = False
    """Colour where the match lies instead of how the scene moves: another sign for earlier frames."""
    cells: bool = False
    """Show the cells instead of interpolating between their centres."""
    backdrop: Literal["white", "frame"] = "white"
    """What shows where no match is clear: white, or the frame in grey."""
    limits: dict[str, tuple[float, float]] = {}
    """By stage (or "TV-L1"), 0 and the motion of full colour in px per frame, to draw several pictures on one scale; else the reach."""

    @field_validator("offset")
    @classmethod
    def _apart(cls, value: int) -> int:
        if value == 0:
            raise ValueError("offset is 0, but a frame is compared with others: ..., -2, -1, 1, 2, ... are accepted")
        return value


def draw(result: CorrelationFields, **look: object) -> FigureSpec:
    """Describe a picture of correlation fields.

    Colours: hue from the direction of motion, saturation from its length over the stage's reach, then faded by the confidence. Vectors
    and confidence are interpolated before they are coloured.

    Args:
        result: from :func:`vizkit.motion.dcf.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look, an offset that no stage has, or stages that halving does not bring to one size (``common``).
    """
    style = Look.parse(**look)
    if style.layout == "patch":
        return draw_patches(result)
    levels = pool_levels(result.levels) if style.layout == "common" else result.levels
    shown = [level for level in levels if style.offset in level.frame_offset]
    if not shown:
        known = ", ".join(str(offset) for offset in sorted({o for level in levels for o in level.frame_offset.tolist()}))
        raise SettingError(f"offset is {style.offset}, but these stages were compared at offsets {known}.", code="offset")
    panels = [panel for frame in range(len(result.clip.frames)) for panel in _row(result, shown, frame, style)]
    together = f", all pooled to the resolution of {levels[-1].grid.stage}" if style.layout == "common" else ""
    return FigureSpec(
        title=f"Correlation pyramid, t {style.offset:+d}{together}",
        caption=_caption(result, shown, style, together),
        alt=_alt(result, shown, style),
        panels=tuple(panels),
        keys=_keys(result, shown, style),
        notes=(*result.notes, *_own_notes(levels, shown, style)),
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate(levels, result.agreements),
    )


def _row(result: CorrelationFields, levels: Sequence[CorrelationLevel], frame: int, style: Look) -> list[Panel]:
    """The panels of one sampled frame: the frame itself, then the stages."""
    pixels = result.clip.frames[frame]
    size_wh = (pixels.shape[1], pixels.shape[0])
    layers: list[Layer] = [ImageLayer(pixels)]
    here = [(x, y) for t, x, y in result.picked_txy.tolist() if t == frame] if result.params.points else []
    if here:
        layers.append(PointLayer(np.array(here), "query", marker="square", size_px=levels[0].grid.stride_px, name="picked cells"))
    first = Panel(
        f"frame {frame}", "frames" if frame == 0 else "", size_wh, frame, 0, tuple(layers), frame, "frames", row_title=f"t = {frame}"
    )
    row = [first]
    for number, level in enumerate(levels):
        title = f"{level.grid.stage}, {level.grid.stride_px:g}-px cells" if frame == 0 else ""
        drawn = _layers(level, frame, pixels, style)
        row.append(Panel(f"{level.grid.stage} {frame}", title, size_wh, frame, number + 1, drawn, frame, level.grid.stage))
    if result.flow_px is not None:
        title = "TV-L1, next frame" if frame == 0 else ""
        drawn = _flow_layers(result.flow_px, frame, pixels, _flow_full_px(levels, style))
        row.append(Panel(f"{FLOW} {frame}", title, size_wh, frame, len(levels) + 1, drawn, frame, FLOW))
    return row


def _layers(level: CorrelationLevel, frame: int, pixels: NDArray[np.uint8], style: Look) -> tuple[Layer, ...]:
    """The coloured vectors over a grey frame; the frame alone, faded, where there is no other frame to compare with."""
    index, step = level.frame_offset.tolist().index(style.offset), frame // level.grid.stride_frames
    grey = _grey(pixels)
    if step >= level.grid.shape[0] or not level.valid_time[index, step]:
        return (_alone(grey),)
    motion = level.motion_px[index, step] * (np.sign(style.offset) if style.raw else 1)
    return (
        ImageLayer(grey),
        MotionLayer(
            motion.astype(np.float32),
            level.confidence[index, step],
            level.grid.origin_px,
            level.grid.stride_px,
            _full_px(level, style),
            name=_motion_name(style),
            backdrop="picture" if style.backdrop == "frame" else "white",
            smooth=not style.cells,
        ),
    )


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(pixels.mean(-1, keepdims=True)).astype(np.uint8), 3, axis=-1)


def _alone(grey: NDArray[np.uint8]) -> ImageLayer:
    """A frame without another one to compare it with, faded."""
    return ImageLayer(np.rint(255 - FADED * (255.0 - grey)).astype(np.uint8), name="no other frame")


def _flow_layers(flow_px: NDArray[np.float32], frame: int, pixels: NDArray[np.uint8], full_px: float) -> tuple[Layer, ...]:
    """TV-L1 from a frame to the next one."""
    if frame >= len(flow_px):
        return (_alone(_grey(pixels)),)
    sure = np.ones(flow_px.shape[1:3], np.float32)
    return ImageLayer(_grey(pixels)), MotionLayer(flow_px[frame], sure, 0.0, 1.0, full_px, name=FLOW)


def _flow_full_px(levels: Sequence[CorrelationLevel], style: Look) -> float:
    """Motion of full colour, that of the first stage, so that the two compare."""
    return style.limits[FLOW][1] if FLOW in style.limits else _full_px(levels[0], style)


def _keys(result: CorrelationFields, levels: Sequence[CorrelationLevel], style: Look) -> tuple[WheelKey, ...]:
    keys = [WheelKey(level.grid.stage, _full_px(level, style), _motion_name(style)) for level in levels]
    return (*keys, *([WheelKey(FLOW, _flow_full_px(levels, style))] if result.flow_px is not None else []))


def _motion_name(style: Look) -> str:
    return "displacement" if style.raw else "motion"


def _full_px(level: CorrelationLevel, style: Look) -> float:
    """Motion of full colour, in px per frame."""
    return style.limits.get(level.grid.stage, (0.0, level.reach_px))[1]


def _caption(result: CorrelationFields, levels: Sequence[CorrelationLevel], style: Look, together: str) -> str:
    source = result.provenance
    stages = _listed([level.grid.stage for level in levels])
    patches = _listed(sorted({f"{level.patch} x {level.patch}" for level in levels}))
    limits = ", ".join(f"{_full_px(level, style):g} px per frame ({level.grid.stage})" for level in levels)
    own = all(_full_px(level, style) == level.reach_px for level in levels)
    until = "the reach of" if own else "a scale given for several pictures,"
    meaning = "where the best match lies in that frame" if style.raw else "direction of motion that the best match in that frame stands for"
    flow = f"{FLOW}: motion to the next frame, full colour at {_flow_full_px(levels, style):g} px."
    return " ".join(
        (
            f"Correlation of {source.model} ({source.origin} weights) at {stages}{together}{',' if together else ''} with the frame "
            f"{_apart(style.offset)}: {SOURCES[result.params.source]}, {patches} neighbours, dilation {abs(style.offset)}.",
            f"Hue: {meaning}; saturation: its length, full colour at {until} {limits}; {_backdrop(style)}: no clear match.",
            *([flow] if result.flow_px is not None else []),
            f"Source frames {', '.join(str(number) for number in result.clip.index)} of {source.clip}.",
        )
    )


def _apart(offset: int) -> str:
    steps = "one time step" if abs(offset) == 1 else f"{abs(offset)} time steps"
    return f"{steps} {'later' if offset > 0 else 'earlier'}"


def _backdrop(style: Look) -> str:
    return "white" if style.backdrop == "white" else "grey"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def _alt(result: CorrelationFields, levels: Sequence[CorrelationLevel], style: Look) -> str:
    """What is seen, in numbers."""
    found = []
    for level in levels:
        index = level.frame_offset.tolist().index(style.offset)
        valid = level.valid_time[index]
        share, motion = _confident(level.motion_px[index, valid], level.confidence[index, valid])
        mean = f"mean motion x {motion[0]:+.1f}, y {motion[1]:+.1f} px per frame"
        found.append(f"{level.grid.stage}: {share:.0%} of the cells have a clear match, {mean}")
    rows = f"{len(result.clip.frames)} frames, each beside its directions of motion at {len(levels)} stages"
    return f"{rows}. {'; '.join(found)}."


def _confident(motion: NDArray[np.float32], confidence: NDArray[np.float32]) -> tuple[float, tuple[float, float]]:
    """Share of the cells with a clear match, and their mean motion (x, y); zero where there is none."""
    sure = confidence >= CONFIDENT
    if not sure.any():
        return 0.0, (0.0, 0.0)
    x, y = (float(value) for value in motion[sure].mean(0))
    return float(sure.mean()), (x, y)


def _own_notes(levels: Sequence[CorrelationLevel], shown: Sequence[CorrelationLevel], style: Look) -> list[str]:
    without = [level.grid.stage for level in levels if style.offset not in level.frame_offset]
    notes = [f"{_listed(without)} is not compared with frames {abs(style.offset)} time steps away."] if without else []
    index = shown[0].frame_offset.tolist().index(style.offset)
    if not shown[0].valid_time[index].all():
        notes.append(f"Faded frames: the clip has no frame {_apart(style.offset)}; they were compared with the end frame.")
    return notes


def tabulate(levels: Sequence[CorrelationLevel], agreements: Sequence[Agreement] = ()) -> Table:
    """One row for each stage, time step and offset: how many cells have a clear match, and their mean motion.

    Where optical flow is known, what is held against it, the next time step, has the mean cosine of the angle and the cells behind it.
    """
    known = {agreement.stage: agreement for agreement in agreements}
    columns: tuple[str, ...] = (
        "stage", "t", "frame_offset", "to_t", "valid", "cells", "mean_confidence", "confident_share", "mean_motion_x_px",
        "mean_motion_y_px", "reach_px",
    )  # fmt: skip
    columns += ("tvl1_cosine", "tvl1_cells") if known else ()
    rows = []
    for level in levels:
        for step in range(level.grid.shape[0]):
            for index, offset in enumerate(level.frame_offset.tolist()):
                sure = level.confidence[index, step]
                share, (x, y) = _confident(level.motion_px[index, step], sure)
                t, apart = step * level.grid.stride_frames, offset * level.grid.stride_frames
                rows.append(
                    (
                        level.grid.stage, t, apart, t + apart, bool(level.valid_time[index, step]), sure.size, float(sure.mean()),
                        share, x, y, level.reach_px, *_agreed(known.get(level.grid.stage), step, offset),
                    )
                )  # fmt: skip
    return Table(columns, tuple(rows))


def _agreed(agreement: Agreement | None, step: int, offset: int) -> tuple[float | str, int | str] | tuple[()]:
    """Cosine and cells of one row; empty where nothing is held against optical flow."""
    if agreement is None:
        return ()
    if offset != 1:
        return "", ""
    return float(agreement.cosine[step]) if agreement.cells[step] else "", int(agreement.cells[step])
