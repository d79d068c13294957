"""Drifting patches: labels, tracks and textures; what decides that correlation helps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.contracts import Measured
from vizkit.net.backbones.tiny import build_tiny_r2d
from vizkit.world.drift import DIRECTIONS_XY, FRAMES, PATCH_PX, SIDE_PX, SPEEDS_PX, drifting_patches, judge_gain, learn_directions

PLACES = SIDE_PX - PATCH_PX + 1


@pytest.fixture(scope="module")
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    return drifting_patches(64, np.random.default_rng(0))


def track(clip: torch.Tensor, direction: int) -> list[tuple[int, int, int]]:
    """All (x, y, speed) from which a patch runs through the clip in a direction, unchanged, everything else standing still."""
    windows = [F.unfold(frame[None], PATCH_PX)[0].unflatten(1, (PLACES, PLACES)) for frame in clip.unbind(1)]  # [3*81, 24, 24]
    found = []
    for speed in SPEEDS_PX:
        step_x, step_y = (speed * part for part in DIRECTIONS_XY[direction])
        same = torch.stack([(windows[0] == part.roll((-t * step_y, -t * step_x), (1, 2))).all(0) for t, part in enumerate(windows)]).all(0)
        for y, x in same.nonzero().tolist():
            last = (x + (FRAMES - 1) * step_x, y + (FRAMES - 1) * step_y)
            if all(0 <= place < PLACES for place in last) and background_stands(clip, (x, y), (step_x, step_y)):
                found.append((x, y, speed))
    return found


def background_stands(clip: torch.Tensor, start: tuple[int, int], step: tuple[int, int]) -> bool:
    """Whether neighbouring frames agree wherever neither shows the patch."""
    still = torch.ones(FRAMES, SIDE_PX, SIDE_PX, dtype=torch.bool)
    for t, frame in enumerate(still):
        x, y = (begin + t * along for begin, along in zip(start, step, strict=True))
        frame[y : y + PATCH_PX, x : x + PATCH_PX] = False
    return bool(((clip[:, 1:] == clip[:, :-1]) | ~(still[1:] & still[:-1])).all())


def test_shapes_and_balanced_labels(clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames, labels = clips
    assert frames.shape == (64, 3, 6, 32, 32)
    assert frames.dtype == torch.float32
    assert torch.bincount(labels).tolist() == [8] * 8
    assert labels[:8].tolist() != list(range(8))


def test_the_patch_moves_as_the_label_says_and_nothing_else_moves(clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    speeds = set()
    for clip, label in zip(clips[0][:24], clips[1][:24].tolist(), strict=True):
        found = track(clip, label)
        assert len(found) == 1
        speeds.add(found[0][2])
        assert track(clip, (label + 4) % 8) == []
    assert speeds == set(SPEEDS_PX)


def test_a_clip_run_backwards_has_the_opposite_label(clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    for clip, label in zip(clips[0][:4], clips[1][:4].tolist(), strict=True):
        assert len(track(clip.flip(1), (label + 4) % 8)) == 1


def test_opposite_directions_are_opposite_labels() -> None:
    assert all(
        (x + DIRECTIONS_XY[(label + 4) % 8][0], y + DIRECTIONS_XY[(label + 4) % 8][1]) == (0, 0)
        for label, (x, y) in enumerate(DIRECTIONS_XY)
    )


def test_textures_are_drawn_anew_and_the_patch_stands_out(clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames = clips[0]
    assert float(frames.mean()) == pytest.approx(0, abs=0.05)
    (x, y, _), *_ = track(frames[0], int(clips[1][0]))
    patch = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.bool)
    patch[y : y + PATCH_PX, x : x + PATCH_PX] = True
    first = frames[0, :, 0]
    assert float(first[:, patch].std()) > 1.5 * float(first[:, ~patch].std())
    assert not torch.equal(frames[0, :, 0], frames[1, :, 0])
    again, _ = drifting_patches(64, np.random.default_rng(0))
    assert torch.equal(again, frames)


def test_networks_are_trained_on_the_same_clips_from_the_same_seed() -> None:
    build = partial(build_tiny_r2d, 8, width=2)
    lines: list[str] = []
    ours = learn_directions({"one": build, "same": build}, steps=2, seeds=2, report=lines.append)
    assert [(entry.network, entry.seed) for entry in ours] == [("one", 0), ("same", 0), ("one", 1), ("same", 1)]
    assert ours[0].value == ours[1].value
    assert ours[2].value == ours[3].value
    assert all(0 <= entry.value <= 1 for entry in ours)
    assert lines[0].startswith("one, seed 0: step 1 of 2, loss ")
    assert lines[2] == f"one, seed 0: {ours[0].value:.1%} of the test clips"


def measured(**values: float) -> tuple[Measured, ...]:
    return tuple(Measured(name, 0, value) for name, value in values.items())


def test_25_points_are_enough_and_less_is_not() -> None:
    assert judge_gain(measured(plain=0.25, motion=0.5), plain="plain", decisive="motion").reproduced
    missed = judge_gain(measured(plain=0.25, motion=0.499), plain="plain", decisive="motion")
    assert not missed.reproduced
    assert missed.reason == "motion has 49.9%, plain 25.0% (seed 0, the smallest gain), less than 25 points apart."


def test_every_seed_has_to_gain() -> None:
    ours = (*measured(plain=0.2, motion=0.9), Measured("plain", 1, 0.5), Measured("motion", 1, 0.6))
    found = judge_gain(ours, plain="plain", decisive="motion")
    assert not found.reproduced
    assert "(seed 1, the smallest gain)" in found.reason


def test_ablations_decide_nothing_and_say_so() -> None:
    found = judge_gain(measured(plain=0.2, motion=0.9, ablated=0.1), plain="plain", decisive="motion")
    assert found.reproduced
    assert "not separated" in found.reason
    assert "ablations" not in judge_gain(measured(plain=0.2, motion=0.9), plain="plain", decisive="motion").reason
