"""DCF's page: the pyramid, its controls, and the correlations behind a clicked cell."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words
from vizkit.ui.pyramids import MOST_CELLS, SCENE_OR_NETWORK


def dcf_page(**query: str) -> AppTest:
    return open_page("dcf", **query).run()


def figures(page: AppTest) -> list[dict[str, Any]]:
    """The figures of the pyramid and of the correlations."""
    assert not page.exception
    assert not page.error
    return [player["figure"] for player in components(page, "vizkit_player")]


def layers(figure: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [layer for panel in figure["panels"] for layer in panel["layers"] if layer["kind"] == kind]


def test_page_runs_alone_with_any_network_and_says_what_it_shows():
    page = dcf_page()
    pyramid, behind = figures(page)

    places = {(panel["row"], panel["column"]): (panel["frame"], panel["view"]) for panel in pyramid["panels"]}
    assert places == {(t, column): (t, view) for t in range(4) for column, view in enumerate(("frames", "res2", "res3", "res4"))}
    assert len(layers(pyramid, "motion")) == 3 * 3, "the last frame has no later one"
    assert layers(behind, "heat")
    assert components(page, "vizkit_player")[0]["options"]["pickable"]
    said = words(page)
    assert SCENE_OR_NETWORK in said
    assert "Nothing is picked" in said
    assert "No DCF block" in said
    assert len(page.dataframe[0].value) == 3 * 4 * 4
    assert page.segmented_control(key="dcf_source").options == ["cosine"]


def test_picked_cells_are_marked_and_their_correlations_shown_the_newest_first():
    pyramid, behind = figures(page := dcf_page(p="1,20,30;2,40.5,12"))

    assert [layer["xy"] for layer in layers(pyramid, "points")] == [[20.0, 30.0], [40.5, 12.0]]
    frames = [panel["frame"] for panel in behind["panels"] if panel["view"] == "frames"]
    assert frames == [2] * 3 + [1] * 3
    assert "2 cells picked last" in words(page)
    page.button(key="undo").click().run()
    assert page.session_state["points"] == [(1, 20.0, 30.0)]
    assert [panel["frame"] for panel in figures(page)[1]["panels"] if panel["view"] == "frames"] == [1] * 3
    page.button(key="clear").click().run()
    assert not layers(figures(page)[0], "points")


def test_more_cells_than_are_shown_are_no_error():
    page = dcf_page(p=";".join(f"1,{x},30" for x in range(4, 60, 4)))
    assert sum(len(layer["xy"]) // 2 for layer in layers(figures(page)[0], "points")) == MOST_CELLS


def test_controls_change_what_is_computed_and_how_it_is_drawn():
    page = dcf_page(model="tiny-fields")
    before = figures(page)[0]
    page.segmented_control(key="dcf_source").set_value("model").run()
    model = figures(page)[0]
    assert layers(model, "motion")[0]["dx"] != layers(before, "motion")[0]["dx"]
    assert "No DCF block" not in words(page)

    page.segmented_control(key="dcf_offset").set_value(-1).run()
    assert [panel["view"] for panel in figures(page)[0]["panels"] if panel["frame"] == 0 and any(
        layer["kind"] == "motion" for layer in panel["layers"])] == [], "the first frame has no earlier one"  # fmt: skip
    page.segmented_control(key="dcf_backdrop").set_value("frame").run()
    page.toggle(key="dcf_cells").set_value(True).run()
    shown = layers(figures(page)[0], "motion")
    assert {layer["backdrop"] for layer in shown} == {"picture"}
    assert {layer["smooth"] for layer in shown} == {False}
    page.segmented_control(key="dcf_layout").set_value("common").run()
    assert len({layer["stride"] for layer in layers(figures(page)[0], "motion")}) == 1


def test_stages_are_chosen_in_the_network_s_order():
    page = dcf_page()
    page.pills(key="dcf_stages").set_value(["res4", "res2"]).run()
    assert list(dict.fromkeys(panel["view"] for panel in figures(page)[0]["panels"])) == ["frames", "res2", "res4"]
    page.pills(key="dcf_stages").set_value([]).run()
    assert "res3" in {panel["view"] for panel in figures(page)[0]["panels"]}, "none is the network's own choice"


@pytest.mark.parametrize("query", [{"dcf_source": "model"}, {"dcf_offset": "7"}, {"dcf_stages": "res9"}, {"block": "res3.1", "heat": "x"}])
def test_an_address_that_means_nothing_here_is_left_out(query: dict[str, str]):
    assert len(figures(dcf_page(**query))) == 2


def test_what_another_model_does_not_have_is_forgotten():
    page = dcf_page(model="tiny-fields")
    page.segmented_control(key="dcf_source").set_value("model").run()
    page.selectbox(key="model").set_value("tiny").run()
    assert len(figures(page)) == 2
    assert page.segmented_control(key="dcf_source").value == "cosine"


def test_frames_that_lie_far_apart_are_said_and_mended():
    page = dcf_page()
    assert "apart: most motion" not in words(page), "a built-in clip is short"
    page.session_state["window"] = (0.0, 1.0)
    slow = dcf_page(segments="2")
    assert "0.5 s apart" in words(slow)
    next(button for button in slow.button if button.label == "Sample neighbouring frames").click().run()
    assert "apart: most motion" not in words(slow)
    assert slow.segmented_control(key="scheme").value == "dense"
    figures(slow)


def test_a_point_outside_is_one_sentence_and_the_picture_stays():
    page = dcf_page(p="1,20,30")
    page.session_state["points"] = [(1, 20.0, 3000.0)]
    page.run()
    assert not page.exception
    assert len(page.error) == 1
    assert components(page, "vizkit_player")[0]["figure"]["panels"]


def test_both_pictures_can_be_exported():
    page = dcf_page()
    assert page.segmented_control(key="export-what").options == ["pyramid", "correlations"]
    labels = [found.proto.label for found in page.get("download_button")]
    assert labels == ["PDF", "SVG", "PNG", "GIF", "WebP", "WebM", "NPZ", "CSV", "Recipe"]
    page.segmented_control(key="export-what").set_value("correlations").run()
    assert "GIF" not in [found.proto.label for found in page.get("download_button")], "one frame is no film"


def test_tv_l1_stands_beside_the_stages_with_a_number():
    page = dcf_page()
    assert not any("TV-L1" in panel["name"] for panel in components(page, "vizkit_player")[0]["figure"]["panels"])
    page.toggle(key="dcf_tvl1").set_value(True).run()
    assert not page.exception
    names = {panel["name"] for panel in components(page, "vizkit_player")[0]["figure"]["panels"]}
    assert "TV-L1 0" in names
    assert "mean cosine of the angle" in words(page)
    table = page.dataframe[0].value
    assert {"tvl1_cosine", "tvl1_cells"} <= set(table.columns)
    assert table[table["frame_offset"] == 1]["tvl1_cells"].notna().all()
