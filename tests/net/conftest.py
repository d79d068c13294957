"""Small networks and clips for the tests of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vizkit.checkpoint import load_network
from vizkit.contracts import SampledClip, Sampling, Window
from vizkit.net.network import Network

SAMPLING = Sampling(segments=4, frames=4, short_side_px=48, crop_px=48)


@pytest.fixture
def small() -> Callable[..., Network]:
    """``small("cpnet-18", last_gain=1.0)``: five classes, width 4, four frames of 48 x 48."""

    def load(name: str, **options: Any) -> Network:
        network = load_network(name, **{"num_classes": 5, "width": 4, "stem": "5x5/2", **options})
        return replace(network, sampling=SAMPLING)

    return load


@pytest.fixture
def noise() -> Callable[..., SampledClip]:
    """``noise(3)``: clip number 3 of random pixels."""

    def make(seed: int = 0, frames: int = 4, height: int = 48, width: int = 48) -> SampledClip:
        pixels = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)
        index = np.arange(frames)
        return SampledClip(f"noise {seed}", str(seed), SAMPLING, pixels, index, index / 8, Window((1.0, 1.0), (0.0, 0.0), (width, height)))

    return make
