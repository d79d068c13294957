"""The words that go with a figure: cleaned, and the sentences that every renderer prints alike."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable

from vizkit.figure.spec import FigureSpec

RECIPE_LIMIT_BYTES = 64 * 1024
"""Longest recipe that is written into a picture's metadata."""


def printable(text: str) -> str:
    """Replace what XML cannot hold (control characters, lone surrogates, non-characters); line breaks become spaces."""
    spaced = (" " if char.isspace() else char for char in text)
    return "".join("\ufffd" if unicodedata.category(char) in {"Cc", "Cs", "Cn"} else char for char in spaced)


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
