"""Commands that measure: score (a checkpoint against known motion), doctor (this installation)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vizkit.cli.making import score_table
from vizkit.cli.output import as_json, echo, echo_json, facts, table
from vizkit.errors import SettingError

if TYPE_CHECKING:
    from vizkit.net.network import Network


@click.command()
@click.argument("checkpoint")
@click.option("--clips", default=200, show_default=True, type=click.IntRange(1), help="Number of test clips of the motion world.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the world; 0 is the one that the cards report.")
@click.option("--untrained", "random_weights", is_flag=True, help="Measure the same network with random weights.")
@click.option(
    "--videos", type=click.Path(path_type=Path), metavar="FOLDER", help="A copy of the videos that it was trained on, to test it on."
)
@click.option("--write", is_flag=True, help="Write the scores into the checkpoint's card, and those of the untrained network.")
@as_json
def score(checkpoint: str, clips: int, seed: int, random_weights: bool, videos: Path | None, write: bool, as_json: bool) -> None:
    """Measure what CHECKPOINT says and what its views show against known motion, or with --videos what it says of real clips."""
    from vizkit.checkpoint import load_network
    from vizkit.scores import score as score_network
    from vizkit.scores import untrained

    network = load_network(checkpoint)
    if videos is not None:
        return _score_videos(network, videos, as_json)
    if write and (seed or random_weights):
        raise click.UsageError("--write belongs to the clips of seed 0 and writes the untrained network's scores too; leave --seed out.")
    network = untrained(network) if random_weights else network
    scores = _written(checkpoint, clips) if write else score_network(network, clips=clips, seed=seed)
    if not scores:
        raise SettingError(
            f"Nothing was counted for {network.name} in {clips} test clips: it has neither the world's labels nor a view that is measured, "
            "or nothing in them moves as far as its cells can tell; more --clips may help.",
            code="nothing_to_measure",
        )
    if as_json:
        return echo_json({"checkpoint": network.name, "digest": network.digest, "clips": clips, "seed": seed, "scores": scores})
    echo(f"{checkpoint}{', random weights' * random_weights}, {clips} test clips, seed {seed}; 95 % intervals")
    echo(score_table(scores))
    return None


def _score_videos(network: Network, folder: Path, as_json: bool) -> None:
    """Test a network on the clips that its training kept for that."""
    from vizkit.learn.video_scores import kept_folder, video_scores, videos_of_card

    scores = video_scores(network, videos_of_card(network.card, folder), kept_folder())
    if as_json:
        return echo_json({"checkpoint": network.name, "digest": network.digest, "videos": folder, "scores": scores})
    echo(f"{network.name}, test clips of {folder}; 95 % intervals over clips")
    echo(score_table(scores))
    return None


def _written(checkpoint: str, clips: int) -> Mapping[str, Any]:
    """The scores of a checkpoint, written into its card."""
    from vizkit.checkpoint import checkpoints
    from vizkit.learn.finish import measure

    shipped = {entry.name: entry.folder for entry in checkpoints()}
    found: Mapping[str, Any] = measure(shipped.get(checkpoint, Path(checkpoint)), clips=clips)["test"]
    return found


@click.command()
@as_json
def doctor(as_json: bool) -> int:
    """Say what this installation can do, and what to mend. Exit status 1 if something is wrong."""
    from vizkit.doctor import examine

    found = examine()
    if as_json:
        echo_json(found)
    else:
        echo(facts({name: found[name] for name in ("version", "python", "device", "threads")}))
        for name in ("packages", "limits", "codecs"):
            echo(f"\n{name}\n{facts(found[name])}")
        if found["checkpoints"]:
            echo(
                "\n"
                + table(
                    ("checkpoint", "weights"), ((entry["name"], "ok" if entry["digest_ok"] else "wrong") for entry in found["checkpoints"])
                )
            )
        echo("\n" + ("\n".join(f"problem: {entry['what']} {entry['way_out']}" for entry in found["problems"]) or "no problems found"))
    return int(bool(found["problems"]))
