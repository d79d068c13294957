"""All modules for one picked point: each in its own picture, with one cursor over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from vizkit.catalog import MODULES, params_of, step
from vizkit.contracts import MotionModule
from vizkit.figure.reading import COLUMNS as VALUE_COLUMNS
from vizkit.figure.reading import read_at
from vizkit.figure.spec import Table
from vizkit.ui import compute, panels, state
from vizkit.ui.export import export_buttons
from vizkit.ui.page import Scene, guarded, link
from vizkit.ui.player import player
from vizkit.ui.points import point_bar
from vizkit.ui.words import plain

COLUMNS = 2


def pick(scene: Scene) -> None:
    """Show the frames; a click picks the point."""
    player(panels.frames_payload(scene.frames), key="pick", on_pick=state.add_point, points=state.points())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        point_bar(scene.frames)
    picked = state.points()
    if picked:
        t, x, y = picked[-1]
        st.markdown(f"The point picked last: frame t = {t}, x = {x:g}, y = {y:g} px of the network's frames.")
    else:
        st.markdown("Nothing is picked yet: every picture shows what it shows by itself.")


def pictures(scene: Scene) -> None:
    """Show every module at the point picked last, side by side, and offer the pictures for export."""
    with guarded():
        columns = st.columns(COLUMNS, gap="large")  # each is filled from its top, as pictures differ in height
        drawn = {entry.title: _one(scene, entry, columns[number % COLUMNS]) for number, entry in enumerate(MODULES)}
        shown = {title: picture for title, picture in drawn.items() if picture}
        if shown:
            _values(shown)
            export_buttons({title: picture.spec for title, picture in shown.items()}, key="export")
            panels.account(*shown.values())


def _values(shown: Mapping[str, panels.Picture]) -> None:
    """Show what every picture says at the point picked last, as one table."""
    picked = state.points()
    if picked:
        st.subheader("The values at this point", anchor=False)
        told = {title: read_at(picture.spec, *picked[-1]) for title, picture in shown.items()}
        rows = tuple((title, *row) for title, table in told.items() for row in table.rows)
        panels.table_view(Table(("module", *VALUE_COLUMNS), rows))


def _one(scene: Scene, entry: MotionModule, place: st.delta_generator.DeltaGenerator) -> panels.Picture | None:
    """One module's picture; of another model where the chosen one has no such view."""
    found: list[panels.Picture | None] = []
    with place, guarded():
        st.subheader(entry.title, anchor=False)
        model = _model_for(scene, entry)
        if model != scene.model:
            st.caption(f"Of {plain(model)}: {plain(str(step(entry, 'unavailable')(compute.network(scene.model))))}")
        found.append(panels.further(replace(scene, model=model), entry.key, _choice(entry), key=f"at-{entry.key}", on_pick=state.add_point))
        link(f"pages/{entry.key}.py", "All of its settings →")
    return found[0] if found else None


def _model_for(scene: Scene, entry: MotionModule) -> str:
    """The chosen model where it has the view, else the first trained one that has."""
    network = scene.run(lambda: compute.network(scene.model))
    return scene.model if step(entry, "unavailable")(network) is None else compute.models_with(entry.key)[0]


def _choice(entry: MotionModule) -> panels.Choice:
    """The view's usual settings, at the point picked last where it takes points."""
    kind = params_of(entry)
    points = {"points": state.points()[-1:]} if "points" in kind.model_fields else {}
    return panels.Choice(kind.parse(**points), dict(entry.at_point))
