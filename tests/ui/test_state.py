"""Points and window in the page's address."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from vizkit.ui.state import read_points, read_window


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("3,56,40", [(3, 56.0, 40.0)]),
        ("3,56.25,40;0,1,2", [(3, 56.25, 40.0), (0, 1.0, 2.0)]),
        ("", []),
        ("x", []),
        ("1,2", []),
        ("1,2,3,4", []),
    ],
)
def test_points_are_read_or_left_out(text: str, points: list[tuple[int, float, float]]):
    assert read_points(text) == points


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0.4-2.5", (0.4, 2.5)),
        ("0.4-", (0.4, None)),
        ("nan-1", (0.0, None)),
        ("", (0.0, None)),
        ("2-1", (0.0, None)),
        ("a-b", (0.0, None)),
        ("-1-2", (0.0, None)),
    ],
)
def test_window_is_read_or_left_out(text: str, window: tuple[float, float | None]):
    assert read_window(text) == window


def page() -> None:
    import streamlit as st

    from vizkit.contracts import Sampling
    from vizkit.ui import state
    from vizkit.ui.player import Pick

    if st.button("pick"):
        state.add_point(Pick("frames", 2, 10.5, 20.25))
    if st.button("move"):
        state.set_window(0.5, 1.5)
    st.session_state["sampling"] = state.sampling(Sampling(), 2.0).model_dump()
    st.session_state["short"] = state.sampling(Sampling(), 0.3).model_dump()
    state.write_address()


def test_picked_points_come_back_from_the_address():
    at = AppTest.from_function(page, default_timeout=60)
    at.query_params["p"] = "1,2,3"
    at.run()
    at.button[0].click().run()
    assert at.query_params["p"] in ("1,2,3;2,10.5,20.25", ["1,2,3;2,10.5,20.25"])
    assert at.session_state["points"] == [(1, 2.0, 3.0), (2, 10.5, 20.25)]


def test_window_moves_the_sampling_and_takes_the_points_with_it():
    at = AppTest.from_function(page, default_timeout=60)
    at.query_params["p"] = "1,2,3"
    at.run()
    assert (at.session_state["sampling"]["start_s"], at.session_state["sampling"]["end_s"]) == (0.0, None)
    at.button[1].click().run()
    assert (at.session_state["sampling"]["start_s"], at.session_state["sampling"]["end_s"]) == (0.5, 1.5)
    assert at.session_state["points"] == []
    assert (at.session_state["short"]["start_s"], at.session_state["short"]["end_s"]) == (0.0, None), "a window beyond the clip is left out"
