"""The trap: in a share of the clips the background's colour gives the label away; nothing else changes."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from vizkit.errors import SettingError
from vizkit.world import LABELS, clip, clip_at, render
from vizkit.world.scene import BACKGROUND, Scene, background_color, draw_scene

SIDE = 48
CLIPS = 96


def drawn(index: int, trap: float) -> Scene:
    return draw_scene(index, split="train", seed=0, label=None, frames=4, nuisances=True, trap=trap)


def tied(index: int, trap: float) -> bool:
    return not np.array_equal(drawn(index, trap).color, drawn(index, 0.0).color)


def test_a_share_of_the_clips_is_tied_and_stays_tied_at_a_larger_share() -> None:
    half, most = ({index for index in range(CLIPS) if tied(index, share)} for share in (0.5, 0.9))
    assert half < most
    assert 0.35 < len(half) / CLIPS < 0.65
    assert 0.8 < len(most) / CLIPS < 0.98
    assert all(tied(index, 1.0) for index in range(CLIPS))


def test_only_colours_change() -> None:
    for index in range(16):
        before, after = drawn(index, 0.0), drawn(index, 1.0)
        for name in {field.name for field in fields(before)} - {"color", "noise"}:
            assert np.array_equal(getattr(before, name), getattr(after, name)), name
        assert all(np.array_equal(*pair) for pair in zip(before.noise, after.noise, strict=True))
    index = next(index for index in range(CLIPS) if not tied(index, 0.5))
    assert torch.equal(render([index], side_px=SIDE, trap=0.5).frames, render([index], side_px=SIDE).frames)


def test_the_background_has_the_labels_colour() -> None:
    assert len({tuple(background_color(label).round(3)) for label in range(len(LABELS))}) == len(LABELS)
    said = []
    for index in range(64):
        base = drawn(index, 1.0).color[BACKGROUND, 0]
        distances = [np.abs(base - background_color(label)).sum() for label in range(len(LABELS))]
        said.append(int(np.argmin(distances)))
    assert said == [index % len(LABELS) for index in range(64)]


def test_things_stay_apart_from_their_new_background() -> None:
    for index in range(32):
        scene = drawn(index, 1.0)
        others = scene.color[1:, 0]
        assert np.abs(others - scene.color[BACKGROUND, 0]).max(axis=1).min() >= 0.3 - 1e-6
        assert scene.color[1:].min() >= 0
        assert scene.color[1:].max() <= 1


def test_the_truth_does_not_depend_on_it() -> None:
    plain, trapped = clip(3, side_px=SIDE, frames=4), clip_at("world:test:3:frames=4,side_px=48,trap=1")
    assert trapped.clip.name == "world:test:3:frames=4,side_px=48,trap=1"
    assert trapped.label == plain.label
    assert np.array_equal(trapped.truth.flow_px, plain.truth.flow_px)
    assert trapped.clip.digest != plain.clip.digest


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(SettingError, match=rf"trap is {share}, a share of 0 to 1"):
        render([0], trap=share)
