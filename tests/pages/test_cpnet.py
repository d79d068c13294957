"""CPNet's page: clicked cells, undo, the controls, and what is written around the picture."""

from __future__ import annotations

from typing import Any

import pytest
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
    assert len(page.dataframe[-1].value) == 2 * 4


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


# ------------------------------------------------------------------------------------------------ who won


def winners(page: AppTest) -> Any:
    """The table of who won: the first one of the page."""
    return page.dataframe[0].value


def test_who_won_is_a_table_of_one_query():
    page = cpnet_page(p="1,20,30;2,40.5,12")
    table = winners(page)
    assert len(table) == 4
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert abs(table["change_share"].sum() - 1) < 1e-5
    every = page.dataframe[1].value
    last = every[every["query"] == 1]
    assert table["channels_won"].tolist() == last["channels_won"].tolist(), "the cell picked last"
    page.segmented_control(key="winners_query").set_value(0).run()
    assert winners(page)["channels_won"].tolist() == every[every["query"] == 0]["channels_won"].tolist()
    assert "probability_change" not in table


def test_leaving_proposals_out_is_asked_for_kept_and_never_run_by_the_way(monkeypatch: pytest.MonkeyPatch):
    from vizkit.net import rest
    from vizkit.ui import compute

    passes: list[int] = []
    own = rest._pass
    monkeypatch.setattr(rest, "_pass", lambda run, block, outputs, start: passes.append(len(outputs)) or own(run, block, outputs, start))
    monkeypatch.setattr(compute, "RESULTS", compute.Results())
    monkeypatch.setattr(compute, "pass_seconds", lambda _name, _frames, passes=1: 100.0 * passes)
    page = cpnet_page(p="1,20,30;2,40,12")
    assert not passes
    assert " min; the result is kept." in words(page), "how long, before it is asked for"
    assert "passes of the network, from the stage before the block on" in words(page)
    page.button(key="leave_out").click().run()
    assert not page.exception
    assert len(passes) == 1
    table = winners(page)
    assert {"label_without", "probability_without", "probability_change"} <= set(table.columns)
    assert "Each proposal left out in turn moves" in words(page)
    assert not [button for button in page.button if button.key == "leave_out"], "it is there already"
    page.segmented_control(key="winners_query").set_value(0).run()
    assert "probability_change" not in winners(page)
    page.segmented_control(key="winners_query").set_value(1).run()
    assert winners(page)["probability_change"].tolist() == table["probability_change"].tolist()
    page.toggle(key="heat").set_value(False).run()
    assert len(passes) == 1


def test_every_block_is_shown_before_and_after():
    page = cpnet_page(p="1,20,30")
    assert len(components(page, "vizkit_player")) == 1
    page.toggle(key="blocks").set_value(True).run()
    names = {panel["name"] for panel in components(page, "vizkit_player")[1]["figure"]["panels"]}
    assert {"frame 0", "res3.1 before 0", "res3.1 after 0", "res3.1 change 0", "res4.0 change 3"} <= names


def test_without_a_module_nobody_wins():
    page = cpnet_page(block="res3", p="1,20,30")
    assert "Who won" not in words(page)
    page.toggle(key="blocks").set_value(True).run()
    assert "Features of tiny" in words(page), "its modules are at work all the same"
