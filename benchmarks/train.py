"""Claim: training costs little more than its own arithmetic, and two runs on one thread each beat one run on two.

A step of `vizkit train` (the next batch from clips that are kept on disk, normalised; loss, gradients, clipping, AdamW, the log's numbers)
against a bare loop of the same network on tensors that are ready: cross-entropy, backward, AdamW. What comes on top of a step is shown
apart: reading a batch, which a worker process does ahead, saving the state, and rendering, before the run. Steps are interleaved and the
order is reversed every round; medians of seven, CPU time for one thread, so that the worker's time is not in it: it has to read a batch in
less than a step takes. Then two runs with one thread each beside each other, against one with two threads: wall time of the same number of
steps in every run. When other programs take more than a quarter of a core the run says NOISY.

    python benchmarks/train.py                        # c2d-18 and cpnet-18, width 16, 8 frames of 64 x 64; some minutes
    python benchmarks/train.py --quick                # without the runs beside each other
    python benchmarks/train.py --config checkpoints/dcf-world/config.toml
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import NOISY_CORES, busy_s, side_by_side, verdict

from vizkit.learn.config import TrainingConfig, load_config
from vizkit.learn.source import source_of
from vizkit.learn.train import Run, batches, build_network, save_run, start_run, take_step

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
USUAL = tuple(CHECKPOINTS / name / "config.toml" for name in ("cpnet-world-twin", "cpnet-world"))
CLIPS = 64  # rendered, and seen again and again
LEAST_SHARE = 0.9
SIDE_STEPS = 24
MOST_STEPS = 4096


def config_of(path: Path, threads: int, steps: int = MOST_STEPS) -> TrainingConfig:
    """A config with labels alone, one phase of clips from disk at 64 px, no augmentation."""
    read = load_config(path)
    phase = {"clips": steps * read.batch, "rendered": CLIPS, "sides_px": [64]}
    changes = {"phases": [phase], "threads": threads, "objective": "classify", "augment": [], "save_every": steps * read.batch}
    return TrainingConfig.parse(**{**read.model_dump(), **changes})


def bare_step(run: Run) -> Callable[[], None]:
    """The peer: the same network and optimiser on one batch of tensors that are ready."""
    network = build_network(run.config, len(run.source.labels)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=run.config.weight_decay)
    batch = run.source[0]
    clips = run.source.normalize(batch.frames)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(clips), batch.labels).backward()
        optimizer.step()

    return step


def judge_step(path: Path, folder: Path) -> int:
    """Print the rows and verdicts of one network; the number of failures."""
    config = config_of(path, threads=1)
    source = source_of(config, folder / "shards")
    start = time.process_time()
    rendered = source.prepare()
    taken = time.process_time() - start
    folder.joinpath(config.name).mkdir(exist_ok=True)
    run = start_run(config, folder / config.name, source)
    ahead = batches(run)
    forms = {
        "bare": bare_step(run),
        "train": lambda: take_step(run, next(ahead)),
        "read": lambda: source[run.step],
        "save": lambda: save_run(run),
    }
    timing = side_by_side(forms, threads=1)
    bare, train, read = (timing.ms[name] for name in ("bare", "train", "read"))
    print(f"\n{config.name}: {config.architecture}, batch {config.batch}, {config.frames} x 64x64{timing.noise}")
    for name, ms in timing.ms.items():
        print(f"  {name:8} {ms:9.1f} ms" + (f"{config.batch / ms * 1000:9.1f} clips/s" if name != "save" else ""))
    if rendered:
        print(f"  {'render':8} {taken / rendered * config.batch * 1000:9.1f} ms{rendered / taken:9.1f} clips/s")
    failed = verdict(bare / train >= LEAST_SHARE, f"step, {config.name}: {bare / train:.3f} of the bare loop (>= {LEAST_SHARE})")
    return failed + verdict(read < train, f"read, {config.name}: {read:.1f} ms a batch, hidden behind a step of {train:.1f} ms")


def run_beside(path: Path, folder: Path, runs: int, threads: int) -> float:
    """Clips per second of several runs beside each other, each in a process of its own."""
    code = f"import train, pathlib, sys; train.steps_alone(pathlib.Path({str(path)!r}), pathlib.Path({str(folder)!r}), {threads})"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path(__file__).parent)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(runs)
    ]
    told = [running.stdout.readline() for running in started if running.stdout]
    start = time.perf_counter()
    for running in started:
        assert running.stdin is not None
        running.stdin.write("go\n")
        running.stdin.flush()
    told += [running.stdout.readline() for running in started if running.stdout]
    taken = time.perf_counter() - start
    if any(running.wait() for running in started) or set(told) != {"ready\n", "done\n"}:
        raise RuntimeError("A run beside the others failed.")
    return runs * SIDE_STEPS * config_of(path, threads).batch / taken


def steps_alone(path: Path, folder: Path, threads: int) -> None:
    """One of the runs: gets ready, says so, waits for a line, takes its steps."""
    config = config_of(path, threads)
    run = start_run(config, folder, source_of(config, folder / "shards"))
    ahead = batches(run)
    take_step(run, next(ahead))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(SIDE_STEPS):
        take_step(run, next(ahead))
    print("done", flush=True)


def judge_two_runs(path: Path, folder: Path) -> int:
    """Print the verdict on two runs with a thread each against one with two threads."""
    before, _, began = busy_s()
    time.sleep(1)
    after, _, ended = busy_s()
    others = (after - before) / (ended - began)
    rates = {(2, 1): 0.0, (1, 2): 0.0}
    for runs, threads in (*rates, *reversed(rates)):
        rates[runs, threads] += run_beside(path, folder, runs, threads) / 2
    two, one = rates.values()
    what = f"side by side, {path.parent.name}: two runs on a thread each {two:.1f} clips/s, one on two threads {one:.1f}: {two / one:.2f}x"
    return verdict(two > one, what + (f"   NOISY: others used {others:.1f} cores" if others > NOISY_CORES else ""))


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, action="append", help="train this; repeatable")
    parser.add_argument("--quick", action="store_true", help="leave out the runs beside each other")
    told = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as kept:
        paths = told.config or USUAL
        failed = sum(judge_step(path, Path(kept)) for path in paths)
        failed += 0 if told.quick else sum(judge_two_runs(path, Path(kept)) for path in paths)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
