"""All modules at one point: five pictures, one click, one model where it can."""

from __future__ import annotations

import pytest

from tests.pages.parts import components, open_page, words
from vizkit.catalog import MODULES


@pytest.fixture(scope="module")
def keys() -> list[str]:
    return [entry.key for entry in MODULES]


def figures(page) -> list[dict]:
    return [found for found in components(page, "vizkit_player") if found["figure"]["panels"]]


def test_every_module_has_its_picture_without_a_click(keys):
    page = open_page("together").run()
    assert not page.exception
    assert not page.error
    assert len(figures(page)) == 1 + len(keys), "the frames, and one picture each"
    assert "Nothing is picked yet" in words(page)
    for entry in MODULES:
        assert entry.title in words(page)
    assert "no correlation block" in words(page), "another model stands in, with the reason"


def test_a_point_reaches_every_view_that_takes_points():
    page = open_page("together", p="3,56,40").run()
    assert not page.exception
    assert "frame t = 3, x = 56, y = 40" in words(page)
    queries = [layer for found in figures(page) for layer in found["figure"]["links"] if layer["weight"]]
    assert queries
    patches = next(found for found in figures(page) if "correlations" in found["figure"]["title"].lower())
    assert patches["figure"]["panels"]


def test_the_values_at_the_point_stand_in_one_table():
    page = open_page("together", p="3,56,40").run()
    (table,) = (frame.value for frame in page.dataframe if list(frame.value.columns) == ["module", "panel", "layer", "value"])
    assert {entry.title for entry in MODULES} == set(table["module"])
    assert set(table["panel"]) & {"frame 3"}
    assert "The values at this point" not in words(open_page("together").run())


def test_model_of_the_sidebar_is_used_where_it_can():
    page = open_page("together", model="corrnet-18").run()
    assert not page.exception
    assert "no correlation block" not in words(page)
