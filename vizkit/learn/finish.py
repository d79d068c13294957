"""Ends a run: half-precision weights, the config, and a card whose every number names the command that gives it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vizkit.atomic import write_atomically
from vizkit.catalog import architecture
from vizkit.checkpoint import CONFIG, load_network, read_checkpoint, write_card, write_checkpoint
from vizkit.contracts import Sampling, Score
from vizkit.learn.config import TrainingConfig, VideoData
from vizkit.learn.train import TrainedNetwork, precision_of
from vizkit.learn.video_scores import video_scores
from vizkit.motion.pwtp.network import ProjectedNetwork
from vizkit.net.count import count_network
from vizkit.scores import MOST_PICTURES, clips_of, score, untrained

DISPLAY_SIDE_PX = 112
QUICK_CLIPS = 50
FOLDER = "FOLDER"
"""Stands in a card for the folder of somebody's videos."""


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
    if config.videos is not None:
        side = max(side for phase in config.phases for side in phase.sides_px)
        sampling = Sampling(segments=config.frames, frames=config.frames, short_side_px=side, crop_px=None, resize_hw=(side, side))
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
        "license": source.license,
        "twin": config.twin or None,
        "start": config.start or None,
        "data": dict(source.facts),
        "training": {
            "command": _command(config, overrides),
            "objective": config.objective, "steps": config.steps, "seed": config.seed, "threads": config.threads,
            "precision": precision_of(config), "seconds": round(trained.seconds), "float32_digest": trained.digest,
            "config": _told(config),
        },
        "cost": asdict(count_network(trained.module, config.frames, side)),
        "notes": list(config.notes),
        "test": {},
        "scores": {},
        "untrained": {},
    }  # fmt: skip
    write_checkpoint(folder, trained.module, card)
    if config_path.resolve() != (folder / CONFIG).resolve():
        write_atomically(folder / CONFIG, config_path.read_bytes())
    if test_clips and config.videos is not None:
        measure_videos(folder, config.videos, source.root)
    return measure(folder, clips=test_clips) if test_clips else dict(read_checkpoint(folder).card)


def _told(config: TrainingConfig) -> dict[str, Any]:
    """The config as a card tells it: where somebody keeps their videos is nobody's business."""
    told = config.model_dump(mode="json")
    if config.videos is not None:
        told["videos"]["folder"] = FOLDER
    return told


def _command(config: TrainingConfig, overrides: Sequence[str]) -> str:
    kept = [text for text in overrides if not text.startswith("videos.folder=")]
    changes = [*kept, *([f"videos.folder={FOLDER}"] if config.videos is not None else [])]
    said = (f"--set {shlex.quote(text)}" for text in changes)
    return " ".join([f"vizkit train checkpoints/{config.name}/{CONFIG} --out checkpoints/{config.name}", *said])


def measure(folder: Path, *, clips: int) -> dict[str, Any]:
    """Measure a checkpoint on the world and write what was found into its card.

    ``test`` holds the measures on ``clips`` test clips: the numbers to quote. ``scores`` holds the same measures on the first
    50, with the wider intervals that 50 clips allow: what anyone can check in about a minute. ``untrained`` holds the measures of the
    views of the same network with random weights, on the clips that ``test`` measured the views on.

    Args:
        folder: of the checkpoint.
        clips: number of test clips.

    Returns:
        The new card.
    """
    card = dict(read_checkpoint(folder).card)
    network = load_network(folder)
    parts = {
        "test": (network, clips, ""),
        "scores": (network, min(clips, QUICK_CLIPS), ""),
        "untrained": (untrained(network), min(clips, MOST_PICTURES), " --untrained"),
    }
    for part, (measured, count, option) in parts.items():
        command = f"vizkit score {card['name']} --clips {count}{option} --json"
        card[part] = {key: _entry(value, clips_of(key, count), command) for key, value in score(measured, clips=count).items()}
    write_card(folder, card)
    return card


def measure_videos(folder: Path, videos: VideoData, root: Path) -> None:
    """Measure a checkpoint on the videos that were kept for testing and write what was found into its card, under ``videos``.

    Args:
        folder: of the checkpoint.
        videos: says which clips.
        root: folder for the frames that are kept.
    """
    card = dict(read_checkpoint(folder).card)
    found = video_scores(load_network(folder), videos, root)
    command = f"vizkit score {card['name']} --videos FOLDER --json"
    write_card(folder, {**card, "videos": {key: _entry(value, value.n, command) for key, value in found.items()}})


def _entry(value: Score, clips: int, command: str) -> Mapping[str, Any]:
    low, high = value.interval
    return {
        "value": round(value.value, 4),
        "interval": [round(low, 4), round(high, 4)],
        "n": value.n,
        "clips": clips,
        "command": command,
    }
