"""Differences of features between neighbouring frames."""

from __future__ import annotations

from vizkit.catalog import module, params_of
from vizkit.ui import page, panels
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.export import export_buttons

scene = page.setup(module("sixth").title, about=module("sixth").how_to_read)
clip_bar(scene)
shown = panels.picture(scene, "sixth", lambda _network: panels.Choice(params_of(module("sixth"))(), {}), key="sixth")
if shown:
    export_buttons({"sixth": shown.spec}, key="export")
