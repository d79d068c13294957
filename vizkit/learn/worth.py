"""What a module adds: a network, its twin without the module, and the twin with plain temporal convolutions, trained and measured alike.

A plan (TOML) names the rows and the seeds; every run has a folder of its own, goes on where it was stopped, and is trained once even
where several modules share a twin. What came out is one document: ``worth.json``.
"""

from __future__ import annotations

import json
import multiprocessing
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from vizkit.atomic import write_atomically
from vizkit.checkpoint import CONFIG
from vizkit.contracts import Record, Sampling, Settings
from vizkit.digest import digest_settings
from vizkit.errors import SettingError, unknown_name
from vizkit.learn.config import TrainingConfig, load_config

if TYPE_CHECKING:
    from vizkit.contracts import LabelledClips
    from vizkit.learn.train import TrainedNetwork
    from vizkit.net.network import Network

FOUND = "found.json"
MAY_DIFFER = {"name", "architecture", "options", "twin", "notes"}
BATCH = 16


class Row(Settings):
    """One network of a comparison."""

    config: str
    """Checkpoint whose config is taken; its folder lies beside the plan."""
    changes: dict[str, Any] = {}
    """What is changed of it, after what is changed of all rows. Beside architecture and options, only what stands here may differ
    between the rows of a module."""


class Comparison(Settings):
    """The networks that stand for what a module adds."""

    training: dict[str, Any] = {}
    """What is changed of the config of every row, after the plan's own ``training``."""
    rows: dict[str, Row] = Field(min_length=1)
    """``twin`` and ``network``, for what the module adds, ``temporal`` for plain temporal convolutions in its place, and any others."""


class WorthPlan(Settings):
    """Which networks are compared, and how they are trained and measured."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    """Every row is trained with each; they decide the weights and the order of the clips, not which clips there are."""
    test_clips: int = Field(1600, ge=16, le=1600)
    """Test clips with their frames in order; 1,600 is the whole test split, 100 of each class."""
    control_clips: int = Field(400, ge=0, le=1600)
    """The first so many are also shown with their frames shuffled, and as one frame again and again."""
    side_px: int = Field(64, ge=32, le=512)
    """Frame side of the test clips."""
    training: dict[str, Any] = {}
    """What is changed of every config (``phases``, ``start``, ``data``, ...)."""
    modules: dict[str, Comparison] = Field(min_length=1)
    """Module -> its rows."""


@dataclass(frozen=True, eq=False, repr=False)
class WorthRun(Record):
    """One network that is trained and measured."""

    module: str
    """Key of the module."""
    row: str
    """Which network of the module's comparison."""
    seed: int
    """Its seed."""
    config: TrainingConfig
    """Its config; runs of equal config have the same name and are one run."""

    @property
    def key(self) -> str:
        """``"cpnet/twin/0"``."""
        return f"{self.module}/{self.row}/{self.seed}"


