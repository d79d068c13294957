"""Results: computed once, bounded, failures not kept; and one job of a session at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from vizkit.ui.compute import Queue, Results, SupersededError, size_of


@dataclass
class Pair:
    pixels: np.ndarray
    words: tuple[str, ...]


def test_size_counts_what_is_large():
    assert size_of(np.zeros(10)) == 80
    assert size_of(Pair(np.zeros(10), ("abc",))) == 83
    assert size_of({"a": [np.zeros(2), b"xy"]}) == 18


def test_result_is_computed_once_for_many_threads():
    results, calls, start = Results(), [], threading.Barrier(8)

    def make() -> str:
        calls.append(1)
        time.sleep(0.05)
        return "made"

    def ask() -> str:
        start.wait()
        return results.get(("key",), make)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask) for _ in range(8)]
        assert [answer.result() for answer in answers] == ["made"] * 8
    assert len(calls) == 1


def test_oldest_results_go_beyond_the_limit():
    results = Results(limit_bytes=250)
    for name in "abc":
        results.get((name,), lambda: np.zeros(100, np.uint8))
    assert [(name,) in results for name in "abc"] == [False, True, True]
    results.get(("b",), lambda: pytest.fail("is kept"))
    results.get(("d",), lambda: np.zeros(100, np.uint8))
    assert ("b",) in results
    assert ("c",) not in results


def test_one_result_larger_than_the_limit_is_still_given():
    results = Results(limit_bytes=10)
    assert results.get(("big",), lambda: np.ones(100)).sum() == 100
    assert ("big",) in results


def test_failure_is_raised_and_not_kept():
    results = Results()
    with pytest.raises(ZeroDivisionError):
        results.get(("key",), lambda: 1 // 0)
    assert results.get(("key",), lambda: 5) == 5


def test_jobs_of_a_session_never_overlap_and_only_the_newest_waiting_one_runs():
    queue, ran, running = Queue(), [], []
    release = threading.Event()

    def job(number: int) -> int:
        running.append(number)
        assert len(running) == 1
        if number == 0:
            release.wait(5)
        ran.append(number)
        running.remove(number)
        return number

    with ThreadPoolExecutor(4) as pool:
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
