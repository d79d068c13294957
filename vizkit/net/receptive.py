"""Where the cells of any network's maps lie, followed through one run on shapes.

Beside every tensor goes, for time, y and x, the place in the clip that each of its elements looks at: the centre of its
receptive field. Views, slices, rolls and concatenations move these places as they move the elements; convolutions and pools read
them at the middle of their kernel; sums over channels average them; a token that gathers from others stays where its query is.
So the geometry of a map is exact, through folded frames, channels-last blocks, windows of attention and merged patches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

Places = tuple[torch.Tensor, ...]
"""Frame number, y and x in pixels of every element of a tensor; NaN where it looks at nothing (a class token)."""

Edge = Literal["middle", "first", "last"]
"""What is followed of a receptive field: its middle, or its first or last frame, row and column."""

SAME = frozenset({"_to_copy", "alias", "clone", "contiguous", "detach", "lift_fresh"})
SHAPE = frozenset({"_reshape_alias", "_unsafe_view", "view"})
MOVE = frozenset(
    (
        *("cat", "constant_pad_nd", "diagonal", "expand", "flip", "gather", "im2col", "index", "index_select", "narrow", "permute"),
        *("pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat"),
        *("replication_pad1d", "replication_pad2d", "replication_pad3d", "roll", "select", "slice", "split", "split_with_sizes"),
        *("squeeze", "stack", "t", "transpose", "unbind", "unfold", "unsqueeze"),
    )
)
RESIZE = frozenset(
    (
        *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d"),
        *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d"),
    )
)
DONE_ALIKE = SAME | SHAPE | MOVE | RESIZE
"""Operations that put elements elsewhere or average neighbours: done to the places as well."""

REACH: dict[Edge, float] = {"first": 0.0, "middle": 0.5, "last": 1.0}
"""Which tap of a kernel is followed, as a share of its length."""

POOL = {
    **dict.fromkeys(("avg_pool2d", "max_pool2d", "max_pool2d_with_indices"), 2),
    **dict.fromkeys(("avg_pool3d", "max_pool3d", "max_pool3d_with_indices"), 3),
}
"""Pools -> number of axes of their kernel."""

REDUCE = frozenset({"amax", "amin", "logsumexp", "max", "mean", "min", "sum"})

PRODUCT = {"addmm": 1, "baddbmm": 1, "bmm": 0, "mm": 0}
"""Matrix products -> position of their left factor."""

NEW = frozenset({"empty", "empty_like", "full", "full_like", "new_empty", "new_full", "new_zeros", "ones_like", "zeros", "zeros_like"})
"""Tensors that look at nothing until something is written into them."""


class PlaceTrace(TorchDispatchMode):
    """While it is on, every tensor that comes from ``clip`` has its places.

    Args:
        clip: [B, 3, T, H, W].
        edge: what is followed. Edges may lie outside the clip, where padding takes part.
    """

    def __init__(self, clip: torch.Tensor, edge: Edge = "middle") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._edge: Edge = edge
        self._places = WeakTensorKeyDictionary()
        axes = [torch.arange(side, dtype=torch.float32) for side in clip.shape[2:]]
        self._places[clip] = tuple(grid.expand(clip.shape) for grid in torch.meshgrid(*axes, indexing="ij"))

    def of(self, tensor: torch.Tensor) -> Places | None:
        """The places of a tensor's elements; None where they were lost (an operation that is not known here)."""
        found: Places | None = self._places.get(tensor)
        return found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],  # noqa: ARG002
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        with suppress(RuntimeError, IndexError, TypeError, ValueError):  # a form that is not known here loses the places
            self._follow(func, args, kwargs or {}, result)
        return result

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        name = func.overloadpacket.__name__
        tensors = [entry for entry in tree_flatten((args, kwargs))[0] if isinstance(entry, torch.Tensor)]
        carried = [entry for entry in tensors if self.of(entry) is not None]
        if name in NEW:
            if result.is_floating_point() and result.ndim > 2:
                self._places[result] = tuple(torch.full(result.shape, torch.nan) for _ in range(3))
        elif not carried:
            return
        elif name == "copy_":
            self._overwrite(args[0], args[1])
        elif name in DONE_ALIKE:
            if not any(entry.is_meta and not entry.is_floating_point() for entry in tensors):  # else moved by unknown numbers
                self._do_alike(func, name, args, kwargs, result)
        elif name in REDUCE and len(args) > 1 and not isinstance(args[1], torch.Tensor):
            keep = bool(args[2]) if len(args) > 2 else bool(kwargs.get("keepdim", False))
            self._set(result, carried[0], lambda part: _gathered(part, _listed(args[1]), keep, self._edge))
        elif name in POOL:
            self._set(result, carried[0], _pool(name, args, first(result).shape, self._edge))
        elif name == "convolution":
            self._set(result, args[0], _convolution(args, result.shape, self._edge))
        elif name in PRODUCT:
            self._multiply(args[PRODUCT[name]], args[PRODUCT[name] + 1], result)
        elif name.startswith("_scaled_dot_product"):
            self._set(result, args[0], lambda part: _gathered(part, [-1], True, self._edge))
        else:
            self._meet(result, carried)

    def _set(self, result: Any, source: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Give an operation's (first) tensor the changed places of another, spread over its shape."""
        places, tensor = self.of(source), first(result)
        if places is not None:
            self._places[tensor] = tuple(change(part).expand(tensor.shape) for part in places)

    def _overwrite(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Writing into a slice changes the places of what it is a slice of."""
        own, new = self.of(target), self.of(source)
        if own is None and new is not None and target.shape == source.shape:
            self._places[target] = new
        for before, after in zip(own or (), new or (), strict=False):
            if not any(step == 0 and side > 1 for step, side in zip(before.stride(), before.shape, strict=True)):
                before.copy_(after.expand(before.shape))

    def _do_alike(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        results = result if isinstance(result, list | tuple) else [result]
        moved = []
        for axis in range(3):
            told = tree_map_only(torch.Tensor, self._read(axis), args)
            done = _moved(func, name, told, kwargs, first(result).shape)
            moved.append(done if isinstance(done, list | tuple) else [done])
        for tensor, *parts in zip(results, *moved, strict=True):
            self._places[tensor] = tuple(parts)

    def _read(self, axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def places(entry: torch.Tensor) -> torch.Tensor:
            known = self.of(entry)
            if known is not None:
                return known[axis]
            return torch.tensor(torch.nan).expand(entry.shape) if entry.is_floating_point() else entry.cpu()

        return places

    def _multiply(self, left: torch.Tensor, right: torch.Tensor, result: torch.Tensor) -> None:
        """Rows of the left factor stay where they are (tokens times weights, queries times keys), else columns of the right one."""
        if self.of(left) is not None:
            self._set(result, left, lambda part: _gathered(part, [-1], True, self._edge))
        else:
            self._set(result, right, lambda part: _gathered(part, [-2], True, self._edge))

    def _meet(self, result: Any, carried: Sequence[torch.Tensor]) -> None:
        """Element by element: the mean place of what meets in an element; smaller tensors that are spread out have no say."""
        for tensor in (entry for entry in tree_flatten(result)[0] if isinstance(entry, torch.Tensor)):
            alike = [places for entry in carried if entry.shape == tensor.shape and (places := self.of(entry)) is not None]
            if alike:
                self._places[tensor] = tuple(_met(parts, self._edge).expand(tensor.shape) for parts in zip(*alike, strict=True))


def first(result: Any) -> Any:
    """The result, or the first of several."""
    return result[0] if isinstance(result, list | tuple) and result else result


def _listed(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _sides(value: Any, spatial: int) -> tuple[int, ...]:
    values = _listed(value)
    return values * spatial if len(values) == 1 else values


# ------------------------------------------------------------------------------------------------ places of one coordinate


def _thin(places: torch.Tensor, keep: Collection[int] = ()) -> torch.Tensor:
    """Axes along which everything is the same (stride 0) with length 1, but for some."""
    for axis, (step, side) in enumerate(zip(places.stride(), places.shape, strict=True)):
        if step == 0 and side > 1 and axis not in keep:
            places = places.narrow(axis, 0, 1)
    return places


def _gathered(places: torch.Tensor, dims: Iterable[int], keep: bool, edge: Edge) -> torch.Tensor:
    """What is summed over some axes looks at: the mean place, or the first or last one."""
    thin, axes = _thin(places), [axis % places.ndim for axis in dims]
    if all(thin.shape[axis] == 1 for axis in axes):
        return thin if keep else thin.squeeze(axes)
    if edge == "middle":
        return thin.nanmean(axes, keepdim=keep)
    way = 1 if edge == "last" else -1
    outermost = way * (way * thin).nan_to_num(-torch.inf).amax(axes, keepdim=keep)
    return outermost.masked_fill(outermost.isinf(), torch.nan)


def _met(parts: Sequence[torch.Tensor], edge: Edge) -> torch.Tensor:
    if all(part is parts[0] for part in parts):
        return parts[0]
    return _gathered(torch.stack(torch.broadcast_tensors(*(_thin(part) for part in parts))), [0], False, edge)


def _moved(func: Any, name: str, told: tuple[Any, ...], kwargs: dict[str, Any], shape: Sequence[int]) -> Any:
    """Do an operation of :data:`DONE_ALIKE`; what is the same along an axis is not written out."""
    if name in SAME:
        return told[0]
    if name in SHAPE:
        return _reshape(told[0], shape)
    if name == "roll":
        return func(_thin(told[0]), *told[1:]).expand(shape)
    if name == "constant_pad_nd":
        before = [-float(width) for width in told[1][::2]][::-1]
        return _read_at(_thin(told[0]), shape, [(start, 1.0) for start in before]).expand(shape)
    if name == "cat":
        return _cat(told[0], told[1] if len(told) > 1 else 0, shape)
    return func(*told, **kwargs)


def _cat(parts: Sequence[torch.Tensor], axis: int, shape: Sequence[int]) -> torch.Tensor:
    axis %= len(shape)
    parts = [part for part in parts if part.ndim == len(shape)]
    thin = [_thin(part) for part in parts]
    if all(part.shape == thin[0].shape and part.shape[axis] == 1 and torch.equal(part, thin[0]) for part in thin):
        return thin[0].expand(shape)
    written = {at for part in parts for at in range(len(shape)) if at == axis or part.stride(at) != 0}
    return torch.cat([_thin(part, written) for part in parts], axis).expand(shape)


def _reshape(places: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A reshape that keeps axes of stride 0 where these make up whole axes of the new shape."""
    before, slim, written = places.shape, list(shape), set[int]()
    start = end = 0
    while start < len(before) or end < len(shape):
        first_in, first_out, here, there = start, end, 1, 1
        while (first_in, first_out) == (start, end) or here != there:
            if here <= there and start < len(before):
                here, start = here * before[start], start + 1
            else:
                there, end = there * shape[end], end + 1
        if all(places.stride(axis) == 0 or before[axis] == 1 for axis in range(first_in, start)):
            slim[first_out:end] = [1] * (end - first_out)
        else:
            written.update(range(first_in, start))
    return _thin(places, written).reshape(slim).expand(tuple(shape))


def _pool(name: str, args: tuple[Any, ...], shape: Sequence[int], edge: Edge) -> Callable[[torch.Tensor], torch.Tensor]:
    spatial = POOL[name]
    kernel, stride, padding = (_sides(args[at] if len(args) > at else fill, spatial) for at, fill in ((1, 1), (2, []), (3, 0)))
    dilation = _sides(args[4] if len(args) > 4 and name.startswith("max") else 1, spatial)
    ways = zip(kernel, stride or kernel, padding, dilation, strict=True)
    lines = [((side - 1) * apart * REACH[edge] - pad, float(step)) for side, step, pad, apart in ways]
    return lambda part: _read_at(_thin(part), shape, lines)


def _convolution(args: tuple[Any, ...], shape: Sequence[int], edge: Edge) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, transposed = args[1], args[6]
    stride, padding, dilation = (_sides(entry, weight.ndim - 2) for entry in args[3:6])
    share = 1 - REACH[edge] if transposed else REACH[edge]
    tap = [(side - 1) * apart * share - pad for side, apart, pad in zip(weight.shape[2:], dilation, padding, strict=True)]
    ways = zip(tap, stride, strict=True)
    lines = [(-place / step, 1 / step) if transposed else (place, float(step)) for place, step in ways]
    return lambda part: _read_at(_gathered(part, [1], True, edge), shape, lines)


def _read_at(places: torch.Tensor, shape: Sequence[int], lines: Sequence[tuple[float, float]]) -> torch.Tensor:
    """Places along the last axes at ``start + step * i``, straight on beyond the ends."""
    for axis, (start, step) in zip(range(places.ndim - len(lines), places.ndim), lines, strict=True):
        side = places.shape[axis]
        if side == 1:
            continue
        at = start + step * torch.arange(shape[axis], dtype=torch.float32)
        low = at.floor().clamp(0, side - 2).long()
        part = (at - low).view(-1, *[1] * (places.ndim - axis - 1))
        before, after = places.index_select(axis, low), places.index_select(axis, low + 1)
        places = torch.where(part == 0, before, before + part * (after - before))
    return places
