"""The part of a network behind one of its stages, run again on what the stage gave, with a graph for gradients.

Only this part is computed: what comes before the stage is followed on shapes alone. The network's own module is not touched; the
weights have no gradients, so that the graph holds what the stage's output needs and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from vizkit.contracts import Prediction, Stage
from vizkit.errors import NotAvailableError
from vizkit.net.network import fix_threads
from vizkit.net.probe import as_output, one_clip

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun

ALIKE = 1e-3
"""Logits of two passes differ by less, relative to the largest (at least 1)."""

Scalar = Callable[[torch.Tensor], torch.Tensor]
"""Logits [classes] -> what is derived."""


@dataclass(frozen=True, eq=False)
class Head:
    """The graph from a stage's output to the logits."""

    leaf: torch.Tensor
    """[1, C, T, H, W] the stage's map."""
    logits: torch.Tensor
    """[classes] with the graph."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def gradient(self, scalar: Scalar, *, differentiable: bool = False) -> torch.Tensor:
        """Gradient [1, C, T, H, W] of a function of the logits at the stage's map; zero where nothing of it reaches them.

        Args:
            scalar: the function.
            differentiable: keep a graph of the gradient, for second derivatives.
        """
        if not self.logits.requires_grad:
            return torch.zeros_like(self.leaf)
        with self._lock, torch.inference_mode(False), torch.enable_grad():
            (found,) = torch.autograd.grad(
                scalar(self.logits), self.leaf, retain_graph=True, create_graph=differentiable, allow_unused=True
            )
        return torch.zeros_like(self.leaf) if found is None else found


_KEPT: WeakKeyDictionary[Prediction, tuple[str, Head]] = WeakKeyDictionary()
"""Stage and head of the last one of each run (known by its prediction) that is still there."""
_KEEPING = threading.Lock()


def head_of(run: ProbedRun, stage: Stage) -> Head:
    """The head behind a stage of a run; the last one is kept as long as the run, so that a further label costs a backward pass.

    Args:
        run: a probed run.
        stage: one of its network's.
    """
    with _KEEPING:
        name, head = _KEPT.get(run.prediction, ("", None))
    if head is None or name != stage.name:
        head = new_head(run, stage)
        with _KEEPING:
            _KEPT[run.prediction] = stage.name, head
    return head


def keep_head(run: ProbedRun, stage: Stage, head: Head) -> None:
    """Keep a head that was built while its run was made.

    Args:
        run: the run.
        stage: where the head begins.
        head: the graph from there on.
    """
    with _KEEPING:
        _KEPT[run.prediction] = stage.name, head


def graph_from(stage: Stage, found: list[torch.Tensor], given: Any = None) -> Callable[..., Any]:
    """A forward hook for the stage's module: from its output on there is a graph, until the end of the pass.

    The pass has to run in a context that puts grad mode back.

    Args:
        stage: where the graph begins.
        found: takes the leaf [1, C, T, H, W].
        given: what stands for the module's output; None for that itself.
    """

    def begin(_module: torch.nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        value = output if given is None else given
        leaf = one_clip(value, stage.axes)[None]
        leaf = (leaf.clone() if leaf.is_inference() else leaf).requires_grad_()
        found[:] = [leaf]
        torch.set_grad_enabled(True)
        return as_output(leaf.clone()[0], value, stage.axes)  # a copy, as what follows may change it in place

    return begin


def new_head(run: ProbedRun, stage: Stage) -> Head:
    """The same, computed anew: by the head alone, or by a whole pass where the head takes more than the stage's output.

    Args:
        run: a probed run.
        stage: one of its network's.

    Raises:
        NotAvailableError: the network gives other logits than it gave before.
    """
    try:
        head = _pass_on_shapes(run, stage)
    except Exception:  # whatever a network says about tensors without values, tensors with values will tell
        head = None
    if head is None or not alike(run, head.logits):
        head = _whole_pass(run, stage)
    if not alike(run, head.logits):
        raise NotAvailableError(f"{run.network.name} says something else when the same clip is run again, so it has no gradient to show.")
    return head


def alike(run: ProbedRun, logits: torch.Tensor) -> bool:
    """Whether another pass has given the run's logits, up to rounding.

    Args:
        run: a probed run.
        logits: [classes] of the other pass.
    """
    before = torch.from_numpy(run.prediction.logits)
    after = logits.detach().float().cpu()
    return bool((before - after).abs().max() <= ALIKE * max(1.0, float(before.abs().max())))


def _pass_on_shapes(run: ProbedRun, stage: Stage) -> Head:
    return _pass(run, stage, torch.empty(run.clip.tensor.shape, device="meta"), run.outputs[stage.name])


def _whole_pass(run: ProbedRun, stage: Stage) -> Head:
    device = next((entry.device for entry in run.network.module.parameters()), None)
    return _pass(run, stage, run.network.normalized(run.clip.tensor.to(device)), None)


def _pass(run: ProbedRun, stage: Stage, clip: torch.Tensor, given: Any) -> Head:
    """Run a tree of one's own without gradients up to the stage, and with them from there on.

    Args:
        run: the probed run.
        stage: where the graph begins.
        clip: [1, 3, T, H, W], with values or without.
        given: what stands for the stage's output; None for what it gives itself.
    """
    fix_threads()
    tree, found = run.network.tree(run.without), list[torch.Tensor]()
    shapes = ShapesUntil() if clip.is_meta else nullcontext()

    def values_from_here(*_told: Any) -> None:
        if isinstance(shapes, ShapesUntil):
            shapes.over = True

    with torch.inference_mode(False), torch.no_grad(), shapes:
        tree.get_submodule(stage.path).register_forward_hook(graph_from(stage, found, given))
        tree.get_submodule(stage.path).register_forward_hook(values_from_here)
        for path, seen in vectors_beside(run).items():
            tree.get_submodule(path).register_forward_pre_hook(with_values(seen))
        logits = tree(clip)[0]
    return Head(found[0], logits)


def vectors_beside(run: ProbedRun) -> dict[str, torch.Tensor]:
    """Path -> input [1, C, T, H, W] of the blocks that leave the map as it is and give the head a vector."""
    blocks = ((block.path, run.taps[block.name]) for block in run.network.blocks)
    return {path: tap.before[None] for path, tap in blocks if tap.after is tap.before}


def with_values(seen: torch.Tensor) -> Callable[..., Any]:
    """A hook that gives a block the input that it had in the run, where it comes without values."""
    return lambda _module, inputs: (seen, *inputs[1:]) if inputs[0].is_meta else None


class ShapesUntil(TorchDispatchMode):
    """While it is on, what is done to tensors without values is done on shapes alone, whatever it is done with.

    Once ``over`` is set, a tensor without values that is still used is an error: it would stand for values that were not computed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.over = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],  # noqa: ARG002
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        tensors = [entry for entry in tree_flatten((args, kwargs))[0] if isinstance(entry, torch.Tensor)]
        if any(entry.is_meta for entry in tensors):
            if self.over:
                raise RuntimeError("the head takes more than the stage's output")
            args, kwargs = tree_map_only(torch.Tensor, lambda entry: entry.to("meta"), (args, kwargs or {}))
        return func(*args, **(kwargs or {}))
