from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from tests.ui.figures import polar
from vizkit.figure.spec import ColorBarKey, LegendKey, WheelKey
from vizkit.render.keys import Ruler, legend_place, measured_keys

RULER = Ruler(line=1.0, measure=lambda text: 0.5 * len(text))


@dataclass
class NotePen:
    """Notes what is drawn, with the left and right ends of it."""

    drawn: list = field(default_factory=list)

    def write(self, x, y, text, *, centred=False):
        left = x - RULER.measure(text) / 2 if centred else x
        self.drawn.append(("text", text, left, left + RULER.measure(text), y))

    def ramp(self, box, colors):
        self.drawn.append(("ramp", colors, box.left, box.right, box.top))

    def wheel(self, x, y, radius):
        self.drawn.append(("wheel", "", x - radius, x + radius, y))

    def arrow(self, start_x, end_x, y, head, role):
        self.drawn.append(("arrow", role, start_x, end_x, y))

    def mark(self, x, y, size, marker, role):
        self.drawn.append(("mark", f"{role} {marker}", x - size / 2, x + size / 2, y))


def drawn(spec, keys, width):
    lines = measured_keys(replace(spec, keys=keys), RULER, width)
    pen = NotePen()
    lines.draw(pen, width / 2, 0.0)
    return lines, pen.drawn


@pytest.mark.parametrize("width", [12.0, 20.0, 40.0, 100.0])
def test_nothing_is_drawn_outside_the_page_or_below_the_measured_height(strip, width):
    long = LegendKey((("active", "a very long text that cannot fit into any line"), ("filtered", "b")))
    lines, marks = drawn(strip, (*strip.keys, long), width)
    assert min(mark[2] for mark in marks) >= -0.01
    assert max(mark[3] for mark in marks) <= width + 0.01
    assert max(mark[4] for mark in marks) <= lines.height


def test_all_keys_of_a_wide_page_stand_in_one_line(strip):
    lines, _ = drawn(strip, strip.keys, 200.0)
    assert len(lines.lines) == 1
    assert lines.height == max(key.height for key in lines.lines[0])


def test_a_legend_that_fits_into_a_line_is_not_torn_apart(strip):
    bar = ColorBarKey("values", (0.0, 1.0), "gray")
    legend = LegendKey((("active", "one"), ("filtered", "two"), ("truth", "three")))
    lines, _ = drawn(strip, (bar, legend), 20.0)
    assert [len(line) for line in lines.lines] == [1, 3]


def test_a_colour_bar_says_its_limits_rule_and_colours(strip):
    _, marks = drawn(strip, (ColorBarKey("change", (-0.5, 1234.5), "diverging", "shared"),), 60.0)
    assert [mark[:2] for mark in marks] == [("text", "change (shared)"), ("text", "-0.5"), ("ramp", "diverging"), ("text", "1.23e+03")]


def test_a_wheel_says_its_directions_and_its_scale(strip):
    _, marks = drawn(strip, (WheelKey("motion", 16.0),), 60.0)
    texts = {mark[1]: mark for mark in marks if mark[0] == "text"}
    assert {"right", "left", "up", "down", "motion", "full colour = 16 px/frame"} == set(texts)
    wheel = next(mark for mark in marks if mark[0] == "wheel")
    assert texts["left"][3] <= wheel[2] < wheel[3] <= texts["right"][2] < texts["right"][3] < texts["motion"][2]
    assert texts["up"][4] < wheel[4] < texts["down"][4]


def test_several_wheels_share_one_disc_and_say_each_scale(strip):
    keys = (WheelKey("res2", 8.0), ColorBarKey("values", (0.0, 1.0), "gray"), WheelKey("res3", 16.0), WheelKey("res3", 16.0))
    lines, marks = drawn(strip, keys, 60.0)
    assert [mark[0] for mark in marks].count("wheel") == 1
    scales = [mark for mark in marks if mark[0] == "text" and "full colour" in mark[1]]
    assert [mark[1] for mark in scales] == ["res2: full colour = 8 px/frame"] + 2 * ["res3: full colour = 16 px/frame"]
    assert scales[0][4] < scales[1][4] < scales[2][4]
    assert len({mark[2] for mark in scales}) == 1
    assert max(mark[4] for mark in marks) <= lines.height


def test_point_legends_show_the_mark_of_the_figure(strip, plain):
    _, marks = drawn(plain, (LegendKey((("truth", "true"), ("region", "none here")), "point"),), 60.0)
    assert [mark[1] for mark in marks if mark[0] == "mark"] == ["truth cross", "region circle"]


def test_outlines_have_a_square_in_the_legend():
    _, marks = drawn(polar(), (LegendKey((("region", "share"),), "point"),), 60.0)
    assert [mark[1] for mark in marks if mark[0] == "mark"] == ["region square"]


def test_a_figure_without_keys_has_no_height(strip):
    lines, marks = drawn(strip, (), 60.0)
    assert lines.height == 0
    assert marks == []


def test_a_legend_can_show_several_marks_of_one_role_and_plain_lines(plain):
    marks_of = LegendKey((("region_1", "upper"), ("region_1", "lower")), "point", ("cross", "plus"))
    _, marks = drawn(plain, (marks_of, LegendKey((("border", "borders"),), "line")), 60.0)
    assert [mark[1] for mark in marks if mark[0] == "mark"] == ["region_1 cross", "region_1 plus"]
    assert [mark[1] for mark in marks if mark[0] == "arrow"] == ["border"]


def test_legends_are_found_by_kind_role_and_shape(plain):
    points = LegendKey((("region_1", "upper"), ("region_1", "lower")), "point", ("cross", "plus"))
    spec = replace(plain, keys=(points, LegendKey((("border", "borders"),), "line")))
    assert legend_place(spec, "point", "region_1", "plus") == (1, "lower")
    assert legend_place(spec, "point", "region_1", "star") is None
    assert legend_place(spec, "point", "region_1") == (0, "upper")
    assert legend_place(spec, "arrow", "border") is None
    assert legend_place(spec, "line", "border") == (0, "borders")


def test_a_legend_has_a_shape_for_every_entry_or_for_none():
    with pytest.raises(ValueError, match="expected 2 shapes, got 1"):
        LegendKey((("region_1", "upper"), ("region_2", "lower")), "point", ("cross",))
