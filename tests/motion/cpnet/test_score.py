"""Scores on planted answers: right where the record is right, wrong where it is shifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vizkit.contracts import Grid, Sampling, Score
from vizkit.motion.cpnet.analysis import Correspondences, Params, analyze
from vizkit.motion.cpnet.score import judge, score
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.statistics import average_precision
from vizkit.world import WorldClip, clip

Load = Callable[..., Network]
STRIDE = 4.0


@pytest.fixture(scope="module")
def moving() -> WorldClip:
    """A thing moves left by some 40 px in four frames of 112 x 112."""
    return clip(0, frames=4, side_px=112, nuisances=False)


@pytest.fixture(scope="module")
def template(small: Load, moving: WorldClip) -> Correspondences:
    """A record with a plain grid of 28 x 28 cells, to be filled by hand."""
    sampling = Sampling(segments=4, frames=4, short_side_px=112, crop_px=112)
    result = analyze(probe(small(shrink=1), moving.clip, sampling=sampling), Params(block="res3.0"))
    assert result.grid == Grid("res3", 0.0, STRIDE, 1, (4, 28, 28))
    return result


def planted(template: Correspondences, world: WorldClip, *, shift: tuple[int, int] = (0, 0), active: str = "all") -> Correspondences:
    """Queries on the moving thing in frame 0; proposals: its true cells in frames 1 to 3, twice, all or the second half shifted by cells.

    Args:
        template: gives the grid and the clip.
        world: gives the truth.
        shift: (x, y) in cells.
        active: "all" shifts all proposals; "right": the unshifted half is active, the shifted one filtered.
    """
    truth = world.truth
    on_thing = [(0, y, x) for y in range(28) for x in range(28) if truth.moving[0, 4 * y, 4 * x]]
    on_thing = [cell for cell in on_thing if truth.track(0, (STRIDE * cell[2], STRIDE * cell[1]))[1].all()]
    assert len(on_thing) > 10
    query, proposal = np.array(on_thing), []
    for _, y, x in on_thing:
        xy, _ = truth.track(0, (STRIDE * x, STRIDE * y))
        right = [(t, round(float(xy[t, 1]) / STRIDE), round(float(xy[t, 0]) / STRIDE)) for t in (1, 2, 3)]
        wrong = [(t, row + shift[1], column + shift[0]) for t, row, column in right]
        proposal.append((right if active == "right" else wrong) + wrong)
    count, neighbors = len(query), 6
    chosen = np.zeros((count, neighbors), bool)
    chosen[:, :3] = True
    return replace(
        template, query=query, proposal=np.array(proposal), distance_squared=np.zeros((count, neighbors), np.float32), active=chosen,
        channels_won=chosen.astype(np.float32), live_channels=np.full(count, 3),
        change_share=chosen.astype(np.float32) / max(chosen.shape[1], 1), change=truth.moving[:, ::4, ::4].astype(np.float32),
    )  # fmt: skip


def undecided(template: Correspondences, query: np.ndarray, proposal: np.ndarray) -> Correspondences:
    """The proposals alone; nobody is active."""
    zeros = np.zeros(proposal.shape[:2], np.float32)
    return replace(
        template, query=query, proposal=proposal, distance_squared=zeros, active=zeros > 0, channels_won=zeros,
        live_channels=np.zeros(len(query), int),
        change_share=np.zeros(proposal.shape[:2], np.float32),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ planted answers


def test_proposals_on_the_true_track_all_hit(template: Correspondences, moving: WorldClip) -> None:
    measured = judge(planted(template, moving), moving.truth)
    assert measured["hit_rate"] == 1.0
    assert measured["hit_rate_active"] == measured["hit_rate_filtered"] == 1.0
    assert measured["hit_rate_unmoved"] < 0.5
    assert measured["hit_rate_random"] < 0.1


@pytest.mark.parametrize("shift", [(3, 0), (-3, 0), (0, 3), (0, -3)])
def test_three_cells_beside_the_track_nothing_hits(template: Correspondences, moving: WorldClip, shift: tuple[int, int]) -> None:
    assert judge(planted(template, moving, shift=shift), moving.truth)["hit_rate"] == 0.0


@pytest.mark.parametrize("axis", [(1, 0), (0, 1)], ids="xy")
def test_a_hit_is_within_one_cell_in_x_and_in_y(template: Correspondences, moving: WorldClip, axis: tuple[int, int]) -> None:
    """The true place lies between two centres: its cell and the neighbour on the other side of it hit, the next ones never."""
    rates = [
        judge(planted(template, moving, shift=(cells * axis[0], cells * axis[1])), moving.truth)["hit_rate"] for cells in (-2, -1, 0, 1, 2)
    ]
    assert rates[0] == rates[4] == 0.0
    assert rates[2] == 1.0
    assert rates[1] + rates[3] == pytest.approx(1.0)


def test_active_and_filtered_proposals_are_told_apart(template: Correspondences, moving: WorldClip) -> None:
    measured = judge(planted(template, moving, shift=(3, 3), active="right"), moving.truth)
    assert measured["hit_rate_active"] == 1.0
    assert measured["hit_rate_filtered"] == 0.0
    assert measured["hit_rate"] == 0.5


def test_the_unmoved_place_is_right_where_nothing_moves(template: Correspondences) -> None:
    still = clip(0, label="nothing moves", frames=4, side_px=112, nuisances=False)
    rng = np.random.default_rng(0)
    query = np.column_stack([np.zeros(20, int), rng.integers(28, size=(20, 2))])
    proposal = np.repeat(query[:, None], 6, axis=1)
    proposal[..., 0] = rng.integers(1, 4, size=(20, 6))
    measured = judge(undecided(template, query, proposal), still.truth)
    assert measured["hit_rate"] == measured["hit_rate_unmoved"] == 1.0
    assert "change_precision" not in measured


def test_hidden_places_do_not_count(template: Correspondences) -> None:
    """The thing that is covered in the end: proposals into frames where it is hidden are left out, right or wrong."""
    covered = clip(1, label="one thing covered by another", frames=4, side_px=112, nuisances=False)
    cells = [(0, y, x) for y in range(28) for x in range(28) if covered.truth.object_id[0, 4 * y, 4 * x] == 3]
    hidden = [cell for cell in cells if not covered.truth.track(0, (4 * cell[2], 4 * cell[1]))[1][3]]
    assert hidden
    query = np.array(hidden)
    proposal = np.repeat(query[:, None], 2, axis=1)
    proposal[:, 0, 0], proposal[:, 1] = 1, (3, 0, 0)
    record = undecided(template, query, proposal)
    seen = [covered.truth.track(0, (4 * x, 4 * y))[1][1] for _, y, x in hidden]
    assert any(seen)
    assert judge(record, covered.truth)["hit_rate"] == 1.0  # frame 1, where it is still seen and has not moved


# ------------------------------------------------------------------------------------------------ the change map


def test_change_precision_is_that_of_the_change_map(template: Correspondences, moving: WorldClip) -> None:
    record = planted(template, moving)
    assert judge(record, moving.truth)["change_precision"] == 1.0
    noise = np.random.default_rng(0).random(record.change.shape).astype(np.float32)
    at_cells = moving.truth.moving[:, ::4, ::4]
    measured = judge(replace(record, change=noise), moving.truth)
    assert measured["change_precision"] == pytest.approx(average_precision(noise, at_cells))
    assert measured["moving_share"] == pytest.approx(at_cells.mean())


def test_a_shrunk_block_is_judged_on_the_grid_of_its_change(run: ProbedRun, world: WorldClip) -> None:
    result = analyze(run, Params(block="res3.0"))
    assert result.grid.shape != result.change_grid.shape
    measured = judge(result, world.truth)
    assert measured["change_precision"] == pytest.approx(average_precision(result.change, world.truth.moving[:, ::4, ::4]))
    assert measured["moving_share"] == pytest.approx(world.truth.moving[:, ::4, ::4].mean())


# ------------------------------------------------------------------------------------------------ over clips

NAMES = {
    "cpnet.hit_rate", "cpnet.hit_rate_active", "cpnet.hit_rate_filtered", "cpnet.hit_rate_random", "cpnet.hit_rate_unmoved",
    "cpnet.hit_rate_rgb", "cpnet.change_precision", "cpnet.moving_share",
}  # fmt: skip


@pytest.fixture(scope="module")
def at_112(small: Load) -> Network:
    return replace(small(shrink=1), sampling=Sampling(segments=8, frames=8, short_side_px=112, crop_px=112))


@pytest.fixture(scope="module")
def scored(at_112: Network) -> dict[str, Score]:
    return score(at_112, clips=2)


def test_scores_over_clips_have_intervals_and_counts(scored: dict[str, Score]) -> None:
    assert set(scored) == NAMES
    for name, value in scored.items():
        assert 0 <= value.interval[0] <= value.value <= value.interval[1] <= 1, name
    counts = {name.removeprefix("cpnet."): value.n for name, value in scored.items()}
    assert counts["hit_rate"] == counts["hit_rate_active"] + counts["hit_rate_filtered"]
    assert counts["hit_rate"] == counts["hit_rate_random"] == counts["hit_rate_unmoved"] > 200
    assert counts["change_precision"] == counts["moving_share"] == 2
    assert scored["cpnet.hit_rate_random"].value < 0.1


def test_scores_can_be_measured_again(at_112: Network, scored: dict[str, Score]) -> None:
    assert score(at_112, clips=2) == scored
    assert score(at_112, clips=2, seed=1) != scored


@pytest.mark.parametrize(("frames", "side_px"), [(8, 168), (4, 112)])
def test_a_network_is_scored_at_112_px_whatever_its_own_sampling(
    at_112: Network, scored: dict[str, Score], frames: int, side_px: int
) -> None:
    """Another size or another choice of frames would be compared with a truth that it does not belong to."""
    other = replace(at_112, sampling=Sampling(segments=frames, frames=frames, short_side_px=side_px, crop_px=side_px))
    found = score(other, clips=2)
    truths = [clip(index, frames=frames, side_px=112).truth for index in range(2)]
    assert found["cpnet.moving_share"].value == pytest.approx(np.mean([truth.moving[:, ::4, ::4].mean() for truth in truths]))
    assert frames != 8 or found == scored


def test_a_network_without_the_module_has_no_scores(small: Load) -> None:
    assert score(small("c2d-18"), clips=1) == {}
