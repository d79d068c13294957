"""What is installed: locked with hashes, licences listed, looked up in a list of known weaknesses, and the container's recipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;]+)(?: ; ([^\\]+))? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """Packages of a lock for this platform and their versions."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = ENTRY.findall(text)
    assert len(entries) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)), "an entry has no hash"
    return {canonicalize_name(package): pinned for package, pinned, marker, _ in entries if not marker or Marker(marker.strip()).evaluate()}


def test_the_lock_holds_what_is_required_and_what_is_installed() -> None:
    lock, wider = locked("requirements.lock"), locked("requirements-test.lock")
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, pinned = line.split("==")
            assert lock[canonicalize_name(name)] == pinned
    assert lock.items() <= wider.items()
    for name, pinned in lock.items():
        assert version(name) == pinned, f"run `make install`: {name} is not what the lock says"


def test_make_and_the_container_install_by_the_lock() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in re.findall(r"pip install ([^|\n]+)", makefile) if "uv==" not in line and "-e ." not in line]
    assert len(installs) == 4
    assert all("--require-hashes" in line for line in installs)
    assert all("--require-hashes" in line for line in re.findall(r"pip install (.+)", dockerfile()) if "--editable" not in line)


def test_every_locked_package_has_its_licence_listed() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "docs" / "licences.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {canonicalize_name(name): (pinned, licence) for name, pinned, licence in rows}
    for name, pinned in locked("requirements.lock").items():
        assert listed[name][0] == pinned, "run `make licences`"
        assert listed[name][1] not in ("", "UNKNOWN")


# ------------------------------------------------------------------------------------------------ known weaknesses


class Advisories(BaseHTTPRequestHandler):
    """Stands in for api.osv.dev: of the package ``bad`` it knows one weakness."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        entry = {
            "id": "OSV-1",
            "summary": "a hole",
            "affected": [
                {
                    "package": {"name": "bad", "ecosystem": "PyPI"},
                    "versions": ["1.0"],
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
                }
            ],
        }
        body = json.dumps({"vulns": [entry]} if asked["package"]["name"] == "bad" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Generator[str, None, None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def audit(lock: Path, url: str, folder: Path) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / ".ci" / "audit"), str(lock), "-s", "osv", "--osv-url", url, "--cache-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("package", "status", "words"),
    [("good", 0, "1 of 1 packages"), ("bad", 1, "bad 1.0: OSV-1, mended in 1.1")],
    ids=["nothing known", "a known weakness"],
)
def test_the_audit_tells_what_is_known(advisories: str, tmp_path: Path, package: str, status: int, words: str) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{package}==1.0 \\\n    --hash=sha256:{64 * '0'}\n", encoding="utf-8")
    code, said = audit(lock, advisories, tmp_path)
    assert code == status, said
    assert words in said


def test_an_audit_that_could_ask_nobody_is_no_success(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"good==1.0 \\\n    --hash=sha256:{64 * '0'}\n", encoding="utf-8")
    code, said = audit(lock, "http://127.0.0.1:9/v1/query", tmp_path)
    assert code == 2, said
    assert "nothing is known" in said
    assert "Traceback" not in said


# ------------------------------------------------------------------------------------------------ container


def dockerfile() -> str:
    return re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


def test_the_container_runs_as_nobody_special_with_a_health_check_and_copies_what_exists() -> None:
    lines = [line for line in dockerfile().splitlines() if line and not line.startswith("#")]
    words = [line.split() for line in lines]
    user = next(i for i, line in enumerate(words) if line[0] == "USER")
    assert words[user][1] not in ("root", "0")
    assert not any(line[0] in ("RUN", "COPY", "USER") for line in words[user + 1 :])
    assert any(line[0] == "HEALTHCHECK" and "/_stcore/health" in " ".join(line) for line in words)
    for line in words:
        if line[0] == "COPY":
            assert all((ROOT / source).exists() for source in line[1:-1]), line


def test_nothing_private_is_sent_to_the_container_build() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".venv", "runs", "tests"} <= set(left_out)
