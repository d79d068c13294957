"""Downloads of a figure: made when a button is clicked, byte for byte what the command line writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import streamlit as st

from vizkit.figure.spec import FigureSpec
from vizkit.render.theme import DEFAULT_VENUE, VENUES
from vizkit.render.write import Format, encode

FORMATS: Mapping[Format, tuple[str, str]] = {
    "pdf": ("PDF", "application/pdf"),
    "svg": ("SVG", "image/svg+xml"),
    "png": ("PNG", "image/png"),
    "gif": ("GIF", "image/gif"),
    "webm": ("WebM", "video/webm"),
    "npz": ("NPZ", "application/octet-stream"),
    "csv": ("CSV", "text/csv"),
    "json": ("Recipe", "application/json"),
}
"""Format -> what the button says, media type."""
FILMS = ("gif", "webm")
"""Offered where several frames are shown."""


def export_buttons(figures: Mapping[str, FigureSpec], *, key: str) -> None:
    """Show the width of the print and one button per format.

    Args:
        figures: what can be exported, under the words that it is chosen by.
        key: starts the buttons' names.
    """
    names, venues = list(figures), list(VENUES)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = names[0]
        if len(names) > 1:
            name = st.segmented_control("Export", names, default=name, required=True, key=f"{key}-what")
        venue = st.selectbox(
            "As wide as", venues, venues.index(DEFAULT_VENUE), format_func=_venue_words, width=220, key="venue", bind="query-params"
        )
        spec = figures[name]
        films = len({panel.frame for panel in spec.panels} - {None}) > 1
        for form, (label, media) in FORMATS.items():
            if form in FILMS and not films:
                continue
            data = partial(encode, spec, form, venue)
            stem = f"{file_stem(spec)}-{name}" if len(names) > 1 else file_stem(spec)
            st.download_button(label, data=data, file_name=f"{stem}.{form}", mime=media, key=f"{key}-{form}", on_click="ignore")


def _venue_words(venue: str) -> str:
    return f"{venue} ({VENUES[venue]:g} in)"


def file_stem(spec: FigureSpec) -> str:
    """A file name from the figure's provenance: letters, digits and dashes only."""
    made = spec.provenance
    parts = [spec.title] if made is None else [made.clip.rpartition(".")[0] or made.clip, made.model, made.view]
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-").lower()[:80] or "figure"
