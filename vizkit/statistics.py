"""Shares, intervals and precision, as every score reports them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts import Score

Z95 = 1.959963984540054
RESAMPLES = 2000


def wilson(right: float, total: int) -> Score:
    """A share with its 95 % Wilson interval; ``right`` may be a mean over several counts of the same things."""
    if total == 0:
        return Score(math.nan, (0.0, 1.0), 0)
    share, spread = right / total, Z95**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Score(share, (max(0.0, middle - half), min(1.0, middle + half)), total)


def mean_over_clips(values: Sequence[NDArray[np.float64]]) -> Score:
    """The mean of all values with a 95 % bootstrap interval over clips, since values of one clip hang together.

    Args:
        values: one array for each clip; empty arrays count for nothing, nor do draws that hold no others.
    """
    sums = np.array([clip.sum() for clip in values])
    counts = np.array([len(clip) for clip in values])
    total = int(counts.sum())
    if total == 0:
        return Score(math.nan, (math.nan, math.nan), 0)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    held = counts[drawn].sum(1)
    means = sums[drawn].sum(1)[held > 0] / held[held > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Score(float(sums.sum() / total), (float(low), float(high)), total)


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve, as the mean precision at each positive; ties are broken against the detector."""
    flat, truth = scores.ravel(), positive.ravel()
    order = np.lexsort((truth, -flat))
    ranked = truth[order]
    found = np.cumsum(ranked)
    return float((found / np.arange(1, len(ranked) + 1))[ranked].mean()) if ranked.any() else math.nan
