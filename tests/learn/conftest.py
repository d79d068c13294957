"""Training runs that take a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vizkit.learn.config import TrainingConfig

TINY: dict[str, Any] = {
    "name": "tiny", "architecture": "c2d-18", "options": {"width": 4, "stem": "5x5/2"},
    "phases": [{"clips": 48, "sides_px": [32]}], "frames": 2, "batch": 4, "save_every": 8,
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrainingConfig]:
    """``tiny(seed=1)``: twelve steps of four clips of two frames of 32 x 32, with dropout, a state every two steps."""
    return lambda **changes: TrainingConfig.parse(**{**TINY, **changes})
