"""Hostile clips: each gets its verdict and its reason in one line, what opens shows the right frames, and nothing else is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clip.bars import all_bars
from tests.hostile.clips import CASES, FAST, Case
from tests.hostile.conftest import Bait
from tests.hostile.films import plain
from tests.hostile.names import NAMES
from vizkit.clip import inspect_clip, open_clip
from vizkit.clip.limits import Limits
from vizkit.clip.messages import shown_name
from vizkit.errors import ClipError


def _marked(case: Case) -> object:
    return pytest.param(case, id=case.name, marks=() if case.name in FAST else pytest.mark.hostile)


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_clip_is_what_it_is_said_to_be(case: Case, bait: Bait) -> None:
    path = bait.folder / case.name
    path.write_bytes(case.make(bait.folder))
    found = inspect_clip(path)
    assert (found["verdict"], found["code"]) == (case.verdict, case.code), found["message"]
    assert len(found["message"]) <= 160
    assert "\n" not in found["message"]
    assert str(bait.folder) not in found["message"]
    assert bait.asked == []
    if case.verdict == "reject":
        with pytest.raises(ClipError) as caught:
            open_clip(path)
        assert caught.value.code == case.code
        return
    assert {name: found["facts"][name] for name in case.facts} == case.facts
    if case.bars is not None:
        clip = open_clip(path)
        assert all_bars(clip.read(range(clip.frames))) == list(case.bars)


def test_there_are_95_clips_and_54_names() -> None:
    assert len({case.name for case in CASES}) == 95
    assert len(NAMES) == 54
    assert {case.code for case in CASES if case.name in FAST} >= {
        *("", "empty", "unreadable", "no_video_stream", "no_frames", "type_not_allowed", "too_small", "too_large"),
        *("short_read", "corrupt_frames", "count_mismatch", "timestamps", "vfr", "odd_fps", "streams", "size_change", "too_short"),
    }


OFTEN = ("../../../../tmp/escape.mp4", "clip.mp4\0.png", "\x1b[31mred\x1b[0m.mp4", '"><script>alert(1)</script>.mp4', "..", "\ud800.mp4")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.hostile) for name in NAMES])
def test_a_name_is_text_and_nothing_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, shown = NAMES[name]
    found = inspect_clip(plain(), name)
    assert (found["verdict"], found["code"]) == (("reject", code) if code else ("ok", ""))
    assert found["facts"]["name"] == shown == shown_name(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.hostile
def test_a_bomb_stops_at_the_limit_of_memory_or_time(bait: Bait) -> None:
    case = next(case for case in CASES if case.name == "8k.mp4")
    made = case.make(bait.folder)
    for limits, code in ((Limits(memory_bytes=500_000_000), "too_large"), (Limits(wall_s=0.2), "too_slow")):
        assert inspect_clip(made, case.name, limits=limits)["code"] == code
