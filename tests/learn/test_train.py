"""The training loop: the same end whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vizkit.checkpoint import write_checkpoint
from vizkit.errors import TrainingError
from vizkit.learn import train as loop
from vizkit.learn.config import TrainingConfig
from vizkit.learn.source import WorldSource
from vizkit.learn.train import LOG, STATE, TrainedNetwork, build_network, learning_rate, precision_of, train
from vizkit.world import LABELS

Tiny = Callable[..., TrainingConfig]


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without the times."""
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "waited")} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedNetwork, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(tiny(), folder, progress=False), folder


# ------------------------------------------------------------------------------------------------ learning rate


def test_the_rate_rises_to_the_peak_and_falls_to_zero_in_every_phase(tiny: Tiny) -> None:
    config = tiny(batch=1, phases=[{"clips": 100, "peak_rate": 1e-2, "warm_up": 0.2}, {"clips": 40, "peak_rate": 3e-3, "warm_up": 0.5}])
    rates = [learning_rate(config, step) for step in range(140)]
    first, second = rates[:100], rates[100:]
    assert first[:19] == pytest.approx([1e-2 * (step + 1) / 20 for step in range(19)])
    assert max(first) == first[19] == pytest.approx(1e-2)
    assert first[59] == pytest.approx(5e-3)  # halfway down the cosine
    assert first[19:] == sorted(first[19:], reverse=True)
    assert first[99] == pytest.approx(0, abs=1e-12)
    assert max(second) == second[19] == pytest.approx(3e-3)
    assert second[39] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("warm_up", [0.0, 1.0])
def test_a_phase_may_be_all_warm_up_or_have_none(tiny: Tiny, warm_up: float) -> None:
    config = tiny(batch=1, phases=[{"clips": 10, "peak_rate": 1e-2, "warm_up": warm_up}])
    rates = [learning_rate(config, step) for step in range(10)]
    assert rates == sorted(rates, reverse=warm_up == 0)
    assert max(rates) <= 1e-2


# ------------------------------------------------------------------------------------------------ the same end


def test_the_same_config_gives_the_same_digest(tiny: Tiny, tmp_path: Path, undisturbed: tuple[TrainedNetwork, Path]) -> None:
    again = train(tiny(), tmp_path / "again", progress=False)
    assert again.digest == undisturbed[0].digest
    assert log_of(tmp_path / "again") == log_of(undisturbed[1])
    assert train(tiny(seed=1), tmp_path / "other", progress=False).digest != again.digest
    assert not again.module.training


