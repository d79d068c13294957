"""Plans of comparisons: which runs there are, what is refused, what is trained once, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vizkit.checkpoint import checkpoint_folder
from vizkit.cli import main
from vizkit.errors import SettingError
from vizkit.learn.compare import compare_rows
from vizkit.learn.train import STATE
from vizkit.learn.worth import FOUND, choose_runs, gather, load_plan, plan_runs, train_runs
from vizkit.net.count import count_network
from vizkit.statistics import wilson
from vizkit.world import LABELS

SHIPPED = checkpoint_folder() / "worth.toml"

CONFIG = """
name = "{name}"
architecture = "{architecture}"
options = {{ width = 8, stem = "5x5/2" }}
batch = 4
{more}
[[phases]]
clips = 8
rendered = 8
sides_px = [32]
"""

PLAN = """
seeds = [0, 1]
test_clips = 32
control_clips = 16
side_px = 32
[training]
precision = "float32"
frames = 2
[modules.shift.rows]
twin = { config = "plain" }
network = { config = "shift" }
[modules.other.rows]
twin = { config = "plain" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two configs and a plan of them."""
    for name, architecture in (("plain", "c2d-18"), ("shift", "tsm-18")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(CONFIG.format(name=name, architecture=architecture, more=""), encoding="utf-8")
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    return tmp_path


def test_every_row_is_a_run_for_every_seed_and_equal_configs_are_one_run(folder: Path) -> None:
    runs = plan_runs(load_plan(folder / "plan.toml"), folder)
    assert [run.key for run in runs] == [
        "shift/twin/0", "shift/twin/1", "shift/network/0", "shift/network/1", "other/twin/0", "other/twin/1"
    ]  # fmt: skip
    names = {run.key: run.config.name for run in runs}
    assert names["shift/twin/0"] == names["other/twin/0"] != names["shift/twin/1"] != names["shift/network/1"]
    assert len(set(names.values())) == 4
    for run in runs:
        assert (run.config.seed, run.config.frames, run.config.precision) == (run.seed, 2, "float32")
        assert run.config.architecture == ("tsm-18" if run.row == "network" else "c2d-18")


def test_what_is_changed_of_all_rows_comes_before_what_is_changed_of_one(folder: Path) -> None:
    more = "[modules.shift.training]\nframes = 4\nweight_decay = 0.3\n[modules.shift.rows]"
    text = PLAN.replace("[modules.shift.rows]", more).replace(
        '{ config = "shift" }', '{ config = "shift", changes = { weight_decay = 0.1 } }'
    )
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    found = {run.key: run.config for run in plan_runs(load_plan(folder / "plan.toml"), folder)}
    assert [(found[f"{key}/0"].frames, found[f"{key}/0"].weight_decay) for key in ("shift/twin", "shift/network", "other/twin")] == [
        (4, 0.3), (4, 0.1), (2, 0.02)
    ]  # fmt: skip


def test_runs_are_chosen_by_the_parts_of_their_names(folder: Path) -> None:
    runs = plan_runs(load_plan(folder / "plan.toml"), folder)
    assert choose_runs(runs, []) == runs
    assert [run.key for run in choose_runs(runs, ["shift/twin"])] == ["shift/twin/0", "shift/twin/1"]
    assert [run.key for run in choose_runs(runs, ["other", "shift/network/1"])] == ["shift/network/1", "other/twin/0", "other/twin/1"]
    for wrong in ("shi", "shift/twin/7", "twin"):
        with pytest.raises(SettingError, match=rf"Unknown run '{wrong}'.*shift/network/1"):
            choose_runs(runs, [wrong])


def test_rows_that_are_not_trained_alike_are_refused_unless_the_plan_says_so(folder: Path) -> None:
    text = CONFIG.format(name="shift", architecture="tsm-18", more='weight_decay = 0.5\nnotes = ["Another."]')
    (folder / "shift" / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match="shift: network and twin differ in weight_decay") as told:
        plan_runs(load_plan(folder / "plan.toml"), folder)
    assert told.value.code == "not_alike"
    said = PLAN.replace('network = { config = "shift" }', 'network = { config = "shift", changes = { weight_decay = 0.3 } }')
    (folder / "plan.toml").write_text(said, encoding="utf-8")
    assert plan_runs(load_plan(folder / "plan.toml"), folder)[2].config.weight_decay == 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (("test_clips = 32", "test_clips = 4000"), "test_clips"),
        (("frames = 2", "frams = 2"), "frams"),
        (('config = "shift"', 'config = "absent"'), "no readable config"),
        (("[training]", "[training"), "not valid TOML"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence(folder: Path, change: tuple[str, str], words: str) -> None:
    (folder / "plan.toml").write_text(PLAN.replace(*change), encoding="utf-8")
    with pytest.raises(SettingError, match=words):
        plan_runs(load_plan(folder / "plan.toml"), folder)
    with pytest.raises(SettingError, match=r"absent\.toml: there is no readable plan"):
        load_plan(folder / "absent.toml")


@pytest.mark.slow
def test_a_plan_is_trained_measured_and_put_together_and_what_is_done_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "out"
    plan = load_plan(folder / "plan.toml")
    runs = plan_runs(plan, folder)
    lines: list[str] = []
    train_runs(plan, choose_runs(runs, ["shift/twin/0"]), out, report=lines.append)
    assert len(lines) == 1
    assert gather(plan, runs, out)["missing"] == ["shift/twin/1", "shift/network/0", "shift/network/1", "other/twin/1"]
    kept = (out / runs[0].config.name / FOUND).read_bytes()
    train_runs(plan, runs, out, jobs=2, report=lines.append)
    assert lines[1] == "1 of 4 runs were done already"
    assert len(lines) == 5
    assert (out / runs[0].config.name / FOUND).read_bytes() == kept
    found = gather(plan, runs, out)
    assert found["missing"] == []
    assert [(row["module"], row["row"], row["seeds"]) for row in found["rows"]] == [
        ("shift", "twin", [0, 1]), ("shift", "network", [0, 1]), ("other", "twin", [0, 1])
    ]  # fmt: skip
    assert set(found["modules"]) == {"shift"}
    for row in found["rows"]:
        assert np.sum(row["confusion"]) == 2 * plan.test_clips
        assert row["scores"]["in_order"]["accuracy"]["n"] == plan.test_clips
        assert row["scores"]["shuffled"]["accuracy"]["n"] == row["scores"]["one_frame"]["accuracy"]["n"] == plan.control_clips

    (out / runs[0].config.name / STATE).unlink()  # measured otherwise: it is trained again, to the same numbers
    other = plan.model_copy(update={"control_clips": 8})
    train_runs(other, runs[:1], out)
    again = json.loads((out / runs[0].config.name / FOUND).read_bytes())
    assert (again["digest"], again["confusion"]["in_order"]) == (json.loads(kept)["digest"], json.loads(kept)["confusion"]["in_order"])

    monkeypatch.setattr("vizkit.learn.worth.train_runs", lambda *_args, **_more: pytest.fail("nothing is to be trained"))
    told = CliRunner().invoke(main, ["worth", str(folder / "plan.toml"), "--out", str(out), "--no-train"], standalone_mode=False)
    assert "not done: shift/twin/0, other/twin/0" in told.output
    assert json.loads((out / "worth.json").read_text(encoding="utf-8"))["missing"] == ["shift/twin/0", "other/twin/0"]


# ------------------------------------------------------------------------------------------------ what is said of the runs


def row(name: str, *tables: Any, module: str = "mine", gmacs: float = 1.0) -> dict[str, Any]:
    runs = {
        seed: {
            "name": f"{name}-{seed}", "params": 10, "gmacs": gmacs, "seconds": 5,
            "confusion": {"in_order": table.tolist(), "shuffled": table.tolist(), "one_frame": np.zeros_like(table).tolist()},
        }
        for seed, table in enumerate(tables)
    }  # fmt: skip
    return {"module": module, "row": name, "architecture": "any", "runs": runs}


def confusion(right: int, other: int, elsewhere: int, camera: int | None = None) -> Any:
    """Of each label: ``right``, taken for the pair's ``other`` member, taken for the next pair (``elsewhere``)."""
    table = np.zeros((16, 16), int)
    for label in range(16):
        table[label, label], table[label, label ^ 1], table[label, (label + 2) % 16] = right, other, elsewhere
    if camera is not None:
        table[14:] = 0
        table[14, 14] = table[15, 15] = camera
    return table


def test_a_value_is_the_mean_of_the_seeds_and_its_interval_that_of_one_set_of_clips() -> None:
    found = compare_rows([row("twin", confusion(10, 10, 80), confusion(30, 10, 60))])["rows"][0]
    scores = found["scores"]["in_order"]
    assert scores["accuracy"]["value"] == 0.2
    assert scores["accuracy"]["seeds"] == [0.1, 0.3]
    assert scores["accuracy"]["n"] == 1600
    assert scores["accuracy"]["interval"] == [round(side, 4) for side in wilson(320, 1600).interval]
    assert scores["ordered_accuracy"]["n"] == 1400
    assert (scores["in_pair"]["value"], scores["in_pair"]["seeds"], scores["in_pair"]["n"]) == (round(40 / 60, 4), [0.5, 0.75], 420)
    assert found["scores"]["one_frame"]["accuracy"] is None
    assert np.sum(found["confusion"]) == 3200


def test_the_cameras_pair_counts_for_accuracy_alone() -> None:
    found = compare_rows([row("twin", confusion(0, 0, 100, camera=100))])["rows"][0]["scores"]["in_order"]
    assert (found["accuracy"]["value"], found["ordered_accuracy"]["value"], found["in_pair"]) == (0.125, 0.0, None)


@pytest.mark.parametrize(
    ("right", "points", "disjoint", "holds"),
    [(55, 35.0, True, True), (32, 12.0, True, True), (26, 6.0, True, False), (20, 0.0, False, False)],
)
def test_the_bar_is_ten_points_with_disjoint_intervals(right: int, points: float, disjoint: bool, holds: bool) -> None:
    twin, network = confusion(20, 20, 60), confusion(right, 5, 95 - right)
    gain = compare_rows([row("twin", twin), row("network", network)])["modules"]["mine"]
    assert (gain["over_twin"]["points"], gain["over_twin"]["disjoint"], gain["holds"]) == (points, disjoint, holds)
    assert "over_temporal" not in gain


def test_ten_points_on_few_clips_are_not_enough() -> None:
    twin, network = confusion(2, 2, 6), confusion(4, 2, 4)
    gain = compare_rows([row("twin", twin), row("network", network)])["modules"]["mine"]
    assert (gain["over_twin"]["points"], gain["holds"]) == (20.0, True)
    twin, network = confusion(1, 1, 3), confusion(2, 1, 2)
    gain = compare_rows([row("twin", twin), row("network", network)])["modules"]["mine"]
    assert (gain["over_twin"]["points"], gain["over_twin"]["disjoint"], gain["holds"]) == (20.0, False, False)


def test_the_temporal_twin_may_be_better_and_its_cost_is_told() -> None:
    rows = [row("twin", confusion(10, 10, 80)), row("temporal", confusion(60, 2, 38), gmacs=1.01), row("network", confusion(40, 2, 58))]
    gain = compare_rows(rows)["modules"]["mine"]
    assert gain["over_temporal"] == {"points": -20.0, "disjoint": True, "seeds": [-20.0]}
    assert gain["temporal_cost_percent"] == 1.0


def test_a_pair_is_resolved_where_both_members_are_told_more_often_than_by_the_twin() -> None:
    network = confusion(20, 20, 60)
    network[0], network[1] = confusion(80, 5, 15)[0], confusion(80, 5, 15)[1]
    network[4, [4, 5, 6]] = network[5, [5, 4, 7]] = [45, 45, 10]  # the pair is found, its member is not
    gain = compare_rows([row("twin", confusion(20, 20, 60)), row("network", network)])["modules"]["mine"]
    assert gain["resolves"] == ["horizontal"]
    assert gain["taken_for"][LABELS[0]] == LABELS[2]
    assert gain["taken_for"][LABELS[8]] == LABELS[10]


@pytest.mark.parametrize("module", load_plan(SHIPPED).modules)
def test_shipped_rows_are_trained_alike_and_temporal_convolutions_cost_what_the_module_costs(module: str) -> None:
    import torch

    from vizkit.catalog import architecture

    plan = load_plan(SHIPPED)
    configs = {run.row: run.config for run in plan_runs(plan, SHIPPED.parent) if run.module == module}
    assert {"twin", "network"} <= set(configs)
    gmacs = {}
    for name, config in configs.items():
        with torch.device("meta"):
            gmacs[name] = count_network(architecture(config.architecture).build(16, **config.options), config.frames, plan.side_px).gmacs
    if "temporal" in gmacs:
        assert gmacs["temporal"] == pytest.approx(gmacs["network"], rel=0.02)
    assert gmacs["twin"] < gmacs["network"]
