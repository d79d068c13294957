"""Grad-CAM's measures on maps and networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import vizkit
from vizkit.contracts import AttentionVolume, Grid, Sampling, Stage
from vizkit.motion.gradcam.curves import blur, curve_areas, hold
from vizkit.motion.gradcam.score import actor_mask, energy_in_actor, rank_correlation, score, shuffle_weights
from vizkit.net.network import Network
from vizkit.world import LABELS, WorldClip, clip

GRID = Grid("only", 3.5, 8.0, 1, (4, 4, 4))


def volume(values: np.ndarray, grid: Grid = GRID) -> AttentionVolume:
    values = values.astype(np.float32)
    return AttentionVolume(values, values, 0, "a", grid.stage, "gradcam", grid)


@pytest.fixture(scope="module")
def world() -> WorldClip:
    return clip(0, frames=4, side_px=32, nuisances=False)


# ------------------------------------------------------------------------------------------------ energy


def test_energy_of_flat_and_of_perfect_maps(world: WorldClip) -> None:
    mask, frames = actor_mask(world.truth), vizkit.sample(world.clip, Sampling(segments=4, short_side_px=32, crop_px=32))
    assert 0.02 < mask.mean() < 0.5
    flat = energy_in_actor(volume(np.ones(GRID.shape)), frames, world.truth)
    assert flat["energy_in_actor"] == pytest.approx(mask.mean()) == flat["energy_in_actor_uniform"]
    pixels = Grid("only", 0.0, 1.0, 1, mask.shape)  # type: ignore[arg-type]
    assert energy_in_actor(volume(mask, pixels), frames, world.truth)["energy_in_actor"] == pytest.approx(1)
    assert energy_in_actor(volume(~mask, pixels), frames, world.truth)["energy_in_actor"] == pytest.approx(0)
    assert energy_in_actor(volume(mask.transpose(0, 2, 1), pixels), frames, world.truth)["energy_in_actor"] < 0.9
    assert energy_in_actor(volume(mask[::-1], pixels), frames, world.truth)["energy_in_actor"] < 0.95


def test_a_step_stands_for_its_frames(world: WorldClip) -> None:
    mask, frames = actor_mask(world.truth), vizkit.sample(world.clip, Sampling(segments=4, short_side_px=32, crop_px=32))
    pairs = Grid("only", 0.0, 1.0, 2, (2, 32, 32))
    found = energy_in_actor(volume(mask[::2], pairs), frames, world.truth)["energy_in_actor"]
    assert found == pytest.approx((mask[[0, 0, 2, 2]] & mask).sum() / mask[[0, 0, 2, 2]].sum())


def test_nothing_is_measured_where_nothing_moves_or_the_map_is_zero(world: WorldClip) -> None:
    frames = vizkit.sample(world.clip, Sampling(segments=4, short_side_px=32, crop_px=32))
    assert energy_in_actor(volume(np.zeros(GRID.shape)), frames, world.truth) == {}
    still = clip(15, frames=4, side_px=32, nuisances=False)
    assert not actor_mask(still.truth).any()
    assert energy_in_actor(volume(np.ones(GRID.shape)), frames, still.truth) == {}


# ------------------------------------------------------------------------------------------------ curves


class Reads(nn.Module):
    """Two labels; the first one's logit is the contrast of one patch of one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(40.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x[:, :, 2, 8:16, 16:24].std((1, 2, 3)) * self.gain
        return torch.stack([seen - 4, torch.zeros_like(seen)], 1)


@pytest.fixture
def reader() -> Network:
    stages = (Stage("only", "", 1, 8.0, 1, 3.5),)
    sampling = Sampling(segments=4, frames=4, short_side_px=32, crop_px=32)
    return Network("reader", "reader", Reads(), stages, (), ("a", "b"), sampling, (0.0,) * 3, (1.0,) * 3, "own")


