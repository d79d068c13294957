"""Ends a run: half-precision weights, the config, and a card whose every number names the command that gives it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vizkit.catalog import architecture
from vizkit.checkpoint import CONFIG, load_network, read_checkpoint, write_card, write_checkpoint
from vizkit.contracts import Sampling, Score
from vizkit.learn.train import TrainedNetwork, precision_of
from vizkit.motion.pwtp.network import ProjectedNetwork
from vizkit.net.count import count_network
from vizkit.scores import MOST_PICTURES, score

LICENSE = "Apache-2.0"
DISPLAY_SIDE_PX = 112
QUICK_CLIPS = 50


def finish(trained: TrainedNetwork, config_path: Path, folder: Path, *, test_clips: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Write the checkpoint of a run and measure it after rounding to half precision.

    Args:
        trained: the run.
        config_path: its TOML file, copied beside the weights.
        folder: takes ``weights.safetensors``, ``card.json`` and ``config.toml``.
        test_clips: number of test clips to measure on; 0 leaves the scores out.
        overrides: what was changed of the TOML file (``key=value``); the card's command repeats it, and its ``config`` holds all.

    Returns:
        The card.
    """
    config, source = trained.config, trained.source
    side = max(DISPLAY_SIDE_PX, *(side for phase in config.phases for side in phase.sides_px))
    run = trained.module.front.frames if isinstance(trained.module, ProjectedNetwork) else 1
    runs = {"segments": config.frames // run, "frames_per_segment": run}
    sampling = Sampling(**runs, frames=config.frames, short_side_px=side, crop_px=side)
    card: dict[str, Any] = {
        "name": config.name,
        "architecture": config.architecture,
        "module": architecture(config.architecture).module,
        "options": config.options,
        "labels": list(source.labels),
        "mean": list(source.mean),
        "std": list(source.std),
        "sampling": sampling.model_dump(),
        "origin": "trained",
        "license": LICENSE,
        "twin": config.twin or None,
        "start": config.start or None,
        "data": dict(source.facts),
        "training": {
            "command": _command(config.name, overrides),
            "objective": config.objective, "steps": config.steps, "seed": config.seed, "threads": config.threads,
            "precision": precision_of(config), "seconds": round(trained.seconds), "float32_digest": trained.digest,
            "config": config.model_dump(mode="json"),
        },
        "cost": asdict(count_network(trained.module, config.frames, side)),
        "notes": list(config.notes),
        "test": {},
        "scores": {},
    }  # fmt: skip
    write_checkpoint(folder, trained.module, card)
    if config_path.resolve() != (folder / CONFIG).resolve():
        shutil.copyfile(config_path, folder / CONFIG)
    return measure(folder, clips=test_clips) if test_clips else dict(read_checkpoint(folder).card)


def _command(name: str, overrides: Sequence[str]) -> str:
    changes = (f"--set {shlex.quote(text)}" for text in overrides)
    return " ".join([f"vizkit train checkpoints/{name}/{CONFIG} --out checkpoints/{name}", *changes])


def measure(folder: Path, *, clips: int) -> dict[str, Any]:
    """Measure a checkpoint on the world and write what was found into its card.

    ``test`` holds the measures on ``clips`` test clips: the numbers to quote. ``scores`` holds the same measures on the first
    50, with the wider intervals that 50 clips allow: what anyone can check in about a minute.

    Args:
        folder: of the checkpoint.
        clips: number of test clips.

    Returns:
        The new card.
    """
    card = dict(read_checkpoint(folder).card)
    network = load_network(folder)
    for part, count in (("test", clips), ("scores", min(clips, QUICK_CLIPS))):
        found = score(network, clips=count)
        card[part] = {
            key: _entry(value, card["name"], count, count if key.startswith("world.") else min(count, MOST_PICTURES))
            for key, value in found.items()
        }
    write_card(folder, card)
    return card


def _entry(value: Score, name: str, asked: int, clips: int) -> Mapping[str, Any]:
    low, high = value.interval
    return {
        "value": round(value.value, 4),
        "interval": [round(low, 4), round(high, 4)],
        "n": value.n,
        "clips": clips,
        "command": f"vizkit score {name} --clips {asked} --json",
    }
