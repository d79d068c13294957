"""Words in print, alone: what holds them to letters without the settings of :mod:`vizkit.render.paper`."""

from __future__ import annotations

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vizkit.render.ink import text_width, write


def test_words_are_letters_wherever_mathematics_is_the_rule():
    odd = r"$\nosuch{$ and $a_b$"
    figure = Figure()
    with matplotlib.rc_context({"text.parse_math": True}):
        write(figure.add_subplot(), 0.5, 0.5, odd, 8, "black")
        FigureCanvasAgg(figure).draw()
    assert [entry.get_text() for entry in figure.axes[0].texts] == [odd]


def test_words_are_measured_as_letters():
    assert text_width("$aa$") > text_width("aa$") > text_width("aa")
