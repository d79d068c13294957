"""A figure as a film: one picture per sampled frame, composed on pixels, as GIF, WebP or WebM (VP9).

What one picture shows: the panels of that frame, by the figure's rows and columns where several panels show one frame, and
beside them the panels that belong to no frame. Arrows across panels appear where they start or end. If only one end is in
sight, the arrow is drawn inside that panel between the two positions, and a hollow, half transparent circle (a ghost) marks
the end that lies in another frame: the match in the query's frame, the query in the match's frame. A match at the query's
own place is the ghost alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from PIL import Image

from vizkit.errors import FigureError
from vizkit.figure.place import Box, Layout, Points, Strokes, arrow_strokes, lay_out
from vizkit.figure.spec import ArrowLayer, FigureSpec, LinkLayer, Panel, PointLayer, PolygonLayer
from vizkit.render.compose import (
    LINE_PX,
    MAX_HEAD_PX,
    RULER,
    PixelPen,
    Pixels,
    blank,
    draw_points,
    draw_polygons,
    draw_strokes,
    measure,
    paint_panel,
    paste,
    pixel_box,
    write,
)
from vizkit.render.keys import measured_keys
from vizkit.render.text import fit, fitted_titles, footnotes, printable, row_titles_width, wrapped
from vizkit.render.theme import Theme, theme_named

FilmFormat = Literal["gif", "webp", "webm"]

FPS = 8.0
"""Pictures per second unless asked otherwise."""
PAGE_PX = 1280
"""A film is not wider than this."""
PANEL_PX = 336
"""A panel is not wider than this, and a page not narrower."""
MARGIN_PX = 8
GHOST_PX = 8.0
GHOST_OPACITY = 0.45


def frames(spec: FigureSpec, *, theme: str = "light") -> NDArray[np.uint8]:
    """Compose the pictures of the film.

    Args:
        spec: the figure; without panels that show a frame the film has one picture.
        theme: ``"light"`` or ``"dark"``.

    Returns:
        uint8 [N, height, width, 3] RGB, one per sampled frame that some panel shows, in their order; sides are even.

    Raises:
        SettingError: an unknown theme.
    """
    look = theme_named(theme)
    times = sorted({panel.frame for panel in spec.panels if panel.frame is not None})
    scenes = [_scene(spec, time) for time in times] or [_scene(spec, None)]
    inner = round(max(scene.layout.size_wh[0] for scene in scenes))
    middle = round(max(scene.layout.size_wh[1] for scene in scenes))
    keys = measured_keys(spec, RULER, inner)
    notes = [line for note in footnotes(spec) for line in wrapped(note, inner, measure)]
    top = 2 * MARGIN_PX + LINE_PX
    height = top + middle + 2 * MARGIN_PX + round(keys.height) + LINE_PX * len(notes) + MARGIN_PX
    page = blank(height + height % 2, inner + 2 * MARGIN_PX + inner % 2, look)
    write(page, page.shape[1] / 2, MARGIN_PX + LINE_PX / 2, fit(printable(spec.title), inner, measure), look.text, centred=True)
    keys.draw(PixelPen(page, look), page.shape[1] / 2, top + middle + MARGIN_PX)
    for number, note in enumerate(notes):
        write(page, MARGIN_PX, top + middle + 2 * MARGIN_PX + keys.height + LINE_PX * (number + 0.5), note, look.muted)
    return np.stack([_painted(scene, spec, page, (MARGIN_PX, top), look) for scene in scenes])


@dataclass(frozen=True)
class _Scene:
    """The panels in sight at one time, and where they are."""

    numbers: tuple[int, ...]
    panels: tuple[Panel, ...]
    layout: Layout


def _scene(spec: FigureSpec, time: int | None) -> _Scene:
    """Choose the panels of one time and move them together."""
    chosen = [(number, panel) for number, panel in enumerate(spec.panels) if panel.frame in (None, time)]
    grid = len({panel.frame for panel in spec.panels}) < len(spec.panels)
    numbers: list[int] = []
    panels: list[Panel] = []
    offset = 0
    for still in (False,) if grid else (False, True):
        members = [(number, panel) for number, panel in chosen if grid or (panel.frame is None) == still]
        rows = sorted({panel.row for _, panel in members})
        columns = sorted({panel.column for _, panel in members})
        numbers += [number for number, _ in members]
        panels += [
            replace(panel, title=_title(panel, chosen, spec), row=rows.index(panel.row), column=offset + columns.index(panel.column))
            for _, panel in members
        ]
        offset += len(columns)
    width = max(min(PAGE_PX - 2 * MARGIN_PX, PANEL_PX * offset + MARGIN_PX * (offset - 1)), PANEL_PX)
    indent = row_titles_width(panels, measure, MARGIN_PX)
    layout = lay_out(panels, width, gap=MARGIN_PX, title_height=LINE_PX, indent=indent, max_panel_width=PANEL_PX)
    return _Scene(tuple(numbers), tuple(panels), layout)


def _title(panel: Panel, chosen: Sequence[tuple[int, Panel]], spec: FigureSpec) -> str:
    """A panel's title, or its column's where the panel that has it is out of sight."""

    def of_column(panels: Iterable[Panel]) -> str:
        same = (other.title for other in panels if (other.view, other.column) == (panel.view, panel.column))
        return next(filter(None, same), "")

    return panel.title or ("" if of_column(other for _, other in chosen) else of_column(spec.panels))


def _painted(scene: _Scene, spec: FigureSpec, page: Pixels, corner_xy: tuple[int, int], theme: Theme) -> Pixels:
    """Paint the panels of a scene with their marks and links on a copy of the page."""
    canvas = page.copy()
    boxes = [pixel_box(replace(box, left=box.left + corner_xy[0], top=box.top + corner_xy[1])) for box in scene.layout.boxes]
    titles = fitted_titles(scene.panels, [box.width for box in boxes], measure)
    for panel, box, title in zip(scene.panels, boxes, titles, strict=True):
        paste(canvas, _picture(panel, box, theme), box)
        write(canvas, box.left + box.width / 2, box.top - LINE_PX / 2, title, theme.text, centred=True)
        heading = printable(panel.row_title)
        write(canvas, box.left - MARGIN_PX - measure(heading), box.top + box.height / 2, heading, theme.text)
    placed = dict(zip(scene.numbers, boxes, strict=True))
    for link in spec.links:
        _draw_link(canvas, link, placed, spec.panels, theme)
    for panel, box in zip(scene.panels, boxes, strict=True):
        for points in (layer for layer in panel.layers if isinstance(layer, PointLayer)):
            size_px = points.size_px * box.width / panel.size_wh[0]
            draw_points(canvas, box.at(points.xy_px, panel), size_px, points.marker, theme.roles[points.role])
    return canvas


def _picture(panel: Panel, box: Box, theme: Theme) -> Pixels:
    """Paint one panel with the outlines and arrows inside it."""
    picture, inside = paint_panel(panel, (int(box.width), int(box.height)), theme.background), Box(0, 0, box.width, box.height)
    for layer in panel.layers:
        if isinstance(layer, PolygonLayer):
            outlines = [inside.at(outline, panel) for outline in layer.outlines]
            draw_polygons(picture, outlines, theme.roles[layer.role], filled=layer.filled)
        elif isinstance(layer, ArrowLayer):
            draw_strokes(picture, arrow_strokes(layer, panel, inside, MAX_HEAD_PX), layer.weight, theme.roles[layer.role])
    return picture


def _draw_link(canvas: Pixels, link: LinkLayer, boxes: dict[int, Box], panels: Sequence[Panel], theme: Theme) -> None:
    """Draw the arrows that start or end in this scene, with ghosts for the ends that are out of sight."""
    ends = np.stack([link.start_panel, link.end_panel], axis=1)
    seen = np.isin(ends, list(boxes))
    drawn = seen.any(axis=1)
    homes = np.where(seen, ends, ends[:, ::-1])[drawn]
    start = _placed(link.start_xy_px[drawn], link.start_panel[drawn], homes[:, 0], panels, boxes)
    end = _placed(link.end_xy_px[drawn], link.end_panel[drawn], homes[:, 1], panels, boxes)
    scale = np.array([boxes[home].width / panels[home].size_wh[0] for home in homes[:, 1].tolist()])
    style = theme.roles[link.role]
    ghosts = np.concatenate([start[~seen[drawn][:, 0]], end[~seen[drawn][:, 1]]])
    draw_points(canvas, ghosts, GHOST_PX, "circle", style, GHOST_OPACITY)
    draw_strokes(canvas, Strokes.between(start, end, np.minimum(link.head_px * scale, MAX_HEAD_PX)), link.weight[drawn], style)


def _placed(xy_px: Points, numbers: NDArray[np.int64], homes: NDArray[np.int64], panels: Sequence[Panel], boxes: dict[int, Box]) -> Points:
    """[N, 2] page positions of points of the panels ``numbers``, drawn in the boxes of the panels ``homes``."""
    rows = zip(xy_px, numbers.tolist(), homes.tolist(), strict=True)
    return np.array([boxes[home].at(point, panels[number]) for point, number, home in rows], np.float64).reshape(-1, 2)


# --------------------------------------------------------------------------------------------- files


def save(spec: FigureSpec, form: FilmFormat, *, fps: float = FPS) -> bytes:
    """Write a figure as a film that loops.

    Args:
        spec: the figure.
        form: ``"gif"`` (times are rounded to 1/100 s; equal neighbours become one longer picture), ``"webp"`` or ``"webm"`` (VP9).
        fps: pictures per second.

    Returns:
        The file's bytes, the same on every call.

    Raises:
        FigureError: ``fps`` is not in 0.1..60, or the video did not read back whole.
    """
    if not 0.1 <= fps <= 60:
        raise FigureError(f"fps must lie in 0.1..60, got {fps}.", code="setting")
    pictures = frames(spec)
    return webm(pictures, fps) if form == "webm" else _images(pictures, form, fps)


def _images(pictures: NDArray[np.uint8], form: Literal["gif", "webp"], fps: float) -> bytes:
    """Encode by Pillow."""
    images = [Image.fromarray(picture) for picture in pictures]
    if form == "gif":
        images = [_palette_image(image) for image in images]
    buffer = io.BytesIO()
    options = {"quality": 90, "method": 4} if form == "webp" else {"optimize": False}
    images[0].save(buffer, form, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0, **options)
    return buffer.getvalue()


def _palette_image(image: Image.Image) -> Image.Image:
    """Reduce to 256 colours: an octree palette, much faster than the default one, and dithering against its bands."""
    palette = image.quantize(256, Image.Quantize.FASTOCTREE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def webm(pictures: NDArray[np.uint8], fps: float) -> bytes:
    """Encode pictures as VP9 in WebM and read the result back.

    Args:
        pictures: uint8 [N, height, width, 3] RGB, even sides.
        fps: pictures per second.

    Returns:
        The file's bytes; no dates and no random identifiers in them.

    Raises:
        FigureError: the file does not hold all pictures.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=Fraction(fps).limit_denominator(1000))
        _configure(stream.codec_context, pictures.shape[2], pictures.shape[1])
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            planes = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            container.mux(stream.encode(planes))
        container.mux(stream.encode())
    data = buffer.getvalue()
    with av.open(io.BytesIO(data), "r") as written:
        held = len(list(written.decode(video=0)))
    if held != len(pictures):
        raise FigureError(f"The WebM file holds {held} of {len(pictures)} pictures; write a GIF or WebP instead.", code="encoding")
    return data


def _configure(codec: VideoCodecContext, width: int, height: int) -> None:
    """Set size, quality and colours; one thread, so that the bytes never depend on the machine."""
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.thread_count = 1
    codec.flags |= av.codec.context.Flags.bitexact
    codec.colorspace, codec.color_range = Colorspace.ITU709.value, ColorRange.MPEG.value
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709.value, ColorTrc.BT709.value
    codec.options = {"crf": "24", "b": "0", "cpu-used": "4", "deadline": "good"}
