"""What every page has around its picture: Grad-CAM over the frames, the list of layers, points and sets of points."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words
from vizkit.ui.points import MOST_SETS, PointSet

PAGES = {"clip": "tiny", "cpnet": "tiny", "corrnet": "tiny-filters", "dcf": "tiny-fields", "pwtp": "tiny", "kpsem": "tiny-points"}
"""Page -> a network that has its view."""


def players(page: AppTest) -> list[dict[str, Any]]:
    assert not page.exception
    assert not page.error
    return components(page, "vizkit_player")


def maps(player: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of the class map, by panel."""
    return [layer for panel in player["figure"]["panels"] for layer in panel["layers"] if layer["name"].startswith("Grad-CAM:")]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with each forward pass; what was kept from other tests is forgotten."""
    from vizkit.net import probe
    from vizkit.ui import compute

    counted: list[str] = []
    forward = probe._forward

    def count(network: Any, *rest: Any) -> Any:
        counted.append(network.name)
        return forward(network, *rest)

    monkeypatch.setattr(probe, "_forward", count)
    monkeypatch.setattr(compute, "RESULTS", compute.Results())
    return counted


# ------------------------------------------------------------------------------------------------ Grad-CAM


@pytest.mark.parametrize("name", PAGES)
def test_a_switch_lays_grad_cam_over_the_frames_of_every_page(name: str):
    page = open_page(name, model=PAGES[name]).run()
    assert not any(maps(player) for player in players(page))
    page.toggle(key="cam").set_value(True).run()
    laid = [maps(player) for player in players(page)]
    steps = 2 if name == "kpsem" else 4
    assert any(len(found) == steps for found in laid), "a map for each frame that is shown"
    assert {tuple(layer["limits"]) for found in laid for layer in found} == {(0, 1)}
    bars = [key for player in players(page) for key in player["figure"]["keys"] if key.get("layer", "").startswith("Grad-CAM:")]
    assert bars
    assert "1 = largest value in the clip" in bars[0]["note"]
    if name != "clip":
        assert "Over the frames: Grad-CAM (Selvaraju et al." in words(page)
        assert "value_max" in page.dataframe[-1].value
    page.toggle(key="cam").set_value(False).run()
    assert not any(maps(player) for player in players(page))


def test_the_label_can_be_chosen_and_a_link_opens_it():
    page = open_page("cpnet", cam="true", cam_target="moving left").run()
    (player,) = players(page)
    assert {layer["name"] for layer in maps(player)} == {"Grad-CAM: moving left"}
    assert "for the label 'moving left'" in words(page)
    box = page.selectbox(key="cam_target")
    assert box.options[0] == "predicted"
    box.set_value("moving right").run()
    assert {layer["name"] for layer in maps(players(page)[0])} == {"Grad-CAM: moving right"}
    change = next(layer for layer in players(page)[0]["figure"]["panels"][0]["layers"] if layer["name"] == "feature change")
    assert change["shown"] is False, "two maps do not mix their colours"


def test_a_label_of_another_model_is_forgotten():
    page = open_page("cpnet", cam="true", cam_target="no such label").run()
    assert maps(players(page)[0])
    assert page.selectbox(key="cam_target").value == "predicted"


def test_a_network_without_a_map_says_why(monkeypatch: pytest.MonkeyPatch):
    from vizkit.motion.gradcam import analysis

    monkeypatch.setattr(analysis, "unavailable", lambda network: f"{network.name} publishes no stages.")
    page = open_page("cpnet", cam="true").run()
    assert page.toggle(key="cam").disabled
    assert "tiny publishes no stages." in words(page)
    assert not maps(players(page)[0])


def test_a_map_that_fails_is_a_sentence_and_the_picture_stays(monkeypatch: pytest.MonkeyPatch):
    from vizkit.errors import NotAvailableError
    from vizkit.motion.gradcam import analysis
    from vizkit.ui import compute

    def fail(*_: Any) -> None:
        raise NotAvailableError("It does not repeat itself.")

    monkeypatch.setattr(analysis, "analyze", fail)
    monkeypatch.setattr(compute, "RESULTS", compute.Results())
    page = open_page("cpnet", cam="true").run()
    (player,) = players(page)
    assert player["figure"]["links"]
    assert not maps(player)
    assert "It does not repeat itself." in words(page)
    assert page.get("download_button"), "the page goes on"


def test_ten_layers_and_two_labels_cost_one_forward_pass(forwards: list[str]):
    from vizkit.ui import layer_looks

    page = open_page("cpnet", cam="true").run()
    assert maps(players(page)[0])
    page.selectbox(key="cam_target").set_value("moving left").run()
    for step in range(10):
        name = ("frame", "feature change", "queries", "Grad-CAM: moving left")[step % 4]
        page.session_state["cpnet:layers"] = {name: layer_looks.LayerLook(visible=bool(step % 2))}
        page.run()
        assert maps(players(page)[0])
    assert forwards == ["tiny"]


# ------------------------------------------------------------------------------------------------ layers


def test_what_is_set_in_the_list_is_exported_and_said(monkeypatch: pytest.MonkeyPatch):
    from vizkit.ui import export

    exported: list[Any] = []
    monkeypatch.setattr(export, "partial", lambda _encode, spec, *_: exported.append(spec) or (lambda: b""))
    page = open_page("cpnet").run()
    assert "Exports draw" not in words(page)
    from vizkit.figure.layers import LayerLook

    page.session_state["cpnet:layers"] = {"feature change": LayerLook(colors="cividis", opacity=0.3), "frame": LayerLook(visible=False)}
    exported.clear()
    page.run()
    spec = exported[0]
    assert {layer.name for layer in spec.panels[0].layers} == {"feature change"} | {layer.name for layer in spec.panels[0].layers[1:]}
    assert spec.panels[0].layers[0].colors == "cividis"
    assert spec.recipe["layers"] == {"feature change": {"opacity": 0.3, "colors": "cividis"}, "frame": {"visible": False}}
    said = "feature change 30% opaque, cividis; frame hidden"
    assert f"Exports draw the layers of “correspondences” as set in its list: {said}." in words(page)
    assert f"Layers: {said}." in words(page), "the caption too"
    (player,) = players(page)
    assert player["options"]["layers"] == {"feature change": {"opacity": 0.3, "colors": "cividis"}, "frame": {"visible": False}}
    assert player["figure"]["panels"][0]["layers"][0]["kind"] == "image", "the player has all layers and hides them itself"


def test_what_is_no_look_is_left_out():
    def script() -> None:
        import streamlit as st

        from vizkit.ui import layer_looks

        chosen = {"a": {"visible": False}, "b": {"colors": "jet"}, "c": "x", "d": {"limits": [1, 0]}, "e": {"opacity": 0.5, "size": 1}}
        layer_looks.keep("p", chosen)
        st.json(layer_looks.for_browser("p"))
        layer_looks.keep("p", {str(number): {"visible": False} for number in range(1000)})
        st.text(len(layer_looks.kept("p")))

    page = AppTest.from_function(script).run()
    assert not page.exception
    assert page.json[0].value == '{"a": {"visible": false}}'
    assert page.text[0].value == "200"


# ------------------------------------------------------------------------------------------------ the cursor


def test_players_know_the_source_and_what_a_cell_looks_at():
    figure = players(open_page("dcf", model="tiny-fields").run())[0]["figure"]
    source = figure["source"]
    assert (source["size"], len(source["index"])) == ([64, 64], 4)
    assert source["scale"] == [112 / 64] * 2 or len(source["scale"]) == 2
    sizes = {place: field["last"][0] - field["first"][0] + 1 for place, field in figure["fields"].items()}
    assert list(sizes) == ["res2", "res3", "res4"]
    assert sizes["res2"] < sizes["res3"] < sizes["res4"]
    cells = players(open_page("cpnet").run())[0]["figure"]
    assert set(cells["fields"]) == {cells["grid"]["place"]}


# ------------------------------------------------------------------------------------------------ points


@pytest.mark.parametrize(("name", "which"), [("cpnet", 0), ("dcf", 0), ("pwtp", 0), ("kpsem", 0), ("corrnet", 1)])
def test_points_are_shown_and_picked_on_every_page(name: str, which: int):
    page = open_page(name, model=PAGES[name], p="1,20,30;2,40.5,12").run()
    player = players(page)[which]
    assert player["options"]["points"] == [[1, 20.0, 30.0], [2, 40.5, 12.0]]
    assert player["options"]["pickable"]
    page.button(key="undo").click().run()
    assert players(page)[which]["options"]["points"] == [[1, 20.0, 30.0]]


def test_a_set_is_saved_under_a_name_and_applied_to_another_clip():
    page = open_page("cpnet", p="1,20,30;3,40.5,12").run()
    page.text_input(key="point_set_name").set_value("both *hands*").run()
    page.button(key="point_set_save").click().run()
    assert page.text_input(key="point_set_name").value == ""
    page.selectbox(key="clip").set_value(page.selectbox(key="clip").options[1]).run()
    assert page.session_state["points"] == []
    button = page.button(key="point_set_apply_0")
    assert button.label.replace("\\", "") == "both *hands* · 2 points"
    assert button.label.startswith("both \\*")
    button.click().run()
    assert page.session_state["points"] == [(1, 20.0, 30.0), (3, 40.5, 12.0)]
    assert page.query_params["p"] in ("1,20,30;3,40.5,12", ["1,20,30;3,40.5,12"])
    page.button(key="point_set_delete_0").click().run()
    assert page.session_state["point_sets"] == {}
    assert page.session_state["points"], "the points that are shown stay"


def test_points_beyond_the_last_frame_are_left_out_and_that_is_said():
    page = open_page("cpnet", p="1,20,30;3,40.5,12").run()
    page.button(key="point_set_save").click().run()
    assert list(page.session_state["point_sets"]) == ["set 1"]
    page.slider(key="segments").set_value(2).run()
    page.session_state["points"] = []
    page.run()
    page.button(key="point_set_apply_0").click().run()
    assert page.session_state["points"] == [(1, 20.0, 30.0)]
    assert "1 of 2 points lie beyond the last frame (t = 1) and were left out." in words(page)
    page.button(key="undo").click().run()
    assert "were left out" not in words(page), "said of these points alone"


def test_no_more_sets_than_are_kept():
    page = open_page("cpnet", p="1,20,30").run()
    page.session_state["point_sets"] = {f"n{number}": PointSet(((0, 1.0, 1.0),), (64, 64)) for number in range(MOST_SETS)}
    page.run()
    assert page.button(key="point_set_save").disabled
    page.text_input(key="point_set_name").set_value("n3").run()
    assert not page.button(key="point_set_save").disabled, "the same name again"
