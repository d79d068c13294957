"""What is said of every network without looking at it again: all that ships stands there, as it is."""

from __future__ import annotations

import json

import pytest

from vizkit import describe
from vizkit.catalog import architecture
from vizkit.checkpoint import checkpoints


def test_what_stands_in_the_file_is_what_a_look_finds() -> None:
    kept = json.loads(describe.FOUND.read_text(encoding="utf-8"))
    found = describe.look_at_all()
    assert kept.keys() == found.keys(), "run `make tables`"
    assert {key: (kept[key], found[key]) for key in kept if kept[key] != found[key]} == {}, "run `make tables`"


def test_networks_that_ship_are_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "look", lambda asked: pytest.fail(f"{asked} was looked at"))
    assert describe.describe_architecture(architecture("cpnet-34"))["params"] == 21_638_126
    (entry,) = (entry for entry in checkpoints() if entry.name == "cpnet-world")
    assert describe.describe_checkpoint(entry)["params"] == entry.card["cost"]["params"]


@pytest.mark.parametrize("change", [{"classes": 5}, {"frames": 4}, {"size_px": 64}, {"options": {"width": 8}}, {"paper": False}])
def test_another_question_has_another_answer(change: dict[str, object]) -> None:
    asked = {"architecture": "cpnet-18", "classes": 400, "options": {}, "frames": 8, "size_px": 112, "paper": True}
    assert describe.question(asked) == describe.question(dict(asked))
    assert describe.question({**asked, **change}) != describe.question(asked)


def test_a_view_more_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"architecture": "cpnet-18", "classes": 400, "options": {}, "frames": 8, "size_px": 112, "paper": True}
    before = describe.question(asked)
    monkeypatch.setattr(describe, "VIEWS", describe.VIEWS[:-1])
    assert describe.question(asked) != before
