"""Polar histograms of the directions that filters look in, as outlines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vizkit.figure.place import grid_positions
from vizkit.figure.spec import ArrowLayer, Layer, Panel, PolygonLayer
from vizkit.motion.corrnet.analysis import FilterGrid, mean_direction

SECTORS = 16
"""Of 22.5 degrees, centred on right, down right, ...: in a 7 x 7 neighbourhood every sector holds three of the 48 places."""
SIDE_PX = 112
RADIUS_PX = 52.0
ARC_POINTS = 9
RING_POINTS = 64
COMPASS = tuple(f"{360 / SECTORS * number:g} degrees clockwise from right" for number in range(SECTORS))

Points = NDArray[np.float64]


def sector_counts(vectors_xy: NDArray[np.floating]) -> NDArray[np.int64]:
    """[16] number of vectors [N, 2] in each sector, from x to the right clockwise on the screen; none may be zero."""
    angle = np.arctan2(vectors_xy[:, 1], vectors_xy[:, 0])
    sector = np.floor(angle / (2 * np.pi) * SECTORS + 0.5).astype(np.int64) % SECTORS
    return np.bincount(sector, minlength=SECTORS)


def chance_shares(patch: int) -> NDArray[np.float64]:
    """[16] share of each sector if every place of a patch x patch neighbourhood but its centre is as likely."""
    axis = np.arange(patch) - patch // 2
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    counts = sector_counts(places[(places != 0).any(-1)])
    return counts / max(counts.sum(), 1)


def polar_panels(result: FilterGrid, columns: int) -> tuple[Panel, ...]:
    """One histogram of all filters, then one for each channel shown.

    Args:
        result: the filters.
        columns: panels in a row.
    """
    selections = [("all channels", np.arange(result.weights.shape[1]))]
    selections += [(f"c = {channel}", np.array([channel])) for channel in result.shown.tolist()]
    places = grid_positions(len(selections), columns)
    return tuple(_panel(result, name, channels, place) for (name, channels), place in zip(selections, places, strict=True))


def _panel(result: FilterGrid, name: str, channels: NDArray[np.int64], place: tuple[int, int]) -> Panel:
    peaks, arrows = result.peak_xy[:, channels], result.arrows[:, channels]
    counts, expected = sector_counts(peaks[arrows]), chance_shares(result.patch) * arrows.sum()
    fullest = max(float(counts.max()), float(expected.max()), 1.0)
    layers: list[Layer] = [PolygonLayer((_ring(),), "neutral", (f"{fullest:g} arrows",), filled=False, name="fullest sector")]
    some = np.nonzero(counts)[0]
    petals = tuple(_petal(int(sector), counts[sector] / fullest) for sector in some)
    labels = tuple(f"{counts[sector]} arrows, {COMPASS[sector]}" for sector in some)
    layers.append(PolygonLayer(petals, "region", labels, name="arrows in a sector"))
    if arrows.any():
        outline = np.concatenate([_arc(sector, expected[sector] / fullest) for sector in range(SECTORS)])
        layers.append(PolygonLayer((outline,), "neutral", ("random arrows",), filled=False, name="random arrows"))
    title = f"{name}   n = {int(arrows.sum())}"
    if arrows.sum() > 1:
        length, angle = (float(part[0]) for part in mean_direction(peaks.reshape(-1, 1, 2)))
        title += f"   R = {length:.2f}"
        layers.append(_mean_arrow(length, np.radians(angle)))
    return Panel(name, title, (SIDE_PX, SIDE_PX), *place, tuple(layers), view="polar")


def _mean_arrow(length: float, angle: float) -> ArrowLayer:
    """The mean of the unit arrows; the ring is 1."""
    centre = np.full((1, 2), (SIDE_PX - 1) / 2)
    end = centre + RADIUS_PX * length * np.array([[np.cos(angle), np.sin(angle)]])
    return ArrowLayer(centre, end, "peak", np.ones(1, np.float32), (f"mean of the arrows, length {length:.2f}",), 6.0, "mean arrow")


def _petal(sector: int, share: float) -> Points:
    """Outline of a sector whose area is its share of the full sector's."""
    return np.concatenate([np.full((1, 2), (SIDE_PX - 1) / 2), _arc(sector, share)])


def _arc(sector: int, share: float) -> Points:
    angle = 2 * np.pi * (sector + np.linspace(-0.5, 0.5, ARC_POINTS)) / SECTORS
    return _around(angle, float(np.sqrt(share)))


def _ring() -> Points:
    return _around(np.linspace(0, 2 * np.pi, RING_POINTS, endpoint=False), 1.0)


def _around(angle: Points, radius: float) -> Points:
    """Points at angles (clockwise from right) and one radius (1: the outer ring)."""
    return (SIDE_PX - 1) / 2 + RADIUS_PX * radius * np.stack([np.cos(angle), np.sin(angle)], -1)
