"""The command that says what a module adds: worth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vizkit.cli.output import as_json, echo_json, table, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT = "worth.json"


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the runs and worth.json.")
@click.option("--only", multiple=True, metavar="MODULE[/ROW[/SEED]]", help="Train these only, e.g. cpnet/twin/0. Repeatable.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Runs at a time, each in a process of its own.")
@click.option("--no-train", is_flag=True, help="Train nothing, put together what is done.")
@as_json
def worth(plan: Path, out: Path, only: tuple[str, ...], jobs: int, no_train: bool, as_json: bool) -> None:
    """Train the networks of PLAN (TOML) with and without their modules, measure them, and say what each module adds.

    Runs that are done are kept and stopped ones go on, so the command can be given again and again. Progress goes to standard error.
    """
    from vizkit.learn.worth import choose_runs, gather, load_plan, plan_runs, train_runs

    settings = load_plan(plan)
    runs = plan_runs(settings, plan.parent)
    wanted = choose_runs(runs, only)
    if not no_train:
        train_runs(settings, wanted, out, jobs=jobs, report=lambda line: click.echo(line, err=True))
    found = gather(settings, runs, out)
    rows_in_lines = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(found, indent=1))
    write_file(out / DOCUMENT, f"{rows_in_lines}\n".encode())
    if as_json:
        return echo_json(found)
    click.echo(_told(found))
    return None


def _told(found: Mapping[str, Any]) -> str:
    """The rows for people."""
    columns = ("module", "row", "seeds", "accuracy", "ordered", "in pair", "shuffled in pair", "one frame")
    rows = (
        (
            row["module"], row["row"], len(row["seeds"]),
            *(_value(row["scores"]["in_order"][name]) for name in ("accuracy", "ordered_accuracy", "in_pair")),
            _value(row["scores"]["shuffled"]["in_pair"]), _value(row["scores"]["one_frame"]["accuracy"]),
        )
        for row in found["rows"]
    )  # fmt: skip
    gains = (
        f"{name}: {gain['over_twin']['points']:+.1f} points over its twin on classes that need order, "
        f"{'as' if gain['holds'] else 'not as'} much as the bar asks"
        for name, gain in found["modules"].items()
    )
    missing = [f"not done: {', '.join(found['missing'])}"] if found["missing"] else []
    return "\n".join([table(columns, rows), *gains, *missing])


def _value(score: Mapping[str, Any] | None) -> str:
    return "-" if score is None else f"{score['value']:.3f}"
