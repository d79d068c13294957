"""Objectives of networks with PWTP in front: who gets which gradient, and that runs can be broken off."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import vizkit.learn
from vizkit.checkpoint import load_network
from vizkit.errors import SettingError
from vizkit.learn import train as loop
from vizkit.learn.config import TrainingConfig
from vizkit.learn.finish import finish
from vizkit.learn.objective import ClassifyAndFollow
from vizkit.learn.projection import Behind, Joint, Separate, require_front
from vizkit.learn.train import STATE, build_network, train
from vizkit.motion.pwtp.network import ProjectedNetwork
from vizkit.motion.pwtp.objective import enopr, mgda_weight
from vizkit.world import WorldBatch, render

Tiny = Callable[..., TrainingConfig]

PROJECTED: dict[str, Any] = {
    "architecture": "pwtp-tsm-50", "options": {"depth": 18, "width": 4, "stem": "5x5/2", "frames": 2, "input_norm": True, "dropout": 0.0},
    "frames": 4, "precision": "float32",
}  # fmt: skip
MGDA, CONSTANT, SCHEDULE = (
    {"weighting": "mgda"},
    {"weighting": "constant", "scale": 10.0},
    {"weighting": "schedule", "scale": 5.0, "gamma": 2.0},
)
EVEN = {"weighting": "mgda", "normalized": True}


@pytest.fixture
def projected(tiny: Tiny) -> Tiny:
    return lambda **changes: tiny(**{**PROJECTED, **changes})


@pytest.fixture(scope="module")
def batch() -> WorldBatch:
    return render(range(4), frames=4, side_px=32)


def scaled(frames: torch.Tensor) -> torch.Tensor:
    """As networks of the world see them."""
    return ((frames.float() / 255 - 0.5) / 0.25).transpose(1, 2)


def built(config: TrainingConfig) -> ProjectedNetwork:
    return require_front(build_network(config), config).train()


def test_the_objectives_of_pwtp_are_published() -> None:
    assert float(vizkit.learn.mgda_weight(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0]))) == pytest.approx(0.8)
    assert float(vizkit.learn.enopr(torch.full((1, 3, 2, 2, 2), 2.0))) == pytest.approx(2)
    assert vizkit.learn.scale_at(0, 4, largest=3, gamma=1) == pytest.approx(3)
    assert callable(vizkit.learn.fit_to_clip)


# ------------------------------------------------------------------------------------------------ gradients


def gradients(network: ProjectedNetwork, batch: WorldBatch) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """Of cross-entropy and of ENoPR by themselves, through the network's own forward pass; the logits."""
    clips = scaled(batch.frames)
    logits = network(clips)
    names, parameters = zip(*network.named_parameters(), strict=True)
    task = torch.autograd.grad(F.cross_entropy(logits, batch.labels), parameters)
    residual = network.front.pwtp.separate(network.front.segments(clips))[1]
    rest = torch.autograd.grad(enopr(residual), list(network.front.parameters()))
    front = [f"front.{name}" for name, _ in network.front.named_parameters()]
    return dict(zip(names, task, strict=True)), dict(zip(front, rest, strict=True)), logits


@pytest.mark.parametrize("joint", [None, MGDA, CONSTANT, SCHEDULE])
def test_the_front_gets_both_gradients_and_the_rest_the_labels_alone(
    projected: Tiny, batch: WorldBatch, joint: dict[str, Any] | None
) -> None:
    config = projected(objective="joint", joint=joint)
    network = built(config)
    objective = Joint(network, config)
    task, rest, logits = gradients(network, batch)
    loss, numbers = objective.loss(network, scaled(batch.frames), batch)
    assert float(loss.detach()) == pytest.approx(float(F.cross_entropy(logits, batch.labels).detach()), rel=1e-5)
    assert numbers["accuracy"] == float((logits.argmax(1) == batch.labels).float().mean())
    step = 3
    numbers |= objective.backward(loss, step)
    expected = {
        "constant": 10.0,
        "schedule": 0.01 + 0.5 * (5 - 0.01) * (1 + math.cos(math.pi * (step / 12) ** 2)),
        "mgda": float(mgda_weight([task[name] for name in rest], list(rest.values()))),
    }[(joint or MGDA)["weighting"]]
    assert numbers["weight"] == pytest.approx(expected, abs=2e-4)
    kept = 1 - expected if (joint or MGDA)["weighting"] == "mgda" else 1.0
    for name, parameter in network.named_parameters():
        wanted = kept * task[name] + expected * rest[name] if name in rest else task[name]
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, wanted, atol=1e-4, rtol=1e-3), name


