"""Nothing finished is lost: killed at any moment, on a full disk, two at once - the old file stands, or the new one, whole."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.hostile.conftest import KILLS
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


@contextmanager
def running(script: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that says a line when it begins; killed at the end if it still runs."""
    line = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(line, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------------------------------------------ export


EXPORT = """
import sys
from pathlib import Path
import numpy as np
from vizkit.figure.spec import FigureSpec, Table
from vizkit.render import write

def figure(number):
    table = Table(("place", "value"), ((0, number),))
    return FigureSpec(str(number), "", "", (), table=table, arrays={"values": np.array([number])}, recipe={"number": number})

folder, names, rounds = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
figures, more = [figure(1), figure(2)], bytes(24_000_000)
made = {(made.title, form): write.encode(made, form) + more for made in figures for form in ("npz", "csv", "json")}
write.encode = lambda figure, form, venue=None: made[figure.title, form]
print("begun", flush=True)
for turn in range(rounds):
    for name in names:
        write.render(figures[turn % 2], folder / name)
"""
"""Writes two figures in turn under the same names; made before, and large, so that nearly all of its time goes into writing."""
FIGURES = ("figure.npz", "figure.csv", "figure.json")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Digests of both figures, by file."""
    found: dict[str, set[str]] = {name: set() for name in FIGURES}
    for rounds in (1, 2):
        folder = tmp_path_factory.mktemp("export")
        subprocess.run([sys.executable, "-c", EXPORT, str(folder), ",".join(FIGURES), str(rounds)], check=True, stdout=subprocess.DEVNULL)
        for name, told in whole(folder).items():
            found[name].add(told)
    assert all(len(both) == 2 for both in found.values())
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_export_that_is_killed_leaves_whole_files(
    moment: int, exported: dict[str, set[str]], tmp_path: Path, record_property: Counted
) -> None:
    with running(EXPORT, tmp_path, ",".join(FIGURES), 10_000) as process:
        time.sleep(0.2 + Random(moment).random())
        assert process.poll() is None
        process.kill()
    for name, told in whole(tmp_path).items():
        assert told in exported[name], name
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path), ",".join(FIGURES), "2"], check=True, stdout=subprocess.DEVNULL)
    assert {name: {told} <= exported[name] for name, told in whole(tmp_path).items()} == dict.fromkeys(FIGURES, True)
    record_property(KILLS, "export")


def test_two_exports_into_one_folder_leave_whole_files(exported: dict[str, set[str]], tmp_path: Path) -> None:
    with running(EXPORT, tmp_path, ",".join(FIGURES), 3) as one, running(EXPORT, tmp_path, ",".join(FIGURES), 4) as other:
        assert one.wait(120) == other.wait(120) == 0
    found = whole(tmp_path)
    assert sorted(found) == sorted(FIGURES)
    assert all(told in exported[name] for name, told in found.items())
    assert len(list(tmp_path.iterdir())) == len(FIGURES)


# ------------------------------------------------------------------------------------------------ download


CONTENT = np.random.default_rng(0).bytes(2_000_000)
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
FETCH = """
import sys
from dataclasses import replace
from vizkit.net.published import IMAGENET
from vizkit.weights import fetch
weights = replace(IMAGENET[18][0], file=sys.argv[1])
print("begun", flush=True)
fetch(weights, progress=lambda done, total: None)
"""


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


def fetching(home: Path, mirror: str) -> dict[str, str]:
    return {"VIZKIT_HOME": str(home), "VIZKIT_WEIGHTS_MIRROR": mirror, "no_proxy": "*"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_download_that_is_killed_leaves_no_file_or_the_whole(moment: int, mirror: str, tmp_path: Path, record_property: Counted) -> None:
    with running(FETCH, NAME, **fetching(tmp_path, mirror)) as process:
        time.sleep(1.2 * (moment + Random(moment).random()) / MANY)
        process.kill()
    final = next(tmp_path.rglob(NAME), None)
    assert final is None or final.read_bytes() == CONTENT
    for stale in tmp_path.rglob("*.part"):
        os.utime(stale, (0, 0))  # an hour later
    with running(FETCH, NAME, **fetching(tmp_path, mirror)) as process:
        assert process.wait(60) == 0
    (only,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert only.name == NAME
    assert only.read_bytes() == CONTENT
    record_property(KILLS, "download")


def test_two_downloads_of_one_file_both_finish(mirror: str, tmp_path: Path) -> None:
    settings = fetching(tmp_path, mirror)
    with running(FETCH, NAME, **settings) as one, running(FETCH, NAME, **settings) as other:
        assert one.wait(60) == other.wait(60) == 0
    (only,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert only.read_bytes() == CONTENT


# ------------------------------------------------------------------------------------------------ training


TINY = {
    "name": "tiny", "architecture": "c2d-18", "options": {"width": 4, "stem": "5x5/2"},
    "phases": [{"clips": 240, "sides_px": [32]}], "frames": 2, "batch": 4, "save_every": 8,
}  # fmt: skip
TRAIN = """
import json, sys
from pathlib import Path
from vizkit.learn.config import TrainingConfig
from vizkit.learn.train import train

if __name__ == "__main__":
    config = TrainingConfig.parse(**json.loads(sys.argv[1]))
    print("begun", flush=True)
    print(train(config, Path(sys.argv[2]), resume=True, progress=False).digest)
"""


@pytest.mark.parametrize("kills", [pytest.param(FEW, marks=pytest.mark.slow), pytest.param(MANY, marks=pytest.mark.hostile)])
def test_a_training_that_is_killed_again_and_again_gives_the_same_weights(kills: int, tmp_path: Path, record_property: Counted) -> None:
    config = TrainingConfig.parse(**TINY)
    expected = train(config, tmp_path / "undisturbed", progress=False).digest
    folder, done = tmp_path / "killed", 0
    while done < kills:
        before = _stamp(folder)
        with running(TRAIN, config.model_dump_json(), folder) as process:
            while _stamp(folder) == before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(Random(done).random() * 0.05)
            if process.poll() is not None:
                break
            process.kill()
        done += 1
        record_property(KILLS, "training")
    assert done >= min(kills, FEW)
    with running(TRAIN, config.model_dump_json(), folder) as process:
        assert process.stdout is not None
        assert process.stdout.read().strip() == expected
    logs = [[json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()] for place in (folder, tmp_path / "undisturbed")]
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
