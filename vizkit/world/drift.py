"""A textured patch that drifts over a texture: the smallest clips whose label is a direction, and networks trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import Measured, Verdict
from vizkit.net.fit import Batch, Report, accuracy, fit, labelled

DIRECTIONS_XY = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""The eight directions by label: right, right-down, down, ..., right-up; y points down."""

SIDE_PX, PATCH_PX, FRAMES, SPEEDS_PX = 32, 9, 6, (1, 2, 3)

BATCH, TEST_CLIPS, PEAK_RATE = 16, 256, 0.01
GAIN = 0.25
"""By how much of the clips a network has to be better than the plain one."""


def drifting_patches(count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of a 9 x 9 px patch that moves over a still background, 32 x 32 px, 6 frames.

    A clip has one direction and one speed of 1, 2 or 3 px per frame (along each axis that it moves on); its start is uniform among the
    places that keep the whole track inside. Both are noise, drawn anew for every clip; the background's is coarser and has half the
    contrast, so that the patch can be found in a single frame. A network that does not know the order of the frames cannot tell a
    direction from its opposite all the same: it is right in half of the clips at best.

    Args:
        count: number of clips; as many of each label where it is a multiple of eight.
        rng: draws everything.

    Returns:
        Clips float32 [count, 3, 6, 32, 32] of mean 0 and standard deviation 0.5 (background) and 1 (patch), and labels int64 [count],
        see :data:`DIRECTIONS_XY`.
    """
    labels = rng.permutation(np.arange(count) % len(DIRECTIONS_XY))
    backgrounds, patches = 0.5 * _textures(count, SIDE_PX, 5, rng), _textures(count, PATCH_PX, 3, rng)
    clips = backgrounds[:, :, None].repeat(1, 1, FRAMES, 1, 1)
    for clip, patch, label in zip(clips, patches, labels, strict=True):
        step_xy = np.array(DIRECTIONS_XY[label]) * rng.choice(SPEEDS_PX)
        travel_xy = step_xy * (FRAMES - 1)
        start_xy = rng.integers(np.maximum(-travel_xy, 0), SIDE_PX - PATCH_PX + 1 - np.maximum(travel_xy, 0))
        for t in range(FRAMES):
            x, y = start_xy + t * step_xy
            clip[:, t, y : y + PATCH_PX, x : x + PATCH_PX] = patch
    return clips, torch.from_numpy(labels)


def _textures(count: int, side_px: int, grain_px: int, rng: np.random.Generator) -> torch.Tensor:
    """Noise [count, 3, S, S] of variance 1, averaged over grain x grain px, so that a step of a pixel does not change everything."""
    noise = torch.from_numpy(rng.standard_normal((count, 3, *(side_px + grain_px - 1,) * 2), dtype=np.float32))
    return F.avg_pool2d(noise, grain_px, 1) * grain_px


def learn_directions(builders: Mapping[str, Callable[[], nn.Module]], *, steps: int, seeds: int, report: Report) -> tuple[Measured, ...]:
    """Train networks on fresh clips, 16 at a step, and measure each on 256 others.

    Args:
        builders: name -> what makes the network, from clips to eight logits.
        steps: number of steps.
        seeds: number of seeds, from 0 on; a seed draws weights and clips, the same clips for every network.
        report: takes lines of progress.

    Returns:
        Shares of right labels.
    """
    ours = []
    for seed in range(seeds):
        for name, build in builders.items():
            told = labelled(report, f"{name}, seed {seed}")
            torch.manual_seed(seed)
            network = build()
            fit(network, _fresh(np.random.default_rng([seed, 0])), steps=steps, peak_rate=PEAK_RATE, report=told)
            found = accuracy(network, *drifting_patches(TEST_CLIPS, np.random.default_rng([seed, 1])))
            told(f"{found:.1%} of the test clips")
            ours.append(Measured(name, seed, found))
    return tuple(ours)


def _fresh(rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield drifting_patches(BATCH, rng)


def judge_gain(ours: tuple[Measured, ...], *, plain: str, decisive: str) -> Verdict:
    """With every seed, the decisive network has to be right in at least 25 % more of the clips than the plain one.

    Args:
        ours: shares of right labels; networks beside the two are ablations, which decide nothing.
        plain: name of the network without motion.
        decisive: name of the network with the paper's module.
    """
    shares = {(entry.network, entry.seed): entry.value for entry in ours}
    gains = {seed: value - shares[plain, seed] for (name, seed), value in shares.items() if name == decisive}
    seed = min(gains, key=lambda number: gains[number])
    reached = gains[seed] >= GAIN
    told = f"{decisive} has {shares[decisive, seed]:.1%}, {plain} {shares[plain, seed]:.1%} (seed {seed}, the smallest gain)"
    told += "" if reached else f", less than {100 * GAIN:.0f} points apart"
    if any(entry.network not in (plain, decisive) for entry in ours):
        told += "; the ablations are not separated by this task: which of them is better is not checked"
    return Verdict(reached, ours, f"{told}.")
