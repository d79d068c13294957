"""Widgets that are made from a settings class."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from vizkit.ui.controls import changed, settings_controls


def page() -> None:
    from typing import Literal

    import streamlit as st
    from pydantic import Field

    from vizkit.contracts import Settings
    from vizkit.ui.controls import settings_controls

    class Example(Settings):
        kind: Literal["a", "b"] = "b"
        many: Literal["1", "2", "3", "4", "5", "6"] = "3"
        count: int = Field(8, ge=1, le=64)
        side: int | None = Field(None, ge=16, le=1024)
        block: str = ""
        parts: tuple[str, ...] = ()
        step: int = Field(1, ge=-8, le=8)
        on: bool = False

    chosen = settings_controls(
        Example,
        list(Example.model_fields),
        values={"count": 60},
        choices={"block": ["x", "y"], "parts": ["p", "q", "r"], "step": [-1, 1]},
        prefix="own_" if st.session_state.get("prefixed") else "",
        most={"count": 32},
        words={"side": "Side!"},
    )
    st.session_state["chosen"] = Example.parse(**chosen).model_dump()


REST = {"parts": (), "step": 1, "on": False}


def test_each_kind_of_field_has_its_widget():
    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    assert at.session_state["chosen"] == {"kind": "b", "many": "3", "count": 32, "side": None, "block": "x", **REST}
    assert (at.slider(key="count").min, at.slider(key="count").max) == (1, 32)
    assert at.number_input(key="side").label == "Side!"
    assert at.selectbox(key="many").options == ["1", "2", "3", "4", "5", "6"]


def test_what_is_chosen_is_read():
    at = AppTest.from_function(page, default_timeout=60).run()
    at.slider(key="count").set_value(5)
    at.number_input(key="side").set_value(112)
    at.selectbox(key="many").set_value("6")
    at.run()
    assert at.session_state["chosen"] == {"kind": "b", "many": "6", "count": 5, "side": 112, "block": "x", **REST}


def test_lists_numbers_and_switches_are_read():
    at = AppTest.from_function(page, default_timeout=60).run()
    at.pills(key="parts").set_value(["r", "p"])
    at.segmented_control(key="step").set_value(-1)
    at.toggle(key="on").set_value(True)
    at.run()
    assert at.session_state["chosen"] == {**at.session_state["chosen"], "parts": ("r", "p"), "step": -1, "on": True}
    assert at.segmented_control(key="step").options == ["-1", "+1"]


def test_what_is_not_allowed_here_is_forgotten():
    at = AppTest.from_function(page, default_timeout=60)
    at.session_state["block"] = "of another model"
    at.session_state["parts"] = ["p", "unknown"]
    at.session_state["step"] = 4
    at.run()
    assert not at.exception
    assert at.session_state["chosen"]["block"] == "x"
    assert at.session_state["chosen"]["parts"] == ()
    assert at.session_state["chosen"]["step"] == 1


def test_a_prefix_keeps_pages_apart():
    at = AppTest.from_function(page, default_timeout=60)
    at.session_state["prefixed"] = True
    at.session_state["block"] = "y"
    at.run()
    assert at.session_state["chosen"]["block"] == "x"
    assert at.segmented_control(key="own_block").value == "x"


def test_what_is_at_its_default_is_left_out():
    from vizkit.contracts import Sampling

    assert changed(Sampling, {"scheme": "dense", "segments": 8, "crop_px": None}) == {"scheme": "dense", "crop_px": None}


def test_field_without_a_widget_is_a_bug():
    from vizkit.contracts import Sampling

    with pytest.raises(TypeError, match="No widget"):
        settings_controls(Sampling, ["start_s"])
