"""Fitting to one clip: what is reached, that it is the same every time, and that it can be stopped."""

from __future__ import annotations

import threading

import pytest
import torch

from vizkit.digest import digest_tensors
from vizkit.errors import SettingError
from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr

STEPS = 40


@pytest.fixture(scope="module")
def segments() -> torch.Tensor:
    """Three segments of four frames, 32 x 32 px: a bright square moves right over a still random background."""
    generator = torch.Generator().manual_seed(0)
    clip = 0.5 * torch.randn(3, 3, 1, 32, 32, generator=generator).repeat(1, 1, 4, 1, 1)
    for t in range(4):
        clip[:, :, t, 10:20, 4 + 4 * t : 14 + 4 * t] = 2.0
    return clip


def energy(module: PWTP, segments: torch.Tensor) -> float:
    with torch.no_grad():
        return float(enopr(module.separate(segments)[1]))


def test_a_fitted_module_explains_more_than_the_temporal_mean_and_the_rest_moves(segments: torch.Tensor) -> None:
    told: list[tuple[int, float]] = []

    def keep(step: int, value: float) -> bool:
        told.append((step, value))
        return True

    module = fit_to_clip(segments, steps=STEPS, on_step=keep)
    assert [step for step, _ in told] == list(range(1, STEPS + 1))
    assert energy(module, segments) < energy(fit_to_clip(segments, steps=0), segments)
    assert energy(module, segments) < float(enopr(segments - segments.mean(2, keepdim=True)))
    assert energy(module, segments) == pytest.approx(told[-1][1], rel=0.05)  # in eval mode too
    assert not module.training
    with torch.no_grad():
        dynamic = module(segments).abs().mean(1)
    assert float(dynamic[:, 10:20, 4:26].mean()) > 3 * float(dynamic[:, 24:].mean())


def test_the_same_seed_gives_the_same_module_and_global_draws_are_left_alone(segments: torch.Tensor) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = digest_tensors(fit_to_clip(segments, steps=3, seed=1).state_dict())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    torch.rand(3)
    assert digest_tensors(fit_to_clip(segments, steps=3, seed=1).state_dict()) == first
    assert digest_tensors(fit_to_clip(segments, steps=3, seed=2).state_dict()) != first


def test_other_threads_do_not_change_the_result(segments: torch.Tensor) -> None:
    alone = digest_tensors(fit_to_clip(segments, steps=4).state_dict())
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            torch.rand(100)

    found: list[str] = []
    jobs = [threading.Thread(target=draw)]
    jobs += [threading.Thread(target=lambda: found.append(digest_tensors(fit_to_clip(segments, steps=4).state_dict()))) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs[1:]:
        job.join()
    done.set()
    jobs[0].join()
    assert found == [alone, alone]


def test_false_stops_and_keeps_what_was_reached(segments: torch.Tensor) -> None:
    told: list[int] = []

    def stop(step: int, _: float) -> bool:
        told.append(step)
        return step < 3

    stopped = fit_to_clip(segments, steps=STEPS, on_step=stop)
    assert told == [1, 2, 3]
    assert digest_tensors(stopped.state_dict()) == digest_tensors(fit_to_clip(segments, steps=3).state_dict())


def test_the_start_is_torchs_with_cosines(segments: torch.Tensor) -> None:
    start, built = fit_to_clip(segments, steps=0, rank=2), PWTP(4, 2, initial="dct")
    assert torch.equal(start.out.bias, built.out.bias)  # type: ignore[arg-type]
    for (name, ours), theirs in zip(start.state_dict().items(), built.state_dict().values(), strict=True):
        if ours.dim() == 4:  # uniform within the same bound
            assert float(ours.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.2), name
            assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.2), name


def test_it_fits_without_gradients_switched_on_and_leaves_the_clip_alone(segments: torch.Tensor) -> None:
    before = segments.clone()
    with torch.no_grad():
        quiet = fit_to_clip(segments, steps=2)
    assert digest_tensors(quiet.state_dict()) == digest_tensors(fit_to_clip(segments, steps=2).state_dict())
    assert torch.equal(segments, before)


@pytest.mark.parametrize(
    "clip", [torch.zeros(1, 3, 4, 16, 16), torch.ones(2, 1, 2, 5, 5), torch.full((1, 3, 3, 7, 7), -2.0)], ids=["black", "one cell", "flat"]
)
def test_constant_and_tiny_clips_stay_finite(clip: torch.Tensor) -> None:
    module = fit_to_clip(clip, steps=4)
    assert all(bool(value.isfinite().all()) for value in module.state_dict().values())
    assert bool(module(clip).isfinite().all())


@pytest.mark.parametrize(
    ("shape", "settings", "words"),
    [
        ((3, 4, 32, 32), {}, r"segments has shape \(3, 4, 32, 32\)"),
        ((0, 3, 4, 32, 32), {}, "at least one segment"),
        ((1, 3, 4, 32, 32), {"steps": -1}, "steps is -1"),
        ((1, 3, 4, 32, 32), {"rank": 5}, "rank is 5"),
        ((1, 3, 1, 32, 32), {}, "frames is 1, at least 2"),
    ],
)
def test_what_cannot_be_fitted_is_refused(shape: tuple[int, ...], settings: dict[str, int], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        fit_to_clip(torch.zeros(shape), **settings)  # type: ignore[arg-type]
