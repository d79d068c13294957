"""Names from users are text wherever they come out: clips, labels and checkpoints that are markup, formulas, mathtext or controls."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import vizkit
from tests.hostile.names import NAMES
from vizkit.catalog import architecture
from vizkit.checkpoint import load_network, write_checkpoint
from vizkit.cli import main
from vizkit.contracts import Prediction
from vizkit.figure.spec import FigureSpec, Table
from vizkit.harmless import UNSEEN, cell, visible
from vizkit.recipe import Recipe
from vizkit.render.write import render
from vizkit.snippets import command_line, python_lines
from vizkit.ui.panels import bars_html
from vizkit.ui.words import plain

PLANTED = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "**bold** :red[red] `code`",
    r"$\nosuch{$ a$_^$b",
    '=HYPERLINK("http://evil.example")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "e\u202egpj",
    "\x1b[31mred\x1b[0m",
    "tab\tand\nbreak",
)
"""One of every kind."""
ACTS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{''.join(UNSEEN)}]")


class Tags(HTMLParser):
    """Collects tags and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"@{name}" for name, _ in attrs)}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose labels and name are what should not be."""
    folder = tmp_path_factory.mktemp("stranger")
    torch.manual_seed(0)
    options = {"width": 8, "stem": "5x5/2", "dropout": 0.0, "blocks": ["res3.1", "res4.0"], "neighbors": 4, "last_gain": 1.0, "shrink": 1}
    card = {
        "name": PLANTED[0], "architecture": "cpnet-18", "options": options, "labels": list(PLANTED), "mean": [0.5] * 3, "std": [0.25] * 3,
        "sampling": {"segments": 4, "short_side_px": 48, "crop_px": 48}, "origin": "trained", "license": PLANTED[4], "notes": [PLANTED[10]],
    }  # fmt: skip
    write_checkpoint(folder, architecture("cpnet-18").build(len(PLANTED), **options), card)
    return folder


def clip(folder: Path, name: str = "clip") -> Path:
    path = folder / f"{name}.npz"
    np.savez(path, frames=np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8))
    return path


def figure(stranger: Path, tmp_path: Path, name: str) -> FigureSpec:
    network = load_network(stranger)
    opened = vizkit.open_clip(clip(tmp_path), name=name)
    return vizkit.figure(vizkit.analyze("gradcam", vizkit.probe(network, opened)))


# ------------------------------------------------------------------------------------------------ one helper for each sink


@pytest.mark.parametrize("text", PLANTED)
def test_a_terminal_and_a_reader_see_every_letter_and_none_acts(text: str) -> None:
    assert not ACTS.search(visible(text))
    assert len(visible(text)) == len(text)
    assert visible("影片 naïve 👩‍🔬 नमस्ते") == "影片 naïve 👩‍🔬 नमस्ते"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A", "\t=1", "\r=1", "\n=1", "  =1"])
def test_a_spreadsheet_runs_no_cell(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell(-1) == -1
    assert cell("a=1") == "a=1"


@pytest.mark.parametrize("text", PLANTED)
def test_a_page_shows_letters_and_no_markup(text: str) -> None:
    tags = Tags()
    tags.feed(bars_html(Prediction(np.zeros(1, np.float32), (text,))))
    assert tags.found <= {"table", "tr", "th", "td", "div", "@class", "@aria-label", "@scope", "@title", "@style"}
    assert not ACTS.search(bars_html(Prediction(np.zeros(1, np.float32), (text,))))
    escaped = plain(text)
    assert not ACTS.search(escaped)
    assert all(escaped[place - 1] == "\\" for place, letter in enumerate(escaped) if letter in "![]()*<>$:`#^_")


# ------------------------------------------------------------------------------------------------ what is written


@pytest.mark.parametrize(
    "name",
    [NAMES[name][1].replace(".mp4", ".npz") for name in ("$\\nosuch{$.mp4", "<b>bold</b>.mp4", "a$_^$b.mp4", "\x1b[31mred\x1b[0m.mp4")],
)
def test_every_format_is_made_and_holds_text_alone(name: str, stranger: Path, tmp_path: Path) -> None:
    spec = figure(stranger, tmp_path, name)
    assert any(label in spec.caption + spec.title + spec.alt for label in PLANTED), "a planted label is in the figure"
    made = {form: render(spec, form) for form in ("png", "pdf", "svg", "csv", "json", "gif")}
    assert all(made.values())
    root = ET.fromstring(made["svg"])
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "img", "a", "b", "foreignObject", "iframe"}
    assert not [key for element in root.iter() for key in element.attrib if key.rpartition("}")[2].startswith("on")]
    assert not ACTS.search(made["svg"].decode())
    for row in csv.reader(io.StringIO(made["csv"].decode(), newline="")):
        assert not [entry for entry in row if entry.startswith(("=", "@", "\t")) or (entry[:1] in "+-" and not _number(entry))]
    assert json.loads(made["json"])["clip"]["name"] == name
    assert made["json"].isascii()


def _number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def test_labels_in_a_table_are_no_formulas() -> None:
    spec = FigureSpec(title="", caption="", alt="", panels=(), table=Table(("label", "value"), tuple((text, -1.0) for text in PLANTED)))
    rows = list(csv.reader(io.StringIO(render(spec, "csv").decode(), newline="")))[1:]
    assert [row[0] for row in rows] == [f"'{text}" if text[0] in "=+-@" else text for text in PLANTED]
    assert {row[1] for row in rows} == {"-1.0"}


@pytest.mark.parametrize("name", ["-i.mp4", "--help.mp4", "$(touch ran).mp4", "`touch ran`.mp4", "a;b&c|d.mp4", "e\u202egpj.mp4", "'\"\\"])
def test_words_to_paste_name_the_file_and_do_nothing_else(name: str, stranger: Path, tmp_path: Path) -> None:
    recipe = Recipe.parse(**{**figure(stranger, tmp_path, "clip.npz").recipe, "clip": {"name": name, "digest": "0"}})
    own = load_network(stranger).sampling
    words = shlex.split(command_line(recipe, own))
    assert words[2] == (f"./{name}" if name.startswith("-") else name)
    assert words[:2] == ["vizkit", "render"]
    script = python_lines(recipe, own)
    compile(script, "script", "exec")
    assert repr(name) in script
    assert not ACTS.search(script)


def test_the_command_line_cannot_be_made_to_act(stranger: Path, tmp_path: Path) -> None:
    for name in ("plain", "red\x1b[31m", "e\u202egpj"):
        path = clip(tmp_path, name)
        for words in (["predict", str(path), "--model", str(stranger), "--top", "12"], ["inspect", str(path)], ["inspect", str(stranger)]):
            told = CliRunner().invoke(main, words)
            assert told.exception is None or isinstance(told.exception, SystemExit)
            assert not ACTS.search(told.output), (words, told.output)
            as_json = CliRunner().invoke(main, [*words, "--json"]).output
            assert json.loads(as_json)
