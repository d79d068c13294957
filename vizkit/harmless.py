"""Other people's text made harmless: what a terminal, a reading direction or a spreadsheet would act upon."""

from __future__ import annotations

import unicodedata

UNSEEN = frozenset("\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Turn the direction of what follows, or hide between letters. Joiners stay: scripts and emoji need them."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A text cell that begins like this is run as a formula by spreadsheets."""


def visible(text: str) -> str:
    """Show every character that acts instead of being read (controls, turned directions, lone surrogates) as U+FFFD; line breaks stay."""
    acts = (char != "\n" and (char in UNSEEN or unicodedata.category(char) in {"Cc", "Cs", "Cn"}) for char in text)
    return "".join("\ufffd" if bad else char for char, bad in zip(text, acts, strict=True))


def cell(value: str | int | float | bool) -> str | int | float | bool:
    """A cell of a table that a spreadsheet may open: text that would be a formula gets a leading apostrophe; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS) else value
