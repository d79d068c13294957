"""A small DCF network and clips whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import SampledClip, Sampling, Stage, Tap, Window
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip


def load(name: str = "dcf-r2plus1d-50", **options: Any) -> Network:
    """Width 4, one block per stage, stages at strides 2, 4, 8, 16; four frames of 64 x 64; blocks that change something."""
    small: dict[str, Any] = {"num_classes": 5, "width": 4, "stem": "5x5/2", "layout": (1, 1, 1, 1)}
    if name.startswith("dcf"):
        small["residual_init"] = "scratch"
    network = load_network(name, **{**small, **options})
    return replace(network, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64))


@pytest.fixture(scope="session")
def small() -> Callable[..., Network]:
    """``small("r2plus1d-26", frames=4)``."""
    return load


@pytest.fixture(scope="session")
def world() -> WorldClip:
    """A thing moves left: four frames of 64 x 64 and their truth."""
    return clip(0, frames=4, side_px=64, nuisances=False)


@pytest.fixture(scope="session")
def run(world: WorldClip) -> ProbedRun:
    """The small network on that clip."""
    return probe(load(), world.clip)


def moving_run(
    run: ProbedRun, velocity_xy: tuple[int, int], *, shape: tuple[int, int, int] = (5, 16, 20), stride_frames: int = 1, seed: int = 0
) -> ProbedRun:
    """A run whose stage res2 shows noise that moves by whole cells per time step and wraps around; stride 4, origin 0.

    Args:
        run: gives the network and the provenance.
        velocity_xy: cells per time step.
        shape: (T, H, W) of the stage.
        stride_frames: sampled frames per time step.
        seed: of the noise.
    """
    steps, height, width = shape
    canvas = torch.randn(32, height, width, generator=torch.Generator().manual_seed(seed))
    x, y = velocity_xy
    features = torch.stack([canvas.roll((t * y, t * x), (1, 2)) for t in range(steps)], 1)
    frames = steps * stride_frames
    pixels, index = np.zeros((frames, 4 * height, 4 * width, 3), np.uint8), np.arange(frames)
    sampled = SampledClip("moving", "0", Sampling(), pixels, index, index / 8, Window((1.0, 1.0), (0.0, 0.0), (4 * width, 4 * height)))
    stage = Stage("res2", "res2", 32, 4.0, stride_frames, 0.0)
    network = replace(run.network, stages=(stage,), blocks=())
    return replace(run, clip=sampled, network=network, taps={"res2": Tap(stage, features, features)}, without=())


@pytest.fixture(scope="session")
def moving(run: ProbedRun) -> Callable[..., ProbedRun]:
    """``moving((2, 1))``: noise that moves 2 cells right and 1 down per time step."""
    return lambda velocity_xy, **settings: moving_run(run, velocity_xy, **settings)
