"""A small figure made by hand: two frames, a heat map with an unknown cell, a mark, an arrow, links of two roles."""

from __future__ import annotations

import numpy as np

from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    FigureSpec,
    HeatLayer,
    ImageLayer,
    LegendKey,
    LinkLayer,
    Panel,
    PointLayer,
    WheelKey,
)

FRAME = np.full((16, 24, 3), 90, np.uint8)
HEAT = np.array([[0.0, 1.0, 2.0], [np.nan, 4.0, 5.0]], np.float32)


def figure(title: str = "A figure") -> FigureSpec:
    """The figure; its title can be anything that a visitor types."""
    heat = HeatLayer(HEAT, 3.5, 8.0, (0.0, 5.0), "change", "L1")
    mark = PointLayer(np.array([[4.0, 5.0]]), "query", ("query 0",), "square", 8.0, "queries")
    arrow = ArrowLayer(np.array([[1.0, 1.0]]), np.array([[9.0, 6.0]]), "truth", np.array([0.5], np.float32), ("truth",), name="truth")
    first = Panel("frame 0", "t = 0", (24, 16), 0, 0, (ImageLayer(FRAME), heat, mark, arrow), 0)
    second = Panel("frame 1", "t = 1", (24, 16), 0, 1, (ImageLayer(FRAME + 60),), 1)
    keys = (ColorBarKey("change", (0.0, 5.0), "inferno", "one scale"), WheelKey("direction", 4.0), LegendKey((("active", "won"),)))
    links = (link("filtered", [0], "b"), link("active", [0, 0], "a"))
    return FigureSpec(title, "A caption.", "Two frames.", (first, second), links, keys)


def link(role: str, groups: list[int], label: str) -> LinkLayer:
    """Links from the first frame into the second one."""
    count = len(groups)
    return LinkLayer(
        start_panel=np.zeros(count, np.int64),
        start_xy_px=np.tile([4.0, 5.0], (count, 1)),
        end_panel=np.ones(count, np.int64),
        end_xy_px=np.tile([20.0, 10.0], (count, 1)),
        role=role,  # type: ignore[arg-type]
        weight=np.full(count, 0.75, np.float32),
        group=np.array(groups),
        label=(label,) * count,
        name=role,
    )
