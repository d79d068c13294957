"""Claim: exact nearest cells in plain torch, no slower than faiss and faster than the full distance matrix, in bounded memory.

Peers, on the same maps in one process: faiss (``IndexFlatL2`` over the cells of the other frames, one for every frame, so that no
frame finds itself) and ``torch.cdist`` on all cells, the own frame masked, then ``topk``: what one writes first. Equality is checked
before timing. Forms are interleaved and the order is reversed every round; medians of seven rounds, CPU time for one thread, wall time
for two. When other programs take more than a quarter of a core the run says NOISY and short cases are tried again. Peak memory is
read in fresh processes, above the maps alone.

    python benchmarks/nearest.py               # one and two threads
    python benchmarks/nearest.py --threads 1
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from measure import peak_mib, side_by_side, verdict

from vizkit.net.ops import nearest_cells

try:
    import faiss
except ImportError:
    faiss = None

FRAMES, NEIGHBORS = 8, 8
MOST_ERROR = 1e-5
MOST_MIB = 96


class Case(NamedTuple):
    """One size of map and what is asked of it: least ratios peer / ours."""

    side: int
    channels: int
    distance_matrix: float
    faiss: float = 1.0

    def __str__(self) -> str:
        return f"{self.side}x{self.side}, {self.channels} ch"


CASES = (Case(14, 64, 1.2), Case(14, 256, 1.2), Case(14, 512, 1.2), Case(28, 128, 1.4), Case(56, 64, 3.5))


def make_features(case: Case) -> torch.Tensor:
    """[1, C, T, H, W] random maps without ties."""
    return torch.randn(1, case.channels, FRAMES, case.side, case.side, generator=torch.Generator().manual_seed(0))


def ours(features: torch.Tensor) -> torch.Tensor:
    """Ours."""
    return nearest_cells(features, NEIGHBORS).index[0]


def by_distance_matrix(features: torch.Tensor) -> torch.Tensor:
    """Peer: the whole distance matrix."""
    points = features[0].flatten(1).T
    cells = features.shape[3] * features.shape[4]
    distance = torch.cdist(points, points)
    for frame in range(features.shape[2]):
        distance[frame * cells : (frame + 1) * cells, frame * cells : (frame + 1) * cells] = torch.inf
    return distance.topk(NEIGHBORS, largest=False).indices


def by_faiss(features: torch.Tensor) -> torch.Tensor:
    """Peer: faiss, every frame against an index of the others."""
    points = features[0].flatten(1).T.contiguous().numpy()
    cells = features.shape[3] * features.shape[4]
    found = []
    for start in range(0, len(points), cells):
        index = faiss.IndexFlatL2(points.shape[1])
        for others in (points[:start], points[start + cells :]):
            if len(others):
                index.add(others)
        nearest = index.search(points[start : start + cells], NEIGHBORS)[1]
        found.append(nearest + (nearest >= start) * cells)
    return torch.from_numpy(np.concatenate(found))


FORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"ours": ours, "distance matrix": by_distance_matrix}
if faiss is not None:
    FORMS["faiss"] = by_faiss


def distances(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """[N, k] squared distances of the cells found, ascending, in float64; infinite where a cell lies in the own frame."""
    points = features[0].flatten(1).T.double()
    found = torch.stack([((points - points[column]) ** 2).sum(1) for column in index.T], 1)
    frame = torch.arange(len(points)) // (len(points) // FRAMES)
    return found.masked_fill(frame[index] == frame[:, None], torch.inf).sort(1).values


def judge_times(case: Case, threads: int) -> int:
    """Print the rows of one case, and with one thread the verdicts; the number of failures."""
    features = make_features(case)
    wanted = distances(features, ours(features))
    errors = {name: float(((distances(features, form(features)) - wanted).abs() / wanted).max()) for name, form in FORMS.items()}
    timing = side_by_side({name: lambda form=form: form(features) for name, form in FORMS.items()}, threads)
    print(f"\n{case}, {FRAMES} frames, k = {NEIGHBORS}, {threads} thread{'s' * (threads > 1)}{timing.noise}")
    for name, taken in timing.ms.items():
        print(f"  {name:16} {taken:9.1f} ms {taken / timing.ms['ours']:7.2f}x   error {errors[name]:.0e}")
    failed = verdict(max(errors.values()) <= MOST_ERROR, f"nearest {case}: equal to {max(errors.values()):.0e} (<= {MOST_ERROR:.0e})")
    for peer, least in (("faiss", case.faiss), ("distance matrix", case.distance_matrix)):
        if threads == 1 and peer in timing.ms:
            ratio = timing.ms[peer] / timing.ms["ours"]
            failed += verdict(ratio >= least, f"nearest {case}: {ratio:.2f}x {peer} (>= {least:g})")
    return failed


def judge_memory(number: int) -> int:
    """Print peak memory of every form in one case, and the verdict."""
    prepare = f"import nearest as b; b.FORMS['{{0}}'](b.make_features(b.Case(3, 8, 0))); features = b.make_features(b.CASES[{number}])"
    peaks = {name: peak_mib(prepare.format(name), f"found = b.FORMS['{name}'](features)") for name in FORMS}
    print(f"\n{CASES[number]}, extra memory: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items()))
    return verdict(peaks["ours"] <= MOST_MIB, f"nearest {CASES[number]}: {peaks['ours']:.0f} MiB (<= {MOST_MIB})")


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, choices=(1, 2), help="only with so many threads")
    told = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, float32")
    print(f"faiss {faiss.__version__}" if faiss else "faiss: not installed (pip install faiss-cpu)")
    failed = 0
    for threads in (told.threads,) if told.threads else (1, 2):
        torch.set_num_threads(threads)
        if faiss is not None:
            faiss.omp_set_num_threads(threads)
        failed += sum(judge_times(case, threads) for case in CASES)
    failed += sum(judge_memory(number) for number in range(2, len(CASES)))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
