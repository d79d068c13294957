"""Colour bars, colour wheels and legends, laid out once for every kind of page.

Keys are measured before they are drawn, so that a line is never wider than the page. All sizes are in lines of key text,
so that the same layout serves inches and pixels; a :class:`Pen` does the drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vizkit.figure.place import Box
from vizkit.figure.spec import ColorBarKey, ColorMap, FigureSpec, LegendKey, PointLayer, PolygonLayer, Role, WheelKey
from vizkit.render.text import fit, printable

BAR_WH = (10.0, 0.7)
WHEEL_RADIUS = 2.0
SAMPLE_WIDTH = 2.4
HEAD = 0.55
MARK = 0.65
GAP = 0.45
"""Between a sample and its text."""
WORD_GAP = 0.25
"""Between a wheel and its words."""
KEY_GAP = 1.6
"""Between two keys."""


@dataclass(frozen=True)
class Ruler:
    """How text is measured on a page."""

    line: float
    """Height of a line of key text in page units."""
    measure: Callable[[str], float]
    """Width of a line of key text in page units."""


class Pen(Protocol):
    """Draws the parts of keys on one kind of page, in its own units; y down."""

    def write(self, x: float, y: float, text: str, *, centred: bool = False) -> None:
        """Write one line around the height y, to the right of x or centred on it."""

    def ramp(self, box: Box, colors: ColorMap) -> None:
        """Draw a colour map from left to right."""

    def wheel(self, x: float, y: float, radius: float) -> None:
        """Draw a colour wheel."""

    def arrow(self, start_x: float, end_x: float, y: float, head: float, role: Role) -> None:
        """Draw a horizontal sample arrow."""

    def mark(self, x: float, y: float, size: float, marker: str, role: Role) -> None:
        """Draw a sample mark."""


@dataclass(frozen=True)
class SizedKey:
    """A key that knows its size."""

    width: float
    """Page units."""
    height: float
    """Page units."""
    draw: Callable[[Pen, float, float], None]
    """Draws it with its upper left corner at (left, top)."""


@dataclass(frozen=True)
class KeyLines:
    """All keys of a figure, broken into lines."""

    lines: Sequence[Sequence[SizedKey]]
    ruler: Ruler

    @property
    def height(self) -> float:
        """Height of all lines in page units."""
        gaps = 0.4 * self.ruler.line * max(len(self.lines) - 1, 0)
        return sum(_height(line) for line in self.lines) + gaps

    def draw(self, pen: Pen, middle: float, top: float) -> None:
        """Draw the lines from ``top`` on, each centred on ``middle``."""
        gap = KEY_GAP * self.ruler.line
        for line in self.lines:
            left = middle - (sum(key.width for key in line) + gap * (len(line) - 1)) / 2
            for key in line:
                key.draw(pen, left, top + (_height(line) - key.height) / 2)
                left += key.width + gap
            top += _height(line) + 0.4 * self.ruler.line


def _height(line: Sequence[SizedKey]) -> float:
    """Height of one line of keys."""
    return max(key.height for key in line)


def measured_keys(spec: FigureSpec, ruler: Ruler, width: float) -> KeyLines:
    """Measure a figure's keys and break them into lines; the entries of a legend stay together if they can, wheels share one disc."""
    lines: list[list[SizedKey]] = []
    room, gap = 0.0, KEY_GAP * ruler.line
    wheels = [key for key in spec.keys if isinstance(key, WheelKey)]
    for key in (key for key in spec.keys if not isinstance(key, WheelKey) or key is wheels[0]):
        parts = [_wheel(wheel_texts(wheels), ruler, width)] if isinstance(key, WheelKey) else _sized(key, spec, ruler, width)
        together = sum(part.width for part in parts) + gap * (len(parts) - 1)
        for number, part in enumerate(parts):
            if part.width > room or (number == 0 and together > room) or not lines:
                lines.append([])
                room = width
            lines[-1].append(part)
            room -= part.width + gap
    return KeyLines(lines, ruler)


def _sized(key: ColorBarKey | LegendKey, spec: FigureSpec, ruler: Ruler, width: float) -> list[SizedKey]:
    """Measure one key; every entry of a legend is placed on its own."""
    if isinstance(key, ColorBarKey):
        return [_color_bar(key, ruler, width)]
    return [_legend_entry(key, number, spec, ruler, width) for number in range(len(key.entries))]


