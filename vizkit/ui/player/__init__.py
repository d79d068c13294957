"""The frame player: one canvas component that plays, scrubs and overlays any figure without asking the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from vizkit.ui.bundle import DOM, bundle
from vizkit.ui.player.payload import figure_payload

__all__ = ["Pick", "PlayerLayout", "figure_payload", "player"]

_HERE = Path(__file__).parent
MODULES = ("layout.js", "arcs.js", "cells.js", "draw.js", "readout.js", "controls.js", "player.js")
"""In an order in which each uses only earlier ones."""
_mount = st.components.v2.component(
    "vizkit_player",
    css=(_HERE / "player.css").read_text(encoding="utf-8"),
    js=bundle(DOM, *(_HERE / name for name in MODULES)),
)


PlayerLayout = Literal["strip", "film", "still"]


@dataclass(frozen=True)
class Pick:
    """A click on a panel."""

    view: str
    """The view that the panel belongs to."""
    frame: int
    """Sampled frame; the current one for a panel that shows none."""
    x: float
    """Model pixels from the left."""
    y: float
    """Model pixels from the top."""
    panel: str = ""
    """Name of the panel."""


def player(
    figure: dict[str, Any],
    *,
    key: str,
    on_pick: Callable[[Pick], None] | None = None,
    busy: str = "",
    playing: bool = False,
    layout: PlayerLayout = "strip",
) -> None:
    """Show a figure in the player.

    Args:
        figure: what :func:`figure_payload` made.
        key: the component keeps its place, layers and playback under this key while the figure changes.
        on_pick: called with the click before the page runs again; without it the panels cannot be clicked.
        busy: shown over the picture while a newer one is being computed.
        playing: start to play when the component appears.
        layout: ``"strip"`` gives the space to the film strip, ``"film"`` to the large view; ``"still"`` has no large view.
    """
    options = {"busy": busy, "playing": playing, "layout": layout, "pickable": on_pick is not None, "picking": "computing …"}
    # Other data after each click: the component hears that it was answered even where the figure stays the same.
    options["answered"] = ((st.session_state.get(key) or {}).get("pick") or {}).get("number", 0)

    def picked() -> None:
        pick = st.session_state[key].get("pick")
        if pick and on_pick is not None:
            on_pick(Pick(str(pick["view"]), int(pick["frame"]), float(pick["x"]), float(pick["y"]), str(pick["panel"])))

    _mount(key=key, data={"figure": figure, "options": options}, on_pick_change=picked)
