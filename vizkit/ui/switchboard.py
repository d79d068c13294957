"""The module switchboard: every inserted block on or off, and the settings of blocks that no weight depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.ui.controls import settings_controls
from vizkit.ui.words import field_words, plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

CONTROL_PX = 170


def switchboard(network: Network) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Draw a switch for each block and the controls of its run-time settings, and read them.

    What is offered comes from the blocks themselves: those with settings that no weight depends on say so, and why others are fixed.

    Args:
        network: a network with inserted blocks.

    Returns:
        Blocks that are switched off, and the changed settings of those that are on.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown("**Blocks** of B")
        on = {block.name: _switch(network, block.name) for block in network.blocks}
    with st.expander("Settings of the blocks that no weight depends on", icon=":material/tune:"):
        changes = {block: _changes(network, block) for block, is_on in on.items() if is_on}
        for sentence in _fixed(network):
            st.caption(f":material/lock: {plain(sentence)}")
    return tuple(block for block, is_on in on.items() if not is_on), {block: values for block, values in changes.items() if values}


def _switch(network: Network, block: str) -> bool:
    kind = type(network.module.get_submodule(network.block(block).path)).__name__
    words = f"{kind} at {block}. Off: the network runs as if the block were not there, with the other weights as they are."
    return st.toggle(block, True, key=f"on_{network.architecture}_{block}", bind="query-params", help=words)


def _changes(network: Network, block: str) -> dict[str, Any]:
    from vizkit.net.adjust import adjustable

    found = adjustable(network, block)
    if found is None:
        return {}
    kind, own = found
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(f"**{plain(block)}**", width=80)
        values = settings_controls(
            kind, list(kind.model_fields), values=own, prefix=f"at_{network.architecture}_{block}_", width_px=CONTROL_PX
        )
    return {name: value for name, value in values.items() if value != own[name]}


def _fixed(network: Network) -> list[str]:
    """Why other settings stay as they are: a sentence for each reason, with the blocks that it holds for."""
    from vizkit.net.adjust import fixed

    holds: dict[tuple[str, str], list[str]] = {}
    for block in network.blocks:
        for name, reason in fixed(network, block.name).items():
            holds.setdefault((name, reason), []).append(block.name)
    return [f"{field_words(name)} of {', '.join(blocks)} stays: {reason}" for (name, reason), blocks in holds.items()]
