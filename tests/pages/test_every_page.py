"""Every page with a clip: a link to a clip that is not here, a real clip, a network that the page's view cannot be had of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.pages.parts import components, open_page, words
from vizkit.catalog import MODULES
from vizkit.ui.page import PAGES

MODELS = {"corrnet": "tiny-filters", "dcf": "tiny-fields", "kpsem": "tiny-points"}
"""Page -> a network with blocks of its paper; the others have the first one's."""
WITH_CLIP = [Path(path).stem for path in PAGES if path != "pages/models.py"]


@pytest.mark.parametrize("name", WITH_CLIP)
def test_a_link_asks_for_its_clip_and_a_real_clip_is_drawn(name: str, media: Path):
    page = open_page(name, model=MODELS.get(name, "tiny"), clip="somebody.mp4 · 12345678").run()
    assert not page.exception
    assert "This link shows somebody.mp4 · 12345678: upload that clip to open it." in words(page)
    assert components(page, "vizkit_player"), "until then the page shows a clip that is built in"
    clip = media / "clips" / "short_32_frames.mp4"
    page.file_uploader[0].set_value((clip.name, clip.read_bytes(), "video/mp4")).run()
    assert not page.exception
    assert not page.error
    assert f"{clip.name} — 32 frames" in words(page).replace("*", "")
    assert "This link shows" not in words(page)
    figures = [found["figure"] for found in components(page, "vizkit_player")]
    assert figures
    assert all(figure["panels"] and figure["alt"] for figure in figures)
    assert not any(found["options"]["busy"] for found in components(page, "vizkit_player"))


@pytest.mark.parametrize("name", [entry.key for entry in MODULES])
def test_a_network_without_the_view_is_told_why_and_others_are_offered(name: str, monkeypatch: pytest.MonkeyPatch):
    home = import_module(f"vizkit.motion.{name}.analysis")
    monkeypatch.setattr(home, "unavailable", lambda network: f"{network.name} has nothing to look at." if network.name == "tiny" else None)
    page = open_page(name, model="tiny").run()
    assert not page.exception
    assert not page.error
    assert "tiny has nothing to look at." in words(page)
    assert not page.get("download_button"), "there is nothing to export"
    offered = [button for button in page.button if str(button.key).startswith("use-")]
    assert offered
    offered[0].click().run()
    assert page.selectbox(key="model").value == str(offered[0].key).removeprefix("use-")
    assert "has nothing to look at" not in words(page)
