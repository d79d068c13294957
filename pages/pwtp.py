"""PWTP: static and dynamic appearance of every segment beside other pictures of motion; fit the projection to the clip."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.appearance import choose, frame_by_frame, longer, shaken
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.export import export_buttons

scene = page.setup(module("pwtp").title, about=module("pwtp").how_to_read)
with page.guarded(stop=True):
    scene = shaken(scene)
clip_bar(scene)
panels.neighbours_hint(scene)

shown = panels.picture(scene, "pwtp", partial(choose, scene), key="pwtp", on_pick=state.add_point, controls_px=148)
if shown:
    st.subheader("One segment, frame by frame", anchor=False)
    with page.guarded():
        choice = frame_by_frame(shown.choice, len(shown.record.dynamic))
        inside = panels.further(scene, "pwtp", choice, key="segment")
        wanted = longer(scene, shown.choice)
        lengths = panels.further(scene, "pwtp", wanted, key="lengths", layout="still") if wanted else None
        pictures = {"segments": shown, "one segment": inside, "lengths": lengths}
        export_buttons({name: found.spec for name, found in pictures.items() if found}, key="export")
        panels.account(shown, inside, lengths)
