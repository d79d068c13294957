"""The papers' claims that can be checked on one machine in minutes: run and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vizkit.catalog import claim, resolve
from vizkit.contracts import Measured, Verdict


@dataclass(frozen=True)
class Reproduction:
    """What a paper says, what came out here, and whether that is the same."""

    claim: str
    """Name of the claim."""
    paper: str
    """Key of the view."""
    statement: str
    """What was checked, and the bar that decides."""
    published: str
    """What the paper says."""
    settings: dict[str, Any]
    """What it was run with."""
    ours: tuple[Measured, ...]
    """The numbers."""
    verdict: Literal["reproduced", "not reproduced"]
    """Whether the bar was met."""
    reason: str
    """Which bar was met or missed."""
    seconds: float
    """Wall time."""


def reproduce(name: str, *, report: Callable[[str], None] = lambda line: None, **settings: Any) -> Reproduction:
    """Run a claim and judge it.

    Runs are seeded: the same settings give the same numbers on one machine with the same number of threads. torch's own random
    state is left as it was.

    Args:
        name: a claim of :func:`vizkit.catalog.claims`.
        report: takes lines of progress.
        settings: fields of the claim's settings, e.g. ``full=True``, ``seeds=1``.

    Raises:
        SettingError: an unknown claim, or a setting that it does not have or does not accept.
    """
    found = claim(name)
    params = resolve(found.params).parse(**settings)
    run: Callable[..., Verdict] = resolve(found.run)
    import torch

    from vizkit.net.network import fix_threads

    fix_threads()
    started = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        verdict = run(params, report)
    return Reproduction(
        claim=found.name,
        paper=found.paper,
        statement=found.statement,
        published=found.published,
        settings=params.model_dump(),
        ours=verdict.ours,
        verdict="reproduced" if verdict.reproduced else "not reproduced",
        reason=verdict.reason,
        seconds=round(time.monotonic() - started, 1),
    )
