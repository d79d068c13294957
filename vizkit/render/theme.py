"""The looks, in one place: what a role looks like, the page around it, and how wide a venue prints it.

Red and blue are the paper's; solid and dashed say the same without colour. Marks lie on pictures of any brightness,
so every mark has a casing: a wider line in a contrasting tone under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vizkit.errors import unknown_name
from vizkit.figure.spec import Role

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Style:
    """How the marks of one role are drawn."""

    color: str
    """``#rrggbb``"""
    casing: str = "#ffffff"
    """``#rrggbb`` of the wider line under the mark."""
    width_pt: float = 0.65
    """Line width in print, points; renderers on the screen scale it."""
    dash: tuple[float, float] | None = None
    """Length of dash and gap in line widths, ``None`` for a solid line."""
    side: Literal[1, -1] = 1
    """Arcs across panels bend upward (1) or downward (-1), so that two roles part where they overlap."""


@dataclass(frozen=True)
class Theme:
    """A page and its roles."""

    background: str
    """``#rrggbb`` of the page."""
    text: str
    """``#rrggbb`` of titles and labels."""
    muted: str
    """``#rrggbb`` of notes."""
    roles: Mapping[Role, Style]
    """One style per role."""


_DASH = (3.0, 1.6)

_PARTS: Mapping[Role, Style] = {
    "region_1": Style("#ff3b30", casing="#000000", width_pt=0.8),
    "region_2": Style("#ffd60a", casing="#000000", width_pt=0.8),
    "region_3": Style("#ffffff", casing="#000000", width_pt=0.8),
    "region_4": Style("#22d3ee", casing="#000000", width_pt=0.8),
    "border": Style("#ffffff", casing="#000000", width_pt=0.45, dash=_DASH),
}
"""Marks of the parts of a picture: they lie on pictures alone, so that they look the same on every page."""

FILL_OPACITY = 0.7
"""Opacity of the inside of a filled outline; its line is opaque."""

THEMES: Mapping[str, Theme] = {
    "light": Theme(
        background="#ffffff",
        text="#1a1a1a",
        muted="#555555",
        roles={
            "frame": Style("#1a1a1a"),
            "active": Style("#d7141a"),
            "filtered": Style("#1f62d6", dash=_DASH, side=-1),
            "proposal": Style("#6e6e6e"),
            "query": Style("#ffc20a", casing="#000000"),
            "truth": Style("#00806a"),
            "region": Style("#9b3fb5"),
            "peak": Style("#ffffff", casing="#000000"),
            "neutral": Style("#404040"),
            **_PARTS,
        },
    ),
    "dark": Theme(
        background="#0e1117",
        text="#f0f2f6",
        muted="#a8b0bd",
        roles={
            "frame": Style("#f0f2f6", casing="#000000"),
            "active": Style("#ff5a5f", casing="#000000"),
            "filtered": Style("#4f9dff", casing="#000000", dash=_DASH, side=-1),
            "proposal": Style("#b4b4b4", casing="#000000"),
            "query": Style("#ffd54a", casing="#000000"),
            "truth": Style("#2fd0b0", casing="#000000"),
            "region": Style("#d08be6", casing="#000000"),
            "peak": Style("#ffffff", casing="#000000"),
            "neutral": Style("#d8d8d8", casing="#000000"),
            **_PARTS,
        },
    ),
}
"""The pages that figures can be drawn on; print is always light."""


def theme_named(name: str) -> Theme:
    """Look a theme up.

    Raises:
        SettingError: an unknown name; the message lists the known ones.
    """
    if name not in THEMES:
        raise unknown_name("theme", name, list(THEMES))
    return THEMES[name]


VENUES: Mapping[str, float] = {
    "cvpr": 6.875,
    "cvpr-column": 3.25,
    "elsevier": 7.48,
    "elsevier-column": 3.54,
    "iclr": 5.5,
    "ieee": 7.16,
    "ieee-column": 3.5,
    "neurips": 5.5,
    "springer": 4.8,
}
"""Width of a venue's text, or of one of its columns, in inches."""
DEFAULT_VENUE = "cvpr"
"""Used when no venue is named."""


def page_width(venue: str | None) -> float:
    """Width of a venue's figures in inches; of the default venue without a name.

    Raises:
        SettingError: an unknown venue; the message lists the known ones.
    """
    name = venue or DEFAULT_VENUE
    if name not in VENUES:
        raise unknown_name("venue", name, list(VENUES))
    return VENUES[name]


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue (0..255) of ``#rrggbb``."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
