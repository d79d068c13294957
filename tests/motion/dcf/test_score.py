"""Scores on planted answers: right where the record is right, wrong where it is turned, silent where nothing can be known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling, Score
from vizkit.motion.dcf.analysis import CorrelationFields, Params, analyze
from vizkit.motion.dcf.score import angles_deg, calibrate_norms, judge, measure_direction, measure_level, score, surfaces
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip

Load = Callable[..., Network]
Moving = Callable[..., ProbedRun]
EIGHT = Sampling(segments=8, frames=8, short_side_px=112, crop_px=112)


@pytest.fixture(scope="module")
def slide() -> WorldClip:
    """A thing moves left by some 5 px per frame in eight frames of 112 x 112; the camera stands still."""
    return clip(0, frames=8, side_px=112, nuisances=False)


@pytest.fixture(scope="module")
def template(small: Load, slide: WorldClip) -> CorrelationFields:
    """A record at stride 4 (reach 8 px per frame), to be filled by hand."""
    return analyze(probe(small(), slide.clip, sampling=EIGHT), Params(stages=("res3",)))


def planted(template: CorrelationFields, world: WorldClip, **changes: Any) -> CorrelationFields:
    """The true displacements everywhere, confidence 1; ``turn`` rotates them by quarter turns, ``still`` silences the background."""
    level = template.levels[0]
    known = surfaces(level, world.truth)
    true = np.stack([known.displacement_px[offset] for offset in level.frame_offset.tolist()])
    for _ in range(changes.pop("quarter_turns", 0)):
        true = np.stack([-true[..., 1], true[..., 0]], -1)
    fields = {"displacement_px": true, "confidence": np.ones_like(level.confidence)}
    return replace(template, levels=(replace(level, **{**fields, **changes}),))


# ------------------------------------------------------------------------------------------------ angles


def test_angles_between_vectors() -> None:
    decoded = np.array([[1, 0], [0, 2], [-3, 0], [1, 1], [0, 0], [1e-9, 0]])
    true = np.array([[5, 0], [5, 0], [5, 0], [5, 0], [5, 0], [5, 0]])
    assert angles_deg(decoded, true).tolist() == pytest.approx([0, 90, 180, 45, 90, 0])


# ------------------------------------------------------------------------------------------------ planted answers


def test_the_true_displacements_are_right(template: CorrelationFields, slide: WorldClip) -> None:
    measured = judge(planted(template, slide), slide.truth)
    assert measured["cosine_res3_angle_deg"] == pytest.approx(0, abs=1e-3)
    assert measured["cosine_res3_octant"] == 1
    assert measured["cosine_res3_calibration_error"] == 0
    assert measured["cosine_res3_leakage"] == 0
    assert measured["cosine_res3_offset2_angle_deg"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("quarter_turns", "angle"), [(1, 90), (2, 180), (3, 90)])
def test_turned_displacements_are_wrong(template: CorrelationFields, slide: WorldClip, quarter_turns: int, angle: float) -> None:
    measured = judge(planted(template, slide, quarter_turns=quarter_turns), slide.truth)
    assert measured["cosine_res3_angle_deg"] == pytest.approx(angle, abs=1e-3)
    assert measured["cosine_res3_octant"] == 0
    assert measured["cosine_res3_calibration_error"] == 1


def test_displacements_of_the_other_direction_of_time_are_wrong(template: CorrelationFields, slide: WorldClip) -> None:
    right = planted(template, slide).levels[0].displacement_px
    assert judge(planted(template, slide, displacement_px=right[::-1].copy()), slide.truth)["cosine_res3_angle_deg"] > 160


def test_a_decoded_zero_is_no_answer(template: CorrelationFields, slide: WorldClip) -> None:
    measured = judge(planted(template, slide, displacement_px=np.zeros_like(template.displacement_px)), slide.truth)
    assert measured["cosine_res3_angle_deg"] == 90
    assert measured["cosine_res3_octant"] == 0
    assert measured["cosine_res3_leakage"] == 0


def test_motion_claimed_on_still_background_leaks_by_its_confidence(template: CorrelationFields, slide: WorldClip) -> None:
    level = template.levels[0]
    claimed = np.zeros_like(level.displacement_px)
    claimed[..., 0] = 2.0 * level.frame_offset[:, None, None, None]  # half a cell per frame
    sure = np.full_like(level.confidence, 0.25)
    measured = judge(planted(template, slide, displacement_px=claimed, confidence=sure), slide.truth)
    assert measured["cosine_res3_leakage"] == pytest.approx(0.25)
    measured = judge(planted(template, slide, displacement_px=0.99 * claimed, confidence=sure), slide.truth)
    assert measured["cosine_res3_leakage"] == 0


def test_confidence_is_compared_with_the_share_that_is_right(template: CorrelationFields, slide: WorldClip) -> None:
    """All right, but only 0.3 sure: the gap is 0.7."""
    sure = np.full_like(template.confidence, 0.3)
    measured = judge(planted(template, slide, confidence=sure), slide.truth)
    assert measured["cosine_res3_calibration_error"] == pytest.approx(0.7, abs=1e-6)


# ------------------------------------------------------------------------------------------------ what is counted


def test_only_moving_visible_cells_within_reach_are_counted(template: CorrelationFields, slide: WorldClip) -> None:
    level, truth = planted(template, slide).levels[0], slide.truth
    cells = measure_level(level, surfaces(level, truth))
    assert set(cells) == {"cosine_res3", "cosine_res3_offset2"}
    points = [(t, 4.0 * x, 4.0 * y) for t in range(8) for y in range(2, 26) for x in range(2, 26)]
    tracks, visible = truth.tracks(np.array(points))
    counted = 0
    for (t, x, y), track, seen in zip(points, tracks, visible, strict=True):
        for other in (t - 1, t + 1):
            if 0 <= other < 8 and seen[other] and truth.moving[t, int(y), int(x)]:
                step = track[other] - np.array([x, y])
                counted += bool(np.hypot(*step) >= 2 and (np.abs(step) <= 8).all())
    assert counted > 100
    assert len(cells["cosine_res3"]["angle_deg"]) == counted


def test_motion_beyond_the_reach_is_not_counted(small: Load) -> None:
    """At stride 2 the neighbourhood reaches 4 px; the thing moves by some 9 px in each of four frames of 64 x 64."""
    fast = clip(0, frames=4, side_px=64, nuisances=False)
    result = analyze(probe(small(), fast.clip), Params(stages=("res2",)))
    measured = judge(result, fast.truth)
    assert "cosine_res2_angle_deg" not in measured
    assert "cosine_res2_leakage" in measured


def test_surfaces_are_followed_in_the_frames_of_the_grid(template: CorrelationFields, slide: WorldClip) -> None:
    level = template.levels[0]
    halved = replace(
        level, grid=replace(level.grid, stride_frames=2, shape=(4, *level.grid.shape[1:])), volume=level.volume[:, ::2],
        displacement_px=level.displacement_px[:, ::2], confidence=level.confidence[:, ::2], valid_time=level.valid_time[:, ::2],
    )  # fmt: skip
    every, second = surfaces(level, slide.truth), surfaces(halved, slide.truth)
    assert np.allclose(second.displacement_px[1], every.displacement_px[2][::2])
    assert np.array_equal(second.moving, every.moving[::2])
    assert np.array_equal(every.moving, slide.truth.moving[:, ::4, ::4])
    assert np.array_equal(every.background, slide.truth.object_id[:, ::4, ::4] == 0)


# ------------------------------------------------------------------------------------------------ over clips

MEASURES = ("angle_deg", "octant", "leakage", "calibration_error")


@pytest.fixture(scope="module")
def at_112(small: Load) -> Network:
    return replace(small(), sampling=EIGHT)


@pytest.fixture(scope="module")
def scored(at_112: Network) -> dict[str, Score]:
    return score(at_112, clips=2)


def test_scores_over_clips_have_intervals_and_counts(scored: dict[str, Score]) -> None:
    for source in ("cosine", "model", "rgb"):
        assert f"dcf.{source}_res2_leakage" in scored
        for stage in ("res3", "res4"):
            assert {f"dcf.{source}_{stage}_{measure}" for measure in MEASURES} <= set(scored)
    assert "dcf.model_res3_offset2_octant" in scored
    assert not any("res4_offset2" in name or ("rgb" in name and "offset2" in name) for name in scored)
    for name, value in scored.items():
        assert 0 <= value.value <= (180 if name.endswith("_deg") else 1), name
        assert value.interval[0] <= value.value <= value.interval[1], name
    assert scored["dcf.cosine_res3_octant"].n == scored["dcf.rgb_res3_octant"].n == scored["dcf.model_res3_octant"].n > 100
    assert scored["dcf.cosine_res3_octant"].value > 0.3  # a random direction: 0.125


def test_scores_can_be_measured_again(at_112: Network, scored: dict[str, Score]) -> None:
    assert score(at_112, clips=2) == scored
    assert score(at_112, clips=2, seed=1) != scored


def test_which_networks_are_measured(small: Load) -> None:
    assert {name.split("_")[0] for name in score(small("r2plus1d-dw-50"), clips=1)} == {"dcf.cosine", "dcf.rgb"}
    other = load_network("cpnet-18", num_classes=5, width=4, stem="5x5/2")
    assert score(other, clips=1) == {}
    assert score(replace(small("r2plus1d-dw-50"), stages=()), clips=1) == {}


# ------------------------------------------------------------------------------------------------ scenes of one motion


def test_norms_are_calibrated_on_a_copy(small: Load) -> None:
    network = small("r2plus1d-dw-50")
    clips = [np.random.default_rng(seed).integers(0, 256, (2, 32, 32, 3), np.uint8) for seed in range(2)]
    digest = network.digest
    made = calibrate_norms(network, clips)
    assert replace(network).digest == digest
    assert made.digest != digest
    assert not made.module.training
    stem = made.module.stem.norm  # type: ignore[union-attr]
    with torch.no_grad():
        passed = [
            made.module.stem.conv(made.normalized(torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255)) for frames in clips
        ]  # type: ignore[union-attr]
    assert torch.allclose(stem.running_mean, torch.cat(passed).mean((0, 2, 3, 4)), atol=1e-5)  # type: ignore[union-attr, arg-type]


def test_a_small_network_shows_the_direction_of_a_moving_patch(small: Load) -> None:
    """At stride 2: diagonal steps are whole cells, the others one and a half, which a net of four channels sees less well."""
    cosine, model = (measure_direction(small(), stage="res2", source=source, speed_px=3, side_px=112) for source in ("cosine", "model"))
    for found in (cosine, model):
        assert found.angle_deg.shape == found.octant.shape == found.confidence.shape == found.background_cells.shape == (8,)
    assert (cosine.octant[1::2] > 0.95).all()
    assert cosine.octant.mean() > 0.7
    assert cosine.octant.mean() > model.octant.mean()
    assert cosine.background_cells.max() < 0.4
    assert cosine.flat_confidence < 0.05


def test_the_directions_go_clockwise_from_right(small: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every true motion taken for right, the error is the angle from right."""
    from vizkit.motion.dcf import score as module

    compare = module._compare
    monkeypatch.setattr(module, "_compare", lambda level, cells, _step: compare(level, cells, (1, 0)))
    found = measure_direction(small(), stage="res2", speed_px=3, side_px=112)
    assert found.angle_deg[1::2] == pytest.approx([45, 135, 135, 45], abs=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_an_untrained_network_shows_how_a_scene_moves(seed: int) -> None:
    """R(2+1)D-50 with random weights at 224 px, 6 px per frame, source cosine, res2: the bars of docs/dcf.md, section 7."""
    found = measure_direction(load_network("r2plus1d-dw-50"), stage="res2", speed_px=6, seed=seed)
    assert found.angle_deg.mean() < 6
    assert (found.octant > 0.95).all()
    assert (found.background_cells < 0.15).all()
    assert found.flat_confidence < 0.05
    assert found.textured_confidence > 0.5
    assert found.textured_angle_deg < 6


def test_every_stage_of_a_picture_is_judged(run: ProbedRun, world: WorldClip) -> None:
    result = analyze(run, Params())
    judged = judge(result, world.truth)
    assert {name.split("_")[1] for name in judged} == {"res2", "res3", "res4"}
