"""One forward pass of a network on a clip, with what went through its stages and blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizkit.clip import sample
from vizkit.contracts import AttentionVolume, Axes, Prediction, Provenance, Record, SampledClip, Sampling, Stage, Tap, VideoClip
from vizkit.errors import CheckpointError, NotAvailableError, SettingError, unknown_name
from vizkit.net.network import Network, fix_threads


@dataclass(frozen=True, eq=False, repr=False)
class ProbedRun(Record):
    """A forward pass that can be looked into."""

    clip: SampledClip
    """The frames that the network saw."""
    network: Network
    """The network; its blocks' public steps may be called again on the taps."""
    prediction: Prediction
    """What it said."""
    taps: Mapping[str, Tap]
    """What went through every stage and every inserted block, by name."""
    outputs: Mapping[str, Any]
    """What the stages' modules gave, by name and as they gave it; the taps are views of the same memory."""
    without: tuple[str, ...]
    """Blocks that were switched off."""
    provenance: Provenance
    """What the run was made from."""
    attention: AttentionVolume | None = None
    """Where a stage's features speak for a label, if that was asked for."""

    @property
    def switched_off(self) -> list[str]:
        """The note that says which blocks are switched off, if any are."""
        return [f"Switched off in this run: {', '.join(self.without)}."] if self.without else []

    def block(self, name: str) -> nn.Module:
        """The inserted module of a block, to call its steps on a tap. Its forward keeps no state.

        Raises:
            SettingError: an unknown block.
            NotAvailableError: the block is switched off in this run.
        """
        path = self.network.block(name).path
        if name in self.without:
            raise NotAvailableError(f"Block {name} is switched off in this run; switch it on to see what it does.", code="switched_off")
        return self.network.module.get_submodule(path)


def probe(
    network: Network,
    clip: VideoClip | SampledClip,
    *,
    sampling: Sampling | None = None,
    without: Sequence[str] | str = (),
    attention: bool | str | int | Mapping[str, Any] | None = None,
) -> ProbedRun:
    """Run a network once and keep what went through its stages and inserted blocks.

    The pass works on a module tree of its own over the network's weights, so that any number of threads may probe one network
    at once: results are bit-identical to serial runs.

    Args:
        network: the network.
        clip: a clip, or frames that were sampled already.
        sampling: how to sample the clip; the network's own sampling when None.
        without: names of inserted blocks that are switched off for this run.
        attention: also work out where features speak for a label (:func:`vizkit.net.attention.attend`): True for the predicted label at
            the last stage, the name or number of another label, or ``{"stage": ..., "target": ..., "method": ...}``.

    Raises:
        SettingError: an unknown block, stage, label or method, a sampling for a clip that is sampled already, or one frame for a module
            that compares frames.
        CheckpointError: the logits are not finite.
    """
    without, wanted = tuple(dict.fromkeys([without] if isinstance(without, str) else without)), _attention_settings(attention)
    sampled = _sampled(network, clip, sampling)
    taps: dict[str, Tap] = {}
    outputs: dict[str, Any] = {}
    tree = network.tree(without)
    with ExitStack() as hooks:
        for stage in network.stages:
            hooks.callback(tree.get_submodule(stage.path).register_forward_hook(_stage_tap(taps, outputs, stage)).remove)
        for block in network.blocks:
            stage = network.stage(block.stage)
            hooks.callback(tree.get_submodule(block.path).register_forward_hook(_block_tap(taps, block.name, stage)).remove)
        begun = _begin_graph(network, tree, wanted, hooks) if wanted is not None and network.stages else None
        logits = _forward(network, tree, sampled)
    prediction = Prediction(_finite(logits, network, sampled), network.labels)
    run = ProbedRun(sampled, network, prediction, taps, outputs, without, _provenance(network, sampled, without))
    return run if wanted is None else replace(run, attention=_attend(run, wanted, begun, logits))


