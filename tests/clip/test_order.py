"""Frames backwards, shuffled, frozen; and a window that slides over the clip."""

from __future__ import annotations

import numpy as np
import pytest

from vizkit.clip import clip_from_frames, sample, sampled_index, slide
from vizkit.contracts import Sampling, VideoClip


def numbered(count: int, fps: float = 10.0) -> VideoClip:
    """A clip whose frame i is grey level i."""
    frames = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 64, 64, 3))
    return clip_from_frames(frames.copy(), times_s=np.arange(count) / fps)


@pytest.mark.parametrize(("order", "index"), [("forward", [2, 7, 12, 17]), ("reversed", [17, 12, 7, 2]), ("frozen", [12, 12, 12, 12])])
def test_pixels_times_and_numbers_follow_the_order(order, index):
    sampled = sample(numbered(20), Sampling(segments=4, short_side_px=16, crop_px=16, order=order))
    assert sampled.index.tolist() == index
    assert sampled.frames[:, 0, 0, 0].tolist() == index
    assert sampled.times_s.tolist() == [number / 10 for number in index]


@pytest.mark.parametrize("count", [2, 3, 8, 32])
def test_shuffled_frames_are_the_same_ones_in_one_fixed_order_that_is_not_time(count):
    times_s = np.arange(count) / 10
    forward, shuffled, again = (
        sampled_index(times_s, Sampling(segments=count, order=order)).tolist() for order in ("forward", "shuffled", "shuffled")
    )
    assert sorted(shuffled) == forward
    assert shuffled != forward
    assert shuffled == again


def test_one_frame_has_one_order():
    assert sampled_index(np.zeros(1), Sampling(segments=1, order="shuffled")).tolist() == [0]


@pytest.mark.parametrize("order", ["reversed", "shuffled", "frozen"])
def test_a_warning_says_that_the_order_is_not_the_clips(order):
    clip = numbered(8)
    codes = [entry.code for entry in sample(clip, Sampling(short_side_px=16, crop_px=16, order=order)).warnings]
    assert codes == [f"frames_{order}"], "frozen frames are repeated on purpose"
    assert not sample(clip, Sampling(short_side_px=16, crop_px=16)).warnings


def test_neighbours_are_as_far_apart_backwards_as_forwards():
    steps = {
        order: sample(numbered(20), Sampling(segments=4, short_side_px=16, crop_px=16, order=order)).step_s
        for order in ("forward", "reversed")
    }
    assert steps["forward"] == steps["reversed"] == pytest.approx(0.5)


def test_the_usual_order_leaves_recipes_and_digests_as_they_were():
    assert "order" not in Sampling().model_dump()
    assert Sampling(order="reversed").model_dump()["order"] == "reversed"


def test_windows_slide_from_the_first_frame_to_the_last():
    windows = slide(numbered(40), Sampling(segments=4), windows=4)
    assert [(window.start_s, window.end_s) for window in windows] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    chosen = slide(numbered(40), Sampling(segments=4, start_s=1.0, end_s=3.0), windows=3)
    assert [(window.start_s, window.end_s) for window in chosen] == [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)], "as long as the chosen one"


def test_windows_with_the_same_frames_are_one():
    windows = slide(numbered(4), Sampling(segments=1), windows=12)
    frames = [tuple(sampled_index(numbered(4).times_s, window)) for window in windows]
    assert len(set(frames)) == len(frames) == 4
