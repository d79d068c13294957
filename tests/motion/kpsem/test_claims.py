"""KPSEM's claims: the toy's scenes and its bar, costs, matches across regions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vizkit.contracts import ClaimSettings, Measured
from vizkit.motion.kpsem import claims
from vizkit.motion.kpsem.claims import (
    DEAF,
    DOT_HEIGHTS,
    ERROR,
    LEARNING,
    MOVED,
    STILL,
    VARIANTS,
    WEIGHT,
    CentreSettings,
    CentreToy,
    MatchingSettings,
    check_centre,
    check_cost,
    check_matching,
    hidden_dots,
    judge_centre,
    judge_cost,
    judge_matching,
    jumping_dots,
)
from vizkit.motion.kpsem.module import geometric_centre, key_points, shifts


def silent(_: str) -> None:
    pass


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------ centre


def places(scene: torch.Tensor, height: float) -> torch.Tensor:
    """(x, y) of the cells of one height in maps [T, 14, 14]."""
    return (scene == height).nonzero()[:, [2, 1]]


def test_the_moving_dot_moves_as_its_label_says_and_hides_in_one_quadrant() -> None:
    clips, labels = hidden_dots(64, drawn())
    assert clips.shape == (64, 4, 4, 14, 14)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    for scene, label in zip(clips[:, 0], labels.tolist(), strict=True):
        moving = places(scene, 0.8)
        step = {0: [1, 0], 1: [-1, 0], 2: [0, 1], 3: [0, -1]}[label]
        assert (moving[1:] - moving[:-1]).tolist() == [step] * 3
        assert bool((scene[:, 6:, :6] < 0.55).all())
        assert bool((moving <= 5).all())
        assert places(scene, 1.0).tolist() == [[1, 1]] * 4
    assert float(clips.max()) == 1


def test_with_equal_regions_nothing_moves_and_between_the_dots_it_does() -> None:
    clips, labels = hidden_dots(32, drawn())
    equal = geometric_centre(14, 14).expand(32, 4, 2)
    points, _ = key_points(clips, equal)
    assert torch.equal(points, points[:, :1].expand_as(points))
    between, _ = shifts(*key_points(clips, torch.full((32, 4, 2), 1.5)))
    rightwards, downwards = (between[labels == label][:, :, 3, 0] for label in (0, 2))
    assert torch.allclose(rightwards, torch.tensor([1.0, 0.0]).expand_as(rightwards), atol=0.05)
    assert torch.allclose(downwards, torch.tensor([0.0, 1.0]).expand_as(downwards), atol=0.05)


def test_clips_and_weights_come_from_the_seed() -> None:
    assert all(torch.equal(*pair) for pair in zip(hidden_dots(5, drawn(1)), hidden_dots(5, drawn(1)), strict=True))
    assert not torch.equal(hidden_dots(5, drawn(1))[0], hidden_dots(5, drawn(2))[0])
    for settings in VARIANTS.values():
        assert CentreToy(**settings)(hidden_dots(3, drawn())[0]).shape == (3, 4)


def centre_numbers(learning: list[float], deaf: list[float]) -> tuple[Measured, ...]:
    told = [(LEARNING, learning), (DEAF, deaf), ("fixed regions", [0.9] * len(deaf))]
    return tuple(Measured(name, seed, value) for name, values in told for seed, value in enumerate(values))


def test_the_bar_of_the_centre() -> None:
    assert judge_centre(centre_numbers([0.95, 0.2, 0.9], [0.2, 0.4, 0.3])).reproduced
    assert not judge_centre(centre_numbers([0.95, 0.2, 0.8], [0.2, 0.3, 0.3])).reproduced
    told = judge_centre(centre_numbers([0.95, 0.95, 0.95], [0.2, 0.41, 0.3]))
    assert not told.reproduced
    assert told.reason == "With the straight-through gradient 3 of 3 seeds reach 90%; without, the best has 41.0%, more than 40%."
    assert judge_centre(centre_numbers([0.95], [0.2])).reproduced
    assert not judge_centre(centre_numbers([0.95, 0.5], [0.2, 0.2])).reproduced


def test_every_variant_is_trained_with_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "STEPS", 2)
    monkeypatch.setattr(claims, "VALIDATION_CLIPS", 20)
    verdict = check_centre(CentreSettings(seeds=2), silent)
    assert [(entry.network, entry.seed) for entry in verdict.ours] == [(name, seed) for seed in (0, 1) for name in VARIANTS]
    assert not verdict.reproduced


@pytest.mark.slow
def test_the_centre_learns_with_the_gradient_and_not_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "VARIANTS", {name: VARIANTS[name] for name in (LEARNING, DEAF)})
    assert check_centre(CentreSettings(seeds=1), silent).reproduced


# ------------------------------------------------------------------------------------------------ cost


def test_the_papers_costs_are_met() -> None:
    lines: list[str] = []
    verdict = check_cost(ClaimSettings(), lines.append)
    assert verdict.reproduced
    found = {entry.network: entry.value for entry in verdict.ours}
    assert found["mf-kpsem, parameters off the published ones"] == pytest.approx(8.112512 / 8.11 - 1)
    assert found["mf-kpsem, multiply-adds off the published ones"] == pytest.approx(11.19026 / 11.21 - 1, abs=1e-5)
    assert found["mf-kpsem, parameters of the module over those of mfnet"] == pytest.approx(116_144 / 7_996_368)
    assert (found["halved"], found["halved again"], found["vector"]) == (12, 6, 672)
    assert "mfnet: 7.996 parameters, published 8" in lines


def costs(off: float = 0.001, more: tuple[float, float] = (0.014, 0.001), sizes: tuple[int, ...] = (12, 6, 672)) -> tuple:
    return (
        (Measured("mfnet", 0, 0.0), Measured("mf-kpsem", 0, off)),
        tuple(Measured("more", 0, value) for value in more),
        tuple(Measured("size", 0, value) for value in sizes),
    )


def test_the_bars_of_the_costs() -> None:
    assert judge_cost(*costs()).reproduced
    assert not judge_cost(*costs(off=-0.006)).reproduced
    assert not judge_cost(*costs(more=(0.016, 0.001))).reproduced
    assert not judge_cost(*costs(more=(0.01, 0.011))).reproduced
    told = judge_cost(*costs(sizes=(11, 5, 672)))
    assert not told.reproduced
    assert "not the paper's" in told.reason


# ------------------------------------------------------------------------------------------------ matching


def test_dots_jump_to_the_regions_that_are_told() -> None:
    clip, place, region = jumping_dots(drawn())
    assert (region.sort(-1).values == torch.arange(4)).all()
    for number, height in enumerate(DOT_HEIGHTS):
        at = (clip[0] == height).nonzero()
        assert torch.equal(at[:, [3, 2]].view(*place.shape[:2], 2), place[:, :, number])
    assert torch.equal(2 * (place[..., 1] > 6.5) + 1 * (place[..., 0] > 6.5), region)
    assert bool(((place >= 1) & (place <= 12)).all())


def test_shifts_follow_dots_across_regions() -> None:
    verdict = check_matching(MatchingSettings(seeds=2), silent)
    assert verdict.reproduced
    found = {(entry.network, entry.seed): entry.value for entry in verdict.ours}
    assert 0.6 < found["share of steps over a border", 0] < 0.9
    assert found["mean shift of still noise, cells", 1] > 1


WRONG: dict[str, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "backwards": lambda points, value: (-shifts(points, value)[0], shifts(points, value)[1]),
    "axes swapped": lambda points, value: (shifts(points, value)[0].flip(-1), shifts(points, value)[1]),
    "regions matched to themselves": lambda points, value: (
        points[:, 1:] - points[:, :-1],
        torch.eye(4)[None, None, :, :, None].expand(*value[:, 1:].shape[:2], 4, 4, value.shape[3]),
    ),
    "match transposed": lambda points, value: (shifts(points, value)[0], shifts(points, value)[1].transpose(2, 3)),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_shifts_are_noticed(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(claims, "shifts", WRONG[case])
    assert not check_matching(MatchingSettings(seeds=1), silent).reproduced


def test_the_bars_of_matching() -> None:
    good = {WEIGHT: 0.991, ERROR: 0.09, STILL: 0.09, MOVED: 0.0}
    for changed, held in (({}, True), ({WEIGHT: 0.98}, False), ({ERROR: 0.2}, False), ({STILL: 0.2}, False), ({MOVED: 0.1}, False)):
        numbers = tuple(Measured(name, 0, value) for name, value in {**good, **changed}.items())
        assert judge_matching(numbers).reproduced == held