def test_the_right_order_finds_what_is_needed_at_once(reader: Network) -> None:
    frames = torch.rand(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    right, wrong = np.zeros(GRID.shape), np.zeros(GRID.shape)
    right[2, 1, 2] = 1
    wrong[2, 1, 2] = -1
    best, worst = (curve_areas(reader, frames, values, 0, GRID) for values in (right, wrong))
    assert best["insertion"] > 0.85
    assert best["deletion"] < 0.15
    assert worst["insertion"] < 0.15
    assert worst["deletion"] > 0.85
    transposed = curve_areas(reader, frames, right.transpose(0, 2, 1), 0, GRID)
    assert transposed["insertion"] < best["insertion"]


def test_frames_are_taken_in_the_order_of_what_they_hold(reader: Network) -> None:
    """Only frame 2 has contrast: it counts while it is there, or while it is what the missing ones show."""
    frames = torch.full((1, 3, 4, 32, 32), 0.5)
    frames[:, :, 2] = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    right, wrong = np.zeros(GRID.shape), np.ones(GRID.shape)
    right[2], wrong[2] = 1, 0
    best, worst = (curve_areas(reader, frames, values, 0, GRID) for values in (right, wrong))
    assert best["insertion_time"] > 0.95
    assert best["deletion_time"] == pytest.approx(1 / 6, abs=0.05)
    assert worst["insertion_time"] == pytest.approx(1 / 6, abs=0.05)
    assert worst["deletion_time"] > 0.95


def test_missing_frames_show_the_nearest_one() -> None:
    frames = torch.arange(6.0).view(1, 1, 6, 1, 1)
    assert hold(frames, np.array([4, 1])).flatten().tolist() == [1, 1, 1, 4, 4, 4]
    assert hold(frames, np.array([1, 3])).flatten().tolist() == [1, 1, 1, 3, 3, 3]


def test_blur_keeps_the_mean_and_the_frames_apart() -> None:
    frames = torch.rand(1, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    frames[:, :, 1] += 1
    soft = blur(frames)
    assert soft.shape == frames.shape
    assert float(soft[:, :, 0].std()) < 0.3 * float(frames[:, :, 0].std())
    assert float((soft.mean((3, 4)) - frames.mean((3, 4))).abs().max()) < 0.03


# ------------------------------------------------------------------------------------------------ weights


def test_rank_correlation() -> None:
    first = np.array([[0.1, 3.0], [2.0, 2.0]])
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    assert rank_correlation(np.array([1, 2, 3, 4.0]), np.array([1, 3, 2, 4.0])) == pytest.approx(0.8)
    assert np.isnan(rank_correlation(first, np.ones((2, 2))))


def test_shuffled_weights_are_the_same_numbers_elsewhere() -> None:
    network = vizkit.load_network("c2d-18", num_classes=5, width=4)
    before = {name: entry.clone() for name, entry in network.module.state_dict().items()}
    for head_only, wanted in ((True, {"fc.weight"}), (False, {name for name, entry in before.items() if entry.ndim > 1})):
        after = shuffle_weights(network, 0, head_only=head_only).module.state_dict()
        assert {name for name, entry in after.items() if not torch.equal(entry, before[name])} == wanted
        assert all(torch.equal(entry.flatten().sort().values, before[name].flatten().sort().values) for name, entry in after.items())
    assert all(torch.equal(entry, before[name]) for name, entry in network.module.state_dict().items())


def test_scores_of_networks_that_know_the_worlds_labels() -> None:
    other = vizkit.load_network("c2d-18", num_classes=5, width=4, stem="5x5/2")
    assert score(other, clips=1) == {}
    network = replace(
        vizkit.load_network("c2d-18", num_classes=16, width=4, stem="5x5/2"), labels=LABELS, sampling=Sampling(segments=4, frames=4)
    )
    found = score(network, clips=1)
    names = {"energy_in_actor", "energy_in_actor_uniform", "randomised_rank_correlation", "randomised_head_rank_correlation"}
    for kind in ("deletion", "insertion", "deletion_time", "insertion_time"):
        names |= {kind, f"{kind}_random"}
    assert set(found) == {f"gradcam.{name}" for name in names}
    assert all(entry.n == 1 and -1 <= entry.value <= 1 for entry in found.values())
    assert score(replace(network, stages=()), clips=1) == {}
