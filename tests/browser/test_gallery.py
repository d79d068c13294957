"""Every page on a rendered clip, in both themes and two widths: whole, without an error, without anything beyond its edge.

With VIZKIT_GALLERY=folder the pictures are kept there (`make gallery`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import BROWSER_ARGUMENTS, playwright
from tests.browser.test_journey import PLAYERS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLIP = "clip=One+thing+is+covered+by+another"
PAGES = {
    "clip": "/?",
    "cpnet": "/cpnet?p=3,56,40&",
    "corrnet": "/corrnet?model=corrnet-world&",
    "dcf": "/dcf?model=dcf-world&p=3,56,60&",
    "pwtp": "/pwtp?model=pwtp-world&",
    "kpsem": "/kpsem?model=kpsem-world&",
    "together": "/together?p=3,56,60&",
    "compare": "/compare?model=dcf-world&compare_model=dcf-world-twin&",
    "models": "/models?",
}
SCREENS = [(1280, "light"), (1920, "dark")]
TALLEST_PX = 7000
KEPT_PX = 1400
DONE = f"""() => {{
    const running = document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-stale=true]');
    return !running && ({PLAYERS})().every((player) => player.getAttribute('aria-busy') === 'false');
}}"""
HEIGHT = "() => document.querySelector('[data-testid=stMain]').scrollHeight"
BEYOND = """() => {
    const main = document.querySelector('[data-testid=stMain]');
    return main.scrollWidth - main.clientWidth;
}"""


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


def settle(page: Any) -> None:
    """Wait until nothing has been running or drawn for a second."""
    calm = 0
    while calm < 4:
        page.wait_for_function(DONE, polling=250)
        page.wait_for_timeout(250)
        calm = calm + 1 if page.evaluate(DONE) else 0


def nameless(page: Any) -> list[str]:
    """Pictures without a text alternative."""
    return list(
        page.evaluate(f"""() => [...document.querySelectorAll('[data-testid=stMain] img'),
            ...({PLAYERS})().flatMap((player) => [...player.querySelectorAll('canvas, img')])]
            .filter((picture) => !picture.alt && !picture.closest('[aria-hidden=true], [aria-label]'))
            .map((picture) => picture.outerHTML.slice(0, 120))""")
    )


@pytest.mark.parametrize(("wide", "theme"), SCREENS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", PAGES)
def test_page(app: tuple[str, Path], browser: Any, name: str, wide: int, theme: str):
    page = browser.new_page(viewport={"width": wide, "height": 1000}, color_scheme=theme)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.set_default_timeout(180_000)
    page.goto(app[0] + PAGES[name] + CLIP)
    page.locator("h1").first.wait_for()
    settle(page)
    page.set_viewport_size({"width": wide, "height": min(page.evaluate(HEIGHT), TALLEST_PX)})
    settle(page)
    if folder := os.environ.get("VIZKIT_GALLERY"):
        shown = {"x": 0, "y": 0, "width": wide, "height": KEPT_PX}
        page.screenshot(path=Path(folder) / f"page-{name}-{wide}-{theme}.jpg", type="jpeg", quality=85, clip=shown)
    assert page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    assert page.get_by_text("This link shows").count() == 0
    assert page.evaluate(BEYOND) <= 0, "nothing has to be scrolled sideways"
    assert nameless(page) == []
    assert broken == []
    if name != "models":
        assert len(page.evaluate(f"() => ({PLAYERS})().map((player) => player.dataset.frame)")) >= 1
    page.close()
