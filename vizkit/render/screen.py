"""A figure for notebooks and offline web pages, by Plotly: zoom, pan, hover, layers on and off.

All pictures are one image source and all arrows of a role two lines (casing and line), because Plotly's time goes with the
number of its parts. The heads of the arrows carry their own opacity, the hover text and, as ``customdata``, (panel, x, y,
group) of the point they show; group is -1 for what belongs to no query.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizkit.figure.encode import color_table
from vizkit.figure.place import ARMS, Box, Points, Strokes, arrow_strokes, lay_out, link_strokes
from vizkit.figure.spec import ArrowLayer, ColorBarKey, FigureSpec, ImageLayer, PointLayer, PolygonLayer, Role, WheelKey
from vizkit.render.compose import SMOOTH_FROM_PX, PixelPen, Pixels, blank, measure, paint_panel, paste, pixel_box
from vizkit.render.keys import legend_place, wheel_texts
from vizkit.render.text import fitted_titles, footnotes, printable, row_titles_width, wrapped
from vizkit.render.theme import FILL_OPACITY, Theme, rgb, theme_named

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

WIDTH_PX = 1100
MARGIN_PX = 12
GAP_PX = 8
TITLE_LINE_PX = 20
"""Height of a line of the figure's title."""
TITLE_WIDTH_PX = 500
"""Room for the title, in letters of the panels' titles; beside it are Plotly's buttons."""
TITLE_PX = 24
"""Above a row of panels, for their titles."""
MAX_PANEL_PX = 420
LEGEND_PX = 40
KEY_PX = 64
"""Height of a colour bar with its words."""
WHEEL_PX = 104
"""Height of a wheel with its words."""
DISC_PX = 64
ROW_TITLE_GAP_PX = 8
NOTE_PX = 20
OVERSAMPLING = 2
"""Picture pixels per page pixel, for zooming in."""
HEAD_PX = 11
CURVE_POINTS = 17
HOVER = "%{text}<extra></extra>"
SYMBOLS = {
    "cross": "x", "plus": "cross", "star": "hexagram", "fork": "star-triangle-down",
    "circle": "circle-open", "square": "square-open", "dot": "circle",
}  # fmt: skip
"""Marks made of lines are filled shapes with an edge, since Plotly draws no line on a casing."""


@dataclass(frozen=True)
class _Sheet:
    """A figure laid out on the screen, in pixels from the upper left corner of the panels' area."""

    spec: FigureSpec
    theme: Theme
    boxes: tuple[Box, ...]
    size_wh: tuple[float, float]

    @property
    def bars(self) -> list[ColorBarKey]:
        """The colour bars."""
        return [key for key in self.spec.keys if isinstance(key, ColorBarKey)]

    @property
    def wheels(self) -> list[WheelKey]:
        """The colour wheels."""
        return [key for key in self.spec.keys if isinstance(key, WheelKey)]

    @property
    def title(self) -> list[str]:
        """Lines of the title."""
        return wrapped(printable(self.spec.title), TITLE_WIDTH_PX, measure)

    @property
    def below_px(self) -> int:
        """Height of what stands under the panels."""
        return self.notes_px + NOTE_PX * len(footnotes(self.spec)) + MARGIN_PX

    @property
    def notes_px(self) -> int:
        """Where the footnotes begin, under the panels."""
        return LEGEND_PX + KEY_PX * len(self.bars) + WHEEL_PX * bool(self.wheels)

    def under(self, offset_px: float) -> float:
        """Plotly's paper coordinate of a height under the panels."""
        return -offset_px / self.size_wh[1]


