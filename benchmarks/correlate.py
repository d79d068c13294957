"""Claim: correlation in plain torch, many times faster than the C++ sampler and than what one writes first.

Peers, on the same inputs in one process: the C++ sampler that most published code uses (PyPI: spatial-correlation-sampler), one
shifted product per displacement ("slice loop"), and unfold, multiply, sum; the last two with filters for CorrNet's operator. Equality
is checked before timing. Forms are interleaved and the order is reversed every round; medians of seven rounds, CPU time for one
thread, wall time for two. Where other programs take more than a quarter of a core the row says NOISY. Peak memory is read in fresh
processes, above what their inputs take.

    python benchmarks/correlate.py               # one and two threads
    python benchmarks/correlate.py --threads 1
    python benchmarks/correlate.py --quick       # one shape of each kind, three rounds, no memory

The sampler 0.5.0 does not build against torch 2.15 as published: it needs three edits (C++20, no CUDA, no CUDA header).

    pip download --no-deps --no-build-isolation --no-binary :all: spatial-correlation-sampler && tar xf spatial_correlation_sampler-*.tar.gz
    cd spatial_correlation_sampler-*/ && sed -i 's/c++17/c++20/; s/^CPU_ONLY = False/CPU_ONLY = True/' setup.py
    sed -i '/CUDAGuard/d' Correlation_Module/correlation_sampler.cpp && pip install --no-build-isolation --no-deps .
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from measure import ROUNDS, TRIES, peak_mib, side_by_side, verdict

from vizkit.net.ops import correlate

try:
    from spatial_correlation_sampler import spatial_correlation_sample
except ImportError:
    spatial_correlation_sample = None

FRAMES = 8
MOST_ERROR = 1e-5


class Case(NamedTuple):
    """One shape and what is asked of it: least ratios peer / ours, most MiB."""

    kind: str
    channels: int
    side: int
    groups: int = 1
    patch: int = 7
    dilation: int = 2

    def __str__(self) -> str:
        parts = f"{self.channels} ch, {self.side}x{self.side}, K={self.patch}, D={self.dilation}"
        return f"{self.kind}: {parts}{f', G={self.groups}' if self.groups > 1 else ''}"


CASES = (
    *(Case("plain", *size) for size in ((64, 56), (128, 28), (256, 14), (256, 28))),
    *(Case("grouped", *size) for size in ((64, 56, 2), (128, 28, 4), (256, 14, 8))),
    *(Case("filtered", *size) for size in ((64, 56, 2), (128, 28, 4), (256, 14, 8))),
    *(Case("small patch", *size) for size in ((64, 56, 1, 5, 1), (128, 28, 1, 5, 2), (64, 56, 1, 3, 1))),
)
LEAST = {  # kind, pass, threads -> least ratio of each peer; what is not listed is shown without a verdict
    ("plain", "forward", 1): {"sampler": 12, "slice loop": 3},
    ("plain", "forward", 2): {"sampler": 12, "slice loop": 2},
    ("plain", "both", 1): {"sampler": 12, "slice loop": 4},
    ("grouped", "forward", 1): {"sampler": 10, "slice loop": 2.5},
    ("filtered", "forward", 1): {"unfold": 2.5, "slice loop": 1.3},
    ("filtered", "both", 1): {"slice loop": 1.5},
}
MOST_MIB = {("plain", "forward"): 64, ("plain", "both"): 125, ("grouped", "forward"): 96}
FILTERED_SHARE_OF_SLICES = 1 / 3

Inputs = tuple[torch.Tensor, ...]


def ours(case: Case, inputs: Inputs) -> torch.Tensor:
    """Ours."""
    filters = inputs[2] if len(inputs) == 3 else None
    return correlate(*inputs[:2], patch=case.patch, dilation=case.dilation, groups=case.groups, filters=filters)


def slices(case: Case, inputs: Inputs) -> torch.Tensor:
    """Peer: one shifted product per displacement."""
    query, search, *filters = inputs
    step, maps, padded = case.dilation, [], F.pad(search, (case.patch // 2 * case.dilation,) * 4)
    for row in range(case.patch):
        for column in range(case.patch):
            moved = padded[..., row * step :, column * step :][..., : case.side, : case.side]
            weighted = query * filters[0][:, :, row, column].T[..., None, None] if filters else query
            maps.append((weighted * moved).unflatten(1, (case.groups, -1)).mean(2))
    return torch.stack(maps, 2).flatten(1, 2)


def unfold(case: Case, inputs: Inputs) -> torch.Tensor:
    """Peer: every displacement copied side by side, multiplied, summed."""
    query, search, *filters = inputs
    query, search = query[0].transpose(0, 1), search[0].transpose(0, 1)
    reach = case.patch // 2 * case.dilation
    moved = F.unfold(search, case.patch, dilation=case.dilation, padding=reach).view(FRAMES, case.channels, -1, case.side, case.side)
    if filters:
        moved = moved * filters[0].flatten(2)[..., None, None]
    products = (moved * query[:, :, None]).unflatten(1, (case.groups, -1)).mean(2)
    return products.permute(1, 2, 0, 3, 4).flatten(0, 1)[None]


def sampler(case: Case, inputs: Inputs) -> torch.Tensor:
    """Peer: the C++ sampler, on inputs that lie as it wants them; its result is a sum and lies by frame."""
    query, search = inputs
    return spatial_correlation_sample(query, search, patch_size=case.patch, dilation_patch=case.dilation)


FORMS: dict[str, Callable[[Case, Inputs], torch.Tensor]] = {"ours": ours, "slice loop": slices, "unfold": unfold, "sampler": sampler}


def forms(case: Case, direction: str) -> list[str]:
    """The forms to time: unfold only forward (its graph takes gigabytes), the sampler only where it has the operator."""
    names = ["ours", "slice loop"] + ["unfold"] * (direction == "forward")
    return names + ["sampler"] * (spatial_correlation_sample is not None and case.kind != "filtered")


def make_inputs(case: Case, form: str = "ours") -> Inputs:
    """Random maps (and filters) that want gradients; for the sampler [frames * groups, channels of a group, H, W]."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(1, case.channels, FRAMES, case.side, case.side, generator=generator) for _ in range(2)]
    if form == "sampler":
        values = [value[0].unflatten(0, (case.groups, -1)).permute(2, 0, 1, 3, 4).flatten(0, 1).contiguous() for value in values]
    if case.kind == "filtered":
        values.append(torch.randn(FRAMES, case.channels, case.patch, case.patch, generator=generator))
    return tuple(value.requires_grad_() for value in values)


