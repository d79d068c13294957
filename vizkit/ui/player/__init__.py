"""The frame player: one canvas component that plays, scrubs and overlays any figure without asking the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from vizkit.ui.bundle import DOM, bundle
from vizkit.ui.player.payload import Cells, figure_payload

__all__ = ["Cells", "Pick", "PlayerLayout", "figure_payload", "player"]

_HERE = Path(__file__).parent
MODULES = (
    "layout.js",
    "arcs.js",
    "cells.js",
    "readout.js",
    "draw.js",
    "cursor.js",
    "keys.js",
    "controls.js",
    "layers.js",
    "read.js",
    "wipe.js",
    "player.js",
)
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
    points: Sequence[tuple[int, float, float]] = (),
    layers: Mapping[str, Any] | None = None,
    on_layers: Callable[[Mapping[str, Any]], None] | None = None,
    wipe: bool = False,
) -> None:
    """Show a figure in the player.

    Args:
        figure: what :func:`figure_payload` made.
        key: the component keeps its place, layers and playback under this key while the figure changes.
        on_pick: called with the click before the page runs again; without it the panels cannot be clicked.
        busy: shown over the picture while a newer one is being computed.
        playing: start to play when the component appears.
        points: picked places (sampled frame, model pixels), drawn with a colour and a number each over the frames.
        layers: what was set for the layers when the component appears, as ``on_layers`` heard it.
        on_layers: called with what the reader has set, by names of layers, once the list of layers has been left; the browser sends
            it, so it can be anything.
        wipe: show what two runs have in common in one large panel, with a divider between them.
        layout: ``"strip"`` gives the space to the film strip, ``"film"`` to the large view; ``"still"`` has no large view.
    """
    options: dict[str, Any] = {
        "busy": busy,
        "playing": playing,
        "layout": layout,
        "pickable": on_pick is not None,
        "picking": "computing …",
        "wipe": wipe,
        "points": [list(point) for point in points],
        "layers": dict(layers or {}),
    }
    # Other data after each click: the component hears that it was answered even where the figure stays the same.
    options["answered"] = ((st.session_state.get(key) or {}).get("pick") or {}).get("number", 0)

    def picked() -> None:
        pick = st.session_state[key].get("pick")
        if pick and on_pick is not None:
            on_pick(Pick(str(pick["view"]), int(pick["frame"]), float(pick["x"]), float(pick["y"]), str(pick["panel"])))

    def dressed() -> None:
        chosen = st.session_state[key].get("layers")
        if isinstance(chosen, dict) and on_layers is not None:
            on_layers(chosen)

    _mount(key=key, data={"figure": figure, "options": options}, on_pick_change=picked, on_layers_change=dressed)
