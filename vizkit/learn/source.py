"""Where the clips of a run come from: a batch for every step, a pure function of (config, step)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from vizkit.contracts import LabelledClips
from vizkit.learn.config import Phase, TrainingConfig
from vizkit.world import LABELS, WorldBatch, render
from vizkit.world.augment import augment
from vizkit.world.scene import WORLD_VERSION
from vizkit.world.shards import WorldClips, WorldShards

AUGMENTED = 1  # last word of the entropy that draws augmentations
Report = Callable[[int, int], None]
"""Takes the number of parts that are ready and the number of all."""


class Source(Dataset[LabelledClips], ABC):
    """Batches of a run, by the number of the step; the labels and the scale of the colours that go with them."""

    labels: tuple[str, ...]
    """Names of the classes."""
    mean: tuple[float, float, float]
    """Taken out of the colours in [0, 1]."""
    std: tuple[float, float, float]
    """What they are divided by then."""
    license = "Apache-2.0"
    """Terms of weights that are trained on them."""
    root: Path
    """Folder of what is kept on disk."""

    @abstractmethod
    def __getitem__(self, step: int) -> LabelledClips:
        """The batch of a step."""

    @abstractmethod
    def prepare(self, *, workers: int = 0, report: Report | None = None) -> int:
        """Make what is kept on disk; gives the number of clips that were made."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """What a card says about the data."""

    def normalize(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [B, T, 3, S, S] -> float32 [B, 3, T, S, S], the mean taken out and divided by the standard deviation."""
        mean, std = (torch.tensor(values, device=frames.device).view(3, 1, 1) for values in (self.mean, self.std))
        return ((frames.float() / 255 - mean) / std).transpose(1, 2)


class WorldSource(Source):
    """Clips of the motion world: rendered for their step, or rendered once and seen again and again in new orders.

    Args:
        config: of the run.
        root: folder for the clips that are kept.
    """

    labels = LABELS
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self, config: TrainingConfig, root: Path) -> None:
        self.config, self.root = config, root
        self._shards = {self._clips(phase, side): WorldShards(self._clips(phase, side), root) for phase, side in self._kept()}

    def _kept(self) -> list[tuple[Phase, int]]:
        return [(phase, side) for phase in self.config.phases if phase.rendered for side in phase.sides_px]

    def _clips(self, phase: Phase, side_px: int) -> WorldClips:
        config, frames = self.config, phase.frames or self.config.frames
        return WorldClips(seed=config.data_seed, frames=frames, side_px=side_px, nuisances=phase.nuisances, trap=config.trap)

    def prepare(self, *, workers: int = 0, report: Report | None = None) -> int:
        """Render the clips that are kept."""
        return sum(
            self._shards[self._clips(phase, side)].prepare(phase.rendered, workers=workers, report=report) for phase, side in self._kept()
        )

    def __getitem__(self, step: int) -> WorldBatch:
        """The clips of a step, augmented."""
        phase, inside = self.config.phase_at(step)
        side = phase.sides_px[inside % len(phase.sides_px)]
        config = self.config
        if phase.rendered:
            batch = self._shards[self._clips(phase, side)].batch(self._order(phase, inside))
        else:
            indices = range(step * config.batch, (step + 1) * config.batch)
            batch = render(indices, **self._clips(phase, side).model_dump())
        return augment(batch, config.augment, np.random.default_rng([config.seed, step, AUGMENTED]))

    def _order(self, phase: Phase, inside: int) -> list[int]:
        """Numbers of the clips of a phase's step: every clip once, in a new order each time."""
        places = range(inside * self.config.batch, (inside + 1) * self.config.batch)
        orders = {epoch: np.random.default_rng([self.config.seed, epoch]).permutation(phase.rendered) for epoch in
                  {place // phase.rendered for place in places}}  # fmt: skip
        return [int(orders[place // phase.rendered][place % phase.rendered]) for place in places]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where the clips are from, and how many there are."""
        config = self.config
        return {
            "source": "vizkit.world", "version": WORLD_VERSION, "split": "train", "seed": config.data_seed,
            "clips": sum(phase.clips for phase in config.phases),
            "distinct": sum(min(phase.rendered or phase.clips, phase.clips) for phase in config.phases),
            "augment": list(config.augment),
        }  # fmt: skip


def source_of(config: TrainingConfig, root: Path) -> Source:
    """The clips of a run.

    Args:
        config: the run.
        root: folder for clips that are kept; it may serve any number of runs.
    """
    if config.videos is not None:
        from vizkit.learn.videos import VideoSource

        return VideoSource(config, root)
    return WorldSource(config, root)
