"""Clips of the motion world, one by one or in batches. A clip is a pure function of (world version, split, seed, index)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from vizkit.clip import clip_from_frames
from vizkit.contracts import LabelledClips, Record, VideoClip
from vizkit.errors import SettingError, unknown_name
from vizkit.world.labels import LABELS, label_number
from vizkit.world.paint import PaintedScene, paint_frames, paint_layers
from vizkit.world.scene import draw_scene
from vizkit.world.truth import Truth, measure_truth

FRAMES_PER_SECOND = 8
SMALLEST_PX, LARGEST_PX = 32, 512
MOST_FRAMES = 128
LARGEST_SHAKE_PX = 16
_DEFAULTS = {"seed": 0, "label": None, "frames": 8, "side_px": 112, "nuisances": 1, "shake": 0, "trap": 0}

DEMOS = {
    "A ball falls and bounces": 12,
    "Two things close in": 8,
    "One thing is covered by another": 11,
    "A thing comes nearer": 4,
    "A thing turns clockwise": 6,
    "The camera moves, nothing else": 14,
}
"""The built-in gallery: names of clips and their index in the split "demo"."""


@dataclass(frozen=True, eq=False, repr=False)
class WorldClip(Record):
    """A synthetic clip with its label and the truth about its motion."""

    clip: VideoClip
    """The frames."""
    label: str
    """A label of the world's checkpoints."""
    truth: Truth
    """Exact flow, occlusion, objects and tracks."""


@dataclass(frozen=True, eq=False, repr=False)
class WorldBatch(LabelledClips):
    """A batch of clips of the world for training and scoring."""

    scenes: PaintedScene
    """The layers, for :func:`vizkit.world.truth.follow`."""

    def take(self, rows: slice) -> Self:
        """Some of the clips."""
        return replace(super().take(rows), scenes=self.scenes.take(rows))

    def to(self, device: torch.device) -> Self:
        """The clips on another device."""
        return replace(super().to(device), scenes=self.scenes.to(device))


def clip(
    index: int = 0,
    *,
    split: str = "test",
    seed: int = 0,
    label: str | int | None = None,
    frames: int = 8,
    side_px: int = 112,
    nuisances: bool = True,
    shake: int = 0,
    trap: bool = False,
) -> WorldClip:
    """Render one clip of the motion world with its truth.

    Args:
        index: number of the clip in its split; its label is ``LABELS[index % 16]`` unless ``label`` is given.
        split: "train", "test" or "demo".
        seed: another seed is another world of clips.
        label: name or number of the class.
        frames: number of frames, 1..128.
        side_px: side of the square frames, 32..512 px (trained at 64 and 112).
        nuisances: sensor noise, blur, brightness drift, shake, pan, bystanders and occluders.
        shake: camera jitter beside the nuisances: every frame is moved by whole pixels of -shake..shake along each axis, 0..16;
            the truth knows it. The label keeps saying what the scene does.
        trap: the background has the colour of the label, see :func:`vizkit.world.scene.background_color`.

    Returns:
        A :class:`WorldClip`; the same arguments give the same bytes.

    Raises:
        SettingError: an unknown split or label, a negative index or seed, or a size out of range.
    """
    _check(index, seed, frames, side_px, shake)
    number = None if label is None else label_number(label)
    batch = render(
        [index], split=split, seed=seed, label=number, frames=frames, side_px=side_px, nuisances=nuisances, shake=shake, trap=float(trap)
    )
    pixels = batch.frames[0].permute(0, 2, 3, 1).contiguous().numpy()
    times_s = np.arange(frames) / FRAMES_PER_SECOND
    changed = {"seed": seed, "label": number, "frames": frames, "side_px": side_px}
    changed |= {"nuisances": int(nuisances), "shake": shake, "trap": int(trap)}
    video = clip_from_frames(pixels, name=_address(split, index, changed), times_s=times_s)
    video = replace(video, codec="world", warnings=())  # short and small on purpose
    return WorldClip(video, LABELS[int(batch.labels[0])], measure_truth(batch.scenes))


