"""The picked points: take them back, keep them as a named set, apply a set to another clip."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from vizkit.contracts import SampledClip
from vizkit.ui import state
from vizkit.ui.words import plain

SETS, NAME, SAID = "point_sets", "point_set_name", "point_set_said"
"""Names in the session."""
MOST_SETS, LONGEST_NAME = 20, 40
LIMITS = (
    f"Up to {MOST_SETS} sets, kept until this session ends; a link holds the points that are shown, not the sets. On another clip a point "
    "keeps the number of its sampled frame and its place in the picture; what lies beyond the last frame is left out."
)


@dataclass(frozen=True)
class PointSet:
    """Points under a name."""

    points: tuple[state.Point, ...]
    """Sampled frame and model pixels."""
    size_wh: tuple[int, int]
    """Of the frames that they were picked on."""

    def on(self, frames: SampledClip) -> tuple[state.Point, ...]:
        """The points at the same frame numbers and the same places in other frames, without those beyond the last frame."""
        count, height, width = frames.frames.shape[:3]
        across, down = width / self.size_wh[0], height / self.size_wh[1]
        moved = ((t, round((x + 0.5) * across - 0.5, 2), round((y + 0.5) * down - 0.5, 2)) for t, x, y in self.points)
        return tuple(point for point in moved if point[0] < count)


def point_bar(frames: SampledClip) -> None:
    """Offer to take points back, and the sets.

    Args:
        frames: the frames that the points lie on.
    """
    picked = state.points()
    clear = f"Clear {len(picked)} picked" if picked else "Clear"
    st.button("Undo", key="undo", on_click=state.undo_point, disabled=not picked, icon=":material/undo:", type="tertiary")
    st.button(clear, key="clear", on_click=state.clear_points, disabled=not picked, icon=":material/clear:", type="tertiary")
    with st.popover("Point sets", icon=":material/scatter_plot:", type="tertiary"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Name", key=NAME, max_chars=LONGEST_NAME, placeholder="such as: both hands", width=200)
            full = len(_sets()) >= MOST_SETS and st.session_state[NAME].strip() not in _sets()
            st.button("Save", key="point_set_save", on_click=_save, args=(frames,), disabled=not picked or full, icon=":material/save:")
        for number, (name, kept) in enumerate(_sets().items()):
            with st.container(horizontal=True, vertical_alignment="center"):
                words = f"{plain(name)} · {len(kept.points)} point{'s' * (len(kept.points) != 1)}"
                st.button(words, key=f"point_set_apply_{number}", on_click=_apply, args=(name, frames), help="Show these points.")
                st.button("Delete", key=f"point_set_delete_{number}", on_click=_delete, args=(name,), type="tertiary")
        st.caption(LIMITS)
    told, sentence = st.session_state.get(SAID, ((), ""))
    if sentence and told == picked:
        st.caption(sentence)


def _sets() -> dict[str, PointSet]:
    sets: dict[str, PointSet] = st.session_state.setdefault(SETS, {})
    return sets


def _save(frames: SampledClip) -> None:
    """Keep the picked points; a set of the same name goes."""
    name = st.session_state[NAME].strip() or f"set {len(_sets()) + 1}"
    _sets()[name] = PointSet(state.points(), (frames.frames.shape[2], frames.frames.shape[1]))
    st.session_state[NAME] = ""


def _apply(name: str, frames: SampledClip) -> None:
    kept = _sets()[name]
    found = kept.on(frames)
    state.set_points(found)
    left = len(kept.points) - len(found)
    if left:
        last = len(frames.frames) - 1
        st.session_state[SAID] = (found, f"{left} of {len(kept.points)} points lie beyond the last frame (t = {last}) and were left out.")


def _delete(name: str) -> None:
    _sets().pop(name, None)
