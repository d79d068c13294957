"""The part of a network that follows one of its inserted blocks, run again on other outputs of that block."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizkit.contracts import Stage
from vizkit.errors import NotAvailableError
from vizkit.net.head import ShapesUntil, alike, vectors_beside, with_values
from vizkit.net.network import fix_threads

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun


class _Given(nn.Module):
    """Stands in a block's place and gives what was worked out for it."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_inputs: torch.Tensor) -> torch.Tensor:
        return self.output


def logits_with(run: ProbedRun, block: str, outputs: torch.Tensor) -> NDArray[np.float32]:
    """Logits that a network would give if one of its blocks gave something else.

    Only what follows the stage before the block's is computed, on what that stage gave in the run; a network that needs more than that,
    or a block in the first stage, is run as a whole. What the block itself gave is run along, and has to give the run's logits again.

    Args:
        run: a probed run.
        block: name of an inserted block that gives a map.
        outputs: [N, C, T, H, W] what it gives instead, each for a pass of its own.

    Returns:
        [N, classes]

    Raises:
        SettingError: an unknown block.
        NotAvailableError: the block is switched off in this run, or the network gives other logits than it gave before.
    """
    run.block(block)
    batch = torch.cat([run.taps[block].after[None].to(outputs), outputs])
    start = stage_before(run, block)
    logits = None
    if start is not None:
        try:
            logits = _pass(run, block, batch, start)
        except Exception:  # whatever a network says about tensors without values, tensors with values will tell
            logits = None
    if logits is None or not alike(run, logits[0]):
        logits = _pass(run, block, batch, None)
    if not alike(run, logits[0]):
        raise NotAvailableError(
            f"{run.network.name} says something else when the same clip is run again, so nothing can be held against it."
        )
    found: NDArray[np.float32] = logits[1:].float().cpu().numpy()
    return found


def stage_before(run: ProbedRun, block: str) -> Stage | None:
    """The stage whose output a pass behind a block begins with; None where that is the clip.

    Args:
        run: a probed run.
        block: name of an inserted block.
    """
    names = [stage.name for stage in run.network.stages]
    place = names.index(run.network.block(block).stage)
    return run.network.stages[place - 1] if place else None


def _pass(run: ProbedRun, block: str, outputs: torch.Tensor, start: Stage | None) -> torch.Tensor:
    """[N, classes] on a tree of one's own, from a stage's output on or from the clip."""
    fix_threads()
    tree = run.network.tree(run.without)
    path, _, leaf = run.network.block(block).path.rpartition(".")
    setattr(tree.get_submodule(path), leaf, _Given(outputs))
    clip = run.network.normalized(run.clip.tensor.to(outputs.device)) if start is None else torch.empty_like(run.clip.tensor, device="meta")
    shapes = nullcontext() if start is None else ShapesUntil()

    with torch.inference_mode(False), torch.no_grad(), shapes:
        if isinstance(shapes, ShapesUntil) and start is not None:
            tree.get_submodule(start.path).register_forward_hook(_begin(shapes, _repeated(run.outputs[start.name], len(outputs))))
            for beside, seen in vectors_beside(run).items():
                tree.get_submodule(beside).register_forward_pre_hook(with_values(seen.expand(len(outputs), -1, -1, -1, -1)))
        logits: torch.Tensor = tree(clip.expand(len(outputs), -1, -1, -1, -1))
    return logits


def _begin(shapes: ShapesUntil, given: Any) -> Callable[..., Any]:
    """A hook that gives a module's output its values, from where on everything has values."""

    def begin(*_told: Any) -> Any:
        shapes.over = True
        return given

    return begin


def _repeated(output: Any, count: int) -> Any:
    """What a stage gave for one clip, for so many: clips, or their frames, lie along its first axis."""
    given: torch.Tensor = output[0] if isinstance(output, tuple) else output
    value = given.repeat(count, *(1,) * (given.dim() - 1))
    return (value, *output[1:]) if isinstance(output, tuple) else value
