"""How long slow work takes: measured on this machine, by this process, from work of the same kind that is done; never guessed."""

from __future__ import annotations

import threading
from collections import deque
from statistics import median

Kind = tuple[str, ...]
"""Work that goes at one pace: what it is, and of which network."""

KEPT = 5
"""Times that a kind of work is remembered; what they have in the middle counts, so that one slow moment does not."""
LEAST_S = 2.0
"""Shorter work is waited for without a word."""


class Pace:
    """Seconds that a unit of work took, by its kind."""

    def __init__(self) -> None:
        self._taken: dict[Kind, deque[float]] = {}
        self._warm: set[Kind] = set()
        self._lock = threading.Lock()

    def note(self, kind: Kind, amount: float, taken_s: float) -> None:
        """Remember what an amount of work took; the first time of a kind, which sets things up, counts only until there is a second."""
        with self._lock:
            taken = self._taken.setdefault(kind, deque(maxlen=KEPT))
            if taken and kind not in self._warm:
                taken.clear()
                self._warm.add(kind)
            taken.append(taken_s / amount)

    def seconds(self, kind: Kind, amount: float) -> float | None:
        """How long an amount of work will take; None where nothing of its kind was measured yet."""
        with self._lock:
            taken = self._taken.get(kind)
            return amount * median(taken) if taken else None


PACE = Pace()
"""Of this process, for all sessions: they share its processors."""


def about(seconds: float | None) -> str:
    """Say a time as roughly as it is known: ``about 4 s``, ``about 40 s``, ``about 3 min``; empty where it is not known, or short."""
    if seconds is None or seconds < LEAST_S:
        return ""
    if seconds < 10:
        return f"about {seconds:.0f} s"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} s"
    return f"about {max(round(seconds / 60), 1)} min"