def run(case: Case, form: str, direction: str, inputs: Inputs) -> Inputs:
    """The result, or for "both" the gradients of its sum of products with fixed weights."""
    if direction == "forward":
        with torch.no_grad():
            return (FORMS[form](case, inputs),)
    volume = FORMS[form](case, inputs)
    return torch.autograd.grad(volume, inputs, volume.detach())


def as_ours(case: Case, form: str, direction: str, values: Inputs) -> Inputs:
    """The sampler's results in our order and scale."""
    if form != "sampler":
        return values
    scale = case.groups / case.channels
    scale = scale if direction == "forward" else scale**2
    by_group = [value.flatten(1, -3).unflatten(0, (FRAMES, case.groups)).permute(1, 2, 0, 3, 4).flatten(0, 1)[None] for value in values]
    return tuple(value * scale for value in by_group)


def errors(case: Case, direction: str) -> dict[str, float]:
    """Largest difference of each form from ours, relative to the largest value."""
    expected = run(case, "ours", direction, make_inputs(case))
    found = {}
    for form in forms(case, direction):
        values = as_ours(case, form, direction, run(case, form, direction, make_inputs(case, form)))
        pairs = zip(values, expected, strict=True)
        found[form] = max(float((value - wanted).abs().max() / wanted.abs().max()) for value, wanted in pairs)
    return found


def judge_times(case: Case, direction: str, threads: int, rounds: int, tries: int) -> int:
    """Print the rows and verdicts of one case; the number of failures."""
    differences = errors(case, direction)
    calls = {form: partial(run, case, form, direction, make_inputs(case, form)) for form in forms(case, direction)}
    timing = side_by_side(calls, threads, rounds, tries)
    times, label = timing.ms, f"{case}, {direction}, {threads} thread{'s' * (threads > 1)}"
    print(f"\n{label}{timing.noise}")
    for form, taken in times.items():
        print(f"  {form:12} {taken:9.1f} ms {taken / times['ours']:7.2f}x   error {differences[form]:.0e}")
    worst = max(differences.values())
    failed = verdict(worst <= MOST_ERROR, f"correlate, {label}: equal to {worst:.0e} (<= {MOST_ERROR:.0e})")
    for peer, least in LEAST.get((case.kind, direction, threads), {}).items():
        if peer in times:
            ratio = times[peer] / times["ours"]
            failed += verdict(ratio >= least, f"correlate, {label}: {ratio:.1f}x {peer} (>= {least})")
    return failed


def judge_memory(number: int, direction: str) -> int:
    """Print peak memory of every form in one case, above its inputs, and the verdict."""
    case = CASES[number]
    peaks = {}
    for form in forms(case, direction):
        prepare = f"import correlate as b; case = b.CASES[{number}]; inputs = b.make_inputs(case, {form!r})"
        peaks[form] = peak_mib(prepare, f"kept = b.run(case, {form!r}, {direction!r}, inputs)")
    print(f"\n{case}, {direction}, extra memory: " + ", ".join(f"{form} {peak:.0f} MiB" for form, peak in peaks.items()))
    most = FILTERED_SHARE_OF_SLICES * peaks["slice loop"] if case.kind == "filtered" else MOST_MIB.get((case.kind, direction))
    return verdict(peaks["ours"] <= most, f"correlate, {case}, {direction}: {peaks['ours']:.0f} MiB (<= {most:.0f})") if most else 0


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, choices=(1, 2), help="only with so many threads")
    parser.add_argument("--quick", action="store_true", help="one shape of each kind, three rounds, no memory")
    told = parser.parse_args()
    first = [next(n for n, case in enumerate(CASES) if case.kind == kind) for kind in dict.fromkeys(case.kind for case in CASES)]
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, {FRAMES} frame pairs, float32")
    if spatial_correlation_sample is None:
        print("sampler: not installed (pip install --no-build-isolation spatial-correlation-sampler, with the edits of --help)")
    failed = 0
    for threads in (told.threads,) if told.threads else (1, 2):
        torch.set_num_threads(threads)
        for number, case in enumerate(CASES):
            if told.quick and number not in first:
                continue
            for direction in ("forward", "both"):
                failed += judge_times(case, direction, threads, 3 if told.quick else ROUNDS, 1 if told.quick else TRIES)
    if not told.quick:
        failed += sum(judge_memory(number, direction) for number in first[:3] for direction in ("forward", "both"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
