"""Nothing finished is lost: killed at any moment, on a full disk, two at once - the old file stands, or the new one, whole."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.hostile import victims
from tests.hostile.conftest import KILLS
from tests.hostile.victims import running
from vizkit.cli import main
from vizkit.learn.config import TrainingConfig
from vizkit.learn.train import STATE, train

FEW, MANY = 3, 15
MOMENTS = [*range(FEW), *(pytest.param(moment, marks=pytest.mark.hostile) for moment in range(FEW, MANY))]
"""Moments of a kill, spread over what is done."""

Counted = Callable[[str, object], None]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def whole(folder: Path) -> dict[str, str]:
    """Digests of the files under their final names; what a killed process was writing is hidden."""
    files = [path for path in folder.iterdir() if not (path.name.startswith(".") and path.name.endswith(".part"))]
    return {path.name: digest(path) for path in files}


# ------------------------------------------------------------------------------------------------ export


FIGURES = ("figure.npz", "figure.csv", "figure.json")


def exports(folder: Path, rounds: int) -> None:
    with running(victims.export, folder, FIGURES, rounds) as victim:
        assert victim.ends() == 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Digests of both figures, by file."""
    found: dict[str, set[str]] = {name: set() for name in FIGURES}
    for rounds in (1, 2):
        folder = tmp_path_factory.mktemp("export")
        exports(folder, rounds)
        for name, told in whole(folder).items():
            found[name].add(told)
    assert all(len(both) == 2 for both in found.values())
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_export_that_is_killed_leaves_whole_files(
    moment: int, exported: dict[str, set[str]], tmp_path: Path, record_property: Counted
) -> None:
    with running(victims.export, tmp_path, FIGURES, 10_000) as victim:
        time.sleep(0.2 + Random(moment).random())
        assert victim.process.is_alive()
    for name, told in whole(tmp_path).items():
        assert told in exported[name], name
    exports(tmp_path, 2)
    assert {name: {told} <= exported[name] for name, told in whole(tmp_path).items()} == dict.fromkeys(FIGURES, True)
    record_property(KILLS, "export")


def test_two_exports_into_one_folder_leave_whole_files(exported: dict[str, set[str]], tmp_path: Path) -> None:
    with running(victims.export, tmp_path, FIGURES, 3) as one, running(victims.export, tmp_path, FIGURES, 4) as other:
        assert one.ends() == other.ends() == 0
    found = whole(tmp_path)
    assert sorted(found) == sorted(FIGURES)
    assert all(told in exported[name] for name, told in found.items())
    assert len(list(tmp_path.iterdir())) == len(FIGURES)


# ------------------------------------------------------------------------------------------------ download


CONTENT = np.random.default_rng(0).bytes(2_000_000)
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def mirror() -> Iterator[str]:
    """Serves the file in about a second."""

    class Slowly(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            try:
                for start in range(0, len(CONTENT), 100_000):
                    self.wfile.write(CONTENT[start : start + 100_000])
                    time.sleep(0.04)
            except OSError:
                pass  # who asked was killed

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slowly)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_download_that_is_killed_leaves_no_file_or_the_whole(moment: int, mirror: str, tmp_path: Path, record_property: Counted) -> None:
    with running(victims.download, NAME, tmp_path, mirror):
        time.sleep(1.2 * (moment + Random(moment).random()) / MANY)
    final = next(tmp_path.rglob(NAME), None)
    assert final is None or final.read_bytes() == CONTENT
    for stale in tmp_path.rglob("*.part"):
        os.utime(stale, (0, 0))  # an hour later
    with running(victims.download, NAME, tmp_path, mirror) as victim:
        assert victim.ends() == 0
    (only,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert only.name == NAME
    assert only.read_bytes() == CONTENT
    record_property(KILLS, "download")


def test_two_downloads_of_one_file_both_finish(mirror: str, tmp_path: Path) -> None:
    with running(victims.download, NAME, tmp_path, mirror) as one, running(victims.download, NAME, tmp_path, mirror) as other:
        assert one.ends() == other.ends() == 0
    (only,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert only.read_bytes() == CONTENT


# ------------------------------------------------------------------------------------------------ training


TINY = {
    "name": "tiny", "architecture": "c2d-18", "options": {"width": 4, "stem": "5x5/2"},
    "phases": [{"clips": 240, "sides_px": [32]}], "frames": 2, "batch": 4, "save_every": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Digest of the weights, and the folder of the run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(TrainingConfig.parse(**TINY), folder, progress=False).digest, folder


@pytest.mark.parametrize("kills", [pytest.param(FEW, marks=pytest.mark.slow), pytest.param(MANY, marks=pytest.mark.hostile)])
def test_a_training_that_is_killed_again_and_again_gives_the_same_weights(
    kills: int, undisturbed: tuple[str, Path], tmp_path: Path, record_property: Counted
) -> None:
    config, (expected, reference) = TrainingConfig.parse(**TINY), undisturbed
    folder, done = tmp_path / "killed", 0
    while done < kills:
        before = _stamp(folder)
        with running(victims.training, config, folder) as victim:
            while _stamp(folder) == before and victim.process.is_alive():
                time.sleep(0.002)
            time.sleep(Random(done).random() * 0.05)
            if not victim.process.is_alive():
                break
        done += 1
        record_property(KILLS, "training")
    assert done >= min(kills, FEW)
    with running(victims.training, config, folder) as victim:
        assert victim.said.recv() == expected
    logs = [[json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()] for place in (folder, reference)]
    assert len(logs[0]) == len(logs[1])


def _stamp(folder: Path) -> int:
    return (folder / STATE).stat().st_mtime_ns if (folder / STATE).exists() else 0


# ------------------------------------------------------------------------------------------------ a full disk


@pytest.fixture(params=["disk", "limit"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 200 kB: a small disk where one can be mounted, and a limit that says the same."""
    if request.param == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        yield tmp_path
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no small disk may be mounted here; the limit stands for it")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with when something can be mended."""
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    (line,) = (line for line in told.splitlines() if line.startswith("error: "))
    return line


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = full / "truth.npz"
    old.write_bytes(b"old")
    line = said(capsys, "world", "--frames", "24", "--size", "160", "--out", old)
    assert str(old) in line
    assert "room" in line
    assert old.read_bytes() == b"old"
    assert [path.name for path in full.iterdir()] == ["truth.npz"]


def test_a_training_on_a_full_disk_says_how_to_go_on(
    full: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path_factory.mktemp("config") / "config.toml"
    config.write_text(
        'name = "tiny"\narchitecture = "c2d-18"\nframes = 2\nbatch = 4\nsave_every = 8\n'
        'options = { width = 16, stem = "5x5/2" }\nphases = [{ clips = 16, sides_px = [32] }]\n'
    )
    line = said(capsys, "train", config, "--out", full / "run")
    assert "no room left" in line
    assert "--resume" in line
    assert not [path for path in (full / "run").iterdir() if path.name.startswith(".") or path.name == STATE]