def render(
    indices: Sequence[int],
    *,
    split: str = "train",
    seed: int = 0,
    label: int | None = None,
    frames: int = 8,
    side_px: int = 64,
    nuisances: bool = True,
    shake: int = 0,
    trap: float = 0.0,
    device: torch.device | str = "cpu",
) -> WorldBatch:
    """Render a batch of clips; each is the same as if it were rendered alone.

    Args:
        indices: numbers of clips.
        split: see :func:`clip`, as for all down to ``shake``.
        seed: of the world.
        label: number of the class of all clips.
        frames: number of frames.
        side_px: side of the frames.
        nuisances: whether there are any.
        shake: camera jitter beside them.
        trap: share of the clips whose background has the colour of their label, 0 to 1: static appearance that gives the label away.
        device: where they are painted.

    Raises:
        SettingError: a share outside 0 to 1.
    """
    if not 0 <= trap <= 1:
        raise SettingError(f"trap is {trap}, a share of 0 to 1 is accepted.", code="trap")
    settings: dict[str, Any] = {"split": split, "seed": seed, "label": label, "frames": frames}
    settings |= {"nuisances": nuisances, "shake": shake, "trap": trap}
    scenes = [draw_scene(int(index), **settings) for index in indices]
    painted = [paint_layers([scene], side_px, device) for scene in scenes]  # one by one: sums over a batch round differently
    pictures = [paint_frames(layers, [scene]) for layers, scene in zip(painted, scenes, strict=True)]
    labels = torch.tensor([scene.label for scene in scenes], device=device)
    return WorldBatch(torch.cat(pictures), labels, PaintedScene.join(painted))


def clip_at(address: str) -> WorldClip:
    """Render the clip that an address names: the name that :func:`clip` gives.

    Args:
        address: ``"world:SPLIT:INDEX"``, with ``:key=value,...`` for what differs from the defaults of :func:`clip`.

    Raises:
        SettingError: an address that names no clip.
    """
    index, split, values = _parsed(address)
    return clip(index, split=split, **values)


def label_at(address: str) -> str:
    """The label of the clip that an address names; nothing is rendered.

    Raises:
        SettingError: an address that names no clip.
    """
    index, _, values = _parsed(address)
    return LABELS[values.get("label", index % len(LABELS))]


def _parsed(address: str) -> tuple[int, str, dict[str, Any]]:
    """Index, split and what differs from the defaults."""
    match = re.fullmatch(r"world:([a-z]+):(\d+)(?::((?:[a-z_]+=\d+,?)+))?", address)
    if match is None:
        raise SettingError(f"{address!r} names no clip of the motion world; write world:demo:12 or world:test:3:side_px=64,seed=1.")
    changes = dict(pair.split("=") for pair in (match[3] or "").rstrip(",").split(",") if pair)
    unknown = sorted(set(changes) - set(_DEFAULTS))
    if unknown:
        raise unknown_name("part of a world address", unknown[0], list(_DEFAULTS))
    values: dict[str, Any] = {key: int(value) for key, value in changes.items()}
    values |= {name: bool(values[name]) for name in ("nuisances", "trap") if name in values}
    return int(match[2]), match[1], values


def _address(split: str, index: int, values: Mapping[str, int | None]) -> str:
    changed = ",".join(f"{key}={value}" for key, value in values.items() if value != _DEFAULTS[key])
    return f"world:{split}:{index}" + (f":{changed}" if changed else "")


def _check(index: int, seed: int, frames: int, side_px: int, shake: int) -> None:
    if index < 0 or seed < 0:
        raise SettingError(f"{'index' if index < 0 else 'seed'} is {min(index, seed)}, it cannot be negative.")
    if not 1 <= frames <= MOST_FRAMES:
        raise SettingError(f"frames is {frames}, allowed 1..{MOST_FRAMES}.")
    if not SMALLEST_PX <= side_px <= LARGEST_PX:
        raise SettingError(f"side_px is {side_px}, allowed {SMALLEST_PX}..{LARGEST_PX}.")
    if not 0 <= shake <= LARGEST_SHAKE_PX:
        raise SettingError(f"shake is {shake}, allowed 0..{LARGEST_SHAKE_PX} px.")
