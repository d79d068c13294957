"""Results: computed once, bounded, failures not kept."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from vizkit.ui import compute
from vizkit.ui.compute import Results, size_of


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


def test_pages_begin_with_networks_of_the_motion_world_whose_clips_are_at_hand():
    assert compute.model_names()[0] == "cpnet-world"
    views = ("cpnet", "dcf", "corrnet", "pwtp", "kpsem")
    assert [compute.models_with(view)[0] for view in views] == [f"{view}-world" for view in views]
    assert {"dcf-ut", "kpsem-ut"} <= set(compute.model_names())
