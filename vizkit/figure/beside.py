"""Two figures of one view as one figure: their panels side by side, what they share once, their difference beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizkit.figure.difference import Difference
from vizkit.figure.spec import ColorBarKey, FigureSpec, ImageLayer, Key, LegendKey, LinkLayer, Panel, Table, WheelKey

MOST_BESIDE = 5
"""Figures of more columns stand below each other."""
Limits = dict[str, tuple[float, float]]
"""What is written on a key -> the ends of its scale; of a wheel 0 and the length of full colour."""


def scales(spec: FigureSpec) -> Limits:
    """The ends of the scales that a figure's keys show."""
    bars = {key.label: key.limits for key in spec.keys if isinstance(key, ColorBarKey)}
    return bars | {key.label: (0.0, key.max_px) for key in spec.keys if isinstance(key, WheelKey)}


def common_limits(one: FigureSpec, other: FigureSpec) -> Limits:
    """The scales that hold the values of two figures: from the smaller low to the larger high end, symmetric where colours diverge."""
    found: Limits = {}
    for label, (low, high) in [*scales(one).items(), *scales(other).items()]:
        before = found.get(label, (low, high))
        found[label] = (min(low, before[0]), max(high, before[1]))
    bars = [key for spec in (one, other) for key in spec.keys if isinstance(key, ColorBarKey) and key.colors == "diverging"]
    for key in bars:
        middle, (low, high) = sum(key.limits) / 2, found[key.label]
        reach = max(middle - low, high - middle)
        found[key.label] = (middle - reach, middle + reach)
    return found


def beside(one: FigureSpec, other: FigureSpec, *, names: tuple[str, str] = ("A", "B"), apart: Difference | None = None) -> FigureSpec:
    """Put two figures of one view into one.

    A film strip becomes a row for each frame; panels with the same name stand beside each other, those of figures with many columns
    below each other; pictures that both share are shown once.

    Args:
        one: a figure of a view.
        other: another figure of the same view.
        names: what the figures are called, a letter or a few.
        apart: their difference, shown beside them.
    """
    sides = [one.panels, other.panels, *([apart.panels] if apart else [])]
    called = (*names, f"{names[1]} \u2212 {names[0]}")
    plan = _plan(sides)
    panels, numbers = _panels(sides, plan, called)
    links = [_moved(layer, numbers[side]) for side, spec in enumerate((one, other)) for layer in spec.links]
    captions = [f"{name}: {spec.caption}" for name, spec in zip(names, (one, other), strict=True)]
    alts = [f"{name}: {spec.alt}" for name, spec in zip(names, (one, other), strict=True)]
    return FigureSpec(
        title=f"{one.title}: {names[0]} and {names[1]}" if one.title == other.title else f"{one.title} and {other.title}",
        caption=" ".join([*captions, *([apart.words] if apart else [])]),
        alt=" ".join([*alts, *([apart.words] if apart else [])]),
        panels=tuple(panels),
        links=tuple(links),
        keys=(*_joined_keys(one, other, names), *(apart.keys if apart else ())),
        notes=_joined_notes(one, other, names),
        arrays=_joined_arrays(one, other, names),
        table=_joined_table(one, other, names),
    )


# --------------------------------------------------------------------------------------------- places


@dataclass(frozen=True)
class _Plan:
    """Where panels go."""

    strip: bool
    """One panel for each frame: a film strip, whose rows are its frames here."""
    below: bool
    """The figures stand below each other."""
    shared: frozenset[str]
    """Names of panels that both figures have alike."""
    places: Mapping[str, tuple[int, int]]
    """Name -> row and column in a figure alone."""
    starts: Sequence[int]
    """First row (below) or column of the joint figure for each row or column of a figure alone."""


def _plan(sides: Sequence[Sequence[Panel]]) -> _Plan:
    every = {panel.name: panel for side in reversed(sides) for panel in side}  # the first figure decides
    shared = _shared(sides[0], sides[1])
    frames = sorted({panel.frame for panel in every.values() if panel.frame is not None})
    strip = len(every) == len(frames) > 0
    places = {name: (frames.index(panel.frame), 0) for name, panel in every.items()} if strip else _grid_places(sides[0], every)  # type: ignore[arg-type]
    below = 1 + max(column for _, column in places.values()) > MOST_BESIDE
    along = 0 if below else 1
    counts = [1] * (1 + max(place[along] for place in places.values()))
    for name, place in places.items():
        if name not in shared:
            counts[place[along]] = len(sides)
    return _Plan(strip, below, shared, places, [sum(counts[:number]) for number in range(len(counts))])


def _shared(one: Sequence[Panel], other: Sequence[Panel]) -> frozenset[str]:
    """Names of the panels of those views that both figures have alike, all of them."""
    there = {panel.name: panel for panel in other}
    alike = {panel.name for panel in one if panel.name in there and _alike(panel, there[panel.name])}
    told_apart = {panel.view for panel in (*one, *other) if panel.name not in alike}
    return frozenset(panel.name for panel in one if panel.view not in told_apart)


def _grid_places(one: Sequence[Panel], every: Mapping[str, Panel]) -> dict[str, tuple[int, int]]:
    """Rows and columns of the first figure; what only the other one has stands in columns of its own after them."""
    columns = 1 + max(panel.column for panel in one)
    own = {panel.name for panel in one}
    return {name: (panel.row, panel.column if name in own else columns + panel.column) for name, panel in every.items()}


def _alike(panel: Panel, other: Panel) -> bool:
    """Whether two panels show the same pictures and nothing else."""
    if len(panel.layers) != len(other.layers):
        return False
    layers = zip(panel.layers, other.layers, strict=True)
    return all(isinstance(a, ImageLayer) and isinstance(b, ImageLayer) and np.array_equal(a.pixels, b.pixels) for a, b in layers)


