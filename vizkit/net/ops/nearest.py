"""Nearest cells of other frames in feature space: exact, bounded in memory."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

from vizkit.errors import CheckpointError, SettingError

CHUNK_ROWS = 256
BLOCK_COLUMNS = 32
TWO_STAGE_FROM = 2000
TIED = 1e-9  # squared distances that differ by less, relative to the largest norm, are ties
TINY = 1e-30


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
        ties: ``"lowest"`` breaks ties (to nine digits, in float64) by the lowest cell number, with a stable sort, slower;
            ``"any"`` leaves them open.

    Returns:
        ``index`` [B, Q, k] and ``distance_squared`` [B, Q, k], ascending; Q = T*H*W without ``query``.

    Raises:
        SettingError: fewer than k candidates (one frame has none), or a query outside the clip.
        CheckpointError: features that are not finite. Both are ``ValueError`` too.
    """
    batch, _, frames, height, width = features.shape
    cells, total = height * width, frames * height * width
    if not 1 <= neighbors <= (frames - 1) * cells:
        found = f"{frames} frames of {height} x {width} cells"
        raise SettingError(f"neighbors is {neighbors}, but {found} give 1..{(frames - 1) * cells} candidates.", code="neighbors")
    points = features.detach().flatten(2).transpose(1, 2)  # [B, N, C]
    rows = torch.arange(total, device=features.device) if query is None else query.to(features.device)
    if points.is_meta:
        return _shapes_only(points, len(rows), neighbors)
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < total:
        raise SettingError(f"A query lies outside the cells 0..{total - 1}.", code="query")
    points = points if points.dtype == torch.float64 or ties == "lowest" else points.float()
    if not bool(torch.isfinite(points).all()):
        raise CheckpointError("The features hold NaN or infinite values; there are no nearest cells.", code="not_finite")
    chunks = [part for t in range(frames) for part in torch.nonzero(rows // cells == t)[:, 0].split(CHUNK_ROWS) if len(part)]
    index = torch.empty(batch, len(rows), neighbors, dtype=torch.int64, device=features.device)
    distance = points.new_empty(index.shape)
    with full_precision(features):
        for clip in range(batch):
            keys = points[clip].double() if ties == "lowest" else points[clip]
            _search(keys - keys.mean(0), rows, chunks, cells, ties, index[clip], distance[clip])
    return NearestCells(index, distance.to(features.dtype) if features.is_floating_point() else distance)


def _search(
    keys: torch.Tensor, rows: torch.Tensor, chunks: list[torch.Tensor], cells: int, ties: str, index: torch.Tensor, distance: torch.Tensor
) -> None:
    """Fill ``index`` and ``distance`` [Q, k] of one clip, chunk by chunk (each of one frame), in one buffer that is used again."""
    total = len(keys)
    padded = math.ceil(total / BLOCK_COLUMNS) * BLOCK_COLUMNS
    norms = F.pad((keys**2).sum(1), (0, padded - total), value=math.inf)
    columns = F.pad(keys, (0, 0, 0, padded - total)).T
    buffer = keys.new_empty(max((len(part) for part in chunks), default=0), padded)
    for part in chunks:
        asked = keys[rows[part]]
        scores = torch.addmm(norms, asked, columns, alpha=-2, out=buffer[: len(part)])
        own = int(rows[part[0]]) // cells
        scores[:, own * cells : (own + 1) * cells] = math.inf
        if ties == "lowest":
            scores = torch.round((scores + (asked**2).sum(1, keepdim=True)) / (norms[:total].max() + TINY) / TIED)
        chosen = _smallest(scores, index.shape[1], total, ties)
        exact = ((asked[:, None] - keys[chosen]) ** 2).sum(-1)
        compared = scores.gather(1, chosen) if ties == "lowest" else exact
        order = compared.sort(dim=1, stable=True).indices
        index[part], distance[part] = chosen.gather(1, order), exact.gather(1, order).to(distance.dtype)


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
