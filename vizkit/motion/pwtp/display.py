"""How PWTP's pictures show numbers as colours: display rules, and what gets their full range."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["signed", "minmax", "abs"]
Spread = tuple[float, tuple[float, float]]
"""q, and the smallest and largest value: what gets the full range of a display."""

SHARE = 99.5
"""Percentile of the absolute values that gets the full range."""
SMALLEST = 1e-8
"""Where that percentile is smaller, there is no residual to show."""
GREY = 128
RULES = {
    "signed": "0.5 + 0.5 a/q, so that grey is zero",
    "minmax": "from the smallest to the largest value",
    "abs": "|a|/q, so that black is zero",
}


def displayed(values: NDArray[Any], rule: Rule, limit: float, extent: tuple[float, float]) -> NDArray[np.uint8]:
    """Values as a picture under a display rule.

    Args:
        values: [..., 3].
        rule: ``signed`` 0.5 + 0.5 a/q, ``abs`` |a|/q, or ``minmax``.
        limit: q, for the rules ``signed`` and ``abs``.
        extent: smallest and largest value, for the rule ``minmax``.

    Returns:
        uint8 [..., 3]; flat grey where there is nothing to show.
    """
    low, high = ends_of(rule, limit, extent)
    if not visible(rule, limit, extent):
        return np.full(values.shape, GREY, np.uint8)
    scaled = ((np.abs(values) if rule == "abs" else values) - low) / (high - low)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def ends_of(rule: Rule, limit: float, extent: tuple[float, float]) -> tuple[float, float]:
    """Values of black and of white.

    Args:
        rule: see :func:`displayed`.
        limit: q.
        extent: smallest and largest value.
    """
    return {"signed": (-limit, limit), "abs": (0.0, limit), "minmax": extent}[rule]


def visible(rule: Rule, limit: float, extent: tuple[float, float]) -> bool:
    """Whether there is anything to show.

    Args:
        rule: see :func:`displayed`.
        limit: q.
        extent: smallest and largest value.
    """
    low, high = ends_of(rule, limit, extent)
    return high - low >= SMALLEST


def full_range(values: NDArray[Any]) -> Spread:
    """What gets the full range of a display: q, the 99.5th percentile of the absolute values, and the smallest and largest value.

    Args:
        values: what is displayed.
    """
    return float(np.percentile(np.abs(values), SHARE)), (float(values.min()), float(values.max()))


def range_words(extent: tuple[float, float]) -> str:
    """Smallest and largest value in words.

    Args:
        extent: both.
    """
    return f"{extent[0]:.3g} .. {extent[1]:.3g}"
