"""Commands that make something: world (a synthetic clip with its truth), train (a checkpoint)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vizkit.cli.output import as_json, echo, echo_json, facts, table, write_file
from vizkit.errors import SettingError, TrainingError

if TYPE_CHECKING:
    from vizkit.world import WorldClip

TRUTH = ("flow_px", "occluded", "object_id", "moving", "camera")
SPLITS = ("train", "test", "demo")


@click.command()
@click.argument("label", required=False)
@click.option("--index", default=0, show_default=True, type=click.IntRange(0), help="Number of the clip in its split.")
@click.option("--split", default="test", show_default=True, type=click.Choice(SPLITS))
@click.option("--seed", default=0, show_default=True, type=int, help="Another seed is another world of clips.")
@click.option("--frames", default=8, show_default=True, type=int)
@click.option("--size", default=112, show_default=True, type=int, help="Side of the frames in pixels.")
@click.option("--shake", default=0, show_default=True, type=int, help="Pixels that the camera jumps by at most, from frame to frame.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="X.npz (frames, label, truth) or X.webm (frames)."
)
@as_json
def world(label: str | None, index: int, split: str, seed: int, frames: int, size: int, shake: int, out: Path, as_json: bool) -> None:
    """Render a clip of the motion world, whose motion is known exactly.

    LABEL is the class, e.g. "moving left"; without it the index decides. An unknown label lists the known ones.
    """
    from vizkit.world import clip

    writers = {".npz": _npz, ".webm": _webm}
    if out.suffix.lower() not in writers:
        raise SettingError(f"{out.name}: a clip is written as {' or '.join(writers)}; name the file so.", code="unknown_suffix")
    made = clip(index, split=split, seed=seed, label=label, frames=frames, side_px=size, shake=shake)
    write_file(out, writers[out.suffix.lower()](made))
    shapes = {name: list(getattr(made.truth, name).shape) for name in TRUTH}
    if as_json:
        return echo_json({"label": made.label, "file": out, "truth": shapes})
    echo(f"{out}: {made.label}")
    echo(facts({name: "x".join(map(str, shape)) for name, shape in shapes.items()}))
    return None


def _npz(made: WorldClip) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    truth = {name: getattr(made.truth, name) for name in TRUTH}
    np.savez_compressed(buffer, frames=made.clip.preview, times_s=made.clip.times_s, label=np.array(made.label), **truth)
    return buffer.getvalue()


def _webm(made: WorldClip) -> bytes:
    from vizkit.render.animation import webm

    width, height = made.clip.size_wh
    if width % 2 or height % 2:
        raise SettingError(f"A WebM clip needs an even side, got {width} px; choose another --size or write .npz.", code="odd_size")
    return webm(made.clip.preview, made.clip.fps)


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for state, log and checkpoint.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the config, e.g. batch=8 or options.width=8. Repeatable."
)
@click.option("--resume", is_flag=True, help="Go on from the state in the folder; the end is the same as without the stop.")
@click.option("--test-clips", default=1600, show_default=True, type=click.IntRange(0), help="Test clips to measure on at the end.")
@as_json
def train(config: Path, out: Path, overrides: tuple[str, ...], resume: bool, test_clips: int, as_json: bool) -> None:
    """Train a checkpoint by CONFIG (TOML). Progress goes to standard error. Under torchrun, processes share every batch.

    The folder gets log.jsonl and the state while it runs, and weights.safetensors, card.json and config.toml at the end.
    """
    from vizkit.learn.config import load_config
    from vizkit.learn.finish import finish
    from vizkit.learn.parallel import leads
    from vizkit.learn.train import train as train_network

    settings = load_config(config, overrides)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"Cannot make the folder {out}: {error.strerror}.", code="unwritable") from error
    trained = train_network(settings, out, resume=resume)
    if not leads():
        return None
    if test_clips:
        click.echo(f"measuring on {test_clips} test clips ...", err=True)
    card = finish(trained, config, out, test_clips=test_clips, overrides=overrides)
    if as_json:
        return echo_json(
            {"name": card["name"], "folder": out, "digest": card["digest"], "training": card["training"], "scores": card["test"]}
        )
    echo(f"{out}: {card['name']}, digest {card['digest']}")
    echo(score_table(card["test"]))
    return None


def score_table(scores: Mapping[str, Any]) -> str:
    """Scores as a table; takes records and the entries of a card alike."""
    entries = {name: entry if isinstance(entry, dict) else asdict(entry) for name, entry in scores.items()}
    rows = ((name, entry["value"], entry["interval"][0], entry["interval"][1], entry["n"]) for name, entry in entries.items())
    return table(("score", "value", "low", "high", "n"), rows)
