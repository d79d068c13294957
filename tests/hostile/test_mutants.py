"""Damaged clips: never a crash, never a hang, and a word about every damage that the decoder can see.

A picture that was changed into another valid picture is beyond any decoder: most formats carry no checksums. These are counted and
bounded; docs/safety.md says which they are and why nothing tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import mutants
from tests.hostile.conftest import MUTANTS

MOST_SILENT = {"real": 15, "rendered": 36}
"""Of 300; there are 13 and 31 (docs/safety.md)."""
LEAST_TOLD = 180
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
    origin, clips = ("real", mutants.real_clips(Path(folder))) if folder else ("rendered", rendered)
    ends = mutants.tried(clips, range(10, 60), mutants.KINDS)
    record_property(MUTANTS, (origin, *(len(names) for names in (ends.every, ends.broken, ends.told, ends.silent))))
    assert len(ends.every) == 300
    assert ends.broken == ()
    assert len(ends.silent) <= MOST_SILENT[origin], ends.silent
    assert len(ends.told) >= LEAST_TOLD
