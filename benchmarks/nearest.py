"""Claim: nearest cells bounded in memory, and no slower than the full distance matrix.

Peer: ``torch.cdist`` on all cells, own frame masked, ``topk``: what one writes first. Equality is checked before timing; both
run in one process, interleaved, order reversed every round, medians of seven rounds. Peak memory is read in fresh processes.

    python benchmarks/nearest.py            # 28 x 28 and 56 x 56 cells, 8 frames
    python benchmarks/nearest.py --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from vizkit.net.ops import nearest_cells

CASES = ((28, 128, 1.2), (56, 64, 2.0))  # side, channels, least ratio peer / ours
FRAMES, NEIGHBORS, ROUNDS = 8, 8, 7
MOST_EXTRA_MB = 96


def by_distance_matrix(features: torch.Tensor, neighbors: int) -> torch.Tensor:
    """The peer: the whole distance matrix."""
    points = features[0].flatten(1).T
    cells = features.shape[3] * features.shape[4]
    distance = torch.cdist(points, points)
    for frame in range(features.shape[2]):
        distance[frame * cells : (frame + 1) * cells, frame * cells : (frame + 1) * cells] = torch.inf
    return distance.topk(neighbors, largest=False).indices


def ours(features: torch.Tensor, neighbors: int) -> torch.Tensor:
    """Ours: chunks of rows."""
    return nearest_cells(features, neighbors).index[0]


def make_features(side: int, channels: int) -> torch.Tensor:
    """Random features without ties."""
    return torch.randn(1, channels, FRAMES, side, side, generator=torch.Generator().manual_seed(0))


def seconds(search: Callable[[torch.Tensor, int], torch.Tensor], features: torch.Tensor) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    search(features, NEIGHBORS)
    return time.process_time() - start


def peak_mb(name: str, side: int, channels: int) -> float:
    """Peak memory of a fresh process that searches once, above one that only makes the features."""
    code = (
        "import sys; sys.path[:0] = ['benchmarks', '.']; import nearest, torch; torch.set_num_threads(1);"
        f"f = nearest.make_features({side}, {channels}); {f'nearest.{name}(f, nearest.NEIGHBORS);' if name else ''}"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) / 1024


def main() -> int:
    """Print one table and one verdict line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    failed = 0
    for side, channels, least in CASES:
        features = make_features(side, channels)
        same = (ours(features, NEIGHBORS).sort().values == by_distance_matrix(features, NEIGHBORS).sort().values).float().mean()
        times: dict[str, list[float]] = {"ours": [], "by_distance_matrix": []}
        for number in range(ROUNDS):
            for search in (ours, by_distance_matrix)[:: 1 if number % 2 else -1]:
                times[search.__name__].append(seconds(search, features))
        base = peak_mb("", side, channels)
        for name, taken in times.items():
            extra = peak_mb(name, side, channels) - base
            print(f"{side}x{side} C={channels} {name:20} {statistics.median(taken) * 1000:8.0f} ms CPU {extra:8.0f} MB extra")
        ratio = statistics.median(times["by_distance_matrix"]) / statistics.median(times["ours"])
        extra = peak_mb("ours", side, channels) - base
        good = ratio >= least and extra <= MOST_EXTRA_MB and same > 0.999
        failed += not good
        verdict = f"{'PASS' if good else 'FAIL'} nearest {side}x{side}: {ratio:.2f}x the distance matrix (>= {least})"
        print(f"{verdict}, {extra:.0f} MB (<= {MOST_EXTRA_MB}), same neighbours {float(same):.4%}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
