"""Small clips on which the paper's sentences can be checked in minutes: textured things that move over a texture, under a shaken camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from vizkit.contracts import Record

SHAPES_WH: Mapping[str, tuple[tuple[int, int], ...]] = {
    "square": ((16, 16),),
    "wide": ((26, 10),),
    "tall": ((10, 26),),
    "plus": ((24, 7), (7, 24)),
}
"""Rectangles (width, height) in pixels whose union, about a common centre, is a shape; all have about the same area."""

MEAN, STD, NOISE = 0.45, 0.225, 0.01
CONTRAST, THING_CONTRAST = 0.2, 1.5
EDGE_PX = 5
SPEEDS_PX = 1.5, 3.0
BACKGROUND_GRAIN_PX, THING_GRAIN_PX, CAMOUFLAGE_GRAIN_PX = 13, 7, 8


@dataclass(frozen=True, eq=False, repr=False)
class MovingShapes(Record):
    """Clips of one moving shape each."""

    clips: torch.Tensor
    """float32 [B, 3, T, S, S], values in 0..1 less 0.45, over 0.225."""
    covered: torch.Tensor
    """bool [B, S, S] where the shape was in any frame."""
    labels: torch.Tensor
    """int64 [B] number of the shape, in the order of :data:`SHAPES_WH`."""


def moving_shapes(
    count: int, rng: np.random.Generator, *, shake: int, frames: int = 8, side_px: int = 64, camouflaged: bool = False
) -> MovingShapes:
    """Clips of a textured shape that moves at a constant velocity over a still texture.

    The speed is 1.5 to 3 px per frame, its direction and the start are anything that keeps the shape inside (for long clips the speed is
    lower). Each frame is then moved as a whole, by whole pixels, and gets sensor noise.

    Args:
        count: number of clips.
        rng: draws everything.
        shake: pixels by which a frame is moved at most, along each axis.
        frames: T.
        side_px: S.
        camouflaged: four shapes in turn, whose texture is of the background's kind and blends into it over a few pixels, so that a single
            frame hardly shows them. Otherwise all are squares of finer texture and higher contrast with hard edges.
    """
    shapes = list(SHAPES_WH.values()) if camouflaged else [SHAPES_WH["square"]]
    grains = (CAMOUFLAGE_GRAIN_PX,) * 2 if camouflaged else (BACKGROUND_GRAIN_PX, THING_GRAIN_PX)
    wide = side_px + 2 * shake
    backgrounds, things = (_textures(count, wide, grain, rng) for grain in grains)
    things *= 1.0 if camouflaged else THING_CONTRAST
    labels = rng.permutation(np.arange(count) % len(shapes))
    clips, covered = torch.empty(count, 3, frames, side_px, side_px), torch.zeros(count, side_px, side_px, dtype=torch.bool)
    for row, label in enumerate(labels):
        track = _track(rng, max(max(wh) for wh in shapes[label]), frames, side_px)
        jitter = rng.integers(-shake, shake + 1, (frames, 2)) if shake else np.zeros((frames, 2), int)
        for t, (centre, moved) in enumerate(zip(track, jitter, strict=True)):
            at = np.rint(centre).astype(int) + shake
            inside = _mask(shapes[label], at, wide)
            thing = things[row].roll(tuple((at - wide // 2)[::-1].tolist()), (1, 2))  # the texture moves along; its seam is far away
            alpha = _softened(inside) if camouflaged else inside.float()
            whole = alpha * thing + (1 - alpha**2).sqrt() * backgrounds[row]  # of one variance everywhere
            x, y = shake + moved
            clips[row, :, t] = whole[:, y : y + side_px, x : x + side_px]
            covered[row] |= inside[y : y + side_px, x : x + side_px]
    pixels = (MEAN + CONTRAST * clips + NOISE * torch.from_numpy(rng.standard_normal(clips.shape, dtype=np.float32))).clamp(0, 1)
    return MovingShapes((pixels - MEAN) / STD, covered, torch.from_numpy(labels))


def _textures(count: int, side_px: int, grain_px: int, rng: np.random.Generator) -> torch.Tensor:
    """Noise [count, 3, S, S] of variance 1, averaged twice over grain x grain px."""
    noise = torch.from_numpy(rng.standard_normal((count, 3, *(side_px + 2 * grain_px - 2,) * 2), dtype=np.float32))
    smooth = F.avg_pool2d(F.avg_pool2d(noise, grain_px, 1), grain_px, 1)
    return smooth / smooth.std(dim=(1, 2, 3), keepdim=True)


def _track(rng: np.random.Generator, size_px: int, frames: int, side_px: int) -> NDArray[np.float64]:
    """[T, 2] centres (x, y), half the size or more from the border."""
    angle = rng.uniform(0, 2 * np.pi)
    room = side_px - size_px - 1
    travel = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(*SPEEDS_PX) * (frames - 1)
    travel *= min(1.0, room / np.abs(travel).max())
    low = size_px / 2 + np.maximum(-travel, 0)
    start = low + rng.random(2) * (room - np.abs(travel))
    return start + travel * np.linspace(0, 1, frames)[:, None]


def _mask(rectangles: tuple[tuple[int, int], ...], centre_xy: NDArray[np.int64], side_px: int) -> torch.Tensor:
    """[S, S] bool."""
    inside = torch.zeros(side_px, side_px, dtype=torch.bool)
    for width, height in rectangles:
        x, y = centre_xy - (width // 2, height // 2)
        inside[y : y + height, x : x + width] = True
    return inside


def _softened(mask: torch.Tensor) -> torch.Tensor:
    """[S, S] share of the mask in the pixels around each."""
    return F.avg_pool2d(mask[None, None].float(), EDGE_PX, 1, EDGE_PX // 2)[0, 0]


def small_classifier(classes: int, channels: int = 3) -> nn.Sequential:
    """Five convolutions on one picture [B, C, S, S], with a batch norm on the input, since residuals are small."""
    layers: list[nn.Module] = [nn.BatchNorm2d(channels)]
    for before, after, stride in ((channels, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 64, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