def draw(spec: FigureSpec, *, theme: str = "light") -> Figure:
    """Draw a figure by Plotly.

    Args:
        spec: the figure.
        theme: ``"light"`` or ``"dark"``.

    Returns:
        A ``plotly.graph_objects.Figure`` of fixed size; all text in it is escaped.

    Raises:
        SettingError: an unknown theme.
    """
    from plotly.graph_objects import Figure

    indent = row_titles_width(spec.panels, measure, ROW_TITLE_GAP_PX)
    room = WIDTH_PX - 2 * MARGIN_PX
    layout = lay_out(spec.panels, room, gap=GAP_PX, title_height=TITLE_PX, indent=indent, max_panel_width=MAX_PANEL_PX)
    width, height = layout.size_wh
    sheet = _Sheet(spec, theme_named(theme), layout.boxes, (width, max(height, 1.0)))
    figure = Figure([*_outline_traces(sheet), *_arrow_traces(sheet), *_point_traces(sheet), *_bar_traces(sheet)])
    figure.update_layout(
        **_page(sheet),
        **_color_axes(sheet),
        images=[_picture(sheet), *_wheel(sheet)],
        annotations=[*_panel_titles(sheet), *_wheel_words(sheet), *_notes(sheet)],
    )
    return figure


def html(spec: FigureSpec, *, theme: str = "light") -> bytes:
    """Make an interactive page that needs no network: Plotly's script is inside (some 5 MB)."""
    look = theme_named(theme)
    config = {"displaylogo": False, "responsive": False}
    plot = draw(spec, theme=theme).to_html(config=config, full_html=False, include_plotlyjs=True, div_id="figure")
    title, alt, caption = (escape(printable(text)) for text in (spec.title, spec.alt, spec.caption))
    style = f"body{{background:{look.background};color:{look.text};font-family:sans-serif;margin:1rem auto;max-width:{WIDTH_PX}px}}"
    lines = (
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>',
        f'<body><figure style="margin:0"><div role="img" aria-label="{alt}">{plot}</div>',
        f"<figcaption>{caption}</figcaption></figure></body></html>",
        "",
    )
    return "\n".join(lines).encode()


# --------------------------------------------------------------------------------------------- page


def _page(sheet: _Sheet) -> dict[str, Any]:
    """Size, colours, axes and legend; one page pixel is one unit of the axes."""
    width, height = sheet.size_wh
    words = "<br>".join(map(escape, sheet.title))
    title = {"text": words, "font": {"size": 16}, "x": 0.5, "y": 1, "pad": {"t": 12}, "yanchor": "top"}
    header_px = 2 * MARGIN_PX + TITLE_LINE_PX * len(sheet.title)
    legend = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": sheet.under(6), "yanchor": "top", "itemsizing": "trace"}
    return {
        "width": WIDTH_PX,
        "height": height + header_px + sheet.below_px,
        "margin": {"l": MARGIN_PX, "r": MARGIN_PX, "t": header_px, "b": sheet.below_px},
        "paper_bgcolor": sheet.theme.background,
        "plot_bgcolor": sheet.theme.background,
        "font": {"color": sheet.theme.text, "size": 13},
        "title": title,
        "xaxis": {"visible": False, "range": [0, width]},
        "yaxis": {"visible": False, "range": [height, 0], "scaleanchor": "x"},
        "legend": legend,
        "hovermode": "closest",
        "dragmode": "pan",
    }


def _picture(sheet: _Sheet) -> dict[str, Any]:
    """Compose all panels into one image source: JPEG for photographs, PNG where a panel has none."""
    width, height = (round(side * OVERSAMPLING) for side in sheet.size_wh)
    canvas = blank(height, width, sheet.theme)
    for panel, box in zip(sheet.spec.panels, sheet.boxes, strict=True):
        scaled = pixel_box(Box(*(OVERSAMPLING * side for side in (box.left, box.top, box.width, box.height))))
        paste(canvas, paint_panel(panel, (int(scaled.width), int(scaled.height)), sheet.theme.background), scaled)
    photographs = all(any(_photograph(layer) for layer in panel.layers) for panel in sheet.spec.panels)
    size = {"sizex": sheet.size_wh[0], "sizey": sheet.size_wh[1], "sizing": "stretch"}
    place = {"x": 0, "y": 0, "xref": "x", "yref": "y", "layer": "below"}
    return {"source": _data_uri(canvas, "jpeg" if photographs else "png"), **place, **size}


def _photograph(layer: object) -> bool:
    """A picture large enough that JPEG does not blur its cells."""
    return isinstance(layer, ImageLayer) and min(layer.pixels.shape[:2]) >= SMOOTH_FROM_PX


