"""PWTP's claims: what they count and make, and that their verdicts can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vizkit.contracts import ClaimSettings, Measured
from vizkit.errors import SettingError
from vizkit.motion.pwtp import claims, toy
from vizkit.motion.pwtp.claims import (
    ALONE,
    BOUND,
    CONSTANTS,
    COSTS,
    DYNAMIC,
    GRID,
    IMAGE,
    MEAN,
    MGDA,
    POOLED,
    RGB,
    JointSettings,
    Learner,
    check_cost,
    contrast,
    judge_contrast,
    judge_cost,
    judge_enopr,
    judge_joint,
    published_mmacs,
    residual_of,
    svd_bound,
    train_alone,
)
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr
from vizkit.motion.pwtp.toy import MovingShapes, moving_shapes


def silent(_: str) -> None:
    pass


# ------------------------------------------------------------------------------------------------ cost

PARAMS = {"config 1": 16644, "config 2": 7383, "config 3": 7866, "config 4": 23280, "config 5": 35544, "config 6": 10008, "config 7": 9686}
MMACS = {
    "config 1": 45.10,
    "config 2": 37.98,
    "config 3": 38.33,
    "config 4": 50.19,
    "config 5": 59.85,
    "config 6": 40.00,
    "config 7": 39.74,
}


def test_the_cost_table() -> None:
    found = check_cost(ClaimSettings(), silent)
    counted = {entry.network: entry.value for entry in found.ours}
    assert {name: counted[f"{name}, parameters"] for name in PARAMS} == PARAMS
    assert counted["T = 6, parameters"] == 7100
    assert {name: round(counted[f"{name}, 1e6 multiply-adds"], 2) for name in MMACS} == MMACS
    assert found.reproduced
    assert "16,644 where 16.9 k" in found.reason


def test_multiply_adds_of_the_default_by_hand() -> None:
    """28 x 28 cells: convolution, three linear layers and the out layer, 2 per normed element, half of 28 x 24 products."""
    cells = 28 * 28
    per_cell = 8 * 24 * 3 * 81 + 28 * 56 + 56 * 14 + 14 * 56 + 56 * 8 + 2 * 56 + 28 * 24 / 2
    module = PWTP()
    assert published_mmacs(module) == pytest.approx(cells * per_cell / 1e6, rel=1e-9)
    assert not module.conv.weight.is_meta


@pytest.mark.parametrize(
    ("row", "value", "right"),
    [
        ("config 7, parameters", 9_751, False), ("config 7, parameters", 9_686, True), ("config 7, 1e6 multiply-adds", 39.76, False),
        ("config 1, parameters", 1, True), ("T = 6, parameters", 1, True),
    ],
)  # fmt: skip
def test_the_cost_verdict(row: str, value: float, right: bool) -> None:
    counted = {entry.network: entry for entry in check_cost(ClaimSettings(), silent).ours}
    counted[row] = Measured(row, 0, value)
    assert judge_cost(tuple(counted.values())).reproduced is right


# ------------------------------------------------------------------------------------------------ clips


@pytest.fixture(scope="module")
def still() -> MovingShapes:
    return moving_shapes(6, np.random.default_rng(3), shake=0, frames=6)


def test_a_thing_moves_over_a_still_background(still: MovingShapes) -> None:
    assert still.clips.shape == (6, 3, 6, 64, 64)
    spread = still.clips.std(2).mean(1)
    for part, inside in zip(spread, still.covered, strict=True):
        assert float(part[~inside].max()) < 6 * toy.NOISE / toy.STD
        assert float(part[inside].mean()) > 0.2
        rows, columns = np.nonzero(inside.numpy())
        assert max(np.ptp(rows), np.ptp(columns)) >= 15 + 0.7 * 5 * toy.SPEEDS_PX[0] - 2  # a side, and the longer leg of the way
        assert max(np.ptp(rows), np.ptp(columns)) <= 15 + 5 * toy.SPEEDS_PX[1] + 2


def test_the_thing_keeps_its_texture(still: MovingShapes) -> None:
    """Somewhere within reach of the next frame the thing of the first frame is found again, but for noise."""
    clip = still.clips[0]
    first, second = still.clips[0, :, 0], still.clips[0, :, 1]
    changed = ((first - second).abs().amax(0) > 0.3).numpy()
    y, x = (int(np.median(axis)) for axis in np.nonzero(changed))
    errors = {}
    for dy in range(-4, 5):
        for dx in range(-4, 5):
            window = clip[:, 1, y - 3 + dy : y + 4 + dy, x - 3 + dx : x + 4 + dx]
            errors[dx, dy] = float((window - first[:, y - 3 : y + 4, x - 3 : x + 4]).abs().mean())
    best = min(errors, key=lambda step: errors[step])
    assert best != (0, 0)
    assert errors[best] < 4 * toy.NOISE / toy.STD


def test_shake_moves_frames_by_whole_pixels() -> None:
    shaken = moving_shapes(4, np.random.default_rng(3), shake=1)
    for clip, covered in zip(shaken.clips, shaken.covered, strict=True):
        outside = ~torch.nn.functional.max_pool2d(covered[None].float(), 5, 1, 2)[0].bool()[2:-2, 2:-2]
        for t in range(1, 8):
            moved = [clip[:, t, 2 + y : 62 + y, 2 + x : 62 + x] for y in range(-2, 3) for x in range(-2, 3)]
            errors = [float((part - clip[:, 0, 2:-2, 2:-2])[:, outside].abs().mean()) for part in moved]
            assert min(errors) < 3 * toy.NOISE / toy.STD


def test_camouflaged_shapes_have_one_size_and_one_texture() -> None:
    shapes = moving_shapes(40, np.random.default_rng(0), shake=0, frames=2, side_px=48, camouflaged=True)
    assert np.bincount(shapes.labels).tolist() == [10, 10, 10, 10]
    areas = {name: int(toy._mask(parts, np.array([24, 24]), 48).sum()) for name, parts in toy.SHAPES_WH.items()}
    assert max(areas.values()) / min(areas.values()) < 1.15
    first = shapes.clips[:, :, 0]
    rows = shapes.covered[:, None].expand_as(first)
    assert float(first[rows].std()) == pytest.approx(float(first[~rows].std()), rel=0.05)
    plus = moving_shapes(1, np.random.default_rng(0), shake=0, side_px=48, camouflaged=True)
    assert plus.clips.shape == (1, 3, 8, 48, 48)


def test_the_same_draws_give_the_same_clips() -> None:
    first, second = (moving_shapes(2, np.random.default_rng(5), shake=1, frames=3, side_px=48) for _ in range(2))
    assert torch.equal(first.clips, second.clips)


# ------------------------------------------------------------------------------------------------ ENoPR


def test_the_bound_is_what_the_best_subspaces_leave() -> None:
    clips = torch.randn(2, 3, 4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = []
    for clip in clips:
        left = 0.0
        for y in range(3):
            for x in range(3):
                left += float(torch.linalg.eigvalsh(clip[:, :, y, x] @ clip[:, :, y, x].T).clamp_min(0)[:-1].sum())
        expected.append((left / clip.numel()) ** 0.5)
    assert svd_bound(clips, 1) == pytest.approx(np.mean(expected), rel=1e-6)
    assert svd_bound(clips, 3) == pytest.approx(0, abs=1e-6)


def test_training_on_enopr_lowers_it_the_same_way_every_time(still: MovingShapes) -> None:
    clips = still.clips.repeat(2, 1, 1, 1, 1)
    untrained, first = train_alone(clips, steps=0, seed=0), train_alone(clips, steps=12, seed=0)
    torch.rand(4)
    again = train_alone(clips, steps=12, seed=0)
    assert torch.equal(first.out.weight, again.out.weight)
    assert not first.training
    assert float(enopr(residual_of(first, clips))) < 0.9 * float(enopr(residual_of(untrained, clips)))
    with pytest.raises(ValueError, match="6 clips, at least 8"):
        train_alone(still.clips, steps=2, seed=0)


def values_of(**changes: float) -> tuple[Measured, ...]:
    """Numbers that keep every order."""
    rms = {(4, 1): 0.21, (4, 2): 0.16, (8, 1): 0.24, (8, 2): 0.21, (8, 3): 0.18, (16, 1): 0.25}
    found = {}
    for frames, rank in GRID:
        name = f"T = {frames}, D = {rank}"
        found |= {name: rms[frames, rank], f"{name}{MEAN}": 0.3, f"{name}{BOUND}": 0.1}
    return tuple(Measured(name, 0, value) for name, value in {**found, **changes}.items())


def test_the_enopr_verdict() -> None:
    assert judge_enopr(values_of()).reproduced
    for wrong in ({"T = 4, D = 2": 0.22}, {"T = 8, D = 3": 0.215}, {"T = 16, D = 1": 0.23}, {"T = 8, D = 1": 0.31}, {"T = 8, D = 3": 0.09}):
        assert not judge_enopr(values_of(**wrong)).reproduced, wrong
    printed = judge_enopr(values_of(**{f"T = 4, D = 1{MEAN}": 0.2}))
    assert printed.reproduced  # at T = 8 alone it decides
    assert "0.2100 against 0.2000" in printed.reason
    assert not judge_enopr(
        (*values_of(), *(Measured(entry.network, 1, entry.value) for entry in values_of(**{"T = 4, D = 2": 0.22})))
    ).reproduced


# ------------------------------------------------------------------------------------------------ contrast


def test_contrast_is_inside_over_outside_of_the_median_clip() -> None:
    pictures, covered = torch.ones(3, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.bool)
    covered[:, 1:3, 1:3] = True
    for row, factor in enumerate((2, -5, 100)):
        pictures[row][:, covered[row]] *= factor
    assert contrast(pictures, covered) == pytest.approx(5)


def test_the_contrast_verdict() -> None:
    def judged(*ratios: float) -> bool:
        ours = [Measured(f"{IMAGE}, shake {shake} px", 0, 3.0) for shake in (0, 1)]
        ours += [Measured(f"{DYNAMIC}, shake {shake} px", 0, 3 * ratio) for shake, ratio in enumerate(ratios)]
        return judge_contrast(tuple(ours)).reproduced

    assert judged(5, 2)
    assert not judged(5, 1.9)
    assert not judged(1.9, 5)


# ------------------------------------------------------------------------------------------------ joint training


@pytest.mark.parametrize("name", [RGB, ALONE, MGDA, POOLED, *CONSTANTS])
def test_every_learner_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "JOINT_STEPS", 3)
    monkeypatch.setattr(claims, "TRAINING_CLIPS", 16)
    data = moving_shapes(16, np.random.default_rng(0), shake=1, side_px=48, camouflaged=True)
    told: list[str] = []
    learner, untouched = Learner(name, 0), Learner(name, 0)
    learner.train(data, told.append)
    assert 0 <= learner.accuracy(data) <= 1
    assert not learner.classifier.training
    assert not torch.equal(learner.classifier[1].weight, untouched.classifier[1].weight)
    assert bool(told) == (name == MGDA)
    if learner.projection is not None and untouched.projection is not None:
        assert not torch.equal(learner.projection.out.weight, untouched.projection.out.weight)


def test_pictures_are_what_their_names_say() -> None:
    clips = moving_shapes(2, np.random.default_rng(0), shake=1, side_px=48, camouflaged=True).clips
    assert torch.equal(Learner(RGB, 0).picture(clips)[0], clips[:, :, 4])
    picture, residual = Learner(MGDA, 0).picture(clips)
    assert residual is not None
    assert torch.allclose(picture, residual.mean(2))
    assert float(enopr(residual.detach())) > 0
    projection = Learner(MGDA, 0).projection
    assert projection is not None
    with torch.no_grad():
        assert torch.allclose(residual_of(projection.eval(), clips), projection.separate(clips)[1])


def shares(mgda: float, rgb: float, alone: float, seeds: int = 3, *, failing: int = 0) -> tuple[Measured, ...]:
    found = [Measured(name, 0, 0.8) for name in (*CONSTANTS, POOLED)]
    for seed in range(seeds):
        values = (0.3, 0.3, 0.3) if seed < failing else (mgda, rgb, alone)
        found += [Measured(name, seed, value) for name, value in zip((MGDA, RGB, ALONE), values, strict=True)]
    return tuple(found)


def test_the_joint_verdict() -> None:
    assert judge_joint(shares(0.6, 0.3, 0.35)).reproduced
    assert judge_joint(shares(0.6, 0.3, 0.35, failing=1)).reproduced
    assert not judge_joint(shares(0.6, 0.3, 0.35, failing=2)).reproduced
    assert not judge_joint(shares(0.54, 0.3, 0.35)).reproduced
    assert not judge_joint(shares(0.6, 0.45, 0.35)).reproduced
    assert not judge_joint(shares(0.6, 0.3, 0.45)).reproduced
    reason = judge_joint(shares(0.6, 0.3, 0.35)).reason
    assert "MGDA is not above the best constant scale (80%)" in reason
    assert "DA is not above the dynamic image (80%)" in reason
    with pytest.raises(SettingError, match="seeds"):
        JointSettings.parse(seeds=2)


def test_every_row_of_the_table_is_known() -> None:
    assert set(COSTS) == {*PARAMS, "T = 6"}
