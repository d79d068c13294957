"""A card's scores of a view, as a page shows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from vizkit.catalog import VIEWS
from vizkit.checkpoint import checkpoint_folder
from vizkit.ui.measured import scores_html


def entry(value: float, clips: int = 200) -> dict[str, Any]:
    command = f"vizkit score cpnet-world --clips {clips} --json"
    return {"value": value, "interval": [value - 0.1, value + 0.1], "n": 9, "clips": clips, "command": command}


def test_both_networks_stand_side_by_side_and_names_are_escaped():
    table = scores_html({"hit_rate": entry(0.7), "<b>_deg": entry(20.0)}, {"hit_rate": entry(0.4)})
    rows = table.split("<tr>")[2:]
    assert "Hit rate" in rows[0]
    assert "<td>0.7 [0.6, 0.8]</td><td>0.4 [0.3, 0.5]</td>" in rows[0]
    assert "&lt;b&gt; (deg)" in rows[1]
    assert "<td>20 [19.9, 20.1]</td><td>–</td>" in rows[1]


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with a card that can be changed."""
    shutil.copytree(checkpoint_folder() / "cpnet-world", tmp_path / "cpnet-world")
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(tmp_path))
    return tmp_path / "cpnet-world" / "card.json"


def shown(view: str) -> AppTest:
    def page(view: str) -> None:
        from vizkit.ui.measured import measured

        measured(view, "cpnet-world")

    return AppTest.from_function(page, kwargs={"view": view}, default_timeout=60).run()


def test_the_headline_is_in_sight_and_the_commands_are_named(cards: Path):
    card = json.loads(cards.read_text(encoding="utf-8"))
    card |= {
        "test": {"cpnet.change_precision": entry(0.7), "world.accuracy_64": entry(0.9)},
        "untrained": {"cpnet.change_precision": entry(0.2, 50)},
    }
    cards.write_text(json.dumps(card), encoding="utf-8")
    page = shown("cpnet")
    assert not page.exception
    said = [caption.value.replace("\\", "") for caption in page.caption]
    assert said[0] == "On 200 clips of known motion: change precision 0.7 [0.6, 0.8]; with random weights 0.2 [0.1, 0.3]"
    assert all(f"`vizkit score cpnet-world --clips {clips} --json`" in said[1] for clips in (200, 50))


def test_a_view_that_the_card_says_nothing_of_has_no_scores(cards: Path):  # noqa: ARG001
    page = shown("kpsem")
    assert not page.exception
    assert not page.caption


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
def test_headlines_are_measures_that_the_score_explains(view: Any):
    import importlib

    words = importlib.import_module(view.score.partition(":")[0]).score.__doc__
    assert all(part in words for part in view.headline.replace("_res3_", "_ ").split())
