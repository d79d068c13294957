"""What the README and the docs show works, and what they link to is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vizkit.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.media
def test_the_python_examples_run_as_shown(media: Path, tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    assert "vizkit.wrap" in code
    shutil.copyfile(media / "clips" / "cups.mp4", tmp_path / "cups.mp4")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF-")


def test_the_table_of_commands_is_complete() -> None:
    shown = re.findall(r"^\| `(\w+)[ `]", README, re.MULTILINE)
    assert list(dict.fromkeys(shown)) == list(main.commands)


@pytest.mark.parametrize("command", re.findall(r"^\| `([\w .,:\"/=-]+)` \|", README, re.MULTILINE))
def test_options_of_the_table_exist(command: str) -> None:
    name, *rest = command.split()
    known = {option for parameter in main.commands[name].params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_named_in_the_docs_exist(page: Path) -> None:
    """``mine`` is the made-up paper of docs/add_a_module.md, ``NAME`` stands for any."""
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"`((?:vizkit|pages|checkpoints|tests)/[\w/.-]+)`", text)
    assert [name for name in files if "mine" not in name and "NAME" not in name and not (ROOT / name).exists()] == []
    modules = {name.removesuffix("()").split(".<")[0] for name in re.findall(r"`(vizkit(?:\.\w+)+)`", text)}
    missing = [name for name in modules if not _exists(name)]
    assert missing == []


def _exists(dotted: str) -> bool:
    """A module, or a name inside one."""
    from importlib import import_module

    parts = dotted.split(".")
    try:
        import_module(dotted)
    except ModuleNotFoundError:
        return hasattr(import_module(".".join(parts[:-1])), parts[-1])
    return True
