"""Batches of real videos: every clip is decoded once and kept as uint8 frames, named after a digest of its bytes and of how it was sampled.

One network can be asked for the class of a clip and for the direction in which it is played: every class then stands for two
labels, forwards and backwards, and every clip is shown both ways. A single frame says nothing about the direction.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.atomic import write_atomically
from vizkit.clip import Limits, open_clip, sample
from vizkit.clip.frames import is_picture, resize
from vizkit.contracts import LabelledClips, Record, Sampling
from vizkit.digest import digest_file, digest_settings
from vizkit.errors import ClipError, SettingError
from vizkit.learn.config import TrainingConfig, VideoData
from vizkit.learn.listing import Listing, VideoEntry, divide, read_listing
from vizkit.learn.source import Report, Source
from vizkit.learn.ut_interaction import NAME, TERMS, ut_listing

FORMAT_VERSION = 1
BACKWARDS = ", backwards"
LOUDEST = 0.3
"""How far contrast and the colours' balance are changed at most, as a share; brightness by half as much."""
CROPPED = 0.15
"""Share of the width and of the height that is cut away at most."""
TRIMMED = 0.15
"""Share of the clip that is cut away at either end at most."""
BATCH = 8
PATIENCE = Limits(wall_s=600.0)
"""The same bounds as for any clip, but for the time that a decoder may wait for its turn on a busy machine."""


@dataclass(frozen=True, repr=False)
class KeptClips(Record):
    """Clips whose frames lie on disk."""

    entries: tuple[VideoEntry, ...]
    """The clips."""
    files: tuple[Path, ...]
    """Their frames, uint8 [T, H, W, 3] as ``.npy``."""
    refused: tuple[str, ...] = ()
    """One sentence for every clip that was left out."""

    def frames(self, place: int) -> NDArray[np.uint8]:
        """Frames [T, H, W, 3] of a clip, mapped from the disk."""
        kept: NDArray[np.uint8] = np.load(self.files[place], mmap_mode="r")
        return kept


