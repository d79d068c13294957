"""What a figure says at one point: the values under it, panel by panel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vizkit.figure.spec import FigureSpec, HeatLayer, ImageLayer, Layer, MotionLayer, Panel, PointLayer, Table

COLUMNS = ("panel", "layer", "value")


def read_at(spec: FigureSpec, frame: int, x_px: float, y_px: float) -> Table:
    """Read a figure at one point of one frame.

    Of panels that stand for frames, the one of this frame, or of the last one before it (a segment begins with its first frame); of
    panels that stand for none (a neighbourhood, a filter), what is largest in them.

    Args:
        spec: the figure.
        frame: sampled frame.
        x_px: column, in model pixels.
        y_px: row, in model pixels.

    Returns:
        Rows of panel, layer and value as text with its unit; motion as x, y (right, down) and confidence; marks by the nearest one.
    """
    panels = [(panel, layer) for panel in _panels(spec, frame) for layer in panel.layers]
    return Table(COLUMNS, tuple((panel.name, layer.name, said) for panel, layer in panels for said in _values(panel, layer, x_px, y_px)))


def _panels(spec: FigureSpec, frame: int) -> Iterator[Panel]:
    """The panels that say something about a frame, in their order."""
    latest: dict[str, int] = {}
    for panel in spec.panels:
        if panel.frame is not None and panel.frame <= frame:
            latest[panel.view] = max(panel.frame, latest.get(panel.view, 0))
    for panel in spec.panels:
        if panel.frame is None or latest.get(panel.view) == panel.frame:
            yield panel


def _values(panel: Panel, layer: Layer, x_px: float, y_px: float) -> Iterator[str]:
    """What one layer says; nothing where it says nothing there."""
    if isinstance(layer, HeatLayer):
        value = layer.values[_cell(layer, x_px, y_px)] if panel.frame is not None else _largest(layer)
        said = "unknown" if np.isnan(value) else f"{value:.4g} {layer.unit}".rstrip()
        yield said if panel.frame is not None else f"largest {said}"
    elif isinstance(layer, MotionLayer) and panel.frame is not None:
        cell = _cell(layer, x_px, y_px)
        right, down = layer.vectors[cell]
        yield f"{right:.3g}, {down:.3g} px per frame, confidence {layer.confidence[cell]:.2f}"
    elif isinstance(layer, ImageLayer) and layer.name != "frame" and panel.frame is not None:
        row, column = (min(max(round(place), 0), side - 1) for place, side in zip((y_px, x_px), layer.pixels.shape, strict=False))
        yield "drawn as RGB " + ", ".join(str(part) for part in layer.pixels[row, column])
    elif isinstance(layer, PointLayer) and len(layer.xy_px) and panel.frame is not None:
        away = np.hypot(*(np.asarray(layer.xy_px, np.float64) - (x_px, y_px)).T)
        nearest = int(away.argmin())
        yield f"{layer.label[nearest] if layer.label else 'the nearest'}, {away[nearest]:.1f} px away"


def _largest(layer: HeatLayer) -> float:
    return float(np.nanmax(layer.values)) if np.isfinite(layer.values).any() else float("nan")


def _cell(layer: HeatLayer | MotionLayer, x_px: float, y_px: float) -> tuple[int, int]:
    """Row and column of the nearest cell."""
    rows, columns = layer.values.shape if isinstance(layer, HeatLayer) else layer.confidence.shape
    row, column = (round((place - layer.origin_px) / layer.stride_px) for place in (y_px, x_px))
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
