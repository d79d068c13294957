"""Grad-CAM of two networks on the same frames and one scale: the model of the page, and a baseline to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, params_of
from vizkit.contracts import Settings
from vizkit.ui import compute, panels
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.page import Scene, guarded
from vizkit.ui.words import plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

VIEW = "gradcam"
PREFIX = "attention_"
SHOWN = 4
"""Frames in a row, the same from every part of the clip."""
CONTROL_PX = 220
ONE_SCALE = (
    "Both rows have the same frames and one scale of raw values: that of the larger maximum. A network with larger features has larger "
    "values, so compare where the maps are bright and not how bright they are."
)
OWN_SCALES = (
    "Both rows have the same frames; each has a scale of its own, so compare where the maps are bright and not how bright they are."
)


def side_by_side(scene: Scene, network: Network, twins: Sequence[str]) -> dict[str, panels.Picture | None]:
    """Draw the controls and a row of Grad-CAM for the baseline and one for the model of the page.

    Args:
        scene: clip, frames and model.
        network: the model's network, whose stages and labels can be chosen.
        twins: architectures or checkpoints that the model can best be held against; further ones follow them in the list.

    Returns:
        Name of the model -> its picture, or None while it is being computed and where a sentence on the page says why there is none.
    """
    baseline, params, locked = _choose(scene, network, twins)
    st.markdown(ONE_SCALE if locked else OWN_SCALES)
    look = {"frames": _frames(len(scene.frames.frames)), "columns": SHOWN}
    limit = _common_limit(scene, (baseline, scene.model), params) if locked else None
    if limit:
        look["limit"] = limit
    found: dict[str, panels.Picture | None] = {}
    for role, name in (("baseline", baseline), ("model", scene.model)):
        heading, found[name] = st.empty(), None
        heading.markdown(f"**{plain(name)}**")
        with guarded():
            choice = panels.Choice(params, look)
            found[name] = picture = panels.further(replace(scene, model=name), VIEW, choice, key=f"{PREFIX}{role}_maps", layout="still")
            if picture:
                heading.markdown(f"**{plain(name)}** · {plain(picture.record.volume.label)}, {picture.record.probability:.1%}")
    for note in dict.fromkeys(note for picture in found.values() if picture for note in picture.spec.notes):
        st.caption(f":material/info: {plain(note)}")
    return found


def _choose(scene: Scene, network: Network, twins: Sequence[str]) -> tuple[str, Settings, bool]:
    """The baseline; stage, label and method for both networks; whether both have one scale."""
    kind = params_of(module(VIEW))
    stages = [stage.name for stage in network.stages]
    others = dict.fromkeys((*twins, *compute.model_names()))
    names = [name for name in others if name != scene.model]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=CONTROL_PX):
            words = "The network that the model is held against: its twin without the module, where there is one."
            key = f"{PREFIX}baseline"
            if st.session_state.get(key) not in (None, *names):
                del st.session_state[key]
            baseline = st.selectbox("Baseline", names, key=key, bind="query-params", help=words)
        choices = {"stage": stages, "target": ["predicted", *network.labels]}
        values = settings_controls(
            kind, ["stage", "target", "method"], values={"stage": stages[-1]}, choices=choices, prefix=PREFIX, width_px=CONTROL_PX
        )
        help_words = "Off: each row up to its own maximum, where one network has much smaller values than the other."
        locked = st.toggle("One scale", True, key=f"{PREFIX}locked", bind="query-params", help=help_words)
    if values["stage"] == stages[-1]:
        del values["stage"]
    return baseline, kind.parse(**changed(kind, values)), locked


def inside(scene: Scene, network: Network) -> None:
    """List the network's layers with the shapes that this clip gives them, and the methods that a map can be made by.

    Args:
        scene: clip, frames and model.
        network: the model's network.
    """
    if st.toggle("Layers and their shapes", key=f"{PREFIX}layers"):
        from vizkit.net.layers import layer_shapes, tabulate_layers

        with guarded():
            length, *size_hw = scene.frames.frames.shape[:3]
            key = ("layers", *compute.run_key(scene.model, scene.frames))
            found = compute.RESULTS.get(key, lambda: layer_shapes(network, frames=length, size_hw=(size_hw[0], size_hw[1])))
            st.caption("Shapes as each layer gives them for this clip; frames may be folded into the first axis.")
            panels.table_view(tabulate_layers(found))
    if st.toggle("Methods, and why others cannot be had", key=f"{PREFIX}methods"):
        from vizkit.net.attention import methods_of, tabulate_methods

        with guarded():
            stage = st.session_state.get(f"{PREFIX}stage") or network.stages[-1].name
            st.caption(f"Of the grad-cam library, on {plain(stage)} of {plain(scene.model)} and this clip.")
            panels.table_view(tabulate_methods(methods_of(compute.run(scene.model, scene.frames), stage)))


def _frames(total: int) -> list[int]:
    """The middle frames of as many equal parts of a clip as a row has."""
    return sorted({(2 * part + 1) * total // (2 * SHOWN) for part in range(SHOWN)})


def _common_limit(scene: Scene, models: Sequence[str], params: Settings) -> float | None:
    """The largest value of all maps, once they are there; None before, and where all are zero."""
    keys = [compute.record_key(VIEW, name, scene.frames, params) for name in models]
    if not all(key in compute.RESULTS for key in keys):
        return None
    records: list[Any] = [compute.record(VIEW, name, scene.frames, params) for name in models]
    return max(float(record.values.max()) for record in records) or None
