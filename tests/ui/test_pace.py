"""How long slow work takes: by what was measured, and not a word without that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from vizkit.ui import compute, waiting
from vizkit.ui.pace import KEPT, Pace, about

GMACS = {"small": 3.0, "large": 40.0, "huge": 120.0}


@dataclass
class Frames:
    """As much of a sampled clip as an estimate reads."""

    frames: np.ndarray


CLIP, LONGER = Frames(np.zeros((4, 8, 8, 3), np.uint8)), Frames(np.zeros((8, 8, 8, 3), np.uint8))


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pace]:
    """A process that has measured nothing, with networks whose work is known."""
    fresh = Pace()
    monkeypatch.setattr(compute, "PACE", fresh)
    monkeypatch.setattr(compute, "gmacs", lambda name, frames: GMACS[name] * len(frames.frames) / 4)
    monkeypatch.setattr(compute, "checkpoint_names", lambda: {"small"})
    return fresh


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands; its one number is the time."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def run(name: str, frames: Frames, seconds: float, clock: list[float]) -> None:
    with compute.timed_pass(name, frames):
        clock[0] += seconds


def test_what_lies_in_the_middle_of_the_last_times_counts():
    pace = Pace()
    assert pace.seconds(("pass",), 10) is None
    pace.note(("pass",), 2, 30.0)
    assert pace.seconds(("pass",), 10) == 150.0
    for taken in (2.0, 60.0, 2.0):
        pace.note(("pass",), 2, taken)
    assert pace.seconds(("pass",), 10) == 10.0, "one slow moment is passed over, and the first time, which set things up"
    for _ in range(KEPT):
        pace.note(("pass",), 1, 4.0)
    assert pace.seconds(("pass",), 10) == 40.0, "another pace of the machine is told soon"
    assert pace.seconds(("fit",), 1) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (1.9, ""), (2.2, "about 2 s"), (9.4, "about 9 s"), (12.0, "about 10 s"), (53.0, "about 55 s"), (58, "about 1 min"),
     (190, "about 3 min")],
)  # fmt: skip
def test_times_are_told_as_roughly_as_they_are_known(seconds: float | None, words: str):
    assert about(seconds) == words


def test_a_pass_is_told_by_earlier_passes_of_the_same_network(pace: Pace, clock: list[float]):
    assert waiting.waiting_words([("small", CLIP)]) == waiting.COMPUTING, "nothing was measured"
    assert waiting.passes_take("small", CLIP, 100) == ""
    run("small", CLIP, 1.5, clock)
    assert waiting.waiting_words([("small", CLIP)]) == waiting.COMPUTING, "too short for a word"
    assert waiting.waiting_words([("small", LONGER)]) == "computing … The network takes about 3 s."
    assert waiting.passes_take("small", CLIP, 4) == "about 6 s"
    told = waiting.waiting_words([("small", LONGER), ("large", CLIP)])
    assert told.endswith("large takes 40 billion multiply-adds for this clip: many seconds without a GPU."), "one of both is not known"


def test_a_large_network_is_told_by_other_large_ones_until_it_was_measured(pace: Pace, clock: list[float]):
    run("small", CLIP, 3, clock)
    assert "many seconds" in waiting.waiting_words([("huge", CLIP)]), "small networks say nothing about large ones"
    run("large", CLIP, 8, clock)
    told = waiting.waiting_words([("huge", CLIP)])
    assert told == "computing … huge takes 120 billion multiply-adds for this clip: about 25 s, at the pace of other large networks here."
    run("huge", CLIP, 40, clock)
    assert waiting.waiting_words([("huge", CLIP)]) == "computing … huge takes 120 billion multiply-adds for this clip: about 40 s."


def test_a_pass_that_fails_is_not_measured(pace: Pace, clock: list[float]):
    def fail() -> None:
        with compute.timed_pass("small", CLIP):
            clock[0] += 30
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not compute.was_timed("small")
