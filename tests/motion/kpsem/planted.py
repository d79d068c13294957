"""Runs whose features are known: the maps of a stage are put in the place of what a small network computed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling, Tap
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip

EXAMPLE = (
    {(0, 1): 1.0, (1, 3): 0.6, (3, 0): 0.8, (2, 2): 0.4},
    {(1, 1): 0.95, (0, 2): 0.5, (3, 3): 0.85, (2, 0): 0.3},
)
"""Two frames of 4 x 4 cells, (row, column) -> value, zero elsewhere: a worked example with four regions."""
EXAMPLE_SHIFT_XY = ((0.13072, 1.12647), (-1.08642, -0.5416), (2.83999, -0.17607), (-0.95995, -0.95995))
EXAMPLE_MATCH = (
    (0.92536, 0.00624, 0.00411, 0.0643),
    (0.04928, 0.79266, 0.06507, 0.09299),
    (0.06365, 0.0142, 0.00617, 0.91598),
    (0.01514, 0.48242, 0.48242, 0.02003),
)
EXAMPLE_WEIGHT = (0.269207, 0.242071, 0.242071, 0.246652)


@cache
def world(frames: int = 4) -> WorldClip:
    """A thing moves left: frames of 64 x 64 and their truth."""
    return clip(0, frames=frames, side_px=64, nuisances=False)


@cache
def plain_run() -> ProbedRun:
    """A small network without KPSEM on that clip; its stages have strides of 2, 4, 8 and 16 px."""
    network = load_network("c2d-18", num_classes=5, width=4, stem="5x5/2")
    return probe(replace(network, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64)), world().clip)


@cache
def kpsem_run(**options: Any) -> ProbedRun:
    """A small MFNet with KPSEM on a clip of eight frames, four steps in time at res4."""
    network = load_network("mf-kpsem", **{"num_classes": 5, "width": 8, "stem": "5x5/2", "frames": 8, "sets": 3, **options})
    sampling = Sampling(segments=8, frames=8, short_side_px=64, crop_px=64)
    return probe(replace(network, sampling=sampling), world(8).clip)


def planted(maps: np.ndarray, stage: str = "res4") -> ProbedRun:
    """The small network's run with the features [C, T, H, W] of one stage exchanged."""
    run, features = plain_run(), torch.from_numpy(np.asarray(maps, np.float32))
    return replace(run, taps={**run.taps, stage: Tap(run.network.stage(stage), features, features)})


def example(channels: int = 1) -> np.ndarray:
    """[C, 2, 4, 4] the worked example in the last channel, weaker copies of it before."""
    maps = np.zeros((channels, 2, 4, 4), np.float32)
    for step, cells in enumerate(EXAMPLE):
        for cell, value in cells.items():
            maps[:, step, *cell] = value * np.linspace(1 / channels, 1, channels)
    return maps


def dots(places: list[dict[tuple[int, int], float]], height: int = 14, width: int = 14) -> np.ndarray:
    """[1, T, H, W] values at (row, column) of every step, on a gentle slope that has no two equal cells."""
    slope = np.linspace(0, 0.01, height * width, dtype=np.float32).reshape(height, width)
    maps = np.repeat(slope[None, None], len(places), axis=1)
    for step, cells in enumerate(places):
        for cell, value in cells.items():
            maps[0, step, *cell] = value
    return maps
