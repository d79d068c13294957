"""From a probed run to correspondences: right cells, right order, right set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vizkit.checkpoint import load_network
from vizkit.contracts import Block, Grid, Provenance, SampledClip, Sampling, Stage, Tap, Window
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.cpnet.analysis import Correspondences, Params, analyze, find_active, places, unavailable, usual_place
from vizkit.motion.cpnet.module import CPModule
from vizkit.net.network import Network
from vizkit.net.ops import nearest_cells
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip

Load = Callable[..., Network]


def look(run: ProbedRun, **params: Any) -> Correspondences:
    return analyze(run, Params.parse(**params))


# ------------------------------------------------------------------------------------------------ the active set


def test_only_live_channels_count() -> None:
    """Channel 0: won by proposal 1; channel 1: dead, all tie at 0; channel 2: shared by 0 and 2."""
    embedded = torch.tensor([[[0.1, 0.0, 0.7], [0.5, 0.0, 0.2], [0.4, 0.0, 0.7]]])
    active, won, live = find_active(embedded)
    assert active.tolist() == [[True, True, True]]
    assert won.tolist() == [[0.5, 1.0, 0.5]]
    assert live.tolist() == [2]
    active, won, live = find_active(embedded[:, :, :2])
    assert active.tolist() == [[False, True, False]]
    assert won.tolist() == [[0.0, 1.0, 0.0]]
    assert live.tolist() == [1]


def test_where_no_channel_is_live_nobody_is_active() -> None:
    active, won, live = find_active(torch.zeros(2, 3, 4))
    assert not active.any()
    assert not won.any()
    assert live.tolist() == [0, 0]


def test_before_the_maximum_every_channel_is_live() -> None:
    active, won, live = find_active(torch.tensor([[[-3.0, -1.0], [-2.0, -5.0]]]), every_channel=True)
    assert active.tolist() == [[True, True]]
    assert won.tolist() == [[1.0, 1.0]]
    assert live.tolist() == [2]


def test_equality_is_exact() -> None:
    value = torch.tensor(1.0)
    below = torch.nextafter(value, torch.tensor(0.0))
    active, _, _ = find_active(torch.stack([value, below]).view(1, 2, 1))
    assert active.tolist() == [[True, False]]


# ------------------------------------------------------------------------------------------------ the record


@pytest.mark.parametrize("block", ["res3.0", "res4.1"])
def test_the_record_is_what_the_module_computed(run: ProbedRun, block: str) -> None:
    """Every row against a maximum over all cells, computed in one go."""
    result = look(run, block=block, queries=6)
    module = run.block(block)
    assert isinstance(module, CPModule)
    tap = run.taps[block]
    with torch.no_grad():
        features = module.points(tap.before[None])
        found = module.match(features)
        embedded = module.embed(features, found.index)
    rows = np.ravel_multi_index(tuple(result.query.T), result.grid.shape)
    assert np.array_equal(np.ravel_multi_index(tuple(np.moveaxis(result.proposal, -1, 0)), result.grid.shape), found.index[0, rows].numpy())
    assert np.allclose(result.distance_squared, found.distance_squared[0, rows].numpy(), rtol=1e-5)
    strongest = embedded.max(2, keepdim=True).values
    wins = ((embedded == strongest) & (strongest > 0))[0, rows]
    assert np.array_equal(result.active, wins.any(2).numpy())
    assert np.array_equal(result.live_channels, (strongest > 0)[0, rows, 0].sum(1).numpy())
    assert np.allclose(result.change, tap.after.abs().sum(0).numpy())
    assert result.decided
    assert result.metric == "semantic"


@pytest.mark.parametrize("block", ["res3.0", "res3.1", "res4.0", "res4.1"])
def test_what_must_hold_in_every_record(run: ProbedRun, block: str) -> None:
    result = look(run, block=block, queries=8)
    assert (result.proposal[..., 0] != result.query[:, None, 0]).all()
    assert (np.diff(result.distance_squared, axis=1) >= 0).all()
    assert np.array_equal(result.active, result.channels_won > 0)
    assert np.allclose(result.channels_won.sum(1), result.live_channels)
    assert (result.proposal >= 0).all()
    assert (result.proposal < np.array(result.grid.shape)).all()
    assert (result.win_share >= 0).all()
    assert np.allclose(result.win_share.sum(1)[result.live_channels > 0], 1)
    assert set(result.arrays()) == {
        "query", "proposal", "distance_squared", "active", "channels_won", "live_channels", "change_share", "change", "frame_index",
        "frame_times_s", *(f"{name}_{block.name}" for name in ("before", "after", "change") for block in run.network.blocks),
    }  # fmt: skip


def test_shrunk_blocks_have_a_grid_of_their_own(run: ProbedRun) -> None:
    shrunk, plain = look(run, block="res3.0"), look(run, block="res4.0")
    assert shrunk.grid == Grid("res3", 2.0, 8.0, 1, (4, 8, 8))
    assert shrunk.change_grid == Grid("res3", 0.0, 4.0, 1, (4, 16, 16))
    assert plain.grid == plain.change_grid == Grid("res4", 0.0, 8.0, 1, (4, 8, 8))


def test_the_record_checks_its_shapes(run: ProbedRun) -> None:
    result = look(run)
    for field in ("proposal", "active", "channels_won", "distance_squared", "live_channels", "change_share"):
        with pytest.raises(ValueError, match=rf"Correspondences\.{field}"):
            replace(result, **{field: getattr(result, field)[:-1]})
    with pytest.raises(ValueError, match=r"Correspondences\.change"):
        replace(result, change=result.change[:, :-1])


def test_the_summary_is_in_pixels(run: ProbedRun) -> None:
    result = look(run, block="res4.0")
    summary = result.summary()
    lengths = [
        np.hypot(8.0 * (end[2] - start[2]), 8.0 * (end[1] - start[1]))
        for start, ends in zip(result.query, result.proposal, strict=True)
        for end in ends
    ]
    assert summary["median_step_px"] == pytest.approx(np.median(lengths))
    assert summary["active_share"] == result.active.mean()
    assert (summary["queries"], summary["neighbors"], summary["block"]) == (len(result.query), 8, "res4.0")


def test_analysing_changes_nothing_in_the_run(run: ProbedRun) -> None:
    before = {name: (tap.before.clone(), tap.after.clone()) for name, tap in run.taps.items()}
    first = look(run, block="res3.1")
    second = look(run, block="res3.1")
    assert all(np.array_equal(first.arrays()[name], second.arrays()[name]) for name in first.arrays())
    assert all(torch.equal(run.taps[name].before, old) and torch.equal(run.taps[name].after, new) for name, (old, new) in before.items())
    assert not any(module.training or module._forward_hooks for module in run.network.module.modules())


# ------------------------------------------------------------------------------------------------ points


@pytest.mark.parametrize(
    ("block", "point", "cell"),
    [
        ("res4.0", (1, 40.0, 8.0), (1, 1, 5)),  # stride 8, origin 0: x 40 is column 5, y 8 is row 1
        ("res4.0", (3, 0.0, 63.0), (3, 7, 0)),
        ("res4.0", (0, 43.9, 4.1), (0, 1, 5)),
        ("res3.0", (2, 42.0, 10.0), (2, 1, 5)),  # shrunk: stride 8, origin 2
        ("res3.0", (2, 45.9, 6.1), (2, 1, 5)),
        ("res3", (2, 42.0, 10.0), (2, 2, 10)),  # the stage itself: stride 4, origin 0
    ],
)
def test_a_point_is_the_cell_that_it_lies_in(
    run: ProbedRun, block: str, point: tuple[int, float, float], cell: tuple[int, int, int]
) -> None:
    result = look(run, block=block, points=[point])
    assert result.query.tolist() == [list(cell)]


def test_points_of_one_cell_and_of_any_order_have_the_same_answers(run: ProbedRun) -> None:
    """A user may click twice into one cell."""
    points = [(3, 40.0, 8.0), (0, 8.0, 40.0), (3, 41.0, 9.0), (3, 40.0, 8.0)]
    together = look(run, block="res4.0", points=points)
    for row, point in enumerate(points):
        alone = look(run, block="res4.0", points=[point])
        assert np.array_equal(together.query[row], alone.query[0])
        assert np.array_equal(together.proposal[row], alone.proposal[0])
        assert np.array_equal(together.active[row], alone.active[0])


@pytest.mark.parametrize("point", [(4, 0, 0), (-1, 0, 0), (0, 64, 0), (0, 0, 63.5), (0, -1, 0), (0, float("nan"), 0)])
def test_a_point_outside_the_clip_is_refused(run: ProbedRun, point: tuple[int, float, float]) -> None:
    with pytest.raises(SettingError, match=r"lies outside the clip: t 0\.\.3, x 0\.\.63, y 0\.\.63"):
        look(run, points=[point])


def test_tall_and_wide_frames_keep_x_and_y_apart(small: Load) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 96, 3), np.uint8)
    index = np.arange(4)
    wide = SampledClip("wide", "0", Sampling(), pixels, index, index / 8, Window((1.0, 1.0), (0.0, 0.0), (96, 32)))
    run = probe(small(), wide)
    result = look(run, block="res4.0", points=[(0, 90.0, 2.0)])
    assert result.grid.shape == (4, 4, 12)
    assert result.query.tolist() == [[0, 0, 11]]
    with pytest.raises(SettingError, match=r"x 0\.\.95, y 0\.\.31"):
        look(run, block="res4.0", points=[(0, 2.0, 90.0)])


# ------------------------------------------------------------------------------------------------ default queries


@pytest.mark.parametrize("block", ["res3.0", "res4.1"])
def test_default_queries_are_the_largest_changes_at_most_one_in_three_by_three(run: ProbedRun, block: str) -> None:
    result = look(run, block=block, queries=4)
    places = result.query[:, 1:]
    assert len(places) == 4
    for row, place in enumerate(places):
        others = np.delete(places, row, axis=0)
        assert (np.abs(others - place).max(axis=1) > 2).all()
    peak = np.unravel_index(result.change.argmax(), result.change.shape)
    at = result.grid.cell_at(result.change_grid.centre_px(np.array([peak[2], peak[1]])))
    assert result.query[0].tolist() == [peak[0], at[1], at[0]]


def test_without_a_module_queries_are_where_the_picture_changes(small: Load, world: WorldClip) -> None:
    result = look(probe(small("c2d-18"), world.clip), queries=3)
    moved = world.truth.object_id[:-1] != world.truth.object_id[1:]
    for t, y, x in result.query:
        px, py = result.grid.centre_px(np.array([x, y])).astype(int)
        assert moved[t, max(py - 4, 0) : py + 5, max(px - 4, 0) : px + 5].any()


# ------------------------------------------------------------------------------------------------ settings


def test_an_unknown_block_lists_blocks_and_stages(run: ProbedRun) -> None:
    with pytest.raises(SettingError) as told:
        look(run, block="res9.0")
    assert all(name in told.value.message for name in ("res3.0", "res3.1", "res4.0", "res4.1", "res2", "res5"))


def test_the_default_is_the_shallowest_block_that_is_on(small: Load, world: WorldClip) -> None:
    network = small()
    assert look(probe(network, world.clip)).block == "res3.0"
    assert look(probe(network, world.clip, without=["res3.0"])).block == "res3.1"
    assert look(probe(network, world.clip, without=[block.name for block in network.blocks])).block == "res3"


def test_blocks_of_another_paper_are_no_places_for_proposals(world: WorldClip) -> None:
    network = load_network("corrnet-26", num_classes=4, width=4, stem="5x5/2", frames=8, group_size=4)
    assert places(network) == ["res2", "res3", "res4", "res5"]
    assert look(probe(network, world.clip)).block == usual_place(network) == "res3"


def test_a_switched_off_block_cannot_be_shown(small: Load, world: WorldClip) -> None:
    run = probe(small(), world.clip, without=["res4.0"])
    with pytest.raises(NotAvailableError, match=r"res4\.0 is switched off"):
        look(run, block="res4.0")


def test_a_stage_without_a_module_has_proposals_and_nobody_decides(run: ProbedRun) -> None:
    result = look(run, block="res2", points=[(0, 20.0, 40.0)])
    tap = run.taps["res2"]
    row = np.ravel_multi_index(tuple(result.query[0]), result.grid.shape)
    expected = nearest_cells(tap.after[None], 8).index[0, row].numpy()
    assert np.array_equal(np.ravel_multi_index(tuple(result.proposal[0].T), result.grid.shape), expected)
    assert not result.decided
    assert not result.active.any()
    assert not result.channels_won.any()
    assert not result.change.any()
    assert any("without a CP module" in note for note in result.notes)


def test_another_k_takes_more_or_fewer_and_says_so(run: ProbedRun) -> None:
    own = look(run, block="res4.0", points=[(1, 30, 30)])
    fewer = look(run, block="res4.0", points=[(1, 30, 30)], neighbors=3)
    more = look(run, block="res4.0", points=[(1, 30, 30)], neighbors=20)
    assert np.array_equal(fewer.proposal, own.proposal[:, :3])
    assert np.array_equal(more.proposal[:, :8], own.proposal)
    assert any("trained with 8" in note for note in fewer.notes)
    assert not any("trained with 8" in note for note in own.notes)


def test_too_many_neighbours_are_refused_with_the_range(small: Load, world: WorldClip) -> None:
    run = probe(small(), world.clip, sampling=Sampling(segments=2, frames=2, short_side_px=32, crop_px=32))
    with pytest.raises(SettingError, match=r"neighbors.*1\.\.16"):
        look(run, block="res4.0", neighbors=17)


def test_metrics_change_the_proposals_and_say_so(run: ProbedRun) -> None:
    point = [(1, 30, 30)]
    own = look(run, block="res4.0", points=point)
    near = look(run, block="res4.0", points=point, metric="spatiotemporal")
    assert own.metric == "semantic"
    assert near.metric == "spatiotemporal"
    assert not np.array_equal(own.proposal, near.proposal)
    steps = np.abs(near.proposal[0] - near.query[0])
    assert steps[0].tolist() == [0, 0, 0] or steps[:, 1:].max() <= 2
    assert any("'spatiotemporal'" in note and "'semantic'" in note for note in near.notes)


def test_a_network_that_matches_in_another_metric_says_so(small: Load, world: WorldClip) -> None:
    run = probe(small(metric="joint"), world.clip)
    result = look(run, block="res4.0")
    assert result.metric == "joint"
    assert any("not in the paper's" in note for note in result.notes)


def test_a_fresh_module_is_called_an_identity(small: Load, world: WorldClip) -> None:
    result = look(probe(small(last_gain=0.0), world.clip))
    assert not result.change.any()
    assert any("Identity module" in note for note in result.notes)
    assert len(result.query) == Params().queries


def test_provenance_holds_the_view_and_its_settings(run: ProbedRun) -> None:
    result = look(run, neighbors=4, points=[(1, 2.5, 3.0)])
    source: Provenance = result.provenance
    assert source.view == "cpnet"
    assert source.params["neighbors"] == 4
    assert source.params["points"] == ((1, 2.5, 3.0),)
    assert source.model == run.provenance.model
    assert result.params == Params(neighbors=4, points=((1, 2.5, 3.0),))


def test_the_strip_shows_this_runs_shapes(run: ProbedRun) -> None:
    shapes = dict(look(run, block="res3.0", queries=3).shapes)
    assert shapes["frames"] == "4 x 64 x 64"
    assert shapes["features (C x T x H x W)"] == "8 x 4 x 16 x 16"
    assert shapes["nearest neighbours in other frames"] == "256 cells, 8 neighbours each"
    assert shapes["picture"] == "3 queries x 8 arrows"


def test_a_network_without_stages_has_no_view(small: Load) -> None:
    network = small("c2d-18")
    assert unavailable(network) is None
    assert unavailable(small()) is None
    reason = unavailable(replace(network, stages=()))
    assert reason is not None
    assert "stages" in reason


def test_a_block_of_another_kind_is_not_a_cp_module(run: ProbedRun) -> None:
    """Another paper's module at the place of the first block: its stage can still be shown."""

    class Other(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    network = replace(run.network, module=Other(), blocks=(Block("res3.0", "", "res3"),))
    stage = Stage("res3", "", 3, 1.0, 1, 0.0)
    other = replace(run, network=network, taps={"res3.0": Tap(stage, torch.zeros(3, 2, 4, 4), torch.zeros(3, 2, 4, 4))})
    with pytest.raises(SettingError, match=r"Unknown block 'res3\.0'.*res2"):
        look(other, block="res3.0")


def test_blocks_that_are_off_and_frames_that_repeat_are_told(small: Callable[..., Network]) -> None:
    short = clip(0, frames=2, side_px=64).clip
    run = probe(small(), short, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64), without="res3.0")
    notes = " ".join(analyze(run, Params()).notes)
    assert "Switched off in this run: res3.0." in notes
    assert "copies of others" in notes
