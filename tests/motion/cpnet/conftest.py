"""Small CPNets and clips whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip


def load(name: str = "cpnet-18", **options: Any) -> Network:
    """Width 4, stages at strides 2, 4, 8, 16; four frames of 64 x 64; a module that changes something."""
    module = {} if name.startswith("c2d") else {"last_gain": 1.0, "widths": (12, 12)}
    network = load_network(name, **{"num_classes": 5, "width": 4, "stem": "5x5/2", **module, **options})
    return replace(network, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64))


@pytest.fixture(scope="session")
def small() -> Callable[..., Network]:
    """``small("cpnet-18", shrink=1)``."""
    return load


@pytest.fixture(scope="session")
def world() -> WorldClip:
    """A thing moves left: four frames of 64 x 64 and their truth."""
    return clip(0, frames=4, side_px=64, nuisances=False)


@pytest.fixture(scope="session")
def run(world: WorldClip) -> ProbedRun:
    """A small CPNet (res3 matched on a shrunk grid, res4 on its own) on that clip."""
    return probe(load(), world.clip)
