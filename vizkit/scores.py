"""Networks measured on the motion world: what they say, and what their views show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vizkit.catalog import VIEWS, step
from vizkit.contracts import Score
from vizkit.errors import SettingError
from vizkit.world.labels import LABELS, ORDERED

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.world import WorldBatch

SIDES_PX = (112, 64)
MOST_PICTURES = 200
MOST_CONTROLS = 400
CONTROLS = ("shuffled", "one_frame")
BATCH = 16


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure a network on test clips of the motion world.

    * ``world.accuracy_112``, ``world.accuracy_64``: share of right labels at that frame side (only for networks with the
      world's labels), with Wilson intervals;
    * ``world.in_pair_...``: share of the right member of a pair (left / right, ...), given the right pair; 0.5 is chance and
      what every network that sees frames one by one gets;
    * ``world.shuffled_...``, ``world.one_frame_...``: the same with frames in random order, and with one random frame repeated, on
      the first 400 clips at most; the pair "camera / nothing", which needs no order, is left out of their ``in_pair``;
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


def clips_of(name: str, clips: int) -> int:
    """On how many clips, at most, :func:`score` takes a measure when it is asked for some number of clips."""
    if not name.startswith("world."):
        return min(clips, MOST_PICTURES)
    return min(clips, MOST_CONTROLS) if name.startswith(tuple(f"world.{control}_" for control in CONTROLS)) else clips


def untrained(network: Network, *, seed: int = 0) -> Network:
    """The same network before it learned anything, to hold its pictures against.

    Args:
        network: a checkpoint's.
        seed: of the random weights.

    Returns:
        The same architecture with random weights and nameless classes, which is shown what the checkpoint is shown.

    Raises:
        SettingError: the network is no checkpoint's.
    """
    if not network.card:
        raise SettingError(f"{network.name} is no checkpoint: there is no trained network to hold an untrained one against.")
    from vizkit.checkpoint import load_network

    fresh = load_network(network.architecture, num_classes=len(network.labels), seed=seed, **network.card["options"])
    return replace(fresh, sampling=network.sampling, mean=network.mean, std=network.std)


def _label_scores(network: Network, clips: int, seed: int, side_px: int) -> dict[str, Score]:
    from vizkit.net.confusion import confusions

    found: dict[str, Score] = {}
    tables = confusions(network, _rendered(network.sampling.total_frames, clips, seed, side_px), seed=seed, control_clips=MOST_CONTROLS)
    for order, table in tables.items():
        control = "" if order == "in_order" else f"{order}_"
        found[f"world.{control}accuracy_{side_px}"] = table.accuracy()
        found[f"world.{control}in_pair_{side_px}"] = table.in_pair(ORDERED if control else None)
    return found


def _rendered(frames: int, clips: int, seed: int, side_px: int) -> Iterator[WorldBatch]:
    from vizkit.world import render

    for first in range(0, clips, BATCH):
        yield render(range(first, min(first + BATCH, clips)), split="test", seed=seed, frames=frames, side_px=side_px)
