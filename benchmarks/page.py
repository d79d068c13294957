"""Claim: a layer that is changed is seen at once, and a setting that the server draws again within the flow of thought.

The app runs in a process of its own, Chromium beside it. From a click (or a key) to the first frame on which the player's pixels differ,
by the browser's own clock. Layers (eye, opacity, colour map, length of full colour) are painted in the browser and held against 100 ms,
below which a change seems to be immediate; stages, neighbours, filters and points need the page to run again and are held against 1 s,
beyond which a train of thought is lost (R. B. Miller, Response time in man-computer conversational transactions, 1968). Each is done a
number of times, there and back; medians. How often the network ran meanwhile is read from the server: never. What a setting costs beside
a forward pass is measured by analysis.py. When other programs take more than a quarter of a core the run says NOISY.

    python benchmarks/page.py                       # the built-in clip; a minute or two
    python benchmarks/page.py --clip juggle.mp4     # a clip of your own
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from measure import NOISY_CORES, busy_s, verdict
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
AT_ONCE_MS, IN_FLOW_MS = 100.0, 1000.0
TURNS = 6
START_S, WAIT_MS = 60, 120_000
COUNTED = "forward pass"
"""What the server says at each, see SERVER."""
SERVER = f"""
import sys
from vizkit.net import probe
forward = probe._forward
def counted(*given):
    print({COUNTED!r}, file=sys.stderr, flush=True)
    return forward(*given)
probe._forward = counted
from streamlit.web.cli import main
sys.argv = ["streamlit", "run", "app.py", *sys.argv[1:]]
main()
"""
PLAYERS = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
    .map((host) => host.shadowRoot?.querySelector('.player')).filter(Boolean)"""
IDLE = f"""() => ({PLAYERS})().length > 0 && ({PLAYERS})().every((player) => player.getAttribute('aria-busy') === 'false'
    && player.dataset.figure) && !document.querySelector('[data-testid=stStatusWidget]')"""
WATCH = f"""(drawn) => {{
    const canvases = ({PLAYERS})().flatMap((player) => [...player.querySelectorAll('canvas')]);
    const small = Object.assign(document.createElement('canvas'), {{width: 96, height: 96}}).getContext('2d', {{willReadFrequently: true}});
    const seen = (canvas) => {{ small.drawImage(canvas, 0, 0, 96, 96); return small.getImageData(0, 0, 96, 96).data.join(); }};
    const before = canvases.map(seen);
    const digests = () => ({PLAYERS})().map((player) => player.dataset.figure + player.getAttribute('aria-busy')).join();
    const shown = digests();
    window.took = new Promise((done) => {{
        let began = 0;
        const start = () => {{ began ||= performance.now(); }};
        for (const kind of ['pointerdown', 'keydown', 'input', 'change']) addEventListener(kind, start, true);
        const look = () => {{
            const now = ({PLAYERS})().flatMap((player) => [...player.querySelectorAll('canvas')]);
            const other = !drawn || (digests() !== shown && !digests().includes('true'));
            if (began && other && now.some((canvas, place) => seen(canvas) !== before[place])) done(performance.now() - began);
            else requestAnimationFrame(look);
        }};
        look();
    }});
}}"""


class Toggle(NamedTuple):
    """Something that is changed, there and back."""

    name: str
    there: Callable[[Page], None]
    back: Callable[[Page], None]


