"""Ink: pictures at their own resolution, marks, arrows, keys as vectors, words as text.

The axes measure the page in inches, x right, y down.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, PolyCollection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from vizkit.figure.encode import cell_colors, color_table, wheel_colors
from vizkit.figure.place import ARMS, Box, Points, Strokes, arrow_strokes, link_strokes, mark_outline
from vizkit.figure.spec import ArrowLayer, ColorMap, FigureSpec, HeatLayer, ImageLayer, MotionLayer, Panel, PointLayer, PolygonLayer, Role
from vizkit.render.keys import Ruler
from vizkit.render.theme import FILL_OPACITY, Style, Theme

CASING_PT = 0.7
"""How much wider than the line its casing is."""
CASING_OPACITY = 0.7
"""Opacity of the casing under an opaque line."""
MAX_HEAD = 0.07
"""Longest arrow head in inches; layers ask for heads of at most a cell, which is too much where cells are large."""
CELLS_SIDE_PX = 224
"""Heat and motion are interpolated to at least so many pixels across a panel."""
FRAME_PT = 0.4
"""Line around panels and keys."""
TITLE_PT = 8.0
"""Title of the figure."""
LABEL_PT = 7.0
"""Titles of panels; they shrink to ``SMALL_PT`` where panels are narrow."""
SMALL_PT = 6.0
"""Keys, notes and the caption; nothing is printed smaller."""
WHEEL_RINGS, WHEEL_SECTORS = 16, 72
"""Steps of a printed colour wheel."""


def draw_panels(axes: Axes, spec: FigureSpec, boxes: tuple[Box, ...], theme: Theme) -> None:
    """Draw pictures, outlines and arrows of the panels, then the links, then the points, so that no arrow hides a query."""
    for panel, box in zip(spec.panels, boxes, strict=True):
        _draw_pictures(axes, panel, box, theme)
        for layer in panel.layers:
            if isinstance(layer, PolygonLayer):
                draw_polygons(axes, layer, [box.at(outline, panel) for outline in layer.outlines], theme.roles[layer.role], clip=box)
            elif isinstance(layer, ArrowLayer):
                strokes, style = arrow_strokes(layer, panel, box, MAX_HEAD), theme.roles[layer.role]
                draw_strokes(axes, strokes, layer.weight, style, name=f"arrows-{layer.role}", clip=box)
    for link in spec.links:
        style = theme.roles[link.role]
        strokes = link_strokes(link, spec.panels, boxes, style.side, MAX_HEAD)
        draw_strokes(axes, strokes, link.weight, style, name=f"links-{link.role}")
    for panel, box in zip(spec.panels, boxes, strict=True):
        for layer in panel.layers:
            if isinstance(layer, PointLayer):
                size = layer.size_px * box.width / panel.size_wh[0]
                draw_points(axes, box.at(layer.xy_px, panel), size, layer.marker, theme.roles[layer.role], name=f"points-{layer.role}")


def _draw_pictures(axes: Axes, panel: Panel, box: Box, theme: Theme) -> None:
    """Draw images and cells of one panel in their order, and the line around it."""
    extent = (box.left, box.right, box.bottom, box.top)
    for layer in panel.layers:
        if isinstance(layer, ImageLayer):
            axes.imshow(layer.pixels, extent=extent, interpolation="none", aspect="auto")
        elif isinstance(layer, HeatLayer | MotionLayer):
            axes.imshow(_cells_rgba(layer, panel), extent=extent, interpolation="none", aspect="auto")
    axes.add_patch(Rectangle((box.left, box.top), box.width, box.height, fill=False, edgecolor=theme.muted, linewidth=FRAME_PT))


def _cells_rgba(layer: HeatLayer | MotionLayer, panel: Panel) -> NDArray[np.uint8]:
    """[height, width, 4] colours of a layer of cells, its opacity in the alpha channel."""
    factor = -(-CELLS_SIDE_PX // max(panel.size_wh))
    colors = cell_colors(layer, panel.size_wh, (panel.size_wh[0] * factor, panel.size_wh[1] * factor))
    colors[..., 3] = np.rint(colors[..., 3] * layer.opacity)
    return colors


def draw_polygons(axes: Axes, layer: PolygonLayer, outlines: list[Points], style: Style, *, clip: Box) -> None:
    """Draw closed outlines on their casings, filled or not."""
    if not outlines:
        return
    face = to_rgba(style.color, FILL_OPACITY) if layer.filled else "none"
    parts = (
        PolyCollection(
            outlines, facecolors="none", edgecolors=to_rgba(style.casing, CASING_OPACITY), linewidths=style.width_pt + CASING_PT
        ),
        PolyCollection(outlines, facecolors=[face], edgecolors=style.color, linewidths=style.width_pt),
    )
    for part, suffix in zip(parts, ("casing", "lines"), strict=True):
        part.set(gid=f"outlines-{layer.role}-{suffix}", zorder=2, joinstyle="round")
        axes.add_collection(part, autolim=False)
        _clip(part, clip, axes)


def _clip(part: Collection, box: Box, axes: Axes) -> None:
    """Cut off what reaches beyond a panel."""
    part.set_clip_path(Rectangle((box.left, box.top), box.width, box.height, transform=axes.transData))


def draw_strokes(axes: Axes, strokes: Strokes, weight: NDArray[np.float32], style: Style, *, name: str, clip: Box | None = None) -> None:
    """Draw arrows: casings first, then lines, then heads; ``name`` groups them in the SVG."""
    if not len(weight):
        return
    shafts = strokes.shafts()
    pointed = strokes.head > 0
    heads = list(strokes.heads()[pointed])
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    paths = [Path(corners, codes) for corners in np.stack([shafts.start, shafts.control, shafts.end], axis=1)]
    color = _with_opacity(style.color, weight)
    casing = _with_opacity(style.casing, CASING_OPACITY * weight)
    dash = (0.0, style.dash) if style.dash else "solid"
    common = {"facecolors": "none", "capstyle": "butt"}
    parts = (
        PathCollection(paths, edgecolors=casing, linewidths=style.width_pt + CASING_PT, **common),
        PolyCollection(heads, facecolors="none", edgecolors=casing[pointed], linewidths=CASING_PT, joinstyle="round"),
        PathCollection(paths, edgecolors=color, linewidths=style.width_pt, linestyles=[dash], **common),
        PolyCollection(heads, facecolors=color[pointed], edgecolors="none", linewidths=0),
    )
    for part, suffix in zip(parts, ("line-casing", "head-casing", "lines", "heads"), strict=True):
        part.set_gid(f"{name}-{suffix}")
        part.set_zorder(2)
        axes.add_collection(part, autolim=False)
        if clip is not None:
            _clip(part, clip, axes)


def draw_points(axes: Axes, points: Points, size: float, marker: str, style: Style, *, name: str) -> None:
    """Draw marks of the given side length (page units) on their casings."""
    if not len(points):
        return
    outline = mark_outline(marker, size / 2)
    path = Path.make_compound_path(*(Path(outline + point, closed=marker not in ARMS) for point in points))
    filled = style.color if marker == "dot" else "none"
    casing = PathCollection([path], facecolors="none", edgecolors=[style.casing], linewidths=style.width_pt + CASING_PT)
    line = PathCollection([path], facecolors=filled, edgecolors=[style.color], linewidths=style.width_pt)
    for part, suffix in ((casing, "casing"), (line, "marks")):
        part.set_gid(f"{name}-{suffix}")
        part.set_zorder(3)
        axes.add_collection(part, autolim=False)


def _with_opacity(color: str, weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N, 4] one colour with the weights as opacity."""
    colors = np.repeat(to_rgba_array(color), len(weight), axis=0)
    colors[:, 3] = np.clip(weight, 0, 1)
    return colors


