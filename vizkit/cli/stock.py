"""Commands that say what there is and what a file is: models, inspect."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from vizkit.cli.output import as_json, echo, echo_json, facts, table
from vizkit.errors import VizkitError, unknown_name

WEIGHT_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".tar"})


@click.command()
@click.argument("name", required=False)
@as_json
def models(name: str | None, as_json: bool) -> None:
    """List the architectures and checkpoints, or one of them by NAME (that of published weights means its architecture).

    "params" counts every parameter; "gmacs" are multiply-adds of one clip in 1e9 (convolutions, linear layers, matrix products,
    correlations). "published" are the paper's own figures, "ours so counted" are ours in the paper's counting.
    "weights" are published ones: asked for as r2plus1d_18:kinetics, wherever a model is named, they are fetched once and kept.
    """
    from vizkit.catalog import architecture, architectures
    from vizkit.checkpoint import checkpoints
    from vizkit.describe import MODEL_COLUMNS, describe_architecture, describe_checkpoint, model_row

    stock = {entry.name: partial(describe_architecture, entry) for entry in architectures()}
    stock |= {entry.name: partial(describe_checkpoint, entry) for entry in checkpoints()}
    plain, _, weights = (name or "").partition(":")
    if weights and plain in {entry.name for entry in architectures()}:
        architecture(plain).published_weights(weights)
        name = plain
    if name is not None and name not in stock:
        raise unknown_name("model", name, list(stock))
    described = [describe() for key, describe in stock.items() if name in (None, key)]
    if as_json:
        return echo_json(described)
    echo(table(MODEL_COLUMNS, (model_row(entry) for entry in described)))
    if name is not None:
        echo("\n" + _details(described[0]))
    return None


def _details(entry: Mapping[str, Any]) -> str:
    from vizkit.describe import counted

    columns = ("name", "channels", "stride_px", "stride_frames", "origin_px", "grid")
    stages = table(columns, ([stage[column] for column in columns] for stage in entry["stages"]))
    more: dict[str, object] = {
        "blocks": [f"{name} ({params:,} parameters)" for name, params in entry["block_params"].items()],
        **{f"view {key}": "yes" if why is True else why for key, why in entry["views"].items()},
    }
    if entry["weights"]:
        more["published weights"] = ", ".join(entry["weights"])
    if entry["published"]:
        more["published"] = f"{counted(entry['published'])} (ours {counted(entry['ours_in_convention'])})"
        more["counted as"] = entry["published"]["convention"]
    return f"{stages}\n\n{facts({**more, **(entry['checkpoint'] or {})})}"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", metavar="M", help="A network that the weights should fit, or that the clip is sampled for.")
@as_json
def inspect(file: Path, model: str | None, as_json: bool) -> int:
    """Say whether FILE, a clip or a checkpoint, can be used. Exit status 1 if it cannot."""
    if not file.exists():
        raise VizkitError(f"{file}: there is no such file.", code="missing")
    found = _inspected(file, model)
    if as_json:
        echo_json(found)
    else:
        echo(f"{found['kind']}: {found['verdict']}" + (f" ({found['code']})" if found["code"] else ""))
        echo("\n".join(filter(None, (found["message"], facts(found["facts"])))))
    return int(found["verdict"] == "reject")


def _inspected(file: Path, model: str | None) -> dict[str, Any]:
    from vizkit.checkpoint import inspect_checkpoint
    from vizkit.clip import inspect_clip
    from vizkit.weightfile.load import CARD, WEIGHTS

    if (file / CARD).is_file():
        return inspect_checkpoint(file / WEIGHTS, model or str(file))
    if file.suffix.lower() in WEIGHT_SUFFIXES:
        return inspect_checkpoint(file, model)
    found = inspect_clip(file)
    return found if model is None or found["verdict"] == "reject" else _sampled_for(file, model, found)


def _sampled_for(file: Path, model: str, found: dict[str, Any]) -> dict[str, Any]:
    """The same answer about a clip, with the frames that a network would see and what is odd about them."""
    from vizkit.checkpoint import load_network
    from vizkit.cli.views import sampling_facts
    from vizkit.clip import open_clip, sample

    sampled = sample(open_clip(file), load_network(model).sampling)
    seen = {**found["facts"], "sampling": sampling_facts(sampled), "warnings": sampled.warnings}
    if found["verdict"] == "ok" and sampled.warnings:
        first = sampled.warnings[0]
        return {**found, "verdict": "warn", "code": first.code, "message": f"{sampled.name}: {first.message}", "facts": seen}
    return {**found, "facts": seen}
