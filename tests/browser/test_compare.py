"""The comparison in a real browser: the wipe by pointer and keys, a link that opens the same picture, the switchboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

PLAYER = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
    .map((host) => host.shadowRoot?.querySelector('.player')).find(Boolean)"""
SETTLED = f"""(before) => {{
    const player = ({PLAYER})();
    if (!player || player.getAttribute('aria-busy') !== 'false') return false;
    return Boolean(player.dataset.focus?.startsWith('A ')) && player.dataset.figure !== before;
}}"""
LARGE = f"() => ({PLAYER})().querySelector('canvas.large').toDataURL()"


def wait_for_picture(page: Any, before: str = "") -> str:
    """Wait for another picture of both sides than before; gives its digest."""
    page.wait_for_function(SETTLED, arg=before)
    return str(page.evaluate(f"() => ({PLAYER})().dataset.figure"))


def test_wipe_by_keys_and_pointer_and_a_link_to_it(app: tuple[str, Path], page: Any):
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(f"{app[0]}/compare?model=dcf-world&compare_model=dcf-world-twin")
    digest = wait_for_picture(page)
    assert page.get_by_role("slider", name="Divider").count() == 0
    side_by_side = page.evaluate(LARGE)
    page.get_by_role("radio", name="wipe").click()
    divider = page.get_by_role("slider", name="Divider")
    divider.wait_for()
    assert wait_for_picture(page) == digest, "the same figure, shown in another way"
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda payload: sent.append("message")))

    shown = {side_by_side, page.evaluate(LARGE)}
    divider.focus()
    page.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "48"
    assert re.fullmatch(r"48 % A .*, 52 % B .*", divider.get_attribute("aria-valuetext"))
    page.keyboard.press("Home")
    assert divider.get_attribute("aria-valuenow") == "0"
    shown.add(page.evaluate(LARGE))
    page.keyboard.press("End")
    shown.add(page.evaluate(LARGE))
    box = divider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 30, steps=4)
    page.mouse.up()
    share = int(divider.get_attribute("aria-valuenow"))
    assert 0 < share < 100
    shown.add(page.evaluate(LARGE))
    assert len(shown) == 5, "five pictures"
    assert sent == [], "the server hears nothing of it"

    other = page.context.browser.new_page(viewport={"width": 1280, "height": 900})
    other.goto(page.url)
    assert "compare_show=wipe" in page.url
    assert wait_for_picture(other) == digest
    other.get_by_role("slider", name="Divider").wait_for()
    other.close()
    assert broken == []


def test_switchboard_changes_picture_and_prediction(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/compare?model=cpnet-world&compare_kind=modules+on+and+off")
    page.get_by_text("Nothing is changed yet").wait_for()
    digest = wait_for_picture(page)
    page.locator("label", has_text="res4.0").first.click()
    after = wait_for_picture(page, digest)
    assert after != digest
    page.get_by_text("Switched off in this run: res4.0.").first.wait_for()
    assert "res4.0=false" in page.url
    first = page.locator(".vz-changes tbody tr").first.inner_text()
    assert re.search(r"\d+\.\d %\s+\d+\.\d %\s+[+\u2212]\d+\.\d points", first)
    assert page.locator(".vz-changes tbody tr").count() >= 5
