"""A figure as compact JSON for the player: one sprite sheet for all frames, numbers for arrows, base64 for arrays."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizkit.contracts import Grid, ReceptiveField, SampledClip
from vizkit.figure.encode import color_table, wheel_colors, wheel_hues
from vizkit.figure.layers import CHOICES, SIGNED
from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
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
from vizkit.render.keys import wheel_texts
from vizkit.render.theme import THEMES, Style, Theme

WEBP_QUALITY = 92
SLOWEST_FPS, FASTEST_FPS = 3.0, 12.0
WHEEL_PX = 96


@dataclass(frozen=True)
class Cells:
    """What the pointer reads on the panels of one result: cells, what they look at, and the way to the source."""

    frames: SampledClip
    """The frames that the result is of."""
    grid: Grid
    """Its cells."""
    fields: Mapping[str, ReceptiveField] = field(default_factory=dict)
    """What a cell looks at, by stage."""


def figure_payload(
    spec: FigureSpec,
    *,
    times_s: Sequence[float] = (),
    clip_digest: str = "",
    grid: Grid | None = None,
    frames: SampledClip | None = None,
    fields: Mapping[str, ReceptiveField] | None = None,
    sides: Mapping[str, Cells] | None = None,
) -> dict[str, Any]:
    """Turn a figure into what the player draws.

    Args:
        spec: the figure.
        times_s: time of every sampled frame in seconds; sets the pace and the readout.
        clip_digest: links the player's time cursor with a timeline of the same clip.
        grid: cells that the pointer reads and the keyboard's cross hair steps over.
        frames: the frames, for the way from a pixel to the source.
        fields: what a cell looks at, by stage; the grid's, or that of the view whose name is a stage's.
        sides: the same for each of several results, by the name that their panels have as their side.

    Returns:
        A JSON-ready mapping; ``digest`` changes exactly when something else in it does.
    """
    pictures = {_picture_key(layer): layer.pixels for panel in spec.panels for layer in panel.layers if isinstance(layer, ImageLayer)}
    sprite, tiles = _sprite(list(pictures.values()))
    places = dict(zip(pictures, tiles, strict=True))
    figure = {
        "title": spec.title,
        "alt": spec.alt,
        "clip": clip_digest,
        "sprite": sprite,
        "panels": [_panel(panel, places) for panel in spec.panels],
        "links": [_links(layer) for layer in spec.links],
        "keys": _keys(spec.keys),
        "luts": {name: _base64(color_table(name)) for name in _color_maps(spec)},
        "source": None if frames is None else _source(frames),
        "fields": _fields(fields or {}),
        "sides": {name: _side(cells) for name, cells in (sides or {}).items()},
        "wheel": _base64(wheel_hues().astype(np.uint8)),
        "themes": {name: _roles(theme) for name, theme in THEMES.items()},
        "frames": sorted({panel.frame for panel in spec.panels if panel.frame is not None}) or [0],
        "times": [round(float(time), 4) for time in times_s],
        "fps": _pace(times_s),
        "grid": None if grid is None else _grid(grid),
    }
    return {**figure, "digest": sha256(json.dumps(figure, sort_keys=True).encode()).hexdigest()[:16]}


def _grid(grid: Grid) -> dict[str, Any]:
    size = {"rows": grid.shape[1], "columns": grid.shape[2], "strideFrames": grid.stride_frames}
    return {"origin": grid.origin_px, "stride": grid.stride_px, "place": grid.stage, **size}


def _source(frames: SampledClip) -> dict[str, Any]:
    """The way from a pixel of a sampled frame to the source."""
    window = frames.window
    return {
        "size": [frames.frames.shape[2], frames.frames.shape[1]],
        "scale": [round(part, 6) for part in window.scale_xy],
        "offset": [round(part, 4) for part in window.offset_xy],
        "index": frames.index.tolist(),
    }


def _fields(fields: Mapping[str, ReceptiveField]) -> dict[str, Any]:
    return {name: _field(seen) for name, seen in fields.items()}


def _field(seen: ReceptiveField) -> dict[str, Any]:
    ends = {"first": list(seen.first_xy_px), "last": list(seen.last_xy_px)}
    return {**ends, "stride": seen.stride_px, "frames": seen.frames.tolist()}


def _side(cells: Cells) -> dict[str, Any]:
    """Of one of several results, under the names that a figure of one has."""
    times = [round(float(time), 4) for time in cells.frames.times_s]
    return {
        "clip": cells.frames.digest,
        "times": times,
        "source": _source(cells.frames),
        "grid": _grid(cells.grid),
        "fields": _fields(cells.fields),
    }


def _roles(theme: Theme) -> dict[str, Any]:
    return {role: _style(style) for role, style in theme.roles.items()}


def _style(style: Style) -> dict[str, Any]:
    dash = list(style.dash or ())
    return {"color": style.color, "casing": style.casing, "width": style.width_pt, "dash": dash, "side": style.side}


def _pace(times_s: Sequence[float]) -> float:
    """Frames per second at speed 1: the clip's own pace, kept where an eye can follow."""
    if len(times_s) < 2:
        return SLOWEST_FPS
    step = float(np.median(np.abs(np.diff(times_s))))
    return round(min(max(1 / step if step > 0 else FASTEST_FPS, SLOWEST_FPS), FASTEST_FPS), 3)


def _picture_key(layer: ImageLayer) -> tuple[Any, ...]:
    """Equal pictures are sent once."""
    return layer.pixels.shape, sha256(layer.pixels.tobytes()).digest()