# --------------------------------------------------------------------------------------------- words and keys


def line_height(size_pt: float) -> float:
    """Height of one line of text in inches, spacing included."""
    return size_pt / 72 * 1.3


def text_width(text: str, size_pt: float = SMALL_PT) -> float:
    """Width of one line of text in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size_pt), ismath=False)
    return float(width) / 72


RULER = Ruler(line_height(SMALL_PT), text_width)
"""How keys are measured in print."""


def write(
    axes: Axes, x: float, y: float, text: str, size_pt: float, color: str, *, align: Literal["left", "center", "right"] = "center"
) -> None:
    """Write one line around the height ``y``, above everything else; never parsed as mathematics."""
    axes.text(x, y, text, fontsize=size_pt, color=color, ha=align, va="center_baseline", parse_math=False, zorder=5)


class PaperPen:
    """Draws keys as vectors; see :class:`vizkit.render.keys.Pen`.

    Args:
        axes: the page.
        theme: the looks.
    """

    def __init__(self, axes: Axes, theme: Theme) -> None:
        self.axes = axes
        self.theme = theme

    def write(self, x: float, y: float, text: str, *, centred: bool = False) -> None:
        """Write a label."""
        write(self.axes, x, y, text, SMALL_PT, self.theme.text, align="center" if centred else "left")

    def ramp(self, box: Box, colors: ColorMap) -> None:
        """Draw a colour map; each colour reaches to the end of the bar, so that no seam shows between them."""
        starts = box.left + box.width * np.arange(256) / 256
        bars = np.array([[(x, box.top), (box.right, box.top), (box.right, box.bottom), (x, box.bottom)] for x in starts])
        self._fill(bars, color_table(colors) / 255, "color-bar")
        self.axes.add_patch(
            Rectangle((box.left, box.top), box.width, box.height, fill=False, edgecolor=self.theme.muted, linewidth=FRAME_PT)
        )

    def wheel(self, x: float, y: float, radius: float) -> None:
        """Draw a colour wheel from its rim inward; sectors overlap, so that no seam shows between them."""
        angle = 2 * np.pi * np.arange(WHEEL_SECTORS) / WHEEL_SECTORS
        around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        arcs = angle[:, None] + 2 * np.pi / WHEEL_SECTORS * np.linspace(-0.5, 1.0, 6)
        rim = np.stack([np.cos(arcs), np.sin(arcs)], axis=-1)
        sectors = np.concatenate([np.zeros((WHEEL_SECTORS, 1, 2)), rim], axis=1)
        for ring in range(WHEEL_RINGS, 0, -1):
            share = ring / WHEEL_RINGS
            colors = wheel_colors(around * (share - 0.5 / WHEEL_RINGS), 1.0) / 255
            self._fill(np.array([x, y]) + radius * share * sectors, colors, f"wheel-ring-{ring}")
        self.axes.add_patch(Circle((x, y), radius, fill=False, edgecolor=self.theme.muted, linewidth=FRAME_PT))

    def _fill(self, polygons: NDArray[np.float64], colors: NDArray[np.float64], name: str) -> None:
        """Fill polygons without outlines."""
        part = PolyCollection(list(polygons), facecolors=colors, edgecolors="none", linewidths=0)
        part.set_gid(name)
        self.axes.add_collection(part, autolim=False)

    def arrow(self, start_x: float, end_x: float, y: float, head: float, role: Role) -> None:
        """Draw a sample arrow."""
        strokes = Strokes.between(np.array([[start_x, y]]), np.array([[end_x, y]]), head)
        draw_strokes(self.axes, strokes, np.ones(1, np.float32), self.theme.roles[role], name=f"legend-{role}")

    def mark(self, x: float, y: float, size: float, marker: str, role: Role) -> None:
        """Draw a sample mark."""
        draw_points(self.axes, np.array([[x, y]]), size, marker, self.theme.roles[role], name=f"legend-{role}")
