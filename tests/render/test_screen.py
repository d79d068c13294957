from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vizkit.errors import SettingError
from vizkit.figure.place import lay_out
from vizkit.render import screen
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
