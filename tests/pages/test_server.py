"""The real server: who may come in, what it asks of the outside, what it tells, and ten sessions on it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.pages.visitor import PLANTED, Server, Visitor, shown, start, text
from vizkit.ui.gallery import gallery_names


@pytest.fixture(scope="module")
def server(app_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = start(tmp_path_factory.mktemp("server"))
    yield found
    stop(found)


def stop(server: Server) -> None:
    server.process.terminate()
    server.process.wait(timeout=20)


def look(server: Server, **query: str) -> tuple[str, object]:
    """The numbers of the first page for an address."""
    visitor = Visitor(server)
    try:
        visitor.ask(**query)
        return shown(visitor.page())
    finally:
        visitor.close()


def test_only_pages_of_this_machine_may_talk_to_it(server: Server):
    here = f"127.0.0.1:{server.port}"
    assert server.handshake(here, f"http://{here}") == 101
    assert server.handshake(f"localhost:{server.port}", None) == 101
    assert server.handshake(here, "http://evil.example") == 403
    assert server.handshake(here, "null") == 403
    assert server.handshake(here, "http://[") == 403
    assert server.handshake("evil.example", "http://evil.example") == 403, "a name that was rebound to this machine"
    assert server.handshake(f"evil.example:{server.port}", None) == 403
    assert server.handshake("127.0.0.1.evil.example", None) == 403
    for path in ("/", "/_stcore/health", "/_stcore/upload_file/a/b"):
        assert server.status(path, "evil.example") == 403, path
        assert server.status(path, here, "http://evil.example") == 403, path
    assert server.status("/", here, f"http://localhost:{server.port}") == 200
    assert server.watched == [], "a stranger's call makes it ask for its own address outside"


def test_it_listens_on_this_machine_alone(server: Server):
    with open("/proc/net/tcp") as four, open("/proc/net/tcp6") as six:  # noqa: PTH123
        rows = [line.split() for line in (*four, *six)]
    listening = {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{server.port:04X}")}
    assert listening == {"0100007F"}


def test_a_page_is_drawn_without_asking_any_other_machine(server: Server):
    bars, figures = look(server)
    assert "%" in bars
    assert len(figures) >= 2
    assert server.watched == []


def test_an_error_is_for_the_log_and_not_for_the_browser(server: Server):
    visitor = Visitor(server)
    visitor.ask(planted="1")
    told = text(visitor.page())
    visitor.close()
    assert "exception" in told
    assert "Traceback" not in told
    assert "visitor.py" not in told
    assert "ZeroDivisionError" not in told
    assert "secret" not in told
    log = re.sub(r"\x1b\[[0-9;]*m", "", server.log)
    assert f"ZeroDivisionError: {PLANTED}" in log
    assert "Traceback" in log


def test_counters_are_told_to_nobody(server: Server):
    assert server.status("/_stcore/health") == 200
    for path in (
        "/_stcore/metrics",
        "/_stcore/metrics/",
        "/_stcore/metrics?families=x",
        "/_stcore/%6Detrics",
        "/_stcore/agent/openapi.json",
    ):
        assert server.status(path) in (307, 404), path
    assert server.status("/_stcore/metrics") == 404


def test_the_name_of_a_session_is_a_secret(server: Server):
    visitor = Visitor(server)
    visitor.ask()
    page = visitor.page()
    visitor.close()
    assert visitor.session_id
    assert visitor.session_id not in text([message for message in page if message.WhichOneof("type") != "new_session"])
    assert visitor.session_id not in server.log


def asked(number: int) -> list[dict[str, str]]:
    """What so many sessions look at: a clip, a window and a model each."""
    clips, models = gallery_names(), ("tiny", "tiny-fields", "tiny-points")
    return [{"clip": clips[place % len(clips)], "w": f"{0.1 * place:.1f}-", "model": models[place % 3]} for place in range(number)]


@pytest.mark.parametrize("number", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_sessions_at_once_see_what_each_sees_alone(number: int, server: Server, tmp_path: Path):
    with ThreadPoolExecutor(number) as pool:
        together = list(pool.map(lambda query: look(server, **query), asked(number)))
    assert len({bars for bars, _ in together}) == number, "every session looks at something else"
    other = start(tmp_path)
    try:
        alone = [look(other, **query) for query in asked(number)]
    finally:
        stop(other)
    assert together == alone
    assert server.watched == other.watched == []
