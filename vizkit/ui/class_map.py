"""The switch that lays Grad-CAM over the frames of a page's pictures: one more layer, computed once for each network, clip and label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from vizkit.catalog import module, params_of, step
from vizkit.contracts import Settings
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.words import plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

VIEW = "gradcam"
KEY, PREFIX = "cam", "cam_"
"""Names of the switch and of its settings, in the session and in the page's address."""
KEYS = (KEY, f"{PREFIX}target")
CONTROL_PX = 220
PREDICTED = "predicted"


def switch(*networks: Network) -> None:
    """Draw the switch, and beside it the choice of a label that all networks know; where one of them has no such map, the reason."""
    reason = _unavailable(networks)
    words = "Lay over the frames where the last stage's features speak for a label. It has a line of its own in the list of layers."
    st.toggle("Grad-CAM", key=KEY, bind="query-params", disabled=bool(reason), help=words)
    if reason:
        st.caption(plain(reason))
    elif st.session_state[KEY]:
        labels = {"target": [PREDICTED, *_labels(networks)]}
        settings_controls(
            params_of(module(VIEW)), ["target"], choices=labels, prefix=PREFIX, words={"target": "Label"}, width_px=CONTROL_PX
        )


def wanted(*networks: Network) -> Settings | None:
    """What is to be laid over the frames; None where nothing is, or where this page has no switch."""
    if not st.session_state.get(KEY) or _unavailable(networks):
        return None
    kind, target = params_of(module(VIEW)), st.session_state.get(f"{PREFIX}target", PREDICTED)
    return kind.parse(**changed(kind, {"target": target if target in _labels(networks) else PREDICTED}))


def _unavailable(networks: Sequence[Network]) -> str:
    """Why the first network that has no such map has none; empty where all have."""
    return next((str(reason) for network in networks if (reason := step(module(VIEW), "unavailable")(network))), "")


def _labels(networks: Sequence[Network]) -> list[str]:
    """Labels that all of the networks know, in the order of the first."""
    first, *rest = networks
    return [label for label in first.labels if all(label in network.labels for network in rest)]
