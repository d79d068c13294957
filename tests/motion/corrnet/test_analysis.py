"""Arrows, activity, consistency and responses, against numbers worked out apart from the code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.corrnet.analysis import (
    FilterGrid,
    Params,
    analyze,
    correlation_blocks,
    find_peaks,
    mean_direction,
    respond,
    strongest_match,
    unavailable,
)
from vizkit.motion.corrnet.module import CorrelationBlock, CorrelationOperator
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip

Load = Callable[..., Network]


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> FilterGrid:
    return analyze(run, Params(channel=3))


def one_filter(values: list[list[float]]) -> np.ndarray:
    return np.array(values, np.float32)[None, None]


# ------------------------------------------------------------------------------------------------ arrows


def test_an_arrow_points_to_the_largest_weight_in_x_and_y() -> None:
    weights = np.zeros((2, 3, 5, 5), np.float32)
    weights[0, 0, 1, 4] = 1  # row 1, column 4: one up, two to the right
    weights[0, 1, 2, 2] = 1
    weights[1, 2, 4, 0] = 0.5
    peaks = find_peaks(weights, 2)
    assert peaks[0, 0].tolist() == [4, -2]
    assert peaks[0, 1].tolist() == [0, 0]
    assert peaks[1, 2].tolist() == [-4, 4]
    assert np.isnan(peaks[[0, 1, 1], [2, 0, 1]]).all()
    assert find_peaks(weights, 1)[0, 0].tolist() == [2, -1]


def test_the_largest_weight_is_signed_and_the_first_of_equal_ones_counts() -> None:
    assert find_peaks(one_filter([[-9, 0, 0], [0, 1, 0], [0, 0, 2]]), 1)[0, 0].tolist() == [1, 1]
    assert find_peaks(one_filter([[0, 0, 7], [7, 0, 0], [0, 0, 7]]), 1)[0, 0].tolist() == [1, -1]
    assert find_peaks(one_filter([[-3, -3, -3], [-1, -3, -3], [-3, -3, -3]]), 1)[0, 0].tolist() == [-1, 0]


def test_a_flat_filter_has_no_arrow() -> None:
    for level, step, flat in ((1.0, 5e-7, True), (1.0, 4e-6, False), (1000.0, 5e-4, True), (1000.0, 4e-3, False), (0.0, 5e-7, True)):
        weights = np.full((1, 1, 3, 3), level, np.float32)
        weights[0, 0, 0, 0] += step
        assert bool(np.isnan(find_peaks(weights, 1)).all()) is flat, (level, step)


def test_the_mean_of_unit_arrows() -> None:
    """Right and far down: 45 degrees, length sqrt(2) / 2, whatever the arrows' own lengths; opposite ones cancel; one says nothing."""
    nan = float("nan")
    columns = [
        [[2, 0], [0, 12], [nan, nan]],
        [[2, 0], [-6, 0], [0, 0]],
        [[0, -2], [0, 0], [nan, nan]],
        [[-2, -2], [-4, -4], [-6, -6]],
        [[0, 0], [nan, nan], [0, 0]],
    ]
    length, angle = mean_direction(np.array(columns, np.float32).transpose(1, 0, 2))
    assert length == pytest.approx([0.5**0.5, 0, nan, 1, nan], nan_ok=True, abs=1e-6)
    assert angle[[0, 2, 3]] == pytest.approx([45, -90, -135], abs=1e-4)
    assert np.isnan(angle[4])


# ------------------------------------------------------------------------------------------------ the record


def test_the_record_holds_the_filters_and_what_follows_from_them(run: ProbedRun, result: FilterGrid) -> None:
    operator = run.network.module.get_submodule("res2.inserted.1").operator
    assert np.array_equal(result.weights, operator.filters.numpy())
    assert result.weights.shape == (4, 8, 7, 7)
    assert np.array_equal(result.peak_xy, find_peaks(result.weights, 2), equal_nan=True)
    for channel in range(8):
        assert result.activity[channel] == pytest.approx(float(result.weights[:, channel].std()), rel=1e-5)
    length, angle = mean_direction(result.peak_xy)
    assert np.array_equal(result.consistency, length, equal_nan=True)
    assert np.array_equal(result.direction_deg, angle, equal_nan=True)
    assert (result.block, result.channel, result.dilation_cells, result.initial) == ("res2.1", 3, 2, 1.0)
    assert result.grid == run.taps["res2.1"].stage.grid((4, 32, 32))
    assert result.unit_px == 4
    assert not result.flat.any()


