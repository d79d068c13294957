"""CorrNet's page: the grid of filters, the response of the channel that was clicked, and a way out for other models."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words
from vizkit.ui.filters import pick_channel
from vizkit.ui.player import Pick


def corrnet_page(**query: str) -> AppTest:
    return open_page("corrnet", **{"model": "tiny-filters", **query}).run()


def figures(page: AppTest) -> list[dict[str, Any]]:
    """The figures of the filters, the response and the directions."""
    assert not page.exception
    assert not page.error
    return [player["figure"] for player in components(page, "vizkit_player")]


def test_page_runs_alone_and_shows_filters_response_and_directions():
    page = corrnet_page()
    filters, response, directions = figures(page)

    assert {(panel["row"], panel["column"]) for panel in filters["panels"]} == {(t, c) for t in range(4) for c in range(8)}
    assert {layer["smooth"] for panel in filters["panels"] for layer in panel["layers"] if layer["kind"] == "heat"} == {False}
    assert [panel["frame"] for panel in response["panels"]] == [0, 1, 2, 3]
    assert "polygons" in {layer["kind"] for panel in directions["panels"] for layer in panel["layers"]}
    first, _, still = (player["options"] for player in components(page, "vizkit_player"))
    assert first["pickable"]
    assert still["layout"] == "still"
    assert "weights" in words(page)
    assert "motion goes against the arrow" in words(page)
    assert len(page.dataframe[0].value) == 4 * 8
    assert page.segmented_control(key="export-what").options == ["filters", "response", "directions"]


def test_a_clicked_filter_is_the_channel_of_the_response():
    page = corrnet_page(corrnet_channel="3")
    before = figures(page)[1]
    assert "channel 3" in before["title"]

    def click() -> None:
        import streamlit as st

        from vizkit.ui.filters import pick_channel
        from vizkit.ui.player import Pick

        pick_channel(Pick("filters", 2, 10.0, 10.0, "channel 5, frame 2"))
        st.write(st.session_state["corrnet_channel"])

    assert "5" in AppTest.from_function(click, default_timeout=60).run().markdown[0].value
    named = {panel["name"] for panel in figures(page)[0]["panels"]}
    assert "channel 5, frame 2" in named, "the name that a click reports"
    page.number_input(key="corrnet_channel").set_value(5).run()
    after = figures(page)[1]
    assert "channel 5" in after["title"]
    assert after["panels"][1]["layers"][1]["values"] != before["panels"][1]["layers"][1]["values"]
    assert [panel["title"].split("   ")[0] for panel in figures(page)[2]["panels"]] == ["all channels", "c = 5"]


def test_a_click_on_another_panel_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    kept: dict[str, int] = {}
    monkeypatch.setattr("vizkit.ui.filters.st.session_state", kept)
    pick_channel(Pick("frames", 0, 1.0, 1.0, "frame 3"))
    assert kept == {}


def test_controls_choose_block_order_and_part_of_the_grid():
    page = corrnet_page()
    first = figures(page)[0]
    page.segmented_control(key="corrnet_sort").set_value("activity").run()
    page.slider(key="corrnet_channels_shown").set_value(3).run()
    page.slider(key="corrnet_rows").set_value(2).run()
    page.slider(key="corrnet_first_row").set_value(1).run()
    grid = figures(page)[0]
    assert [panel["frame"] for panel in grid["panels"]] == [1, 1, 1, 2, 2, 2]
    page.segmented_control(key="corrnet_colors").set_value("diverging").run()
    assert figures(page)[0]["keys"][0]["colors"] == "diverging"
    page.segmented_control(key="corrnet_block").set_value("res3.1").run()
    assert figures(page)[0]["title"] != first["title"]


def test_response_beyond_a_flat_filter_is_another_picture():
    page = corrnet_page(corrnet_channel="1")
    passed = figures(page)[1]["panels"][1]["layers"][1]["values"]
    page.segmented_control(key="corrnet_response").set_value("learned").run()
    assert figures(page)[1]["panels"][1]["layers"][1]["values"] != passed


@pytest.mark.parametrize("query", [{"corrnet_block": "res9.9"}, {"corrnet_channel": "4000"}, {"block": "res3.1", "neighbors": "3"}])
def test_an_address_that_means_nothing_here_is_left_out(query: dict[str, str]):
    assert len(figures(corrnet_page(**query))) == 3


def test_a_model_without_such_blocks_is_told_and_one_with_them_offered():
    page = corrnet_page(model="tiny")
    assert "no correlation block" in page.info[0].value.replace("\\", "")
    offers = [button.label.replace("\\", "") for button in page.button if button.label.startswith("Use ")]
    assert offers == ["Use tiny-filters", "Use corrnet-26, untrained", "Use corrnet-50, untrained"]
    page.button(key="use-tiny-filters").click().run()
    assert page.selectbox(key="model").value == "tiny-filters"
    assert len(figures(page)) == 3


def test_flat_filters_are_said_to_be_flat():
    page = corrnet_page(model="corrnet-26", segments="32", short_side_px="16", crop_px="16")
    assert "All filters are flat" in words(page)
    assert "random weights, not trained" in words(page)
    filters = figures(page)[0]
    assert not [layer for panel in filters["panels"] for layer in panel["layers"] if layer["kind"] == "arrows"]
