"""What a cell of a stage, or of what goes into a block, looks at: followed on shapes through the network's own pass.

A chain of kernels k with strides s and dilations d sees ``1 + sum((k - 1) * d * jump)`` pixels, ``jump`` being the product of the
strides before (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016); branches see what the widest of
them sees. What mixes a whole clip (attention, correlation, gates that see its mean) is not counted: there, a cell may know more.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from vizkit.contracts import Axes, Block, ReceptiveField, Stage
from vizkit.errors import unknown_name
from vizkit.net.network import Network
from vizkit.net.probe import one_clip
from vizkit.net.receptive import Edge, PlaceTrace, first

Lines = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""[T], [H], [W]: first or last frame, row and column that any cell of a time step, row or column looks at; NaN where unknown."""


class _FoundError(Exception):
    """Ends a pass at the place."""


def receptive_field(
    network: Network, stage: str, *, frames: int | None = None, size_hw: tuple[int, int] | None = None, without: Sequence[str] = ()
) -> ReceptiveField | None:
    """What each cell of a stage looks at through the windows of convolutions, pools and shifts.

    Args:
        network: any network.
        stage: name of a stage, or of an inserted block: then of the cells that go into it.
        frames: sampled frames of the clip; those of the network's sampling when None.
        size_hw: height and width of the clip in pixels; those of the network's sampling when None.
        without: names of blocks that are switched off.

    Returns:
        The field, or None where an operation hides it, or where cells do not look at equal windows.

    Raises:
        SettingError: there is no such stage or block.
    """
    return receptive_fields(network, [stage], frames=frames, size_hw=size_hw, without=without)[stage]


def receptive_fields(
    network: Network,
    stages: Sequence[str],
    *,
    frames: int | None = None,
    size_hw: tuple[int, int] | None = None,
    without: Sequence[str] = (),
) -> dict[str, ReceptiveField | None]:
    """:func:`receptive_field` of several stages or blocks, followed in one pass on shapes for each edge."""
    places = {name: _place(network, name) for name in stages}
    side = network.sampling.crop_px or network.sampling.short_side_px
    shape = (1, 3, frames or network.sampling.total_frames, *(size_hw or network.sampling.resize_hw or (side, side)))
    low, high = (edge_lines(network, places, shape, edge, without) for edge in ("first", "last"))
    return {name: _field(name, low.get(name), high.get(name), shape[2]) for name in stages}


def _field(name: str, low: Lines | None, high: Lines | None, frames: int) -> ReceptiveField | None:
    """The field between two edges; None where one of them is not known, or its steps are not equal."""
    if low is None or high is None or any(bool(line.isnan().any()) for line in (*low, *high)):
        return None
    (first_y, step_y), (first_x, step_x), (last_y, _), (last_x, _) = (_straight(line) for line in (*low[1:], *high[1:]))
    if any(math.isnan(number) for number in (first_y, first_x, last_y, last_x)) or step_x != step_y:
        return None
    steps = np.stack([np.floor(low[0].numpy()), np.ceil(high[0].numpy())], -1).astype(np.int64)
    return ReceptiveField(name, (first_x, first_y), (last_x, last_y), step_x, np.clip(steps, 0, frames - 1))


def _place(network: Network, name: str) -> Stage | Block:
    """A stage or a block by name."""
    places: dict[str, Stage | Block] = {block.name: block for block in network.blocks}
    places |= {stage.name: stage for stage in network.stages}
    if name not in places:
        raise unknown_name("stage or block", name, list(places))
    return places[name]


def _straight(line: torch.Tensor) -> tuple[float, float]:
    """Start and step of a line; NaN where its steps are not equal."""
    start, step = float(line[0]), float(line[1] - line[0]) if len(line) > 1 else 0.0
    even = torch.allclose(line, start + step * torch.arange(len(line)), atol=1e-3)
    return (start, step) if even else (math.nan, math.nan)


def edge_lines(
    network: Network, places: Mapping[str, Stage | Block], shape: Sequence[int], edge: Edge, without: Sequence[str] = ()
) -> dict[str, Lines]:
    """Where the receptive fields at some places begin or end, before they are cut off at the clip's ends.

    Args:
        network: the network; its weights are not touched.
        places: stages (their output) and inserted blocks (their input).
        shape: of the clip, [B, 3, T, H, W].
        edge: ``"first"`` or ``"last"``.
        without: names of blocks that are switched off.

    Returns:
        For each place that the pass comes to, and where no operation has lost what it looks at: lines for frames, rows and columns.
    """
    tree = network.tree(without)
    tree = copy.deepcopy(tree, {id(entry): _on_shapes(entry) for entry in (*tree.parameters(), *tree.buffers())})
    clip = torch.empty(tuple(shape), device="meta")
    trace, found, passed = PlaceTrace(clip, edge), dict[str, Lines](), set[str]()

    def keep(name: str, value: Any, axes: Axes) -> None:
        seen = trace.of(first(value))
        if seen is not None and name not in passed:
            maps = [one_clip((part, *value[1:]) if isinstance(value, tuple) else part, axes) for part in seen]  # [C, T, H, W] each
            found[name] = (_outermost(maps[0], 1, edge), _outermost(maps[1], 2, edge), _outermost(maps[2], 3, edge))
        passed.add(name)
        if len(passed) == len(places):
            raise _FoundError

    for name, place in places.items():
        module = tree.get_submodule(place.path)
        if isinstance(place, Stage):
            module.register_forward_hook(lambda _module, _inputs, output, name=name, axes=place.axes: keep(name, output, axes))
        else:
            module.register_forward_pre_hook(lambda _module, inputs, name=name: keep(name, inputs[0], "BCTHW"))
    with suppress(Exception), torch.no_grad(), trace:  # the end of the pass, or whatever a network says about tensors without values
        tree(clip)
    return found


def _outermost(places: torch.Tensor, axis: int, edge: Edge) -> torch.Tensor:
    """[side] the smallest or largest place along an axis of [C, T, H, W]; NaN where nothing is known."""
    missing = math.inf if edge == "first" else -math.inf
    known = places.movedim(axis, 0).flatten(1).nan_to_num(missing)
    reached = known.amin(1) if edge == "first" else known.amax(1)
    return reached.masked_fill(reached.isinf(), math.nan)


def _on_shapes(entry: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(entry, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(entry, nn.Parameter) else empty
