"""Claim: a Grad-CAM map costs a forward pass and little more, and a further label next to nothing.

Measured side by side on r3d_18, 8 frames of 224 x 224, random weights: a plain forward pass in inference mode; the grad-cam library's
own pass; a forward pass in grad mode with a backward pass to the input; ours, ``probe`` with ``attention``, at the last stage and at the
one before; a further label on the graph that is kept. Maps are compared first, before the library scales and resizes its own. Forms are
interleaved and the order is reversed every round; medians of seven rounds, CPU time for one thread, wall time for two. When other
programs take more than a quarter of a core the run says NOISY. Peak memory is read in fresh processes.

    python benchmarks/gradcam.py                # one thread; some minutes
    python benchmarks/gradcam.py --threads 2
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from measure import peak_mib, side_by_side, verdict
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from vizkit import world
from vizkit.checkpoint import load_network
from vizkit.clip import sample
from vizkit.contracts import SampledClip, Sampling
from vizkit.net.attention import attend
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe

NAME, FRAMES, SIDE_PX, TARGET = "r3d_18", 8, 224, 7
LAST, BEFORE = "res5", "res4"
MOST_FORWARDS, MOST_CACHED_MS, MOST_MIB = 1.1, 10.0, 100.0
ALIKE = 1e-3


@cache
def network() -> Network:
    """The network with random weights."""
    torch.manual_seed(0)
    return load_network(NAME)


@cache
def frames() -> SampledClip:
    """A clip of the motion world."""
    clip = world.clip(1, frames=FRAMES, side_px=SIDE_PX).clip
    return sample(clip, Sampling(segments=FRAMES, frames=FRAMES, short_side_px=SIDE_PX, crop_px=SIDE_PX))


@cache
def run() -> ProbedRun:
    """A probed run of it."""
    return probe(network(), frames())


@cache
def plain_input() -> torch.Tensor:
    """The module's input."""
    return network().normalized(frames().tensor)


def forward() -> torch.Tensor:
    """The peer: the module alone, on input that is prepared."""
    with torch.inference_mode():
        return network().module(plain_input())


@cache
def library_copy() -> torch.nn.Module:
    """A copy whose weights take gradients, as the library expects; nothing is done in place, as it keeps features without copying them."""
    module = copy.deepcopy(network().module).requires_grad_(True)
    for part in module.modules():
        if isinstance(part, torch.nn.ReLU):
            part.inplace = False
    return module


def library(stage: str = LAST, seen: list[Any] | None = None) -> np.ndarray:
    """The library's own pass; its raw map is appended to ``seen``."""
    module = library_copy()
    with GradCAM(module, [module.get_submodule(network().stage(stage).path)]) as cam:
        formula = cam.get_cam_image
        if seen is not None:
            cam.get_cam_image = lambda *given: seen.append(formula(*given)) or seen[-1]
        return cam(plain_input(), [ClassifierOutputTarget(TARGET)])


def to_the_input() -> torch.Tensor:
    """Forward in grad mode, backward to the input; weights without gradients."""
    clip = plain_input().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(network().module(clip)[0, TARGET], clip)[0]


def ours(stage: str) -> Any:
    """Probe and map."""
    return probe(network(), frames(), attention={"stage": stage, "target": TARGET}).attention


def judge_equality() -> int:
    """Compare raw maps; the number of failures."""
    failed = 0
    for stage in (LAST, BEFORE):
        seen: list[Any] = []
        library(stage, seen)
        expected, found = np.asarray(seen[0][0]), attend(run(), stage=stage, target=TARGET).signed
        off = float(np.abs(expected - found).max() / np.abs(expected).max())
        failed += verdict(off <= ALIKE, f"map at {stage} {list(found.shape)}: off by {off:.1e} of its largest value (<= {ALIKE:g})")
    return failed


def judge_times(threads: int) -> int:
    """Print the rows and verdicts; the number of failures."""
    labels = {stage: itertools.cycle(range(400)) for stage in (LAST, BEFORE)}
    kept = {stage: probe(network(), frames()) for stage in (LAST, BEFORE)}
    forms: dict[str, Callable[[], Any]] = {
        "forward": forward,
        "grad-cam library": library,
        "backward to the input": to_the_input,
        f"ours, {LAST}": lambda: ours(LAST),
        f"ours, {BEFORE}": lambda: ours(BEFORE),
        f"ours, {LAST}, further label": lambda: attend(kept[LAST], stage=LAST, target=next(labels[LAST])),
        f"ours, {BEFORE}, further label": lambda: attend(kept[BEFORE], stage=BEFORE, target=next(labels[BEFORE])),
    }
    timing = side_by_side(forms, threads)
    print(f"\n{NAME}, {FRAMES} x {SIDE_PX}x{SIDE_PX}, {threads} thread{'s' * (threads > 1)}{timing.noise}")
    for name, taken in timing.ms.items():
        print(f"  {name:32} {taken:9.1f} ms {taken / timing.ms['forward']:8.3f} forwards")
    failed = 0
    for stage in (LAST, BEFORE):
        cost = timing.ms[f"ours, {stage}"] / timing.ms["forward"]
        failed += verdict(cost <= MOST_FORWARDS, f"map at {stage}: {cost:.2f} forwards (<= {MOST_FORWARDS})")
    further = timing.ms[f"ours, {LAST}, further label"]
    return failed + verdict(further <= MOST_CACHED_MS, f"further label at {LAST}: {further:.1f} ms (<= {MOST_CACHED_MS:g})")


def judge_memory() -> int:
    """Print the verdicts on peak memory; the number of failures."""
    prepare = "import gradcam as b; b.plain_input()"
    plain = peak_mib(prepare, "found = b.forward()")
    failed = 0
    for stage in (LAST, BEFORE):
        taken = peak_mib(prepare, f"found = b.ours('{stage}')")
        what = f"map at {stage}: {taken - plain:.0f} MiB (<= {MOST_MIB:g}) above the forward pass's {plain:.0f}"
        failed += verdict(taken - plain <= MOST_MIB, what)
    print(f"  grad-cam library: {peak_mib(prepare + '; b.library_copy()', 'found = b.library()'):.0f} MiB")
    return failed


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    told = parser.parse_args()
    os.environ["VIZKIT_THREADS"] = str(told.threads)
    torch.set_num_threads(told.threads)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, float32, random weights")
    return int(judge_equality() + judge_times(told.threads) + judge_memory() > 0)


if __name__ == "__main__":
    sys.exit(main())
