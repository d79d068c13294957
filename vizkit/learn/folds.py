"""Cross-validation: every fold of a data set of real videos is tested by networks that were trained on the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizkit.atomic import write_atomically
from vizkit.checkpoint import CONFIG, load_network, read_checkpoint, write_card
from vizkit.contracts import Record, Score
from vizkit.errors import SettingError
from vizkit.learn.config import TrainingConfig, load_config
from vizkit.learn.finish import finish
from vizkit.learn.train import SHARDS, train
from vizkit.learn.video_scores import ask_videos, direction_by_class, shares
from vizkit.learn.videos import listing_for, videos_of
from vizkit.net.confusion import Confusion

FOUND = "found.json"


@dataclass(frozen=True, repr=False)
class FoldRun(Record):
    """One run of a cross-validation."""

    fold: int
    """The fold that it is tested on."""
    seed: int
    """Its seed."""
    config: TrainingConfig
    """Its config."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"fold{self.fold}-seed{self.seed}"


def fold_runs(config: TrainingConfig, seeds: int = 1) -> list[FoldRun]:
    """The runs of a cross-validation: every fold with every seed, the config's own and those that follow it.

    Raises:
        SettingError: the config has no videos, or the data set gives no folds.
    """
    videos = videos_of(config)
    listing = listing_for(videos)
    folds = sorted({entry.fold for entry in listing.entries if entry.fold is not None})
    if not folds:
        raise SettingError(f"{listing.name} gives no folds; add a column fold to its table.", code="fold")
    return [
        FoldRun(fold, seed, config.model_copy(update={"seed": seed, "videos": videos.model_copy(update={"fold": fold})}))
        for seed in range(config.seed, config.seed + seeds)
        for fold in folds
    ]


def run_fold(run: FoldRun, config_path: Path, out: Path) -> None:
    """Train one run and measure it, unless it is done; a run that was stopped goes on.

    Args:
        run: from :func:`fold_runs`.
        config_path: the config of them all.
        out: takes a folder for the run, and the frames that all runs share.
    """
    folder = out / run.name
    if (folder / FOUND).exists():
        return
    trained = train(run.config, folder, resume=True, shards=out / SHARDS)
    finish(trained, config_path, folder, test_clips=0, overrides=(f"seed={run.seed}", f"videos.fold={run.fold}"))
    tables, refused = ask_videos(load_network(folder), videos_of(run.config), out / SHARDS)
    document = {
        "fold": run.fold, "seed": run.seed, "digest": trained.digest, "seconds": round(trained.seconds), "refused": list(refused),
        "confusion": {order: table.counts.tolist() for order, table in tables.items()},
    }  # fmt: skip
    write_atomically(folder / FOUND, (json.dumps(document) + "\n").encode())


def pool(runs: Sequence[FoldRun], out: Path) -> dict[str, Any]:
    """Put together what the runs found: every clip is tested once for every seed, by a network that saw no clip of its group.

    Args:
        runs: all runs, done.
        out: their folder.

    Returns:
        Plain values: shares by order of the frames, the direction by class, and each run's own.
    """
    found = [json.loads((out / run.name / FOUND).read_text(encoding="utf-8")) for run in runs]
    videos, seeds = videos_of(runs[0].config), len({run.seed for run in runs})
    listing = listing_for(videos)
    orders = {order: Confusion(_summed([one["confusion"][order] for one in found])) for order in found[0]["confusion"]}
    document: dict[str, Any] = {
        "name": runs[0].config.name, "seeds": seeds, "folds": len({run.fold for run in runs}),
        "groups": len({entry.group for entry in listing.entries}),
        "scores": {order: _plain(shares(table, direction=videos.direction, runs=seeds)) for order, table in orders.items()},
    }  # fmt: skip
    if videos.direction:
        document["direction_by_class"] = {
            name: round(share, 4) for name, share in direction_by_class(orders["in_order"], listing.labels).items()
        }
    document["runs"] = [
        {
            **{key: one[key] for key in ("fold", "seed", "digest", "seconds", "refused")},
            **{key: round(value.value, 4) for key, value in shares(_in_order(one), direction=videos.direction).items()},
        }
        for one in found
    ]
    document["confusion"] = orders["in_order"].counts.tolist()
    return document


def _in_order(found: Mapping[str, Any]) -> Confusion:
    return Confusion(np.asarray(found["confusion"]["in_order"], np.int64))


def _summed(tables: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum(np.asarray(tables, np.int64), axis=0)
    return total


def _plain(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {
        name: {"value": round(score.value, 4), "interval": [round(bound, 4) for bound in score.interval], "n": score.n}
        for name, score in scores.items()
    }


def cross_validate(
    config_path: Path, out: Path, *, seeds: int = 1, overrides: Sequence[str] = (), report: Callable[[str], None] = lambda _line: None
) -> dict[str, Any]:
    """Train and test a config on every fold of its data set.

    Args:
        config_path: a TOML file with ``[videos]``.
        out: takes a folder for every run; runs that are done there are kept, stopped ones go on.
        seeds: number of seeds, from the config's own on.
        overrides: changes of the config (``key=value``).
        report: takes a line for every run that is done.

    Returns:
        What :func:`pool` gives.

    Raises:
        SettingError: a config, or a data set, that is not what it should be.
    """
    runs = fold_runs(load_config(config_path, overrides), seeds)
    for run in runs:
        run_fold(run, config_path, out)
        report(f"{run.name} done")
    return pool(runs, out)


def write_into(folder: Path, found: Mapping[str, Any], *, seeds: int) -> None:
    """Write the result of a cross-validation into the card of the checkpoint that was trained by the same config.

    Args:
        folder: of the checkpoint.
        found: from :func:`cross_validate`.
        seeds: number of seeds, for the command.

    Raises:
        SettingError: the runs are of another config's name.
    """
    card = dict(read_checkpoint(folder).card)
    if card["name"] != found["name"]:
        raise SettingError(f"{folder} holds {card['name']}, the runs are of {found['name']}.", code="card")
    config = f"checkpoints/{card['name']}/{CONFIG}"
    command = f"vizkit folds {config} --out runs/{card['name']}-folds --seeds {seeds} --set videos.folder=FOLDER"
    write_card(folder, {**card, "folds": {**found, "command": command}})
