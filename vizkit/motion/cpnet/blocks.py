"""CPNet's second picture: features before and after each CP module, and how much it changes them, on scales that all blocks share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vizkit.errors import NotAvailableError
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Panel, Table
from vizkit.motion.cpnet.analysis import Correspondences
from vizkit.motion.cpnet.strength import BlockStrength

FEATURES, CHANGE = "mean |feature|", "mean |change|"
SCALES = {"before": FEATURES, "after": FEATURES, "change": CHANGE}
"""Map of a block -> what is written on its scale."""
Limits = dict[str, tuple[float, float]]


def draw_blocks(result: Correspondences, *, columns: int, limits: Limits) -> FigureSpec:
    """Describe the picture of all blocks.

    Below the frames three rows for each CP module, shallow to deep: mean over channels of |x| before it, of |x + output| after it, both
    before the residual block's ReLU, and of |output|. Before and after share one scale over all blocks and frames, the changes another.

    Args:
        result: from :func:`vizkit.motion.cpnet.analysis.analyze`.
        columns: frames shown, the middle ones of so many equal parts of the clip.
        limits: ends of a scale, by what is written on it; from zero to the largest value where none are given.

    Raises:
        NotAvailableError: no CP module is on in the run.
    """
    if not result.strengths:
        raise NotAvailableError("There is no CP module at work in this run, so nothing is changed.", code="no_blocks")
    ends = {name: limits.get(name, (0.0, max(largest, 1e-12))) for name, largest in _largest(result).items()}
    total = len(result.clip.frames)
    frames = sorted({(2 * part + 1) * total // (2 * columns) for part in range(columns)})
    words = ", ".join(strength.block for strength in result.strengths)
    source = result.provenance
    return FigureSpec(
        title="Features before and after each CP module",
        caption=(
            f"Features of {source.model} ({source.origin} weights) before and after its CP modules {words}, before the ReLU: mean over "
            f"channels of |x| and of |x + output|, one scale for all (0 to {ends[FEATURES][1]:.3g}); change: mean of |output|, one scale "
            f"for all (0 to {ends[CHANGE][1]:.3g}). Source frames {', '.join(str(result.clip.index[frame]) for frame in frames)} of "
            f"{source.clip}."
        ),
        alt=_alt(result),
        panels=tuple(_panels(result, frames, ends)),
        keys=(
            ColorBarKey(FEATURES, ends[FEATURES], "viridis", "one scale for all blocks, before and after"),
            ColorBarKey(CHANGE, ends[CHANGE], "inferno", "one scale for all blocks"),
        ),
        notes=result.notes,
        provenance=source,
        arrays=result.arrays(),
        table=tabulate_blocks(result),
    )


def _largest(result: Correspondences) -> dict[str, float]:
    """Largest value on each scale."""
    features = max(max(float(strength.before.max()), float(strength.after.max())) for strength in result.strengths)
    return {FEATURES: features, CHANGE: max(float(strength.change.max()) for strength in result.strengths)}


def _panels(result: Correspondences, frames: list[int], ends: Limits) -> Iterator[Panel]:
    height, width = result.clip.frames.shape[1:3]
    for column, frame in enumerate(frames):
        title, heading = f"t = {frame}   {result.clip.times_s[frame]:.2f} s", "" if column else "frames"
        yield Panel(f"frame {frame}", title, (width, height), 0, column, (ImageLayer(result.clip.frames[frame]),), frame, row_title=heading)
    maps = [(strength, what) for strength in result.strengths for what in SCALES]
    for row, (strength, what) in enumerate(maps, 1):
        for column, frame in enumerate(frames):
            view = f"{strength.block} {what}"
            heat = tuple(_heat(strength, what, frame, ends))
            yield Panel(f"{view} {frame}", "", (width, height), row, column, heat, frame, view, "" if column else view)


def _heat(strength: BlockStrength, what: str, frame: int, ends: Limits) -> Iterator[HeatLayer]:
    step, name = frame // strength.grid.stride_frames, SCALES[what]
    values: NDArray[np.float32] = getattr(strength, what)
    if step < len(values):
        place = (strength.grid.origin_px, strength.grid.stride_px)
        yield HeatLayer(values[step], *place, ends[name], name, colors="inferno" if name == CHANGE else "viridis", opacity=1.0)


def _share(strength: BlockStrength) -> float:
    """Mean change over mean feature before."""
    return float(strength.change.mean() / max(float(strength.before.mean()), 1e-12))


def _alt(result: Correspondences) -> str:
    told = [f"{strength.block} changes by {_share(strength):.0%} of the features' mean size" for strength in result.strengths]
    return f"Maps of the features before and after {len(told)} CP modules and of their change: {', '.join(told)}."


def tabulate_blocks(result: Correspondences) -> Table:
    """One row for each block and time step: means and maxima of the maps, and where the change is largest."""
    columns = (
        "block", "t", "before_mean", "after_mean", "change_mean", "change_max", "change_over_before", "largest_change_x_px",
        "largest_change_y_px",
    )  # fmt: skip
    rows = []
    for strength in result.strengths:
        for step, change in enumerate(strength.change):
            y, x = np.unravel_index(int(change.argmax()), change.shape)
            place = strength.grid.centre_px(np.array([x, y]))
            before, after, mean = (float(values[step].mean()) for values in (strength.before, strength.after, strength.change))
            where = (float(place[0]), float(place[1]))
            rows.append(
                (
                    strength.block,
                    step * strength.grid.stride_frames,
                    before,
                    after,
                    mean,
                    float(change.max()),
                    mean / max(before, 1e-12),
                    *where,
                )
            )
    return Table(columns, tuple(rows))
