"""Claim: looking inside costs at most a quarter of a forward pass, and a changed setting next to nothing.

For every view of the catalogue, on an architecture of its own and on plain backbones, with random weights: a probed run with the view and
its figure record, against a plain forward pass in inference mode of the same network on the same clip; and every setting of the view
changed on the same run, up to the new figure record, which must not call the network. Forms are interleaved and the order is reversed
every round; medians of seven rounds, CPU time for one thread, wall time for two. When other programs take more than a quarter of a core
the run says NOISY. Peak memory is read in fresh processes, that of the plain forward pass subtracted. Optical flow, which
the pages compute on request only, is left out.

    python benchmarks/analysis.py                        # one thread; some minutes
    python benchmarks/analysis.py --view dcf --threads 2
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, get_args

import torch
from measure import peak_mib, side_by_side, verdict

from vizkit import world
from vizkit.catalog import VIEWS, architecture, params_of, resolve, step
from vizkit.catalog import module as view_of
from vizkit.checkpoint import load_network
from vizkit.clip import sample
from vizkit.contracts import SampledClip
from vizkit.errors import VizkitError
from vizkit.figure.spec import FigureSpec
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.pipeline import analyze, available, draw

PLAIN = ("c2d-18", "r2plus1d-dw-50")
OWN = {"pwtp": "pwtp-x3d-xs"}  # instead of the first, which takes 128 frames
WITHOUT = {"pwtp": {"tvl1": False, "tvnet": False}}
MOST_FORWARDS, MOST_TOGGLE, MOST_MIB = 1.25, 0.05, 256


class Case(NamedTuple):
    """A view of a network."""

    view: str
    name: str

    def __str__(self) -> str:
        built = architecture(self.name)
        return f"{self.view} of {self.name}, {built.frames} x {built.size_px}x{built.size_px}"


def cases(views: list[str]) -> list[Case]:
    """Every view on its first architecture, and on the plain backbones that it can be had of."""
    found = []
    for view in views:
        own = [OWN[view]] if view in OWN else [entry.name for entry in resolve(view_of(view).architectures)[:1]]
        names = (*own, *PLAIN)
        found += [Case(view, name) for name in names if available(network_of(name))[view] is True]
    return found


@cache
def network_of(name: str) -> Network:
    """The network with random weights."""
    torch.manual_seed(0)
    return load_network(name)


@cache
def clip_of(name: str) -> SampledClip:
    """A clip of the motion world, sampled as the network wants it."""
    sampling = network_of(name).sampling
    return sample(world.clip(1, frames=sampling.total_frames, side_px=architecture(name).size_px).clip, sampling)


def plain_forward(case: Case) -> Callable[[], torch.Tensor]:
    """The peer: the module alone, on input that is prepared."""
    network, clip = network_of(case.name), clip_of(case.name)
    normalized = network.normalized(clip.tensor)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return network.module(normalized)

    return forward


def look(case: Case) -> FigureSpec:
    """Probe, view, figure record."""
    return draw(analyze(case.view, probe(network_of(case.name), clip_of(case.name)), **WITHOUT.get(case.view, {})))


def settings(case: Case, run: ProbedRun) -> dict[str, Any]:
    """Another value for every setting of the view: the first of some that this network's view can be computed with."""
    frames, height, width, _ = run.clip.frames.shape
    stages = [stage.name for stage in run.network.stages]
    places = [*(block.name for block in run.network.blocks[1:]), *stages[1:], *((name,) for name in stages[1:])]
    point = ((frames // 2, width / 2, height / 2),)
    usual, changed = params_of(view_of(case.view))(), {}
    for name, about in params_of(view_of(case.view)).model_fields.items():
        for value in (*get_args(about.annotation), 3, 2, *places, point):
            try:
                if getattr(params_of(view_of(case.view)).parse(**{name: value}), name) != getattr(usual, name):
                    analyze(case.view, run, **{name: value})
                    changed[name] = value
                    break
            except VizkitError:
                continue
    return changed


def passes(network: Network, call: Callable[[], Any]) -> int:
    """How often a call runs the network."""
    kind, count = type(network.module), 0
    own = kind.forward

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        return own(*given, **named)

    kind.forward = counted
    try:
        call()
    finally:
        kind.forward = own
    return count


def judge_times(case: Case, threads: int) -> int:
    """Print the rows and verdicts of one case; the number of failures."""
    network = network_of(case.name)
    run = probe(network, clip_of(case.name))
    toggles = {
        f"{name} = {value}": lambda name=name, value=value: draw(analyze(case.view, run, **{**WITHOUT.get(case.view, {}), name: value}))
        for name, value in settings(case, run).items()
    }
    forms: dict[str, Callable[[], Any]] = {
        "forward": plain_forward(case),
        "probe": lambda: probe(network, run.clip),
        "look": lambda: look(case),
    }
    timing = side_by_side(forms | toggles, threads)
    print(f"\n{case}, {threads} thread{'s' * (threads > 1)}{timing.noise}")
    for name, taken in timing.ms.items():
        print(f"  {name:32} {taken:9.1f} ms {taken / timing.ms['forward']:8.3f} forwards")
    cost, once = timing.ms["look"] / timing.ms["forward"], passes(network, lambda: look(case))
    failed = verdict(
        cost <= MOST_FORWARDS and once == 1, f"analysis, {case}: {cost:.2f} forwards (<= {MOST_FORWARDS}), {once} network call"
    )
    for name, call in toggles.items():
        cost, calls = timing.ms[name] / timing.ms["forward"], passes(network, call)
        what = f"toggle, {case}, {name}: {cost:.3f} forwards (<= {MOST_TOGGLE}), {calls} network calls"
        failed += verdict(cost <= MOST_TOGGLE and calls == 0, what)
    return failed


def load(case: Case) -> None:
    """Import what the view needs."""
    for name in ("analyze", "figure"):
        step(view_of(case.view), name)


def judge_memory(case: Case) -> int:
    """Print the verdict on peak memory."""
    prepare = f"import analysis as b; case = b.Case('{case.view}', '{case.name}'); forward = b.plain_forward(case);b.load(case)"
    seen, plain = peak_mib(prepare, "found = b.look(case)"), peak_mib(prepare, "found = forward()")
    what = f"analysis, {case}: {seen - plain:.0f} MiB (<= {MOST_MIB}) above the forward pass's {plain:.0f}"
    return verdict(seen - plain <= MOST_MIB, what)


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--view", choices=[entry.key for entry in VIEWS], help="only this view")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    told = parser.parse_args()
    os.environ["VIZKIT_THREADS"] = str(told.threads)
    torch.set_num_threads(told.threads)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, float32, random weights")
    wanted = cases([told.view] if told.view else [entry.key for entry in VIEWS])
    failed = sum(judge_times(case, told.threads) for case in wanted)
    return int(failed + sum(judge_memory(case) for case in wanted) > 0)


if __name__ == "__main__":
    sys.exit(main())
