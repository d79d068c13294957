"""Figures made by hand.

``figure``: two frames, a heat map with an unknown cell, a mark, an arrow, links of two roles. ``pyramid``: frames beside the
motion at two stages. ``filters``: a grid of small maps without pictures. ``polar``: outlines, filled or not.
"""

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
    MotionLayer,
    Panel,
    PointLayer,
    PolygonLayer,
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


STAGES = {"res2": (0.0, 4.0, 8.0), "res3": (2.0, 8.0, 16.0)}
"""Stage -> origin, stride and length of full colour."""


def motion(stage: str, side_px: int, turn: float = 0.0, **look: object) -> MotionLayer:
    """Vectors that turn around the middle and grow outward, surest in the middle, with one unknown cell."""
    origin, stride, longest = STAGES[stage]
    cells = round(side_px / stride)
    y, x = (np.mgrid[:cells, :cells] - (cells - 1) / 2) / (cells / 2)
    cos, sin = np.cos(turn), np.sin(turn)
    vectors = (np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) * longest).astype(np.float32)
    vectors[1, 2] = np.nan
    return MotionLayer(vectors, np.exp(-(x**2 + y**2)).astype(np.float32), origin, stride, longest, **look)  # type: ignore[arg-type]


def pyramid(frames: int = 4, side_px: int = 64, **look: object) -> FigureSpec:
    """Rows are frames; columns are the frame and the motion at each stage."""
    panels = []
    for t in range(frames):
        y, x = np.mgrid[:side_px, :side_px]
        picture = ImageLayer(np.stack([(x * 3) % 256, (y * 3) % 256, np.full_like(x, 30 * t % 256)], axis=-1).astype(np.uint8))
        first, size = t == 0, (side_px, side_px)
        panels.append(Panel(f"frame {t}", "frame" * first, size, t, 0, (picture,), t, "frames", f"t = {t}"))
        for column, stage in enumerate(STAGES, start=1):
            layers = (
                (picture, motion(stage, side_px, t / 2, **look))
                if look.get("backdrop") == "picture"
                else (motion(stage, side_px, t / 2, **look),)
            )
            panels.append(Panel(f"{stage} {t}", stage * first, size, t, column, layers, t, stage))
    keys = tuple(WheelKey(stage, longest) for stage, (_, _, longest) in STAGES.items())
    return FigureSpec("A pyramid", "A caption.", "Frames and their motion.", tuple(panels), keys=keys)


def filters(rows: int = 3, columns: int = 4, cells: int = 7) -> FigureSpec:
    """Rows are frames, columns are channels: cells without a picture, an arrow to the largest one; the last filter of all is flat."""
    side_px, centre = 8 * cells, 4 * cells - 0.5
    panels = []
    for row in range(rows):
        for column in range(columns):
            flat = (row, column) == (rows - 1, columns - 1)
            values = np.random.default_rng(100 * row + column).random((cells, cells)).astype(np.float32) * (not flat)
            y, x = divmod(int(values.argmax()), cells)
            layers = [HeatLayer(values, 3.5, 8.0, (0.0, 1.0), "weight", colors="viridis", opacity=1.0, smooth=False)]
            middle, peak = np.array([[centre, centre]]), np.array([[3.5 + 8 * x, 3.5 + 8 * y]])
            mark = PointLayer(middle, "peak", (), "dot", 6.0, "centre")
            arrow = ArrowLayer(middle, peak, "peak", np.ones(1, np.float32), (f"to ({x}, {y})",), 8.0, "largest weight")
            layers.append(mark if flat else arrow)  # type: ignore[arg-type]
            title = f"c {column}" if row == 0 else ""
            heading = f"t = {row}" if column == 0 else ""
            panels.append(Panel(f"t {row}, c {column}", title, (side_px, side_px), row, column, tuple(layers), row, f"c {column}", heading))
    keys = (ColorBarKey("weight", (0.0, 1.0), "viridis", "one scale"), LegendKey((("peak", "to the largest weight"),)))
    return FigureSpec("Filters", "A caption.", "A grid of filters.", tuple(panels), keys=keys)


def polar() -> FigureSpec:
    """Petals over rings, without a picture and without a frame."""
    angle = np.linspace(0, 2 * np.pi, 49)
    rings = tuple(60 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) for radius in (25.0, 50.0))
    petals = tuple(
        60 + length * np.array([[0, 0], [np.cos(a - 0.2), np.sin(a - 0.2)], [np.cos(a + 0.2), np.sin(a + 0.2)]])
        for a, length in ((0.0, 50.0), (2.0, 30.0), (4.0, 15.0))
    )
    layers = (
        PolygonLayer(rings, "neutral", (), filled=False, name="rings"),
        PolygonLayer(petals, "region", ("right: 50 %", "30 %", "15 %"), name="share"),
    )
    return FigureSpec("Directions", "A caption.", "Petals.", (Panel("directions", "directions", (120, 120), 0, 0, layers),))
