"""The first page: a clip, what the network sees of it, what it says, and a first look inside."""

from __future__ import annotations

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import page, panels
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.correspondences import first_look

scene = page.setup("Clip and prediction")
clip_bar(scene)

left, right = st.columns([3, 2], gap="large")
with left:
    panels.clip_film(scene)
with right:
    st.subheader("Prediction", anchor=False)
    labels = st.empty()
    labels.caption("computing …")

st.subheader("A look inside: correspondences", anchor=False)
st.markdown(module("cpnet").how_to_read)
panels.picture(scene, "cpnet", first_look, key="first")
page.link("pages/cpnet.py", "Pick your own points and export the figure →")
with labels.container():
    panels.prediction(scene)
