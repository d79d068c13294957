"""Commands that measure: score (a checkpoint against known motion), doctor (this installation)."""

from __future__ import annotations

import click

from vizkit.cli.making import score_table
from vizkit.cli.output import as_json, echo_json, facts, table
from vizkit.errors import SettingError


@click.command()
@click.argument("checkpoint")
@click.option("--clips", default=200, show_default=True, type=click.IntRange(1), help="Number of test clips of the motion world.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the world; 0 is the one that the cards report.")
@as_json
def score(checkpoint: str, clips: int, seed: int, as_json: bool) -> None:
    """Measure what CHECKPOINT says and what its views show against known motion."""
    from vizkit.checkpoint import load_network
    from vizkit.scores import score as score_network

    network = load_network(checkpoint)
    scores = score_network(network, clips=clips, seed=seed)
    if not scores:
        raise SettingError(
            f"Nothing was counted for {network.name} in {clips} test clips: it has neither the world's labels nor a view that is measured, "
            "or nothing in them moves as far as its cells can tell; more --clips may help.",
            code="nothing_to_measure",
        )
    if as_json:
        return echo_json({"checkpoint": network.name, "digest": network.digest, "clips": clips, "seed": seed, "scores": scores})
    click.echo(f"{network.name}, {clips} test clips, seed {seed}; 95 % intervals")
    click.echo(score_table(scores))
    return None


@click.command()
@as_json
def doctor(as_json: bool) -> int:
    """Say what this installation can do, and what to mend. Exit status 1 if something is wrong."""
    from vizkit.doctor import examine

    found = examine()
    if as_json:
        echo_json(found)
    else:
        click.echo(facts({name: found[name] for name in ("version", "python", "device", "threads")}))
        for name in ("packages", "limits", "codecs"):
            click.echo(f"\n{name}\n{facts(found[name])}")
        if found["checkpoints"]:
            click.echo(
                "\n"
                + table(
                    ("checkpoint", "weights"), ((entry["name"], "ok" if entry["digest_ok"] else "wrong") for entry in found["checkpoints"])
                )
            )
        click.echo("\n" + ("\n".join(f"problem: {entry['what']} {entry['way_out']}" for entry in found["problems"]) or "no problems found"))
    return int(bool(found["problems"]))
