"""What hostile files may reach for, and the counts at the end of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clip.bars import write_video
from tests.hostile.clips import NO_SERVER

COUNTED = {
    "test_a_clip_is_what_it_is_said_to_be": "clips",
    "test_a_name_is_text_and_nothing_else": "names",
    "test_weights_are_what_they_are_said_to_be": "weights",
}
MUTANTS = "mutants"
"""Name of the property that a test of mutants reports: (of which clips, all, broken, told of, wrong without a word)."""
KILLS = "kills"
"""Name of the property with which a test reports a process that it killed."""


class Bait:
    """A folder with magenta clips and a secret, and a server that counts who calls.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        magenta = np.full((64, 64, 3), (255, 0, 255), np.uint8)
        for name in ("canary.mp4", "canary.ts"):
            write_video(folder / name, [magenta] * 10, "libx264", "yuv420p")
        (folder / "secret.txt").write_text("SECRET\n" * 8)


@pytest.fixture(scope="session")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    """The bait of the whole run."""
    found = Bait(tmp_path_factory.mktemp("bait"))

    class Counter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(NO_SERVER.rpartition(":")[2])), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def _said(report: Any, name: str) -> list[Any]:
    return [value for key, value in getattr(report, "user_properties", ()) if key == name]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many hostile files got their answer."""
    reports = [(report, ok) for key, ok in (("passed", True), ("failed", False)) for report in terminalreporter.stats.get(key, ())]
    for test, what in COUNTED.items():
        ends = [ok for report, ok in reports if f"::{test}[" in report.nodeid]
        if ends:
            terminalreporter.write_line(f"hostile {what}: {sum(ends)}/{len(ends)} answered as expected")
    for clips, every, broken, told, silent in (value for report, _ in reports for value in _said(report, MUTANTS)):
        terminalreporter.write_line(
            f"hostile mutants of {clips} clips: {broken} of {every} crashed or hung; {told} refused or warned about, "
            f"{silent} opened with wrong pictures and no warning (docs/safety.md says which), {every - broken - told - silent} right"
        )
    killed = [value for report, ok in reports if ok for value in _said(report, KILLS)]
    for what in dict.fromkeys(killed):
        terminalreporter.write_line(f"kills: {killed.count(what)} during {what}, nothing lost, no half file")
