"""CPNet: click a cell, see its nearest neighbours in the other frames, which of them the network used, and what it says without them."""

from __future__ import annotations

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.correspondences import BLOCKS, blocks, choose, who_won
from vizkit.ui.export import export_buttons

scene = page.setup(module("cpnet").title, about=f"**Click a frame to pick a cell.** {module('cpnet').how_to_read}")
clip_bar(scene)

shown = panels.picture(scene, "cpnet", choose, key="cpnet", on_pick=state.add_point, controls_px=68)
if shown:
    found, changes = None, None
    if shown.record.decided:
        st.subheader("Who won", anchor=False)
        with page.guarded():
            found = who_won(scene, shown)
    if shown.record.strengths and st.toggle("What each block changes", key="blocks", bind="query-params"):
        st.markdown(BLOCKS)
        with page.guarded():
            changes = panels.further(scene, "cpnet", blocks(shown.choice), key="every_block", layout="still")
    pictures = {"correspondences": shown.spec, "who won": found, "blocks": changes.spec if changes else None}
    export_buttons({name: spec for name, spec in pictures.items() if spec}, key="export")
    panels.account(shown, changes)
