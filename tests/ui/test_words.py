"""Other people's text on the pages."""

from __future__ import annotations

import numpy as np
import pytest

from vizkit.contracts import VideoClip
from vizkit.ui.words import clip_line, field_words, plain


@pytest.mark.parametrize(
    "text", ["![x](http://evil.example/x.png)", "**bold**", "<script>alert(1)</script>", "$x^2$", ":red[x]", "`code`", "# title"]
)
def test_markup_is_escaped(text: str):
    escaped = plain(text)
    assert escaped.replace("\\", "") == text
    markup = set("![]()*<>$:`#^_/")
    assert all(escaped[place - 1] == "\\" for place, letter in enumerate(escaped) if letter in markup)


def test_line_breaks_cannot_start_a_block():
    assert plain("one\n\n# two\tthree") == "one \\# two three"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short_side_px", "Short side (px)"),
        ("start_s", "Start (s)"),
        ("neighbors", "Neighbors"),
        ("frames_per_segment", "Frames per segment"),
    ],
)
def test_field_words(name: str, words: str):
    assert field_words(name) == words


def test_clip_line_of_a_single_frame():
    still = np.zeros((1, 8, 10, 3), np.uint8)
    clip = VideoClip("a", "0123456789", (10, 8), np.zeros(1), still, np.zeros(1, np.int64), lambda index: still[index])
    assert clip_line(clip) == "1 frame · 10 × 8 px · array · 01234567"
