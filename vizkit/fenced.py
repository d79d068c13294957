"""Throw-away processes: what strangers wrote is decoded and loaded in one of these, never in the server.

The parent calls :func:`run`; the child calls :func:`confine` before it looks at anything.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STDERR_BYTES = 4_000
OPEN_FILES = 64
START = "import sys; sys.path.insert(0, sys.argv[1]); from {module} import main; main()"

logger = logging.getLogger(__name__)


class Broken(Exception):
    """The child did not come to its end.

    Args:
        reason: ``"too_slow"``, ``"stopped"`` (killed by the system, most likely for want of memory) or ``"crashed"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def command(module: str) -> list[str]:
    """Command line of a child: this interpreter, isolated, with nothing of the user's on its path.

    Args:
        module: dotted name of the module whose ``main`` runs.
    """
    return [sys.executable, "-I", "-c", START.format(module=module), str(Path(__file__).resolve().parents[1])]


def environment() -> dict[str, str]:
    """The child's environment: nothing of the server's but where its libraries are."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return kept | {"HOME": "/nonexistent", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(line: Sequence[str], job: Mapping[str, Any], passed: Sequence[int], wall_s: float) -> None:
    """Run a child to its end in an empty folder of its own, or kill it when its time is up.

    Args:
        line: from :func:`command`.
        job: what it is told, as JSON on its standard input.
        passed: descriptors that it may use, and no others.
        wall_s: seconds.

    Raises:
        Broken: it was killed, or ended by itself in another way than it should; the log says more.
    """
    with tempfile.TemporaryFile(prefix="vizkit-") as stderr, tempfile.TemporaryDirectory(prefix="vizkit-") as empty:
        try:
            done = subprocess.run(
                line, input=json.dumps(job).encode(), stdout=subprocess.DEVNULL, stderr=stderr, cwd=empty, env=environment(),
                pass_fds=passed, timeout=wall_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Broken("too_slow") from None
        if done.returncode:
            end = os.fstat(stderr.fileno()).st_size
            said = os.pread(stderr.fileno(), STDERR_BYTES, max(0, end - STDERR_BYTES))
            logger.error("fenced child ended with status %d: %s", done.returncode, said.decode(errors="replace"))
            raise Broken({-signal.SIGXCPU: "too_slow", -signal.SIGKILL: "stopped"}.get(done.returncode, "crashed"))


def confine(bounds: Mapping[int, int]) -> None:
    """Bound what this process may use, for good; it leaves no core file and opens few files.

    Args:
        bounds: kind of limit (``resource.RLIMIT_...``) -> the most.
    """
    for kind, most in {**bounds, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: OPEN_FILES}.items():
        allowed = resource.getrlimit(kind)[1]
        hard = most + (kind == resource.RLIMIT_CPU)
        hard = hard if allowed == resource.RLIM_INFINITY else min(hard, allowed)
        # one CPU second lies between SIGXCPU, which tells what happened, and SIGKILL, which does not
        resource.setrlimit(kind, (min(most, hard), hard))
