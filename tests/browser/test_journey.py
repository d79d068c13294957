"""A stranger's way through the app, in a real browser: nothing is faked between the click and the picture."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

PLAYERS = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
    .map((host) => host.shadowRoot?.querySelector('.player')).filter(Boolean)"""
STATE = f"() => ({PLAYERS})().map((player) => ({{...player.dataset, busy: player.getAttribute('aria-busy')}}))"
SETTLED = f"""(before) => ({PLAYERS})().some((player) => player.dataset.layout !== 'film' && Number(player.dataset.arrows) > 0
    && player.getAttribute('aria-busy') === 'false' && player.dataset.figure !== before)"""
GONE_S = 45


def strip_state(page: Any) -> dict[str, str]:
    """What the arrows' player says about itself."""
    return next(state for state in page.evaluate(STATE) if state["layout"] != "film")


def wait_for_picture(page: Any, before: str = "") -> dict[str, str]:
    """Wait until a picture with arrows is there that is another one than before."""
    page.wait_for_function(SETTLED, arg=before)
    return strip_state(page)


def click_cell(page: Any, x: float, y: float) -> None:
    """Click the film strip at a share of its width and height."""
    strip = page.locator("canvas.strip").first
    box = strip.bounding_box()
    strip.click(position={"x": x * box["width"], "y": y * box["height"]})


def test_open_upload_click_export_and_a_corrupt_upload(app: tuple[str, Path], page: Any, media: Path, tmp_path: Path, capsys: Any):
    address, uploads = app
    foreign: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:")) else foreign.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))

    page.goto(address)
    first = wait_for_picture(page)
    film = next(state for state in page.evaluate(STATE) if state["layout"] == "film")
    assert film["playing"] == "true"
    assert page.locator(".vz-bars tr").count() == 5

    began = time.monotonic()
    page.set_input_files("input[type=file]", media / "clips" / "bottles.mp4")
    real = wait_for_picture(page, first["figure"])
    seconds = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write(f"\nupload to first picture: {seconds:.1f} s\n")
    page.get_by_text("bottles.mp4").locator("visible=true").first.wait_for()
    (stored,) = (path for path in uploads.rglob("*") if path.is_file())
    assert "bottles" not in stored.name

    page.get_by_role("link", name="Correspondence proposals").click()
    page.wait_for_function(f"() => ({PLAYERS})().some((player) => player.dataset.pickable === 'true')")
    before = wait_for_picture(page)
    assert before["figure"] == real["figure"], "both pages start with the same picture"
    click_cell(page, 0.12, 0.3)
    picked = wait_for_picture(page, before["figure"])
    assert picked["frame"] == "0"
    assert 0 < int(picked["arrows"]) < int(before["arrows"])
    assert "p=0%2C" in page.url
    click_cell(page, 0.62, 0.3)
    both = wait_for_picture(page, picked["figure"])
    assert int(both["arrows"]) == 2 * int(picked["arrows"])
    assert both["frame"] == "2"
    page.get_by_role("button", name="Undo").click()
    assert wait_for_picture(page, both["figure"])["figure"] == picked["figure"], "undone is what it was"

    with page.expect_download() as download:
        page.get_by_role("button", name="PDF").click()
    pdf = tmp_path / "figure.pdf"
    download.value.save_as(pdf)
    assert download.value.suggested_filename.startswith("bottles-")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"/Type3" not in pdf.read_bytes()

    corrupt = tmp_path / "corrupt.mp4"
    corrupt.write_bytes((media / "clips" / "bottles.mp4").read_bytes()[:20_000])
    page.set_input_files("input[type=file]", corrupt)
    sentence = page.get_by_text("corrupt.mp4:").first
    sentence.wait_for()
    assert "\n" not in sentence.inner_text()
    click_cell(page, 0.37, 0.3)
    assert wait_for_picture(page, picked["figure"])["frame"] == "1", "the session goes on with the last good clip"

    assert foreign == [], "nothing is fetched from anywhere else"
    assert broken == []


def test_keys_play_step_and_bare_frames_without_the_server(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/cpnet")
    wait_for_picture(page)
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda payload: sent.append("message")))
    page.locator("canvas.strip").first.focus()
    page.keyboard.press("End")
    assert strip_state(page)["frame"] == "7"
    page.keyboard.press("ArrowLeft")
    assert strip_state(page)["frame"] == "6"
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert strip_state(page)["playing"] == "true"
    page.wait_for_function(f"() => ({PLAYERS})()[0].dataset.frame === '2'")
    page.keyboard.press(" ")
    assert strip_state(page)["playing"] == "false"
    shown = picture(page)
    page.keyboard.down("o")
    assert picture(page) != shown, "overlays are held back"
    page.keyboard.up("o")
    assert picture(page) == shown
    page.keyboard.press("?")
    assert page.get_by_role("heading", name="Keyboard shortcuts").is_visible()
    assert sent == []


def picture(page: Any) -> str:
    return page.evaluate(f"() => ({PLAYERS})()[0].querySelector('canvas.strip').toDataURL()")


def test_keyboard_alone_picks_a_cell(app: tuple[str, Path], page: Any):
    page.goto(f"{app[0]}/cpnet")
    before = wait_for_picture(page)
    page.locator("canvas.strip").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    assert wait_for_picture(page, before["figure"])["frame"] == "1"
    assert "p=1%2C" in page.url


def test_window_is_dragged_and_sampled(app: tuple[str, Path], page: Any):
    page.goto(app[0])
    before = wait_for_picture(page)
    handle = page.get_by_role("slider", name="End of the window")
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 300, box["y"] + 20, steps=5)
    page.mouse.up()
    wait_for_picture(page, before["figure"])
    assert float(handle.get_attribute("aria-valuenow")) < 0.8
    assert "w=0-0." in page.url
    before = strip_state(page)
    page.get_by_role("button", name="Whole clip").click()
    wait_for_picture(page, before["figure"])
    assert "w=" not in page.url


@pytest.mark.slow
def test_uploads_leave_with_the_session(app: tuple[str, Path], page: Any, media: Path):
    address, uploads = app
    page.goto(address)
    first = wait_for_picture(page)
    page.set_input_files("input[type=file]", media / "clips" / "short_32_frames.mp4")
    wait_for_picture(page, first["figure"])
    kept = {path for path in uploads.rglob("*") if path.is_file()}
    assert kept
    page.close()
    deadline = time.monotonic() + GONE_S
    while any(path.exists() for path in kept) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not any(path.exists() for path in kept), "gone without another visitor"
