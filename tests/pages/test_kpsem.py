"""KPSEM's page: key points and their controls, separation centres, Grad-CAM beside that of a baseline."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words


def kpsem_page(**query: str) -> AppTest:
    return open_page("kpsem", **{"model": "tiny-points", "attention_baseline": "tiny-fields", **query}).run()


def figures(page: AppTest) -> list[dict[str, Any]]:
    """The figures of the players, from the top."""
    assert not page.exception
    assert not page.error, [e.value for e in page.error]
    return [player["figure"] for player in components(page, "vizkit_player")]


def marks(figure: dict[str, Any], panel: int = 0) -> list[dict[str, Any]]:
    return [layer for layer in figure["panels"][panel]["layers"] if layer["kind"] == "points"]


def limits(figure: dict[str, Any]) -> list[Any]:
    return next(layer["limits"] for panel in figure["panels"] for layer in panel["layers"] if layer["kind"] == "heat")


def test_page_runs_alone_and_shows_points_centres_and_two_rows_of_maps():
    page = kpsem_page()
    points, centres, baseline, model = figures(page)

    assert [panel["frame"] for panel in points["panels"]] == [0, 2], "one for each step of the features"
    assert [layer["marker"] for layer in marks(points)] == ["cross", "plus", "star", "fork"]
    assert [len(layer["xy"]) for layer in marks(points)] == 4 * [2 * 3]
    assert [layer["name"] for layer in marks(centres)] == ["other sets", "set 0"]
    assert [panel["frame"] for panel in baseline["panels"]] == [panel["frame"] for panel in model["panels"]] == [0, 1, 2, 3]
    assert "tiny-fields" in words(page)
    assert page.segmented_control(key="export-what").options[:2] == ["key points", "centres"]
    assert len(page.dataframe[0].value) == 3 * 4 * 2


def test_both_rows_of_maps_have_one_scale():
    page = kpsem_page()
    _, _, baseline, model = figures(page)
    assert limits(baseline) == limits(model)
    assert limits(model)[1] > 0
    assert baseline["sprite"] == model["sprite"], "the same frames"
    page.toggle(key="attention_locked").set_value(False).run()
    _, _, baseline, model = figures(page)
    assert limits(baseline) != limits(model)
    assert "each has a scale of its own" in words(page)


def test_controls_change_what_is_drawn():
    page = kpsem_page()
    first = figures(page)[0]
    page.slider(key="kpsem_set_shown").set_value(1).run()
    other = figures(page)[0]
    assert marks(other) != marks(first)
    page.multiselect(key="kpsem_channels").set_value([5, 2]).run()
    page.segmented_control(key="kpsem_layout").set_value("channels").run()
    rows = figures(page)[0]["panels"]
    assert [panel["rowTitle"] for panel in rows] == ["c = 5", "", "c = 2", ""]
    page.toggle(key="kpsem_borders").set_value(False).run()
    page.segmented_control(key="kpsem_arrows").set_value("none").run()
    kinds = {layer["kind"] for panel in figures(page)[0]["panels"] for layer in panel["layers"]}
    assert kinds == {"image", "points"}


def test_a_stage_is_split_into_equal_regions_and_has_no_centres_of_its_own():
    page = kpsem_page(kpsem_block="res3")
    page.segmented_control(key="kpsem_regions").set_value(9).run()
    points, *maps = figures(page)
    assert len(marks(points)) == 9
    assert len(maps) == 2
    assert "no KPSEM module is at work" in words(page)


def test_label_and_stage_of_the_maps_can_be_chosen():
    page = kpsem_page()
    before = figures(page)[3]
    page.selectbox(key="attention_target").set_value("moving up").run()
    page.segmented_control(key="attention_stage").set_value("res4").run()
    after = figures(page)[3]
    assert "moving up" in after["title"]
    assert "res4" in after["title"]
    assert before["digest"] != after["digest"]


@pytest.mark.parametrize("other", ["tiny", "tiny-filters"])
def test_a_model_without_kpsem_has_the_page_too(other: str):
    points, *_ = figures(kpsem_page(model=other))
    assert len(marks(points)) == 4


def test_tracks_layers_and_methods_are_shown_when_asked_for():
    page = kpsem_page()
    assert len(figures(page)) == 4
    before = len(page.dataframe)
    page.toggle(key="tracks").set_value(True).run()
    ways = figures(page)[1]
    assert {panel["name"].split()[0] for panel in ways["panels"]} == {"channel"}
    assert len(ways["panels"]) == 3
    page.segmented_control(key="kpsem_follow").set_value("match").run()
    assert figures(page)[1]["panels"] != ways["panels"]
    assert "most similar value" in words(page)
    page.toggle(key="attention_layers").set_value(True).run()
    page.toggle(key="attention_methods").set_value(True).run()
    figures(page)
    assert len(page.dataframe) >= before + 2
    layers, methods = page.dataframe[0].value, page.dataframe[1].value
    assert "stage res3" in set(layers["place"])
    assert set(methods.columns) == {"method", "available", "reason", "source"}
    assert methods.set_index("method").loc["gradcam", "available"]
    assert "picture" in methods.set_index("method").loc["ablationcam", "reason"]