def _attention_settings(asked: bool | str | int | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Arguments of :func:`vizkit.net.attention.attend`; None where no map is wanted."""
    if asked is None or asked is False:
        return None
    settings = dict(asked) if isinstance(asked, Mapping) else {} if asked is True else {"target": asked}
    unknown = sorted(set(settings) - {"stage", "target", "method"})
    if unknown:
        raise unknown_name("key of attention", unknown[0], ["stage", "target", "method"])
    return settings


Begun = tuple[Stage, list[torch.Tensor]]


def _begin_graph(network: Network, tree: nn.Module, wanted: Mapping[str, Any], hooks: ExitStack) -> Begun:
    """Let the pass itself keep the graph behind the stage whose map is wanted, so that this part is not computed twice."""
    from vizkit.net.head import graph_from

    stage, leaf = network.stage(wanted["stage"]) if wanted.get("stage") else network.stages[-1], list[torch.Tensor]()
    hooks.callback(tree.get_submodule(stage.path).register_forward_hook(graph_from(stage, leaf)).remove)
    return stage, leaf


def _attend(run: ProbedRun, wanted: Mapping[str, Any], begun: Begun | None, logits: torch.Tensor) -> AttentionVolume:
    from vizkit.net.attention import attend  # loads the grad-cam library, which takes seconds
    from vizkit.net.head import Head, keep_head

    if begun is not None:
        stage, (leaf,) = begun
        keep_head(run, stage, Head(leaf, logits))
    return attend(run, **wanted)


def predict(clip: VideoClip | SampledClip, network: Network, *, sampling: Sampling | None = None) -> Prediction:
    """What a network says about a clip.

    Args:
        clip: a clip, or frames that were sampled already.
        network: the network.
        sampling: how to sample the clip; the network's own sampling when None.
    """
    sampled = _sampled(network, clip, sampling)
    return Prediction(_finite(_forward(network, network.tree(), sampled), network, sampled), network.labels)


def _sampled(network: Network, clip: VideoClip | SampledClip, sampling: Sampling | None) -> SampledClip:
    if isinstance(clip, SampledClip):
        if sampling is not None:
            raise SettingError("This clip is sampled already; pass the VideoClip to choose another sampling.")
        sampled = clip
    else:
        sampled = sample(clip, sampling or network.sampling)
    if len(sampled.frames) < 2 and network.blocks:
        raise SettingError(f"{network.name} compares frames, and the sampling gives one; choose at least two frames.", code="one_frame")
    return sampled


def _forward(network: Network, tree: nn.Module, clip: SampledClip) -> torch.Tensor:
    """Logits [classes] of one clip."""
    fix_threads()
    device = next((entry.device for entry in network.module.parameters()), None)
    with torch.inference_mode(False), torch.no_grad():
        logits: torch.Tensor = tree(network.normalized(clip.tensor.to(device)))[0]
    return logits


def _finite(logits: torch.Tensor, network: Network, clip: SampledClip) -> NDArray[np.float32]:
    """float32 logits [classes]."""
    values = logits.detach().float().cpu().clone()
    if not bool(values.isfinite().all()):
        raise CheckpointError(
            f"{network.name} gives NaN or infinite logits on {clip.name}; its weights cannot be right.", code="not_finite"
        )
    found: NDArray[np.float32] = values.numpy()
    return found


def one_clip(output: Any, axes: Axes) -> torch.Tensor:
    """The map of one clip as [C, T, H, W].

    Args:
        output: what a module returned; of a tuple the first entry counts (with ``"BNC"`` the second one is (T, H, W)).
        axes: order of its axes, see :data:`vizkit.contracts.Axes`.
    """
    value: torch.Tensor = output[0] if isinstance(output, tuple) else output
    if axes == "BNC":
        frames, height, width = (int(side) for side in output[1])
        value = value[:, -frames * height * width :].transpose(1, 2).unflatten(2, (frames, height, width))
    elif axes == "FCHW":
        value = value.transpose(0, 1)[None]
    elif axes == "BTHWC":
        value = value.permute(0, 4, 1, 2, 3)
    return value[0].detach().float()


def as_output(features: torch.Tensor, output: Any, axes: Axes) -> Any:
    """The inverse of :func:`one_clip`: a map in the place of the one that a module gave; a class token stays as it is.

    Args:
        features: [C, T, H, W].
        output: what the module returned.
        axes: order of its axes.
    """
    given: torch.Tensor = output[0] if isinstance(output, tuple) else output
    value = features[None].to(given.dtype)
    if axes == "BNC":
        value = value.flatten(2).transpose(1, 2)
        value = torch.cat([given[:, : given.shape[1] - value.shape[1]], value], 1)
    elif axes == "FCHW":
        value = value[0].transpose(0, 1)
    elif axes == "BTHWC":
        value = value.permute(0, 2, 3, 4, 1)
    return (value, *output[1:]) if isinstance(output, tuple) else value


def _stage_tap(taps: dict[str, Tap], outputs: dict[str, Any], stage: Stage) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        given = output[0] if isinstance(output, tuple) else output
        copied = given.detach().clone()  # the next layer may change it in place
        own = (copied, *output[1:]) if isinstance(output, tuple) else copied
        kept = one_clip(own, stage.axes)
        taps[stage.name], outputs[stage.name] = Tap(stage, kept, kept), own

    return keep


def _block_tap(taps: dict[str, Tap], name: str, stage: Stage) -> Callable[..., None]:
    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        before = one_clip(inputs[0], "BCTHW")
        taps[name] = Tap(stage, before, one_clip(output, "BCTHW") if _is_map(output) else before)

    return keep


def _is_map(output: Any) -> bool:
    """Whether a block gives a feature map; some give a vector that goes straight to the head."""
    value = output[0] if isinstance(output, tuple) else output
    return bool(value.dim() == 5)


def _provenance(network: Network, clip: SampledClip, without: Sequence[str]) -> Provenance:
    return Provenance(
        clip=clip.name,
        clip_digest=clip.digest,
        sampling=clip.sampling.model_dump(),
        model=network.name,
        architecture=network.architecture,
        model_digest=network.digest,
        origin=network.origin,
        arguments=network.arguments,
        without=tuple(without),
        versions={"vizkit": _version("vizkit"), "torch": torch.__version__},
        threads=torch.get_num_threads(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "source"
