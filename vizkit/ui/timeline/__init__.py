"""The timeline: motion energy of a clip, its sampled frames, a window to drag, and what a network says of it over time."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vizkit.clip.frames import fit_short_side
from vizkit.contracts import SampledClip, Sampling, VideoClip
from vizkit.digest import digest_settings
from vizkit.ui.bundle import DOM, bundle

__all__ = ["Line", "timeline", "timeline_payload"]

MOST_POINTS = 600
SOURCE_SIDE_PX = 96
"""Short side of the pictures that show what the crop leaves of the source frames."""

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "vizkit_timeline",
    css=(_HERE / "timeline.css").read_text(encoding="utf-8"),
    js=bundle(DOM, _HERE / "timeline.js"),
)


class Line(NamedTuple):
    """A label over time."""

    label: str
    """What it is called."""
    probability: list[float | None]
    """In every window; None where it is not known yet."""


def timeline_payload(
    clip: VideoClip,
    sampled: SampledClip,
    times_s: NDArray[np.float64],
    energy: NDArray[Any],
    *,
    windows: Sequence[Sampling] = (),
    lines: Sequence[Line] = (),
) -> dict[str, Any]:
    """Turn a clip's motion energy into what the timeline draws.

    Args:
        clip: the clip; its length is the timeline's.
        sampled: the frames to mark and the window to show.
        times_s: [M] times at which the energy was measured.
        energy: [M] motion energy; a long curve is thinned to its local maxima.
        windows: windows that a network was asked about.
        lines: what it said of them.
    """
    groups = np.array_split(np.arange(len(times_s)), min(len(times_s), MOST_POINTS))
    length = round(max(clip.duration_s, 1e-3), 3)
    chosen = {
        "clip": clip.digest,
        "duration_s": length,
        "times_s": [round(float(times_s[group[0]]), 4) for group in groups],
        "energy": [round(float(np.max(energy[group])), 5) for group in groups],
        "marks_s": [round(float(time), 4) for time in sampled.times_s],
        "index": sampled.index.tolist(),
        "start_s": sampled.sampling.start_s,
        "end_s": min(sampled.sampling.end_s or length, length),
        "source": _source(clip, sampled),
        "windows": [[round(window.start_s, 3), round(min(window.end_s or length, length), 3)] for window in windows],
        "lines": [line._asdict() for line in lines],
        "alt": f"Motion energy over {length:.1f} s with {len(sampled.times_s)} sampled frames; the ends of the window can be moved.",
    }
    return {**chosen, "digest": digest_settings(chosen)}


def _source(clip: VideoClip, sampled: SampledClip) -> dict[str, Any]:
    """The source frames in small, and the part of them that the network sees, as shares of their width and height."""
    nearest = np.abs(clip.preview_index[None] - sampled.index[:, None]).argmin(1)
    different, place = np.unique(nearest, return_inverse=True)
    size_wh = fit_short_side((clip.preview.shape[2], clip.preview.shape[1]), SOURCE_SIDE_PX)
    pictures = [cv2.resize(clip.preview[number], size_wh, interpolation=cv2.INTER_AREA) for number in different]
    corners = sampled.window.to_source(np.array([[-0.5, -0.5], np.asarray(sampled.window.size_wh) - 0.5])) + 0.5
    (left, top), (right, bottom) = np.clip(corners / clip.size_wh, 0, 1)
    return {
        "size_wh": list(clip.size_wh),
        "model_wh": list(sampled.window.size_wh),
        "pictures": [_jpeg(picture) for picture in pictures],
        "place": place.tolist(),
        "crop": [round(float(value), 4) for value in (left, top, right - left, bottom - top)],
    }


def _jpeg(picture: NDArray[np.uint8]) -> str:
    done, stored = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done, "a small RGB picture can always be stored"
    return b64encode(stored.tobytes()).decode()


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
