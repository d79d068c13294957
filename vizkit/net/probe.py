"""One forward pass of a network on a clip, with what went through its stages and blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from vizkit.clip import sample
from vizkit.contracts import Axes, Prediction, Provenance, Record, SampledClip, Sampling, Stage, Tap, VideoClip
from vizkit.errors import CheckpointError, NotAvailableError, SettingError
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
    without: tuple[str, ...]
    """Blocks that were switched off."""
    provenance: Provenance
    """What the run was made from."""

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
    network: Network, clip: VideoClip | SampledClip, *, sampling: Sampling | None = None, without: Sequence[str] | str = ()
) -> ProbedRun:
    """Run a network once and keep what went through its stages and inserted blocks.

    The pass works on a module tree of its own over the network's weights, so that any number of threads may probe one network
    at once: results are bit-identical to serial runs.

    Args:
        network: the network.
        clip: a clip, or frames that were sampled already.
        sampling: how to sample the clip; the network's own sampling when None.
        without: names of inserted blocks that are switched off for this run.

    Raises:
        SettingError: an unknown block, a sampling for a clip that is sampled already, or one frame for a module that compares frames.
        CheckpointError: the logits are not finite.
    """
    without = tuple(dict.fromkeys([without] if isinstance(without, str) else without))
    sampled = _sampled(network, clip, sampling)
    taps: dict[str, Tap] = {}
    tree = network.tree(without)
    with ExitStack() as hooks:
        for stage in network.stages:
            hooks.callback(tree.get_submodule(stage.path).register_forward_hook(_stage_tap(taps, stage)).remove)
        for block in network.blocks:
            stage = network.stage(block.stage)
            hooks.callback(tree.get_submodule(block.path).register_forward_hook(_block_tap(taps, block.name, stage)).remove)
        logits = _forward(network, tree, sampled)
    return ProbedRun(sampled, network, Prediction(logits, network.labels), taps, without, _provenance(network, sampled, without))


def predict(clip: VideoClip | SampledClip, network: Network, *, sampling: Sampling | None = None) -> Prediction:
    """What a network says about a clip.

    Args:
        clip: a clip, or frames that were sampled already.
        network: the network.
        sampling: how to sample the clip; the network's own sampling when None.
    """
    return Prediction(_forward(network, network.tree(), _sampled(network, clip, sampling)), network.labels)


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


def _forward(network: Network, tree: nn.Module, clip: SampledClip) -> Any:
    """float32 logits [classes] of one clip."""
    fix_threads()
    device = next((entry.device for entry in network.module.parameters()), None)
    with torch.no_grad():
        logits = tree(network.normalized(clip.tensor.to(device)))[0].float().cpu()
    if not bool(logits.isfinite().all()):
        raise CheckpointError(
            f"{network.name} gives NaN or infinite logits on {clip.name}; its weights cannot be right.", code="not_finite"
        )
    return logits.numpy()


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


def _stage_tap(taps: dict[str, Tap], stage: Stage) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        kept = one_clip(output, stage.axes).clone()  # the next layer may change it in place
        taps[stage.name] = Tap(stage, kept, kept)

    return keep


def _block_tap(taps: dict[str, Tap], name: str, stage: Stage) -> Callable[..., None]:
    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        taps[name] = Tap(stage, one_clip(inputs[0], "BCTHW"), one_clip(output, "BCTHW"))

    return keep


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
