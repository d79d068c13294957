"""Scores on planted answers: right where the record is right, wrong where it is turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.motion.kpsem.planted import kpsem_run, plain_run, world
from vizkit.motion.kpsem.analysis import KeyPointShifts, Params, analyze
from vizkit.motion.kpsem.score import judge, score


@pytest.fixture(scope="module")
def result() -> KeyPointShifts:
    """One channel at res2, cells of 2 px, one region."""
    return analyze(plain_run(), Params(block="res2", regions=1, channels=(0,)))


def on_thing(result: KeyPointShifts, turn_deg: float = 0.0, *, wrong_place: bool = False) -> KeyPointShifts:
    """Every channel's key point on a cell of the moving thing (or off it), its shift the true way to the next step, turned."""
    truth, stride = world().truth, result.grid.stride_px
    moving = (truth.moving & (truth.object_id > 0))[:, :: int(stride), :: int(stride)]
    assert result.grid.origin_px == 0
    angle = np.radians(turn_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points, shift = np.zeros_like(result.point_cells), np.zeros_like(result.shift_cells)
    for step in range(result.grid.shape[0]):
        places = np.argwhere(moving[step] != wrong_place)
        chosen = places[np.linspace(0, len(places) - 1, points.shape[2]).astype(int)]
        points[0, 0, :, step] = chosen[:, ::-1]
        if step < result.grid.shape[0] - 1:
            xy, _ = truth.tracks(np.column_stack([np.full(len(chosen), step), chosen[:, ::-1] * stride]))
            shift[0, 0, :, step] = ((xy[:, step + 1] - xy[:, step]) @ rotation.T) / stride
    return replace(result, point_cells=points, shift_cells=shift, flat=np.zeros_like(result.flat))


def test_the_true_way_is_right(result: KeyPointShifts) -> None:
    measured = judge(on_thing(result), world().truth)
    assert measured["angular_error_deg"] == pytest.approx(0, abs=0.5)
    assert measured["on_object"] == measured["on_object_shown"] == 1
    assert 0 < measured["object_share"] < 0.5
    assert measured["on_object_random"] == pytest.approx(measured["object_share"], abs=0.25)


@pytest.mark.parametrize("turn_deg", [-30, 60, 180])
def test_directions_are_measured_in_degrees(result: KeyPointShifts, turn_deg: float) -> None:
    assert judge(on_thing(result, turn_deg), world().truth)["angular_error_deg"] == pytest.approx(abs(turn_deg), abs=0.5)


def test_points_beside_the_thing_are_not_on_it(result: KeyPointShifts) -> None:
    measured = judge(on_thing(result, wrong_place=True), world().truth)
    assert measured["on_object"] == 0
    assert "angular_error_deg" not in measured, "nothing was counted"


def test_a_shift_of_nothing_counts_as_90(result: KeyPointShifts) -> None:
    right = on_thing(result)
    assert judge(replace(right, shift_cells=np.zeros_like(right.shift_cells)), world().truth)["angular_error_deg"] == 90


def test_flat_regions_are_left_out(result: KeyPointShifts) -> None:
    right = on_thing(result)
    flat = right.flat.copy()
    flat[..., 1:, :] = True
    wrong = right.shift_cells.copy()
    wrong[:, :, 1:] *= -1
    measured = judge(replace(right, shift_cells=wrong, flat=flat), world().truth)
    assert measured["angular_error_deg"] == pytest.approx(0, abs=0.5)


def test_hard_shifts_go_to_the_best_match(result: KeyPointShifts) -> None:
    """With one region the best match is the next key point itself."""
    right = on_thing(result)
    ahead = right.point_cells[:, :, :, 1:] - right.point_cells[:, :, :, :-1]
    hard = replace(right, shift_cells=ahead.astype(np.float32))
    assert judge(hard, world().truth)["angular_error_deg"] == pytest.approx(judge(right, world().truth)["angular_error_hard_deg"])


def test_only_clear_matches_are_in_the_clear_error(result: KeyPointShifts) -> None:
    right = on_thing(result)
    measured = judge(right, world().truth)
    assert measured["clear_share"] == 1
    assert measured["angular_error_clear_deg"] == measured["angular_error_deg"]
    unsure = judge(replace(right, match=np.full_like(right.match, 0.3)), world().truth)
    assert unsure["clear_share"] == 0
    assert "angular_error_clear_deg" not in unsure


def test_a_network_with_kpsem_is_measured_and_one_without_is_not() -> None:
    found = score(kpsem_run().network, clips=2)
    assert {"kpsem.on_object", "kpsem.on_object_random", "kpsem.object_share", "kpsem.angular_error_deg"} <= set(found)
    assert found["kpsem.on_object"].n == 2 * 3 * 4 * 32 * 4
    assert score(plain_run().network, clips=1) == {}
