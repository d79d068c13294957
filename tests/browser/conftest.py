"""The real app in a process of its own, and a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).parents[2]
START_S = 60
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The running app: its address and its folder of uploads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uploads = tmp_path_factory.mktemp("app") / "uploads"
    log = (uploads.parent / "log").open("wb")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "VIZKIT_UPLOADS": str(uploads)}, stdout=log, stderr=log)
    try:
        wait_for_server(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", uploads
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def wait_for_server(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app did not start (exit status {process.poll()})")


@pytest.fixture
def page(chromium: Path) -> Iterator[object]:
    """A page of a fresh browser that keeps what it asked for and what went wrong in it."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=BROWSER_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        page.set_default_timeout(120_000)
        yield page
        browser.close()


MOUNT = """async ({script, css, figure, options, wide, dark}) => {
    const host = document.createElement('div');
    const colors = dark ? ['#e8ecef', '#101418'] : ['#1a1f24', '#ffffff'];
    host.style.cssText = `width: ${wide}px; --st-text-color: ${colors[0]}; --st-background-color: ${colors[1]};
        --st-secondary-background-color: ${colors[1]}; --st-primary-color: #00697a; --st-font: sans-serif`;
    document.body.replaceChildren(host);
    document.body.style.cssText = `margin: 8px; background: ${colors[1]}`;
    const root = host.attachShadow({mode: 'open'});
    const style = document.createElement('style');
    style.textContent = css;
    root.append(style);
    const module = await import(URL.createObjectURL(new Blob([script], {type: 'text/javascript'})));
    window.picks = [];
    const setStateValue = (name, value) => window.picks.push(value);
    window.show = (other, more) =>
        module.default({data: {figure: other, options: {...options, ...more}}, parentElement: root, setStateValue});
    window.show(figure);
    window.player = root.querySelector('.player');
}"""


@pytest.fixture
def mounted(page: Any) -> Callable[..., Any]:
    """Show a payload in the player alone, without Streamlit: gives the page, with ``player`` and ``picks`` in its window."""
    from vizkit.ui import player
    from vizkit.ui.bundle import DOM, bundle

    folder = Path(player.__file__).parent
    script = bundle(DOM, *(folder / name for name in player.MODULES))

    def show(figure: dict[str, Any], *, wide: int = 900, dark: bool = False, layout: str = "strip") -> Any:
        options = {"busy": "", "playing": False, "layout": layout, "pickable": True, "picking": ""}
        css = (folder / "player.css").read_text(encoding="utf-8")
        page.evaluate(MOUNT, {"script": script, "css": css, "figure": figure, "options": options, "wide": wide, "dark": dark})
        page.wait_for_function("() => window.player.dataset.frame !== undefined")
        return page

    return show
