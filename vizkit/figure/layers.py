"""A figure's layers after it was made: one more map laid over its frames, layers hidden, faded, rescaled or coloured otherwise.

What a reader sets in the layer list of the player is applied here to the figure that is exported, so that both show the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vizkit.contracts import Grid, Settings
from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    ColorMap,
    FigureSpec,
    HeatLayer,
    ImageLayer,
    Key,
    Layer,
    LegendKey,
    LinkLayer,
    MotionLayer,
    Panel,
    PointLayer,
    PolygonLayer,
    WheelKey,
)

CHOICES: tuple[ColorMap, ...] = ("inferno", "viridis", "cividis", "gray")
"""Colour maps that a layer of one sign can have: brightness rises evenly, so that colour-blind readers see the same order."""
SIGNED: tuple[ColorMap, ...] = ("diverging", "viridis", "cividis", "gray")
"""Those of a layer around a middle value."""
FRAME = "frame"
"""Name of the picture layer of panels that show a frame of the clip."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class LayerLook(Settings):
    """What a reader has set for the layers of one name; what is None is as the figure has it."""

    visible: bool | None = None
    """False leaves the layer out, its colour bar and its legend too."""
    opacity: float | None = Field(None, ge=0, le=1)
    """Of pictures, cells and arrows; marks and outlines are drawn or not."""
    limits: tuple[Finite, Finite] | None = None
    """Values of the first and of the last colour, in the layer's unit."""
    colors: Literal["inferno", "viridis", "cividis", "gray", "diverging"] | None = None
    """Colour map of values."""
    reach: float | None = Field(None, ge=0.01, le=100)
    """Length of full colour of motion, over the length that the figure has."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(f"limits are {self.limits[0]:g} and {self.limits[1]:g}, but the first must be the smaller one")
        return self

    def words(self) -> str:
        """What is set, in a few words."""
        if self.visible is False:
            return "hidden"
        parts = [
            "shown" if self.visible else "",
            "" if self.opacity is None else f"{self.opacity:.0%} opaque",
            "" if self.limits is None else f"colours from {self.limits[0]:.4g} to {self.limits[1]:.4g}",
            "" if self.colors is None else self.colors,
            "" if self.reach is None else f"full colour at {self.reach:.4g} times its length",
        ]
        return ", ".join(part for part in parts if part)


# --------------------------------------------------------------------------------------------- one more map


def shows_frame(panel: Panel) -> bool:
    """Whether a panel shows a frame of the clip, and not colours of motion that stand for it."""
    framed = any(isinstance(layer, ImageLayer) and layer.name == FRAME for layer in panel.layers)
    return panel.frame is not None and framed and not any(isinstance(layer, MotionLayer) for layer in panel.layers)


def lay_map(spec: FigureSpec, values: NDArray[np.float32], grid: Grid, frame_wh: tuple[int, int], key: ColorBarKey) -> FigureSpec:
    """Lay a map over the panels that show frames, above their pictures and cells, below their marks.

    Two maps over each other have colours that no bar explains: others on these panels stay away until a reader asks for them.

    Args:
        spec: any figure.
        values: [frames, h, w] what each sampled frame gets.
        grid: where the cells lie, in pixels of the frames.
        frame_wh: width and height of the frames; panels of another size get the map resized with them.
        key: the map's colour bar: its limits, its colours and, as ``layer``, the layer's name.

    Returns:
        The figure with the map and its bar; unchanged where no panel shows one of the frames.
    """

    def laid(panel: Panel) -> Panel:
        if panel.frame is None or panel.frame >= len(values) or not shows_frame(panel):
            return panel
        scale = panel.size_wh[0] / frame_wh[0]
        origin = (grid.origin_px + 0.5) * scale - 0.5  # pixel indices name centres
        heat = HeatLayer(values[panel.frame], origin, grid.stride_px * scale, key.limits, key.layer, colors=key.colors)
        above = 1 + max(place for place, layer in enumerate(panel.layers) if isinstance(layer, ImageLayer | HeatLayer))
        below = (replace(layer, shown=False) if isinstance(layer, HeatLayer) else layer for layer in panel.layers[:above])
        return replace(panel, layers=(*below, heat, *panel.layers[above:]))

    panels = tuple(laid(panel) for panel in spec.panels)
    if all(new is old for new, old in zip(panels, spec.panels, strict=True)):
        return spec
    return replace(spec, panels=panels, keys=(*spec.keys, key))


# --------------------------------------------------------------------------------------------- what a reader sets


def dress(spec: FigureSpec, looks: Mapping[str, LayerLook]) -> FigureSpec:
    """Give a figure's layers the look that a reader has set.

    Args:
        spec: any figure.
        looks: name of the layers -> what is set; names that the figure does not have are left alone.

    Returns:
        The figure without what is not shown; its caption and its recipe say what was set.
    """
    own = {layer.name for layer in _layers(spec)}
    away = {layer.name: LayerLook(visible=False) for layer in _layers(spec) if isinstance(layer, HeatLayer) and not layer.shown}
    chosen = {name: look for name, look in looks.items() if name in own and look != LayerLook()}
    hidden = {name: look for name, look in away.items() if chosen.get(name, LayerLook()).visible is None}
    looks = {**chosen, **hidden}
    if not looks:
        return spec
    links = tuple(dressed for link in spec.links if (dressed := _faded(link, looks.get(link.name))))
    changed = replace(spec, panels=tuple(_panel(panel, looks) for panel in spec.panels), links=links)
    gone = {layer.role for layer in _marks(spec)} - {layer.role for layer in _marks(changed)}
    told = "; ".join(f"{name} {look.words()}" for name, look in looks.items())
    recipe = {**spec.recipe, "layers": {name: look.model_dump(mode="json", exclude_defaults=True) for name, look in chosen.items()}}
    return replace(
        changed,
        keys=tuple(key for entry in spec.keys if (key := _key(entry, looks, gone))),
        caption=f"{spec.caption} Layers: {told}.",
        recipe=recipe if spec.recipe and chosen else spec.recipe,
    )


def _layers(spec: FigureSpec) -> Iterator[Layer | LinkLayer]:
    yield from (layer for panel in spec.panels for layer in panel.layers)
    yield from spec.links


def _marks(spec: FigureSpec) -> Iterator[PolygonLayer | PointLayer | ArrowLayer | LinkLayer]:
    return (layer for layer in _layers(spec) if not isinstance(layer, ImageLayer | HeatLayer | MotionLayer))


def _panel(panel: Panel, looks: Mapping[str, LayerLook]) -> Panel:
    dressed = ((layer, looks.get(layer.name)) for layer in panel.layers)
    return replace(panel, layers=tuple(_layer(layer, look) for layer, look in dressed if look is None or look.visible is not False))


def _layer(layer: Layer, look: LayerLook | None) -> Layer:
    if look is None:
        return layer
    change: dict[str, Any] = {} if look.opacity is None else {"opacity": look.opacity}
    if isinstance(layer, HeatLayer):
        return replace(layer, **change, limits=look.limits or layer.limits, colors=look.colors or layer.colors, shown=True)
    if isinstance(layer, MotionLayer):
        return replace(layer, **change, max_magnitude=layer.max_magnitude * (look.reach or 1.0))
    if isinstance(layer, ImageLayer) and look.opacity is not None:  # on white paper
        return replace(layer, pixels=np.rint(255 - look.opacity * (255.0 - layer.pixels)).astype(np.uint8))
    if isinstance(layer, ArrowLayer) and look.opacity is not None:
        return replace(layer, weight=layer.weight * np.float32(look.opacity))
    return layer


def _faded(link: LinkLayer, look: LayerLook | None) -> LinkLayer | None:
    """A layer of links with its opacity; None where it is hidden."""
    if look is None:
        return link
    if look.visible is False:
        return None
    return replace(link, weight=link.weight * np.float32(1.0 if look.opacity is None else look.opacity))


def _key(key: Key, looks: Mapping[str, LayerLook], gone: set[Any]) -> Key | None:
    """A key of what is left; None where nothing is."""
    if isinstance(key, LegendKey):
        kept = [place for place, (role, _) in enumerate(key.entries) if role not in gone]
        markers = tuple(key.markers[place] for place in kept) if key.markers else ()
        return replace(key, entries=tuple(key.entries[place] for place in kept), markers=markers) if kept else None
    look = looks.get(key.layer or key.label)
    if look is None:
        return key
    if look.visible is False:
        return None
    if isinstance(key, WheelKey):
        return replace(key, max_px=key.max_px * (look.reach or 1.0))
    return replace(key, limits=look.limits or key.limits, colors=look.colors or key.colors)
