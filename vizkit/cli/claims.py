"""The command that checks what the papers say: reproduce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vizkit.cli.output import as_json, echo_json, table

if TYPE_CHECKING:
    from vizkit.reproduce import Reproduction


@click.command()
@click.argument("claim", required=False)
@click.option("--list", "listed", is_flag=True, help="List the claims, with the bar that decides each and about how long it takes.")
@click.option("--full", is_flag=True, help="The paper's own size, where the default is a smaller one.")
@click.option("--seeds", type=int, metavar="N", help="How many seeds; the claim's own number if not given.")
@click.option("--padding", metavar="circular|zero", help="Padding of the networks, of claims that have it.")
@as_json
def reproduce(claim: str | None, listed: bool, full: bool, seeds: int | None, padding: str | None, as_json: bool) -> int:
    """Run CLAIM, a small experiment that stands for what a paper says, and judge it. Exit status 1 if it is not reproduced.

    Progress goes to standard error.
    """
    chosen: dict[str, Any] = {"full": full or None, "seeds": seeds, "padding": padding}
    given = {name: value for name, value in chosen.items() if value is not None}
    if listed == (claim is not None) or (listed and given):
        raise click.UsageError("Give the name of a claim, or --list alone to see which there are.")
    if claim is None:
        _list(as_json)
        return 0
    from vizkit.reproduce import reproduce as run

    found = run(claim, report=lambda line: click.echo(line, err=True), **given)
    if as_json:
        echo_json(found)
    else:
        click.echo(_told(found))
    return int(found.verdict != "reproduced")


def _list(as_json: bool) -> None:
    from vizkit.catalog import claims

    if as_json:
        return echo_json(
            [
                {"claim": entry.name, **{key: getattr(entry, key) for key in ("paper", "statement", "published", "minutes")}}
                for entry in claims()
            ]
        )
    told = (
        f"{entry.name} ({entry.paper}, {_duration(entry.minutes)})\n  {entry.statement}\n  published: {entry.published}"
        for entry in claims()
    )
    click.echo("\n\n".join(told))
    return None


def _duration(minutes: float) -> str:
    return f"about {minutes:g} min" if minutes >= 1 else "seconds"


def _told(found: Reproduction) -> str:
    """A verdict for people."""
    numbers = table(("network", "seed", "value"), ((entry.network, entry.seed, entry.value) for entry in found.ours))
    return (
        f"{found.statement}\npublished: {found.published}\n\n{numbers}\n\n"
        f"{found.claim}: {found.verdict} ({found.seconds:.0f} s)\n{found.reason}"
    )
