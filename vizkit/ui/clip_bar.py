"""The clip bar of every page: the clip, where its frames lie, what the crop leaves of it, what is said of it over time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from vizkit.clip import motion_energy, sampled_index, slide
from vizkit.contracts import Prediction, Sampling
from vizkit.ui import compute, state
from vizkit.ui.page import Scene, caught, guarded
from vizkit.ui.timeline import Line, timeline, timeline_payload
from vizkit.ui.waiting import passes_take
from vizkit.ui.words import clip_line, plain

LINES = 3
"""So many labels are drawn over time."""
PAUSE_S = 0.1
"""Between two windows, so that a click in between is heard."""
MOVED, GIVEN_UP = "window_moved", "over_time:given_up"


def clip_bar(scene: Scene) -> None:
    """Fill the bar under a page's title: which clip it is, what is odd about it, and its timeline, if it has more than one frame."""
    with scene.bar, guarded():
        st.markdown(f"**{plain(scene.title)}** — {plain(clip_line(scene.clip))}")
        for entry in scene.frames.warnings:
            st.caption(f":material/warning: {plain(entry.message)}")
        if scene.clip.frames < 2:
            return
        slot, windows = st.container(), _windows(scene)
        words = f"Prediction over time: {len(windows)} windows, a forward pass each"
        with st.container(horizontal=True, vertical_alignment="center"):
            wanted = bool(windows) and st.toggle(words, key="over_time", bind="query-params")
            if not wanted:
                _say_time(scene, windows)
        windows = windows if wanted else ()
        sentence = _given_up(scene) if windows else ""
        if sentence:
            st.error(sentence, icon=":material/error:")
        waiting = not sentence and any(found is None for found in _said(scene, windows))
        with slot:
            st.fragment(_timeline, run_every=PAUSE_S if waiting else None)(scene, windows, waiting=waiting)


def _say_time(scene: Scene, windows: Sequence[Sampling]) -> None:
    """Say how long it takes to ask about all windows, where that was measured."""
    missing = sum(found is None for found in _said(scene, windows))
    took = passes_take(scene.model, scene.frames, missing) if missing else ""
    if took:
        st.caption(f"{took.capitalize()} for the {missing} that are not known yet.")


def _windows(scene: Scene) -> tuple[Sampling, ...]:
    """The windows that slide over a clip; none where the clip is too short to fill each with different frames."""
    windows = slide(scene.clip, scene.frames.sampling)
    in_time = (window.model_copy(update={"order": "forward"}) for window in windows)
    full = all(len(np.unique(sampled_index(scene.clip.times_s, window))) == window.total_frames for window in in_time)
    return windows if len(windows) > 1 and full else ()


def _said(scene: Scene, windows: Sequence[Sampling]) -> list[Prediction | None]:
    """What is known by now of each window."""
    keys = [compute.prediction_key(scene.model, scene.clip, window) for window in windows]
    return [
        compute.prediction(scene.model, scene.clip, window) if key in compute.RESULTS else None
        for key, window in zip(keys, windows, strict=True)
    ]


def _timeline(scene: Scene, windows: Sequence[Sampling], *, waiting: bool) -> None:
    """Draw the timeline, and ask for one more window; runs again by itself until none is left, and stops with the switch."""
    if st.session_state.pop(MOVED, False):
        st.rerun()
    missing = [window for window, found in zip(windows, _said(scene, windows), strict=True) if found is None]
    if waiting and missing and compute.has_network(scene.model):
        with caught(partial(_give_up, scene)):
            scene.run(lambda: compute.prediction(scene.model, scene.clip, missing[0]))
    with guarded():
        _draw(scene, windows)
    if waiting and (len(missing) < 2 or _given_up(scene)):
        st.rerun()


def _give_up(scene: Scene, sentence: str) -> None:
    st.session_state[GIVEN_UP] = (_subject(scene), sentence)


def _given_up(scene: Scene) -> str:
    """Why the model says nothing of this clip's windows; empty where it does."""
    subject, sentence = st.session_state.get(GIVEN_UP, ((), ""))
    return str(sentence) if subject == _subject(scene) else ""


def _subject(scene: Scene) -> compute.Key:
    return compute.prediction_key(scene.model, scene.clip, scene.frames.sampling)


def _draw(scene: Scene, windows: Sequence[Sampling]) -> None:
    times_s, energy = compute.RESULTS.get(("energy", scene.clip.digest), lambda: motion_energy(scene.clip))
    payload = timeline_payload(scene.clip, scene.frames, times_s, energy, windows=windows, lines=_lines(_said(scene, windows)))

    def moved(start_s: float, end_s: float) -> None:
        state.set_window(start_s, end_s if end_s < payload["duration_s"] else None)
        st.session_state[MOVED] = True

    timeline(payload, key="timeline", on_window=moved)


def _lines(said: Sequence[Prediction | None]) -> list[Line]:
    """The labels that come out highest anywhere, with their probability in every window, None where it is not known yet."""
    known = [found for found in said if found is not None]
    if not known:
        return []
    shares = np.stack([found.probabilities for found in known])
    chosen = np.argsort(-shares.max(0), kind="stable")[:LINES]
    return [
        Line(known[0].labels[number], [None if found is None else float(found.probabilities[number]) for found in said])
        for number in chosen
    ]
