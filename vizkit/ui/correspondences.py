"""Controls of CPNet's view: block, k, metric, points and what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import streamlit as st

from vizkit.catalog import module, step
from vizkit.contracts import Settings
from vizkit.ui import state
from vizkit.ui.controls import settings_controls
from vizkit.ui.panels import Choice

if TYPE_CHECKING:
    from vizkit.net.network import Network

WORDS = {"neighbors": "k neighbours"}
CONTROL_PX = 150


def first_look(network: Network) -> Choice:
    """The view without controls: a few cells of large feature change."""
    return Choice(_params()(), {})


def choose(network: Network) -> Choice:
    """Draw the controls and read them.

    What is left at its default is left out, so that the recipe is the command line's.

    Raises:
        SettingError: settings that do not go together.
    """
    from vizkit.motion.cpnet.analysis import places, usual_place

    kind, usual = _params(), usual_place(network)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = settings_controls(
            kind, ["block", "neighbors", "metric"], values={"block": usual}, choices={"block": places(network)}, words=WORDS,
            width_px=CONTROL_PX,
        )  # fmt: skip
        heat = st.toggle("Heat map", True, key="heat", bind="query-params", help="How much the module changes the features.")
    if values["block"] == usual:
        del values["block"]
    return Choice(kind.parse(**values, points=state.points()), {} if heat else {"heat": False})


def _params() -> type[Settings]:
    return cast("type[Settings]", step(module("cpnet"), "params"))
