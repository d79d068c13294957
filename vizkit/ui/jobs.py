"""Whose turn it is to compute: one job of a session at a time, few on the server, and none that nobody waits for any more.

Jobs run in the thread of the page that asks for them. A job looks up between two layers, or two blocks of a search (:func:`check`): it
ends when its tab is closed, when its session asks for something else, or when its time is up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vizkit.errors import SettingError, VizkitError

Made = TypeVar("Made")

MOST_RUNNING = max(os.cpu_count() or 1, 1)
MOST_WAITING = 20
LIMIT_S = 300.0
"""Longest job."""
GRACE_S = 2.0
"""How long a job goes on after its page was asked to stop: a page that is drawn again may want the very same."""
POLL_S = 0.05


class SupersededError(BaseException):
    """Nobody waits for this job any more. No ``except Exception`` on the way holds it up."""


class BusyError(VizkitError):
    """The server computes for as many others as it may."""

    default_code = "busy"


class Line:
    """The jobs of one server, those that run and those that wait for their turn.

    Args:
        running: most jobs at once.
        waiting: most jobs that wait.
    """

    def __init__(self, running: int = MOST_RUNNING, waiting: int = MOST_WAITING) -> None:
        self._most_running, self._most_waiting = running, waiting
        self._running: list[_Job] = []
        self._waiting: list[_Job] = []
        self.changed = threading.Condition()

    @property
    def ahead(self) -> int:
        """Number of jobs that come before a new one; 0 where it would start at once."""
        with self.changed:
            return len(self._running) + len(self._waiting) if len(self._running) >= self._most_running else 0

    def newer(self, job: _Job) -> _Job | None:
        """The newest job that waits in the session of a job."""
        with self.changed:
            place = self._waiting.index(job) + 1 if job in self._waiting else 0
            return next((other for other in reversed(self._waiting[place:]) if other.queue is job.queue), None)

    def enter(self, job: _Job) -> None:
        """Wait for the job's turn.

        Raises:
            BusyError: too many wait already.
            SupersededError: nobody wants the job any more.
        """
        with self.changed:
            if len(self._waiting) >= self._most_waiting:
                others = len(self._waiting) + len(self._running)
                raise BusyError(f"{others} others are computing on this server (busy). Try again in a minute.")
            self._waiting.append(job)
        try:
            while True:
                job.look_up()
                with self.changed:
                    if job.asked is not None or self.newer(job) is not None:
                        raise SupersededError
                    if self._is_next(job):
                        self._running.append(job)
                        return
                    self.changed.wait(POLL_S)
        finally:
            with self.changed:
                self._waiting.remove(job)
                self.changed.notify_all()

    def leave(self, job: _Job) -> None:
        """The job is over: the next one may start."""
        with self.changed:
            self._running.remove(job)
            self.changed.notify_all()

    def _is_next(self, job: _Job) -> bool:
        busy = [other.queue for other in self._running]
        first = next((other for other in self._waiting if other.queue not in busy), None)
        return first is job and len(self._running) < self._most_running


LINE = Line()
"""Of this server."""


class _Job:
    """One thing that a session wants computed."""

    def __init__(self, queue: Queue, about: object, limit_s: float) -> None:
        self.queue, self.about, self.limit_s = queue, about, limit_s
        self.asked: BaseException | None = None
        """What Streamlit raised to end the page."""
        self._asked_s = self.began_s = time.monotonic()

    def look_up(self) -> None:
        """See whether the page is to end: Streamlit says so wherever a page touches its session."""
        if self.asked is None and get_script_run_ctx(suppress_warning=True) is not None:
            try:
                "queue" in st.session_state  # noqa: B015
            except BaseException as request:
                self.asked, self._asked_s = request, time.monotonic()

    def check(self) -> None:
        """End here if nobody waits for this any more, or if it takes too long."""
        self.look_up()
        now, newer = time.monotonic(), self.queue.line.newer(self)
        unwanted = newer.about != self.about if newer is not None else self.asked is not None and now - self._asked_s > GRACE_S
        if unwanted:
            raise SupersededError
        if now - self.began_s > self.limit_s:
            raise SettingError(
                f"This takes longer than {self.limit_s:g} s on this server (too_slow). Choose fewer or smaller frames, or a smaller model.",
                code="too_slow",
            )


_CURRENT: ContextVar[_Job | None] = ContextVar("job", default=None)


def check(*_: object) -> None:
    """Called between two layers or blocks: end the job of this thread if it is to end. Threads without a job go on.

    Raises:
        SupersededError: nobody waits for it any more.
        SettingError: it takes too long.
    """
    job = _CURRENT.get()
    if job is not None:
        job.check()


class Queue:
    """Jobs of one session: they run one at a time, and only the newest of those that wait runs at all.

    Args:
        line: of the server.
    """

    def __init__(self, line: Line = LINE) -> None:
        self.line = line

    def run(self, job: Callable[[], Made], *, about: object = None, limit_s: float = LIMIT_S) -> Made:
        """Run a job when it is its turn.

        Args:
            job: what is computed; it runs in this thread.
            about: what it is about. A newer job about the same waits for this one, since it shares the work; one about anything else
                stops it at the next layer.
            limit_s: how long it may take.

        Raises:
            BusyError: too many jobs of others wait already.
            SettingError: it took too long.
            SupersededError: a newer job of this session came, or its page was closed.
        """
        if _CURRENT.get() is not None:
            return job()
        mine = _Job(self, about, limit_s)
        try:
            self.line.enter(mine)
            mine.began_s = time.monotonic()
            token = _CURRENT.set(mine)
            try:
                made = job()
            finally:
                _CURRENT.reset(token)
                self.line.leave(mine)
        except SupersededError:
            if mine.asked is None:
                raise
        if mine.asked is not None:
            raise mine.asked  # Streamlit asks once only
        return made
