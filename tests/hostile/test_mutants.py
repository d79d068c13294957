"""Damaged clips: never a crash, never a hang, and a word about every damage that the decoder can see.

A picture that was changed into another valid picture is beyond any decoder: GIF, MJPEG and most H.264 carry no checksums. Their
share is counted and bounded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import mutants
from tests.hostile.conftest import MUTANTS

SILENT_SHARE, TOLD_SHARE = 0.15, 0.6
Report = Callable[[str, object], None]


@pytest.fixture(scope="module")
def rendered() -> dict[str, bytes]:
    return mutants.films()


@pytest.mark.parametrize("kind", mutants.KINDS)
def test_ten_mutants_of_a_kind(kind: str, rendered: dict[str, bytes], record_property: Report) -> None:
    count, told, silent = mutants.tried(rendered, range(10), kind)
    record_property(MUTANTS, (count, told, len(silent)))
    assert len(silent) <= 2, silent
    assert told >= 2


@pytest.mark.hostile
def test_three_hundred_mutants(rendered: dict[str, bytes], record_property: Report) -> None:
    folder = os.environ.get("VIZKIT_TEST_MEDIA")
    clips = mutants.real_clips(Path(folder)) if folder else rendered
    ends = [mutants.tried(clips, range(10, 60), kind) for kind in mutants.KINDS]
    silent = [name for _, _, names in ends for name in names]
    record_property(MUTANTS, (sum(count for count, _, _ in ends), sum(told for _, told, _ in ends), len(silent)))
    assert len(silent) <= SILENT_SHARE * 300, silent
    assert sum(told for _, told, _ in ends) >= TOLD_SHARE * 300
