"""Where long work may be stopped: whoever waits for it is asked between two pieces of it."""

from __future__ import annotations

from collections.abc import Callable

LOOK_UPS: list[Callable[[], object]] = []
"""Asked in turn; what one of them raises ends the work. The app's jobs stand here, and nobody where no app runs."""


def look_up() -> None:
    """Called between two pieces of work that no layer divides."""
    for ask in LOOK_UPS:
        ask()
