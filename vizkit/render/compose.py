"""Pictures, marks and words on pixels: the fast path of animations and of the screen, without Matplotlib.

Page positions are in pixels with pixel edges at whole numbers; OpenCV counts pixel centres, hence the half pixel off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vizkit.figure.encode import cell_colors, color_table, wheel_colors
from vizkit.figure.place import Box, Points, Strokes, dashes, mark_outline
from vizkit.figure.spec import ColorMap, HeatLayer, ImageLayer, MotionLayer, Panel, Role
from vizkit.render.keys import Ruler
from vizkit.render.theme import FILL_OPACITY, Style, Theme, rgb

Pixels = NDArray[np.uint8]

PX_PER_PT = 3.0
"""Line widths of the theme on the screen."""
CASING_PX = 2
"""How much wider than the line its casing is."""
CASING_OPACITY = 0.7
"""Opacity of the casing under an opaque line."""
MAX_HEAD_PX = 14.0
"""Longest arrow head."""
SMOOTH_FROM_PX = 32
"""Pictures at least this large are enlarged smoothly; smaller ones keep their cells."""
TEXT_PX = 12
"""Size of the letters."""
LINE_PX = 20
"""Height of a line of text."""
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


def blank(height: int, width: int, theme: Theme) -> Pixels:
    """An empty page."""
    return np.full((height, width, 3), rgb(theme.background), np.uint8)


def paint_panel(panel: Panel, out_wh: tuple[int, int], background: str) -> Pixels:
    """Paint images and cells of a panel in their order.

    Args:
        panel: the panel; its marks are left to :func:`draw_polygons`, :func:`draw_strokes` and :func:`draw_points`.
        out_wh: size of the picture in pixels.
        background: ``#rrggbb`` where nothing is drawn.

    Returns:
        uint8 [height, width, 3] RGB.
    """
    pixels = np.full((out_wh[1], out_wh[0], 3), rgb(background), np.uint8)
    for layer in panel.layers:
        if isinstance(layer, ImageLayer):
            pixels = cv2.resize(layer.pixels, out_wh, interpolation=_interpolation(layer, out_wh)).astype(np.uint8, copy=False)
        elif isinstance(layer, HeatLayer | MotionLayer):
            colors = cell_colors(layer, panel.size_wh, out_wh)
            opacity = colors[..., 3:] * (layer.opacity / 255)
            pixels = np.rint(pixels * (1 - opacity) + colors[..., :3] * opacity).astype(np.uint8)
    return pixels


def _interpolation(layer: ImageLayer, out_wh: tuple[int, int]) -> int:
    """Choose how a picture is resized."""
    height, width = layer.pixels.shape[:2]
    if min(height, width) < SMOOTH_FROM_PX:
        return cv2.INTER_NEAREST
    return cv2.INTER_AREA if out_wh[0] < width else cv2.INTER_CUBIC


def pixel_box(box: Box) -> Box:
    """Round a box to whole pixels."""
    left, top = round(box.left), round(box.top)
    return Box(left, top, max(round(box.right) - left, 1), max(round(box.bottom) - top, 1))


def paste(canvas: Pixels, pixels: Pixels, box: Box) -> None:
    """Put a picture into its box (whole pixels)."""
    canvas[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = pixels


def draw_strokes(canvas: Pixels, strokes: Strokes, weight: NDArray[np.float32], style: Style) -> None:
    """Draw arrows with their weights as opacity: all casings first, then all lines and heads."""
    width = _line_px(style)
    dash = tuple(part * width for part in style.dash) if style.dash else (0.0, 0.0)
    heads = [head if length > 0 else None for head, length in zip(strokes.heads(), strokes.head, strict=True)]
    arrows = list(zip(strokes.shafts().points(24), heads, np.clip(weight, 0, 1).tolist(), strict=True))
    for line, head, share in arrows:
        _blend(canvas, [line], width + CASING_PX, style.casing, CASING_OPACITY * share, solid=head, outline=CASING_PX)
    for line, head, share in arrows:
        _blend(canvas, dashes(line, *dash), width, style.color, share, solid=head)


def draw_polygons(canvas: Pixels, outlines: Sequence[Points], style: Style, *, filled: bool) -> None:
    """Draw closed outlines on their casings, filled or not."""
    width = _line_px(style)
    closed = [np.concatenate([outline, outline[:1]]) for outline in outlines]
    for line in closed:
        _blend(canvas, [line], width + CASING_PX, style.casing, CASING_OPACITY)
    for line in closed:
        if filled:
            _blend(canvas, [line], 1, style.color, FILL_OPACITY, solid=line)
        _blend(canvas, [line], width, style.color, 1.0)


def draw_points(canvas: Pixels, points: Points, size: float, marker: str, style: Style, opacity: float = 1.0) -> None:
    """Draw marks of the given side length in pixels on their casings."""
    width = _line_px(style)
    for point in points:
        line = mark_outline(marker, size / 2) + point
        _blend(canvas, [line], width + CASING_PX, style.casing, opacity)
        _blend(canvas, [line], width, style.color, opacity, solid=line if marker == "dot" else None)


def _line_px(style: Style) -> int:
    """Line width on the screen."""
    return max(round(style.width_pt * PX_PER_PT), 1)


def _blend(
    canvas: Pixels, lines: list[Points], width: int, color: str, opacity: float, *, solid: Points | None = None, outline: int = 0
) -> None:
    """Blend anti-aliased lines, and a filled shape with its outline, into the part of the canvas that they touch."""
    every = np.concatenate(lines if solid is None else [*lines, solid])
    size = np.array(canvas.shape[1::-1])
    low = np.clip(np.floor(every.min(axis=0)).astype(int) - width - 1, 0, size)
    high = np.clip(np.ceil(every.max(axis=0)).astype(int) + width + 2, 0, size)
    if not (low < high).all():
        return
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.polylines(mask, [_fixed(line - low) for line in lines], False, (255,), width, cv2.LINE_AA, _SHIFT)
    if solid is not None:
        cv2.fillPoly(mask, [_fixed(solid - low)], (255,), cv2.LINE_AA, _SHIFT)
        if outline:
            cv2.polylines(mask, [_fixed(solid - low)], True, (255,), outline, cv2.LINE_AA, _SHIFT)
    share = mask[..., None] * (opacity / 255)
    part = canvas[low[1] : high[1], low[0] : high[0]]
    part[:] = np.rint(part * (1 - share) + np.array(rgb(color)) * share)


def _fixed(points: Points) -> NDArray[np.int32]:
    """OpenCV's fixed-point coordinates of page positions."""
    fixed: NDArray[np.int32] = np.rint((points - 0.5) * 2**_SHIFT).astype(np.int32)
    return fixed


