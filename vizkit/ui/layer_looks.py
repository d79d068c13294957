"""What a reader has set in a player's list of layers: kept for the session, and given to the figure that is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from vizkit.errors import SettingError
from vizkit.figure.layers import LayerLook

MOST = 200
"""Layers that are remembered for a player; no figure has as many."""


def keep(player: str, chosen: Mapping[str, Any]) -> None:
    """Take what the browser says that the reader has set; what is no look is left out.

    Args:
        player: the player's name on the page.
        chosen: names of layers -> fields of :class:`vizkit.figure.layers.LayerLook`.
    """
    looks: dict[str, LayerLook] = {}
    for name, fields in list(chosen.items())[:MOST]:
        try:
            looks[str(name)] = LayerLook.parse(**{str(field): value for field, value in fields.items()})
        except (SettingError, AttributeError):
            continue
    st.session_state[_key(player)] = looks


def kept(player: str) -> Mapping[str, LayerLook]:
    """What was set in a player."""
    looks: Mapping[str, LayerLook] = st.session_state.get(_key(player), {})
    return looks


def for_browser(player: str) -> dict[str, Any]:
    """The same, as the player takes it."""
    return {name: look.model_dump(mode="json", exclude_defaults=True) for name, look in kept(player).items()}


def _key(player: str) -> str:
    return f"{player}:layers"
