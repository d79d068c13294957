"""Which frames of the clip one time step of a stage looks at."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizkit.contracts import Stage
from vizkit.net.probe import one_clip
from vizkit.net.receptive import Edge, PlaceTrace, first

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun

_KEPT: WeakKeyDictionary[nn.Module, dict[object, NDArray[np.int64] | None]] = WeakKeyDictionary()
"""What was found for a module, by stage (place and order of axes), shape of the clip and blocks switched off."""


class _FoundError(Exception):
    """Ends a pass at the stage."""


def frames_covered(run: ProbedRun, stage: Stage) -> NDArray[np.int64] | None:
    """First and last frame that each time step of a stage looks at through the windows of convolutions, pools and shifts.

    Followed on shapes through the network's own pass. What mixes a whole clip (attention, correlation, gates that see its mean) is not
    counted: there, a step may know more of the clip than this.

    Args:
        run: a probed run.
        stage: one of its network's.

    Returns:
        int64 [T, 2], sampled frames, both included; None where an operation hides it.
    """
    kept = _KEPT.setdefault(run.network.module, {})
    key = stage.path, stage.axes, tuple(run.clip.tensor.shape), run.without  # names are given by whoever wraps the module
    if key not in kept:
        kept[key] = _follow(run, stage)
    return kept[key]


def _follow(run: ProbedRun, stage: Stage) -> NDArray[np.int64] | None:
    edges = [_edge(run, stage, edge) for edge in ("first", "last")]
    steps, frames = run.taps[stage.name].after.shape[1], len(run.clip.frames)
    if any(edge is None or edge.shape != (steps,) or bool(edge.isnan().any()) for edge in edges):
        return None
    low, high = (edge.clamp(0, frames - 1).numpy() for edge in edges if edge is not None)
    return np.stack([np.floor(low), np.ceil(high)], -1).astype(np.int64)


def _edge(run: ProbedRun, stage: Stage, edge: Edge) -> torch.Tensor | None:
    """[T] first or last frame of each time step; NaN where that is not known."""
    tree = run.network.tree(run.without)
    tree = copy.deepcopy(tree, {id(entry): _on_shapes(entry) for entry in (*tree.parameters(), *tree.buffers())})
    clip = torch.empty(run.clip.tensor.shape, device="meta")
    trace, found = PlaceTrace(clip, edge), list[torch.Tensor]()

    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        places = trace.of(first(output))
        if places is not None:
            value = (places[0], *output[1:]) if isinstance(output, tuple) else places[0]
            steps = one_clip(value, stage.axes).movedim(1, 0).flatten(1)  # [T, ...]
            missing = math.inf if edge == "first" else -math.inf
            known = steps.nan_to_num(missing)
            outermost = known.amin(1) if edge == "first" else known.amax(1)
            found[:] = [outermost.masked_fill(outermost.isinf(), math.nan)]
        raise _FoundError

    tree.get_submodule(stage.path).register_forward_hook(keep)
    try:
        with torch.no_grad(), trace:
            tree(clip)
    except Exception:  # the end of the pass, or whatever a network says about tensors without values
        return found[0] if found else None
    return None


def _on_shapes(entry: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(entry, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(entry, nn.Parameter) else empty