def test_gradients_of_one_length_are_weighed_alike(projected: Tiny, batch: WorldBatch) -> None:
    config = projected(objective="joint", joint=EVEN)
    network = built(config)
    objective = Joint(network, config)
    task, rest, _ = gradients(network, batch)
    loss, _ = objective.loss(network, scaled(batch.frames), batch)
    assert objective.backward(loss, 0)["weight"] == pytest.approx(0.5, abs=1e-3)
    lengths = [torch.cat([part[name].flatten() for name in rest]).norm() for part in (task, rest)]
    for name, parameter in network.front.named_parameters(prefix="front"):
        wanted = 0.5 * task[name] / lengths[0] + 0.5 * rest[name] / lengths[1]
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, wanted, atol=1e-4, rtol=1e-2), name


def test_the_motion_of_cells_may_be_learned_beside_the_labels(projected: Tiny, batch: WorldBatch) -> None:
    config = projected(objective="joint", joint={"weighting": "constant", "follow": True})
    network = built(config)
    torch.manual_seed(1)
    objective, followed = Joint(network, config), ClassifyAndFollow(network.stages)
    objective.heads.load_state_dict(followed.heads.state_dict())
    clips = scaled(batch.frames)
    loss, numbers = objective.loss(network, clips, batch)
    wanted = followed.loss(network, clips, batch)[0]
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert set(numbers) == {"accuracy", "alignment", "enopr"}
    objective.backward(loss, 0)
    assert all(weight.grad is not None for weight in (*network.parameters(), *objective.heads.parameters()))


def test_a_projection_may_learn_at_a_rate_of_its_own(projected: Tiny, tmp_path: Path) -> None:
    phase = {"clips": 8, "sides_px": [32], "peak_rate": 1e-2}
    slow, still = (projected(objective="joint", phases=[{**phase, "projection_rate": rate}]) for rate in (0.01, 0.0))
    start = build_network(slow).state_dict()
    for config in (slow, still):
        found = train(config, tmp_path / str(config is slow), progress=False).module.state_dict()
        moved = {name: float((found[name] - start[name]).abs().max()) for name in ("front.pwtp.out.bias", "backbone.conv1.weight")}
        assert moved["backbone.conv1.weight"] > 1e-3
        assert (0 < moved["front.pwtp.out.bias"] < 4e-4) if config is slow else moved["front.pwtp.out.bias"] == 0


def test_separate_training_moves_the_front_alone_and_asks_for_no_label(projected: Tiny, tmp_path: Path, batch: WorldBatch) -> None:
    config = projected(objective="separate")
    start, trained = build_network(config).state_dict(), train(config, tmp_path, progress=False).module
    for name, value in trained.state_dict().items():
        assert torch.equal(value, start[name]) != name.startswith("front.") or value.dtype == torch.int64, name
    network = built(config)
    first, _ = Separate().loss(network, scaled(batch.frames), batch)
    other = WorldBatch(batch.frames, batch.labels.flip(0), batch.scenes)
    assert torch.equal(first, Separate().loss(network, scaled(batch.frames), other)[0])
    with torch.no_grad():
        assert float(trained(scaled(batch.frames)).abs().max()) == 0  # every class has the same probability


def test_training_behind_the_front_leaves_it_as_it_is(projected: Tiny, tmp_path: Path) -> None:
    config = projected(objective="behind")
    start, trained = build_network(config).state_dict(), train(config, tmp_path, progress=False).module
    for name, value in trained.state_dict().items():
        if name.startswith("front."):
            assert torch.equal(value, start[name]), name
    assert not torch.equal(trained.state_dict()["backbone.fc.weight"], start["backbone.fc.weight"])


