"""CorrNet: the filters of a correlation block; click one to see what its channel passes on, and where its filters look."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.export import export_buttons
from vizkit.ui.filters import choose, choose_response, directions, pick_channel

scene = page.setup(module("corrnet").title, about=f"**Click a filter to see its response.** {module('corrnet').how_to_read}")
clip_bar(scene)
panels.neighbours_hint(scene)

shown = panels.picture(scene, "corrnet", partial(choose, scene), key="corrnet", on_pick=pick_channel, controls_px=148)
if shown:
    st.subheader("One channel on the clip", anchor=False)
    with page.guarded():
        choice = choose_response(shown)
        left, right = st.columns([5, 2], gap="large")
        with left:
            response = panels.further(scene, "corrnet", choice, key="response", on_pick=state.add_point)
        with right:
            polar = panels.further(scene, "corrnet", directions(choice), key="polar", layout="still") if response else None
        pictures = {"filters": shown, "response": response, "directions": polar}
        export_buttons({name: found.spec for name, found in pictures.items() if found}, key="export")
        panels.account(shown, response, polar)
