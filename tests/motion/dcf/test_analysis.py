"""From a probed run to correlation fields: right frames, right pixels, right source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.contracts import Grid, SampledClip, Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.dcf import analysis
from vizkit.motion.dcf.analysis import CorrelationFields, Params, analyze, unavailable
from vizkit.motion.dcf.levels import pool_levels
from vizkit.motion.dcf.module import DCFBlock, correlation_volume, pool_volume
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip

Load = Callable[..., Network]
Moving = Callable[..., ProbedRun]


def look(run: ProbedRun, **params: Any) -> CorrelationFields:
    return analyze(run, Params.parse(**params))


# ------------------------------------------------------------------------------------------------ known motion


@pytest.mark.parametrize("velocity_xy", [(2, 1), (-1, 2), (0, -2), (1, 0)])
def test_displacements_are_in_pixels_and_point_to_the_other_frame(moving: Moving, velocity_xy: tuple[int, int]) -> None:
    result = look(moving(velocity_xy))
    assert result.frame_offset.tolist() == [-2, -1, 1, 2]
    assert result.levels[0].dilation_cells.tolist() == [2, 1, 1, 2]
    for number, offset in enumerate(result.frame_offset.tolist()):
        valid = result.valid_time[number]
        inner = result.displacement_px[number, valid][:, 4:-4, 4:-4]
        assert np.abs(inner.mean((0, 1, 2)) - 4.0 * offset * np.array(velocity_xy)).max() < 0.4 * abs(offset)
        motion = result.levels[0].motion_px[number, valid][:, 4:-4, 4:-4]
        assert np.abs(motion.mean((0, 1, 2)) - 4.0 * np.array(velocity_xy)).max() < 0.4
    assert result.levels[0].reach_px == 8.0


def test_time_steps_of_two_frames_give_half_the_motion_per_frame(moving: Moving) -> None:
    result = look(moving((2, 1), stride_frames=2))
    level = result.levels[0]
    ahead = level.frame_offset.tolist().index(1)
    assert result.grid.stride_frames == 2
    assert np.allclose(level.displacement_px[ahead], look(moving((2, 1))).displacement_px[ahead])
    assert np.allclose(level.motion_px[ahead], level.displacement_px[ahead] / 2)
    assert level.reach_px == 4.0


def test_rows_of_the_volume_are_dy(moving: Moving) -> None:
    volume = look(moving((2, 1))).volume  # [offsets, T, P, P, H, W]
    assert volume.shape == (4, 5, 5, 5, 16, 20)
    inner = volume[2, 1, :, :, 4:-4, 4:-4].mean((2, 3))
    assert np.unravel_index(int(inner.argmax()), inner.shape) == (2 + 1, 2 + 2)


def test_reversing_the_clip_reverses_offsets_and_time(run: ProbedRun) -> None:
    tap = run.taps["res2"]
    back = replace(run, taps={**run.taps, "res2": replace(tap, before=tap.before.flip(1), after=tap.after.flip(1))})
    there, again = look(run, stages="res2"), look(back, stages="res2")
    assert np.allclose(again.volume, there.volume[::-1, ::-1], atol=1e-5)
    assert np.allclose(again.confidence, there.confidence[::-1, ::-1], atol=1e-4)
    assert np.array_equal(again.valid_time, there.valid_time[::-1, ::-1])


# ------------------------------------------------------------------------------------------------ the record


def test_cosine_is_the_similarity_of_centred_features(run: ProbedRun) -> None:
    result = look(run, stages="res3", temporal_range=1)
    features = run.taps["res3"].after
    unit = F.normalize(features - features.mean((1, 2, 3), keepdim=True), dim=0)
    t, y, x, dy, dx = 1, 6, 5, -2, 1
    expected = float((unit[:, t, y, x] * unit[:, t + 1, y + dy, x + dx]).sum())
    assert result.volume[1, t, dy + 2, dx + 2, y, x] == pytest.approx(expected, abs=1e-5)
    assert np.abs(result.volume).max() <= 1 + 1e-5


def test_model_is_the_volume_that_the_block_computed(run: ProbedRun) -> None:
    result = look(run, source="model")
    assert [level.grid.stage for level in result.levels] == ["res2", "res3", "res4"]
    for level in result.levels:
        block = run.block(f"{level.grid.stage}.dcf")
        assert isinstance(block, DCFBlock)
        with torch.no_grad():
            own = block.correlate(block.reduce(run.taps[level.block].before[None]))[0]
        offsets, frames, patch, _, height, width = level.volume.shape
        assert np.array_equal(level.volume, own.view(offsets, patch, patch, frames, height, width).permute(0, 3, 1, 2, 4, 5).numpy())
        assert level.block == f"{level.grid.stage}.dcf"
    assert [len(level.frame_offset) for level in result.levels] == [4, 4, 2]


def test_what_must_hold_in_every_record(run: ProbedRun) -> None:
    for level in look(run).levels:
        _, height, width = level.grid.shape
        assert level.confidence.min() >= 0
        assert level.confidence.max() <= 1
        assert (np.abs(level.displacement_px).max((1, 2, 3, 4)) <= 2 * level.dilation_cells * level.step_px + 1e-4).all()
        for number, offset in enumerate(level.frame_offset.tolist()):
            there = np.arange(4) + offset
            assert level.valid_time[number].tolist() == [0 <= t < 4 for t in there]
            assert (level.confidence[number, ~level.valid_time[number]] == 0).all()
            band = 2 * abs(offset)
            whole = np.zeros((height, width), bool)
            whole[band : height - band, band : width - band] = True
            assert np.array_equal(level.complete[number], whole)


def test_the_first_stage_is_at_hand_and_the_others_have_their_names(run: ProbedRun) -> None:
    result = look(run)
    arrays = result.arrays()
    assert result.grid == Grid("res2", 0.0, 2.0, 1, (4, 32, 32))
    assert [level.grid.stride_px for level in result.levels] == [2.0, 4.0, 8.0]
    for name in ("volume", "frame_offset", "displacement_px", "confidence", "complete", "valid_time"):
        assert arrays[name] is getattr(result.levels[0], name)
        assert np.array_equal(getattr(result, name), arrays[name])
        assert arrays[f"{name}_res4"] is getattr(result.levels[2], name)
    assert {"dilation_cells", "picked_txy", "frame_index", "frame_times_s"} <= set(arrays)


def test_the_record_checks_its_shapes(run: ProbedRun) -> None:
    level = look(run, stages="res2").levels[0]
    for field in ("volume", "displacement_px", "confidence", "complete", "valid_time", "dilation_cells"):
        with pytest.raises(ValueError, match=r"CorrelationLevel\.\w+: expected \[offsets"):
            replace(level, **{field: getattr(level, field)[:-1]})
    with pytest.raises(ValueError, match=r"CorrelationLevel\.confidence"):
        replace(level, confidence=level.confidence.swapaxes(2, 3)[..., :-1])
    with pytest.raises(ValueError, match="at least one stage"):
        replace(look(run), levels=())


def test_the_summary_is_in_pixels_per_frame(moving: Moving) -> None:
    summary = look(moving((2, 0))).summary()
    assert summary["source"] == "cosine"
    assert summary["stages"] == "res2"
    assert summary["res2_reach_px"] == 8.0
    assert summary["res2_speed_px"] == pytest.approx(8.0, abs=0.5)
    assert 0.3 < float(summary["res2_confidence"]) < 1


def test_analysing_changes_nothing_in_the_run(run: ProbedRun) -> None:
    before = {name: tap.before.clone() for name, tap in run.taps.items()}
    first, second = look(run, source="model"), look(run, source="model")
    assert all(np.array_equal(first.arrays()[name], second.arrays()[name]) for name in first.arrays())
    assert all(torch.equal(run.taps[name].before, old) for name, old in before.items())


# ------------------------------------------------------------------------------------------------ any network


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("c2d-18", {"layout": None}, (4, 4, 4, 4)),
        ("r2plus1d-26", {"frames": 4}, (4, 4, 2, 1)),
        ("x3d-xs", {}, (4, 4, 4, 4)),
        ("cpnet-18", {"layout": None}, (4, 4, 4, 4)),
    ],
)
def test_every_network_with_stages_has_the_view(
    small: Load, world: WorldClip, name: str, options: dict[str, Any], steps: tuple[int, ...]
) -> None:
    from vizkit.checkpoint import load_network

    settings = {key: value for key, value in {"layout": (1, 1, 1, 1), **options}.items() if value is not None}
    network = replace(load_network(name, num_classes=5, width=4, stem="5x5/2", **settings), sampling=Sampling(segments=4, frames=4))
    run = probe(network, world.clip)
    result = look(run)
    assert [level.grid.stage for level in result.levels] == ["res2", "res3", "res4"]
    assert all((level.patch, len(level.frame_offset), level.block) == (5, 4, "") for level in result.levels)
    assert any("No DCF block at res2, res3, res4" in note for note in result.notes)
    every = look(run, stages="res2, res3,res4,res5")
    assert tuple(level.grid.shape[0] for level in every.levels) == steps
    for level, frames in zip(every.levels, steps, strict=True):
        assert level.grid.stride_frames == 4 // frames
        assert level.reach_px == 2 * level.grid.stride_px / level.grid.stride_frames


def test_one_frame_has_nobody_to_compare_with(moving: Moving) -> None:
    result = look(moving((1, 0), shape=(1, 16, 20)))
    assert not result.valid_time.any()
    assert not result.confidence.any()
    assert result.volume.shape == (4, 1, 5, 5, 16, 20)


def test_a_network_without_stages_has_no_view(run: ProbedRun) -> None:
    assert unavailable(run.network) is None
    reason = unavailable(replace(run.network, stages=(), blocks=()))
    assert reason is not None
    assert "stages" in reason


# ------------------------------------------------------------------------------------------------ settings


def test_stages_come_in_the_order_of_the_network(run: ProbedRun) -> None:
    assert [level.grid.stage for level in look(run, stages=("res4", "res2")).levels] == ["res2", "res4"]
    assert look(run, stages="res4").grid.stage == "res4"


def test_a_block_decides_patch_and_range_where_nothing_is_asked(small: Load, world: WorldClip) -> None:
    run = probe(small(patch=3, temporal_range=(1, 2, 1)), world.clip)
    result = look(run)
    assert [(level.patch, len(level.frame_offset)) for level in result.levels] == [(3, 2), (3, 4), (3, 2)]
    other = look(run, patch=7, temporal_range=3)
    assert [(level.patch, len(level.frame_offset)) for level in other.levels] == [(7, 6)] * 3


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"source": "model", "patch": 7}, "patch is 7, but source 'model' shows what the block at res2 uses, 5"),
        ({"source": "model", "temporal_range": 2}, "temporal_range is 2, .* block at res4 uses, 1"),
        ({"source": "model", "stages": "res5"}, "source is 'model', but .* has no DCF block at res5"),
        ({"stages": "res9"}, "Unknown stage 'res9'. Known: res2, res3, res4, res5"),
        ({"patch": 4}, "patch is 4, but an odd number of cells is accepted"),
        ({"patch": 17}, "patch"),
        ({"temporal_range": 0}, "temporal_range"),
        ({"source": "flow"}, "source"),
        ({"points": [(4, 3, 3)]}, r"t=4.*lies outside the clip: t 0\.\.3, x 0\.\.63, y 0\.\.63"),
        ({"points": [(0, 64, 3)]}, "x=64"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(run: ProbedRun, params: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        look(run, **params)


def test_volumes_beyond_the_limit_are_refused_before_they_are_made(run: ProbedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * 4 * 25 * 4 * 32 * 32
    monkeypatch.setattr(analysis, "LARGEST_BYTES", size)
    look(run, stages="res2")
    monkeypatch.setattr(analysis, "LARGEST_BYTES", size - 1)
    monkeypatch.setattr(analysis, "cosine_volume", lambda *_: pytest.fail("a volume was made"))
    with pytest.raises(SettingError, match="would take 0.0 GB, at most .*fewer stages"):
        look(run, stages="res2")


def test_a_switched_off_block_has_no_volume_of_its_own(small: Load, world: WorldClip) -> None:
    run = probe(small(), world.clip, without=["res3.dcf"])
    with pytest.raises(NotAvailableError, match=r"res3\.dcf is switched off"):
        look(run, source="model")
    assert [level.grid.stage for level in look(run, source="model", stages="res2,res4").levels] == ["res2", "res4"]
    result = look(run)
    assert [level.grid.stage for level in result.levels] == ["res2", "res3", "res4"]
    assert any("Switched off in this run: res3.dcf" in note for note in result.notes)


def test_notes_say_what_the_source_shows(run: ProbedRun) -> None:
    assert any("Source cosine" in note for note in look(run).notes)
    assert not any("Source cosine" in note for note in look(run, source="model").notes)
    assert any("Source model shows the dot products" in note for note in look(run, source="model").notes)
    reach = [note for note in look(run).notes if "reach" in note]
    assert len(reach) == 1
    assert "4 px (res2), 8 px (res3), 16 px (res4)" in reach[0]


def test_a_stage_with_one_time_step_is_told(moving: Moving) -> None:
    note = "One time step at res2: there is no other to compare it with, so no motion is shown."
    assert note in look(moving((0, 0), shape=(1, 16, 20), stride_frames=4)).notes
    assert note not in look(moving((0, 0), shape=(2, 16, 20), stride_frames=4)).notes


def test_repeated_frames_are_told(small: Load, run: ProbedRun) -> None:
    still = run.clip
    repeated = SampledClip(
        still.name, still.digest, still.sampling, still.frames[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), still.times_s, still.window
    )
    notes = look(probe(small(), repeated)).notes
    assert any("copies of others" in note for note in notes)


def test_provenance_holds_the_view_and_its_settings(run: ProbedRun) -> None:
    result = look(run, stages="res3", points=[(1, 2.5, 3.0)])
    assert result.provenance.view == "dcf"
    assert result.provenance.params["stages"] == ("res3",)
    assert result.provenance.params["points"] == ((1, 2.5, 3.0),)
    assert result.picked_txy.tolist() == [[1, 2.5, 3.0]]


def test_the_strip_shows_this_runs_shapes(run: ProbedRun) -> None:
    shapes = dict(look(run, stages="res2,res4").shapes)
    assert shapes["frames"] == "4 x 64 x 64"
    assert shapes["features (C x T x H x W)"] == "res2 16 x 4 x 32 x 32, res4 64 x 4 x 8 x 8"
    assert shapes["correlation"] == "res2 4 offsets x 5 x 5, res4 2 offsets x 5 x 5"
    assert shapes["picture"] == "res2 32 x 32 vectors, res4 8 x 8 vectors"


# ------------------------------------------------------------------------------------------------ the picked cell


def test_the_clearest_moving_cell_is_picked_where_none_is_asked_for(moving: Moving) -> None:
    """A still scene but for one square that moves: the pick lies on it, in a frame with one before and one after."""
    run = moving((0, 0), shape=(5, 24, 24))
    features = run.taps["res2"].after.clone()
    patch = torch.randn(32, 8, 8, generator=torch.Generator().manual_seed(9))
    for t in range(5):
        features[:, t, 8:16, 4 + 2 * t : 12 + 2 * t] = patch
    run = replace(run, taps={"res2": replace(run.taps["res2"], before=features, after=features)})
    (t, x, y) = look(run).picked_txy[0]
    assert t in (1, 2, 3)
    assert 4 * (4 + 2 * t) <= x < 4 * (12 + 2 * t)
    assert 4 * 8 <= y < 4 * 16


def test_where_nothing_moves_a_cell_is_picked_all_the_same(moving: Moving) -> None:
    assert look(moving((0, 0))).picked_txy.shape == (1, 3)


# ------------------------------------------------------------------------------------------------ all at one resolution


def test_pooled_levels_have_the_coarsest_size_and_keep_their_pixels(run: ProbedRun) -> None:
    """A mean of 2 x 2 cells lies half a cell further; a displacement keeps the unit of the stage that it was found in."""
    levels = look(run).levels
    pooled = pool_levels(levels)
    assert [level.grid for level in pooled] == [
        Grid("res2", 3.0, 8.0, 1, (4, 8, 8)), Grid("res3", 2.0, 8.0, 1, (4, 8, 8)), Grid("res4", 0.0, 8.0, 1, (4, 8, 8)),
    ]  # fmt: skip
    assert [level.reach_px for level in pooled] == [level.reach_px for level in levels]
    offsets, frames, patch, _, height, width = levels[0].volume.shape
    stacked = torch.from_numpy(levels[0].volume).reshape(1, offsets * frames, patch**2, height, width)
    assert np.allclose(pooled[0].volume.ravel(), pool_volume(pool_volume(stacked)).numpy().ravel(), atol=1e-6)
    assert pooled[2] is levels[2]


def test_pooled_cells_are_complete_where_all_their_parts_are(run: ProbedRun) -> None:
    level = pool_levels(look(run).levels)[0]
    ahead, twice = (level.frame_offset.tolist().index(offset) for offset in (1, 2))
    assert level.complete[ahead].sum() == 36  # a band of two cells of res2 lies in the outermost pooled cells
    assert level.complete[twice].sum() == 36


def test_pooled_motion_is_the_same_motion(moving: Moving) -> None:
    run = moving((1, -2), shape=(5, 24, 24))
    level = look(run).levels[0]
    coarse = replace(level, grid=replace(level.grid, stride_px=8.0, shape=(5, 12, 12)), volume=level.volume[..., ::2, ::2],
                     displacement_px=level.displacement_px[:, :, ::2, ::2], confidence=level.confidence[..., ::2, ::2],
                     complete=level.complete[:, ::2, ::2])  # fmt: skip
    pooled = pool_levels([level, coarse])[0]
    ahead = pooled.frame_offset.tolist().index(1)
    assert pooled.grid.shape == (5, 12, 12)
    inner = pooled.displacement_px[ahead, :-1, 2:-2, 2:-2]
    assert np.abs(inner.mean((0, 1, 2)) - [4.0, -8.0]).max() < 0.4


def test_sizes_that_halving_does_not_reach_are_refused(run: ProbedRun) -> None:
    first, second, _ = look(run).levels
    odd = replace(second, grid=replace(second.grid, shape=(4, 12, 12)), volume=second.volume[..., :12, :12],
                  displacement_px=second.displacement_px[:, :, :12, :12], confidence=second.confidence[..., :12, :12],
                  complete=second.complete[:, :12, :12])  # fmt: skip
    with pytest.raises(SettingError, match="res2 has 32 x 32 cells, and halving does not bring them to 12 x 12"):
        pool_levels([first, odd])


def test_the_correlation_is_that_of_the_public_function(run: ProbedRun) -> None:
    features = run.taps["res4"].after
    unit = F.normalize(features - features.mean((1, 2, 3), keepdim=True), dim=0)[None]
    volume = correlation_volume(unit, patch=3, temporal_range=2)[0] * len(features) ** 0.5
    result = look(run, stages="res4", patch=3, temporal_range=2)
    assert np.allclose(result.volume.transpose(0, 2, 3, 1, 4, 5).reshape(36, 4, 8, 8), volume.numpy(), atol=1e-6)


def test_picking_a_cell_correlates_nothing_anew(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls, level = moving((2, 1)), [], analysis._level

    def counted(*given: Any) -> Any:
        calls.append(given)
        return level(*given)

    monkeypatch.setattr(analysis, "_level", counted)
    first = look(run)
    assert len(calls) == 1
    picked = look(run, points=[(1, 20.0, 20.0)])
    assert len(calls) == 1
    assert picked.volume is first.volume
    look(run, patch=3)
    look(moving((2, 1)))
    assert len(calls) == 3


def test_frames_that_lie_far_apart_are_told(moving: Moving) -> None:
    run = moving((2, 1))
    seconds = replace(run, clip=replace(run.clip, times_s=np.arange(len(run.clip.frames), dtype=np.float64)))
    assert any("1 s apart" in note for note in look(seconds).notes)
    near = replace(run, clip=replace(run.clip, times_s=np.arange(len(run.clip.frames)) / 25))
    assert not any("apart" in note for note in look(near).notes)
