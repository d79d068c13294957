"""Real clips: the frames, times and pixels of a straight decode in one go."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vizkit.clip import open_clip, sample
from vizkit.contracts import Sampling

FAST = ["asl_help.mkv", "av1_video.mkv", "h264_10bits.mp4", "h265_10bits.mp4", "newtons_cradle.gif", "ucf101_eye_makeup.avi"]
REST = [
    *("arm_wrestling.mp4", "asl_again.mkv", "asl_book.mkv", "asl_milk.mkv", "asl_school.mkv", "asl_thanks.mkv", "blocks.mp4"),
    *("bottles.mp4", "bt709_full_range.mp4", "coffee.mp4", "cups.mp4", "flipping_a_pancake.mkv", "juggle.mp4", "nasa_13013.mp4"),
    *("short_32_frames.mp4", "skateboarding.mp4", "skiing.mp4", "ucf101_cricket_rgb.gif", "ucf101_cricket_tvl1_flow.gif"),
]


def _straight(path: Path, wanted: set[int]) -> tuple[int, dict[int, np.ndarray]]:
    """Number of frames, and the wanted ones as RGB."""
    count, pixels = 0, {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if count in wanted:
                pixels[count] = frame.to_ndarray(format="rgb24")
            count += 1
    return count, pixels


@pytest.mark.media
@pytest.mark.parametrize("name", FAST + [pytest.param(name, marks=pytest.mark.slow) for name in REST])
def test_a_real_clip_opens_like_a_straight_decode(name, media):
    path = media / "clips" / name
    clip = open_clip(path)
    index = sample(clip, Sampling(segments=3, short_side_px=64, crop_px=64)).index
    count, pixels = _straight(path, set(index.tolist()))
    assert clip.frames == count
    assert (np.diff(clip.times_s) > 0).all()
    assert {entry.code for entry in clip.warnings} <= {"vfr", "streams"}
    for number, frame in zip(index.tolist(), clip.read(index.tolist()), strict=True):
        np.testing.assert_array_equal(frame, pixels[number])


@pytest.mark.media
def test_no_real_clip_is_left_out(media):
    there = {path.name for path in (media / "clips").iterdir() if path.suffix != ".md"}
    assert there == {*FAST, *REST}


@pytest.mark.media
def test_times_are_those_of_the_file(media):
    """Known by heart: UCF101 has 25 frames per second; Newton's cradle waits 5 hundredths, then 2."""
    makeup = open_clip(media / "clips" / "ucf101_eye_makeup.avi")
    np.testing.assert_allclose(makeup.times_s, np.arange(164) / 25, atol=1e-9)
    cradle = open_clip(media / "clips" / "newtons_cradle.gif")
    np.testing.assert_allclose(cradle.times_s[:4], [0, 0.05, 0.07, 0.09], atol=1e-9)
