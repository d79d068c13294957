"""A click on every page that has something to click, in the real app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_journey import PLAYERS, STATE, click_cell

pytestmark = pytest.mark.browser

ALL_DONE = f"""(count) => {{
    const players = ({PLAYERS})();
    return players.length >= count && players.every((player) => player.getAttribute('aria-busy') === 'false' && player.dataset.figure);
}}"""
CHANGED = f"""(before) => ({PLAYERS})().some((player) => !before.includes(player.dataset.figure))
    && ({PLAYERS})().every((player) => player.getAttribute('aria-busy') === 'false')"""


def figures(page: Any, count: int = 1) -> list[str]:
    """Digests of all pictures, once as many are there and none waits."""
    page.wait_for_function(ALL_DONE, arg=count)
    return [state["figure"] for state in page.evaluate(STATE)]


def changed(page: Any, before: list[str]) -> list[str]:
    """Digests of all pictures, once one of them is another one than before."""
    page.wait_for_function(CHANGED, arg=before)
    return [state["figure"] for state in page.evaluate(STATE)]


def test_a_filter_is_clicked_and_its_response_is_shown(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/corrnet?model=corrnet-world")
    before = figures(page, 2)
    page.get_by_text("Click a filter to see its response").wait_for()
    click_cell(page, 0.45, 0.3)
    changed(page, before)
    assert "corrnet_channel=" in page.url
    channel = page.url.split("corrnet_channel=")[1].split("&")[0]
    page.get_by_text(f"channel {channel}").first.wait_for()


def test_key_points_with_grad_cam_over_them(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/kpsem?model=kpsem-world")
    before = figures(page, 2)
    page.locator("label", has_text="Grad-CAM").first.click()
    layer = page.get_by_role("checkbox", name="Grad-CAM: ").first
    layer.wait_for()
    after = figures(page, 2)
    assert after[0] != before[0]
    assert layer.is_checked()
    assert "cam=true" in page.url


@pytest.mark.slow
def test_all_modules_follow_one_click(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/together")
    page.get_by_text("Nothing is picked yet").wait_for()
    before = figures(page, 6)
    click_cell(page, 0.3, 0.4)
    page.get_by_text("The point picked last").wait_for()
    two = f"(before) => ({PLAYERS})().filter((player) => !before.includes(player.dataset.figure)).length >= 2"
    page.wait_for_function(two, arg=before)  # arrows and correlations; the others are read at the point
    page.get_by_role("heading", name="The values at this point").wait_for()
    assert len(figures(page, 6)) == len(before)


def test_a_link_to_an_upload_asks_for_it_and_shows_the_same_once_given(app: tuple[str, Path], page: Any, media: Path):
    clip = media / "clips" / "short_32_frames.mp4"
    page.goto(f"{app[0]}/dcf?model=dcf-world")
    before = figures(page, 2)
    page.set_input_files("input[type=file]", clip)
    page.wait_for_function(f"(before) => ({PLAYERS})().every((player) => !before.includes(player.dataset.figure))", arg=before)
    before = figures(page, 2)
    click_cell(page, 0.2, 0.45)
    page.wait_for_function(f"(before) => ({PLAYERS})().every((player) => !before.includes(player.dataset.figure))", arg=before)
    assert re.search(r"[?&]p=\d+%2C", page.url)
    picked = figures(page, 2)
    page.get_by_role("button", name="res4", exact=True).click()
    page.wait_for_function(f"(before) => ({PLAYERS})().every((player) => !before.includes(player.dataset.figure))", arg=picked)
    mine = figures(page, 2)
    assert "dcf_stages=res3" in page.url

    context = page.context.browser.new_context(viewport={"width": 1280, "height": 900})
    other = context.new_page()
    other.set_default_timeout(120_000)
    other.goto(page.url)
    other.get_by_text("This link shows short_32_frames.mp4").first.wait_for()
    first = figures(other)
    assert first[0] != mine[0]
    other.set_input_files("input[type=file]", clip)
    other.wait_for_function(f"(wanted) => wanted.every((one) => ({PLAYERS})().some((player) => player.dataset.figure === one))", arg=mine)
    context.close()


def test_own_weights_become_a_model_of_this_session_alone(app: tuple[str, Path], page: Any):
    weights = Path(__file__).parents[2] / "checkpoints" / "cpnet-world" / "weights.safetensors"
    page.goto(f"{app[0]}/models")
    page.get_by_text("Your own weights").wait_for()
    box = page.get_by_role("combobox", name="Architecture")
    box.click()
    box.fill("cpnet-world")
    page.get_by_role("option", name="cpnet-world", exact=True).click()
    page.set_input_files("input[type=file]", weights)
    page.get_by_test_id("stFileChipDeleteBtn").wait_for()
    page.get_by_role("button", name=re.compile("Load$")).and_(page.get_by_test_id("stBaseButton-secondaryFormSubmit")).click()
    page.get_by_text("It is the model own:cpnet-world:").wait_for()
    page.get_by_role("button", name="Use it on the other pages").click()
    page.get_by_role("link", name="Correspondence proposals").click()
    page.get_by_role("heading", name="Correspondence proposals").wait_for()
    mine = figures(page)
    page.get_by_text("own weights").first.wait_for()

    context = page.context.browser.new_context(viewport={"width": 1280, "height": 900})
    other = context.new_page()
    other.set_default_timeout(120_000)
    other.goto(f"{app[0]}/cpnet")
    theirs = figures(other)
    assert theirs == mine, "the same weights give the same picture, whatever they are called"
    other.get_by_role("combobox", name="Model").click()
    other.get_by_role("option").first.wait_for()
    other.get_by_role("combobox", name="Model").fill("own:")
    other.wait_for_function("() => ![...document.querySelectorAll('[role=option]')].some((one) => one.innerText.includes('world'))")
    assert other.get_by_role("option", name="own:").count() == 0, "nobody else sees it"
    context.close()
