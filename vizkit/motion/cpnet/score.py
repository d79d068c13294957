"""CPNet's picture measured against known motion: do the proposals lie on the true track, does the change show what moves?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vizkit.contracts import Grid, Sampling, Score
from vizkit.motion.cpnet.analysis import Correspondences, Params, analyze
from vizkit.motion.cpnet.module import CPModule
from vizkit.net.ops import nearest_cells
from vizkit.net.probe import ProbedRun, probe
from vizkit.statistics import average_precision, mean_over_clips
from vizkit.world import Truth, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

QUERIES_PER_CLIP = 32
SIDE_PX = 112

Hits = dict[str, NDArray[np.float64]]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure the view over test clips of the motion world at 112 px, at the network's shallowest CP block.

    Queries are cells whose centre shows a moving thing. A proposal is a hit if it lies within one cell (in x and in y) of the
    true place of its query in that frame; proposals into frames where the query's surface is hidden are left out.

    * ``hit_rate``, ``hit_rate_active``, ``hit_rate_filtered``: all, active, filtered proposals;
    * ``hit_rate_random``: a random cell of the same frame; ``hit_rate_unmoved``: the query's own place in that frame;
    * ``hit_rate_rgb``: nearest cells in raw RGB (mean over the cell);
    * ``change_precision``: average precision of the change map as a detector of moving cells; ``moving_share``: its chance level.

    Intervals are 95 % bootstrap intervals over clips.

    Args:
        network: a network with at least one CP module, else nothing is measured.
        clips: number of test clips.
        seed: of the world's test clips and of the drawn queries.
    """
    if not any(isinstance(network.module.get_submodule(block.path), CPModule) for block in network.blocks):
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    collected: dict[str, list[NDArray[np.float64]]] = {}
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        run = probe(network, world.clip, sampling=sampling)
        for name, values in _measure(run, world.truth, index, seed).items():
            collected.setdefault(name, []).append(values)
    return {f"cpnet.{name}": mean_over_clips(values) for name, values in collected.items()}


def judge(result: Correspondences, truth: Truth) -> dict[str, float]:
    """The hit rates and the average precision of one picture whose truth is known.

    Args:
        result: correspondences on a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    rng = np.random.default_rng(0)
    measured = _hits(result, truth, rng) | _change(result, truth)
    return {name: float(values.mean()) for name, values in measured.items() if len(values)}


def _measure(run: ProbedRun, truth: Truth, index: int, seed: int) -> Hits:
    rng = np.random.default_rng([seed, index])
    first = analyze(run, Params(queries=1))
    points = _moving_points(first, truth, rng)
    if not points:
        return _change(first, truth)
    result = analyze(run, Params(points=points))
    return _hits(result, truth, rng) | _rgb_hits(result, truth) | _change(result, truth)


def _moving_points(result: Correspondences, truth: Truth, rng: np.random.Generator) -> tuple[tuple[int, float, float], ...]:
    """Centres of cells that show a moving thing, drawn without repeats."""
    at_cells = _at_cells(truth.moving & (truth.object_id > 0), result.grid)
    found = np.argwhere(at_cells)
    drawn = found[rng.permutation(len(found))[:QUERIES_PER_CLIP]]
    return tuple((int(t), *(float(side) for side in result.grid.centre_px(np.array([x, y])))) for t, y, x in drawn)  # type: ignore[misc]


def _at_cells(pixels: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """[T, H, W] a pixel map read at the centres of the cells."""
    rows, columns = (np.clip(np.rint(grid.origin_px + np.arange(side) * grid.stride_px).astype(int), 0, pixels.shape[axis] - 1)
                     for axis, side in ((1, grid.shape[1]), (2, grid.shape[2])))  # fmt: skip
    return pixels[:, rows][:, :, columns]


def _hits(result: Correspondences, truth: Truth, rng: np.random.Generator) -> Hits:
    """1 or 0 for every proposal whose right place is visible, by kind of proposal."""
    grid, proposal = result.grid, result.proposal
    right, seen = _right_places(result, truth, proposal[..., 0])
    hit = _near(proposal[..., :0:-1], right, grid.stride_px, grid.origin_px)
    random = np.stack([rng.integers(grid.shape[2], size=seen.shape), rng.integers(grid.shape[1], size=seen.shape)], -1)
    own = np.broadcast_to(result.query[:, None, :0:-1], random.shape)
    rates = {
        "hit_rate": hit[seen],
        "hit_rate_active": hit[seen & result.active],
        "hit_rate_filtered": hit[seen & ~result.active],
        "hit_rate_random": _near(random, right, grid.stride_px, grid.origin_px)[seen],
        "hit_rate_unmoved": _near(own, right, grid.stride_px, grid.origin_px)[seen],
    }
    return {name: values.astype(np.float64) for name, values in rates.items()}


def _right_places(result: Correspondences, truth: Truth, frames: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """True positions [Q, k, 2] in pixels in the given frames, and whether they are visible."""
    centres = result.grid.centre_px(result.query[:, :0:-1])
    xy, visible = truth.tracks(np.column_stack([result.query[:, 0], centres]))
    rows = np.arange(len(frames))[:, None]
    return xy[rows, frames], visible[rows, frames]


def _near(cells_xy: NDArray[np.int64], right_px: NDArray[np.float32], stride_px: float, origin_px: float) -> NDArray[np.bool_]:
    """Within one cell, in x and in y."""
    return np.asarray((np.abs(origin_px + cells_xy * stride_px - right_px) <= stride_px).all(-1))


def _rgb_hits(result: Correspondences, truth: Truth) -> Hits:
    """The same queries, with neighbours sought in raw RGB."""
    frames = torch.from_numpy(result.clip.frames).permute(3, 0, 1, 2).float() / 255
    pooled = F.adaptive_avg_pool2d(frames.transpose(0, 1), result.grid.shape[1:]).transpose(0, 1)[None]
    query = torch.from_numpy(np.ravel_multi_index(tuple(result.query.T), result.grid.shape))
    index = nearest_cells(pooled, result.proposal.shape[1], query=query).index[0].numpy()
    cells = np.stack(np.unravel_index(index, result.grid.shape), -1)
    right, seen = _right_places(result, truth, cells[..., 0])
    hit = _near(cells[..., :0:-1], right, result.grid.stride_px, result.grid.origin_px)
    return {"hit_rate_rgb": hit[seen].astype(np.float64)}


def _change(result: Correspondences, truth: Truth) -> Hits:
    """Average precision of the change map against what moves, and the share that moves."""
    moving = _at_cells(truth.moving, result.change_grid)
    if not moving.any() or not result.decided:
        return {}
    return {"change_precision": np.array([average_precision(result.change, moving)]), "moving_share": np.array([moving.mean()])}
