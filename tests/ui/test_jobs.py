"""Jobs: one of a session at a time, few on the server, none that nobody waits for; equal ones are computed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch
from torch import nn

from vizkit.errors import SettingError
from vizkit.net.ops import nearest_cells
from vizkit.ui import compute, jobs
from vizkit.ui.compute import Results
from vizkit.ui.jobs import BusyError, Line, Queue, SupersededError

SOON_S = 5.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as found:
        yield found


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Endless:
    """A job of small layers that goes on until it is stopped."""

    def __init__(self, seconds: float = 8.0) -> None:
        self.layers, self.seconds = 0, seconds

    def __call__(self) -> None:
        compute._load_torch()
        layer, start = nn.Identity(), time.monotonic()
        while time.monotonic() - start < self.seconds:
            layer(torch.zeros(1))
            self.layers += 1
            time.sleep(0.005)


def started(pool: ThreadPoolExecutor, queue: Queue, job: Callable[[], object], **options: object) -> Future[object]:
    """Ask for a job and wait until it stands in the line."""
    before = len(queue.line._waiting) + len(queue.line._running)
    future = pool.submit(lambda: queue.run(job, **options))  # type: ignore[arg-type]
    until(lambda: future.done() or len(queue.line._waiting) + len(queue.line._running) > before)
    return future


def test_jobs_of_a_session_never_overlap_and_only_the_newest_waiting_one_runs(pool: ThreadPoolExecutor):
    queue, ran, running = Queue(Line(running=4)), [], []
    release = threading.Event()

    def job(number: int) -> int:
        running.append(number)
        assert len(running) == 1
        if number == 0:
            release.wait(5)
        ran.append(number)
        running.remove(number)
        return number

    futures = []
    for number in range(4):
        futures.append(pool.submit(queue.run, lambda number=number: job(number)))
        time.sleep(0.05)
    release.set()
    assert futures[0].result() == 0
    assert futures[3].result() == 3
    for superseded in futures[1:3]:
        with pytest.raises(SupersededError):
            superseded.result()
    assert ran == [0, 3]


def test_a_newer_job_about_something_else_stops_the_one_that_runs(pool: ThreadPoolExecutor):
    queue, old = Queue(Line(running=2)), Endless()
    first = started(pool, queue, old, about="one clip")
    until(lambda: old.layers > 0)
    assert queue.run(lambda: "new", about="another clip") == "new"
    with pytest.raises(SupersededError):
        first.result(SOON_S)
    stopped_at = old.layers
    time.sleep(0.1)
    assert old.layers == stopped_at


def test_a_newer_job_about_the_same_waits_for_the_one_that_runs(pool: ThreadPoolExecutor):
    queue, results, calls = Queue(Line(running=2)), Results(), []

    def make() -> int:
        calls.append(1)
        Endless(0.5)()
        return len(calls)

    first = started(pool, queue, lambda: results.get(("run",), make), about="clip")
    until(lambda: bool(calls))
    assert queue.run(lambda: results.get(("run",), make), about="clip") == 1
    assert first.result() == 1


def test_no_more_jobs_run_at_once_than_the_line_takes(pool: ThreadPoolExecutor):
    line, now, most = Line(running=2), [], []

    def job() -> None:
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        now.pop()

    futures = [pool.submit(Queue(line).run, job) for _ in range(12)]
    for future in futures:
        future.result(SOON_S)
    assert max(most) == 2
    assert len(most) == 12


def test_jobs_come_in_the_order_in_which_they_were_asked_for(pool: ThreadPoolExecutor):
    line, release, order = Line(running=1), threading.Event(), []
    futures = [started(pool, Queue(line), lambda: release.wait(SOON_S))]
    for number in range(5):
        futures.append(started(pool, Queue(line), lambda number=number: order.append(number)))
    assert line.ahead == 6
    release.set()
    for future in futures:
        future.result(SOON_S)
    assert order == list(range(5))
    assert line.ahead == 0


def test_too_many_that_wait_are_told_so_in_one_sentence(pool: ThreadPoolExecutor):
    line, release = Line(running=1, waiting=3), threading.Event()
    futures = [started(pool, Queue(line), lambda: release.wait(SOON_S)) for _ in range(4)]
    with pytest.raises(BusyError, match=r"^4 others are computing on this server \(busy\)\. Try again in a minute\.$"):
        Queue(line).run(lambda: pytest.fail("runs beyond the limit"))
    release.set()
    for future in futures:
        future.result(SOON_S)
    assert Queue(line).run(lambda: "free") == "free"


def test_a_job_that_takes_too_long_is_one_sentence(pool: ThreadPoolExecutor):
    with pytest.raises(SettingError, match=r"longer than 0\.2 s.*fewer or smaller frames") as caught:
        Queue(Line()).run(Endless(), limit_s=0.2)
    assert caught.value.code == "too_slow"


def test_who_waits_for_a_job_that_was_given_up_computes_it(pool: ThreadPoolExecutor):
    line, results, calls = Line(running=4), Results(), []
    leaving, other = Queue(line), Queue(line)

    def make() -> str:
        calls.append(1)
        if len(calls) == 1:
            Endless()()
        return "made"

    first = started(pool, leaving, lambda: results.get(("run",), make), about="a")
    until(lambda: bool(calls))
    second = started(pool, other, lambda: results.get(("run",), make), about="a")
    leaving.run(lambda: None, about="b")
    assert second.result(SOON_S) == "made"
    with pytest.raises(SupersededError):
        first.result(SOON_S)
    assert len(calls) == 2


def test_who_waits_for_the_work_of_another_session_can_leave(pool: ThreadPoolExecutor):
    line, results, release = Line(running=4), Results(), threading.Event()
    queue = Queue(line)
    maker = started(pool, Queue(line), lambda: results.get(("run",), lambda: release.wait(SOON_S)))
    waiter = started(pool, queue, lambda: results.get(("run",), lambda: pytest.fail("is being made")), about="a")
    assert queue.run(lambda: "else", about="b") == "else"
    with pytest.raises(SupersededError):
        waiter.result(SOON_S)
    release.set()
    assert maker.result(SOON_S) is True


class Page:
    """Stands in for a page: from the moment it is closed, touching its session raises what Streamlit raises."""

    class Closed(BaseException):
        pass

    def __init__(self) -> None:
        self.closed = False

    def __contains__(self, name: object) -> bool:
        if self.closed:
            raise Page.Closed
        return False


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    found = Page()
    monkeypatch.setattr(jobs, "get_script_run_ctx", lambda **_: found)
    monkeypatch.setattr(jobs.st, "session_state", found)
    monkeypatch.setattr(jobs, "GRACE_S", 0.3)
    return found


def test_a_closed_tab_stops_its_job_after_a_moment_of_grace(pool: ThreadPoolExecutor, page: Page):
    line, job = Line(running=1), Endless()
    future = started(pool, Queue(line), job)
    until(lambda: job.layers > 0)
    page.closed, closed_at = True, time.monotonic()
    with pytest.raises(Page.Closed):
        future.result(SOON_S)
    assert 0.3 <= time.monotonic() - closed_at < 2
    assert line.ahead == 0


def test_a_search_for_neighbours_is_stopped_though_no_layer_divides_it(pool: ThreadPoolExecutor):
    compute._load_torch()
    queue, maps, began = Queue(Line()), torch.zeros(1, 2, 2, 8, 8), threading.Event()

    def search() -> None:
        start = time.monotonic()
        while time.monotonic() - start < 8.0:
            nearest_cells(maps, 1)
            began.set()

    first = started(pool, queue, search)
    assert began.wait(SOON_S)
    assert queue.run(lambda: "newer", about="something else") == "newer"
    with pytest.raises(SupersededError):
        first.result(SOON_S)


def test_a_closed_tab_gives_up_its_place_in_the_line(pool: ThreadPoolExecutor, page: Page):
    line, release = Line(running=1), threading.Event()
    first = started(pool, Queue(line), lambda: release.wait(SOON_S))
    second = started(pool, Queue(line), lambda: pytest.fail("nobody wants it"))
    page.closed = True
    with pytest.raises(Page.Closed):
        second.result(SOON_S)
    release.set()
    assert first.result(SOON_S), "a job without layers ends by itself"
