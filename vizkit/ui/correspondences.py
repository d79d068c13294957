"""Controls of CPNet's view: block, k, metric, points and what is drawn; who won at one cell; what each block changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from vizkit.catalog import module, step
from vizkit.contracts import Settings
from vizkit.figure.spec import FigureSpec
from vizkit.pipeline import draw
from vizkit.ui import compute, panels, state
from vizkit.ui.controls import settings_controls
from vizkit.ui.page import Scene
from vizkit.ui.panels import Choice, Picture
from vizkit.ui.waiting import passes_take
from vizkit.ui.words import plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

WORDS = {"neighbors": "k neighbours"}
CONTROL_PX = 150
QUERY = "winners_query"
WHO_WON = (
    "A row for each proposal of one picked cell, nearest first. **channels_won**: live channels whose maximum it holds; **change_share**: "
    "its part of the cell's feature change, that is the L1 norm of what the module makes of the channels that it won, over the sum for all "
    "proposals. A proposal that wins nothing can be left out without any effect."
)
BLOCKS = (
    "The features before and after each module, before the ReLU, as means over channels: one scale for all blocks, and another one for "
    "what each of them adds."
)


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


def who_won(scene: Scene, shown: Picture) -> FigureSpec | None:
    """Show what each proposal of one picked cell won, and on request what the network says without it.

    Args:
        scene: clip, frames and model.
        shown: the page's picture.

    Returns:
        The figure with what was found by leaving proposals out, once that was asked for.
    """
    from vizkit.motion.cpnet.figure import removal_words, tabulate_winners

    record = shown.record
    queries = list(range(len(record.query)))
    if st.session_state.get(QUERY) not in (None, *queries):
        del st.session_state[QUERY]
    st.markdown(WHO_WON)
    query = queries[-1] if state.points() else 0
    if len(queries) > 1:
        query = st.segmented_control("Query", queries, default=query, required=True, key=QUERY, format_func=lambda one: _cell(record, one))
    removed = _removed(scene, shown, query)
    panels.table_view(tabulate_winners(removed or record, 0 if removed else query))
    if removed is None:
        return None
    spec = draw(removed, **shown.choice.look)
    st.caption(plain(removal_words(removed.removal)))
    return spec


def _cell(record: Any, query: int) -> str:
    t, y, x = record.query[query].tolist()
    return f"{query}: t {t}, y {y}, x {x}"


def _removed(scene: Scene, shown: Picture, query: int) -> Any:
    """The result without each proposal of one query; computed when its button is clicked, and kept."""
    from vizkit.motion.cpnet.analysis import without_each

    params = without_each(shown.record, query)
    key = compute.record_key("cpnet", scene.model, scene.frames, params)
    if key not in compute.RESULTS:
        winners = int(shown.record.active[query].sum())
        with st.container(horizontal=True, vertical_alignment="center"):
            asked = st.button("Leave out each in turn", key="leave_out", icon=":material/backspace:", disabled=not winners)
            st.caption(_cost(scene, winners))
        if not asked:
            return None
        with st.spinner("Running the rest of the network without each …"):
            scene.queue.run(lambda: compute.record("cpnet", scene.model, scene.frames, params))
        st.rerun()
    return compute.record("cpnet", scene.model, scene.frames, params)


def _cost(scene: Scene, winners: int) -> str:
    """What leaving out the proposals that won a channel takes."""
    if not winners:
        return "No proposal wins a channel here: leaving one out changes nothing."
    took = f", {told}" if (told := passes_take(scene.model, scene.frames, winners + 1)) else ""
    cost = (winners + 1) * compute.gmacs(scene.model, scene.frames)
    return (
        f"What does the network say without it? {winners + 1} passes of the network, from the stage before the block on: at most "
        f"{cost:.1f} billion multiply-adds{f', {took}' if took else ''}; the result is kept."
    )


def blocks(choice: Choice) -> Choice:
    """The features before and after each block, of the same analysis."""
    return replace(choice, look={"layout": "blocks"})


def _params() -> type[Settings]:
    return cast("type[Settings]", step(module("cpnet"), "params"))
