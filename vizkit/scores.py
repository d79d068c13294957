"""Networks measured on the motion world: what they say, and what their views show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vizkit.catalog import VIEWS, step
from vizkit.contracts import Score
from vizkit.errors import SettingError
from vizkit.statistics import wilson
from vizkit.world.labels import LABELS

if TYPE_CHECKING:
    import torch

    from vizkit.net.network import Network

SIDES_PX = (112, 64)
MOST_PICTURES = 200
BATCH = 16
CAMERA_PAIR = 7

Order = Callable[[np.random.Generator, int], NDArray[np.int64]]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure a network on test clips of the motion world.

    * ``world.accuracy_112``, ``world.accuracy_64``: share of right labels at that frame side (only for networks with the
      world's labels), with Wilson intervals;
    * ``world.in_pair_...``: share of the right member of a pair (left / right, ...), given the right pair; 0.5 is chance and
      what every network that sees frames one by one gets;
    * ``world.shuffled_...``, ``world.one_frame_...``: the same with frames in random order, and with one random frame repeated;
      the pair "camera / nothing", which needs no order, is left out of their ``in_pair``;
    * the measures of the views of the network's own modules, and of Grad-CAM where it knows the world's labels, on the first 200
      clips at most.

    A measure that nothing was counted for is left out.

    Args:
        network: any network; views are measured where the network has their modules.
        clips: number of test clips; 1,600 is the whole test split.
        seed: of the world.

    Raises:
        SettingError: fewer than one clip.
    """
    if clips < 1:
        raise SettingError(f"clips is {clips}, at least 1 is needed.")
    found: dict[str, Score] = {}
    if network.labels == LABELS:
        for side in SIDES_PX:
            found |= _label_scores(network, clips, seed, side)
    for entry in VIEWS:
        found |= step(entry, "score")(network, clips=min(clips, MOST_PICTURES), seed=seed)
    return {name: value for name, value in found.items() if value.n}


def _label_scores(network: Network, clips: int, seed: int, side_px: int) -> dict[str, Score]:
    said = _classify(network, clips, seed, side_px, {"": _in_order, "shuffled_": _shuffled, "one_frame_": _one_frame})
    truth = np.arange(clips) % len(LABELS)
    found: dict[str, Score] = {}
    for control, labels in said.items():
        found[f"world.{control}accuracy_{side_px}"] = wilson(int((labels == truth).sum()), clips)
        pair = labels // 2 == truth // 2
        if control:
            pair &= truth // 2 != CAMERA_PAIR
        found[f"world.{control}in_pair_{side_px}"] = wilson(int((labels == truth)[pair].sum()), int(pair.sum()))
    return found


def _in_order(_rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return np.arange(frames)


def _shuffled(rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return rng.permutation(frames)


def _one_frame(rng: np.random.Generator, frames: int) -> NDArray[np.int64]:
    return np.full(frames, rng.integers(frames))


def _classify(network: Network, clips: int, seed: int, side_px: int, orders: dict[str, Order]) -> dict[str, NDArray[np.int64]]:
    """The label said for every test clip, for every order of its frames."""
    import torch

    from vizkit.world import render

    rng = np.random.default_rng(seed)
    tree = network.tree()
    said: dict[str, list[torch.Tensor]] = {name: [] for name in orders}
    frames = network.sampling.total_frames
    for first in range(0, clips, BATCH):
        batch = render(range(first, min(first + BATCH, clips)), split="test", seed=seed, frames=frames, side_px=side_px)
        pictures = network.normalized(batch.frames.transpose(1, 2).float() / 255)  # [B, 3, T, S, S]
        for name, order in orders.items():
            rows = [clip[:, order(rng, frames)] for clip in pictures]
            with torch.no_grad():
                said[name].append(tree(torch.stack(rows)).argmax(1))
    return {name: torch.cat(parts).numpy() for name, parts in said.items()}
