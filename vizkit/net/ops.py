"""Tensor functions that several papers share. Plain torch, CPU and GPU."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch

CHUNK_ROWS = 256
BLOCK_COLUMNS = 32
TWO_STAGE_FROM = 2000


def full_precision(features: torch.Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the tensor's device (there is none on "meta")."""
    return nullcontext() if features.is_meta else torch.autocast(features.device.type, enabled=False)


class NearestCells(NamedTuple):
    """The result of :func:`nearest_cells`."""

    index: torch.Tensor  # type: ignore[assignment]
    """int64 [B, Q, k], frame-major number n = (t*H + y)*W + x of each neighbour."""
    distance_squared: torch.Tensor
    """[B, Q, k] ascending."""


def nearest_cells(
    features: torch.Tensor,
    neighbors: int,
    *,
    query: torch.Tensor | None = None,
    ties: Literal["any", "lowest"] = "any",
) -> NearestCells:
    """Find, for every cell, the nearest cells of the other frames in feature space (CPNet, section 3.1).

    Exact. Rows of one frame are compared with all cells in chunks of 256, so the (T*H*W)^2 matrix never exists: at
    T = 8, 56 x 56 and C = 64 the buffer takes 26 MB. The mean feature is subtracted first, which changes no distance and
    saves float32 from cancellation; the distances of the chosen pairs are computed anew from their differences.

    Args:
        features: [B, C, T, H, W], float32 or float64 (half types are compared in float32). No gradient flows through the choice.
        neighbors: k, at most (T - 1) * H * W.
        query: int64 [Q] cell numbers to look for, the same for every clip; all cells when None.
        ties: ``"lowest"`` breaks exact ties by the lowest cell number (a stable sort, slower); ``"any"`` leaves them open.

    Returns:
        ``index`` [B, Q, k] and ``distance_squared`` [B, Q, k], ascending; Q = T*H*W without ``query``.

    Raises:
        ValueError: fewer than k candidates (one frame has none), or features that are not finite.
    """
    batch, channels, frames, height, width = features.shape
    cells, total = height * width, frames * height * width
    if not 1 <= neighbors <= (frames - 1) * cells:
        raise ValueError(
            f"neighbors is {neighbors}, but {frames} frames of {height} x {width} cells give 1..{(frames - 1) * cells} candidates."
        )
    points = features.detach().flatten(2).transpose(1, 2)  # [B, N, C]
    if points.is_meta:
        return _shapes_only(points, total if query is None else len(query), neighbors)
    points = points if points.dtype == torch.float64 else points.float()
    if not bool(torch.isfinite(points).all()):
        raise ValueError("The features hold NaN or infinite values; there are no nearest cells.")
    rows = torch.arange(total, device=features.device) if query is None else query.to(features.device)
    chunks = [part for t in range(frames) for part in rows[(rows // cells) == t].split(CHUNK_ROWS) if len(part)]
    padded = math.ceil(total / BLOCK_COLUMNS) * BLOCK_COLUMNS
    buffer = points.new_empty(min(CHUNK_ROWS, max((len(part) for part in chunks), default=1)), padded)
    index = torch.empty(batch, total if query is None else len(rows), neighbors, dtype=torch.int64, device=features.device)
    distance = points.new_empty(index.shape)
    place = torch.empty(total, dtype=torch.int64, device=features.device)
    place[rows] = torch.arange(len(rows), device=features.device)
    with full_precision(features):
        for clip in range(batch):
            keys = torch.zeros(padded, channels, dtype=points.dtype, device=features.device)
            keys[:total] = points[clip] - points[clip].mean(0)
            norms = torch.full((padded,), math.inf, dtype=points.dtype, device=features.device)
            norms[:total] = (keys[:total] ** 2).sum(1)
            for part in chunks:
                scores = torch.addmm(norms, keys[part], keys.T, alpha=-2, out=buffer[: len(part)])
                own = int(part[0]) // cells
                scores[:, own * cells : (own + 1) * cells] = math.inf
                chosen = _smallest(scores, neighbors, total, ties)
                exact = ((keys[part][:, None] - keys[chosen]) ** 2).sum(-1)
                exact, order = exact.sort(dim=1, stable=True)
                index[clip, place[part]] = chosen.gather(1, order)
                distance[clip, place[part]] = exact
    return NearestCells(index, distance.to(features.dtype) if features.dtype.is_floating_point else distance)


def _shapes_only(points: torch.Tensor, rows: int, neighbors: int) -> NearestCells:
    """The result's shapes on the device "meta"; the one product lets a counter see the cost of the comparison."""
    scores = points[:, :rows] @ points.transpose(1, 2)
    return NearestCells(scores[..., :neighbors].long(), scores[..., :neighbors])


def _smallest(scores: torch.Tensor, count: int, total: int, ties: str) -> torch.Tensor:
    """Columns of the ``count`` smallest scores of each row; a row of infinities beyond ``total`` pads the blocks."""
    if ties == "lowest":
        return scores.sort(dim=1, stable=True).indices[:, :count].sort(dim=1).values
    if total < TWO_STAGE_FROM:
        return scores.topk(count, dim=1, largest=False).indices
    blocks = scores.view(len(scores), -1, BLOCK_COLUMNS)
    near = blocks.amin(2).topk(min(count, blocks.shape[1]), dim=1, largest=False).indices
    kept = blocks.gather(1, near[..., None].expand(-1, -1, BLOCK_COLUMNS)).flatten(1)
    inside = kept.topk(count, dim=1, largest=False).indices
    return near.gather(1, inside // BLOCK_COLUMNS) * BLOCK_COLUMNS + inside % BLOCK_COLUMNS
