"""The command that tests a config on every fold of its videos: folds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vizkit.cli.output import as_json, echo_json, table, write_file

DOCUMENT = "folds.json"


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the runs and folds.json.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Seeds of every fold, from the config's own on.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the config, e.g. videos.folder=DIR. Repeatable.")
@click.option("--card", type=click.Path(path_type=Path, file_okay=False), help="Checkpoint whose card takes the result, as block folds.")
@as_json
def folds(config: Path, out: Path, seeds: int, overrides: tuple[str, ...], card: Path | None, as_json: bool) -> None:
    """Train CONFIG (TOML, with [videos]) once for every fold of its data set, and test each run on the fold that it did not see.

    Runs that are done are kept and stopped ones go on, so the command can be given again and again. Progress goes to standard error.
    """
    from vizkit.learn.folds import cross_validate, write_into

    found = cross_validate(config, out, seeds=seeds, overrides=overrides, report=lambda line: click.echo(line, err=True))
    write_file(out / DOCUMENT, f"{json.dumps(found)}\n".encode())
    if card is not None:
        write_into(card, found, seeds=seeds)
    if as_json:
        return echo_json(found)
    rows = (
        (order, name, entry["value"], *entry["interval"], entry["n"])
        for order, scores in found["scores"].items()
        for name, entry in scores.items()
    )
    click.echo(f"{found['name']}: {found['folds']} folds, {found['seeds']} seeds; 95 % intervals over clips")
    click.echo(table(("frames", "right", "value", "low", "high", "clips"), rows))
    return None