def _data_uri(pixels: Pixels, form: str) -> str:
    """A picture inside the page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **({"quality": 90} if form == "jpeg" else {}))
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _panel_titles(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """The panels' titles, and those of rows."""
    common = {"xref": "x", "yref": "y", "showarrow": False, "font": {"size": 12}}
    titles = fitted_titles(sheet.spec.panels, [box.width for box in sheet.boxes], measure)
    for panel, box, title in zip(sheet.spec.panels, sheet.boxes, titles, strict=True):
        if title:
            x, y = box.left + box.width / 2, box.top - TITLE_PX / 2
            yield {"text": escape(title), "bgcolor": sheet.theme.background, "borderpad": 1, "x": x, "y": y, **common}
        if panel.row_title:
            x, y = box.left - ROW_TITLE_GAP_PX, box.top + box.height / 2
            yield {"text": escape(printable(panel.row_title)), "x": x, "y": y, "xanchor": "right", **common}


def _wheel(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """The colour wheel; one disc stands for all scales."""
    if sheet.wheels:
        disc = blank(2 * DISC_PX, 2 * DISC_PX, sheet.theme)
        PixelPen(disc, sheet.theme).wheel(DISC_PX, DISC_PX, DISC_PX)
        size = {"sizex": DISC_PX / sheet.size_wh[0], "sizey": DISC_PX / sheet.size_wh[1]}
        place = {"x": 0.4, "xanchor": "center", "yanchor": "middle", "xref": "paper", "yref": "paper"}
        yield {"source": _data_uri(disc, "png"), "y": sheet.under(sheet.notes_px - WHEEL_PX / 2), **place, **size}


def _wheel_words(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """The wheel's directions around it, and what full colour means beside it."""
    if not sheet.wheels:
        return
    place = {"xref": "paper", "yref": "paper", "showarrow": False, "yanchor": "middle"}
    middle, away = sheet.notes_px - WHEEL_PX / 2, DISC_PX / 2 + 10
    for word, x_px, y_px in (("left", -away, 0.0), ("right", away, 0.0), ("up", 0.0, -away), ("down", 0.0, away)):
        anchor = {"left": "right", "right": "left"}.get(word, "center")
        x = 0.4 + (x_px - 6 * np.sign(x_px)) / sheet.size_wh[0]
        yield {"text": word, "font": {"size": 12}, "xanchor": anchor, "x": x, "y": sheet.under(middle + y_px), **place}
    text = "<br>".join(map(escape, wheel_texts(sheet.wheels)))
    x = 0.4 + (away + 50) / sheet.size_wh[0]
    yield {"text": text, "align": "left", "xanchor": "left", "x": x, "y": sheet.under(middle), **place}


def _notes(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """The footnotes."""
    font = {"size": 12, "color": sheet.theme.muted}
    place = {"xref": "paper", "yref": "paper", "showarrow": False, "x": 0, "xanchor": "left", "yanchor": "middle"}
    for number, note in enumerate(footnotes(sheet.spec)):
        yield {"text": escape(note), "y": sheet.under(sheet.notes_px + NOTE_PX * (number + 0.5)), "font": font, **place}


def _color_axes(sheet: _Sheet) -> dict[str, Any]:
    """One colour axis per colour bar; the bars lie under the legend."""
    return {_axis_name(number): _color_axis(sheet, number, key) for number, key in enumerate(sheet.bars)}


def _color_axis(sheet: _Sheet, number: int, key: ColorBarKey) -> dict[str, Any]:
    """Colours, limits and words of one colour bar."""
    colors = [[place / 255, "rgb({},{},{})".format(*color)] for place, color in enumerate(color_table(key.colors).tolist())]
    ticks = np.linspace(key.limits[0], key.limits[1], 3).tolist()
    bar = {
        "title": {"text": escape(printable(f"{key.label} ({key.note})" if key.note else key.label)), "side": "top", "font": {"size": 13}},
        "tickvals": ticks,
        "ticktext": [f"{tick:.3g}" for tick in ticks],
        **{"orientation": "h", "thickness": 10, "len": 260, "lenmode": "pixels"},
        **{"x": 0.5, "xanchor": "center", "y": sheet.under(LEGEND_PX + number * KEY_PX), "yanchor": "top", "ypad": 0},
    }
    return {"cmin": key.limits[0], "cmax": key.limits[1], "colorscale": colors, "colorbar": bar}


def _axis_name(number: int) -> str:
    """Plotly's name of the n-th colour axis."""
    return f"coloraxis{number + 1 if number else ''}"


# --------------------------------------------------------------------------------------------- traces


def _outline_traces(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """Per layer of outlines its casing, its lines with their filling, and unseen points that carry the hover text."""
    for panel, box in zip(sheet.spec.panels, sheet.boxes, strict=True):
        for layer in panel.layers:
            if isinstance(layer, PolygonLayer) and layer.outlines:
                yield from _outlines(sheet, layer, [box.at(outline, panel) for outline in layer.outlines])


def _outlines(sheet: _Sheet, layer: PolygonLayer, outlines: list[Points]) -> Iterator[dict[str, Any]]:
    """The traces of one layer."""
    style = sheet.theme.roles[layer.role]
    parted = np.concatenate([np.concatenate([outline, outline[:1], np.full((1, 2), np.nan)]) for outline in outlines])
    named = {**_named(sheet, layer.role, "outline", layer.name), "showlegend": False}
    line = {**named, "mode": "lines", "hoverinfo": "skip", "x": parted[:, 0], "y": parted[:, 1]}
    yield {**line, "line": {"color": style.casing, "width": 3.0}, "opacity": 0.6}
    fill = {"fill": "toself", "fillcolor": "rgba({},{},{},{})".format(*rgb(style.color), FILL_OPACITY)} if layer.filled else {}
    yield {**line, **fill, "line": {"color": style.color, "width": 1.4}, "showlegend": layer.filled}
    if layer.label:
        middle = np.array([outline.mean(axis=0) for outline in outlines])
        text = [escape(printable(label)) for label in layer.label]
        marks = {"mode": "markers", "marker": {"opacity": 0, "size": 12}, "hovertemplate": HOVER}
        yield {**named, **marks, "x": middle[:, 0], "y": middle[:, 1], "text": text}


def _arrow_traces(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """Per role the casing, the lines and the heads; first those of the layer drawn first."""
    layers: dict[Role, list[_Arrows]] = {}
    for arrows in _all_arrows(sheet):
        layers.setdefault(arrows.role, []).append(arrows)
    for role, parts in layers.items():
        style = sheet.theme.roles[role]
        weight = np.clip(np.concatenate([part.weight for part in parts]), 0, 1)
        lines = np.concatenate([part.strokes.points(CURVE_POINTS) for part in parts])
        parted = np.concatenate([lines, np.full((len(lines), 1, 2), np.nan)], axis=1).reshape(-1, 2)
        kind = next((kind for kind in ("arrow", "line", "point") if legend_place(sheet.spec, kind, role)), "arrow")
        named, listed = _named(sheet, role, kind, parts[0].name), kind != "point"  # arrows of marks come and go with these
        line = {**named, "mode": "lines", "hoverinfo": "skip", "x": parted[:, 0], "y": parted[:, 1]}
        opacity = float(weight.mean()) if len(weight) else 1.0
        pale = style.color == sheet.theme.background  # only its heads, which have a dark edge, or its casing can be seen in the legend
        pointed = any((part.strokes.head > 0).any() for part in parts)
        casing = {"line": {"color": style.casing, "width": 3.4}, "opacity": 0.6 * opacity}
        yield {**line, **casing, "showlegend": listed and pale and not pointed}
        stroke = {"color": style.color, "width": 1.7, "dash": "5px,3px" if style.dash else "solid"}
        yield {**line, "line": stroke, "opacity": opacity, "showlegend": listed and not pale}
        yield {**named, **_head_trace(sheet, role, parts, weight), "showlegend": listed and pale and pointed}


@dataclass(frozen=True, eq=False)
class _Arrows:
    """The arrows of one layer on the page."""

    role: Role
    name: str
    strokes: Strokes
    weight: NDArray[np.float32]
    label: tuple[str, ...]
    shown: NDArray[np.float64]
    """[N, 4] panel, x, y and group of the ends."""


def _all_arrows(sheet: _Sheet) -> Iterator[_Arrows]:
    """Arrows inside panels, then the links, in the figure's order."""
    for number, (panel, box) in enumerate(zip(sheet.spec.panels, sheet.boxes, strict=True)):
        for layer in panel.layers:
            if isinstance(layer, ArrowLayer):
                count = len(layer.weight)
                shown = np.column_stack([np.full(count, number), layer.end_xy_px, np.full(count, -1)])
                yield _Arrows(layer.role, layer.name, arrow_strokes(layer, panel, box, HEAD_PX), layer.weight, layer.label, shown)
    for link in sheet.spec.links:
        strokes = link_strokes(link, sheet.spec.panels, sheet.boxes, sheet.theme.roles[link.role].side, HEAD_PX)
        shown = np.column_stack([link.end_panel, link.end_xy_px, link.group]).astype(np.float64)
        yield _Arrows(link.role, link.name, strokes, link.weight, link.label, shown)


def _head_trace(sheet: _Sheet, role: Role, parts: list[_Arrows], weight: NDArray[np.float32]) -> dict[str, Any]:
    """Arrow heads with the hover text and each arrow's own opacity; the angle is clockwise from up."""
    tips = np.concatenate([part.strokes.end for part in parts])
    toward = tips - np.concatenate([part.strokes.control for part in parts])
    angle = np.degrees(np.arctan2(toward[:, 0], -toward[:, 1]))
    text = [escape(printable(label)) for part in parts for label in (part.label or ("",) * len(part.weight))]
    style = sheet.theme.roles[role]
    edge = {"width": 0.7, "color": style.casing}
    size = np.concatenate([HEAD_PX * (part.strokes.head > 0) for part in parts])
    marker = {"symbol": "arrow", "size": size, "angle": angle, "color": style.color, "opacity": weight, "line": edge}
    return {
        "mode": "markers",
        "hovertemplate": HOVER,
        "x": tips[:, 0],
        "y": tips[:, 1],
        "marker": marker,
        "text": text,
        "customdata": np.concatenate([part.shown for part in parts]),
    }


def _point_traces(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """Per role and mark all points of all panels."""
    groups: dict[tuple[Role, str], list[tuple[int, PointLayer]]] = {}
    for number, panel in enumerate(sheet.spec.panels):
        for layer in panel.layers:
            if isinstance(layer, PointLayer):
                groups.setdefault((layer.role, layer.marker), []).append((number, layer))
    for (role, mark), members in groups.items():
        xy = np.concatenate([sheet.boxes[number].at(layer.xy_px, sheet.spec.panels[number]) for number, layer in members])
        shown = [(number, *point, -1.0) for number, layer in members for point in layer.xy_px.tolist()]
        text = [escape(printable(label)) for _, layer in members for label in (layer.label or ("",) * len(layer.xy_px))]
        style, edged = sheet.theme.roles[role], mark in ARMS
        edge = {"width": 1.2, "color": style.casing} if edged else {"width": 2.5}
        marker = {"symbol": SYMBOLS[mark], "size": 10 if edged else 9, "color": style.color, "line": edge}
        named = _named(sheet, role, "point", members[0][1].name, mark)
        named |= {"mode": "markers", "hovertemplate": HOVER}
        yield {**named, "x": xy[:, 0], "y": xy[:, 1], "marker": marker, "text": text, "customdata": np.array(shown).reshape(-1, 4)}


def _named(sheet: _Sheet, role: Role, kind: str, fallback: str, marker: str = "") -> dict[str, Any]:
    """Name and place in the legend, taken from the figure's own legend where that speaks of the role."""
    rank, name = legend_place(sheet.spec, kind, role, marker) or (999, fallback)
    group = {"legendgroup": f"{kind} {role}", "legendrank": rank + (1000 if kind == "point" else 0)}
    return {"type": "scatter", "name": escape(printable(name)), **group}


def _bar_traces(sheet: _Sheet) -> Iterator[dict[str, Any]]:
    """An unseen point per colour bar: Plotly shows a colour axis only when something uses it."""
    for number, key in enumerate(sheet.bars):
        marker = {"color": [key.limits[0]], "coloraxis": _axis_name(number), "opacity": 0}
        yield {"type": "scatter", "mode": "markers", "x": [0], "y": [0], "marker": marker, "showlegend": False, "hoverinfo": "skip"}