def test_behind_has_the_loss_of_the_network_with_its_front_at_rest(projected: Tiny, batch: WorldBatch) -> None:
    config = projected(objective="behind")
    network = built(config)
    loss, _ = Behind(network).loss(network, scaled(batch.frames), batch)
    network.front.eval()
    assert float(loss.detach()) == pytest.approx(float(F.cross_entropy(network(scaled(batch.frames)), batch.labels).detach()), rel=1e-4)


def test_separate_training_lowers_enopr(projected: Tiny, tmp_path: Path) -> None:
    config = projected(objective="separate", phases=[{"clips": 160, "sides_px": [32]}], frames=2)
    held_out = scaled(render(range(8), split="test", frames=2, side_px=32).frames)

    def left(network: torch.nn.Module) -> float:
        with torch.no_grad():
            return float(enopr(network.eval().front.pwtp.separate(held_out)[1]))  # type: ignore[operator, union-attr]

    assert left(train(config, tmp_path, progress=False).module) < 0.9 * left(
        build_network(projected(objective="separate", options={**PROJECTED["options"], "initial": "random"}))
    )


# ------------------------------------------------------------------------------------------------ the same end


@pytest.mark.parametrize(("objective", "joint"), [("joint", MGDA), ("joint", SCHEDULE), ("separate", None), ("behind", None)])
def test_a_run_that_broke_off_ends_as_if_it_had_not(
    projected: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, joint: dict[str, Any] | None
) -> None:
    config = projected(objective=objective, joint=joint, phases=[{"clips": 24, "sides_px": [32]}])
    undisturbed = train(config, tmp_path / "undisturbed", progress=False)
    written, saved = loop.write_atomically, list[Path]()

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
    assert train(config, tmp_path / "broken", resume=True, progress=False).digest == undisturbed.digest


# ------------------------------------------------------------------------------------------------ what is wrong is said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "classify", "joint": MGDA}, "joint belongs to objective 'joint', the objective is 'classify'"),
        ({"joint": {"weighting": "pareto"}}, "Input should be 'mgda', 'constant' or 'schedule'"),
        ({"joint": {"scale": 2.0}}, "scale has no meaning with weighting 'mgda', but with constant and schedule"),
        ({"joint": {"weighting": "constant", "gamma": 2.0}}, "gamma has no meaning with weighting 'constant', but with schedule"),
        ({"joint": {"weighting": "constant", "scale": 0}}, "'joint.scale'"),
        ({"joint": {"weighting": "schedule", "scale": 0.001}}, "scale (0.001) must not lie below the end of the schedule, 0.01"),
    ],
)
def test_wrong_weighings_are_refused(projected: Tiny, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as told:
        projected(**{"objective": "joint", **changes})
    assert words in told.value.message


@pytest.mark.parametrize("objective", ["joint", "separate", "behind"])
def test_networks_without_a_front_and_clips_that_fill_no_segments_are_refused(
    tiny: Tiny, projected: Tiny, tmp_path: Path, objective: str
) -> None:
    with pytest.raises(SettingError, match=f"objective is '{objective}', but c2d-18 has no projection in front"):
        train(tiny(objective=objective), tmp_path / "plain", progress=False)
    with pytest.raises(SettingError, match="frames is 5, but segments of 2 frames"):
        train(projected(objective=objective, frames=5), tmp_path / "odd", progress=False)


# ------------------------------------------------------------------------------------------------ the card


def test_the_card_of_a_run_samples_runs_of_frames(projected: Tiny, tmp_path: Path) -> None:
    config = projected(objective="joint", joint=CONSTANT, phases=[{"clips": 4, "sides_px": [32]}])
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    card = finish(train(config, tmp_path / "run", progress=False), tmp_path / "config.toml", tmp_path / "out", test_clips=0)
    assert (card["sampling"]["segments"], card["sampling"]["frames_per_segment"]) == (2, 2)
    assert card["training"]["config"]["joint"] == {
        "weighting": "constant", "scale": 10.0, "gamma": 1.0, "normalized": False, "follow": False
    }  # fmt: skip
    assert load_network(tmp_path / "out").sampling.total_frames == 4
    again = TrainingConfig.parse(**card["training"]["config"])
    assert again == config
