"""Nearest cells of other frames in feature space: exact, bounded in memory."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch

from vizkit.errors import CheckpointError, SettingError
from vizkit.interruption import look_up

BUFFER = 10 * 2**20  # numbers in the largest buffer: 42 MB in float32
SLAB = 2**19  # numbers in the buffer of differences: 2 MB in float32
FOLD = 8
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

    Exact. Some rows of one frame at a time are compared with the other frames, in a buffer of at most 42 MB that is used again,
    so the (T*H*W)^2 matrix never exists. Clips whose scores fit into the buffer (T = 8, 14 x 14) are compared whole, each pair
    of frames once. The mean feature is subtracted first, which changes no distance and saves float32 from cancellation; the
    distances of the chosen pairs are computed anew from their differences.

    Args:
        features: [B, C, T, H, W], float32 or float64 (half types are compared in float32). No gradient flows through the choice.
        neighbors: k, at most (T - 1) * H * W.
        query: int64 [Q] cell numbers to look for, the same for every clip; all cells when None.
        ties: ``"lowest"`` breaks ties (to nine digits, in float64) by the lowest cell number, with a stable sort, slower;
            ``"any"`` leaves them open.

    Returns:
        ``index`` [B, Q, k] and ``distance_squared`` [B, Q, k], ascending; Q = T*H*W without ``query``.

    Raises:
        SettingError: other axes, fewer than k candidates (one frame has none), or a query outside the clip.
        CheckpointError: features that are not finite. Both are ``ValueError`` too.
    """
    if features.dim() != 5:
        raise SettingError(f"features has shape {tuple(features.shape)}, but 5 axes [B, C, T, H, W] are accepted.", code="shape")
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
    index = torch.empty(batch, len(rows), neighbors, dtype=torch.int64, device=features.device)
    distance = points.new_empty(index.shape)
    with full_precision(features):
        for clip in range(batch):
            keys = _centred(points[clip].double() if ties == "lowest" else points[clip])
            _search(keys, rows, query is None, cells, ties, index[clip], distance[clip])
    return NearestCells(index, distance.to(features.dtype) if features.is_floating_point() else distance)


def _centred(points: torch.Tensor) -> torch.Tensor:
    """[N, C] -> [N, C + 2], every row (x, -|x|^2 / 2, 1): its product with (y, 1, -|y|^2 / 2) is -|x - y|^2 / 2."""
    mean = points.mean(0)
    if not bool(torch.isfinite(mean).all()):
        raise CheckpointError("The features hold NaN or infinite values; there are no nearest cells.", code="not_finite")
    keys = points.new_empty(len(points), points.shape[1] + 2)
    centred = torch.sub(points, mean, out=keys[:, :-2])
    keys[:, -2] = torch.linalg.vector_norm(centred, dim=1).square() / -2
    keys[:, -1] = 1
    return keys


