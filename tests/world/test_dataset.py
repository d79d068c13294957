"""Clips are pure functions of their address; pairs are each other's reversal."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vizkit.errors import SettingError
from vizkit.world import DEMOS, LABELS, clip, clip_at, render
from vizkit.world.scene import draw_scene

# ------------------------------------------------------------------------------------------------ the same bytes


def test_the_same_clip_has_the_same_bytes() -> None:
    first, second = clip(5, side_px=64), clip(5, side_px=64)
    assert first.clip.digest == second.clip.digest
    assert np.array_equal(first.clip.preview, second.clip.preview)
    assert np.array_equal(first.truth.flow_px, second.truth.flow_px)


@pytest.mark.parametrize("count", [5, 32])
def test_a_clip_in_a_batch_has_the_bytes_of_the_clip_alone(count: int) -> None:
    batch = render(range(count), split="test", frames=2, side_px=48)
    for index in range(count):
        alone = render([index], split="test", frames=2, side_px=48)
        assert torch.equal(batch.frames[index], alone.frames[0]), index
        assert torch.equal(batch.scenes.background[index], alone.scenes.background[0]), index
        assert torch.equal(batch.scenes.sprites[index], alone.scenes.sprites[0]), index


def test_a_batch_holds_the_clips_of_its_indices() -> None:
    batch = render([9, 2], split="test", frames=3, side_px=48)
    assert batch.frames.shape == (2, 3, 3, 48, 48)
    assert batch.frames.dtype == torch.uint8
    assert batch.labels.tolist() == [9, 2]
    for row, index in enumerate((9, 2)):
        alone = clip(index, frames=3, side_px=48)
        assert np.array_equal(batch.frames[row].permute(0, 2, 3, 1).numpy(), alone.clip.preview)
        assert alone.label == LABELS[index]


@pytest.mark.parametrize(
    "other", [{"index": 7}, {"split": "train"}, {"split": "demo"}, {"seed": 1}, {"label": "moving up"}, {"nuisances": False}, {"shake": 1}]
)
def test_another_address_is_another_clip(other: dict[str, object]) -> None:
    address: dict[str, object] = {"index": 6, "frames": 2, "side_px": 48}
    assert clip(**{**address, **other}).clip.digest != clip(**address).clip.digest  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize("pair", range(7))
def test_one_member_of_a_pair_is_the_other_one_backwards(pair: int) -> None:
    for index in (0, 21):
        even = clip(index, label=2 * pair, side_px=48, nuisances=False).clip
        odd = clip(index, label=2 * pair + 1, side_px=48, nuisances=False).clip
        assert np.array_equal(odd.preview, even.preview[::-1])
        assert not np.array_equal(odd.preview, even.preview)


def test_nuisances_keep_the_pair_in_the_same_scene() -> None:
    even, odd = (render([3], split="test", label=label, side_px=48).scenes for label in (0, 1))
    assert torch.equal(even.background, odd.background)
    assert torch.equal(even.sprites, odd.sprites)
    assert torch.equal(even.place.flip(2), odd.place)
    assert torch.equal(even.present, odd.present)


def test_nothing_is_not_the_camera_backwards() -> None:
    still = clip(0, label="nothing moves", side_px=48, nuisances=False).clip.preview
    moving = clip(0, label="the camera moves", side_px=48, nuisances=False).clip.preview
    assert (still == still[0]).all()
    assert not np.array_equal(moving[0], moving[-1])


@pytest.mark.parametrize("split", ["train", "test", "demo"])
def test_labels_take_turns_so_that_1600_test_clips_hold_100_of_each(split: str) -> None:
    for index in (*range(16), *range(800, 816), *range(1584, 1600)):
        assert draw_scene(index, split=split, seed=0, label=None, frames=1, nuisances=False).label == index % 16


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("index", [0, 4, 9, 12])
def test_a_scene_is_the_same_at_every_size(index: int) -> None:
    small, medium, large = (shrunk(index, side) for side in (64, 112, 224))
    other = shrunk(index + 16, 112)
    assert alike(small, medium) > 0.98
    assert alike(medium, large) > 0.98
    assert alike(other, medium) < 0.9


def shrunk(index: int, side_px: int) -> np.ndarray:
    frames = clip(index, side_px=side_px, frames=3, nuisances=False).clip.preview
    return np.stack([cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA) for frame in frames])


def alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_the_motion_over_the_clip_does_not_depend_on_the_number_of_frames() -> None:
    few, many = (clip(0, frames=frames, side_px=48, nuisances=False).clip.preview for frames in (2, 9))
    assert np.array_equal(few[0], many[0])
    assert np.array_equal(few[-1], many[-1])


def test_one_frame_is_a_clip() -> None:
    world = clip(0, frames=1, side_px=48)
    assert world.clip.preview.shape == (1, 48, 48, 3)
    assert world.truth.flow_px.shape == (0, 48, 48, 2)
    assert world.truth.occluded.shape == (0, 48, 48)
    assert world.truth.moving.shape == (1, 48, 48)
    xy, visible = world.truth.track(0, (10, 20))
    assert xy[0] == pytest.approx([10, 20], abs=1e-3)
    assert visible.tolist() == [True]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frames": 0}, r"frames is 0, allowed 1\.\."),
        ({"frames": 10_000}, r"frames is 10000, allowed 1\.\."),
        ({"side_px": 8}, r"side_px is 8, allowed 32\.\."),
        ({"side_px": 4096}, r"side_px is 4096, allowed 32\.\."),
        ({"split": "validation"}, "demo, test, train"),
        ({"label": "sideways"}, "moving left"),
        ({"label": 16}, "moving left"),
        ({"index": -1}, "index"),
        ({"seed": -1}, "seed"),
        ({"shake": -1}, r"shake is -1, allowed 0\.\."),
        ({"shake": 17}, r"shake is 17, allowed 0\.\."),
    ],
)
def test_what_is_not_in_the_world_is_refused_in_a_sentence(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        clip(**wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "values",
    [
        {"index": 3, "split": "demo"},
        {"index": 3, "seed": 2, "side_px": 48, "frames": 2},
        {"index": 0, "split": "train", "label": "falling and bouncing low", "side_px": 48},
        {"index": 0, "label": 0, "nuisances": False, "side_px": 48},
        {"index": 5, "shake": 2, "side_px": 48},
    ],
)
def test_the_name_of_a_clip_finds_it_again(values: dict[str, object]) -> None:
    world = clip(**values)  # type: ignore[arg-type]
    again = clip_at(world.clip.name)
    assert again.clip.digest == world.clip.digest
    assert again.clip.name == world.clip.name
    assert again.label == world.label


def test_the_name_holds_what_differs_from_the_defaults() -> None:
    assert clip(3, frames=2).clip.name == "world:test:3:frames=2"
    assert clip(3, split="demo", side_px=64, nuisances=False).clip.name == "world:demo:3:side_px=64,nuisances=0"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("world:demo", "names no clip"),
        ("world:demo:-1", "names no clip"),
        ("world:demo:x", "names no clip"),
        ("world:demo:1:side_px=big", "names no clip"),
        ("cups.mp4", "names no clip"),
        ("world:nowhere:1", "demo, test, train"),
        ("world:demo:1:sides=64", "frames, label, nuisances, seed, shake, side_px"),
        ("world:demo:1:side_px=8", "side_px is 8"),
        ("world:demo:1:label=16", "moving left"),
    ],
)
def test_a_wrong_address_says_what_is_right(address: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        clip_at(address)


@pytest.mark.parametrize("title", DEMOS)
def test_the_gallery_shows_what_its_titles_say(title: str) -> None:
    meant = {
        "A ball falls and bounces": "falling and bouncing low",
        "Two things close in": "two things closing in",
        "One thing is covered by another": "one thing covered by another",
        "A thing comes nearer": "approaching",
        "A thing turns clockwise": "rotating clockwise",
        "The camera moves, nothing else": "the camera moves",
    }
    assert clip(DEMOS[title], split="demo", frames=2, side_px=32).label == meant[title]


# ------------------------------------------------------------------------------------------------ as a clip


def test_a_world_clip_reads_like_any_clip() -> None:
    video = clip(0, frames=4, side_px=48).clip
    assert video.size_wh == (48, 48)
    assert video.times_s.tolist() == [0.0, 0.125, 0.25, 0.375]
    assert np.array_equal(video.read([3, 1]), video.preview[[3, 1]])
    assert video.verdict == "ok"


def test_the_preview_of_a_large_clip_is_small() -> None:
    video = clip(0, frames=1, side_px=512).clip
    assert min(video.preview.shape[1:3]) <= 256
    assert video.read([0]).shape == (1, 512, 512, 3)
