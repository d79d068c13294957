"""Measuring side by side: interleaved rounds, the load by other programs, peak memory in fresh processes, verdict lines."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROUNDS, TRIES = 7, 3
NOISY_CORES = 0.25
SAMPLE_S = 0.02
RETRY_S = 20.0


class Timing(NamedTuple):
    """Times of several forms, measured side by side."""

    ms: dict[str, float]
    """Median milliseconds of one call of each form."""
    others_cores: float
    """Cores that other programs used meanwhile."""

    @property
    def noise(self) -> str:
        """A remark where other programs disturbed the measurement."""
        return f"   NOISY: others used {self.others_cores:.1f} cores" if self.others_cores > NOISY_CORES else ""


def side_by_side(forms: Mapping[str, Callable[[], Any]], threads: int, rounds: int = ROUNDS, tries: int = TRIES) -> Timing:
    """Time forms in turn, the order reversed every round: CPU time for one thread, wall time for more.

    Where others use more than a quarter of a core and a try takes less than 20 s it is repeated; the calmest of three counts.

    Args:
        forms: the calls by name; every one is called twice before.
        threads: that are in force.
        rounds: samples of each form; one sample lasts 20 ms or one call.
        tries: at most.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    counts = {}
    for name, call in forms.items():
        call()
        start = clock()
        call()
        counts[name] = max(1, math.ceil(SAMPLE_S / max(clock() - start, 1e-4)))
    found: list[Timing] = []
    began = time.perf_counter()
    while not found or (len(found) < tries and found[-1].noise and time.perf_counter() - began < RETRY_S):
        found.append(_one_try(forms, counts, clock, rounds))
    return min(found, key=lambda timing: timing.others_cores)


def _one_try(forms: Mapping[str, Callable[[], Any]], counts: Mapping[str, int], clock: Callable[[], float], rounds: int) -> Timing:
    taken: dict[str, list[float]] = {name: [] for name in forms}
    before = busy_s()
    for number in range(rounds):
        for name in list(forms)[:: 1 if number % 2 else -1]:
            start = clock()
            for _ in range(counts[name]):
                forms[name]()
            taken[name].append((clock() - start) / counts[name] * 1000)
    machine, own, wall = (now - then for now, then in zip(busy_s(), before, strict=True))
    return Timing({name: statistics.median(values) for name, values in taken.items()}, max(0.0, (machine - own) / wall))


def busy_s() -> tuple[float, float, float]:
    """Busy seconds of the machine and of this process, and the time."""
    ticks = [int(value) for value in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), time.process_time(), time.perf_counter()


def peak_mib(prepare: str, work: str) -> float:
    """Peak memory of ``work`` in a fresh process with one thread, above what is in use after ``prepare``.

    Args:
        prepare: Python statements; they find the modules of this folder and of the project.
        work: Python statements.
    """
    code = "\n".join(
        (
            "import sys, pathlib",
            f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}",
            "import torch; torch.set_num_threads(1)",
            "most = lambda: int(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))",
            prepare,
            "pathlib.Path('/proc/self/clear_refs').write_text('5'); before = most()",
            work,
            "print('peak', (most() - before) / 1024)",
        )
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "VIZKIT_THREADS": "1"}
    told = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return float(told.split()[-1])


def verdict(good: bool, what: str) -> int:
    """Print one verdict.

    Returns:
        1 where it fails, else 0: to be summed up.
    """
    print(f"{'PASS' if good else 'FAIL'} {what}", flush=True)
    return int(not good)
