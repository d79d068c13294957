"""Small CorrNets whose filters have learned something known, and a clip whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.motion.corrnet.module import CorrelationBlock
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip, clip


def load(*, learned: bool = True, **options: Any) -> Network:
    """Width 8, stages at strides 2, 4, 8, 16, four frames of 64 x 64; filters ``1 + sin(0.37 n) / 10`` where learned."""
    network = load_network("corrnet-26", **{"num_classes": 5, "width": 8, "stem": "5x5/2", "frames": 4, "group_size": 4, **options})
    if learned:
        for part in network.module.modules():
            if isinstance(part, CorrelationBlock) and part.operator.filtered:
                filters = part.operator.filters
                filters.copy_((1 + torch.sin(0.37 * torch.arange(filters.numel(), dtype=torch.float64)) / 10).view(filters.shape))
    return replace(network, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64))


@pytest.fixture(scope="session")
def small() -> Callable[..., Network]:
    """``small(learned=False, patch=3)``."""
    return load


@pytest.fixture(scope="session")
def world() -> WorldClip:
    """A thing moves left: four frames of 64 x 64 and their truth."""
    return clip(0, frames=4, side_px=64, nuisances=False)


@pytest.fixture(scope="session")
def run(world: WorldClip) -> ProbedRun:
    """The small CorrNet on that clip."""
    return probe(load(), world.clip)
