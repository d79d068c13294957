"""CPNet's page: clicked cells, undo, the controls, and what is written around the picture."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.pages.parts import arrows, components, open_page, words


def cpnet_page(**query: str) -> AppTest:
    return open_page("cpnet", **query).run()


def test_page_runs_alone_and_shows_the_cells_of_largest_change():
    page = cpnet_page()

    assert not page.exception
    (player,) = components(page, "vizkit_player")
    assert arrows(player) == 3 * 4
    assert player["options"]["pickable"]
    assert {layer["role"] for layer in player["figure"]["links"]} <= {"active", "filtered"}
    assert "weights" in words(page)


def test_points_of_a_link_are_the_queries():
    page = cpnet_page(p="1,20,30;2,40.5,12")
    (player,) = components(page, "vizkit_player")

    assert arrows(player) == 2 * 4
    starts = {panel for layer in player["figure"]["links"] for panel in layer["from"]}
    assert starts == {1, 2}
    assert len(page.dataframe[0].value) == 2 * 4


def test_undo_and_clear_take_points_back():
    page = cpnet_page(p="1,20,30;2,40,12")
    page.button(key="undo").click().run()
    assert page.session_state["points"] == [(1, 20.0, 30.0)]
    assert arrows(components(page, "vizkit_player")[0]) == 4
    page.button(key="clear").click().run()
    assert page.session_state["points"] == []


def test_controls_change_the_picture_and_not_the_weights():
    page = cpnet_page(p="1,20,30")
    page.number_input(key="neighbors").set_value(7).run()
    assert arrows(components(page, "vizkit_player")[0]) == 7
    page.selectbox(key="block").set_value("res3").run()
    (player,) = components(page, "vizkit_player")
    assert {layer["role"] for layer in player["figure"]["links"]} == {"proposal"}
    assert "without a CP module" in words(page)


def test_heat_map_can_be_switched_off():
    page = cpnet_page()
    kinds = {layer["kind"] for layer in components(page, "vizkit_player")[0]["figure"]["panels"][0]["layers"]}
    assert "heat" in kinds
    page.toggle(key="heat").set_value(False).run()
    kinds = {layer["kind"] for panel in components(page, "vizkit_player")[0]["figure"]["panels"] for layer in panel["layers"]}
    assert "heat" not in kinds


def test_impossible_setting_is_one_sentence_and_the_picture_stays():
    page = cpnet_page(p="1,20,30")
    page.session_state["points"] = [(1, 20.0, 3000.0)]
    page.run()

    assert not page.exception
    assert len(page.error) == 1
    assert "lies outside the clip" in words(page)
    (player,) = components(page, "vizkit_player")
    assert not player["options"]["busy"]
    assert arrows(player) == 4, "the last good picture"


def test_random_weights_are_said_to_be_random():
    page = cpnet_page(model="cpnet-18-1cp", short_side_px="64", crop_px="64")
    assert not page.exception
    assert "random weights, not trained" in words(page)
    assert "Identity module" in words(page)


def test_strip_of_shapes_is_this_run_s():
    page = cpnet_page()
    strip = "".join(found.proto.body for found in page.get("html"))
    assert "4 x 64 x 64" in strip
    assert "16 x 4 x 16 x 16" in strip
