"""The picture measured against known motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vizkit.contracts import Sampling, Score
from vizkit.motion.sixth.analysis import Differences, Params, analyze, unavailable
from vizkit.net.probe import probe
from vizkit.statistics import average_precision, mean_over_clips
from vizkit.world import Truth, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

SIDE_PX = 64


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Average precision of the differences as a detector of moving cells, over test clips of the motion world."""
    if unavailable(network) is not None:
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    found = []
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        found.append(judge(analyze(probe(network, world.clip, sampling=sampling), Params()), world.truth))
    return {"sixth.precision": mean_over_clips([np.array([entry["precision"]]) for entry in found if entry])}


def judge(result: Differences, truth: Truth) -> dict[str, float]:
    """The same measure for one picture."""
    grid = result.grid
    rows, columns = (np.clip(np.rint(grid.origin_px + np.arange(side) * grid.stride_px).astype(int), 0, truth.moving.shape[axis] - 1)
                     for axis, side in ((1, grid.shape[1]), (2, grid.shape[2])))  # fmt: skip
    moving = truth.moving[:, rows][:, :, columns]
    return {"precision": float(average_precision(result.difference, moving))} if moving.any() else {}
