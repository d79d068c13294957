"""What a network says of labelled clips: in order, with the frames shuffled, and with one frame again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.contracts import Record, Score
from vizkit.statistics import wilson

if TYPE_CHECKING:
    from vizkit.contracts import LabelledClips
    from vizkit.net.network import Network

Order = Callable[[np.random.Generator, int], NDArray[np.int64]]


@dataclass(frozen=True, eq=False, repr=False)
class Confusion(Record):
    """How often each label was said of clips of each label. Labels 2i and 2i + 1 are a pair."""

    counts: NDArray[np.int64]
    """[labels, labels] number of clips; row: what it is, column: what was said."""

    def __post_init__(self) -> None:
        """Check the shape."""
        self._expect("counts", ("labels", "labels"), {}, "int")

    def accuracy(self, labels: Sequence[int] | None = None) -> Score:
        """Share of right labels with its 95 % Wilson interval.

        Args:
            labels: only clips of these labels; all when None.
        """
        rows = self._rows(labels)
        return wilson(int(self.counts[rows, rows].sum()), int(self.counts[rows].sum()))

    def in_pair(self, labels: Sequence[int] | None = None) -> Score:
        """Share of the right member of a pair, given that the pair is right, with its 95 % Wilson interval; 0.5 is chance.

        Args:
            labels: only clips of these labels; all when None.
        """
        rows = self._rows(labels)
        right, other = int(self.counts[rows, rows].sum()), int(self.counts[rows, rows ^ 1].sum())
        return wilson(right, right + other)

    def _rows(self, labels: Sequence[int] | None) -> NDArray[np.int64]:
        return np.arange(len(self.counts)) if labels is None else np.asarray(labels, np.int64)


def _in_order(_rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return np.arange(frames)


def _shuffled(rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return rng.permutation(frames)


def _one_frame(rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return np.full(frames, rng.integers(frames))


ORDERS: Mapping[str, Order] = {"in_order": _in_order, "shuffled": _shuffled, "one_frame": _one_frame}
"""The frames as they are, and the two controls: frames in random order, and one random frame again and again."""


def confusions(
    network: Network, batches: Iterable[LabelledClips], *, seed: int = 0, control_clips: int | None = None
) -> dict[str, Confusion]:
    """Ask a network for the labels of clips, with their frames in every order of :data:`ORDERS`.

    The order of a clip's frames is drawn from ``seed`` and the clip's place among all clips, so that the answers for the first
    clips are the same whatever follows.

    Args:
        network: its number of labels is the side of the tables.
        batches: clips with as many frames as the network takes, and their labels.
        seed: of the orders.
        control_clips: the two controls are made on the first so many clips; on all when None.

    Returns:
        One table for each order.
    """
    tree, size = network.tree(), len(network.labels)
    device = next(tree.parameters()).device
    counts = {name: np.zeros((size, size), np.int64) for name in ORDERS}
    done = 0
    for batch in batches:
        clips = network.normalized(batch.frames.to(device).transpose(1, 2).float() / 255)  # [B, 3, T, H, W]
        truth = batch.labels.cpu().numpy()
        for name, order in ORDERS.items():
            wanted = len(clips) if name == "in_order" or control_clips is None else max(0, min(len(clips), control_clips - done))
            if not wanted:
                continue
            rows = [clip[:, order(np.random.default_rng([seed, done + place]), clip.shape[1])] for place, clip in enumerate(clips[:wanted])]
            with torch.no_grad():
                said = tree(torch.stack(rows)).argmax(1).cpu().numpy()
            np.add.at(counts[name], (truth[:wanted], said), 1)
        done += len(clips)
    return {name: Confusion(table) for name, table in counts.items()}
