"""A figure for print: PNG, SVG or PDF by Matplotlib, without pyplot.

Same figure, same bytes: no dates, fixed salts, default settings whatever the user's ``matplotlibrc`` says. Fonts stay fonts
(TrueType in PDF, text in SVG), arrows, keys and wheels are vectors, frames keep their own resolution.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vizkit.figure.place import Box, Layout, lay_out
from vizkit.figure.spec import FigureSpec
from vizkit.render.ink import LABEL_PT, RULER, SMALL_PT, TITLE_PT, PaperPen, draw_panels, line_height, text_width, write
from vizkit.render.keys import KeyLines, measured_keys
from vizkit.render.text import fitted_titles, footnotes, printable, recipe_line, row_titles_width, wrapped
from vizkit.render.theme import Theme, page_width, theme_named

PrintFormat = Literal["png", "svg", "pdf"]

PNG_DPI = 300
"""Resolution of PNG files."""

MARGIN = 0.03
ROW_TITLE_GAP = 0.05
PANEL_GAP = 0.04
BLOCK_GAP = 0.05
MAX_PANEL_WIDTH = 2.4
MAX_PANELS_HEIGHT = 7.5
"""Inches; the panels of a figure leave room for its keys and a caption on one page."""

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "image.composite_image": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "vizkit",
    "text.hinting": "none",  # words are as wide in PNG as measured
    "text.parse_math": False,
    "text.usetex": False,
}
_SETTINGS_LOCK = threading.Lock()


@contextmanager
def _settings() -> Iterator[None]:
    """Draw under our settings; they are global in Matplotlib, so that one figure is drawn at a time."""
    with _SETTINGS_LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def save(spec: FigureSpec, form: PrintFormat, venue: str | None = None, *, caption: bool = False) -> bytes:
    """Draw a figure at the width of a venue.

    The recipe travels in the file's metadata (PNG and SVG ``Description``, PDF ``Keywords``).

    Args:
        spec: the figure.
        form: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``.
        venue: a name of :data:`vizkit.render.theme.VENUES`.
        caption: print the caption under the figure; papers set it themselves.

    Returns:
        The file's bytes.

    Raises:
        SettingError: an unknown venue.
    """
    width = page_width(venue)
    buffer = io.BytesIO()
    with _settings():
        _page(spec, width, caption=caption).savefig(buffer, format=form, dpi=PNG_DPI, metadata=_metadata(spec, form))
    return buffer.getvalue()


def _metadata(spec: FigureSpec, form: PrintFormat) -> dict[str, Any]:
    """Title, recipe and maker; no dates."""
    title, recipe = printable(spec.title), recipe_line(spec)
    if form == "pdf":
        return {"Title": title, "Subject": printable(spec.alt), "Keywords": recipe, "Creator": "vizkit", "CreationDate": None}
    if form == "svg":
        return {"Title": title, "Description": recipe, "Creator": "vizkit", "Date": None}
    return {"Title": title, "Comment": printable(spec.alt), "Description": recipe, "Software": "vizkit"}


@dataclass(frozen=True)
class _Blocks:
    """What is stacked on the page, measured."""

    title: list[str]
    panels: Layout
    keys: KeyLines
    foot: list[str]

    @property
    def height(self) -> float:
        """Height of the page in inches."""
        words = len(self.title) * line_height(TITLE_PT), len(self.foot) * line_height(SMALL_PT)
        drawn = [part for part in (*words, self.panels.size_wh[1], self.keys.height) if part > 0]
        return sum(drawn) + BLOCK_GAP * (len(drawn) - 1) + 2 * MARGIN


def _page(spec: FigureSpec, width: float, *, caption: bool) -> Figure:
    """Measure all blocks, make a page of their height and draw them from top to bottom."""
    theme, inner = theme_named("light"), width - 2 * MARGIN
    foot = [*footnotes(spec), *([printable(spec.caption)] if caption else [])]
    blocks = _Blocks(
        title=wrapped(printable(spec.title), inner, partial(text_width, size_pt=TITLE_PT)),
        panels=lay_out(
            spec.panels,
            inner,
            gap=PANEL_GAP,
            title_height=line_height(LABEL_PT),
            indent=row_titles_width(spec.panels, partial(text_width, size_pt=LABEL_PT), ROW_TITLE_GAP),
            max_panel_width=MAX_PANEL_WIDTH,
            max_height=MAX_PANELS_HEIGHT,
        ),
        keys=measured_keys(spec, RULER, inner),
        foot=[line for sentence in foot for line in wrapped(sentence, inner, text_width)],
    )
    figure = Figure(figsize=(width, blocks.height), facecolor=theme.background)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    _draw_blocks(axes, spec, blocks, theme, width)
    axes.set(xlim=(0, width), ylim=(blocks.height, 0))
    return figure


def _draw_blocks(axes: Axes, spec: FigureSpec, blocks: _Blocks, theme: Theme, width: float) -> None:
    """Draw title, panels, keys and foot lines."""
    top = MARGIN
    for line in blocks.title:
        write(axes, width / 2, top + line_height(TITLE_PT) / 2, line, TITLE_PT, theme.text)
        top += line_height(TITLE_PT)
    top += BLOCK_GAP if blocks.title else 0
    boxes = tuple(Box(box.left + MARGIN, box.top + top, box.width, box.height) for box in blocks.panels.boxes)
    draw_panels(axes, spec, boxes, theme)
    titles = fitted_titles(spec.panels, [box.width + blocks.panels.gap for box in boxes], text_width)
    for panel, box, title in zip(spec.panels, boxes, titles, strict=True):
        _write_panel_title(axes, title, box, theme)
        heading = printable(panel.row_title)
        write(axes, box.left - ROW_TITLE_GAP, box.top + box.height / 2, heading, LABEL_PT, theme.text, align="right")
    top += blocks.panels.size_wh[1] + BLOCK_GAP
    blocks.keys.draw(PaperPen(axes, theme), width / 2, top)
    top += blocks.keys.height + (BLOCK_GAP if spec.keys else 0)
    for number, line in enumerate(blocks.foot):
        write(axes, MARGIN, top + (number + 0.5) * line_height(SMALL_PT), line, SMALL_PT, theme.muted, align="left")


def _write_panel_title(axes: Axes, title: str, box: Box, theme: Theme) -> None:
    """Write a panel's title above it, smaller where the panel is narrow, on a patch that hides the arrows below it."""
    if not title:
        return
    size = LABEL_PT if text_width(title, LABEL_PT) <= box.width else SMALL_PT
    width, height = text_width(title, size), line_height(LABEL_PT)
    middle = box.left + box.width / 2
    corner = (middle - width / 2 - 0.02, box.top - height)
    axes.add_patch(Rectangle(corner, width + 0.04, height - 0.01, facecolor=theme.background, edgecolor="none", zorder=4))
    write(axes, middle, box.top - height / 2, title, size, theme.text)
