"""World clips rendered once and kept on disk, to be read again and again.

A folder is named after the digest of everything the clips depend on; shards in it hold 64 clips each, frames as uint8 beside the geometry
that the truth is worked out from. Nothing else than the clips' own settings decides what is in them, so any number of runs can share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.utils.data import DataLoader, Dataset

from vizkit.atomic import write_atomically
from vizkit.contracts import Settings
from vizkit.digest import digest_settings
from vizkit.world.dataset import LARGEST_PX, LARGEST_SHAKE_PX, MOST_FRAMES, SMALLEST_PX, WorldBatch, render
from vizkit.world.paint import PaintedScene
from vizkit.world.scene import WORLD_VERSION

SHARD_CLIPS = 64
SETTINGS = "settings.json"
_GEOMETRY = ("place", "reach", "turn", "present")


class WorldClips(Settings):
    """What the clips of a folder of shards depend on, beside their index; see :func:`vizkit.world.clip`."""

    split: Literal["train", "test", "demo"] = "train"
    """Which clips."""
    seed: int = Field(0, ge=0)
    """Of the world."""
    frames: int = Field(8, ge=1, le=MOST_FRAMES)
    """Frames of a clip."""
    side_px: int = Field(64, ge=SMALLEST_PX, le=LARGEST_PX)
    """Side of the frames."""
    nuisances: bool = True
    """Noise, shake, pan, bystanders."""
    shake: int = Field(0, ge=0, le=LARGEST_SHAKE_PX)
    """Camera jitter."""
    trap: float = Field(0.0, ge=0, le=1)
    """Share of the clips whose background has the colour of the label."""

    @property
    def digest(self) -> str:
        """SHA-256 of the settings that are not the default, so that a new one changes nothing, and of the world's version."""
        return digest_settings({**self.model_dump(exclude_defaults=True), "version": WORLD_VERSION})

    def render(self, indices: Sequence[int]) -> WorldBatch:
        """The clips themselves."""
        return render(indices, **self.model_dump())


@dataclass(eq=False)
class WorldShards(Dataset[int]):
    """Clips of one kind on disk. As a data set, it renders the missing shard of an index and gives the number of clips written.

    Args:
        settings: what the clips depend on.
        root: folder of all kinds of clips.
    """

    settings: WorldClips
    root: Path
    _open: dict[int, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of this kind of clips."""
        return self.root / self.settings.digest

    def prepare(self, clips: int, *, workers: int = 0, report: Callable[[int, int], None] | None = None) -> int:
        """Render what is missing of the first clips.

        Args:
            clips: number of clips that are wanted; whole shards are rendered.
            workers: processes that render; 0 for this one.
            report: called with the number of shards done and to do.

        Returns:
            Number of clips rendered.
        """
        missing = [number for number in range(-(-clips // SHARD_CLIPS)) if not self._path(number).exists()]
        if not missing:
            return 0
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / SETTINGS, (self.settings.model_dump_json(indent=1) + "\n").encode())
        written: Iterator[int] = iter(DataLoader(self, batch_size=None, sampler=missing, num_workers=workers))
        total = 0
        for done, count in enumerate(written, 1):
            total += count
            if report is not None:
                report(done, len(missing))
        return total

    def __getitem__(self, number: int) -> int:
        """Render and write one shard; gives the number of its clips."""
        first = number * SHARD_CLIPS
        batch = self.settings.render(range(first, first + SHARD_CLIPS))
        scenes = batch.scenes
        tensors = {"frames": batch.frames, "labels": batch.labels, "alpha": scenes.sprites[:, :, -1:]}
        tensors |= {name: getattr(scenes, name) for name in _GEOMETRY}
        write_atomically(self._path(number), save({name: tensor.contiguous() for name, tensor in tensors.items()}))
        return SHARD_CLIPS

    def batch(self, indices: Sequence[int]) -> WorldBatch:
        """Read clips: the same frames, labels and truth as if they were rendered (the scenes' colours are not kept).

        A shard that is missing or damaged is rendered first.

        Args:
            indices: numbers of clips.
        """
        rows = [self._row(int(index)) for index in indices]
        found = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        kept = {name: found[name] for name in _GEOMETRY}
        scenes = PaintedScene(self.settings.side_px, **kept, background=torch.zeros(len(rows), 3, 0, 0), sprites=found["alpha"])
        return WorldBatch(found["frames"], found["labels"], scenes)

    def _row(self, index: int) -> dict[str, torch.Tensor]:
        number, inside = divmod(index, SHARD_CLIPS)
        shard = self._shard(number)
        return {name: shard.get_slice(name)[inside] for name in (*_GEOMETRY, "frames", "labels", "alpha")}

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            with suppress(FileNotFoundError, SafetensorError):
                self._open[number] = safe_open(self._path(number), "pt")
        if number not in self._open:
            self.folder.mkdir(parents=True, exist_ok=True)
            self[number]
            self._open[number] = safe_open(self._path(number), "pt")
        return self._open[number]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}.safetensors"

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay in their process."""
        return {**self.__dict__, "_open": {}}
