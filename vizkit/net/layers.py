"""The layers of a network with the shapes of what they give, from one pass on shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vizkit.figure.spec import Table
from vizkit.net.count import count_parameters
from vizkit.net.head import ShapesUntil
from vizkit.net.network import Network
from vizkit.net.receptive import first


@dataclass(frozen=True)
class LayerShape:
    """One module of a network."""

    path: str
    """Where it is in the module tree."""
    kind: str
    """Its class."""
    depth: int
    """Modules above it; 0 for those right in the network."""
    shape: tuple[int, ...]
    """Shape of what it gave, as it gave it (of several tensors the first); empty where it was not called as a module."""
    calls: int
    """How often it was called."""
    params: int
    """Parameters, those of the modules in it included."""
    place: str
    """The stage or the inserted block that it is, if it is one."""


def layer_shapes(network: Network, *, frames: int, size_hw: tuple[int, int]) -> tuple[LayerShape, ...]:
    """Every module of a network in the order of its tree, with the shape of its output for one clip; nothing is computed.

    Args:
        network: the network; neither hooked nor changed.
        frames: sampled frames of the clip.
        size_hw: height and width of the clip in pixels.
    """
    tree = network.tree()
    seen: dict[str, list[tuple[int, ...]]] = {}

    def keep(path: str) -> Callable[..., None]:
        def note(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            given = first(output)
            seen.setdefault(path, []).append(tuple(given.shape) if isinstance(given, torch.Tensor) else ())

        return note

    named = {path: module for path, module in tree.named_modules() if path}
    for path, module in named.items():
        module.register_forward_hook(keep(path))
    with torch.no_grad(), ShapesUntil():
        tree(torch.empty(1, 3, frames, *size_hw, device="meta"))
    places = {stage.path: f"stage {stage.name}" for stage in network.stages}
    places |= {block.path: f"block {block.name}" for block in network.blocks}
    return tuple(
        LayerShape(
            path, type(module).__name__, path.count("."), seen.get(path, [()])[0], len(seen.get(path, [])), count_parameters(module),
            places.get(path, ""),
        )
        for path, module in named.items()
    )  # fmt: skip


def tabulate_layers(layers: tuple[LayerShape, ...]) -> Table:
    """One row for each module, indented by its depth.

    Args:
        layers: from :func:`layer_shapes`.
    """
    rows = [
        (
            "\u2003" * layer.depth + layer.path.rpartition(".")[2], layer.kind, " x ".join(map(str, layer.shape)), layer.params,
            layer.place, layer.calls, layer.path,
        )
        for layer in layers
    ]  # fmt: skip
    return Table(("layer", "kind", "output", "params", "place", "calls", "path"), tuple(rows))
