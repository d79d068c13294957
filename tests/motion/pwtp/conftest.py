"""A small network with PWTP in front of it, one without, and clips whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vizkit.checkpoint import load_network
from vizkit.contracts import SampledClip, Sampling, Window
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe

SIDE_PX = 32


def sampled(frames: NDArray[np.uint8]) -> SampledClip:
    """Frames [T, H, W, 3] as a network sees them, an eighth of a second apart."""
    count, height, width, _ = frames.shape
    sampling, window = Sampling(scheme="dense", frames=count), Window((1.0, 1.0), (0.0, 0.0), (width, height))
    return SampledClip("made", "0", sampling, frames, np.arange(count), np.arange(count) / 8, window)


def moving_square(frames: int = 8, *, step_px: int = 2, seed: int = 0) -> NDArray[np.uint8]:
    """[T, 32, 32, 3]: an 8-px square of noise moves right over a background of smooth noise that stands still."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    ground = torch.nn.functional.interpolate(coarse, size=(SIDE_PX, SIDE_PX), mode="bicubic")[0].clamp(0, 1)
    thing = torch.rand(3, 8, 8, generator=generator)
    clip = ground[None].repeat(frames, 1, 1, 1)
    for frame in range(frames):
        left = 2 + step_px * frame
        clip[frame, :, 12:20, left : left + 8] = thing
    return (255 * clip).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="session")
def plain() -> Network:
    """A network without PWTP."""
    return load_network("c2d-18", num_classes=5, width=4, stem="5x5/2")


@pytest.fixture(scope="session")
def projected() -> Network:
    """A network with PWTP for segments of four frames; random weights."""
    return load_network("pwtp-x3d-xs", num_classes=5, width=4, stem="5x5/2", frames=4, initial="random")


@pytest.fixture(scope="session")
def run(plain: Network) -> ProbedRun:
    """The network without PWTP on eight frames of a moving square."""
    return probe(plain, sampled(moving_square()))


@pytest.fixture(scope="session")
def own(projected: Network) -> ProbedRun:
    """The network with PWTP on the same frames: two segments of four."""
    return probe(projected, sampled(moving_square()))


@pytest.fixture(scope="session")
def clip_of() -> Callable[..., Any]:
    """``clip_of(frames [T, H, W, 3])``."""
    return sampled
