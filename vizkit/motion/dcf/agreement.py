"""Optical flow beside the correlations of a run, and how well their directions agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit import baseline
from vizkit.contracts import Grid, Record, SampledClip
from vizkit.motion.dcf.levels import CorrelationLevel

CONFIDENT = 0.5
"""From this confidence on a cell has a clear match."""
SHORTEST_PX = 1.0
"""Shorter motion, in px per frame, has no direction to speak of."""


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(Record):
    """How well the directions of one stage agree with optical flow, by time step."""

    stage: str
    """Name of the stage."""
    cosine: NDArray[np.float64]
    """[T] mean over the cells that count of the cosine of the angle between both vectors; NaN where none counts."""
    cells: NDArray[np.int64]
    """[T] cells that count: a clear match, and both vectors long enough."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        self._expect("cosine", ("T",), sizes, "float64")
        self._expect("cells", ("T",), sizes, "int64")

    @property
    def mean(self) -> float:
        """Mean cosine over the cells of all steps; NaN where none counts."""
        total = int(self.cells.sum())
        return float((np.nan_to_num(self.cosine) * self.cells).sum() / total) if total else float("nan")

    def words(self) -> str:
        """Cosine and number of cells, for a sentence."""
        return f"{self.mean:.2f} at {self.stage} ({int(self.cells.sum())} cells)" if self.cells.any() else f"no such cell at {self.stage}"


def tvl1_flow(clip: SampledClip) -> NDArray[np.float32]:
    """TV-L1 from each sampled frame to the next one: [T - 1, H, W, 2] (x, y) in model pixels.

    Args:
        clip: the frames.
    """
    frames = clip.tensor[0].transpose(0, 1)  # [T, 3, H, W]
    if len(frames) < 2:
        return np.zeros((0, *frames.shape[2:], 2), np.float32)
    with torch.no_grad():
        found: NDArray[np.float32] = baseline.tvl1(frames[:-1], frames[1:]).float().cpu().numpy()
    return found


def flow_at_cells(flow_px: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Optical flow on a stage's grid, per frame: the mean over the pixels of each cell, and over the frames of each time step.

    Args:
        flow_px: [T - 1, H, W, 2] from each sampled frame to the next one.
        grid: the stage's.

    Returns:
        [steps, h, w, 2] of the time steps that have a next one.
    """
    rows, columns = (_weights(flow_px.shape[axis], grid, grid.shape[axis]) for axis in (1, 2))
    pooled = np.einsum("yr,trcd->tycd", rows, flow_px, optimize=True)
    cells = np.einsum("xc,tycd->tyxd", columns, pooled, optimize=True)
    steps = min(len(cells) // grid.stride_frames, grid.shape[0] - 1)
    parts = cells[: steps * grid.stride_frames].reshape(steps, grid.stride_frames, *cells.shape[1:])
    return parts.mean(1).astype(np.float32)


def _weights(pixels: int, grid: Grid, cells: int) -> NDArray[np.float64]:
    """[cells, pixels] that take the mean over the pixels nearest to each cell's centre, not further than half a cell."""
    place = (np.arange(pixels) - grid.origin_px) / grid.stride_px
    cell = np.floor(place + 0.5).astype(int)
    chosen = (cell[None] == np.arange(cells)[:, None]).astype(np.float64)
    return chosen / np.maximum(chosen.sum(1, keepdims=True), 1)


def agree(level: CorrelationLevel, flow_px: NDArray[np.float32]) -> Agreement:
    """Hold a stage's motion to the next time step against optical flow.

    The cosine of the angle between both vectors, averaged over the cells with a clear match (confidence of one half or more) in which
    both are at least 1 px per frame long: 1 where all point the same way, 0 for unrelated directions.

    Args:
        level: the stage's correlation field.
        flow_px: [T - 1, H, W, 2] from each sampled frame to the next one.
    """
    ahead = level.frame_offset.tolist().index(1)
    flow = flow_at_cells(flow_px, level.grid)
    own, sure = level.motion_px[ahead, : len(flow)], level.confidence[ahead, : len(flow)]
    lengths = np.linalg.norm(own, axis=-1), np.linalg.norm(flow, axis=-1)
    counts = (sure >= CONFIDENT) & (np.minimum(*lengths) >= SHORTEST_PX)
    cosine, cells = np.full(level.grid.shape[0], np.nan), np.zeros(level.grid.shape[0], np.int64)
    for step, here in enumerate(counts):
        cells[step] = here.sum()
        if cells[step]:
            dots = (own[step][here].astype(np.float64) * flow[step][here]).sum(-1)
            cosine[step] = (dots / (lengths[0][step][here] * lengths[1][step][here])).mean()
    return Agreement(level.grid.stage, cosine, cells)


def said(agreements: Sequence[Agreement]) -> str:
    """One sentence about all stages.

    Args:
        agreements: one for each stage.
    """
    told = ", ".join(agreement.words() for agreement in agreements)
    return (
        f"TV-L1 and the best matches in the next time step: mean cosine of the angle {told}; over the cells with a clear match where both "
        f"are {SHORTEST_PX:g} px per frame or longer."
    )
