"""DCF: the direction in which every cell's best match lies, stage by stage; click a cell to see the correlations behind it."""

from __future__ import annotations

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.export import export_buttons
from vizkit.ui.pyramids import SCENE_OR_NETWORK, choose, patches, picked_words

scene = page.setup(module("dcf").title, about=f"**Click a panel to pick a cell.** {module('dcf').how_to_read}")
clip_bar(scene)
panels.neighbours_hint(scene)

shown = panels.picture(scene, "dcf", choose, key="dcf", on_pick=state.add_point, controls_px=148)
if shown:
    st.markdown(SCENE_OR_NETWORK)
    st.subheader("The correlations behind a cell", anchor=False)
    st.markdown(picked_words())
    behind = None
    with page.guarded():
        behind = panels.further(scene, "dcf", patches(shown.choice), key="patches")
    pictures = {"pyramid": shown, "correlations": behind}
    export_buttons({name: found.spec for name, found in pictures.items() if found}, key="export")
    panels.account(shown, behind)
