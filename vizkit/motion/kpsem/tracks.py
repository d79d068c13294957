"""KPSEM's key points followed over time: the way of each region's key point, from the first step to the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vizkit.figure.spec import ArrowLayer, FigureSpec, ImageLayer, Layer, LegendKey, Panel, PointLayer, Table
from vizkit.motion.kpsem.analysis import KeyPointShifts
from vizkit.motion.kpsem.marks import CROSS_SHARE, block_words, channel_words, frame_words, region_legend, region_mark, set_words

Follow = Literal["region", "match"]
SMALLEST_MARK, FAINTEST = 0.4, 0.35
"""Size of the first step's cross over that of the last one's, and opacity of the first arrow."""
FOLLOWED = {
    "region": "the key point of one region in every step",
    "match": "from each key point to the one of the next step with the most similar value, in whatever region",
}


class Tracks(NamedTuple):
    """The ways of the key points of the set and the channels shown, one for each region that they start in."""

    region: NDArray[np.int64]
    """[regions, N, T] region in which the key point lies at each step."""
    point_cells: NDArray[np.int64]
    """[regions, N, T, 2] (x, y) cells."""
    known: NDArray[np.bool_]
    """[regions, N, T] False where the region is flat: it has no key point there."""
    value: NDArray[np.float32]
    """[regions, N, T] value of the key point."""


def follow_points(result: KeyPointShifts, follow: Follow = "region") -> Tracks:
    """Follow the key points of the shown set and channels over the steps.

    Args:
        result: key points.
        follow: ``"region"``: the key point of the same region at every step; ``"match"``: the step's best match (the largest weight of
            equation 9), from region to region; tracks that meet go on together.
    """
    shown, channels = result.params.set_shown, result.channels
    steps, regions = result.grid.shape[0], np.arange(result.regions)[:, None]
    number = np.arange(len(channels))[None]
    region = np.empty((result.regions, len(channels), steps), np.int64)
    region[..., 0] = regions
    best = result.best_region[shown][:, channels]  # [regions, N, T-1]
    for step in range(steps - 1):
        region[..., step + 1] = best[region[..., step], number, step] if follow == "match" else regions
    at = (region, number[..., None], np.arange(steps))
    points, flat, value = (array[shown][:, channels][at] for array in (result.point_cells, result.flat, result.value))
    return Tracks(region, points, ~flat, value)


def draw_tracks(result: KeyPointShifts, *, follow: Follow, columns: int) -> FigureSpec:
    """Describe the picture of tracks: a panel for each channel, over the mean of the frames of the steps.

    Arrows run from step to step; crosses are larger and arrows more opaque the later they are.

    Args:
        result: from :func:`vizkit.motion.kpsem.analysis.analyze`.
        follow: see :func:`follow_points`.
        columns: panels in a row.
    """
    tracks = follow_points(result, follow)
    steps = result.grid.shape[0]
    arrows = "step by step; the later, the larger and the more opaque"
    return FigureSpec(
        title=f"Key points of {result.block} over time",
        caption=(
            f"Tracks of the key points of {block_words(result)}, {set_words(result)}, channels {channel_words(result)}, over {steps} "
            f"steps: {FOLLOWED[follow]}. Arrows lead forward in time, later crosses are larger; over the mean frame. {frame_words(result)}"
        ),
        alt=_alt(result, tracks),
        panels=tuple(_panels(result, tracks, columns)),
        keys=(region_legend(result), *([LegendKey((("neutral", arrows),))] if steps > 1 else [])),
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate_tracks(result, tracks),
    )


def _panels(result: KeyPointShifts, tracks: Tracks, columns: int) -> Iterator[Panel]:
    shown = result.clip.frames[:: result.grid.stride_frames][: result.grid.shape[0]]
    mean = np.rint(shown.mean(0)).astype(np.uint8)
    for place, channel in enumerate(result.channels.tolist()):
        row, column = divmod(place, columns)
        layers = (ImageLayer(mean, "mean frame"), *_layers(result, tracks, place))
        yield Panel(f"channel {channel}", f"c = {channel}", (mean.shape[1], mean.shape[0]), row, column, layers)


def _layers(result: KeyPointShifts, tracks: Tracks, place: int) -> Iterator[Layer]:
    """Arrows and crosses of one channel, region by region; the mark is that of the region that the key point lies in."""
    size_px, steps = CROSS_SHARE * min(result.clip.frames.shape[1:3]), result.grid.shape[0]
    late = np.linspace(0, 1, steps) if steps > 1 else np.ones(1)
    for start in range(result.regions):
        region, known = tracks.region[start, place], tracks.known[start, place]
        xy_px = result.grid.centre_px(tracks.point_cells[start, place])
        moves = known[:-1] & known[1:] & (xy_px[:-1] != xy_px[1:]).any(-1)
        name = result.region_name(start)
        yield ArrowLayer(
            xy_px[:-1][moves], xy_px[1:][moves], region_mark(start, result.regions)[0],
            (FAINTEST + (1 - FAINTEST) * late[1:])[moves].astype(np.float32),
            tuple(f"{name}: step {step} to {step + 1}" for step in np.nonzero(moves)[0]), size_px, name,
        )  # fmt: skip
        for step in np.nonzero(known)[0]:
            role, marker = region_mark(int(region[step]), result.regions)
            side_px = size_px * (SMALLEST_MARK + (1 - SMALLEST_MARK) * late[step])
            yield PointLayer(xy_px[step : step + 1], role, (_words(result, tracks, start, place, int(step)),), marker, side_px, name)


def _words(result: KeyPointShifts, tracks: Tracks, start: int, place: int, step: int) -> str:
    x, y = tracks.point_cells[start, place, step]
    region = result.region_name(int(tracks.region[start, place, step]))
    return f"step {step}, {region}: cell (x {x}, y {y}), value {tracks.value[start, place, step]:.3g}"


def _lengths_px(result: KeyPointShifts, tracks: Tracks) -> NDArray[np.float64]:
    """[regions, N, T-1] way from step to step, NaN where there is no key point at an end."""
    way = np.linalg.norm(np.diff(tracks.point_cells, axis=2), axis=-1) * result.grid.stride_px
    return np.where(tracks.known[..., 1:] & tracks.known[..., :-1], way, np.nan)


def _alt(result: KeyPointShifts, tracks: Tracks) -> str:
    lengths = _lengths_px(result, tracks)
    known = lengths[np.isfinite(lengths)]
    mean = f", {known.mean():.1f} px from step to step on average" if known.size else ""
    return (
        f"Tracks of the key points of {result.regions} regions in {len(result.channels)} channels over {result.grid.shape[0]} steps{mean}."
    )


def tabulate_tracks(result: KeyPointShifts, tracks: Tracks) -> Table:
    """One row for each step of each track; where a region is flat, place and way are left empty."""
    columns = ("channel", "track", "step", "frame", "time_s", "region", "x_px", "y_px", "way_px", "value")
    ways, rows = _lengths_px(result, tracks), []
    for place, channel in enumerate(result.channels.tolist()):
        for start in range(result.regions):
            for step in range(result.grid.shape[0]):
                frame = step * result.grid.stride_frames
                known = bool(tracks.known[start, place, step])
                xy = result.grid.centre_px(tracks.point_cells[start, place, step]).tolist() if known else ["", ""]
                way = float(ways[start, place, step - 1]) if step and np.isfinite(ways[start, place, step - 1]) else ""
                region = result.region_name(int(tracks.region[start, place, step]))
                value = float(tracks.value[start, place, step])
                rows.append((channel, result.region_name(start), step, frame, float(result.clip.times_s[frame]), region, *xy, way, value))
    return Table(columns, tuple(rows))
