"""The training loop. Killed at any moment, it goes on from its last saved state to the same final weights.

Everything a step does is a function of (config, step): the clips, the sizes, the learning rate, the random draws. Under torchrun every
process takes a part of each batch, see :mod:`vizkit.learn.parallel`.
"""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from vizkit.atomic import write_atomically
from vizkit.catalog import architecture
from vizkit.checkpoint import load_network
from vizkit.contracts import LabelledClips, Record, Stage
from vizkit.digest import digest_settings, digest_tensors
from vizkit.errors import SettingError, TrainingError
from vizkit.learn.config import TrainingConfig
from vizkit.learn.objective import Classify, ClassifyAndFollow, Dense, Objective
from vizkit.learn.optimizer import build_optimizer, set_rates
from vizkit.learn.parallel import ALONE, Group, Part, joined, synchronise_norms
from vizkit.learn.projection import Behind, Joint, Separate, require_front
from vizkit.learn.source import Source, source_of
from vizkit.world import LABELS

STATE, LOG, SHARDS = "state.pt", "log.jsonl", "shards"
LOG_EVERY = 20
LEAST_CHANNELS = 8


@dataclass(frozen=True, eq=False, repr=False)
class TrainedNetwork(Record):
    """What a run gives."""

    module: nn.Module
    """In eval mode."""
    config: TrainingConfig
    """The config it was trained by."""
    source: Source
    """What it was trained on."""
    digest: str
    """SHA-256 over the float32 weights."""
    seconds: float
    """Wall seconds of training, all resumed parts together."""


@dataclass(eq=False)
class Run:
    """A run in progress."""

    config: TrainingConfig
    folder: Path
    source: Source
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    group: Group = ALONE
    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    lines: list[str] = field(default_factory=list)


