from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.ui.figures import filters, polar, pyramid
from vizkit.errors import SettingError
from vizkit.figure.encode import motion_colors
from vizkit.figure.place import lay_out
from vizkit.figure.spec import ArrowLayer, FigureSpec, ImageLayer, LegendKey, Panel, PointLayer
from vizkit.render import screen
from vizkit.render.compose import measure
from vizkit.render.text import row_titles_width
from vizkit.render.theme import THEMES


def traces(figure, **wanted):
    return [trace for trace in figure.data if all(getattr(trace, name) == value for name, value in wanted.items())]


def picture(figure):
    kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", figure.layout.images[0].source).groups()
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_role_has_two_lines_and_one_trace_of_heads(strip):
    figure = screen.draw(strip)
    for role, count in (("active", 2), ("filtered", 1)):
        group = traces(figure, legendgroup=f"arrow {role}")
        assert [trace.mode for trace in group] == ["lines", "lines", "markers"]
        assert np.isnan(group[1].x).sum() == count  # one gap after every arrow
        assert group[1].line.color == THEMES["light"].roles[role].color
        assert (group[1].line.dash == "solid") == (role == "active")
    order = [trace.legendgroup for trace in figure.data]
    assert order.index("arrow filtered") < order.index("arrow active")


def test_arrows_lie_where_their_ends_are(strip):
    figure = screen.draw(strip)
    layout = lay_out(strip.panels, screen.WIDTH_PX - 2 * screen.MARGIN_PX, gap=screen.GAP_PX, title_height=screen.TITLE_PX)
    line, heads = traces(figure, legendgroup="arrow active")[1:]
    start = layout.boxes[1].at(np.array([20.0, 28.0]), strip.panels[1])
    end = layout.boxes[3].at(np.array([44.0, 20.0]), strip.panels[3])
    assert (line.x[0], line.y[0]) == pytest.approx(tuple(start))
    assert (heads.x[1], heads.y[1]) == pytest.approx(tuple(end))
    assert 90 < heads.marker.angle[1] < 180  # to the right, and down at the end of an arc that passed above
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # y down


def test_heads_carry_text_and_place(strip):
    heads = traces(screen.draw(strip), legendgroup="arrow active", mode="markers")[0]
    assert heads.customdata.tolist() == [[2, 24, 32, 0], [3, 44, 20, 0]]
    assert heads.text[0] == "rank 0 &lt;active&gt;"
    assert heads.marker.opacity.tolist() == pytest.approx([0.6, 1.0])
    query = traces(screen.draw(strip), legendgroup="point query")[0]
    assert query.customdata.tolist() == [[1, 20, 28, -1]]


def test_all_pictures_are_one_source(strip):
    figure = screen.draw(strip)
    kind, pixels = picture(figure)
    assert len([image for image in figure.layout.images if image.xref == "x"]) == 1
    assert kind == "jpeg"
    assert pixels.shape[1] == screen.OVERSAMPLING * (screen.WIDTH_PX - 2 * screen.MARGIN_PX)


def test_panels_of_cells_are_not_blurred_by_jpeg(strip):
    cells = replace(strip.panels[0], layers=strip.panels[0].layers[1:])
    assert picture(screen.draw(replace(strip, panels=(cells, *strip.panels[1:]))))[0] == "png"


def panel_colors(spec, number, xy, theme="light"):
    """Colour of the picture under a panel's pixel."""
    _, pixels = picture(screen.draw(spec, theme=theme))
    indent = row_titles_width(spec.panels, measure, screen.ROW_TITLE_GAP_PX)
    room = screen.WIDTH_PX - 2 * screen.MARGIN_PX
    limits = {"indent": indent, "max_panel_width": screen.MAX_PANEL_PX}
    boxes = lay_out(spec.panels, room, gap=screen.GAP_PX, title_height=screen.TITLE_PX, **limits).boxes
    x, y = boxes[number].at(np.array(xy, np.float64), spec.panels[number]) * screen.OVERSAMPLING
    return pixels[int(y), int(x)].astype(int)


def test_motion_has_its_colours_at_its_place():
    spec = pyramid(2, 64)
    layer = spec.panels[4].layers[0]
    for row, column in ((3, 12), (12, 3)):
        wanted = motion_colors(layer.vectors[row, column], layer.confidence[row, column], 8.0, "white")[:3].astype(int)
        xy = (layer.origin_px + column * layer.stride_px, layer.origin_px + row * layer.stride_px)
        assert np.abs(panel_colors(spec, 4, xy) - wanted).max() <= 4


def test_one_disc_stands_for_all_wheels_with_its_words():
    figure = screen.draw(pyramid(1, 64))
    assert len([image for image in figure.layout.images if image.xref == "paper"]) == 1
    words = [note.text for note in figure.layout.annotations]
    assert {"left", "right", "up", "down"} <= set(words)
    assert "res2: full colour = 8 px/frame<br>res3: full colour = 16 px/frame" in words
    assert "" not in words, "an empty annotation would leave a dot"
    assert {"t = 0", "frame", "res2"} <= set(words)


