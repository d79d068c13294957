"""What networks say of real videos, on the test clips and over all folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vizkit.checkpoint import load_network, read_checkpoint
from vizkit.cli.checks import score
from vizkit.cli.folds import folds as folds_command
from vizkit.contracts import Sampling
from vizkit.errors import SettingError
from vizkit.learn import folds as cross
from vizkit.learn.config import TrainingConfig, load_config
from vizkit.learn.finish import finish
from vizkit.learn.folds import cross_validate, fold_runs, write_into
from vizkit.learn.train import train
from vizkit.learn.video_scores import direction_by_class, shares, video_scores, videos_of_card
from vizkit.learn.videos import videos_of
from vizkit.net.confusion import Confusion

Tiny = Callable[..., TrainingConfig]

CONFIG = """
name = "tiny-people"
architecture = "tsm-18"
options = { width = 8, stem = "5x5/2", dropout = 0.0 }
frames = 4
batch = 4
phases = [{ clips = 4, sides_px = [32] }]

[videos]
folder = "data"
lists = ["clips.csv"]
direction = true
kept_frames = 6
kept_px = 40
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes in two folds: a bright square that moves right, or down, on noise of its own."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["path,label,fold,group"]
    for fold in range(2):
        for label, axis in (("across", 1), ("down", 0)):
            clip = np.repeat(rng.integers(0, 120, (1, 40, 40, 3), np.uint8), 6, axis=0)
            for frame in range(6):
                place = [14, 14]
                place[axis] = 2 + 5 * frame
                clip[frame, place[0] : place[0] + 12, place[1] : place[1] + 12] = 240
            np.save(folder / f"{fold}-{label}.npy", clip)
            lines.append(f"{fold}-{label}.npy,{label},{fold},person {fold}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def config(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.replace('"data"', json.dumps(str(data))), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------ shares


def test_classes_and_directions_are_counted_apart() -> None:
    """Rows and columns: hug forwards, hug backwards, kick forwards, kick backwards; ten clips of each class, shown both ways."""
    counts = np.array([[6, 2, 1, 1], [3, 4, 0, 3], [0, 0, 10, 0], [1, 0, 2, 7]])
    found = shares(Confusion(counts), direction=True)
    assert found["class"].value == pytest.approx((6 + 2 + 3 + 4 + 10 + 2 + 7) / 40)
    assert found["direction"].value == pytest.approx((6 + 1 + 4 + 3 + 10 + 7) / 40)
    assert found["class"].n == found["direction"].n == 20
    assert direction_by_class(Confusion(counts), ("hug", "kick")) == {"hug": 14 / 20, "kick": 17 / 20}
    twice = shares(Confusion(2 * counts), direction=True, runs=2)
    assert twice == found  # two seeds are no more clips


def test_without_directions_every_label_is_a_class() -> None:
    found = shares(Confusion(np.array([[3, 1], [0, 4]])), direction=False)
    assert found["class"].value == pytest.approx(7 / 8)
    assert (found["class"].n, list(found)) == (8, ["class"])


# ------------------------------------------------------------------------------------------------ a checkpoint


def test_a_run_on_videos_ends_in_a_card_that_says_so(config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_config(config, ["videos.fold=1"])
    folder = tmp_path / "run"
    trained = train(settings, folder, progress=False, shards=tmp_path / "shards")
    card = finish(trained, config, folder, test_clips=1, overrides=("videos.fold=1", f"videos.folder={data}"))
    assert str(data) not in json.dumps(card), "where the clips lie is nobody's business"
    assert card["training"]["command"].endswith("--set videos.fold=1 --set videos.folder=FOLDER")
    assert card["labels"] == ["across", "across, backwards", "down", "down, backwards"]
    assert card["data"] == {
        "source": "videos", "name": "clips.csv", "classes": ["across", "down"], "direction": True, "clips": 2, "test_clips": 2,
        "groups": 1, "fold": 1, "refused": [],
    }  # fmt: skip
    network = load_network(folder)
    assert network.sampling.resize_hw == (32, 32)
    found = video_scores(network, videos_of(settings), tmp_path / "shards")
    controls = ("", "shuffled_", "one_frame_")
    assert set(found) == set(card["videos"]) == {f"videos.{order}{what}" for order in controls for what in ("class", "direction")}
    assert {name: round(value.value, 4) for name, value in found.items()} == {name: row["value"] for name, row in card["videos"].items()}
    assert {value.n for value in found.values()} == {2}
    monkeypatch.setenv("VIZKIT_HOME", str(tmp_path / "home"))
    told = CliRunner().invoke(score, [str(folder), "--videos", str(data), "--json"], standalone_mode=False)
    assert json.loads(told.stdout)["scores"]["videos.class"]["value"] == found["videos.class"].value
    with pytest.raises(SettingError, match="not trained on videos"):
        videos_of_card({"name": "x", "training": {"config": {"videos": None}}}, data)


def test_a_network_with_other_labels_is_not_measured(config: Path, tmp_path: Path) -> None:
    settings = load_config(config, ["videos.fold=1"])
    with pytest.raises(SettingError, match="has the labels class 0"):
        video_scores(load_network("c2d-18", num_classes=4, width=8), videos_of(settings), tmp_path / "shards")


def test_a_network_that_sees_frames_one_by_one_is_right_half_of_the_time(config: Path, tmp_path: Path) -> None:
    """It says the same of a clip both ways: of the same frames."""
    videos = videos_of(load_config(config, ["videos.fold=1"]))
    network = load_network("c2d-18", num_classes=4, width=8, stem="5x5/2")
    labels = ("across", "across, backwards", "down", "down, backwards")
    sampling = Sampling(segments=4, short_side_px=32, crop_px=None, resize_hw=(32, 32))
    found = video_scores(replace(network, labels=labels, sampling=sampling), videos, tmp_path / "shards")
    assert found["videos.direction"].value == found["videos.shuffled_direction"].value == 0.5


# ------------------------------------------------------------------------------------------------ folds


def test_every_clip_is_tested_once_for_each_seed(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    lines: list[str] = []
    found = cross_validate(config, out, seeds=2, report=lines.append)
    assert lines == [f"fold{fold}-seed{seed} done" for seed in (0, 1) for fold in (0, 1)]
    assert (found["folds"], found["seeds"], found["groups"]) == (2, 2, 2)
    assert np.sum(found["confusion"]) == 4 * 2 * 2  # clips, ways, seeds
    rows = found["runs"]
    assert found["scores"]["in_order"]["class"]["n"] == 4
    assert found["scores"]["in_order"]["class"]["value"] == pytest.approx(np.mean([row["class"] for row in rows]), abs=1e-4)
    assert found["scores"]["in_order"]["direction"]["value"] == pytest.approx(np.mean([row["direction"] for row in rows]), abs=1e-4)
    assert np.mean(list(found["direction_by_class"].values())) == pytest.approx(found["scores"]["in_order"]["direction"]["value"], abs=1e-4)
    assert len({row["digest"] for row in rows}) == 4
    monkeypatch.setattr(cross, "train", None)  # nothing is trained again
    assert cross_validate(config, out, seeds=2) == found
    write_into(out / "fold0-seed0", found, seeds=2)
    assert read_checkpoint(out / "fold0-seed0").card["folds"]["scores"] == found["scores"]
    with pytest.raises(SettingError, match="the runs are of other"):
        write_into(out / "fold0-seed0", {**found, "name": "other"}, seeds=2)
    told = CliRunner().invoke(folds_command, [str(config), "--out", str(out), "--seeds", "2", "--json"], standalone_mode=False)
    assert json.loads(told.stdout) == json.loads((out / "folds.json").read_text(encoding="utf-8")) == json.loads(json.dumps(found))


def test_no_run_sees_a_clip_of_its_fold(config: Path, tmp_path: Path) -> None:
    from vizkit.learn.videos import VideoSource

    for run in fold_runs(load_config(config)):
        source = VideoSource(run.config, tmp_path / "shards")
        assert {entry.fold for entry in source.test} == {run.fold}
        assert {entry.fold for entry in source.clips.entries} == {0, 1} - {run.fold}


def test_a_data_set_without_folds_is_refused(config: Path, data: Path, tmp_path: Path) -> None:
    lines = [",".join(line.split(",")[:2]) for line in (data / "clips.csv").read_text(encoding="utf-8").splitlines()]
    (tmp_path / "plain.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = load_config(config, [f'videos.lists=["{tmp_path / "plain.csv"}"]', "videos.test_share=0.5"])
    with pytest.raises(SettingError, match="gives no folds"):
        fold_runs(settings)


@pytest.mark.slow
def test_the_direction_is_learnt_by_a_network_that_sees_motion(config: Path, tmp_path: Path) -> None:
    """Squares move right and down; played backwards, left and up. Frames are the same both ways."""
    changes = ["phases=[{clips=960, sides_px=[32], peak_rate=3e-3}]", "videos.fold=1", "batch=8", "videos.mirror=false"]
    settings = load_config(config, changes)
    folder = tmp_path / "run"
    trained = train(settings, folder, progress=False, shards=tmp_path / "shards")
    finish(trained, config, folder, test_clips=0)
    assert video_scores(load_network(folder), videos_of(settings), tmp_path / "shards")["videos.direction"].value == 1.0
