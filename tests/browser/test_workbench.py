"""The list of layers and the cursor in the real app: what it costs, what it exports, what is still there after a walk around."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_journey import PLAYERS, wait_for_picture

pytestmark = pytest.mark.browser


def test_ten_layers_send_nothing_and_the_export_is_what_was_left(app: tuple[str, Path], page: Any, tmp_path: Path):
    sent: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda payload: sent.append(payload)))
    page.goto(f"{app[0]}/cpnet?cam=true")
    page.get_by_role("checkbox", name="Grad-CAM: ").first.wait_for()
    before = wait_for_picture(page)
    page.get_by_role("button", name="Limits and colours of Grad-CAM: ", exact=False).first.click()
    page.wait_for_timeout(500)
    sent.clear()
    for name in ("frame", "queries", "feature change", "feature change", "Grad-CAM: ") * 2:
        page.get_by_role("checkbox", name=name).locator("xpath=..").click()
    page.get_by_role("combobox", name="Colour map of Grad-CAM: ").select_option("gray")
    assert sent == [], "nothing goes to the server while the list is used"
    page.get_by_role("checkbox", name="frame").locator("xpath=..").click()
    page.locator("canvas.strip").hover(position={"x": 20, "y": 60})
    page.get_by_text("Exports draw the layers of").wait_for()
    assert len(sent) == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Recipe").click()
    path = tmp_path / "recipe.json"
    download.value.save_as(path)
    recipe = json.loads(path.read_text(encoding="utf-8"))
    assert recipe["class_map"] == {}
    layers = recipe["layers"]
    assert layers.pop("frame") == {"visible": False}
    assert list(layers.values()) == [{"colors": "gray"}]
    page.get_by_role("link", name="Correlation filters").click()
    page.get_by_role("heading", name="Correlation filters").wait_for()
    page.get_by_role("link", name="Correspondence proposals").click()
    page.get_by_role("heading", name="Correspondence proposals").wait_for()
    page.get_by_role("checkbox", name="Grad-CAM: ").first.wait_for()
    assert wait_for_picture(page)["figure"] == before["figure"]
    assert not page.get_by_role("checkbox", name="frame").is_checked(), "the list is as it was left"


def test_pointing_in_one_player_moves_the_other_to_the_frame(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/dcf?model=dcf-world&p=2,40,50;5,40,50")
    page.wait_for_function(f"() => ({PLAYERS})().length === 2 && ({PLAYERS})().every((one) => one.getAttribute('aria-busy') === 'false')")
    frames = f"() => ({PLAYERS})().map((player) => player.dataset.frame)"
    assert page.evaluate(frames) == ["0", "2"]
    strip = page.locator("canvas.strip").first
    box = strip.bounding_box()
    strip.hover(position={"x": 0.2 * box["width"], "y": 19 + 5.5 / 8 * (box["height"] - 19)})
    assert page.evaluate(frames) == ["0", "5"], "the correlations of the point on the frame that is pointed at"
    assert "sees" in page.locator(".tip").first.inner_text()