@pytest.mark.parametrize("objective", ["classify", "follow", "dense"])
def test_a_run_that_broke_off_ends_as_if_it_had_not(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    """The disk is full at the third state; what was saved before it is whole."""
    config = tiny(objective=objective)
    undisturbed = train(config, tmp_path / "undisturbed", progress=False)
    written = loop.write_atomically
    saved: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        saved.append(path)
        if len(saved) > 4:
            raise OSError("no space left on device")
        written(path, data)

    monkeypatch.setattr(loop, "write_atomically", full)
    with pytest.raises(OSError, match="no space"):
        train(config, tmp_path / "broken", progress=False)
    monkeypatch.undo()
    assert torch.load(tmp_path / "broken" / STATE, weights_only=True)["step"] == 4
    resumed = train(config, tmp_path / "broken", resume=True, progress=False)
    assert resumed.digest == undisturbed.digest
    assert log_of(tmp_path / "broken") == log_of(tmp_path / "undisturbed")


KILLED = """
import json, sys
from pathlib import Path
from vizkit.learn.config import TrainingConfig
from vizkit.learn.train import train

if __name__ == "__main__":
    train(TrainingConfig.parse(**json.loads(sys.argv[1])), Path(sys.argv[2]), progress=False)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(tiny: Tiny, tmp_path: Path) -> None:
    """SIGKILL as soon as a state is there; then on from it, in another process."""
    config = tiny(phases=[{"clips": 400, "sides_px": [32]}])
    expected = train(config, tmp_path / "undisturbed", progress=False)
    folder = tmp_path / "killed"
    running = subprocess.Popen([sys.executable, "-c", KILLED, config.model_dump_json(), str(folder)], env=os.environ)
    deadline = time.monotonic() + 120
    while not (folder / STATE).exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    step = torch.load(folder / STATE, weights_only=True)["step"]
    assert 0 < step < config.steps
    resumed = train(config, folder, resume=True, progress=False)
    assert resumed.digest == expected.digest
    assert log_of(folder) == log_of(tmp_path / "undisturbed")


def test_a_finished_run_is_not_trained_on(tiny: Tiny, undisturbed: tuple[TrainedNetwork, Path]) -> None:
    trained, folder = undisturbed
    before = (folder / STATE).stat().st_mtime_ns
    again = train(tiny(), folder, resume=True, progress=False)
    assert again.digest == trained.digest
    assert again.seconds == trained.seconds
    assert (folder / STATE).stat().st_mtime_ns == before


def test_a_folder_with_a_run_is_taken_only_to_go_on(tiny: Tiny, undisturbed: tuple[TrainedNetwork, Path]) -> None:
    with pytest.raises(TrainingError, match="holds a run already") as told:
        train(tiny(), undisturbed[1], progress=False)
    assert told.value.code == "exists"


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch": 2}, {"phases": [{"clips": 48, "sides_px": [32], "peak_rate": 1e-4}]}])
def test_a_folder_of_another_config_is_refused(tiny: Tiny, undisturbed: tuple[TrainedNetwork, Path], changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="another config") as told:
        train(tiny(**changes), undisturbed[1], resume=True, progress=False)
    assert told.value.code == "config"


def test_a_loss_that_is_not_finite_stops_the_run(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(precision="float32", phases=[{"clips": 48, "sides_px": [32], "peak_rate": 1e30}])
    with pytest.raises(TrainingError, match="lower peak_rate") as told:
        train(config, tmp_path, progress=False)
    assert told.value.code == "diverged"


def test_states_are_saved_as_often_as_asked_and_at_the_end(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, steps = loop.write_atomically, []

    def watch(path: Path, data: bytes) -> None:
        written(path, data)
        if path.name == STATE:
            steps.append(torch.load(path, weights_only=True)["step"])

    monkeypatch.setattr(loop, "write_atomically", watch)
    train(tiny(save_every=20), tmp_path, progress=False)
    assert steps == [5, 10, 12]
    assert [line["step"] for line in log_of(tmp_path)] == [12]


# ------------------------------------------------------------------------------------------------ the start


@pytest.fixture
def source(tiny: Tiny, tmp_path: Path) -> Path:
    """A checkpoint to start from."""
    card = {
        "name": "source", "architecture": "c2d-18", "options": tiny().options, "labels": list(LABELS), "mean": [0.5] * 3, "std": [0.25] * 3,
        "sampling": {}, "origin": "trained", "license": "Apache-2.0",
    }  # fmt: skip
    write_checkpoint(tmp_path / "source", build_network(tiny(seed=7)), card)
    return tmp_path / "source"


def test_a_start_gives_the_weights_that_fit(tiny: Tiny, source: Path) -> None:
    weights = build_network(tiny(seed=7)).state_dict()
    modules = {"architecture": "cpnet-18", "options": {**tiny().options, "blocks": ["res3.1"]}}
    fresh = build_network(tiny(**modules)).state_dict()
    started = build_network(tiny(**modules, start=str(source))).state_dict()
    assert any(".motion." in key for key in started)
    for key, tensor in started.items():
        wanted = fresh[key] if ".motion." in key else weights[key].half().to(tensor.dtype)
        assert torch.equal(tensor, wanted), key


def test_the_configs_threads_are_used_even_after_a_start(tiny: Tiny, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the start sets the number of threads of pictures; training has its own, since the last bits depend on it."""
    monkeypatch.setenv("VIZKIT_THREADS", "2")
    try:
        train(tiny(start=str(source), phases=[{"clips": 4, "sides_px": [32]}]), tmp_path / "run", progress=False)
        assert torch.get_num_threads() == tiny().threads == 1
    finally:
        torch.set_num_threads(1)


def test_the_start_of_a_backbone_reaches_it_behind_a_projection(tiny: Tiny, source: Path) -> None:
    weights = build_network(tiny(seed=7)).state_dict()
    projected = {"architecture": "pwtp-18", "options": {**tiny().options, "channels": 4, "frames": 2}}
    started = build_network(tiny(**projected, start=str(source))).state_dict()
    for key, tensor in weights.items():
        assert torch.equal(started[f"backbone.{key}"], tensor.half().to(tensor.dtype)), key


@pytest.mark.parametrize(
    ("able", "precision"), [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "float32")]
)
def test_bf16_is_taken_where_the_processor_has_instructions_for_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision_of(tiny(precision="auto")) == precision
    assert precision_of(tiny(precision="float32")) == "float32"
    assert precision_of(tiny(precision="bf16")) == "bf16"


# ------------------------------------------------------------------------------------------------ learning


def test_the_dense_start_learns_to_find_cells(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    config = tiny(
        objective="dense", batch=8, options={"width": 8, "stem": "5x5/2"}, save_every=10_000,
        phases=[{"clips": 240, "sides_px": [32], "nuisances": False, "peak_rate": 5e-3}],
    )  # fmt: skip
    train(config, tmp_path, progress=False)
    lines = log_of(tmp_path)
    assert mean_of("loss", lines[-5:]) < 0.8 * mean_of("loss", lines[:5])
    for stage in ("res2", "res3"):
        assert mean_of(f"found_{stage}", lines[-5:]) > mean_of(f"found_{stage}", lines[:5])


def test_what_is_followed_is_what_the_config_says(tiny: Tiny, tmp_path: Path) -> None:
    """The same first step of the same weights: only the motion that is asked for differs."""
    losses = {}
    for followed in ("out", "into"):
        train(tiny(objective="follow", followed=followed, frames=3), tmp_path / followed, progress=False)
        losses[followed] = [line["loss"] for line in log_of(tmp_path / followed)]
    assert losses["out"] != losses["into"]


@pytest.mark.parametrize("objective", ["classify", "follow"])
def test_sixteen_clips_are_learnt_by_heart(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    """Every step sees the clips of the first one: one of every class."""
    rendered = WorldSource.__getitem__
    monkeypatch.setattr(WorldSource, "__getitem__", lambda source, _step: rendered(source, 0))
    config = tiny(
        architecture="tsm-18", objective=objective, batch=16, options={"width": 8, "stem": "5x5/2", "dropout": 0.0}, save_every=10_000,
        phases=[{"clips": 320, "sides_px": [32], "nuisances": False}],
    )  # fmt: skip
    train(config, tmp_path, progress=False)
    last = log_of(tmp_path)[-1]
    assert last["accuracy"] == 1.0
    assert last["loss"] < 1.0  # from 2.8 (labels alone)
    assert last.get("alignment", 1.0) > 0.95


def mean_of(name: str, lines: list[dict[str, Any]]) -> float:
    return sum(line[name] for line in lines) / len(lines)
