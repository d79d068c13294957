"""What the tests of kills run in a process of its own: each says that it begins, and goes on until it is done or killed.

The processes are forks of one that has imported all this already, so that a kill costs no imports.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vizkit.figure.spec import FigureSpec, Table
from vizkit.learn.config import TrainingConfig
from vizkit.learn.train import train
from vizkit.net.published import IMAGENET
from vizkit.render import write
from vizkit.weights import fetch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Victim:
    """A process that has begun."""

    process: BaseProcess
    said: Connection
    """What it sends."""

    def ends(self, within_s: float = 120.0) -> int | None:
        """Wait for its end; gives its exit code."""
        self.process.join(within_s)
        return self.process.exitcode


@contextmanager
def running(work: Callable[..., None], *arguments: Any) -> Iterator[Victim]:
    """A process that does ``work(connection, *arguments)``; killed at the end if it still runs."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=work, args=(theirs, *arguments))
    with pytest.MonkeyPatch.context() as patch:  # a test of a page leaves the page there, and a new process would run it
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        process.start()
    theirs.close()
    try:
        assert ours.recv() == "begun"
        yield Victim(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def export(out: Connection, folder: Path, names: tuple[str, ...], rounds: int) -> None:
    """Write two figures in turn under the same names; made before, and large, so that nearly all of the time goes into writing."""

    def figure(number: int) -> FigureSpec:
        table = Table(("place", "value"), ((0, number),))
        return FigureSpec(str(number), "", "", (), table=table, arrays={"values": np.array([number])}, recipe={"number": number})

    figures, more = [figure(1), figure(2)], bytes(24_000_000)
    made = {(entry.title, form): write.encode(entry, form) + more for entry in figures for form in ("npz", "csv", "json")}
    write.encode = lambda spec, form, venue=None: made[spec.title, form]  # type: ignore[assignment]
    out.send("begun")
    for turn in range(rounds):
        for name in names:
            write.render(figures[turn % 2], folder / name)


def download(out: Connection, file: str, home: Path, mirror: str) -> None:
    """Fetch published weights from a server on this machine."""
    os.environ |= {"VIZKIT_HOME": str(home), "VIZKIT_WEIGHTS_MIRROR": mirror, "no_proxy": "*"}
    weights = replace(IMAGENET[18][0], file=file)
    out.send("begun")
    fetch(weights, progress=lambda done, total: None)


def training(out: Connection, config: TrainingConfig, folder: Path) -> None:
    """Train, from where the folder's state is; sends the digest of the weights."""
    multiprocessing.set_start_method("fork", force=True)  # of the process that makes the batches, as where a command trains
    out.send("begun")
    out.send(train(config, folder, resume=True, progress=False).digest)