def train(
    config: TrainingConfig, folder: Path, *, resume: bool = False, progress: bool = True, shards: Path | None = None
) -> TrainedNetwork:
    """Train, saving a state as it goes.

    Args:
        config: the run.
        folder: takes ``state.pt`` and ``log.jsonl``.
        resume: go on from the folder's state; without it, a folder that holds a state is refused.
        progress: show a bar with the remaining time on standard error.
        shards: folder for clips that are rendered before the run; ``shards`` beside ``folder`` when None.

    Returns:
        The trained network; the same config gives the same digest on one machine, killed and resumed or not.

    Raises:
        TrainingError: the folder holds another run, or the loss is no longer finite.
        SettingError: a device that is not there, or a batch or an objective that processes cannot share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = source_of(config, folder.parent / SHARDS if shards is None else shards)
    with joined(config.batch, config.device) as group:
        run = start_run(config, folder, source, group)
        if (folder / STATE).exists():
            if not resume:
                raise TrainingError(f"{folder} holds a run already; go on with --resume, or choose another folder.", code="exists")
            _restore(run)
        group.share((run.network, run.objective.heads))
        _prepare(run, progress=progress)
        _run(run, progress=progress)
    network = run.network.cpu().eval()
    return TrainedNetwork(network, config, source, digest_tensors(network.state_dict()), run.seconds)


def _run(run: Run, *, progress: bool) -> None:
    """Take the remaining steps."""
    config = run.config
    with tqdm(total=config.steps, initial=run.step, desc=config.name, unit="step", disable=not (progress and run.group.leads)) as bar:
        asked = time.monotonic()
        for batch in batches(run):
            started = time.monotonic()
            numbers = take_step(run, batch)
            run.waited += started - asked
            asked = time.monotonic()
            run.seconds += asked - started
            bar.update()
            if run.step % LOG_EVERY == 0 or run.step == config.steps:
                bar.set_postfix(loss=f"{numbers['loss']:.3f}")
                spent = {"seconds": round(run.seconds, 2), "waited": round(run.waited, 2)}
                run.lines.append(json.dumps({"step": run.step, "clips": run.step * config.batch, **numbers, **spent}))
            if run.group.leads and ((run.step * config.batch) % config.save_every < config.batch or run.step == config.steps):
                save_run(run)


def _prepare(run: Run, *, progress: bool) -> None:
    """Render what the run reads from disk, with a bar of its own: the seconds of a run do not count it. The first process does it."""
    if run.group.leads:
        with tqdm(desc="rendering", unit="shard", disable=not progress, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n if done > bar.n else 1)

            run.source.prepare(report=show)
    run.group.wait()
    if not run.group.leads:
        run.source.prepare()


def build_network(config: TrainingConfig, classes: int = len(LABELS)) -> nn.Module:
    """The network before its first step: weights from the seed, then from ``start`` where key and shape agree."""
    torch.manual_seed(config.seed)
    network = architecture(config.architecture).build(classes, **config.options)
    if config.start:
        start: Mapping[str, torch.Tensor] = load_network(config.start).module.state_dict()
        own = network.state_dict()
        if start.keys().isdisjoint(own):  # the network that it is the start of stands behind something else
            names = getattr(network, "translate_keys", lambda _: None)(start.keys()) or {}
            start = {name: start[key] for key, name in names.items()}
        network.load_state_dict({key: start[key] if key in start and start[key].shape == own[key].shape else own[key] for key in own})
    if config.objective in ("dense", "separate"):  # no label is learned: every class gets the same probability
        last = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    # Fewer channels corrupt memory: backward of channels-last float32 convolutions in torch 2.15 on processors without AVX-512.
    planar = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    if all(part.out_channels >= LEAST_CHANNELS for part in planar):
        for part in planar:
            part.to(memory_format=torch.channels_last)
    return network


def start_run(config: TrainingConfig, folder: Path, source: Source, group: Group = ALONE) -> Run:
    """A run before its first step: network, objective and optimiser on the config's device, the config's threads in force.

    Args:
        config: the run.
        folder: for its files; nothing is written yet.
        source: its clips.
        group: the processes that share it.

    Raises:
        SettingError: a device that is not there, or an objective that processes cannot share.
    """
    device = device_of(config)
    network = build_network(config, len(source.labels))
    if group.size > 1:
        synchronise_norms(network)
    objective = _objective(config, network, group)
    network.to(device)
    objective.heads.to(device)
    optimizer = build_optimizer(network, objective.heads, weight_decay=config.weight_decay)
    torch.set_num_threads(config.threads)  # after the start's network was loaded, which sets its own number
    return Run(config, folder, source, network, objective, optimizer, group)


def device_of(config: TrainingConfig) -> torch.device:
    """Where a run computes; of several processes on a machine, each takes a GPU of its own.

    Raises:
        SettingError: a GPU is asked for, and torch finds none.
    """
    if config.device == "cpu":
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise SettingError(f"device is 'cuda', but torch finds {torch.cuda.device_count()} GPUs for process {number}.", code="device")
    return torch.device("cuda", number)


def _objective(config: TrainingConfig, network: nn.Module, group: Group) -> Objective:
    if config.objective in ("joint", "separate", "behind"):
        projected = require_front(network, config)
        if config.objective == "joint" and group.size > 1:
            raise SettingError("objective 'joint' weighs gradients of whole batches against each other; run it in one process.")
        if config.objective == "joint":
            return Joint(projected, config)
        return Separate() if config.objective == "separate" else Behind(projected)
    stages: tuple[Stage, ...] = network.stages  # type: ignore[assignment]
    if config.objective == "dense":
        return Dense(stages)
    return ClassifyAndFollow(stages, group, config.followed) if config.objective == "follow" else Classify()


def batches(run: Run) -> Iterator[LabelledClips]:
    """This process's parts of the batches of the remaining steps, made ahead by one worker process."""
    steps = range(run.step, run.config.steps)
    if steps:
        yield from DataLoader(Part(run.source, run.group), batch_size=None, sampler=steps, num_workers=1, prefetch_factor=4)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up to the phase's peak, then half a cosine down to zero."""
    phase, inside = config.phase_at(step)
    done = (inside + 1) / (phase.clips // config.batch)
    if done <= phase.warm_up:
        return phase.peak_rate * done / phase.warm_up
    return phase.peak_rate * 0.5 * (1 + math.cos(math.pi * (done - phase.warm_up) / (1 - phase.warm_up)))


def take_step(run: Run, batch: LabelledClips) -> dict[str, float]:
    """Learn from one batch; gives numbers for the log.

    Raises:
        TrainingError: the loss is not finite.
    """
    config, group, device = run.config, run.group, device_of(run.config)
    batch = batch.to(device)
    torch.manual_seed((config.seed * 1_000_003 + run.step) * group.size + group.rank)
    set_rates(run.optimizer, learning_rate(config, run.step), config.phase_at(run.step)[0])
    run.network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision_of(config) == "bf16"):
        loss, numbers = run.objective.loss(run.network, run.source.normalize(batch.frames), batch)
    value = float(group.mean(loss))
    if not math.isfinite(value):
        raise TrainingError(f"The loss is {value} at step {run.step}; lower peak_rate or use precision = 'float32'.", code="diverged")
    run.optimizer.zero_grad(set_to_none=True)
    numbers |= run.objective.backward(loss, run.step)
    parameters = [parameter for entry in run.optimizer.param_groups for parameter in entry["params"]]
    group.average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    run.optimizer.step()
    run.step += 1
    return {"loss": round(value, 5), "rate": run.optimizer.param_groups[0]["lr"], **group.mean_numbers(numbers, device)}


def precision_of(config: TrainingConfig) -> str:
    """What a run computes in on this machine: ``"float32"`` or ``"bf16"``."""
    if config.precision != "auto":
        return config.precision
    if config.device == "cuda":
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


def save_run(run: Run) -> None:
    """Write the state and the log, each whole or not at all; the log never runs ahead of the state."""
    state = {
        "config": _identity(run.config),
        "step": run.step,
        "seconds": run.seconds,
        "waited": run.waited,
        "network": run.network.state_dict(),
        "heads": run.objective.heads.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "lines": run.lines,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(run.folder / STATE, buffer.getvalue())
    write_atomically(run.folder / LOG, "".join(f"{line}\n" for line in run.lines).encode())


def _identity(config: TrainingConfig) -> str:
    """Digest of what the weights depend on, the kind of processor apart, which decides about their last bits."""
    return digest_settings(config.model_dump(exclude={"notes", "twin", "save_every", "device"}))


def _restore(run: Run) -> None:
    state: Mapping[str, Any] = torch.load(run.folder / STATE, map_location="cpu", weights_only=True)
    if state["config"] != _identity(run.config):
        raise TrainingError(f"{run.folder} holds a run of another config; choose another folder.", code="config")
    run.network.load_state_dict(state["network"])
    run.objective.heads.load_state_dict(state["heads"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.seconds, run.waited, run.lines = state["step"], state["seconds"], state["waited"], list(state["lines"])
