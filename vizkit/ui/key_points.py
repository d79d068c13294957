"""Controls of KPSEM's view: block or stage, set, channels, what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, params_of
from vizkit.contracts import Settings
from vizkit.ui import compute
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.page import Scene
from vizkit.ui.panels import Choice

if TYPE_CHECKING:
    from vizkit.net.network import Network

PREFIX = "kpsem_"
WORDS = {"set_shown": "Set", "channels_shown": "Number of channels", "borders": "Region borders"}
CONTROL_PX = 150
CENTRES = (
    "Every set looks for a separation of its own, so that key points that share a region in one set lie in two of another. The centres "
    "are chosen for each frame, from its features, before any key point is taken."
)
SPLITS = (1, 4, 9, 16)
"""Numbers of regions that a stage can be split into here."""
BACKBONES = {"mf-kpsem": "mfnet", "r3d-kpsem": "r3d-50"}
"""Architecture -> the same network without KPSEM."""
MOST = 8
"""Channels shown; more crosses cannot be told apart."""


def choose(scene: Scene, network: Network) -> Choice:
    """Draw the controls and read them; what is left at its default is left out, so that the recipe is the command line's.

    Raises:
        SettingError: settings that do not go together.
    """
    from vizkit.motion.kpsem.analysis import default_stage, kpsem_blocks
    from vizkit.motion.kpsem.figure import Look

    kind, blocks = params_of(module("kpsem")), kpsem_blocks(network)
    stages = {stage.name: stage.channels for stage in network.stages}
    usual = next(iter(blocks), default_stage(network, len(scene.frames.frames)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = _controls(kind, ["block"], values={"block": usual}, choices={"block": [*blocks, *stages]})
        block = blocks.get(values["block"])
        if block is None:
            values["regions"] = _regions()
        elif block.sets > 1:
            values |= _controls(kind, ["set_shown"], most={"set_shown": block.sets - 1})
        values["channels"] = _channels(block.channels if block else stages[values["block"]])
        if not values["channels"]:
            values |= _controls(kind, ["channels_shown"], most={"channels_shown": MOST})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        look = _controls(Look, ["layout", "arrows", "opacity", "borders"], choices={"layout": ["frames", "channels"]})
    if values["block"] == usual:
        del values["block"]
    return Choice(kind.parse(**changed(kind, values)), changed(Look, look))


def _controls(kind: type[Settings], names: list[str], **options: Mapping[str, Any]) -> dict[str, Any]:
    return settings_controls(kind, names, words=WORDS, prefix=PREFIX, width_px=CONTROL_PX, **options)  # type: ignore[arg-type]


def _regions() -> int | None:
    """Into how many regions a stage is split; None for the usual number."""
    from vizkit.motion.kpsem.analysis import REGIONS

    key, words = f"{PREFIX}regions", "Equal regions that each frame is split into."
    chosen = st.segmented_control("Regions", SPLITS, default=REGIONS, required=True, key=key, bind="query-params", help=words)
    return None if chosen == REGIONS else chosen


def _channels(total: int) -> tuple[int, ...]:
    """The channels named; empty for those that count most."""
    key, words = f"{PREFIX}channels", "Empty: the channels whose key points count most, by region weight x value."
    kept = [channel for channel in st.session_state.get(key, []) if channel < total]
    if key in st.session_state:
        st.session_state[key] = kept
    with st.container(width=2 * CONTROL_PX):
        chosen = st.multiselect(
            "Channels", range(total), key=key, bind="query-params", max_selections=MOST, placeholder="those that count most", help=words
        )
    return tuple(chosen)


def centres(choice: Choice) -> Choice:
    """The separation centres of all sets, of the same analysis."""
    return replace(choice, look={"layout": "centres"})


def tracks(choice: Choice) -> Choice:
    """The way of each key point over time, of the same analysis."""
    words = "Of one region in all steps, or from each key point to the one that matches it best."
    follow = st.segmented_control("Follow", ["region", "match"], default="region", required=True, key=f"{PREFIX}follow", help=words)
    return replace(choice, look={"layout": "tracks", **({} if follow == "region" else {"follow": follow})})


def twins(model: str) -> tuple[str, ...]:
    """What a model can best be held against: its trained twin, the same network without KPSEM, or other backbones."""
    own = (compute.twin_of(model), BACKBONES.get(model, ""))
    return tuple(name for name in own if name) or tuple(BACKBONES.values())