def test_the_response_is_worked_out_on_what_the_block_was_given(run: ProbedRun, result: FilterGrid) -> None:
    """Neighbour by neighbour, from the tapped input, with the mean over the four channels of a group."""
    block = run.network.module.get_submodule("res2.inserted.1")
    with torch.no_grad():
        features = block.reduce(run.taps["res2.1"].before[None])[0, 3].double()
    before = torch.cat([features[:1], features[:-1]])
    expected = torch.zeros_like(features)
    for iy, ix in product(range(7), repeat=2):
        moved = torch.zeros_like(before)
        dy, dx = 2 * (iy - 3), 2 * (ix - 3)
        rows, columns = (slice(max(0, -shift), 32 - max(0, shift)) for shift in (dy, dx))
        moved[:, rows, columns] = before[:, rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
        expected += torch.from_numpy(result.weights[:, 3, iy, ix]).double()[:, None, None] * features * moved / 4
    assert np.abs(result.response - expected.numpy()).max() < 1e-5 * float(expected.max())
    assert expected.max() > 0


def test_responses_of_all_channels_add_up_to_the_operators_output() -> None:
    torch.manual_seed(0)
    operator = CorrelationOperator(6, 3, patch=5, dilation=1, group_size=3, initial="kaiming").double()
    features = torch.rand(1, 6, 3, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        total = sum(respond(features, operator.filters, operator, channel) for channel in range(6))
        assert (total - operator(features).sum(1)).abs().max() < 1e-12  # type: ignore[operator]
        flat = torch.full_like(operator.filters, 3.0)
        assert respond(features, flat, operator, 2, learned=True).abs().max() < 1e-12
        both = respond(features, operator.filters, operator, 2), respond(features, operator.filters, operator, 2, learned=True)
        level = operator.filters.mean((2, 3), keepdim=True).expand_as(operator.filters)
        assert (both[0] - both[1] - respond(features, level, operator, 2)).abs().max() < 1e-12


def test_a_planted_filter_responds_where_its_motion_is() -> None:
    """One dot goes right, one left, 2 cells a frame; a filter that looks 2 cells to the left sees the first alone."""
    operator = CorrelationOperator(1, 4, patch=3, dilation=2)
    features = torch.zeros(1, 1, 4, 9, 20)
    for t in range(4):
        features[0, 0, t, 2, 4 + 2 * t] = features[0, 0, t, 6, 14 - 2 * t] = 1
    with torch.no_grad():
        operator.filters.zero_()[:, :, 1, 0] = 1
        response = respond(features, operator.filters, operator, 0)[0]
    assert find_peaks(operator.filters.detach().numpy(), 2)[1, 0].tolist() == [-2, 0]
    assert torch.nonzero(response).tolist() == [[t, 2, 4 + 2 * t] for t in (1, 2, 3)]


def test_the_strongest_match_is_a_displacement_into_the_previous_frame() -> None:
    operator = CorrelationOperator(64, 3, patch=5, dilation=2, group_size=32)
    wide = torch.randn(1, 64, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    moving = torch.cat([wide[..., 8 + 4 * t : 20 + 4 * t, 8 - 2 * t : 20 - 2 * t] for t in range(3)], 2)  # by (2, -4) cells a frame
    match = strongest_match(operator(moving), operator)[0]
    inner = match[1:, 0:8, 2:]  # where the match lies inside the image
    assert match[0, 4:8, 4:8].reshape(-1, 2).tolist() == [[0, 0]] * 16
    assert bool((inner == torch.tensor([-2.0, 4.0])).all())
    assert bool(strongest_match(torch.zeros(1, 50, 3, 2, 2), operator).isnan().all())


# ------------------------------------------------------------------------------------------------ choices


def test_channels_are_shown_in_the_order_asked_for(run: ProbedRun, result: FilterGrid) -> None:
    keys = {"activity": -result.activity, "direction": result.direction_deg, "consistency": -result.consistency}
    assert analyze(run, Params()).shown.tolist() == list(range(8))
    for sort, key in keys.items():
        shown = analyze(run, Params(sort=sort)).shown  # type: ignore[arg-type]
        assert sorted(shown.tolist()) == list(range(8))
        assert (np.diff(key[shown]) >= 0).all()
    assert analyze(run, Params(sort="activity", first=2, channels_shown=3)).shown.tolist() == np.argsort(-result.activity)[2:5].tolist()
    assert analyze(run, Params(first=6, channels_shown=5)).shown.tolist() == [6, 7]


def test_the_most_active_channel_responds_unless_another_is_named(run: ProbedRun, result: FilterGrid) -> None:
    assert analyze(run, Params()).channel == int(result.activity.argmax())
    learned = analyze(run, Params(channel=3, response="learned"))
    assert learned.response.min() < 0 < learned.response.max()
    assert result.response.min() >= 0


def test_another_channel_or_order_correlates_nothing_again_and_says_what_a_fresh_run_says(
    run: ProbedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, calls = replace(run), []
    correlate = CorrelationBlock.correlate
    monkeypatch.setattr(CorrelationBlock, "correlate", lambda block, features: calls.append(1) or correlate(block, features))
    analyze(again, Params())
    asked = Params(channel=3, response="learned", sort="activity", first=1)
    other = analyze(again, asked)
    assert len(calls) == 1
    fresh = analyze(replace(run), asked)
    assert len(calls) == 2
    for name, values in fresh.arrays().items():
        assert np.array_equal(values, other.arrays()[name], equal_nan=values.dtype.kind == "f"), name
    deeper = next(name for name in correlation_blocks(run.network) if name != other.block)
    assert analyze(again, Params(block=deeper)).block == deeper
    assert len(calls) == 3


def test_deeper_blocks_have_the_clips_length_at_their_depth(run: ProbedRun) -> None:
    deep = analyze(run, Params(block="res4.1"))
    assert deep.weights.shape == (2, 32, 7, 7)
    assert deep.grid.stride_frames == 2
    assert deep.response.shape == deep.grid.shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (Params(block="res9.1"), r"Unknown block 'res9.1'. Known: res2.1, res3.1, res4.1"),
        (Params(block="res2"), r"Unknown block 'res2'"),
        (Params(channel=8), r"channel is 8, .* channels 0\.\.7"),
        (Params(first=8), r"first is 8, .* channels 0\.\.7"),
    ],
)
def test_what_is_not_there_is_told(run: ProbedRun, params: Params, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        analyze(run, params)


def test_a_block_that_is_off_is_passed_over_and_cannot_be_asked_for(small: Load, world: WorldClip) -> None:
    run = probe(small(), world.clip, without="res2.1")
    passed = analyze(run, Params())
    assert passed.block == "res3.1"
    assert "Switched off in this run: res2.1." in passed.notes
    with pytest.raises(NotAvailableError, match=r"res2\.1 is switched off"):
        analyze(run, Params(block="res2.1"))
    with pytest.raises(NotAvailableError, match="switched off"):
        analyze(probe(small(), world.clip, without=("res2.1", "res3.1", "res4.1")), Params())


def test_only_networks_with_correlation_blocks_have_the_view(small: Load) -> None:
    assert unavailable(small()) is None
    for other in ("c2d-18", "cpnet-18"):
        reason = unavailable(load_network(other, num_classes=5, width=4, stem="5x5/2"))
        assert reason is not None
        assert other in reason
        assert "corrnet-26, corrnet-50 and corrnet-101" in reason


# ------------------------------------------------------------------------------------------------ notes


def test_flat_filters_say_so(small: Load, world: WorldClip) -> None:
    untrained = analyze(probe(small(learned=False), world.clip), Params())
    assert untrained.flat.all()
    assert np.isnan(untrained.consistency).all()
    assert any("All filters are flat" in note for note in untrained.notes)
    assert untrained.summary()["flat_share"] == 1
    assert "consistency_mean" not in untrained.summary()
    features = untrained.response.mean((1, 2))
    assert features.max() > 0  # the channel with the strongest features was chosen
    network = small()
    network.module.get_submodule("res2.inserted.1").operator.filters[1, 2:4] = 0.5
    some = analyze(probe(network, world.clip), Params())
    assert "2 of 32 filters are flat and have no arrow." in some.notes


def test_a_network_without_filters_says_so(small: Load, world: WorldClip) -> None:
    plain = analyze(probe(small(filtered=False), world.clip), Params(response="learned"))
    assert any("without filters" in note for note in plain.notes)
    assert not any("All filters are flat" in note for note in plain.notes)
    assert np.array_equal(plain.weights, np.ones((4, 8, 7, 7)))
    assert np.abs(plain.response).max() < 1e-5


def test_interpolated_filters_say_so(small: Load) -> None:
    world = clip(0, frames=6, side_px=64, nuisances=False)
    sampling = Sampling(segments=6, short_side_px=64, crop_px=64)
    longer = analyze(probe(small(other_length="interpolate"), world.clip, sampling=sampling), Params())
    assert longer.weights.shape == (6, 8, 7, 7)
    assert "The filters of 4 frames are interpolated to 6." in longer.notes


def test_repeated_frames_say_so(small: Load) -> None:
    short = clip(0, frames=2, side_px=64, nuisances=False)
    assert any("copies of others" in note for note in analyze(probe(small(), short.clip), Params()).notes)


def test_weights_that_reach_beyond_the_map_are_told(run: ProbedRun, small: Load) -> None:
    assert not any("meet nothing" in note for note in analyze(run, Params(block="res4.1")).notes)
    wide = probe(small(dilation=3), run.clip)
    assert any("8 x 8 cells: weights 8 or more cells away" in note for note in analyze(wide, Params(block="res4.1")).notes)


def test_the_initial_value_of_drawn_filters_is_zero(small: Load, world: WorldClip) -> None:
    assert analyze(probe(small(initial="kaiming"), world.clip), Params()).initial == 0


# ------------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("name", ["weights", "peak_xy", "activity", "consistency", "direction_deg", "shown", "response", "match_xy"])
def test_a_record_checks_its_shapes(result: FilterGrid, name: str) -> None:
    with pytest.raises(ValueError, match=f"FilterGrid.{name}"):
        replace(result, **{name: getattr(result, name)[None]})


def test_a_record_of_another_clip_length_than_its_grid_is_refused(result: FilterGrid) -> None:
    with pytest.raises(ValueError, match=r"FilterGrid\.weights.*T=4"):
        replace(result, weights=result.weights[:3])