@contextmanager
def running() -> Iterator[tuple[str, Path]]:
    """The app: its address and its log."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as kept:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        log = Path(kept) / "log"
        environment = {**os.environ, "VIZKIT_UPLOADS": f"{kept}/uploads"}
        with log.open("wb") as told:
            command = [sys.executable, "-c", SERVER, "--server.port", str(port), "--server.headless", "true"]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=told)
        try:
            _wait(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", log
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"error: the app did not start (exit status {process.poll()})")


def settle(page: Page) -> None:
    """Wait until nothing has been running for half a second."""
    page.wait_for_function(IDLE, polling=100)
    page.wait_for_timeout(500)
    page.wait_for_function(IDLE, polling=100)


def took_ms(page: Page, act: Callable[[Page], None], *, drawn: bool) -> float:
    """From the act to the first frame with other pixels; of another figure, where the server draws one."""
    page.evaluate(WATCH, drawn)
    act(page)
    taken = float(page.evaluate("() => window.took"))
    settle(page)
    return taken


def click(name: str) -> Callable[[Page], None]:
    """A click on the eye of a layer."""
    return lambda page: page.get_by_role("checkbox", name=name).first.locator("xpath=..").click()


def choose(name: str, value: str) -> Callable[[Page], None]:
    """A choice from a list of the layer list."""
    return lambda page: page.get_by_role("combobox", name=name).first.select_option(value)


def slide(name: str, value: int) -> Callable[[Page], None]:
    """A slider of the layer list."""
    return lambda page: page.get_by_role("slider", name=name).first.fill(str(value))


def press(text: str) -> Callable[[Page], None]:
    """A click on a widget of the page, by its words."""
    words = re.compile(rf"{re.escape(text)}\s*$")
    return lambda page: page.locator("label, button").filter(has_text=words).locator("visible=true").first.click()


def strip(x: float, y: float) -> Callable[[Page], None]:
    """A click on the film strip, at shares of its width and height."""

    def act(page: Page) -> None:
        canvas = page.locator("canvas.strip").first
        box = canvas.bounding_box() or {}
        canvas.click(position={"x": x * box["width"], "y": y * box["height"]})

    return act


PAGES: dict[str, tuple[str, list[Toggle], list[Toggle]]] = {
    "cpnet": (
        "cpnet-world",
        [
            Toggle("eye", click("feature change"), click("feature change")),
            Toggle("opacity", slide("Opacity of feature change", 90), slide("Opacity of feature change", 40)),
            Toggle("colour map", choose("Colour map of feature change", "cividis"), choose("Colour map of feature change", "gray")),
        ],
        [Toggle("a point", strip(0.12, 0.3), press("Undo")), Toggle("heat map", press("Heat map"), press("Heat map"))],
    ),
    "dcf": (
        "dcf-world",
        [
            Toggle("eye", click("motion"), click("motion")),
            Toggle("length of full colour", choose("Full colour of motion", "0.5"), choose("Full colour of motion", "1")),
        ],
        [Toggle("a stage", press("res4"), press("res4")), Toggle("backdrop", press("frame"), press("white"))],
    ),
    "corrnet": (
        "corrnet-world",
        [Toggle("eye", click("filter"), click("filter"))],
        [Toggle("a filter", strip(0.45, 0.3), strip(0.7, 0.3))],
    ),
}


def judge(page: Page, address: str, log: Path, name: str, clip: Path | None) -> int:
    """Print the rows and verdicts of one page; the number of failures."""
    model, layers, settings = PAGES[name]
    page.goto(f"{address}/{name}?model={model}")
    settle(page)
    if clip:
        page.set_input_files("input[type=file]", clip)
        page.wait_for_timeout(3000)
        settle(page)
    for button in page.get_by_role("button", name="Limits and colours of").all():
        if button.get_attribute("aria-expanded") == "false":
            button.click()
    before, _, began = busy_s()
    ran = log.read_bytes().count(COUNTED.encode())
    print(f"\n{name} of {model}")
    failed = 0
    for toggle in (*layers, *settings):
        taken = statistics.median(
            took_ms(page, act, drawn=toggle in settings) for _ in range(TURNS // 2) for act in (toggle.there, toggle.back)
        )
        limit = AT_ONCE_MS if toggle in layers else IN_FLOW_MS
        failed += verdict(taken <= limit, f"{name}, {toggle.name}: seen after {taken:.0f} ms, {taken / limit:.2f} of {limit:.0f} ms")
    more = log.read_bytes().count(COUNTED.encode()) - ran
    after, _, ended = busy_s()
    print(f"  cores busy: {(after - before) / (ended - began):.1f} (the app, the browser and others)")
    return failed + verdict(more == 0, f"{name}: {more} forward passes in {TURNS * len([*layers, *settings])} changes")


def main() -> int:
    """Print rows and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a clip to upload; the built-in one when left out")
    parser.add_argument("--page", choices=list(PAGES), action="append", help="one page; repeatable")
    told = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("error: chromium is missing; install it (apt-get install chromium)")
    before, _, began = busy_s()
    time.sleep(1)
    after, _, ended = busy_s()
    others = (after - before) / (ended - began)
    print(f"{os.cpu_count()} cores" + (f"   NOISY: others used {others:.1f} cores" if others > NOISY_CORES else ""))
    with running() as (address, log), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(WAIT_MS)
        failed = sum(judge(page, address, log, name, told.clip) for name in told.page or PAGES)
        browser.close()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
