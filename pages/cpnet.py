"""CPNet: click a cell, see its nearest neighbours in the other frames and which of them the network used."""

from __future__ import annotations

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.correspondences import choose
from vizkit.ui.export import export_buttons

scene = page.setup(module("cpnet").title, about=f"**Click a frame to pick a cell.** {module('cpnet').how_to_read}")
clip_bar(scene)

shown = panels.picture(scene, "cpnet", choose, key="cpnet", on_pick=state.add_point, controls_px=68)
if shown:
    export_buttons({"correspondences": shown.spec}, key="export")
    panels.account(shown)
