"""What the timeline is given."""

from __future__ import annotations

import numpy as np

from vizkit.clip import clip_from_frames, sample, slide
from vizkit.contracts import Sampling
from vizkit.ui.timeline import MOST_POINTS, Line, timeline_payload


def test_marks_window_and_thinned_curve():
    clip = clip_from_frames(np.zeros((50, 32, 32, 3), np.uint8), times_s=np.arange(50) / 10)
    frames = sample(clip, Sampling(segments=5, start_s=1.0, end_s=3.0, short_side_px=32, crop_px=32))
    times_s, energy = np.linspace(0, 5, 3000), np.zeros(3000)
    energy[1234] = 7.0
    payload = timeline_payload(clip, frames, times_s, energy)

    assert payload["duration_s"] == 5.0
    assert (payload["start_s"], payload["end_s"]) == (1.0, 3.0)
    assert payload["marks_s"] == [round(float(time), 4) for time in frames.times_s]
    assert len(payload["energy"]) == MOST_POINTS
    assert max(payload["energy"]) == 7.0, "a peak survives the thinning"
    assert payload["digest"] == timeline_payload(clip, frames, times_s, energy)["digest"]


def test_window_to_the_end_of_the_clip():
    clip = clip_from_frames(np.zeros((4, 32, 32, 3), np.uint8), times_s=np.arange(4) / 2)
    frames = sample(clip, Sampling(segments=4, short_side_px=32, crop_px=32))
    payload = timeline_payload(clip, frames, clip.times_s, np.zeros(4))
    assert payload["end_s"] == payload["duration_s"] == 2.0


def test_source_frames_come_with_the_part_that_the_network_sees():
    frames = np.zeros((6, 40, 80, 3), np.uint8)
    frames[:, :, 20:60] = 200  # what a centred square crop leaves
    clip = clip_from_frames(frames, times_s=np.arange(6) / 10)
    sampled = sample(clip, Sampling(segments=3, short_side_px=20, crop_px=20, order="reversed"))
    payload = timeline_payload(clip, sampled, clip.times_s, np.zeros(6))

    source = payload["source"]
    assert source["crop"] == [0.25, 0.0, 0.5, 1.0]
    assert source["size_wh"] == [80, 40]
    assert source["model_wh"] == [20, 20]
    assert payload["index"] == [5, 3, 1]
    assert source["place"] == [2, 1, 0], "pictures stand in the order of time, frames in that of the network"
    assert len(source["pictures"]) == 3


def test_lines_over_time_belong_to_their_windows():
    clip = clip_from_frames(np.zeros((40, 32, 32, 3), np.uint8), times_s=np.arange(40) / 10)
    sampling = Sampling(segments=4, short_side_px=32, crop_px=32)
    windows = slide(clip, sampling, windows=4)
    lines = [Line("one", [0.5, 0.25, None, 1.0])]
    payload = timeline_payload(clip, sample(clip, sampling), clip.times_s, np.zeros(40), windows=windows, lines=lines)

    assert payload["windows"] == [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]
    assert payload["lines"] == [{"label": "one", "probability": [0.5, 0.25, None, 1.0]}]
