"""Correlation of each cell with the neighbourhood of the same cell in another frame (CorrNet, section 3.1; DCF, section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from vizkit.errors import SettingError, unknown_name
from vizkit.net.ops.nearest import full_precision

Scale = Literal["mean", "sqrt", "sum"]
SCALES = ("mean", "sqrt", "sum")


def correlate(
    query: torch.Tensor,
    search: torch.Tensor,
    *,
    patch: int,
    dilation: int = 1,
    groups: int = 1,
    filters: torch.Tensor | None = None,
    scale: Scale = "mean",
) -> torch.Tensor:
    """Correlate each cell of ``query`` with a patch x patch neighbourhood of the same cell in ``search``.

    ``out[b, g*patch^2 + iy*patch + ix, t, y, x]`` is the scaled sum, over the channels c of group g, of
    ``filters[t, c, iy, ix] * query[b, c, t, y, x] * search[b, c, t, y + dy, x + dx]`` with
    ``(dy, dx) = ((iy - R) * dilation, (ix - R) * dilation)``, R = (patch - 1) / 2 (CorrNet, eq. 1, with the learnable filter and
    the groups of section 3.2; DCF, eq. 1). ``search`` is zero outside the map. Half types, and everything under autocast, are
    multiplied and summed in float32.

    Args:
        query: [B, C, T, H, W], the frame whose grid the result lives on.
        search: the same shape, the frame that is searched (frame t of ``query`` meets frame t of ``search``).
        patch: cells on a side of the neighbourhood, odd.
        dilation: distance of its cells.
        groups: number of groups that the channels are split into, each correlated for itself.
        filters: [T, C, patch, patch], one weight per frame, channel and displacement; ones when None.
        scale: ``"mean"`` divides by the channels of a group, ``"sqrt"`` by the square root of it, ``"sum"`` by 1.

    Returns:
        [B, groups * patch^2, T, H, W] in the inputs' type, group-major, then row-major displacements (dx fastest).

    Raises:
        SettingError: (a ``ValueError`` too) a setting outside what is accepted, or shapes that do not fit each other.
    """
    _check(query, search, patch, dilation, groups, filters, scale)
    channels = query.shape[1] // groups
    factor = {"mean": 1 / channels, "sqrt": channels**-0.5, "sum": 1.0}[scale]
    kind = torch.promote_types(query.dtype, search.dtype)
    if query.is_meta:
        return _shape_only(query, patch, groups).to(kind)
    computed = torch.promote_types(kind, torch.float32)
    with full_precision(query):
        parts = [part if part is None else part.to(computed) for part in (query, search, filters)]
        return (_by_slices(*parts, patch, dilation, groups) * factor).to(kind)


def _check(
    query: torch.Tensor, search: torch.Tensor, patch: int, dilation: int, groups: int, filters: torch.Tensor | None, scale: str
) -> None:
    """Refuse what cannot be correlated."""
    for name, features in (("query", query), ("search", search)):
        if features.dim() != 5:
            raise SettingError(f"{name} has shape {tuple(features.shape)}, but 5 axes [B, C, T, H, W] are accepted.", code="shape")
    if query.shape != search.shape:
        shapes = f"query has shape {tuple(query.shape)} and search {tuple(search.shape)}"
        raise SettingError(f"{shapes}, but two equal shapes are accepted.", code="shape")
    if patch < 1 or patch % 2 == 0:
        raise SettingError(f"patch is {patch}, but an odd number of cells from 1 up is accepted.", code="patch")
    if dilation < 1:
        raise SettingError(f"dilation is {dilation}, but whole numbers from 1 up are accepted.", code="dilation")
    channels, frames = query.shape[1:3]
    if groups < 1 or channels < 1 or channels % groups:
        raise SettingError(f"groups is {groups}, but the number of channels, {channels}, has to be a multiple of it.", code="groups")
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if filters is not None and tuple(filters.shape) != (frames, channels, patch, patch):
        _refuse_filters(tuple(filters.shape), (frames, channels, patch, patch))


def _refuse_filters(shape: tuple[int, ...], accepted: tuple[int, ...]) -> None:
    """Say which axis of the filters does not fit."""
    if len(shape) != 4:
        wrong = f"{len(shape)} axes"
    elif shape[0] != accepted[0]:
        wrong = f"another clip length, {shape[0]} instead of {accepted[0]} frames"
    elif shape[1] != accepted[1]:
        wrong = f"{shape[1]} instead of {accepted[1]} channels"
    else:
        wrong = f"another patch, {shape[2]} x {shape[3]} instead of {accepted[2]} x {accepted[3]}"
    raise SettingError(f"filters has shape {shape}, which is {wrong}; {accepted} [T, C, patch, patch] is accepted.", code="filters")


def _shape_only(query: torch.Tensor, patch: int, groups: int) -> torch.Tensor:
    """The result's shape on the device "meta"; the one product lets a counter see B*T*H*W*C*patch^2 multiply-adds."""
    batch, channels, frames, height, width = query.shape
    cells = query.new_empty(batch * groups * frames * height * width, 1, channels // groups)
    products = cells @ query.new_empty(len(cells), channels // groups, patch**2)
    return products.view(batch, groups, frames, height, width, patch**2).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)


def _by_slices(
    query: torch.Tensor, search: torch.Tensor, filters: torch.Tensor | None, patch: int, dilation: int, groups: int
) -> torch.Tensor:
    """One shifted product per displacement."""
    batch, channels, frames, height, width = query.shape
    reach = (patch // 2) * dilation
    padded = F.pad(search, (reach,) * 4)
    maps = []
    for iy in range(patch):
        for ix in range(patch):
            moved = padded[..., iy * dilation :, ix * dilation :][..., :height, :width]
            weighted = query if filters is None else query * filters[:, :, iy, ix].T[..., None, None]
            maps.append((weighted * moved).unflatten(1, (groups, -1)).sum(2))
    return torch.stack(maps, 2).flatten(1, 2)