def test_outlines_close_fill_and_carry_their_words():
    figure = screen.draw(polar(), theme="dark")
    rings = traces(figure, legendgroup="outline neutral", mode="lines")
    petals = traces(figure, legendgroup="outline region")
    assert [trace.fill for trace in rings] == [None, None]
    assert [trace.fill for trace in petals] == [None, "toself", None]
    assert list(petals[2].text) == ["right: 50 %", "30 %", "15 %"]
    assert petals[2].x[0] > petals[2].x[1]
    first = np.flatnonzero(np.isnan(petals[1].x))[0]
    assert petals[1].x[0] == petals[1].x[first - 1]


@pytest.mark.parametrize(("theme", "line", "heads"), [("light", False, True), ("dark", True, False)])
def test_white_peaks_can_be_seen_in_the_legend(theme, line, heads):
    _, lines, tips = traces(screen.draw(filters(1, 2), theme=theme), legendgroup="arrow peak")
    assert (lines.line.color, lines.showlegend, tips.showlegend) == ("#ffffff", line, heads)
    assert tips.marker.line.color == "#000000"


def test_the_colour_bar_has_the_limits_of_its_key(strip):
    figure = screen.draw(strip)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0.0, 1.0)
    assert figure.layout.coloraxis.colorbar.title.text == "feature change (shared)"
    assert [trace.marker.coloraxis for trace in figure.data if trace.marker.coloraxis] == ["coloraxis"]


def test_legend_texts_come_from_the_figure(strip):
    names = {trace.legendgroup: trace.name for trace in screen.draw(strip).data if trace.showlegend is not False}
    assert names == {"arrow active": "in the active set", "arrow filtered": "filtered", "point query": "query"}


def test_all_text_is_escaped(strip):
    odd = "<img src=x onerror=alert(1)>"
    panels = (replace(strip.panels[0], title=odd), *strip.panels[1:])
    figure = screen.draw(replace(strip, title=odd, notes=(odd,), panels=panels))
    assert odd not in figure.to_json()
    assert "&lt;img" in figure.layout.title.text
    assert odd not in screen.html(replace(strip, title=odd, caption=odd, alt=f'"{odd}')).decode()


def test_the_dark_theme_has_a_dark_page(strip):
    assert screen.draw(strip, theme="dark").layout.paper_bgcolor == THEMES["dark"].background
    with pytest.raises(SettingError, match="dark, light"):
        screen.draw(strip, theme="sepia")


def test_the_page_needs_no_network_and_never_changes(strip):
    page = screen.html(strip)
    assert page == screen.html(strip)
    outside = re.sub(rb"<script[^>]*>.*?</script>", b"", page, flags=re.DOTALL)
    assert b"http" not in outside
    assert not re.findall(rb"<script[^>]+src=", page)
    assert b"Arrows from one cell of frame 1." in page


def test_every_mark_and_the_arrows_of_a_panel_are_drawn(plain):
    figure = screen.draw(plain)
    assert {trace.marker.symbol for trace in traces(figure, legendgroup="point truth")} == set(screen.SYMBOLS.values())
    heads = traces(figure, legendgroup="arrow active", mode="markers")[0]
    assert heads.customdata.tolist() == [[0, 22, 10, -1], [0, 30, 70, -1]]
    assert np.abs(heads.marker.angle).tolist() == pytest.approx([90, 180])


def test_figures_without_arrows_or_panels_are_drawn(without_arrows, strip):
    assert len(traces(screen.draw(without_arrows), legendgroup="arrow active")) == 3
    assert len(screen.draw(replace(strip, panels=(), links=())).layout.images) == 2  # an empty page, and the wheel


def regions(**key):
    """Two regions with marks and arrows of their own, and the border between them."""
    points = np.array([[10.0, 10.0]])
    layers = [ImageLayer(np.zeros((40, 40, 3), np.uint8))]
    for role, mark, place in (("region_1", "cross", 0.0), ("region_3", "star", 20.0)):
        layers.append(PointLayer(points + place, role, (), mark))
        layers.append(ArrowLayer(points + place, points + place + 5, role, np.ones(1, np.float32)))
    layers.append(ArrowLayer(np.array([[20.0, 0.0]]), np.array([[20.0, 39.0]]), "border", np.ones(1, np.float32), head_px=0.0))
    legend = LegendKey((("region_1", "upper"), ("region_3", "lower")), "point", **key)
    keys = (legend, LegendKey((("border", "borders"),), "line"))
    return FigureSpec("", "", "", (Panel("frame 0", "", (40, 40), 0, 0, tuple(layers), 0),), keys=keys)


def test_arrows_of_marks_stand_in_the_legend_with_them():
    figure = screen.draw(regions())
    listed = [(trace.name, trace.mode) for trace in figure.data if trace.showlegend is not False]
    assert sorted(listed) == [("borders", "lines"), ("lower", "markers"), ("upper", "markers")]
    assert {trace.mode for trace in traces(figure, legendgroup="point region_1")} == {"lines", "markers"}


def test_marks_of_arms_have_the_dark_edge_of_their_role():
    star = next(trace for trace in traces(screen.draw(regions()), legendgroup="point region_3") if trace.marker.symbol == "hexagram")
    assert (star.marker.color, star.marker.line.color) == ("#ffffff", "#000000")


def test_plain_lines_are_dashed_and_have_no_heads():
    _, line, heads = traces(screen.draw(regions()), legendgroup="line border")
    assert line.line.dash == "5px,3px"
    assert heads.marker.size.tolist() == [0]