# --------------------------------------------------------------------------------------------- words and keys


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font of the print, from Matplotlib's folder; finding the folder does not import Matplotlib."""
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("Matplotlib is not installed; its folder holds the font of the pictures.", name="matplotlib")
    return ImageFont.truetype(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", TEXT_PX)


def measure(text: str) -> float:
    """Width of one line of text in pixels."""
    return float(_font().getlength(text))


RULER = Ruler(LINE_PX, measure)
"""How keys are measured on pixels."""


def write(canvas: Pixels, x: float, y: float, text: str, color: str, *, centred: bool = False) -> None:
    """Write one line of text around the height ``y``, to the right of ``x`` or centred on it."""
    top = max(round(y) - LINE_PX // 2, 0)
    band = Image.fromarray(canvas[top : top + LINE_PX])
    ImageDraw.Draw(band).text((round(x), round(y) - top), text, fill=rgb(color), font=_font(), anchor="mm" if centred else "lm")
    canvas[top : top + LINE_PX] = np.asarray(band)


class PixelPen:
    """Draws keys on a canvas; see :class:`vizkit.render.keys.Pen`.

    Args:
        canvas: uint8 [height, width, 3], drawn on in place.
        theme: the looks.
    """

    def __init__(self, canvas: Pixels, theme: Theme) -> None:
        self.canvas = canvas
        self.theme = theme

    def write(self, x: float, y: float, text: str, *, centred: bool = False) -> None:
        """Write a label."""
        write(self.canvas, x, y, text, self.theme.text, centred=centred)

    def ramp(self, box: Box, colors: ColorMap) -> None:
        """Draw a colour map from left to right."""
        inside = pixel_box(box)
        index = np.linspace(0, 255, int(inside.width)).round().astype(int)
        paste(self.canvas, np.repeat(color_table(colors)[index][None], int(inside.height), axis=0), inside)

    def wheel(self, x: float, y: float, radius: float) -> None:
        """Draw a colour wheel, full colour at its rim."""
        inside = pixel_box(Box(x - radius, y - radius, 2 * radius, 2 * radius))
        axis = (np.arange(int(inside.width)) + 0.5) * 2 / inside.width - 1
        vectors = np.stack(np.meshgrid(axis, axis), axis=-1)
        disc = np.hypot(vectors[..., 0], vectors[..., 1])[..., None] <= 1
        paste(self.canvas, np.where(disc, wheel_colors(vectors, 1.0), np.array(rgb(self.theme.background), np.uint8)), inside)

    def arrow(self, start_x: float, end_x: float, y: float, head: float, role: Role) -> None:
        """Draw a sample arrow."""
        strokes = Strokes.between(np.array([[start_x, y]]), np.array([[end_x, y]]), head)
        draw_strokes(self.canvas, strokes, np.ones(1, np.float32), self.theme.roles[role])

    def mark(self, x: float, y: float, size: float, marker: str, role: Role) -> None:
        """Draw a sample mark."""
        draw_points(self.canvas, np.array([[x, y]]), size, marker, self.theme.roles[role])