def _search(
    keys: torch.Tensor, rows: torch.Tensor, every: bool, cells: int, ties: str, index: torch.Tensor, distance: torch.Tensor
) -> None:
    """Fill ``index`` and ``distance`` [Q, k] of one clip chunk by chunk, in one buffer that is used again.

    The columns of a row's scores are the cells of the other frames in order. A chunk lies in one frame, unless it is the whole clip.
    """
    count, columns = index.shape[1], len(keys) - cells
    most = max(1, BUFFER // _padded(columns, count))
    whole = every and len(keys) <= most
    chunks = [rows] if whole else [part for t in range(len(keys) // cells) for part in torch.nonzero(rows // cells == t)[:, 0].split(most)]
    longest = max(len(part) for part in chunks)
    scores = keys.new_empty(longest, _padded(columns, count))
    scores[:, columns:] = -math.inf
    unit = (-2 * keys[:, -2].min() + TINY) * TIED / 2
    for part in (part for part in chunks if len(part)):
        look_up()
        asked, own = keys[rows[part]], (rows[part] // cells * cells)[:, None]
        here = scores[: len(part)]
        if whole:
            _compare_whole(here[:, :columns], keys, cells)
        else:
            _compare(here[:, :columns], asked, keys, int(own[0]), cells)
        chosen = _lowest_of_tied(here, count, unit) if ties == "lowest" else _largest(here, count)
        chosen += (chosen >= own) * cells
        exact = _distance_squared(asked, keys, chosen)
        if ties == "any":
            exact, order = exact.sort(dim=1)
            chosen = chosen.gather(1, order)
        index[part], distance[part] = chosen, exact.to(distance.dtype)


def _compare(scores: torch.Tensor, asked: torch.Tensor, keys: torch.Tensor, own: int, cells: int) -> None:
    """Scores [Q, N - cells] of rows of one frame (its cells begin at ``own``) with the cells of all others."""
    turned = _turned(asked)
    torch.mm(turned, keys[:own].T, out=scores[:, :own])
    torch.mm(turned, keys[own + cells :].T, out=scores[:, own:])


def _compare_whole(scores: torch.Tensor, keys: torch.Tensor, cells: int) -> None:
    """Scores [N, N - cells] of all cells, each pair of frames once: they are symmetric."""
    of_frame = scores.unflatten(0, (-1, cells))
    for t, start in enumerate(range(0, len(keys) - cells, cells)):
        end = start + cells
        later = torch.mm(_turned(keys[start:end]), keys[end:].T, out=of_frame[t, :, start:])
        of_frame[t + 1 :, :, start:end] = later.unflatten(1, (-1, cells)).permute(1, 2, 0)


def _turned(keys: torch.Tensor) -> torch.Tensor:
    """Rows (x, -|x|^2 / 2, 1) -> (x, 1, -|x|^2 / 2)."""
    turned = keys.clone()
    turned[:, -2:] = keys[:, -2:].flip(1)
    return turned


def _distance_squared(asked: torch.Tensor, keys: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """[Q, k] from the differences of the chosen pairs, some rows at a time, so that these stay in the processor's cache."""
    rows, count = chosen.shape
    most = max(1, SLAB // (count * keys.shape[1]))
    picked = keys.new_empty(min(most, rows) * count, keys.shape[1])
    found = keys.new_empty(rows, count)
    for own, others, out in zip(asked.split(most), chosen.split(most), found.split(most), strict=True):
        torch.index_select(keys, 0, others.flatten(), out=picked[: others.numel()])
        difference = picked[: others.numel()].unflatten(0, others.shape).sub_(own[:, None])[..., :-2]
        torch.sum(difference.square_(), -1, out=out)
    return found


def _shapes_only(points: torch.Tensor, rows: int, neighbors: int) -> NearestCells:
    """The result's shapes on the device "meta"; the one product lets a counter see the cost of the comparison."""
    scores = points[:, :rows] @ points.transpose(1, 2)
    return NearestCells(scores[..., :neighbors].long(), scores[..., :neighbors])


def _folds(columns: int, count: int) -> bool:
    """Whether it pays to look for the best of a fold of the columns first."""
    return columns >= 2 * FOLD * count


def _padded(columns: int, count: int) -> int:
    """Columns that can be folded as often as it pays."""
    unit = 1
    while _folds(columns // unit, count):
        unit *= FOLD
    return math.ceil(columns / unit) * unit


def _largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Columns of the ``count`` largest scores of each row, in any order.

    Folded into ``FOLD`` columns each, they lie in the ``count`` folds of largest maxima. Folds take every n-th column, so that
    the maxima are taken over whole vectors. The number of columns is one of :func:`_padded`.
    """
    if not _folds(scores.shape[1], count):
        return scores.topk(count, dim=1, sorted=False).indices
    folded = scores.unflatten(1, (FOLD, -1))
    near = _largest(folded.amax(1), count)
    kept = folded.gather(2, near[:, None].expand(-1, FOLD, -1)).flatten(1)
    inside = kept.topk(count, dim=1, sorted=False).indices
    return inside // count * folded.shape[2] + near.gather(1, inside % count)


def _lowest_of_tied(scores: torch.Tensor, count: int, unit: torch.Tensor) -> torch.Tensor:
    """Columns of the ``count`` largest scores of each row, largest first; those that agree to ``unit`` by the lowest column."""
    return scores.div_(unit).round_().sort(dim=1, descending=True, stable=True).indices[:, :count]
