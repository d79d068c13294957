"""The words that go with a figure: cleaned, and the sentences that every renderer prints alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from os.path import commonprefix

from vizkit.figure.spec import FigureSpec, Panel
from vizkit.harmless import visible

RECIPE_LIMIT_BYTES = 64 * 1024
"""Longest recipe that is written into a picture's metadata."""


def printable(text: str) -> str:
    """Replace what XML cannot hold (control characters, lone surrogates, non-characters) and turned directions; breaks become spaces."""
    spaced = (" " if char.isspace() else char for char in text)
    return visible("".join(spaced))


def fit(text: str, width: float, measure: Callable[[str], float]) -> str:
    """Shorten one line to a width; what is cut is shown by an ellipsis.

    Args:
        text: one line.
        width: room for it, in the unit of ``measure``.
        measure: width of a line of text.
    """
    if measure(text) <= width:
        return text
    cuts = (text[:end].rstrip() + "…" for end in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if measure(cut) <= width), "…")


def wrapped(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break text at spaces into lines no wider than ``width``; a word that is too long is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, width, measure))
    return lines


def row_titles_width(panels: Iterable[Panel], measure: Callable[[str], float], gap: float) -> float:
    """Room for the headings of a grid's rows, with a gap to the panels; 0 where no row has one."""
    return max((measure(printable(panel.row_title)) + gap for panel in panels if panel.row_title), default=0.0)


def fitted_titles(panels: Sequence[Panel], rooms: Sequence[float], measure: Callable[[str], float]) -> list[str]:
    """Fit the panels' titles into their rooms: without the words that all of a row share (``c =``) if that is enough, else shortened.

    Args:
        panels: the panels.
        rooms: room for each title, in the unit of ``measure``.
        measure: width of a line of text.
    """
    titles = [printable(panel.title) for panel in panels]
    for row in {panel.row for panel in panels}:
        members = [number for number, panel in enumerate(panels) if panel.row == row and titles[number]]
        shared = re.sub(r"\S*$", "", commonprefix([titles[number] for number in members]))
        bare = {number: titles[number].removeprefix(shared) for number in members}
        too_long = any(measure(titles[number]) > rooms[number] for number in members)
        if too_long and len(members) > 1 and all(title and measure(title) <= rooms[number] for number, title in bare.items()):
            titles = [bare.get(number, title) for number, title in enumerate(titles)]
    return [fit(title, room, measure) for title, room in zip(titles, rooms, strict=True)]


def footnotes(spec: FigureSpec) -> tuple[str, ...]:
    """Sentences under the figure: its notes, and where it comes from when the weights are random."""
    notes = tuple(printable(note) for note in spec.notes)
    made = spec.provenance
    if made is None or made.origin != "random":
        return notes
    line = f"Random weights, not trained: {made.architecture} ({made.model_digest[:8]}) on {made.clip} ({made.clip_digest[:8]})."
    return (*notes, printable(line))


def recipe_json(spec: FigureSpec) -> str:
    """The figure's recipe as indented JSON with sorted keys, ending in a line break."""
    return json.dumps(spec.recipe, sort_keys=True, indent=2, allow_nan=False) + "\n"


def recipe_line(spec: FigureSpec) -> str:
    """The figure's recipe as one line of ASCII JSON for metadata; of one that is too long, only its SHA-256."""
    line = json.dumps(spec.recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(line) <= RECIPE_LIMIT_BYTES:
        return line
    return json.dumps({"recipe_sha256": hashlib.sha256(recipe_json(spec).encode()).hexdigest()})
