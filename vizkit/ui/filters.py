"""Controls of CorrNet's view: block, order and part of the grid, the channel whose response is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, params_of
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.page import Scene
from vizkit.ui.panels import Choice, Picture
from vizkit.ui.player import Pick

if TYPE_CHECKING:
    from vizkit.net.network import Network

PREFIX = "corrnet_"
CHANNEL = f"{PREFIX}channel"
WORDS = {
    "channels_shown": "Channels shown",
    "first": "First channel",
    "rows": "Frames shown",
    "first_row": "First frame",
    "colors": "Colours",
}
MOST = 16
"""Rows and columns of the grid; more cannot be read."""
CONTROL_PX = 150


def choose(scene: Scene, network: Network) -> Choice:
    """Draw the controls of the grid and read them.

    What is left at its default is left out, so that the recipe is the command line's.

    Raises:
        SettingError: settings that do not go together.
    """
    from vizkit.motion.corrnet.figure import Look
    from vizkit.motion.corrnet.module import CorrelationBlock

    kind = params_of(module("corrnet"))
    found = {block.name: network.module.get_submodule(block.path) for block in network.blocks}
    blocks = {name: block for name, block in found.items() if isinstance(block, CorrelationBlock)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = _controls(kind, ["block"], choices={"block": list(blocks)})
        channels = blocks[values["block"]].operator.channels
        frames = -(-len(scene.frames.frames) // network.stage(network.block(values["block"]).stage).stride_frames)
        values |= _controls(
            kind, ["sort", "first", "channels_shown"], most={"first": max(channels - 1, 1), "channels_shown": max(min(MOST, channels), 2)}
        )
        look = _controls(Look, ["first_row", "rows"], most={"first_row": max(frames - 1, 1), "rows": min(MOST, max(frames, 2))})
        look |= _controls(Look, ["colors"])
    look["first_row"] = min(look["first_row"], frames - 1)
    if values["block"] == next(iter(blocks)):
        del values["block"]
    return Choice(kind.parse(**changed(kind, values)), changed(Look, look))


def _controls(kind: Any, names: list[str], **options: Mapping[str, Any]) -> dict[str, Any]:
    return settings_controls(kind, names, words=WORDS, prefix=PREFIX, width_px=CONTROL_PX, **options)  # type: ignore[arg-type]


def choose_response(shown: Picture) -> Choice:
    """Draw the controls of one channel's response and read them; the channel that was clicked, or the record's own choice."""
    kind, record = params_of(module("corrnet")), shown.record
    channels = record.weights.shape[1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = settings_controls(
            kind, ["channel", "response"], most={"channel": channels - 1}, prefix=PREFIX, width_px=CONTROL_PX, empty="most active"
        )
    channel = record.channel if values["channel"] is None else values["channel"]
    wanted = {**values, "channel": channel, "first": channel, "channels_shown": 1}
    block = record.params.block
    return Choice(kind.parse(**wanted, **({"block": block} if block else {})), {"layout": "response"})


def directions(choice: Choice) -> Choice:
    """Where the filters look: all of them, and those of the response's channel."""
    return replace(choice, look={"layout": "polar", "columns": 1})


def pick_channel(pick: Pick) -> None:
    """Take the channel of the filter that was clicked."""
    found = re.match(r"channel (\d+)", pick.panel)
    if found:
        st.session_state[CHANNEL] = int(found[1])
