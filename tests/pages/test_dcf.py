"""DCF's page: pyramid, picked cells and the correlations behind them, controls that only some networks have."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words


def dcf_page(**query: str) -> AppTest:
    return open_page("dcf", **query).run()


def test_any_network_with_stages_has_a_pyramid_and_a_patch():
    page = dcf_page()

    assert not page.exception
    pyramid, patches = components(page, "vizkit_player")
    assert {panel["view"] for panel in pyramid["figure"]["panels"]} >= {"frames", "res2", "res3"}
    assert any(layer["kind"] == "motion" for panel in pyramid["figure"]["panels"] for layer in panel["layers"])
    assert any(key["kind"] == "wheel" for key in pyramid["figure"]["keys"])
    assert pyramid["options"]["pickable"]
    assert any(layer["kind"] == "heat" for panel in patches["figure"]["panels"] for layer in panel["layers"])
    assert "cosine** shows the scene" in words(page)
    assert "Nothing is picked" in words(page)


def test_a_picked_cell_is_shown_with_its_correlations():
    page = dcf_page(p="1,20,30")
    assert not page.exception
    assert "The cell that was picked" in words(page)
    first = components(page, "vizkit_player")[1]["figure"]
    page.button(key="clear").click().run()
    assert "Nothing is picked" in words(page)
    assert components(page, "vizkit_player")[1]["figure"]["digest"] != first["digest"]


def test_what_another_page_chose_does_not_break_this_one():
    page = dcf_page(block="res3.1", metric="joint", neighbors="3")
    assert not page.exception
    assert not page.error
