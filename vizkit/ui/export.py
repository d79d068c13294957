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
    "npz": ("NPZ", "application/octet-stream"),
    "csv": ("CSV", "text/csv"),
    "json": ("Recipe", "application/json"),
}
"""Format -> what the button says, media type."""


def export_buttons(spec: FigureSpec, *, key: str) -> None:
    """Show the width of the print and one button per format.

    Args:
        spec: the figure.
        key: starts the buttons' names.
    """
    names = list(VENUES)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        venue = st.selectbox(
            "Export, as wide as", names, names.index(DEFAULT_VENUE), format_func=_venue_words, width=220, key="venue", bind="query-params"
        )
        for form, (label, media) in FORMATS.items():
            name = f"{file_stem(spec)}.{form}"
            data = partial(encode, spec, form, venue)
            st.download_button(label, data=data, file_name=name, mime=media, key=f"{key}-{form}", on_click="ignore")


def _venue_words(venue: str) -> str:
    return f"{venue} ({VENUES[venue]:g} in)"


def file_stem(spec: FigureSpec) -> str:
    """A file name from the figure's provenance: letters, digits and dashes only."""
    made = spec.provenance
    parts = [spec.title] if made is None else [made.clip.rpartition(".")[0] or made.clip, made.model, made.view]
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-").lower()[:80] or "figure"
