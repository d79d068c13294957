"""How much memory a forward pass needs, before it is run."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from vizkit.net.network import Network

ALIVE = 3
"""Values of the largest size that live at once: what goes into a layer, what comes out, and what it works with."""


def needed_bytes(network: Network, frames: int, height: int, width: int) -> int:
    """Bytes that probing a network takes about: what is kept of its stages, and the largest layer at work.

    Shapes only, nothing is computed. What a layer does inside is not seen: products of all positions with all others are worked out in
    pieces or fused, so that the layer's result is the larger.

    Args:
        network: the network.
        frames: frames of the clip.
        height: of a frame in pixels.
        width: of a frame in pixels.
    """
    shapes = copy.deepcopy(network.module).to("meta").eval()
    given = torch.empty(1, 3, frames, height, width, device="meta")
    kept, every = [given.nbytes], [given.nbytes]

    def size(sizes: list[int], _module: nn.Module, _inputs: Any, output: Any) -> None:
        sizes.append(sum(leaf.nbytes for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)))

    for part in shapes.modules():
        part.register_forward_hook(partial(size, every))
    for stage in network.stages:
        shapes.get_submodule(stage.path).register_forward_hook(partial(size, kept))
    with torch.no_grad():
        shapes(given)
    return sum(kept) + ALIVE * max(every)


def free_bytes() -> int | None:
    """Bytes of memory that may be taken now: of the machine, or of the container if that has less; None where nobody says."""
    told = [_meminfo(Path("/proc/meminfo")), _container(Path("/sys/fs/cgroup"))]
    return min((number for number in told if number is not None), default=None)


def _meminfo(path: Path) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _container(folder: Path) -> int | None:
    try:
        most, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return max(0, int(most) - int(used))
    except (OSError, ValueError):  # "max": no limit
        return None
