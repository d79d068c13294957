"""Claim: TV-L1 in plain torch, at least five times as fast as OpenCV-contrib at its defaults, with errors no larger.

Peers, on the same pairs in one process: ``cv2.optflow.DualTVL1OpticalFlow`` and ``skimage.registration.optical_flow_tvl1``, both at
their defaults. Errors first: mean end-point error on random textures moved by up to 9 px, exact to a Fourier series, rounded to 256
grey levels, a border of 12 px left out; and on clips of the motion world over what stays visible, and over what moves of it. Then times
per pair: forms interleaved, the order reversed every round, medians; CPU time for one thread, wall time for two. When other programs
take more than a quarter of a core the run says NOISY. Peak memory is read in fresh processes, above the pictures alone.

Neither peer is a dependency. opencv-contrib-python-headless would overwrite the project's OpenCV, so keep them in a folder apart:

    python -m pip install --no-deps --target /some/folder opencv-contrib-python-headless==4.14.0.94 scikit-image scipy lazy-loader
    PYTHONPATH=/some/folder python benchmarks/tvl1.py               # one and two threads
    PYTHONPATH=/some/folder python benchmarks/tvl1.py --threads 1 --rounds 3

Without them ours is measured alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from measure import peak_mib, side_by_side, verdict
from numpy.typing import NDArray

from vizkit import world
from vizkit.baseline import tvl1

try:
    from skimage.registration import optical_flow_tvl1
except ImportError:
    optical_flow_tvl1 = None

MOVES_PX = ((1, 0), (2, -1), (3.5, 2.25), (5, 4), (-6.5, 3), (7, -5), (9, 0))
SIZES = ((224, 224), (240, 320))
BORDER_PX = 12
WORLD_CLIPS, WORLD_SEED, WORLD_FRAME = tuple(range(0, 48, 3)), 1, 3
LEAST_RATIO, MOST_MIB = 5, 64

Pictures = NDArray[np.uint8]


class Pairs(NamedTuple):
    """Grey pictures, uint8 [B, H, W]."""

    first: Pictures
    second: Pictures


def ours(pairs: Pairs) -> NDArray[np.float32]:
    """Ours, all pairs at once."""
    return tvl1(*(torch.from_numpy(pictures)[:, None].float() / 255 for pictures in pairs)).numpy()


def by_opencv(pairs: Pairs) -> NDArray[np.float32]:
    """Peer: OpenCV-contrib, pair by pair."""
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    return np.stack([solver.calc(*pair, None) for pair in zip(*pairs, strict=True)])


def by_scikit_image(pairs: Pairs) -> NDArray[np.float32]:
    """Peer: scikit-image, pair by pair; it gives (row, column)."""
    return np.stack([np.moveaxis(optical_flow_tvl1(*pair)[::-1], 0, -1) for pair in zip(*pairs, strict=True)])


FORMS: dict[str, Callable[[Pairs], NDArray[np.float32]]] = {"ours": ours}
if hasattr(cv2, "optflow"):
    FORMS["OpenCV-contrib"] = by_opencv
if optical_flow_tvl1 is not None:
    FORMS["scikit-image"] = by_scikit_image


def moved_textures(height: int, width: int, seed: int = 0) -> Pairs:
    """One texture and the same moved by each of MOVES_PX; 1/f^1.5 noise, periodic beyond what is cut out."""
    frequency = np.fft.fftfreq(512)
    radius = np.maximum(np.hypot(frequency[:, None], frequency), 1 / 512)
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((512, 512))) * radius**-1.5 * (radius < 0.4)
    spectrum[0, 0] = 0
    still = np.fft.ifft2(spectrum).real
    low, high = still.min(), still.max()

    def cut(x_px: float, y_px: float) -> Pictures:
        moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * (frequency * x_px + frequency[:, None] * y_px))).real
        return ((moved - low) / (high - low) * 255).round().clip(0, 255).astype(np.uint8)[90 : 90 + height, 90 : 90 + width]

    return Pairs(np.stack([cut(0, 0)] * len(MOVES_PX)), np.stack([cut(*move) for move in MOVES_PX]))


@cache
def world_pairs(side_px: int) -> tuple[Pairs, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Two successive frames of some clips; their flow [B, H, W, 2], what stays visible and what of it moves [B, H, W]."""
    clips = [world.clip(index, seed=WORLD_SEED, side_px=side_px) for index in WORLD_CLIPS]
    grey = [[cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.clip.read([WORLD_FRAME, WORLD_FRAME + 1])] for clip in clips]
    truths = [clip.truth for clip in clips]
    visible = np.stack([~truth.occluded[WORLD_FRAME] for truth in truths])
    moving = np.stack([truth.moving[WORLD_FRAME] for truth in truths]) & visible
    return Pairs(*np.stack(grey, 1)), np.stack([truth.flow_px[WORLD_FRAME] for truth in truths]), visible, moving


