"""Scores on planted answers: right where the record is right, wrong where it is turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.motion.corrnet.analysis import FilterGrid, Params, analyze, find_peaks, mean_direction
from vizkit.motion.corrnet.score import judge, score
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun
from vizkit.world import WorldClip

Load = Callable[..., Network]


def with_matches(result: FilterGrid, world: WorldClip, turn_deg: float = 0.0, scale: float = 1.0) -> FilterGrid:
    """The true way back of every cell, by the flow of the frame before at the place it came from, turned and scaled."""
    steps, height, width = result.grid.shape
    match = np.zeros((steps, height, width, 2), np.float32)
    rotation = np.array([[np.cos(np.radians(turn_deg)), -np.sin(np.radians(turn_deg))],
                         [np.sin(np.radians(turn_deg)), np.cos(np.radians(turn_deg))]])  # fmt: skip
    stride = result.grid.stride_px
    y, x = np.mgrid[:height, :width]
    for t in range(1, steps):
        points = np.column_stack([np.full(x.size, t), x.ravel() * stride, y.ravel() * stride])
        place, _ = world.truth.tracks(points)
        back = (place[:, t - 1] - points[:, 1:]) @ rotation.T * scale
        match[t] = (back / stride).reshape(height, width, 2)
    return replace(result, match_xy=match)


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> FilterGrid:
    return analyze(run, Params())


def test_the_true_way_back_is_right(result: FilterGrid, world: WorldClip) -> None:
    measured = judge(with_matches(result, world), world.truth)
    assert measured["angular_error_deg"] == pytest.approx(0, abs=0.1)
    assert measured["right_octant"] == measured["hit_rate"] == 1


def test_forward_motion_is_wrong(result: FilterGrid, world: WorldClip) -> None:
    measured = judge(with_matches(result, world, 180), world.truth)
    assert measured["angular_error_deg"] == pytest.approx(180, abs=0.1)
    assert measured["right_octant"] == measured["hit_rate"] == 0


@pytest.mark.parametrize(("turn_deg", "octant"), [(20, 1), (25, 0), (-20, 1), (90, 0)])
def test_directions_are_measured_in_degrees(result: FilterGrid, world: WorldClip, turn_deg: float, octant: float) -> None:
    measured = judge(with_matches(result, world, turn_deg), world.truth)
    assert measured["angular_error_deg"] == pytest.approx(abs(turn_deg), abs=0.1)
    assert measured["right_octant"] == octant


def test_a_match_at_the_centre_has_no_direction(result: FilterGrid, world: WorldClip) -> None:
    measured = judge(with_matches(result, world, scale=0), world.truth)
    assert measured["angular_error_deg"] == 90
    assert measured["right_octant"] == 0
    assert measured["hit_rate"] == measured["hit_rate_unmoved"]
    dead = judge(replace(result, match_xy=np.full_like(result.match_xy, np.nan)), world.truth)
    assert dead["angular_error_deg"] == 90


def test_a_hit_lies_within_one_step_between_neighbours(result: FilterGrid, world: WorldClip) -> None:
    """A step is 2 cells of 2 px: 1.9 cells off in x and y is a hit, 2.1 in one of them is not."""
    right = with_matches(result, world)
    for off, hits in (((1.9, -1.9), 1), ((2.1, 0), 0), ((0, -2.1), 0)):
        moved = replace(right, match_xy=right.match_xy + np.array(off, np.float32))
        assert judge(moved, world.truth)["hit_rate"] == hits


def test_random_neighbours_are_right_as_often_as_chance(result: FilterGrid, world: WorldClip) -> None:
    measured = judge(result, world.truth)
    assert measured["angular_error_random_deg"] == pytest.approx(90, abs=8)
    assert measured["right_octant_random"] == pytest.approx(1 / 8, abs=0.05)


def test_consistency_is_that_of_the_channels_with_arrows(result: FilterGrid, world: WorldClip) -> None:
    """Channel 0 agrees in all frames, channel 1 points both ways, channel 2 has one arrow only, the others none."""
    weights = np.ones((4, 8, 7, 7), np.float32)
    weights[:, 0, 3, 6] = weights[:2, 1, 3, 6] = weights[2:, 1, 3, 0] = weights[0, 2, 0, 0] = 2
    peaks = find_peaks(weights, 2)
    length, angle = mean_direction(peaks)
    measured = judge(replace(result, weights=weights, peak_xy=peaks, consistency=length, direction_deg=angle), world.truth)
    assert measured["consistency"] == pytest.approx(0.5, abs=1e-6)
    assert measured["consistency_random"] == pytest.approx(0.45, abs=0.1)  # sqrt(pi / 4 n) for n = 4, a little more on a grid


def test_scores_have_their_controls(small: Load) -> None:
    trained, untrained = (replace(small(learned=choice, frames=8), sampling=Sampling()) for choice in (True, False))
    found = score(trained, clips=2, seed=0)
    kinds = ("", "_flat", "_cosine", "_random")
    names = {f"{name}{kind}" for name in ("right_octant", "hit_rate") for kind in kinds} | {f"angular_error{kind}_deg" for kind in kinds}
    assert set(found) == {f"corrnet.{name}" for name in (*names, "hit_rate_unmoved", "consistency", "consistency_random")}
    for name, value in found.items():
        low, high = value.interval
        assert 0 <= low <= value.value <= high <= (180 if name.endswith("_deg") else 1), name
        assert value.n > 0
    assert found["corrnet.angular_error_deg"].value != found["corrnet.angular_error_flat_deg"].value
    plain = score(untrained, clips=2, seed=0)
    assert plain["corrnet.hit_rate"] == plain["corrnet.hit_rate_flat"]
    assert "corrnet.consistency" not in plain
    assert plain["corrnet.hit_rate_unmoved"] == found["corrnet.hit_rate_unmoved"]


def test_a_network_without_correlation_blocks_is_not_measured() -> None:
    assert score(load_network("c2d-18", num_classes=5, width=4, stem="5x5/2"), clips=1) == {}
