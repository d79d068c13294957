"""World clips mirrored, transposed and reversed: the frames, the labels and what is true of the motion change together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from vizkit.world.dataset import WorldBatch
from vizkit.world.labels import Augmentation, has_label, relabel
from vizkit.world.paint import PaintedScene

SHARE = 0.5
"""Share of the clips that each augmentation changes."""

_PICTURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flip_x": lambda picture: picture.flip(-1),
    "flip_y": lambda picture: picture.flip(-2),
    "transpose": lambda picture: picture.transpose(-1, -2),
}
_PLACES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flip_x": lambda xy: torch.stack([1 - xy[..., 0], xy[..., 1]], -1),
    "flip_y": lambda xy: torch.stack([xy[..., 0], 1 - xy[..., 1]], -1),
    "transpose": lambda xy: xy.flip(-1),
}


def transform(batch: WorldBatch, augmentation: Augmentation) -> WorldBatch:
    """Change all clips of a batch in one way.

    Args:
        batch: clips of the world.
        augmentation: see :func:`vizkit.world.labels.relabel`, which gives the new labels.

    Returns:
        A batch whose scenes say where things are in the changed frames.

    Raises:
        SettingError: an unknown augmentation, or a clip whose label leaves the world by it.
    """
    labels = torch.tensor([relabel(int(label), augmentation) for label in batch.labels], device=batch.labels.device)
    frames, scenes = batch.frames, batch.scenes
    if augmentation == "reverse":
        tracks = (scenes.place.flip(2), scenes.reach.flip(2), scenes.turn.flip(2))
        return WorldBatch(frames.flip(1), labels, PaintedScene(scenes.side_px, *tracks, scenes.present, scenes.background, scenes.sprites))
    picture, place = _PICTURES[augmentation], _PLACES[augmentation]
    mirrored = PaintedScene(
        scenes.side_px, place(scenes.place), scenes.reach, -scenes.turn, scenes.present, picture(scenes.background), picture(scenes.sprites)
    )
    return WorldBatch(picture(frames), labels, mirrored)


def augment(batch: WorldBatch, augmentations: Sequence[Augmentation], rng: np.random.Generator) -> WorldBatch:
    """Change half of the clips, drawn anew for every augmentation; a clip whose label would leave the world stays as it is.

    Args:
        batch: clips of the world.
        augmentations: applied one after the other.
        rng: draws the clips.
    """
    for augmentation in augmentations:
        drawn = rng.random(len(batch.labels)) < SHARE
        keeps = np.array([has_label(int(label), augmentation) for label in batch.labels])
        rows = torch.from_numpy(np.flatnonzero(drawn & keeps))
        if len(rows):
            part = transform(WorldBatch(batch.frames[rows], batch.labels[rows], batch.scenes.take(rows)), augmentation)
            batch = WorldBatch(
                batch.frames.index_copy(0, rows, part.frames),
                batch.labels.index_copy(0, rows, part.labels),
                batch.scenes.put(rows, part.scenes),
            )
    return batch
