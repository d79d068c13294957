from __future__ import annotations

from dataclasses import replace

from vizkit.render.text import fit, footnotes, printable, wrapped


def test_printable_keeps_scripts_and_replaces_what_xml_cannot_hold():
    assert printable("naïve 漢字 é") == "naïve 漢字 é"
    assert printable("a\tb\nc\u2028d") == "a b c d"
    assert printable("\x1b\udcff\ufffe") == "\ufffd" * 3


def test_fit_cuts_with_an_ellipsis_and_only_where_needed():
    assert fit("short", 5, len) == "short"
    assert fit("too long", 5, len) == "too…"
    assert fit("anything", 0, len) == "…"


def test_wrapped_lines_hold_all_words_within_the_width():
    text = "one two three four five six"
    lines = wrapped(text, 9, len)
    assert lines == ["one two", "three", "four five", "six"]
    assert wrapped("", 9, len) == []
    assert wrapped("unbreakable", 5, len) == ["unbr…"]


def test_footnotes_name_random_weights_only(strip):
    assert footnotes(strip)[-1] == "Random weights, not trained: cpnet-18 (dddddddd) on cups.mp4 (cccccccc)."
    assert footnotes(replace(strip, provenance=None)) == ("A note.",)
    assert footnotes(replace(strip, provenance=replace(strip.provenance, origin="published"))) == ("A note.",)
