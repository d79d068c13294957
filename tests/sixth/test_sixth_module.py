"""A sixth module is one folder, one line of the catalogue and one page: proven in a copy of the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"

PAGE_TEST = """
from streamlit.testing.v1 import AppTest

def test_page():
    page = AppTest.from_file("{page}", default_timeout=120)
    page.session_state["model"] = "sixth-18"
    page.query_params["model"] = "sixth-18"
    page.run()
    assert not page.exception
    assert not page.error
    assert page.title[0].value == "Feature differences"
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the sixth module added as docs/add_a_module.md says."""
    copy = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("vizkit", "pages", "checkpoints", "tests", ".streamlit"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(FILES / "motion" / "sixth", copy / "vizkit" / "motion" / "sixth")
    shutil.copy(FILES / "pages" / "sixth.py", copy / "pages" / "sixth.py")
    catalog = copy / "vizkit" / "catalog.py"
    text = catalog.read_text(encoding="utf-8")
    assert text.count(".MODULE,") >= 1
    last = next(line for line in text.splitlines() if line.startswith("MODULES"))
    added = last[:-1].rstrip(",") + ", sixth.MODULE)"
    text = text.replace(last, added).replace("from vizkit.motion import ", "from vizkit.motion import sixth, ")
    catalog.write_text(text, encoding="utf-8")
    return copy


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a tool on the copy, with the copy's package."""
    return subprocess.run(
        [sys.executable, *command], cwd=tree, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tree)}
    )


@pytest.mark.slow
def test_it_keeps_every_contract(tree: Path) -> None:
    told = run(tree, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_every_module.py", "-k", "sixth")
    assert told.returncode == 0, told.stdout + told.stderr
    passed = re.search(r"(\d+) passed", told.stdout)
    assert passed, told.stdout
    assert int(passed[1]) >= 14


@pytest.mark.slow
def test_commands_and_page_know_it(tree: Path, tmp_path: Path) -> None:
    figure = tmp_path / "sixth.png"
    told = run(tree, "-m", "vizkit", "render", "world:demo:12:side_px=64", "--model", "sixth-18", "--view", "sixth", "--out", str(figure))
    assert told.returncode == 0, told.stderr
    assert figure.stat().st_size > 10_000
    (tree / "tests" / "test_sixth_page.py").write_text(PAGE_TEST.format(page=tree / "pages" / "sixth.py"), encoding="utf-8")
    told = run(tree, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_sixth_page.py")
    assert told.returncode == 0, told.stdout + told.stderr


def test_imports_keep_their_direction(tree: Path) -> None:
    told = run(tree, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
    assert "0 broken" in told.stdout, told.stdout + told.stderr
