"""CPNet: click a cell, see its nearest neighbours in the other frames and which of them the network used."""

from __future__ import annotations

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.correspondences import choose
from vizkit.ui.export import export_buttons

scene = page.setup(module("cpnet").title, about=f"**Click a frame to pick a cell.** {module('cpnet').how_to_read}")
page.clip_caption(scene)

shown = panels.picture(scene, "cpnet", choose, key="cpnet", on_pick=state.add_point, controls_px=68)
if shown:
    export_buttons(shown.spec, key="export")
    panels.network_caption(shown.network)
    st.subheader("From the frames to the picture", anchor=False)
    panels.steps_strip(shown.record)
    st.subheader("What is drawn", anchor=False)
    st.caption(shown.spec.caption)
    if shown.spec.table:
        panels.table_view(shown.spec.table)