def texture_error(flow: NDArray[np.float32]) -> float:
    """Mean end-point error in pixels on moved textures."""
    inner = flow[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    return float(np.linalg.norm(inner - np.array(MOVES_PX)[:, None, None], axis=-1).mean())


def world_errors(name: str, side_px: int) -> tuple[float, float]:
    """Mean end-point error in pixels of one form, over what stays visible and over what moves."""
    pairs, truth, visible, moving = world_pairs(side_px)
    error = np.linalg.norm(FORMS[name](pairs) - truth, axis=-1)
    return float(error[visible].mean()), float(error[moving].mean())


def judge_errors() -> int:
    """Print the errors of all forms and the verdicts; the number of failures."""
    textures = {size: {name: texture_error(form(moved_textures(*size))) for name, form in FORMS.items()} for size in SIZES}
    clips = {side: {name: world_errors(name, side) for name in FORMS} for side in (112, 224)}
    failed = 0
    for (height, width), errors in textures.items():
        print(f"\nerror on moved textures {height} x {width}, px: " + ", ".join(f"{name} {value:.4f}" for name, value in errors.items()))
        failed += verdict(errors["ours"] <= 0.1, f"tvl1 {height} x {width}: error {errors['ours']:.4f} px (<= 0.1)")
        failed += _no_worse(f"textures {height} x {width}", errors["ours"], errors)
    for side, both in clips.items():
        print(f"\nerror on {len(WORLD_CLIPS)} clips of the world {side} x {side}, px, all visible / moving: ")
        print("  " + ", ".join(f"{name} {every:.3f} / {moving:.3f}" for name, (every, moving) in both.items()))
        for number, what in enumerate(("all visible", "moving")):
            failed += _no_worse(f"world {side}, {what}", both["ours"][number], {name: value[number] for name, value in both.items()})
    return failed


def _no_worse(what: str, error: float, errors: dict[str, float]) -> int:
    """The verdict beside OpenCV-contrib, where it is there."""
    if "OpenCV-contrib" not in errors:
        return 0
    peer = errors["OpenCV-contrib"]
    return verdict(error <= peer, f"tvl1 {what}: error {error:.4f} px, OpenCV-contrib {peer:.4f} (no worse)")


def judge_times(size: tuple[int, int], threads: int, rounds: int) -> int:
    """Print the rows of one size, and with one thread the verdict; the number of failures."""
    pairs = moved_textures(*size)
    timing = side_by_side({name: lambda form=form: form(pairs) for name, form in FORMS.items()}, threads, rounds=rounds, tries=1)
    print(f"\n{size[0]} x {size[1]}, {len(MOVES_PX)} pairs, {threads} thread{'s' * (threads > 1)}{timing.noise}")
    for name, taken in timing.ms.items():
        print(f"  {name:16} {taken / len(MOVES_PX):9.1f} ms a pair {taken / timing.ms['ours']:7.2f}x")
    if threads > 1 or "OpenCV-contrib" not in timing.ms:
        return 0
    ratio = timing.ms["OpenCV-contrib"] / timing.ms["ours"]
    return verdict(ratio >= LEAST_RATIO, f"tvl1 {size[0]} x {size[1]}: {ratio:.1f}x OpenCV-contrib (>= {LEAST_RATIO})")


def judge_memory() -> int:
    """Print peak memory of every form on the larger size, and the verdict."""
    warm_up = "import tvl1 as b; b.FORMS['{0}'](b.Pairs(*(p[:1, :40, :40] for p in b.moved_textures(64, 64)))); "
    prepare = warm_up + "pairs = b.moved_textures(240, 320)"
    peaks = {name: peak_mib(prepare.format(name), f"flow = b.FORMS['{name}'](pairs)") for name in FORMS}
    print(f"\n240 x 320, {len(MOVES_PX)} pairs, extra memory: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items()))
    return verdict(peaks["ours"] <= MOST_MIB, f"tvl1 240 x 320: {peaks['ours']:.0f} MiB (<= {MOST_MIB})")


def main() -> int:
    """Print tables and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, choices=(1, 2), help="only with so many threads")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each form")
    told = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, float32; cv2 {cv2.__version__}")
    print("peers: " + (", ".join(name for name in FORMS if name != "ours") or "none found; see --help"))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    failed = judge_errors()
    for threads in (told.threads,) if told.threads else (1, 2):
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        failed += sum(judge_times(size, threads, told.rounds) for size in SIZES)
    return int(failed + judge_memory() > 0)


if __name__ == "__main__":
    sys.exit(main())
