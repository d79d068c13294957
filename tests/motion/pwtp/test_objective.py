"""ENoPR, the closed form of two tasks, and the falling scale, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vizkit.errors import SettingError
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr, joint_backward, mgda_weight, scale_at

# ------------------------------------------------------------------------------------------------ ENoPR


def test_enopr_is_the_mean_over_clips_of_the_norm_of_a_whole_clip() -> None:
    residual = torch.zeros(2, 3, 4, 2, 2, dtype=torch.float64)  # 48 values a clip
    residual[0, 0, 0, 0, 0], residual[0, 2, 3, 1, 1] = 3, -4  # norm 5
    residual[1] = 2  # norm 2 sqrt(48)
    assert float(enopr(residual, "norm")) == pytest.approx((5 + 2 * math.sqrt(48)) / 2, rel=1e-9)
    assert float(enopr(residual)) == pytest.approx((5 / math.sqrt(48) + 2) / 2, rel=1e-9)


def test_the_norm_of_the_worked_example() -> None:
    """x = sin(0.5 m), less its mean over time: |R| by a loop."""
    x = torch.sin(0.5 * torch.arange(192, dtype=torch.float64)).view(1, 3, 4, 4, 4)
    residual = x - x.mean(2, keepdim=True)
    total = 0.0
    for value in residual.flatten().tolist():
        total += value**2
    assert float(enopr(residual, "norm")) == pytest.approx(math.sqrt(total), rel=1e-9)
    assert float(enopr(residual, "rms")) == pytest.approx(math.sqrt(total / 192), rel=1e-9)


@pytest.mark.parametrize("kind", ["rms", "norm"])
def test_a_clip_without_residual_has_a_gradient(kind: str) -> None:
    black = torch.zeros(2, 3, 4, 9, 9)
    module = PWTP(frames=4)
    loss = enopr(module.separate(black)[1], kind)  # type: ignore[arg-type]
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
    assert all(bool(parameter.grad.isfinite().all()) for parameter in module.parameters() if parameter.grad is not None)


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(SettingError, match="norm, rms"):
        enopr(torch.zeros(1, 3, 2, 2, 2), "squared")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ MGDA


@pytest.mark.parametrize(
    ("task", "rest", "weight"),
    [
        ((1, 0), (0, 1), 0.5),
        ((2, 0), (0, 1), 0.8),
        ((1, 0), (2, 0), 0.0),
        ((3, 0), (1, 0), 1.0),
        ((1, 2), (1, 2), 0.5),
        ((0, 0), (0, 0), 0.5),
    ],
)
def test_the_closed_form(task: tuple[float, float], rest: tuple[float, float], weight: float) -> None:
    found = mgda_weight(torch.tensor(task, dtype=torch.float64), torch.tensor(rest, dtype=torch.float64))
    assert float(found) == pytest.approx(weight, abs=1e-12)


def test_no_other_weight_gives_a_shorter_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        task, rest = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        weight = float(mgda_weight(task, rest))
        length = float(((1 - weight) * task + weight * rest).norm())
        others = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
        assert length <= float(((1 - others) * task + others * rest).norm(dim=1).min()) + 1e-12


def test_gradients_of_several_parameters_are_one_vector() -> None:
    generator = torch.Generator().manual_seed(1)
    task, rest = ([torch.randn(shape, generator=generator) for shape in ((2, 3), (4,), ())] for _ in range(2))
    flat = [torch.cat([part.reshape(-1) for part in parts]) for parts in (task, rest)]
    assert float(mgda_weight(task, rest)) == pytest.approx(float(mgda_weight(*flat)))
    with pytest.raises(SettingError, match="grad_task has 11 numbers and grad_enopr 10"):
        mgda_weight(task, rest[:2])


# ------------------------------------------------------------------------------------------------ the scale


@pytest.mark.parametrize(
    ("settings", "weight", "gradient"),
    [
        ({}, 0.9, (0.3, 0.9)),  # the shortest of (1 - w) (3, 0) + w (0, 1)
        ({"normalized": True}, 0.5, (0.5, 0.5)),
        ({"scale": 2.0}, 2.0, (3.0, 2.0)),
        ({"scale": 2.0, "normalized": True}, 2.0, (1.0, 2.0)),
    ],
)
def test_a_step_weighs_both_gradients_in_the_projection_alone(
    settings: dict[str, Any], weight: float, gradient: tuple[float, float]
) -> None:
    shared, own = (torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2))
    task, rest = 3 * shared[0] + 5 * own[1], shared[1]
    assert joint_backward(task, rest, shared=[shared], own=[own], **settings) == pytest.approx(weight)
    assert shared.grad is not None
    assert own.grad is not None
    assert shared.grad.tolist() == pytest.approx(gradient)
    assert own.grad.tolist() == [0, 5]


def test_a_gradient_of_zero_stays_zero_when_lengths_are_made_one() -> None:
    shared = torch.nn.Parameter(torch.zeros(2))
    joint_backward(0 * shared.sum(), shared[1], shared=[shared], own=[], scale=1.0, normalized=True)
    assert shared.grad is not None
    assert shared.grad.tolist() == [0, 1]


def test_the_scale_falls_like_a_cosine() -> None:
    assert scale_at(0, 10, largest=5, gamma=1) == pytest.approx(5)
    assert scale_at(5, 10, largest=5, gamma=1, smallest=1) == pytest.approx(3)
    assert scale_at(10, 10, largest=5, gamma=1) == pytest.approx(0.01)
    assert scale_at(10, 10, largest=5, gamma=3) == pytest.approx(0.01)
    assert scale_at(5, 10, largest=5, gamma=2, smallest=0) == pytest.approx(2.5 * (1 + math.cos(math.pi / 4)))
    for gamma in (0.5, 1, 2):
        scales = [scale_at(step, 20, largest=5, gamma=gamma) for step in range(21)]
        assert scales == sorted(scales, reverse=True)
    assert scale_at(5, 10, largest=5, gamma=2) > scale_at(5, 10, largest=5, gamma=1) > scale_at(5, 10, largest=5, gamma=0.5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"step": 11}, "step is 11 of 10"),
        ({"step": -1}, "step is -1"),
        ({"gamma": 0}, "gamma is 0"),
        ({"largest": 0.001}, "largest is 0.001"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        scale_at(**{"step": 1, "steps": 10, "largest": 5, "gamma": 1, **wrong})  # type: ignore[arg-type]
