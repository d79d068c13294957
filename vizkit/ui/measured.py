"""What the pictures of a view are worth: a checkpoint's scores against known motion, beside those of the same network untrained."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from vizkit.catalog import module
from vizkit.ui import compute
from vizkit.ui.words import field_words, plain

Entry = Mapping[str, Any]


def measured(view: str, model: str) -> None:
    """Say how a checkpoint's pictures of a view do where the motion is known; nothing where its card has no such numbers.

    Args:
        view: name of the view.
        model: name of the network.
    """
    card = compute.card(model)
    ours, theirs = (_of_view(card.get(part, {}), view) for part in ("test", "untrained"))
    if not ours:
        return
    headline = module(view).headline
    first = next(iter(ours.values()))
    if headline in ours:
        beside = f"; with random weights {_shown(theirs[headline])}" if headline in theirs else ""
        st.caption(plain(f"On {first['clips']} clips of known motion: {field_words(headline).lower()} {_shown(ours[headline])}{beside}"))
    with st.expander(f"How such pictures do on {first['clips']} clips of known motion, beside random weights"):
        st.html(scores_html(ours, theirs))
        commands = dict.fromkeys(next(iter(part.values()))["command"] for part in (ours, theirs) if part)
        st.caption(f"95 % intervals in brackets. Measured by {' and '.join(f'`{command}`' for command in commands)}.")


def scores_html(ours: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> str:
    """A table with a row for each measure: the checkpoint's value and the untrained network's; names are escaped.

    Args:
        ours: measure -> entry of the checkpoint's card.
        theirs: the same of the untrained network; measures may be missing.
    """
    head = "<tr><th></th><th>this network</th><th>with random weights</th></tr>"
    rows = "".join(
        f'<tr><th scope="row">{escape(field_words(name))}</th><td>{_shown(entry)}</td>'
        f"<td>{_shown(theirs[name]) if name in theirs else '–'}</td></tr>"
        for name, entry in ours.items()
    )
    return f'<table class="vz-scores" aria-label="Scores against known motion">{head}{rows}</table>'


def _of_view(entries: Mapping[str, Entry], view: str) -> dict[str, Entry]:
    return {name.removeprefix(f"{view}."): entry for name, entry in entries.items() if name.startswith(f"{view}.")}


def _shown(entry: Entry) -> str:
    """Value and interval, three digits."""
    low, high = entry["interval"]
    return f"{entry['value']:.3g} [{low:.3g}, {high:.3g}]"