def load_plan(path: Path) -> WorthPlan:
    """Read a plan.

    Raises:
        SettingError: it cannot be read, or a value is not what it should be.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path.name}: there is no readable plan of this name.", code="missing") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path.name}: not valid TOML ({error}).", code="config") from error
    return WorthPlan.parse(**values)


def plan_runs(plan: WorthPlan, folder: Path) -> list[WorthRun]:
    """The runs of a plan.

    Args:
        plan: the rows.
        folder: holds the folders of the configs.

    Raises:
        SettingError: a config that is missing or wrong, or rows of a module that are not trained alike.
    """
    configs = {(module, row): _config(plan, folder, module, row) for module, compared in plan.modules.items() for row in compared.rows}
    _check_alike(plan, configs)
    return [_seeded(config, module, row, seed) for (module, row), config in configs.items() for seed in plan.seeds]


def choose_runs(runs: Sequence[WorthRun], only: Sequence[str]) -> list[WorthRun]:
    """Those of the runs that are named.

    Args:
        runs: from :func:`plan_runs`.
        only: ``"cpnet"``, ``"cpnet/twin"`` or ``"cpnet/twin/0"``; all runs when empty.

    Raises:
        SettingError: a name that fits no run.
    """
    for name in only:
        if not any(_fits(run, name) for run in runs):
            raise unknown_name("run", name, [run.key for run in runs])
    return [run for run in runs if not only or any(_fits(run, name) for name in only)]


def _fits(run: WorthRun, name: str) -> bool:
    return f"{run.key}/".startswith(f"{name}/")


def _config(plan: WorthPlan, folder: Path, module: str, row: str) -> TrainingConfig:
    compared = plan.modules[module]
    entry = compared.rows[row]
    values = load_config(folder / entry.config / CONFIG).model_dump()
    return TrainingConfig.parse(**{**values, "twin": "", "notes": (), **plan.training, **compared.training, **entry.changes})


def _check_alike(plan: WorthPlan, configs: Mapping[tuple[str, str], TrainingConfig]) -> None:
    first: dict[str, tuple[str, TrainingConfig]] = {}
    for (module, row), config in configs.items():
        other, reference = first.setdefault(module, (row, config))
        said = {name for one in (row, other) for name in plan.modules[module].rows[one].changes}
        differs = sorted(
            name for name in TrainingConfig.model_fields
            if name not in MAY_DIFFER | said and getattr(config, name) != getattr(reference, name)
        )  # fmt: skip
        if differs:
            raise SettingError(
                f"{module}: {row} and {other} differ in {', '.join(differs)}, so the comparison proves nothing; "
                "set it in training, or in changes of the row where it must differ.",
                code="not_alike",
            )


def _seeded(config: TrainingConfig, module: str, row: str, seed: int) -> WorthRun:
    digest = digest_settings(config.model_dump(exclude={"name", "seed", "notes", "twin", "save_every"}))
    name = f"{config.architecture}-{digest[:8]}-{seed}"
    return WorthRun(module, row, seed, config.model_copy(update={"name": name, "seed": seed}))


def train_runs(
    plan: WorthPlan, runs: Sequence[WorthRun], out: Path, *, jobs: int = 1, report: Callable[[str], None] = lambda _line: None
) -> None:
    """Train and measure runs; those that are done already are left as they are, stopped ones go on.

    Args:
        plan: says what is measured.
        runs: from :func:`plan_runs`.
        out: takes a folder for every distinct run.
        jobs: runs that are trained at a time, each in a process of its own.
        report: takes a line for every run that is done.
    """
    distinct = {run.config.name: run.config for run in runs}
    waiting = [config for config in distinct.values() if _found(plan, config, out) is None]
    if len(waiting) < len(distinct):
        report(f"{len(distinct) - len(waiting)} of {len(distinct)} runs were done already")
    if jobs == 1:
        for config in waiting:
            report(_train_one(plan, config, out, progress=True))
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for line in pool.map(_train_one, [plan] * len(waiting), waiting, [out] * len(waiting)):
            report(line)


def _train_one(plan: WorthPlan, config: TrainingConfig, out: Path, *, progress: bool = False) -> str:
    from vizkit.learn.train import SHARDS, train
    from vizkit.net.confusion import confusions
    from vizkit.net.count import count_network

    trained = train(config, out / config.name, resume=True, progress=progress, shards=out / SHARDS)
    cost = count_network(trained.module, config.frames, plan.side_px)
    batches = _test_batches(plan, config.frames, out / SHARDS)
    tables = confusions(_rounded(trained, plan), batches, control_clips=plan.control_clips)
    found = {
        **_measured(plan), "digest": trained.digest, "seconds": round(trained.seconds), "params": cost.params, "gmacs": cost.gmacs,
        "confusion": {name: table.counts.tolist() for name, table in tables.items()},
    }  # fmt: skip
    write_atomically(out / config.name / FOUND, json.dumps(found).encode())
    right = tables["in_order"]
    return f"{config.name}: accuracy {right.accuracy().value:.3f}, in pair {right.in_pair().value:.3f}, {trained.seconds:.0f} s"


def _rounded(trained: TrainedNetwork, plan: WorthPlan) -> Network:
    """The trained network, its weights rounded as a checkpoint's are."""
    from vizkit.net.network import Network

    config, module, source = trained.config, trained.module.half().float(), trained.source
    sampling = Sampling(scheme="dense", frames=config.frames, short_side_px=plan.side_px, crop_px=plan.side_px)
    return Network(
        config.name, config.architecture, module, module.stages, module.blocks, source.labels, sampling,  # type: ignore[arg-type]
        source.mean, source.std, "trained",
    )  # fmt: skip


def _test_batches(plan: WorthPlan, frames: int, root: Path) -> Iterator[LabelledClips]:
    """The test clips, rendered once for all runs."""
    from vizkit.world.shards import WorldClips, WorldShards

    shards = WorldShards(WorldClips(split="test", frames=frames, side_px=plan.side_px), root)
    for first in range(0, plan.test_clips, BATCH):
        yield shards.batch(range(first, min(first + BATCH, plan.test_clips)))


def _measured(plan: WorthPlan) -> dict[str, int]:
    return {"test_clips": plan.test_clips, "control_clips": plan.control_clips, "side_px": plan.side_px}


def _found(plan: WorthPlan, config: TrainingConfig, out: Path) -> dict[str, Any] | None:
    """What was measured of a run, None where it is not done or was measured otherwise."""
    path = out / config.name / FOUND
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if _measured(plan).items() <= found.items() else None


def gather(plan: WorthPlan, runs: Sequence[WorthRun], out: Path) -> dict[str, Any]:
    """What the runs of a plan gave; those that are not done are named.

    Args:
        plan: the rows.
        runs: from :func:`plan_runs`.
        out: holds the folders of the runs.

    Returns:
        The plan, ``missing`` runs, and what :func:`vizkit.learn.compare.compare_rows` says.
    """
    from vizkit.learn.compare import compare_rows

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    missing: list[str] = []
    for run in runs:
        found = _found(plan, run.config, out)
        if found is None:
            missing.append(run.key)
            continue
        entry = rows.setdefault(
            (run.module, run.row), {"module": run.module, "row": run.row, "architecture": run.config.architecture, "runs": {}}
        )
        entry["runs"][run.seed] = {**found, "name": run.config.name}
    return {"plan": plan.model_dump(mode="json"), "missing": missing, **compare_rows(list(rows.values()))}
