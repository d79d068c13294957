"""Correlation of each cell with the neighbourhood of the same cell in another frame (CorrNet, section 3.1; DCF, section 3.1)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F

from vizkit.errors import SettingError, unknown_name
from vizkit.net.ops.correlation_rows import Rows
from vizkit.net.ops.correlation_setting import Setting
from vizkit.net.ops.correlation_tiles import Tiles
from vizkit.net.ops.nearest import full_precision

Scale = Literal["mean", "sqrt", "sum"]
SCALES = ("mean", "sqrt", "sum")
TILES_FROM_PATCH = 5


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
        return _shape_only(query, search, patch, groups).to(kind)
    setting = Setting(patch, dilation, groups, factor, torch.promote_types(kind, torch.float32))
    learns = filters is not None and filters.requires_grad and torch.is_grad_enabled()
    if filters is not None and not learns and bool((filters == 1).all()):
        filters = None
    with full_precision(query):
        volume: torch.Tensor = _Correlation.apply(query.to(kind), search.to(kind), filters, setting)
    return volume


class _Correlation(torch.autograd.Function):
    """Keeps the inputs only; the backward pass computes the products anew, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, search: torch.Tensor, filters: torch.Tensor | None, setting: Setting) -> torch.Tensor:
        ctx.save_for_backward(query, search, filters)
        ctx.setting = setting
        return _form(query, setting, filters).forward(query, search)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, search, filters = ctx.saved_tensors
        with full_precision(grad):
            if torch.is_grad_enabled():  # the gradients are to be differentiated again
                return *_differentiable(grad, query, search, filters, ctx.setting), None
            of_query, of_search, of_filters = _form(query, ctx.setting, filters).backward(grad, query, search)
        return of_query, of_search, None if filters is None else of_filters, None


def _form(like: torch.Tensor, setting: Setting, filters: torch.Tensor | None) -> Tiles | Rows:
    """The form that was fastest where it was measured (docs/performance.md)."""
    if filters is not None:
        return Rows(like, setting, filters)
    if setting.patch >= TILES_FROM_PATCH:
        return Tiles(like, setting)
    ones = like.new_ones(1, 1, 1, 1).expand(like.shape[2], like.shape[1], setting.patch, setting.patch)
    return Rows(like, setting, ones)


def _check(
    query: torch.Tensor, search: torch.Tensor, patch: int, dilation: int, groups: int, filters: torch.Tensor | None, scale: str
) -> None:
    """Refuse what cannot be correlated."""
    for name, features in (("query", query), ("search", search)):
        if features.dim() != 5 or not features.numel():
            shape = tuple(features.shape)
            raise SettingError(f"{name} has shape {shape}, but 5 axes [B, C, T, H, W], none of length 0, are accepted.", code="shape")
        if not features.is_floating_point():
            raise SettingError(f"{name} is of type {features.dtype}, but floating-point numbers are accepted.", code="dtype")
    if query.shape != search.shape:
        shapes = f"query has shape {tuple(query.shape)} and search {tuple(search.shape)}"
        raise SettingError(f"{shapes}, but two equal shapes are accepted.", code="shape")
    if patch < 1 or patch % 2 == 0:
        raise SettingError(f"patch is {patch}, but an odd number of cells from 1 up is accepted.", code="patch")
    if dilation < 1:
        raise SettingError(f"dilation is {dilation}, but whole numbers from 1 up are accepted.", code="dilation")
    channels, frames = query.shape[1:3]
    if groups < 1 or channels % groups:
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


def _shape_only(query: torch.Tensor, search: torch.Tensor, patch: int, groups: int) -> torch.Tensor:
    """The result's shape on the device "meta"; the one product lets a counter see B*T*H*W*C*patch^2 multiply-adds."""
    query, search = (features.unflatten(1, (groups, -1)).movedim(2, -1) for features in (query, search))  # [B, G, T, H, W, c]
    products = query.flatten(0, 4)[:, None] @ search.flatten(0, 4)[..., None].expand(-1, -1, patch**2)
    return products.view(*query.shape[:5], patch**2).movedim(5, 2).flatten(1, 2)


def _differentiable(
    grad: torch.Tensor, query: torch.Tensor, search: torch.Tensor, filters: torch.Tensor | None, setting: Setting
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of the inputs as functions that can be differentiated again; None where none is needed."""
    query, search = query.view_as(query), search.view_as(search)  # apart, also where one is the other
    needed = [value for value in (query, search, filters) if value is not None and value.requires_grad]
    found = torch.autograd.grad(_by_slices(query, search, filters, setting), needed, grad, create_graph=True)
    by_input = {id(value): of_value for value, of_value in zip(needed, found, strict=True)}
    return tuple(by_input.get(id(value)) for value in (query, search, filters))


def _by_slices(query: torch.Tensor, search: torch.Tensor, filters: torch.Tensor | None, setting: Setting) -> torch.Tensor:
    """One shifted product per displacement, each remembered by autograd."""
    patch, dilation, groups, factor, computed = setting
    height, width = query.shape[3:]
    padded = F.pad(search.to(computed), (patch // 2 * dilation,) * 4)
    maps = []
    for row in range(patch):
        for column in range(patch):
            moved = padded[..., row * dilation :, column * dilation :][..., :height, :width]
            weights = 1 if filters is None else filters[:, :, row, column].T[..., None, None]
            maps.append((query.to(computed) * weights * moved).unflatten(1, (groups, -1)).sum(2))
    return (torch.stack(maps, 2).flatten(1, 2) * factor).to(query.dtype)
