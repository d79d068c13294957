"""The page of numbers: it says what the cards say, and what a comparison gave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.learn.test_worth import confusion, row
from vizkit.checkpoint import checkpoint_folder, checkpoints
from vizkit.learn.compare import compare_rows
from vizkit.learn.pictures import LISTING, TRAINED, UNTRAINED, draw_pictures, load_pictures
from vizkit.learn.table import PAGE, WORTH, write_page


def test_the_page_of_numbers_is_what_the_cards_say() -> None:
    page = (checkpoint_folder() / PAGE).read_text(encoding="utf-8")
    assert page == write_page(), "run `make tables`"
    assert all(f"`{entry.name}`" in page for entry in checkpoints())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One checkpoint, one picture of it, and what its module adds."""
    shutil.copytree(checkpoint_folder() / "cpnet-world", tmp_path / "cpnet-world")
    text = 'view = "cpnet"\nclip = "world:demo:12"\nseen = "Seen."\nreal = "Real."\n'
    (tmp_path / LISTING).write_text(f"[cpnet-world]\n{text}", encoding="utf-8")
    better = confusion(20, 20, 60)
    better[0], better[1] = confusion(90, 5, 5)[0], confusion(90, 5, 5)[1]
    rows = [row("twin", confusion(20, 20, 60)), row("temporal", confusion(40, 20, 40)), row("network", better, gmacs=2.0)]
    plan = {"test_clips": 1600, "side_px": 64, "control_clips": 400, "seeds": [0]}
    (tmp_path / WORTH).write_text(json.dumps({"plan": plan, "missing": ["mine/twin/1"], **compare_rows(rows)}), encoding="utf-8")
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(tmp_path))
    return tmp_path


def test_what_a_module_adds_is_told_with_its_bar_and_its_pairs(folder: Path) -> None:  # noqa: ARG001
    page = write_page()
    assert "1,600 test clips of 64 px each, the two controls on the first 400" in page
    assert "- `mine`: +10.0 points over its twin (by seed +10.0): the bar is met; -10.0 points over temporal convolutions" in page
    assert "-50.0 % of its multiply-adds" in page
    assert "Not trained: mine/twin/1." in page
    (pairs,) = [line for line in page.splitlines() if line.startswith("| mine | network | **")]
    assert pairs.split(" | ")[2:5] == ["**0.900**", "0.200", "0.200"]


def test_untrained_numbers_stand_beside_the_trained_ones(folder: Path) -> None:
    card = json.loads((folder / "cpnet-world" / "card.json").read_text(encoding="utf-8"))
    card["untrained"] = {"cpnet.hit_rate": {"value": 0.111, "interval": [0.1, 0.2], "n": 1, "clips": 1, "command": "none"}}
    (folder / "cpnet-world" / "card.json").write_text(json.dumps(card), encoding="utf-8")
    trained = card["test"]["cpnet.hit_rate"]["value"]
    (line,) = [line for line in write_page().splitlines() if line.startswith("| cpnet.hit_rate |")]
    assert f"| {trained:.3f} [" in line
    assert line.endswith("| 0.111 [0.100, 0.200] |")


def test_cross_validation_on_real_people_has_its_table_and_its_command(folder: Path) -> None:
    assert "On real people" not in write_page()
    card = json.loads((folder / "cpnet-world" / "card.json").read_text(encoding="utf-8"))
    share = {"value": 0.7, "interval": [0.6, 0.8], "n": 120}
    scores = {order: {"class": share, "direction": {**share, "value": value}} for order, value in
              (("in_order", 0.72), ("shuffled", 0.52), ("one_frame", 0.5))}  # fmt: skip
    card["folds"] = {"folds": 10, "seeds": 2, "scores": scores, "command": "vizkit folds somewhere"}
    (folder / "cpnet-world" / "card.json").write_text(json.dumps(card), encoding="utf-8")
    page = write_page()
    (line,) = [line for line in page.splitlines() if line.startswith("| `cpnet-world` | 10 | 2 |")]
    assert line.split(" | ")[3] == card["training"]["precision"]
    assert line.split(" | ")[5] == "0.720 [0.600, 0.800]"
    assert line.split(" | ")[7] == "0.520 [0.600, 0.800]"
    assert "- `cpnet-world`: `vizkit folds somewhere`" in page


@pytest.mark.slow
def test_pictures_are_drawn_trained_beside_untrained_and_are_on_the_page(folder: Path) -> None:
    written = draw_pictures(folder)
    assert written == [folder / "cpnet-world" / name for name in (TRAINED, UNTRAINED)]
    assert written[0].read_bytes() != written[1].read_bytes()
    assert all(Image.open(path).width > 900 for path in written)
    assert max(path.stat().st_size for path in written) < 200_000
    page = write_page()
    assert all(f"](cpnet-world/{name})" in page for name in (TRAINED, UNTRAINED))
    assert "Seen." in page
    assert "Real." in page


def test_every_picture_of_the_page_is_there_and_shows_a_clip_that_anyone_can_render() -> None:
    for picture in load_pictures(checkpoint_folder()):
        assert picture.clip.startswith("world:")
        assert all((checkpoint_folder() / picture.model / name).is_file() for name in (TRAINED, UNTRAINED)), "run `make pictures`"
