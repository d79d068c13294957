"""The components' code: one module each, nothing fetched, no way from text to markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vizkit.ui
from vizkit.ui.bundle import DOM, bundle

UI = Path(vizkit.ui.__file__).parent
SCRIPTS = sorted(UI.rglob("*.js"))


def test_bundle_is_one_module(tmp_path: Path):
    first, second = tmp_path / "first.js", tmp_path / "second.js"
    first.write_text("export const ONE = 1;\nexport function one() {}\n")
    second.write_text('import { ONE, one } from "./first.js";\nexport default function mount() { one(ONE); }\n')
    assert bundle(first, second) == "const ONE = 1;\nfunction one() {}\n\nexport default function mount() { one(ONE); }\n"


@pytest.mark.parametrize("name", ["player", "timeline"])
def test_shipped_bundles_hold_all_that_they_import(name: str):
    last = UI / name / f"{name}.js"
    modules = [DOM, *(UI / name).glob("*.js")]
    text = bundle(*(module for module in modules if module != last), last)
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    assert not re.findall(r"^import ", text, re.MULTILINE)
    names = re.findall(r"^(?:function|const|class) (\w+)", text, re.MULTILINE)
    assert len(names) == len(set(names)), "two modules use one name"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_build_no_markup_and_fetch_nothing(script: Path):
    text = script.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    assert re.findall(r"https?://[\w./]+", text) in ([], ["http://www.w3.org/2000/svg"])
    assert len(text.splitlines()) <= 400
