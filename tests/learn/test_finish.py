"""The end of a run: half-precision weights and a card that says everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vizkit.checkpoint import CARD, CARD_FIELDS, CONFIG, WEIGHTS, load_network, read_checkpoint
from vizkit.digest import digest_file
from vizkit.learn.config import TrainingConfig, load_config
from vizkit.learn.finish import finish, measure
from vizkit.learn.source import source_of
from vizkit.learn.train import TrainedNetwork, build_network, precision_of
from vizkit.world import LABELS

TEXT = """
name = "tiny"
architecture = "cpnet-18"
options = { width = 4, stem = "5x5/2", dropout = 0.0, blocks = ["res3.1"], last_gain = 1.0, widths = [8, 8], shrink = 1 }
frames = 8
batch = 4
notes = ["Nothing was learnt."]
twin = "tiny-twin"

[[phases]]
clips = 48
sides_px = [32, 48]
"""

Finished = tuple[TrainedNetwork, Path, dict[str, Any]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A checkpoint of weights that saw no clip."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "mine.toml").write_text(TEXT, encoding="utf-8")
    config = load_config(folder / "mine.toml")
    network = build_network(config).eval()
    trained = TrainedNetwork(network, config, source_of(config, folder), "f" * 64, 12.4)
    return trained, folder / "out", finish(trained, folder / "mine.toml", folder / "out", test_clips=0)


def test_the_checkpoint_is_loaded_again(finished: Finished) -> None:
    trained, folder, card = finished
    network = load_network(folder)
    assert network.origin == "trained"
    assert network.labels == LABELS
    assert network.architecture == "cpnet-18"
    assert [block.name for block in network.blocks] == ["res3.1"]
    assert read_checkpoint(folder).digest_ok
    assert card["digest"] == digest_file(folder / WEIGHTS) != "f" * 64
    rounded = {key: value.half().float() if value.is_floating_point() else value for key, value in trained.module.state_dict().items()}
    assert all(torch.equal(value, rounded[key]) for key, value in network.module.state_dict().items())


def test_the_card_says_everything(finished: Finished) -> None:
    _, folder, card = finished  # the run, its folder, its card
    written = json.loads((folder / CARD).read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(card))
    wanted = {*CARD_FIELDS, "module", "twin", "start", "data", "training", "cost", "notes", "test", "scores", "untrained"}
    assert set(written) == wanted
    assert written["name"] == "tiny"
    assert written["module"] == "cpnet"
    assert written["twin"] == "tiny-twin"
    assert written["start"] is None
    assert written["labels"] == list(LABELS)
    assert (written["mean"], written["std"]) == ([0.5] * 3, [0.25] * 3)
    assert written["license"] == "Apache-2.0"
    assert written["notes"] == ["Nothing was learnt."]
    assert written["data"] == {
        "source": "vizkit.world",
        "version": 1,
        "split": "train",
        "seed": 0,
        "clips": 48,
        "distinct": 48,
        "augment": [],
    }
    assert written["training"] == {
        "command": "vizkit train checkpoints/tiny/config.toml --out checkpoints/tiny", "objective": "classify", "steps": 12, "seed": 0,
        "threads": 1, "precision": precision_of(finished[0].config),
        "seconds": 12, "float32_digest": "f" * 64, "config": finished[0].config.model_dump(mode="json"),
    }  # fmt: skip
    assert written["cost"]["params"] == sum(weight.numel() for weight in load_network(folder).module.parameters())
    assert (written["cost"]["frames"], written["cost"]["size_px"]) == (8, 112)
    assert (written["sampling"]["segments"], written["sampling"]["short_side_px"], written["sampling"]["crop_px"]) == (8, 112, 112)


def test_pictures_are_sampled_at_the_largest_side_that_was_trained(tiny: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    config = tiny(phases=[{"clips": 4, "sides_px": [64, 128]}, {"clips": 4, "sides_px": [32]}])
    (tmp_path / "any.toml").write_text(TEXT, encoding="utf-8")
    trained = TrainedNetwork(build_network(config).eval(), config, source_of(config, tmp_path), "0", 0.0)
    card = finish(trained, tmp_path / "any.toml", tmp_path / "out", test_clips=0)
    assert card["sampling"]["short_side_px"] == card["cost"]["size_px"] == 128


def test_the_config_lies_beside_the_weights(finished: Finished) -> None:
    _, folder, _ = finished
    assert (folder / CONFIG).read_text(encoding="utf-8") == TEXT
    assert load_config(folder / CONFIG) == finished[0].config


def test_a_config_that_lies_there_already_stays(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(TEXT, encoding="utf-8")
    finish(finished[0], tmp_path / CONFIG, tmp_path, test_clips=0)
    assert (tmp_path / CONFIG).read_text(encoding="utf-8") == TEXT


def test_the_same_run_gives_the_same_bytes(finished: Finished, tmp_path: Path) -> None:
    trained, folder, _ = finished
    finish(trained, folder / CONFIG, tmp_path, test_clips=0)
    for name in (WEIGHTS, CARD, CONFIG):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_every_score_has_its_interval_and_the_command_that_gives_it(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizkit.motion.gradcam.score.CURVE_CLIPS", 0)  # sixty passes a clip; tests/motion/gradcam has them
    _, source, before = finished
    folder = Path(shutil.copytree(source, tmp_path / "tiny"))
    card = measure(folder, clips=2)
    assert {**card, "test": {}, "scores": {}, "untrained": {}} == before
    assert card["test"] == card["scores"]  # two clips are fewer than the fifty of the quick check
    assert {"world.accuracy_112", "world.accuracy_64", "cpnet.hit_rate_unmoved", "cpnet.change_precision"} <= set(card["scores"])
    for name, entry in card["scores"].items():
        assert entry["interval"][0] <= entry["value"] <= entry["interval"][1], name
        assert entry["n"] >= 1, name
        assert entry["command"] == "vizkit score tiny --clips 2 --json"
    views = {name for name in card["test"] if name.startswith("cpnet.")}
    assert set(card["untrained"]) == views
    assert {entry["command"] for entry in card["untrained"].values()} == {"vizkit score tiny --clips 2 --untrained --json"}
    assert card["untrained"]["cpnet.hit_rate_rgb"]["value"] == card["test"]["cpnet.hit_rate_rgb"]["value"], "other clips"
    text = (folder / CARD).read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(card))
    assert "NaN" not in text


def test_what_was_changed_of_the_config_is_in_the_command(finished: Finished, tmp_path: Path) -> None:
    trained, folder, _ = finished
    card = finish(trained, folder / CONFIG, tmp_path, test_clips=0, overrides=("batch=4", "phases=[{clips=48}]"))
    assert card["training"]["command"].endswith("--out checkpoints/tiny --set batch=4 --set 'phases=[{clips=48}]'")
    assert card["training"]["config"]["batch"] == trained.config.batch