def keep_frames(
    entries: Sequence[VideoEntry], sampling: Sampling, root: Path, *, skip_bad: bool = False, report: Report | None = None
) -> KeptClips:
    """Decode the clips that are not on disk yet.

    Args:
        entries: the clips.
        sampling: which frames are kept and at which size; the clip's own start and end replace its window.
        root: folder of all kept clips.
        skip_bad: leave out clips that cannot be read, and say so, instead of refusing the data set.
        report: called with the number of clips done and to do.

    Returns:
        The clips in their order, without those that were left out.

    Raises:
        ClipError: a clip cannot be read; the message names it and says why.
    """
    root.mkdir(parents=True, exist_ok=True)

    def keep(entry: VideoEntry) -> Path | str:
        try:
            return _kept(entry, sampling, root)
        except (ClipError, SettingError) as error:
            return f"{entry.path}: {error.message.removeprefix(f'{entry.path.name}: ')}"

    found: list[Path | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding happens in child processes
        for answer in pool.map(keep, entries):
            found.append(answer)
            if report is not None:
                report(len(found), len(entries))
    refused = tuple(answer for answer in found if isinstance(answer, str))
    if refused and not skip_bad:
        raise ClipError(
            f"{refused[0]} {len(refused)} of {len(entries)} clips cannot be read; mend them, or leave such clips out by skip_bad = true.",
            code="unreadable",
        )
    good = [(entry, answer) for entry, answer in zip(entries, found, strict=True) if isinstance(answer, Path)]
    return KeptClips(tuple(entry for entry, _ in good), tuple(path for _, path in good), refused)


def _kept(entry: VideoEntry, sampling: Sampling, root: Path) -> Path:
    window = sampling.model_copy(update={"start_s": entry.start_s, "end_s": entry.end_s})
    path = root / f"{digest_settings([FORMAT_VERSION, _digest(entry.path), window.model_dump()])}.npy"
    if not path.exists():
        frames = sample(open_clip(entry.path, limits=PATIENCE), window).frames
        buffer = io.BytesIO()
        np.save(buffer, frames)
        write_atomically(path, buffer.getvalue())
    return path


def _digest(path: Path) -> str:
    """SHA-256 of a file, or over the pictures of a folder and their names."""
    if path.is_dir():
        return digest_settings({entry.name: digest_file(entry) for entry in sorted(path.iterdir()) if is_picture(entry.name)})
    try:
        return digest_file(path)
    except OSError as error:
        raise ClipError(f"{path.name}: there is no readable file of this name.", code="missing") from error


def labels_of(classes: Sequence[str], *, direction: bool) -> tuple[str, ...]:
    """Labels of a network: the classes, or each of them forwards (number 2i) and backwards (2i + 1)."""
    return tuple(label for name in classes for label in ((name, f"{name}{BACKWARDS}") if direction else (name,)))


class VideoSource(Source):
    """Training batches of real videos: clips drawn anew for every step, a pure function of (config, step).

    An epoch goes through the clips in an order of its own. A clip is trimmed at both ends, one frame is drawn from each of as many
    equal parts as the network has frames; all its frames are cropped, mirrored and coloured alike. Mirroring changes no label here: it
    swaps left and right, not the class and not the direction of time.

    Args:
        config: of the run; its ``videos`` say which clips.
        root: folder for the frames that are kept.

    Raises:
        SettingError: a data set, or a split of it, that is not what it should be.
    """

    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    license = "as the terms of the clips that the weights were trained on allow"

    def __init__(self, config: TrainingConfig, root: Path) -> None:
        self.config, self.videos, self.root = config, videos_of(config), root
        self.listing, self.train, self.test = chosen(self.videos)
        self.labels = labels_of(self.listing.labels, direction=self.videos.direction)
        if self.listing.name == NAME:
            self.license = f"{TERMS} (as UT-Interaction, the clips that the weights were trained on)"
        self._clips: KeptClips | None = None

    def prepare(self, *, workers: int = 0, report: Report | None = None) -> int:  # noqa: ARG002 - decoders are processes already
        """Decode the training clips; gives their number."""
        side = self.videos.kept_px
        sampling = Sampling(segments=self.videos.kept_frames, short_side_px=side, crop_px=None, resize_hw=(side, side))
        self._clips = keep_frames(self.train, sampling, self.root, skip_bad=self.videos.skip_bad, report=report)
        return len(self._clips.entries)

    def __getitem__(self, step: int) -> LabelledClips:
        """The clips of a step; those shown both ways are drawn anew for each."""
        phase, inside = self.config.phase_at(step)
        side, ways = phase.sides_px[inside % len(phase.sides_px)], self.videos.ways
        shown = self.config.batch // ways
        pictures, labels = [], []
        for number in range(step * shown, (step + 1) * shown):
            place = self._place(number)
            label = self.listing.labels.index(self.clips.entries[place].label)
            for way in range(ways):
                clip = self._drawn(self.clips.frames(place), np.random.default_rng([self.config.seed, number, way]), side)
                pictures.append(clip[::-1] if way else clip)
                labels.append(ways * label + way)
        return _batch(pictures, labels)

    @property
    def clips(self) -> KeptClips:
        """The training clips on disk."""
        if self._clips is None:
            self.prepare()
        assert self._clips is not None
        return self._clips

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the clips are, and which of them were trained on."""
        return {
            "source": "videos", "name": self.listing.name, "classes": list(self.listing.labels), "direction": self.videos.direction,
            "clips": len(self.clips.entries), "test_clips": len(self.test), "groups": len({entry.group for entry in self.clips.entries}),
            "fold": self.videos.fold, "refused": list(self.clips.refused),
        }  # fmt: skip

    def _place(self, number: int) -> int:
        """Which clip is the number-th to be shown: every clip once, then all of them in another order."""
        epoch, inside = divmod(number, len(self.clips.entries))
        return int(np.random.default_rng([self.config.seed, epoch]).permutation(len(self.clips.entries))[inside])

    def _drawn(self, kept: NDArray[np.uint8], rng: np.random.Generator, side_px: int) -> NDArray[np.uint8]:
        """Frames [T, side, side, 3] of a clip, one way of showing it."""
        first, last = rng.uniform(0, TRIMMED), 1 - rng.uniform(0, TRIMMED)
        parts = (np.arange(self.config.frames) + rng.random(self.config.frames)) / self.config.frames
        index = np.floor((first + (last - first) * parts) * len(kept)).astype(int)
        (top, bottom), (left, right) = (_cut(side, rng) for side in kept.shape[1:3])
        frames = np.stack([resize(frame[top:bottom, left:right], (side_px, side_px)) for frame in kept[index]])
        if self.videos.mirror and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        return _recoloured(frames, rng)


def videos_of(config: TrainingConfig) -> VideoData:
    """The videos of a run.

    Raises:
        SettingError: the run is not trained on videos.
    """
    if config.videos is None:
        raise SettingError(f"{config.name}: this config has no [videos], it is trained on the motion world.", code="videos")
    return config.videos


def listing_for(videos: VideoData) -> Listing:
    """All clips of a data set.

    Raises:
        SettingError: see :func:`vizkit.learn.listing.read_listing`.
    """
    folder = Path(videos.folder).expanduser()
    return ut_listing(folder) if videos.lists == (NAME,) else read_listing(folder, videos.lists)


def chosen(videos: VideoData) -> tuple[Listing, tuple[VideoEntry, ...], tuple[VideoEntry, ...]]:
    """The clips of a data set, those to train on and those to test on.

    Raises:
        SettingError: see :func:`vizkit.learn.listing.read_listing` and :func:`vizkit.learn.listing.divide`.
    """
    listing = listing_for(videos)
    return listing, *divide(listing, fold=videos.fold, train=videos.train, test=videos.test, test_share=videos.test_share)


def _cut(side: int, rng: np.random.Generator) -> tuple[int, int]:
    """First and last-but-one row or column of a crop."""
    length = round(side * (1 - rng.uniform(0, CROPPED)))
    first = int(rng.integers(side - length + 1))
    return first, first + length


def _recoloured(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another contrast, brightness and balance of colours, the same for all frames."""
    contrast, balance = 1 + rng.uniform(-LOUDEST, LOUDEST), 1 + rng.uniform(-LOUDEST, LOUDEST, 3) / 2
    mean = frames.mean()
    changed = ((frames - mean) * contrast + mean + 255 * rng.uniform(-LOUDEST, LOUDEST) / 2) * balance
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def shown_batches(clips: KeptClips, classes: Sequence[str], *, direction: bool) -> Iterator[LabelledClips]:
    """The clips as they are, and where the direction is asked for, each of them backwards as well.

    Args:
        clips: sampled as the network takes them.
        classes: names of the classes.
        direction: see :func:`labels_of`.
    """
    ways = 2 if direction else 1
    shown = [(place, way) for place in range(len(clips.entries)) for way in range(ways)]
    for first in range(0, len(shown), BATCH):
        part = shown[first : first + BATCH]
        pictures = [clips.frames(place)[:: -1 if way else 1] for place, way in part]
        yield _batch(pictures, [ways * classes.index(clips.entries[place].label) + way for place, way in part])


def _batch(pictures: Sequence[NDArray[np.uint8]], labels: Sequence[int]) -> LabelledClips:
    """Clips [T, H, W, 3] as [B, T, 3, H, W]."""
    return LabelledClips(torch.from_numpy(np.stack(pictures)).permute(0, 1, 4, 2, 3).contiguous(), torch.tensor(labels))
