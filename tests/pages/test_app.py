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
