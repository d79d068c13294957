"""The timeline: motion energy of a clip, its sampled frames and a window to drag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vizkit.contracts import SampledClip, VideoClip
from vizkit.digest import digest_settings
from vizkit.ui.bundle import DOM, bundle

__all__ = ["timeline", "timeline_payload"]

MOST_POINTS = 600

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "vizkit_timeline",
    css=(_HERE / "timeline.css").read_text(encoding="utf-8"),
    js=bundle(DOM, _HERE / "timeline.js"),
)


def timeline_payload(clip: VideoClip, sampled: SampledClip, times_s: NDArray[np.float64], energy: NDArray[Any]) -> dict[str, Any]:
    """Turn a clip's motion energy into what the timeline draws.

    Args:
        clip: the clip; its length is the timeline's.
        sampled: the frames to mark and the window to show.
        times_s: [M] times at which the energy was measured.
        energy: [M] motion energy; a long curve is thinned to its local maxima.
    """
    groups = np.array_split(np.arange(len(times_s)), min(len(times_s), MOST_POINTS))
    length = round(max(clip.duration_s, 1e-3), 3)
    chosen = {
        "clip": clip.digest,
        "duration_s": length,
        "times_s": [round(float(times_s[group[0]]), 4) for group in groups],
        "energy": [round(float(np.max(energy[group])), 5) for group in groups],
        "marks_s": [round(float(time), 4) for time in sampled.times_s],
        "start_s": sampled.sampling.start_s,
        "end_s": min(sampled.sampling.end_s or length, length),
        "alt": f"Motion energy over {length:.1f} s with {len(sampled.times_s)} sampled frames; the ends of the window can be moved.",
    }
    return {**chosen, "digest": digest_settings(chosen)}


def timeline(payload: dict[str, Any], *, key: str, on_window: Callable[[float, float], None]) -> None:
    """Show the timeline.

    Args:
        payload: what :func:`timeline_payload` made.
        key: the component's name on the page.
        on_window: called with the new start and end in seconds before the page runs again.
    """

    def moved() -> None:
        window = st.session_state[key].get("window")
        if window:
            on_window(float(window["start_s"]), float(window["end_s"]))

    _mount(key=key, data=payload, on_window_change=moved)
