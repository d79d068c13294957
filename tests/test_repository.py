"""The repository itself: pins, lazy imports, what the source must not hold, the Makefile, the shipped settings."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = sorted((ROOT / "vizkit").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "torchvision", "streamlit", "plotly", "matplotlib", "cv2", "av")


def trees() -> list[tuple[Path, ast.Module]]:
    return [
        (path, ast.parse(path.read_text(encoding="utf-8"))) for path in [*SOURCE, ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
    ]


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


# ------------------------------------------------------------------------------------------------ pins


def test_requirements_repeat_the_runtime_dependencies() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == PROJECT["dependencies"]


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_installed_versions_are_the_pinned_ones(requirement: str) -> None:
    name, pinned = requirement.split("==")
    assert version(name) == pinned


def test_both_opencv_wheels_are_of_one_version_and_the_headless_one_lies_on_top() -> None:
    import cv2

    assert version("opencv-python") == version("opencv-python-headless") == "4.14.0.94"
    assert cv2.__version__ == "4.14.0"
    gui = next(line.split(":")[1].strip() for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:"))
    assert gui == "NONE"


def test_bundled_decoders_are_past_the_known_hole() -> None:
    import av
    import cv2

    opencv = re.search(r"avcodec:\s+YES \((\d+)\.(\d+)\.(\d+)\)", cv2.getBuildInformation())
    assert opencv is not None
    assert tuple(map(int, opencv.groups())) >= (62, 28, 102)
    assert av.library_versions["libavcodec"] >= (62, 28, 102)


def test_citation_names_the_version() -> None:
    import vizkit

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {vizkit.__version__}\n" in citation


# ------------------------------------------------------------------------------------------------ imports


@pytest.mark.parametrize("module", ["vizkit", "vizkit.contracts", "vizkit.errors", "vizkit.figure.spec", "vizkit.catalog", "vizkit.cli"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    allowed = {"cv2"} if module == "vizkit.figure.spec" else set()
    assert set(loaded) <= allowed


def test_every_public_name_is_there_and_documented() -> None:
    import vizkit

    for name in vizkit.__all__:
        assert getattr(vizkit, name).__doc__, name
    assert set(vizkit.__all__) <= set(dir(vizkit))
    with pytest.raises(AttributeError, match="no_such_name"):
        vizkit.no_such_name  # noqa: B018


def test_every_module_imports() -> None:
    for path in SOURCE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__" and "ui" not in parts:
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


# ------------------------------------------------------------------------------------------------ the source


FORBIDDEN_CALLS = re.compile(
    r"^(pickle|cPickle|dill|joblib)\.loads?$|^torch\.hub\.|^torch\.jit\.load$|^marshal\.loads?$|^(eval|exec|print)$"
)


def test_source_calls_nothing_that_runs_foreign_code_or_prints() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {dotted(node.func)}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and FORBIDDEN_CALLS.search(dotted(node.func))
    ]
    assert found == []


def test_no_loader_is_opened_up() -> None:
    """``torch.load`` only with ``weights_only=True``, ``numpy.load`` never with ``allow_pickle=True``."""
    found = []
    for path, tree in trees():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            open_torch = dotted(node.func) == "torch.load" and given.get("weights_only") != "True"
            if open_torch or given.get("allow_pickle") == "True" or given.get("weights_only") == "False":
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert found == []


def test_no_file_is_longer_than_400_lines_and_no_function_longer_than_40() -> None:
    long_files = [path.name for path in SOURCE if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert long_files == []
    long_functions = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {_code_lines(node)} lines"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and _code_lines(node) > 40
    ]
    assert long_functions == []


def _code_lines(function: ast.FunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_streamlit_is_used_only_by_pages_and_the_user_interface() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and re.search(r"\bstreamlit\b", ast.unparse(node))
    }
    assert users
    assert all(user == "app.py" or user.startswith(("pages/", "vizkit/ui/")) for user in users)


# ------------------------------------------------------------------------------------------------ tools and settings


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE)
    shown = subprocess.run(["make", "--no-print-directory", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {"run", "test", "check", "install", "format"} <= set(targets)
    assert [line.split()[1] for line in shown.splitlines()] == targets


def test_hooks_call_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    entries = re.findall(r"entry: make (\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    check = re.search(r"^check: (.*) ##", makefile, re.MULTILINE)
    assert check is not None
    assert entries == check.group(1).split()


def test_ci_runs_the_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert script.rstrip().endswith("\nexec make test")
    assert "\nmake test\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_shipped_settings_keep_the_app_local() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    server = settings["server"]
    assert server["address"] == "127.0.0.1"
    assert server["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert server["maxUploadSize"] == 100
    assert server["disconnectedSessionTTL"] == 30
    assert server["enableXsrfProtection"] is True
    assert server["enableCORS"] is True
    assert server["enableStaticServing"] is False
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_contrast_is_at_least_4_5(theme: str) -> None:
    colors = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"][theme]
    for ink in ("textColor", "primaryColor", "linkColor"):
        for page in ("backgroundColor", "secondaryBackgroundColor"):
            assert _contrast(colors[ink], colors[page]) >= 4.5, (ink, page)


def _contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# ------------------------------------------------------------------------------------------------ the guard of conftest.py


PROBE = """
import pytest

def test_tool(request):
    pytest.skip("chromium is missing")

def test_other():
    pytest.skip("only on Windows")
"""


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed, 1 skipped"), ("", "2 skipped")])
def test_a_missing_tool_fails_where_ci_is_true(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_probe.py").write_text(PROBE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CI": ci}, cwd=tmp_path, check=False).stdout
    assert outcome in told
