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
def test_ten_mutants_of_a_kind(kind: str, rendered: dict[str, bytes]) -> None:
    ends = mutants.tried(rendered, range(10), [kind])
    assert ends.broken == ()
    assert len(ends.silent) <= 2, ends.silent
    assert len(ends.told) >= 2


@pytest.mark.hostile
def test_three_hundred_mutants(rendered: dict[str, bytes], record_property: Report) -> None:
    folder = os.environ.get("VIZKIT_TEST_MEDIA")
    clips = mutants.real_clips(Path(folder)) if folder else rendered
    ends = mutants.tried(clips, range(10, 60), mutants.KINDS)
    record_property(
        MUTANTS, ("real" if folder else "rendered", *(len(names) for names in (ends.every, ends.broken, ends.told, ends.silent)))
    )
    assert ends.broken == ()
    assert len(ends.silent) <= SILENT_SHARE * 300, ends.silent
    assert len(ends.told) >= TOLD_SHARE * 300