def _sprite(pictures: Sequence[NDArray[np.uint8]]) -> tuple[str, list[list[int]]]:
    """Put all pictures below each other in one WebP; returns its data URI and each picture's (x, y, w, h)."""
    if not pictures:
        return "", []
    sheet = np.zeros((sum(len(picture) for picture in pictures), max(picture.shape[1] for picture in pictures), 3), np.uint8)
    tiles, top = [], 0
    for picture in pictures:
        height, width = picture.shape[:2]
        sheet[top : top + height, :width] = picture
        tiles.append([0, top, width, height])
        top += height
    return _data_uri(sheet, "webp", quality=WEBP_QUALITY, method=2), tiles


def _data_uri(pixels: NDArray[np.uint8], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _flat(array: NDArray[Any], digits: int = 2) -> list[float]:
    return [round(float(value), digits) for value in np.asarray(array).reshape(-1)]


def _panel(panel: Panel, places: Mapping[Any, list[int]]) -> dict[str, Any]:
    width, height = panel.size_wh
    place = {"view": panel.view, "frame": panel.frame, "row": panel.row, "column": panel.column, "w": width, "h": height}
    layers = [_layer(layer, places) for layer in panel.layers]
    return {
        "name": panel.name,
        "title": panel.title,
        "rowTitle": panel.row_title,
        "pair": panel.pair,
        "side": panel.side,
        **place,
        "layers": layers,
    }


def _layer(layer: Layer, places: Mapping[Any, list[int]]) -> dict[str, Any]:
    if isinstance(layer, ImageLayer):
        return {"kind": "image", "name": layer.name, "opacity": 1.0, "tile": places[_picture_key(layer)]}
    if isinstance(layer, HeatLayer):
        return _heat(layer)
    if isinstance(layer, MotionLayer):
        return _motion(layer)
    if isinstance(layer, PolygonLayer):
        outlines = [_flat(outline) for outline in layer.outlines]
        shape = {"outlines": outlines, "filled": layer.filled, "label": list(layer.label)}
        return {"kind": "polygons", "name": layer.name, "opacity": 1.0, "role": layer.role, **shape}
    if isinstance(layer, PointLayer):
        shape = {"xy": _flat(layer.xy_px), "marker": layer.marker, "size": layer.size_px}
        return {"kind": "points", "name": layer.name, "opacity": 1.0, "role": layer.role, "label": list(layer.label), **shape}
    return {"kind": "arrows", **_arrows(layer)}


def _cells(layer: HeatLayer | MotionLayer, shape: tuple[int, ...]) -> dict[str, Any]:
    place = {"h": shape[0], "w": shape[1], "origin": layer.origin_px, "stride": layer.stride_px}
    return {"name": layer.name, "opacity": layer.opacity, "smooth": layer.smooth, "unit": layer.unit, **place}


def _heat(layer: HeatLayer) -> dict[str, Any]:
    values = {"values": _base64(layer.values.astype("<f4")), "limits": list(layer.limits), "colors": layer.colors, "shown": layer.shown}
    return {"kind": "heat", **_cells(layer, layer.values.shape), **values}


def _motion(layer: MotionLayer) -> dict[str, Any]:
    planes = {"dx": layer.vectors[..., 0], "dy": layer.vectors[..., 1], "confidence": layer.confidence}
    values = {name: _base64(plane.astype("<f4")) for name, plane in planes.items()}
    look = {"longest": layer.max_magnitude, "backdrop": layer.backdrop}
    return {"kind": "motion", **_cells(layer, layer.confidence.shape), **values, **look}


def _arrows(layer: ArrowLayer | LinkLayer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "opacity": 1.0,
        "role": layer.role,
        "start": _flat(layer.start_xy_px),
        "end": _flat(layer.end_xy_px),
        "weight": _flat(layer.weight, 3),
        "label": list(layer.label) or [""] * len(layer.weight),
        "head": layer.head_px,
    }


def _links(layer: LinkLayer) -> dict[str, Any]:
    ends = {"from": layer.start_panel.tolist(), "to": layer.end_panel.tolist(), "group": layer.group.tolist()}
    return {"kind": "links", **_arrows(layer), **ends}


def _color_maps(spec: FigureSpec) -> list[Any]:
    """Those of the figure, and those that a reader can choose for its maps."""
    heats = {layer.colors for panel in spec.panels for layer in panel.layers if isinstance(layer, HeatLayer)}
    return sorted(heats | ({*CHOICES, *SIGNED} if heats else set()) | {key.colors for key in spec.keys if isinstance(key, ColorBarKey)})


def _keys(keys: Sequence[Key]) -> list[dict[str, Any]]:
    """Bars and legends as they are; one disc for all wheels, where the first of them stands."""
    wheels = [key for key in keys if isinstance(key, WheelKey)]
    return [_wheel(wheels) if isinstance(key, WheelKey) else _key(key) for key in keys if not isinstance(key, WheelKey) or key is wheels[0]]


def _key(key: ColorBarKey | LegendKey) -> dict[str, Any]:
    if isinstance(key, ColorBarKey):
        return {
            "kind": "bar",
            "label": key.label,
            "limits": list(key.limits),
            "colors": key.colors,
            "note": key.note,
            "layer": key.layer or key.label,
        }
    return {"kind": "legend", "sample": key.kind, "entries": [list(entry) for entry in key.entries], "markers": list(key.markers)}


def _wheel(keys: Sequence[WheelKey]) -> dict[str, Any]:
    axis = np.linspace(-1, 1, WHEEL_PX)
    directions = np.stack(np.meshgrid(axis, axis), axis=-1)
    layers = [key.layer or key.label for key in keys]
    return {"kind": "wheel", "lines": wheel_texts(keys), "layers": layers, "src": _data_uri(wheel_colors(directions, 1.0), "png")}
