"""The record holds what the paper's equations give, on any network; impossible wishes are one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.motion.kpsem.planted import EXAMPLE_MATCH, EXAMPLE_SHIFT_XY, EXAMPLE_WEIGHT, dots, example, kpsem_run, plain_run, planted
from vizkit.checkpoint import load_network
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.kpsem.analysis import Params, analyze, default_stage, kpsem_blocks, unavailable
from vizkit.net.probe import probe

STILL = {(2, 3): 4.0, (3, 10): 3.0, (10, 2): 2.0, (11, 12): 1.0}


# ------------------------------------------------------------------------------------------------ worked numbers


def test_the_worked_example_gives_its_points_shifts_and_weights() -> None:
    result = analyze(planted(example()), Params(block="res4"))
    assert result.point_cells[0, :, 0, 0].tolist() == [[1, 0], [3, 1], [0, 3], [2, 2]]
    assert result.point_cells[0, :, 0, 1].tolist() == [[1, 1], [2, 0], [0, 2], [3, 3]]
    assert result.value[0, :, 0].T.tolist() == [pytest.approx([1, 0.6, 0.8, 0.4]), pytest.approx([0.95, 0.5, 0.3, 0.85])]
    assert np.allclose(result.match[0, :, :, 0, 0], EXAMPLE_MATCH, atol=1e-4)
    assert np.allclose(result.shift_cells[0, :, 0, 0], EXAMPLE_SHIFT_XY, atol=1e-4)
    assert np.allclose(result.region_weight[0, :, 0, 0], EXAMPLE_WEIGHT, atol=1e-5)
    assert np.allclose(result.weighted_cells[0, 2, 0, 0], (0.687478, -0.042621), atol=1e-4)
    assert result.centre_cells.tolist() == [[[1.5, 1.5], [1.5, 1.5]]]


def test_moves_into_other_regions_are_counted() -> None:
    result = analyze(planted(example()), Params(block="res4"))
    assert result.best_region[0, :, 0, 0].tolist() == [0, 1, 3, 1]
    assert result.summary()["cross_region_moves_shown"] == 2
    assert result.summary()["shifts_shown"] == 4


def test_distinct_still_points_stay_and_match_themselves() -> None:
    result = analyze(planted(dots([STILL, STILL])), Params(block="res4"))
    assert np.abs(result.shift_cells).max() <= 0.01
    assert result.best_region[0, :, 0, 0].tolist() == [0, 1, 2, 3]
    assert result.best_match.min() >= 0.9997
    assert not any("matched by their values alone" in note for note in result.notes)


def test_near_equal_values_are_said_to_be_ambiguous() -> None:
    noise = np.random.default_rng(0).random((8, 4, 14, 14))
    result = analyze(planted(noise), Params(block="res4"))
    told = next(note for note in result.notes if "matched by their values alone" in note)
    assert "equal values would have 0.25" in told
    assert np.linalg.norm(result.shift_cells, axis=-1).mean() > 3, "nothing moves, and yet"


@pytest.mark.parametrize("regions", [1, 4, 9, 16])
def test_one_bright_dot_is_followed(regions: int) -> None:
    """Down by two, right by one, inside one region of each splitting."""
    run = planted(dots([{(8, 8): 9.0}, {(10, 9): 9.0}], 16, 16))
    result = analyze(run, Params(block="res4", regions=regions))
    best = result.value[0, :, 0].max(1).argmax()
    assert result.point_cells[0, best, 0].tolist() == [[8, 8], [9, 10]]
    assert result.shift_cells[0, best, 0, 0] == pytest.approx([1, 2], abs=0.01)
    assert result.regions == regions
    assert result.boundary_cells.shape == (1, 2, int(regions**0.5) - 1, 2)


def test_steps_are_not_mixed_up() -> None:
    """The first step goes right, the second one down."""
    result = analyze(planted(dots([{(2, 2): 9.0}, {(2, 4): 9.0}, {(5, 4): 9.0}])), Params(block="res4", regions=1))
    assert result.shift_cells[0, 0, 0].tolist() == [[2, 0], [0, 3]]


# ------------------------------------------------------------------------------------------------ dead regions


def test_a_region_of_one_value_has_no_key_point() -> None:
    maps = dots([STILL, STILL])
    maps[0, 0, :7, :7] = 0.25
    result = analyze(planted(maps), Params(block="res4"))
    assert result.flat[0, :, 0].T.tolist() == [[True, False, False, False], [False] * 4]
    assert not result.drawn[0, 0, 0, 0]
    assert "1 of 8 regions shown have one value everywhere: they have no key point." in result.notes


def test_a_dead_channel_has_none_and_its_summary_has_no_means() -> None:
    result = analyze(planted(np.zeros((1, 3, 6, 6))), Params(block="res4"))
    assert result.flat.all()
    assert np.isfinite(result.shift_cells).all()
    assert "best_match_mean" not in result.summary()


def test_a_region_of_one_cell_is_not_flat() -> None:
    result = analyze(planted(np.random.default_rng(1).random((3, 2, 4, 4))), Params(block="res4", regions=16))
    assert not result.flat.any()


# ------------------------------------------------------------------------------------------------ what is shown


def test_channels_that_count_most_come_first() -> None:
    result = analyze(planted(example(4)), Params(block="res4", channels_shown=2))
    assert result.channels.tolist() == [3, 2]


def test_named_channels_are_taken_in_their_order() -> None:
    result = analyze(planted(example(4)), Params.parse(block="res4", channels="1, 0,1"))
    assert result.channels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"channels": (4,)}, r"channels has 4, but res4 has channels 0\.\.3"),
        ({"channels": "a,b"}, r"channels \(whole numbers, separated by commas\)"),
        ({"set_shown": 1}, r"set_shown is 1, but res4 has sets 0\.\.0"),
        ({"regions": 5}, "regions is 5, but a square number"),
        ({"regions": 9, "block": "res7"}, r"(?i)unknown block 'res7'.*res2.*res5"),
    ],
)
def test_impossible_wishes_are_one_sentence(params: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        analyze(planted(example(4)), Params.parse(**{"block": "res4", **params}))


def test_a_map_smaller_than_its_regions_is_refused() -> None:
    with pytest.raises(SettingError, match="3 x 3 cells, but 16 regions need at least 4 x 4"):
        analyze(planted(np.ones((1, 2, 3, 3))), Params(block="res4", regions=16))


def test_one_step_in_time_is_refused() -> None:
    with pytest.raises(SettingError, match="1 step in time"):
        analyze(planted(np.ones((1, 1, 4, 4))), Params(block="res4"))


# ------------------------------------------------------------------------------------------------ any network


def test_a_network_without_kpsem_shows_the_stage_of_16_px_and_says_so() -> None:
    run = plain_run()
    result = analyze(run, Params())
    assert default_stage(run.network, 4) == result.block == "res5"
    assert result.grid.stride_px == 16
    assert not result.learned
    assert "no KPSEM module is at work" in result.notes[0]
    assert unavailable(run.network) is None


def test_a_stage_without_two_steps_in_time_is_passed_over() -> None:
    network = load_network("mfnet", num_classes=5, width=8, stem="5x5/2")
    two = replace(network, stages=tuple(replace(stage, stride_frames=2 + 2 * (stage.name == "res5")) for stage in network.stages))
    assert [stage.stride_px for stage in two.stages] == [2, 4, 8, 16]
    assert (default_stage(two, 5), default_stage(two, 4), default_stage(two, 2)) == ("res5", "res4", "res5")


def test_a_block_is_split_where_its_module_splits_it() -> None:
    run = kpsem_run()
    (name, module) = next(iter(kpsem_blocks(run.network).items()))
    result = analyze(run, Params(set_shown=2))
    features = run.taps[name].before[None]
    with torch.no_grad():
        centre = module.centre(features)
        wanted = module.regional_shifts(features, centre[:, 1])[0]
    assert (result.block, result.learned, len(result.value)) == (name, True, 3)
    assert np.array_equal(result.centre_cells, centre[0, :, :, 0].numpy())
    assert np.ptp(result.centre_cells, axis=0).max() > 0.1, "every set has a centre of its own"
    assert np.allclose(result.weighted_cells[1], wanted.permute(1, 2, 0, 3).numpy(), atol=1e-6)
    assert ("vector", str(module.out_features)) in result.shapes


def test_matches_and_weights_sum_to_one() -> None:
    result = analyze(kpsem_run(), Params())
    assert np.allclose(result.match.sum(2), 1, atol=1e-5)
    assert np.allclose(result.region_weight.sum(1), 1, atol=1e-5)
    assert np.abs(result.shift_cells).max() <= max(result.grid.shape[1:])


def test_another_splitting_than_the_block_s_needs_a_stage() -> None:
    with pytest.raises(SettingError, match="regions is 9, but the block splits frames into 4"):
        analyze(kpsem_run(), Params(regions=9))
    assert analyze(kpsem_run(), Params(block="res4", regions=9)).regions == 9


def test_a_block_that_is_switched_off_is_not_shown() -> None:
    run = kpsem_run()
    (name,) = kpsem_blocks(run.network)
    without = probe(run.network, run.clip, without=name)
    with pytest.raises(NotAvailableError, match="switched off"):
        analyze(without, Params(block=name))
    found = analyze(without, Params())
    assert not found.learned
    assert f"Switched off in this run: {name}." in found.notes


def test_another_set_or_channel_finds_nothing_again_and_says_what_a_fresh_run_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from vizkit.motion.kpsem import analysis

    run, calls = replace(kpsem_run()), []
    find = analysis._find
    monkeypatch.setattr(analysis, "_find", lambda *given: calls.append(1) or find(*given))
    analyze(run, Params())
    other = analyze(run, Params(set_shown=1, channels_shown=2))
    assert len(calls) == 1
    fresh = analyze(replace(run), Params(set_shown=1, channels_shown=2))
    assert len(calls) == 2
    for name, values in fresh.arrays().items():
        assert np.array_equal(values, other.arrays()[name]), name
    stage = analyze(run, Params(block="res4", regions=9))
    assert stage.regions == 9
