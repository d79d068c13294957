"""Downloads of a figure: made when a button is clicked, byte for byte what the command line writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

import streamlit as st

from vizkit.figure.layers import LayerLook
from vizkit.figure.spec import FigureSpec
from vizkit.recipe import Recipe
from vizkit.render.theme import DEFAULT_VENUE, VENUES
from vizkit.render.write import Format, encode
from vizkit.snippets import bibtex, command_line, python_lines
from vizkit.ui import compute
from vizkit.ui.own import PREFIX
from vizkit.ui.words import plain

FORMATS: Mapping[Format, tuple[str, str]] = {
    "pdf": ("PDF", "application/pdf"),
    "svg": ("SVG", "image/svg+xml"),
    "png": ("PNG", "image/png"),
    "gif": ("GIF", "image/gif"),
    "webp": ("WebP", "image/webp"),
    "webm": ("WebM", "video/webm"),
    "npz": ("NPZ", "application/octet-stream"),
    "csv": ("CSV", "text/csv"),
    "json": ("Recipe", "application/json"),
}
"""Format -> what the button says, media type."""
FILMS = ("gif", "webp", "webm")
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
            if (form in FILMS and not films) or (form == "json" and not spec.recipe):
                continue
            data = partial(encode, spec, form, venue)
            stem = f"{file_stem(spec)}-{name}" if len(names) > 1 else file_stem(spec)
            st.download_button(label, data=data, file_name=f"{stem}.{form}", mime=media, key=f"{key}-{form}", on_click="ignore")
        _copy_as(spec, figures)

    for shown, figure in figures.items():
        if figure.recipe.get("layers"):
            told = "; ".join(f"{layer} {LayerLook.parse(**look).words()}" for layer, look in figure.recipe["layers"].items())
            st.caption(plain(f"Exports draw the layers of “{shown}” as set in its list: {told}."))


def _copy_as(spec: FigureSpec, figures: Mapping[str, FigureSpec]) -> None:
    """Offer the address of what is shown, and the figure as command, script and references; without a recipe, name figures with one."""
    made = {name: Recipe.parse(**figure.recipe) for name, figure in figures.items() if figure.recipe}
    recipe = Recipe.parse(**spec.recipe) if spec.recipe else None
    with st.popover("Copy as", icon=":material/content_copy:"):
        st.caption("Link to this page, for who can reach this server; of an upload it asks for the clip.")
        address = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
        st.code(f"{st.context.url or ''}?{address}", language=None, wrap_lines=True)
        if recipe:
            _as_code(recipe)
        else:
            st.caption(f"A command and a script draw one picture: choose {plain(' or '.join(made))} for those.")
        st.caption("BibTeX of the paper and of vizkit")
        for cited in [recipe] if recipe else list(made.values())[:1]:
            st.code(bibtex(cited.view), language=None, wrap_lines=True)


def _as_code(recipe: Recipe) -> None:
    """The figure as a command and a script, where its network has a name that these know."""
    own = compute.model_sampling(recipe.model)
    if recipe.model.startswith(PREFIX):
        st.caption("No command knows weights of your own by name: load them by vizkit.load_weights, and give the recipe the network.")
        return
    st.caption("Command; the clip, and figure.json (Recipe) where it is named, lie in the folder.")
    st.code(command_line(recipe, own), language="bash", wrap_lines=True)
    st.caption("Python")
    st.code(python_lines(recipe, own), language="python", wrap_lines=True)


def _venue_words(venue: str) -> str:
    return f"{venue} ({VENUES[venue]:g} in)"


def file_stem(spec: FigureSpec) -> str:
    """A file name from the figure's provenance: letters, digits and dashes only."""
    made = spec.provenance
    parts = [spec.title] if made is None else [made.clip.rpartition(".")[0] or made.clip, made.model, made.view]
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-").lower()[:80] or "figure"
