"""A one-process training loop. Killed at any moment, it goes on from its last saved state to the same final weights.

Everything a step does is a function of (config, step): the clips, the sizes, the learning rate, the random draws.
"""

from __future__ import annotations

import io
import json
import math
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
from vizkit.errors import TrainingError
from vizkit.learn.config import TrainingConfig
from vizkit.learn.objective import Classify, ClassifyAndFollow, Dense, Objective
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
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _start(config, folder, source_of(config, folder.parent / SHARDS if shards is None else shards))
    torch.set_num_threads(config.threads)  # after the start's network was loaded, which sets its own number
    if (folder / STATE).exists():
        if not resume:
            raise TrainingError(f"{folder} holds a run already; go on with --resume, or choose another folder.", code="exists")
        _restore(run)
    _prepare(run.source, progress=progress)
    bar = tqdm(total=config.steps, initial=run.step, desc=config.name, unit="step", disable=not progress)
    asked = time.monotonic()
    for batch in _batches(run):
        started = time.monotonic()
        numbers = _step(run, batch)
        run.waited += started - asked
        asked = time.monotonic()
        run.seconds += asked - started
        bar.update()
        if run.step % LOG_EVERY == 0 or run.step == config.steps:
            bar.set_postfix(loss=f"{numbers['loss']:.3f}")
            spent = {"seconds": round(run.seconds, 2), "waited": round(run.waited, 2)}
            run.lines.append(json.dumps({"step": run.step, "clips": run.step * config.batch, **numbers, **spent}))
        if (run.step * config.batch) % config.save_every < config.batch or run.step == config.steps:
            _save(run)
    bar.close()
    run.network.eval()
    return TrainedNetwork(run.network, config, run.source, digest_tensors(run.network.state_dict()), run.seconds)


def _prepare(source: Source, *, progress: bool) -> None:
    """Render what the run reads from disk, with a bar of its own: the seconds of a run do not count it."""
    with tqdm(desc="rendering", unit="shard", disable=not progress, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n if done > bar.n else 1)

        source.prepare(report=show)


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


def _start(config: TrainingConfig, folder: Path, source: Source) -> Run:
    network = build_network(config, len(source.labels))
    objective = _objective(config, network)
    parameters = [*network.parameters(), *objective.heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=config.weight_decay)
    return Run(config, folder, source, network, objective, optimizer)


def _objective(config: TrainingConfig, network: nn.Module) -> Objective:
    if config.objective in ("joint", "separate", "behind"):
        projected = require_front(network, config)
        if config.objective == "joint":
            return Joint(projected, config)
        return Separate() if config.objective == "separate" else Behind(projected)
    stages: tuple[Stage, ...] = network.stages  # type: ignore[assignment]
    if config.objective == "dense":
        return Dense(stages)
    return ClassifyAndFollow(stages) if config.objective == "follow" else Classify()


def _batches(run: Run) -> Iterator[LabelledClips]:
    """The batches of the remaining steps, made ahead by one worker process."""
    steps = range(run.step, run.config.steps)
    if steps:
        yield from DataLoader(run.source, batch_size=None, sampler=steps, num_workers=1, prefetch_factor=4)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up to the phase's peak, then half a cosine down to zero."""
    phase, inside = config.phase_at(step)
    done = (inside + 1) / (phase.clips // config.batch)
    if done <= phase.warm_up:
        return phase.peak_rate * done / phase.warm_up
    return phase.peak_rate * 0.5 * (1 + math.cos(math.pi * (done - phase.warm_up) / (1 - phase.warm_up)))


def _step(run: Run, batch: LabelledClips) -> dict[str, float]:
    config = run.config
    torch.manual_seed(config.seed * 1_000_003 + run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(config, run.step)
    run.network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision_of(config) == "bf16"):
        loss, numbers = run.objective.loss(run.network, run.source.normalize(batch.frames), batch)
    if not bool(loss.isfinite()):
        value = float(loss.detach())
        raise TrainingError(f"The loss is {value} at step {run.step}; lower peak_rate or use precision = 'float32'.", code="diverged")
    run.optimizer.zero_grad(set_to_none=True)
    numbers |= run.objective.backward(loss, run.step)
    nn.utils.clip_grad_norm_([p for group in run.optimizer.param_groups for p in group["params"]], config.clip_norm)
    run.optimizer.step()
    run.step += 1
    return {"loss": round(float(loss.detach()), 5), "rate": run.optimizer.param_groups[0]["lr"], **numbers}


def precision_of(config: TrainingConfig) -> str:
    """What a run computes in on this machine: ``"float32"`` or ``"bf16"``."""
    if config.precision != "auto":
        return config.precision
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


def _save(run: Run) -> None:
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
    """Digest of what the weights depend on."""
    return digest_settings(config.model_dump(exclude={"notes", "twin", "save_every"}))


def _restore(run: Run) -> None:
    state: Mapping[str, Any] = torch.load(run.folder / STATE, weights_only=True)
    if state["config"] != _identity(run.config):
        raise TrainingError(f"{run.folder} holds a run of another config; choose another folder.", code="config")
    run.network.load_state_dict(state["network"])
    run.objective.heads.load_state_dict(state["heads"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.seconds, run.waited, run.lines = state["step"], state["seconds"], state["waited"], list(state["lines"])
