"""What a page says while it computes, and before slow work starts: how much it is, and how long it takes where that was measured."""

from __future__ import annotations

from collections.abc import Sequence

from vizkit.contracts import SampledClip
from vizkit.ui import compute, jobs
from vizkit.ui.pace import about

COMPUTING = "computing …"
ELSEWHERE = ", at the pace of other large networks here"


def waiting_words(runs: Sequence[tuple[str, SampledClip]]) -> str:
    """Say that something is being computed, who comes first, and what it takes where that is a while.

    Args:
        runs: model and frames of the forward passes that are needed.
    """
    ahead = jobs.LINE.ahead
    first = f"{COMPUTING} {ahead} jobs of others come first." if ahead else COMPUTING
    return f"{first} {_cost(runs)}".strip()


def passes_take(model: str, frames: SampledClip, passes: int) -> str:
    """How long some forward passes take: ``about 4 s``; empty where that is short or not known.

    Args:
        model: name of the network.
        frames: what it sees.
        passes: how often.
    """
    return about(compute.pass_seconds(model, frames, passes))


def _cost(runs: Sequence[tuple[str, SampledClip]]) -> str:
    """Time of the passes where it is known; the work too, where networks are large."""
    times = [compute.pass_seconds(*run) for run in runs]
    took = about(None if None in times else sum(time for time in times if time))
    large = [run for run in runs if compute.is_large(*run)]
    if not large:
        return f"The network takes {took}." if took else ""
    names, cost = " and ".join(dict.fromkeys(name for name, _ in large)), sum(compute.gmacs(*run) for run in large)
    told = f"{took}{'' if all(compute.was_timed(name) for name, _ in large) else ELSEWHERE}" if took else "many seconds without a GPU"
    return f"{names} takes {cost:.0f} billion multiply-adds for this clip: {told}."
