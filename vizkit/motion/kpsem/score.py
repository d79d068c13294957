"""KPSEM's picture measured against known motion: do key points lie on what moves, do their shifts go where it goes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.contracts import Grid, Sampling, Score
from vizkit.motion.kpsem.analysis import CLEAR_MATCH, KeyPointShifts, Params, analyze, kpsem_blocks
from vizkit.motion.kpsem.module import shifts
from vizkit.net.probe import probe
from vizkit.statistics import mean_over_clips
from vizkit.world import Truth, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

SIDE_PX = 112
LEAST_CELLS = 0.5
"""Things that move less between two steps have no direction on the grid of cells."""

Measures = dict[str, NDArray[np.float64]]
Floats = NDArray[np.floating]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure the view over test clips of the motion world at 112 px, at the network's shallowest KPSEM block, all sets and channels.

    * ``on_object``: share of key points whose cell's centre shows a moving thing; ``on_object_random``: of random cells of the same
      regions; ``object_share``: of all cells;
    * ``angular_error_deg``: between the shift of a key point on a moving thing and the thing's true way to the next step, where it is
      visible in both and goes at least half a cell; a shift of zero, which has no direction, counts as 90;
    * ``angular_error_hard_deg``: the same with the way to the best matching key point; ``angular_error_clear_deg``: shifts with a best
      match of at least one half alone; ``angular_error_random_deg``: random cells of the same regions, matched by the same values;
    * ``clear_share``: share of the counted shifts with such a match.

    Regions whose values are all the same are left out. Intervals are 95 % bootstrap intervals over clips.

    Args:
        network: a network with KPSEM, else nothing is measured.
        clips: number of test clips.
        seed: of the world's test clips and of the random cells.
    """
    if not kpsem_blocks(network):
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    collected: dict[str, list[NDArray[np.float64]]] = {}
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        result = analyze(probe(network, world.clip, sampling=sampling), Params())
        for name, values in _measure(result, world.truth, np.random.default_rng([seed, index])).items():
            collected.setdefault(name, []).append(values)
    return {f"kpsem.{name}": mean_over_clips(values) for name, values in collected.items()}


def judge(result: KeyPointShifts, truth: Truth) -> dict[str, float]:
    """The same measures for one picture whose truth is known, and ``on_object_shown`` of the set and the channels that are drawn.

    Args:
        result: key points of a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    measured = _measure(result, truth, np.random.default_rng(0))
    shown = (result.params.set_shown, slice(None), result.channels)
    on_object = _at(_objects(result.grid, truth), result.point_cells)[shown]
    measured["on_object_shown"] = on_object[~result.flat[shown]].astype(np.float64)
    return {name: float(values.mean()) for name, values in measured.items() if len(values)}


def _measure(result: KeyPointShifts, truth: Truth, rng: np.random.Generator) -> Measures:
    objects, live = _objects(result.grid, truth), ~result.flat
    random = _random_points(result, rng)
    random_shift, _ = shifts(*(torch.from_numpy(part) for part in (np.moveaxis(random, 3, 1), np.moveaxis(result.value, 3, 1))))
    ahead = np.take_along_axis(result.point_cells[..., 1:, :], result.best_region[..., None], axis=1)
    best = (ahead - result.point_cells[..., :-1, :]).astype(np.float64)
    weighted, clear = _errors(result.point_cells, result.shift_cells, result, truth)
    hard, _ = _errors(result.point_cells, best, result, truth)
    by_chance, _ = _errors(random, np.moveaxis(random_shift.numpy(), 1, 3), result, truth)
    return {
        "on_object": _at(objects, result.point_cells)[live].astype(np.float64),
        "on_object_random": _at(objects, random)[live].astype(np.float64),
        "object_share": objects.ravel().astype(np.float64),
        "angular_error_deg": weighted,
        "angular_error_hard_deg": hard,
        "angular_error_clear_deg": weighted[clear],
        "angular_error_random_deg": by_chance,
        "clear_share": clear.astype(np.float64),
    }


def _objects(grid: Grid, truth: Truth) -> NDArray[np.bool_]:
    """[T, H, W] whether the centre of a cell shows a moving thing on its step's frame."""
    moving = (truth.moving & (truth.object_id > 0))[:: grid.stride_frames][: grid.shape[0]]
    rows, columns = (
        np.clip(np.rint(grid.centre_px(np.arange(grid.shape[axis]))).astype(int), 0, moving.shape[axis] - 1) for axis in (1, 2)
    )
    return moving[:, rows][:, :, columns]


def _at(maps: NDArray[np.bool_], cells_xy: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[..., T] a map [T, H, W] at cells [..., T, 2]."""
    return maps[np.arange(len(maps)), cells_xy[..., 1], cells_xy[..., 0]]


def _random_points(result: KeyPointShifts, rng: np.random.Generator) -> NDArray[np.int64]:
    """[sets, regions, C, T, 2] cells drawn from the regions of the key points, each cell of a region as often."""
    _, height, width = result.grid.shape
    sets, regions, channels, steps = result.value.shape
    drawn = np.empty(result.point_cells.shape, np.int64)
    first = np.floor(result.boundary_cells).astype(np.int64) + 1  # [sets, T, boundaries, 2]
    zeros, ends = np.zeros((sets, steps, 1, 2), np.int64), np.broadcast_to([width, height], (sets, steps, 1, 2))
    edges = np.concatenate([zeros, first, ends], axis=2)
    side = edges.shape[2] - 1
    for axis in (0, 1):
        band = np.arange(regions) % side if axis == 0 else np.arange(regions) // side
        low, high = (np.moveaxis(edges[:, :, band + way, axis], 1, 2)[:, :, None] for way in (0, 1))  # [sets, regions, 1, T]
        drawn[..., axis] = rng.integers(low, high, (sets, regions, channels, steps))
    return drawn


def _errors(
    point_cells: NDArray[np.int64], shift_cells: Floats, result: KeyPointShifts, truth: Truth
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Angular errors [N] in degrees of the shifts that count, and whether their best match is clear."""
    grid = result.grid
    counted = _at(_objects(grid, truth), point_cells)[..., :-1] & result.drawn
    steps = np.broadcast_to(np.arange(grid.shape[0] - 1), counted.shape)[counted]
    start_px = grid.centre_px(point_cells[..., :-1, :][counted])
    place_px, visible = truth.tracks(np.column_stack([steps * grid.stride_frames, start_px]))
    rows, ahead = np.arange(len(steps)), (steps + 1) * grid.stride_frames
    true_px = place_px[rows, ahead] - start_px
    kept = visible[rows, ahead] & (np.linalg.norm(true_px, axis=-1) >= LEAST_CELLS * grid.stride_px)
    return _angles(shift_cells[counted][kept], true_px[kept]), (result.best_match >= CLEAR_MATCH)[counted][kept]


def _angles(shift: Floats, true: Floats) -> NDArray[np.float64]:
    """[N] degrees between two displacements, 90 where the first has no length."""
    product = np.linalg.norm(shift, axis=-1) * np.linalg.norm(true, axis=-1)
    cosine = np.divide((shift * true).sum(-1), product, out=np.zeros(len(product)), where=product > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.float64)
