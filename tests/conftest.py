"""Fixtures for what a test may need from outside: real clips, a browser, ffmpeg.

What is missing skips a test on a developer's machine and fails it where ``CI=true``: there, nothing may be missing unnoticed.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest

# One thread: the last bits of a result depend on the number of threads. Read when torch and vizkit.net are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VIZKIT_THREADS", "1")

ON_CI = os.environ.get("CI", "").lower() == "true"
MISSING = re.compile(r"is missing|not installed|could not import|no module named|VIZKIT_TEST_MEDIA|chromium|ffmpeg", re.IGNORECASE)


def missing(what: str) -> NoReturn:
    """Skip the test that needs ``what``; fail it where CI=true."""
    if ON_CI:
        pytest.fail(f"{what} is missing", pytrace=False)
    pytest.skip(f"{what} is missing")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test and its fixtures draw the same numbers, alone or after others."""
    import torch  # not before the number of threads is set

    random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Where CI=true, a test that skips itself for want of a tool fails, whichever way it skipped."""
    report = yield
    if ON_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if MISSING.search(reason):
            report.outcome, report.longrepr = "failed", f"{reason} (nothing may be missing where CI=true)"
    return report


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder with real media: ``clips/`` and ``data/``."""
    folder = os.environ.get("VIZKIT_TEST_MEDIA", "")
    if not folder:
        missing("VIZKIT_TEST_MEDIA, the folder of real clips,")
    path = Path(folder)
    assert (path / "clips").is_dir(), f"VIZKIT_TEST_MEDIA={folder} holds no folder clips/"
    return path


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("chromium")
    return Path(found)


@pytest.fixture(scope="session")
def ffmpeg() -> Path:
    """The program ffmpeg, for clips that only it can make."""
    found = shutil.which("ffmpeg")
    if found is None:
        missing("ffmpeg")
    return Path(found)