def wheel_texts(keys: Sequence[WheelKey]) -> list[str]:
    """Say what a disc shows: its label and its scale, or one line for each of several scales that it stands for."""
    found = [(printable(key.label), f"full colour = {key.max_px:.3g} px/frame") for key in keys]
    return list(found[0]) if len(found) == 1 else [f"{label}: {scale}" for label, scale in found]


def _color_bar(key: ColorBarKey, ruler: Ruler, width: float) -> SizedKey:
    """Lower limit, bar and upper limit in one line, the label above them."""
    unit = ruler.line
    low, high = (f"{limit:.3g}" for limit in key.limits)
    label = fit(printable(f"{key.label} ({key.note})" if key.note else key.label), width, ruler.measure)
    before, bar = ruler.measure(low) + GAP * unit, BAR_WH[0] * unit
    row = before + bar + GAP * unit + ruler.measure(high)
    full = max(row, ruler.measure(label))

    def draw(pen: Pen, left: float, top: float) -> None:
        start, y = left + (full - row) / 2, top + 1.5 * unit
        pen.write(left + full / 2, top + unit / 2, label, centred=True)
        pen.write(start, y, low)
        pen.ramp(Box(start + before, y - BAR_WH[1] * unit / 2, bar, BAR_WH[1] * unit), key.colors)
        pen.write(start + before + bar + GAP * unit, y, high)

    return SizedKey(full, 2 * unit, draw)


def _wheel(texts: Sequence[str], ruler: Ruler, width: float) -> SizedKey:
    """A disc with its directions in words (also for print without colour), and what full colour means beside it."""
    unit, radius = ruler.line, WHEEL_RADIUS * ruler.line
    before, after = (ruler.measure(word) + WORD_GAP * unit for word in ("left", "right"))
    disc = before + 2 * radius + after
    beside = disc + 2 * GAP * unit
    labels = [fit(text, width - beside, ruler.measure) for text in texts]
    height = 2 * radius + max(2, len(labels) - 2 * WHEEL_RADIUS) * unit

    def draw(pen: Pen, left: float, top: float) -> None:
        x, y = left + before + radius, top + height / 2
        pen.wheel(x, y, radius)
        pen.write(left, y, "left")
        pen.write(x + radius + WORD_GAP * unit, y, "right")
        for word, away in (("up", -radius - unit / 2), ("down", radius + unit / 2)):
            pen.write(x, y + away, word, centred=True)
        for number, label in enumerate(labels):
            pen.write(left + beside, y + (number - (len(labels) - 1) / 2) * unit, label)

    return SizedKey(beside + max(map(ruler.measure, labels)), height, draw)


def _legend_entry(key: LegendKey, number: int, spec: FigureSpec, ruler: Ruler, width: float) -> SizedKey:
    """A sample and its text; a line is an arrow without a head."""
    unit, (role, text) = ruler.line, key.entries[number]
    sample = (1.0 if key.kind == "point" else SAMPLE_WIDTH) * unit
    marker = key.markers[number] if key.markers else _marker_of(spec, role)
    label = fit(printable(text), width - sample - GAP * unit, ruler.measure)

    def draw(pen: Pen, left: float, top: float) -> None:
        y = top + unit / 2
        if key.kind == "point":
            pen.mark(left + sample / 2, y, MARK * unit, marker, role)
        else:
            pen.arrow(left, left + sample, y, HEAD * unit if key.kind == "arrow" else 0.0, role)
        pen.write(left + sample + GAP * unit, y, label)

    return SizedKey(sample + GAP * unit + ruler.measure(label), unit, draw)


def legend_place(spec: FigureSpec, kind: str, role: Role, marker: str = "") -> tuple[int, str] | None:
    """Rank and text that a figure's legends of one kind give a role, or its marks of one shape; None where they say nothing of it."""
    keys = [key for key in spec.keys if isinstance(key, LegendKey) and key.kind == kind]
    entries = [(*entry, shape) for key in keys for entry, shape in zip(key.entries, key.markers or ("",) * len(key.entries), strict=True)]
    fits = (rank for rank, (named, _, shape) in enumerate(entries) if named == role and (not shape or marker in ("", shape)))
    return next(((rank, entries[rank][1]) for rank in fits), None)


def _marker_of(spec: FigureSpec, role: Role) -> str:
    """The mark that a role's points have in this figure; a square for outlines, a circle for a role that is not there."""
    layers = [layer for panel in spec.panels for layer in panel.layers if isinstance(layer, PointLayer | PolygonLayer)]
    marks = (layer.marker if isinstance(layer, PointLayer) else "square" for layer in layers if layer.role == role)
    return next(marks, "circle")
