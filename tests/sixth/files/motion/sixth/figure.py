"""The picture: a film strip with the size of the differences."""

from __future__ import annotations

from vizkit.contracts import Settings
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Panel, Table
from vizkit.motion.sixth.analysis import Differences


class Look(Settings):
    """How the picture is drawn."""

    heat: bool = True
    """Lay the differences over the frames."""


def draw(result: Differences, **look: object) -> FigureSpec:
    """Describe the picture.

    Args:
        result: from :func:`vizkit.motion.sixth.analysis.analyze`.
        look: fields of :class:`Look`.
    """
    style = Look.parse(**look)
    limits = (0.0, float(result.difference.max()) or 1.0)
    panels = tuple(_panel(result, frame, limits, style.heat) for frame in range(len(result.clip.frames)))
    text = f"Differences of features ({result.params.norm}) to the frame before, 0 to {limits[1]:.3g}, one scale for all frames."
    rows = tuple((frame, float(values.max()), float(values.mean())) for frame, values in enumerate(result.difference))
    return FigureSpec(
        title="Feature differences",
        caption=text,
        alt=text,
        panels=panels,
        keys=(ColorBarKey("difference", limits, "inferno", "one scale for all frames"),),
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=Table(("frame", "max", "mean"), rows),
    )


def _panel(result: Differences, frame: int, limits: tuple[float, float], heat: bool) -> Panel:
    pixels = result.clip.frames[frame]
    layers: list[ImageLayer | HeatLayer] = [ImageLayer(pixels)]
    if heat:
        layers.append(HeatLayer(result.difference[frame], result.grid.origin_px, result.grid.stride_px, limits, "difference"))
    return Panel(f"frame {frame}", f"t = {frame}", (pixels.shape[1], pixels.shape[0]), 0, frame, tuple(layers), frame)
