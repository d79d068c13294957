from __future__ import annotations

from dataclasses import replace

from vizkit.figure.spec import Panel
from vizkit.render.text import fit, fitted_titles, footnotes, printable, row_titles_width, wrapped


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


def row(*titles, number=0):
    return [Panel(f"{number} {title}", title, (8, 8), number, column, ()) for column, title in enumerate(titles)]


def test_titles_that_fit_stay_as_they_are():
    assert fitted_titles(row("c = 9", "c = 10"), [6, 6], len) == ["c = 9", "c = 10"]


def test_a_row_drops_what_its_titles_share_before_one_is_cut():
    assert fitted_titles(row("c = 9", "c = 10", "c = 11"), [5, 5, 5], len) == ["9", "10", "11"]
    assert fitted_titles(row("c = 10", "c = 11"), [5, 5], len) == ["10", "11"], "numbers stay whole"
    both = row("c = 9", "c = 10") + row("t = 3   long", number=1)
    assert fitted_titles(both, [5, 5, 5], len) == ["9", "10", "t =…"], "every row by itself"


def test_titles_are_cut_where_dropping_does_not_help():
    assert fitted_titles(row("t = 0   frame 7", "t = 1   frame 8"), [9, 9], len) == ["t = 0…", "t = 1…"]
    assert fitted_titles(row("same", "same"), [3, 3], len) == ["sa…", "sa…"]


def test_rows_without_titles_need_no_room():
    panels = row("a", "b")
    assert row_titles_width(panels, len, 2) == 0
    assert row_titles_width([*panels, Panel("p", "", (8, 8), 1, 0, (), row_title="t = 10")], len, 2) == 8
