"""The app: its pages, and what stays when one goes from one to the other."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.pages.parts import PAGES, TIMEOUT_S, components
from vizkit.catalog import MODULES
from vizkit.ui import page as page_module

APP = Path(__file__).parents[2] / "app.py"


def test_every_paper_has_a_page_and_every_page_is_in_the_menu():
    assert set(page_module.PAGES) == {f"pages/{path.name}" for path in PAGES.glob("*.py")}
    assert {f"pages/{entry.key}.py" for entry in MODULES} < set(page_module.PAGES)


def test_choices_stay_from_page_to_page():
    app = AppTest.from_file(APP, default_timeout=TIMEOUT_S).run()
    assert app.title[0].value == page_module.PAGES["pages/clip.py"]
    other = app.selectbox(key="clip").options[2]
    app.selectbox(key="clip").set_value(other).run()
    app.switch_page("pages/cpnet.py").run()

    assert not app.exception
    assert app.title[0].value == page_module.PAGES["pages/cpnet.py"]
    assert app.selectbox(key="clip").value == other
    (player,) = components(app, "vizkit_player")
    assert player["options"]["pickable"]


def test_choices_of_one_paper_do_not_disturb_the_others():
    app = AppTest.from_file(APP, default_timeout=TIMEOUT_S)
    app.query_params["model"] = "tiny-filters"
    app.run()
    for name in ("corrnet", "cpnet", "dcf", "corrnet", "cpnet"):
        app.switch_page(f"pages/{name}.py").run()
        assert not app.exception, name
        assert not app.error, name
        if name == "corrnet":
            app.segmented_control(key="corrnet_block").set_value("res4.1").run()
        if name == "cpnet":
            app.segmented_control(key="block").set_value("res4").run()
        if name == "dcf":
            app.segmented_control(key="dcf_offset").set_value(-2).run()
        assert not app.exception, name
        assert not app.error, name
    app.switch_page("pages/corrnet.py").run()
    assert app.segmented_control(key="corrnet_block").value == "res4.1"
