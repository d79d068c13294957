"""KPSEM: key points and their shifts, where each set splits the frames, and Grad-CAM beside that of a baseline."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels, state
from vizkit.ui.attention import inside, side_by_side
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.export import export_buttons
from vizkit.ui.key_points import CENTRES, centres, choose, tracks, twins

scene = page.setup(module("kpsem").title, about=module("kpsem").how_to_read)
clip_bar(scene)
panels.neighbours_hint(scene)

shown = panels.picture(scene, "kpsem", partial(choose, scene), key="kpsem", on_pick=state.add_point, controls_px=148)
if shown:
    split, ways = None, None
    if st.toggle("Tracks over time", key="tracks", bind="query-params"):
        with page.guarded():
            ways = panels.further(scene, "kpsem", tracks(shown.choice), key="ways", layout="still")
    if shown.record.learned and shown.record.regions > 1:
        st.subheader("Where each set splits the frames", anchor=False)
        st.markdown(CENTRES)
        with page.guarded():
            split = panels.further(scene, "kpsem", centres(shown.choice), key="centres")
    st.subheader("What speaks for the label", anchor=False)
    with page.guarded():
        maps = side_by_side(scene, shown.network, twins(scene.model))
        inside(scene, shown.network)
        pictures = {"key points": shown, "tracks": ways, "centres": split, **{f"Grad-CAM of {name}": found for name, found in maps.items()}}
        export_buttons({name: found.spec for name, found in pictures.items() if found}, key="export")
        panels.account(shown, ways, split, *maps.values())