def _panels(sides: Sequence[Sequence[Panel]], plan: _Plan, called: Sequence[str]) -> tuple[list[Panel], list[NDArray[np.int64]]]:
    """The joint figure's panels, and for each figure the new numbers of its own."""
    panels: list[Panel] = []
    numbers = [np.zeros(len(side), np.int64) for side in sides]
    shared: dict[str, int] = {}
    for side, members in enumerate(sides):
        for number, panel in enumerate(members):
            if panel.name in shared:
                numbers[side][number] = shared[panel.name]
                continue
            if panel.name in plan.shared:
                shared[panel.name] = len(panels)
            numbers[side][number] = len(panels)
            panels.append(_placed(panel, side, plan, called[side]))
    return panels, numbers


def _placed(panel: Panel, side: int, plan: _Plan, name: str) -> Panel:
    row, column = plan.places[panel.name]
    alone = panel.name in plan.shared
    if plan.below:
        row = plan.starts[row] + (0 if alone else side)
    else:
        column = plan.starts[column] + (0 if alone else side)
    title, heading = panel.title, panel.row_title
    if plan.strip:
        title, heading = (name if row == 0 or plan.below else ""), f"t = {panel.frame}" if column == 0 else ""
    elif not alone and plan.below:
        heading = f"{name} \u00b7 {heading}" if heading else name if column == 0 else ""
    elif not alone:
        title, heading = f"{name} \u00b7 {panel.view}" if title else "", heading if column == 0 else ""
    placed = replace(panel, title=title, row_title=heading, row=row, column=column)
    return placed if alone else replace(placed, name=f"{name} {panel.name}", view=f"{name} {panel.view}", pair=panel.view, side=name)


def _moved(layer: LinkLayer, numbers: NDArray[np.int64]) -> LinkLayer:
    return replace(layer, start_panel=numbers[layer.start_panel], end_panel=numbers[layer.end_panel])


# --------------------------------------------------------------------------------------------- keys, words, numbers


def _joined_keys(one: FigureSpec, other: FigureSpec, names: tuple[str, str]) -> list[Key]:
    """Keys that both have once, and one legend of each kind; scales of one figure say whose they are."""
    joined: list[Key] = []
    for mine, name, theirs in ((one, names[0], other), (other, names[1], one)):
        for key in mine.keys:
            if isinstance(key, LegendKey):
                joined = _with_legend(joined, key)
                continue
            twin = next((found for found in theirs.keys if _same_scale(key, found)), None)
            if twin is None:
                joined.append(_of_one(key, name))
            elif mine is one:
                joined.append(_of_both(key, twin, names))
    return joined


def _with_legend(keys: list[Key], legend: LegendKey) -> list[Key]:
    """Add what a legend says to the one of its kind that is there; shapes of marks keep legends apart."""
    for number, key in enumerate(keys):
        if isinstance(key, LegendKey) and key.kind == legend.kind and key.markers == legend.markers == ():
            return [*keys[:number], replace(key, entries=tuple(dict.fromkeys((*key.entries, *legend.entries)))), *keys[number + 1 :]]
    return keys if legend in keys else [*keys, legend]


def _same_scale(key: Key, other: Key) -> bool:
    if isinstance(key, ColorBarKey) and isinstance(other, ColorBarKey):
        return (key.label, key.limits, key.colors) == (other.label, other.limits, other.colors)
    return key == other


def _of_both(key: Key, twin: Key, names: tuple[str, str]) -> Key:
    if isinstance(key, ColorBarKey) and isinstance(twin, ColorBarKey):
        told = key.note if key.note == twin.note else f"{names[0]}: {key.note}; {names[1]}: {twin.note}"
        return replace(key, note=f"one scale for {names[0]} and {names[1]}{'; ' if told else ''}{told}")
    return key


def _of_one(key: Key, name: str) -> Key:
    return replace(key, label=f"{name}: {key.label}") if isinstance(key, ColorBarKey | WheelKey) else key


def _joined_notes(one: FigureSpec, other: FigureSpec, names: tuple[str, str]) -> tuple[str, ...]:
    both = [note for note in one.notes if note in other.notes]
    own = [f"{name}: {note}" for name, spec in zip(names, (one, other), strict=True) for note in spec.notes if note not in both]
    made = [(name, spec.provenance) for name, spec in zip(names, (one, other), strict=True)]
    random = [
        f"{name}: random weights, not trained: {found.architecture} ({found.model_digest[:8]}) on {found.clip} ({found.clip_digest[:8]})."
        for name, found in made
        if found is not None and found.origin == "random"
    ]
    return (*both, *own, *random)


def _joined_arrays(one: FigureSpec, other: FigureSpec, names: tuple[str, str]) -> dict[str, NDArray[Any]]:
    return {f"{name}_{key}": array for name, spec in zip(names, (one, other), strict=True) for key, array in spec.arrays.items()}


def _joined_table(one: FigureSpec, other: FigureSpec, names: tuple[str, str]) -> Table | None:
    """All rows below each other, the figure's name first; a column that one of them lacks is left empty there."""
    if one.table is None or other.table is None:
        return None
    columns = tuple(dict.fromkeys((*one.table.columns, *other.table.columns)))
    rows = []
    for name, table in zip(names, (one.table, other.table), strict=True):
        rows += [(name, *(dict(zip(table.columns, row, strict=True)).get(column, "") for column in columns)) for row in table.rows]
    return Table(("picture", *columns), tuple(rows))
