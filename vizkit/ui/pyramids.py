"""Controls of DCF's view: source, stages, offset, how the pyramid is drawn, picked cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, params_of
from vizkit.contracts import Settings
from vizkit.ui import state
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.panels import Choice

if TYPE_CHECKING:
    from vizkit.net.network import Network

SCENE_OR_NETWORK = (
    "**cosine** shows the scene: how what is in the picture moves, seen through the features of any network, trained or not. "
    "**model** shows the network: the correlation volumes that its DCF blocks work with."
)
WORDS = {"cells": "Show cells", "raw": "Raw displacement", "offset": "Frame offset", "tvl1": "TV-L1"}
PREFIX = "dcf_"
CONTROL_PX = 120
MOST_CELLS = 4
"""So many of the cells picked last are shown."""


def choose(network: Network) -> Choice:
    """Draw the controls and read them; what is left at its default is left out, so that the recipe is the command line's.

    Raises:
        SettingError: settings that do not go together.
    """
    from vizkit.motion.dcf.analysis import TEMPORAL_RANGE, dcf_blocks, first_stages
    from vizkit.motion.dcf.figure import Look

    ranges = {block.stage: found.temporal_range for block, found in dcf_blocks(network)}
    known = [stage.name for stage in network.stages]
    own = [name for name in known if name in ranges] or first_stages(network)
    kind = params_of(module("dcf"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = _controls(kind, ["source"], {"source": ["cosine", "model"] if ranges else ["cosine"]})
        stages = own if values["source"] == "model" else known
        values |= _controls(kind, ["stages"], {"stages": stages}, {"stages": own})
        values["stages"] = [name for name in known if name in values["stages"]] or own
        reach = max(ranges.get(name, TEMPORAL_RANGE) for name in values["stages"])
        offsets = [offset for offset in range(-reach, reach + 1) if offset]
        look = _controls(Look, ["offset", "layout", "backdrop"], {"offset": offsets, "layout": ["pyramid", "common"]})
    with st.container(horizontal=True, vertical_alignment="center"):
        look |= _controls(Look, ["cells", "raw"])
        values |= _controls(kind, ["tvl1"])
    if values["stages"] == own:
        del values["stages"]
    return Choice(kind.parse(**changed(kind, values), points=state.points()[: -MOST_CELLS - 1 : -1]), changed(Look, look))


def _controls(
    kind: type[Settings], names: list[str], choices: Mapping[str, list[Any]] | None = None, values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return settings_controls(kind, names, choices=choices, values=values, words=WORDS, prefix=PREFIX, width_px=CONTROL_PX)


def picked_words() -> str:
    """Say whose correlations are shown, and how to read them."""
    picked = len(state.points())
    newest = "The cell that was picked" if picked == 1 else f"The {min(picked, MOST_CELLS)} cells picked last, the newest first"
    whose = newest if picked else "Nothing is picked: the clearest cell that moves"
    return (
        f"{whose}. A row for each stage, a column for each frame that it is compared with; the arrow runs from no motion to the best match."
    )


def patches(choice: Choice) -> Choice:
    """The correlations of the picked cells, of the same analysis."""
    return replace(choice, look={"layout": "patch"})
