"""What one visitor has chosen: points and window, in the session and in the page's address, so that a link opens the same view."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from vizkit.contracts import Sampling
from vizkit.ui.player import Pick
from vizkit.ui.store import Box, Store, default_home

Point = tuple[int, float, float]

POINTS, WINDOW = "p", "w"
"""Names in the page's address."""


@st.cache_resource(show_spinner=False)
def _store() -> Store:
    return Store(default_home())


@st.cache_resource(scope="session", show_spinner=False, on_release=Box.expire_later)
def _lease(_box: Box) -> Box:
    """Held while the session is connected: Streamlit releases it when the connection ends."""
    return _box


def session_box() -> Box:
    """The uploads of this session."""
    if "box" not in st.session_state:
        st.session_state["box"] = _store().box()
    box: Box = st.session_state["box"]
    box.keep()
    _lease(box)
    return box


def come_to(page: str, shared: Sequence[str]) -> None:
    """Keep on this page what was chosen on the page before.

    Streamlit forgets on the way what came from the address and was not touched since.

    Args:
        page: the page's name.
        shared: keys of the widgets that all pages have.
    """
    if st.session_state.setdefault("page", page) != page:
        st.session_state["page"] = page
        for key in shared:
            if key in st.session_state and key not in st.query_params:
                st.session_state[key] = st.session_state[key]


def points() -> tuple[Point, ...]:
    """The picked points (t, x, y): sampled frame and model pixels."""
    if "points" not in st.session_state:
        st.session_state["points"] = read_points(st.query_params.get(POINTS, ""))
    return tuple(st.session_state["points"])


def add_point(pick: Pick) -> None:
    """Add the place of a click."""
    st.session_state["points"] = [*points(), (pick.frame, pick.x, pick.y)]


def set_points(chosen: Sequence[Point]) -> None:
    """Show other points."""
    st.session_state["points"] = list(chosen)


def undo_point() -> None:
    """Take the last point back."""
    st.session_state["points"] = list(points()[:-1])


def clear_points() -> None:
    """Take all points back."""
    st.session_state["points"] = []


def window() -> tuple[float, float | None]:
    """Start and end of the sampled window in seconds; no end means the end of the clip."""
    if "window" not in st.session_state:
        st.session_state["window"] = read_window(st.query_params.get(WINDOW, ""))
    start, end = st.session_state["window"]
    return start, end


def set_window(start_s: float, end_s: float | None) -> None:
    """Sample another part of the clip; points lie on frames, so they go."""
    st.session_state["window"] = (start_s, end_s)
    clear_points()


def asked(name: str) -> str:
    """What the address asked for when the session began, until something else is chosen."""
    wanted: str = st.session_state.setdefault(f"asked:{name}", st.query_params.get(name, ""))
    return wanted


def forget_asked(name: str) -> None:
    """Something else was chosen than the address asked for."""
    st.session_state[f"asked:{name}"] = ""


def new_clip(name: str = "") -> None:
    """Another clip: its whole length, no points; those of the link stay where this is the clip that the link asked for.

    Args:
        name: what the list of clips calls an upload; it ends with the digest.
    """
    digest = asked("clip").rpartition(" ")[2]
    forget_asked("clip")
    if not (name and digest and name.endswith(f" {digest}")):
        set_window(0.0, None)


def sampling(base: Sampling, duration_s: float) -> Sampling:
    """A sampling over the chosen window, where that lies within the clip.

    Args:
        base: everything but the window.
        duration_s: length of the clip.
    """
    start, end = window()
    last = None if end is None or end >= duration_s else end
    return base.model_copy(update={"start_s": start if start < (last or duration_s) else 0.0, "end_s": last})


def write_address() -> None:
    """Put points and window into the page's address."""
    start, end = window()
    wanted = {
        POINTS: ";".join(f"{t},{x:g},{y:g}" for t, x, y in points()),
        WINDOW: "" if (start, end) == (0.0, None) else f"{start:g}-{'' if end is None else f'{end:g}'}",
    }
    for name, text in wanted.items():
        if text:
            st.query_params[name] = text
        elif name in st.query_params:
            del st.query_params[name]


def read_points(text: str) -> list[Point]:
    """Read ``3,56,40;4,10,12``; a text that is none gives no points."""
    try:
        parts = [entry.split(",") for entry in text.split(";") if entry]
        return [(int(t), float(x), float(y)) for t, x, y in parts]
    except ValueError:
        return []


def read_window(text: str) -> tuple[float, float | None]:
    """Read ``0.4-2.5``, or ``0.4-`` for the rest of the clip; a text that is neither gives the whole clip."""
    try:
        start, end = (float(part) if part else None for part in text.split("-"))
    except ValueError:
        return 0.0, None
    if start is None or not 0 <= start < (float("inf") if end is None else end):
        return 0.0, None
    return start, end
