"""What the timeline is given."""

from __future__ import annotations

import numpy as np

from vizkit.clip import clip_from_frames, sample
from vizkit.contracts import Sampling
from vizkit.ui.timeline import MOST_POINTS, timeline_payload


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
