"""The class map as one more layer over the frames of another view's picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vizkit.figure.layers import lay_map
from vizkit.figure.spec import ColorBarKey, FigureSpec
from vizkit.motion.gradcam.analysis import ClassAttention
from vizkit.motion.gradcam.figure import Look, maps_of_frames, time_map
from vizkit.net.attention import METHODS


def lay_over(spec: FigureSpec, result: ClassAttention, limit: float | None = None) -> FigureSpec:
    """Lay a class map over the frames of a figure.

    The colours run from 0 to 1 of the map's largest value in the clip, one scale for all frames; or over raw values, so that maps of
    several networks can have one scale. The raw values are among the figure's arrays as ``class_map``.

    Args:
        spec: a figure of the same frames.
        result: from :func:`vizkit.motion.gradcam.analysis.analyze`.
        limit: raw value of the last colour; None for parts of the largest one.

    Returns:
        The figure with the map, its bar and its words; with a note alone where no cell speaks for the label.
    """
    notes = dict.fromkeys((*spec.notes, *result.notes))
    volume, method = result.volume, METHODS[result.volume.method]
    largest = float(result.values.max())
    if largest == 0:
        return replace(spec, notes=tuple(notes))
    name = f"{method.title}: {volume.label}" if method.uses_label else method.title
    key = ColorBarKey(name, (0.0, 1.0), "viridis", f"1 = largest value in the clip, {largest:.3g}", name)
    if limit is not None:
        key = ColorBarKey(name, (0.0, limit), "viridis", "raw values", name)
    height, width = result.clip.frames.shape[1:3]
    maps = (maps_of_frames(result, Look()) / np.float32(largest if limit is None else 1)).astype(np.float32)
    laid = lay_map(spec, maps, result.grid, (width, height), key)
    if laid is spec:
        return spec
    params = result.params.model_dump(mode="json", exclude_defaults=True)
    made = {**spec.recipe, "class_map": params, **({} if limit is None else {"class_map_limit": limit})}
    return replace(
        laid,
        caption=f"{spec.caption} {_caption(result, largest, limit)}",
        alt=f"{spec.alt} {_alt(result)}",
        notes=tuple(notes),
        arrays={**spec.arrays, "class_map": result.values},
        recipe=made if spec.recipe else spec.recipe,
    )


def _caption(result: ClassAttention, largest: float, limit: float | None) -> str:
    volume, method = result.volume, METHODS[result.volume.method]
    predicted = "the predicted label" if result.params.target == "predicted" else "the label"
    of = f"for {predicted} {volume.label!r} (probability {result.probability:.3f})" if method.uses_label else ""
    scale = f"0 to 1 of its largest value in the clip, {largest:.3g}" if limit is None else f"raw values from 0 to {limit:.3g}"
    return (
        f"Over the frames: {method.title} ({method.reference}) of {result.provenance.model} at {volume.stage} {of}, {scale}; "
        f"below zero counts as zero. {time_map(result, Look())}"
    )


def _alt(result: ClassAttention) -> str:
    step, y, x = (int(part) for part in np.unravel_index(int(result.values.argmax()), result.values.shape))
    column, row = result.grid.centre_px(np.array([x, y]))
    return (
        f"Over the frames lies {METHODS[result.volume.method].title} for {result.volume.label!r}: strongest at frame "
        f"{step * result.grid.stride_frames}, pixel ({column:g}, {row:g})."
    )
