"""What one figure of a view has more than another: signed differences of maps, lengths of the differences of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Key, MotionLayer, Panel

CONFIDENT = 0.5
"""Vectors are compared where both are at least so sure."""
OPACITY = 0.85
"""Of a difference over the grey frame."""

Cells = HeatLayer | MotionLayer


@dataclass(frozen=True)
class Difference:
    """The difference of two figures, panel by panel."""

    panels: tuple[Panel, ...]
    """Named as in the figures; in grey what stands under a map."""
    keys: tuple[Key, ...]
    """Their scales."""
    words: str
    """What is subtracted from what, how large it gets, and what is left out: a sentence for caption and text alternative."""


@dataclass(frozen=True)
class _Pair:
    """One layer in both figures."""

    panel: Panel
    one: Cells
    other: Cells
    place: str = ""
    """Whose motion it is, where several views have cells of different sizes: each has a length of full colour of its own."""

    @property
    def kind(self) -> str:
        """What is on the scale of the difference."""
        if isinstance(self.one, HeatLayer):
            return self.one.name
        return f"end-point difference of {self.one.name}{' at ' if self.place else ''}{self.place}"

    @property
    def called(self) -> str:
        """The layer of the difference, where there are several."""
        return f"difference of {self.kind}" if isinstance(self.one, HeatLayer) else self.kind

    def values(self) -> NDArray[np.float32]:
        """[h, w] other minus one, or the length of the difference; NaN where one of them is unknown or not sure."""
        if isinstance(self.one, HeatLayer) and isinstance(self.other, HeatLayer):
            return self.other.values - self.one.values
        assert isinstance(self.one, MotionLayer)
        assert isinstance(self.other, MotionLayer)
        apart: NDArray[np.float32] = np.hypot(*np.moveaxis(self.other.vectors - self.one.vectors, -1, 0))
        sure = np.minimum(self.one.confidence, self.other.confidence) >= CONFIDENT
        return np.where(sure, apart, np.nan).astype(np.float32)


def difference(one: FigureSpec, other: FigureSpec, *, names: tuple[str, str] = ("A", "B")) -> Difference | str:
    """Subtract the maps of one figure from those of another; vectors give the length of their difference, the end-point difference.

    Signed differences have a symmetric scale, zero is its neutral middle. Layers belong together that have one name on panels of
    one name, and the same cells.

    Args:
        one: a figure of a view.
        other: a figure of the same view, on the same frames.
        names: what the figures are called.

    Returns:
        The difference, or why there is none in one sentence.
    """
    pairs = list(_pairs(one, other))
    if not pairs:
        return _why_none(one, other, names)
    values = [pair.values() for pair in pairs]
    largest: dict[str, float] = {}
    for pair, array in zip(pairs, values, strict=True):
        known = np.abs(array[~np.isnan(array)])
        largest[pair.kind] = max(largest.get(pair.kind, -1.0), float(known.max()) if known.size else -1.0)
    if max(largest.values()) < 0:
        return f"No cell has a clear match in both: with a confidence below {CONFIDENT:g}, a difference of directions means nothing."
    if max(largest.values()) == 0:
        return f"{names[0]} and {names[1]} are equal in every cell, to the last bit: there is no difference to draw."
    names_of = {pair.kind: pair.called if len(largest) > 1 else "difference" for pair in pairs}
    panels = tuple(
        _panel(pair, array, max(largest[pair.kind], 0.0) or 1.0, names_of[pair.kind]) for pair, array in zip(pairs, values, strict=True)
    )
    return Difference(panels, tuple(_keys(pairs, largest, names_of, names)), _words(pairs, values, names))


def _pairs(one: FigureSpec, other: FigureSpec) -> Iterator[_Pair]:
    """The layers that both figures have, with the same cells."""
    there = {panel.name: panel for panel in other.panels}
    steps = {layer.stride_px for panel in one.panels for layer in panel.layers if isinstance(layer, MotionLayer)}
    for panel in one.panels:
        for mine, theirs in _matched(panel, there.get(panel.name)):
            if _cells(mine) == _cells(theirs):
                yield _Pair(panel, mine, theirs, panel.view if len(steps) > 1 else "")


def _matched(panel: Panel, other: Panel | None) -> Iterator[tuple[Cells, Cells]]:
    there = [layer for layer in other.layers if isinstance(layer, Cells)] if other else []
    for layer in panel.layers:
        if isinstance(layer, Cells):
            yield from ((layer, theirs) for theirs in there if _named_alike(layer, theirs))


def _named_alike(layer: Cells, other: Cells) -> bool:
    return type(layer) is type(other) and (layer.name, layer.unit) == (other.name, other.unit)


def _cells(layer: Cells) -> tuple[float, ...]:
    """Rows, columns, origin and stride."""
    values = layer.values if isinstance(layer, HeatLayer) else layer.confidence
    return (*values.shape, layer.origin_px, layer.stride_px)


def _why_none(one: FigureSpec, other: FigureSpec, names: tuple[str, str]) -> str:
    maps = [[layer for panel in spec.panels for layer in panel.layers if isinstance(layer, Cells)] for spec in (one, other)]
    if not maps[0] and not maps[1]:
        return "Neither picture holds a map of values: there is nothing to subtract."
    there = {panel.name: panel for panel in other.panels}
    for panel in one.panels:
        for mine, theirs in _matched(panel, there.get(panel.name)):
            (rows, columns, _, stride), (high, wide, _, step) = _cells(mine), _cells(theirs)
            return (
                f"{mine.name} has {rows:g} x {columns:g} cells of {stride:g} px in {names[0]} and {high:g} x {wide:g} of {step:g} px in "
                f"{names[1]}: no cell of the one is a cell of the other."
            )
    alone = names[1] if not maps[0] else names[0]
    return f"{(maps[0] or maps[1])[0].name} is drawn in {alone} only: there is nothing to subtract it from."


def _panel(pair: _Pair, values: NDArray[np.float32], largest: float, name: str) -> Panel:
    signed = isinstance(pair.one, HeatLayer)
    frames = tuple(ImageLayer(_grey(layer.pixels)) for layer in pair.panel.layers if isinstance(layer, ImageLayer))
    heat = HeatLayer(
        values,
        pair.one.origin_px,
        pair.one.stride_px,
        (-largest if signed else 0.0, largest),
        name,
        pair.one.unit,
        colors="diverging" if signed else "viridis",
        opacity=OPACITY if frames else 1.0,
        smooth=signed and pair.one.smooth,
    )
    return replace(pair.panel, layers=(*frames, heat))


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    luma = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)  # ITU-R BT.601
    return np.repeat(luma[..., None], 3, axis=-1)


def _keys(pairs: Sequence[_Pair], largest: dict[str, float], layers: dict[str, str], names: tuple[str, str]) -> Iterator[ColorBarKey]:
    for kind, pair in {pair.kind: pair for pair in pairs}.items():
        top = max(largest[kind], 0.0) or 1.0
        unit = f", {pair.one.unit}" if pair.one.unit else ""
        if isinstance(pair.one, HeatLayer):
            yield ColorBarKey(f"{kind}, {names[1]} \u2212 {names[0]}{unit}", (-top, top), "diverging", "0: no difference", layers[kind])
        else:
            yield ColorBarKey(f"{kind}{unit}", (0.0, top), "viridis", "0: the same vector", layers[kind])


def _words(pairs: Sequence[_Pair], values: Sequence[NDArray[np.float32]], names: tuple[str, str]) -> str:
    """What was found, of each kind of layer."""
    said = []
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [(pair, array) for pair, array in zip(pairs, values, strict=True) if pair.kind == kind]
        every = np.concatenate([array[~np.isnan(array)] for _, array in of_kind])
        one, total = of_kind[0][0].one, sum(array.size for _, array in of_kind)
        if isinstance(one, HeatLayer):
            found = f"{names[1]} minus {names[0]} from {every.min():.3g} to {every.max():.3g} {one.unit}".rstrip()
            said.append(f"{kind}: {found}, mean {every.mean():.3g}")
        elif every.size:
            shown = f"in the {every.size} of {total} cells where both have a confidence of {CONFIDENT:g} or more"
            said.append(f"{kind}: mean {every.mean():.3g}, largest {every.max():.3g} {one.unit}, {shown}")
    return f"Difference. {'; '.join(said)}."
