"""Intervals against published values, precision against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vizkit.statistics import average_precision, mean_over_clips, wilson

# ------------------------------------------------------------------------------------------------ shares


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 2, 0.0945, 0.9055),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, total: int, low: float, high: float) -> None:
    score = wilson(right, total)
    assert score.value == right / total
    assert score.n == total
    assert score.interval == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_says_that_nothing_is_known() -> None:
    score = wilson(0, 0)
    assert math.isnan(score.value)
    assert score.interval == (0.0, 1.0)
    assert score.n == 0


# ------------------------------------------------------------------------------------------------ means over clips


def test_the_mean_weighs_values_and_not_clips() -> None:
    score = mean_over_clips([np.array([1.0]), np.array([0.0, 0.0, 0.0])])
    assert score.value == 0.25
    assert score.n == 4


def test_empty_clips_count_for_nothing() -> None:
    clips = [np.array([1.0, 0.0]), np.array([1.0])]
    assert mean_over_clips([*clips, np.array([])]).value == pytest.approx(2 / 3)
    assert mean_over_clips([*clips, np.array([])]).n == 3


def test_draws_of_empty_clips_alone_do_not_widen_the_interval() -> None:
    """Of two clips a quarter of the draws hold the empty one twice; their mean would be no number, and not zero."""
    assert mean_over_clips([np.array([0.5, 0.5]), np.array([])]).interval == (0.5, 0.5)


def test_the_mean_of_no_values_is_not_a_number() -> None:
    for clips in ([], [np.array([]), np.array([])]):
        score = mean_over_clips(clips)
        assert math.isnan(score.value)
        assert score.n == 0


def test_values_of_one_clip_hang_together() -> None:
    """Forty copies of a clip's value tell no more than one: the interval is that of the clips."""
    drawn = np.random.default_rng(0).integers(0, 2, 30).astype(float)
    many = mean_over_clips([np.full(40, value) for value in drawn])
    one = mean_over_clips([np.array([value]) for value in drawn])
    assert many.interval == pytest.approx(one.interval)
    assert many.interval[0] < many.value < many.interval[1]
    expected = 1.96 * drawn.std() / math.sqrt(len(drawn))
    assert (many.interval[1] - many.interval[0]) / 2 == pytest.approx(expected, rel=0.15)
    assert many == mean_over_clips([np.full(40, value) for value in drawn])


# ------------------------------------------------------------------------------------------------ precision


def by_loop(scores: list[float], positive: list[bool]) -> float:
    """Walk down the ranking; among equal scores the negatives come first."""
    remaining = sorted(zip(scores, positive, strict=True), key=lambda pair: (-pair[0], pair[1]))
    precisions, found = [], 0
    for rank, (_, is_positive) in enumerate(remaining, start=1):
        found += is_positive
        if is_positive:
            precisions.append(found / rank)
    return sum(precisions) / len(precisions)


def test_average_precision_of_hand_worked_rankings() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, np.array([True, True, False, False])) == 1.0
    assert average_precision(scores, np.array([False, False, False, True])) == 0.25
    assert average_precision(np.ones(4), np.array([True, False, False, False])) == 0.25
    assert math.isnan(average_precision(scores, np.zeros(4, bool)))


@pytest.mark.parametrize("levels", [3, 1000])
def test_average_precision_is_that_of_a_loop(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(20):
        scores = rng.integers(levels, size=(4, 5)).astype(np.float32)
        positive = rng.random((4, 5)) < 0.3
        positive[0, 0] = True
        assert average_precision(scores, positive) == pytest.approx(by_loop(scores.ravel().tolist(), positive.ravel().tolist()))
