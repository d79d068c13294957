"""Networks measured on the real videos that a config keeps for testing.

Every clip is shown as it is, with its frames shuffled, and as one frame again and again; where the direction is asked for, forwards
and backwards. A clip counts once, whichever ways it is shown, so intervals are those of the number of clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vizkit.contracts import Score
from vizkit.errors import SettingError
from vizkit.learn.config import VideoData
from vizkit.learn.videos import chosen, keep_frames, labels_of, shown_batches
from vizkit.net.confusion import Confusion, confusions
from vizkit.statistics import wilson
from vizkit.weights import weights_folder

if TYPE_CHECKING:
    from vizkit.net.network import Network

Tables = Mapping[str, Confusion]
"""What was said of the clips, for every order of the frames."""


def kept_folder() -> Path:
    """Where frames of videos are kept that no run keeps: ``VIZKIT_HOME``/clips, or ``vizkit/clips`` in the user's cache folder."""
    return weights_folder().parent / "clips"


def videos_of_card(card: Mapping[str, Any], folder: Path) -> VideoData:
    """The videos that a checkpoint was trained and tested on.

    Args:
        card: the checkpoint's.
        folder: where a copy of them lies.

    Raises:
        SettingError: it was trained on the motion world.
    """
    videos = card.get("training", {}).get("config", {}).get("videos")
    if not videos:
        raise SettingError(f"{card.get('name', 'This network')} was not trained on videos; measure it without them.", code="videos")
    return VideoData.parse(**{**videos, "folder": str(folder)})


def video_scores(network: Network, videos: VideoData, root: Path) -> dict[str, Score]:
    """Shares of right answers on the clips that are for testing.

    Returns:
        ``videos.class`` and, where the direction is asked for, ``videos.direction``, and both under ``videos.shuffled_`` and
        ``videos.one_frame_``.

    Raises:
        SettingError: see :func:`ask_videos`.
    """
    tables, _ = ask_videos(network, videos, root)
    return {
        f"videos.{'' if order == 'in_order' else f'{order}_'}{name}": value
        for order, table in tables.items()
        for name, value in shares(table, direction=videos.direction).items()
    }


def ask_videos(network: Network, videos: VideoData, root: Path) -> tuple[Tables, tuple[str, ...]]:
    """What a network says of the clips that are for testing.

    Args:
        network: its labels are those of the data set; clips are sampled as it asks for.
        videos: says which clips.
        root: folder for the frames that are kept.

    Returns:
        The tables, and one sentence for every clip that was left out because it cannot be read.

    Raises:
        SettingError: the network has other labels.
    """
    listing, _, test = chosen(videos)
    labels = labels_of(listing.labels, direction=videos.direction)
    if network.labels != labels:
        raise SettingError(
            f"{network.name} has the labels {', '.join(network.labels[:4])}, ... ({len(network.labels)}), but the videos have "
            f"{', '.join(labels[:4])}, ... ({len(labels)}).",
            code="classes",
        )
    clips = keep_frames(test, network.sampling, root, skip_bad=videos.skip_bad)
    return confusions(network, shown_batches(clips, listing.labels, direction=videos.direction)), clips.refused


def shares(table: Confusion, *, direction: bool, runs: int = 1) -> dict[str, Score]:
    """Shares of right answers with 95 % Wilson intervals over clips.

    Args:
        table: what was said, of all runs together.
        direction: whether labels 2i and 2i + 1 are a class forwards and backwards.
        runs: how often every clip was asked for.

    Returns:
        ``class``: the right class, and with ``direction``, ``direction``: the right direction, whatever the class.
    """
    ways = 2 if direction else 1
    said = table.counts.reshape(table.counts.shape[0] // ways, ways, -1, ways)  # [class, way, class said, way said]
    shown = ways * runs
    clips = int(said.sum()) // shown
    found = {"class": wilson(float(np.einsum("iwiv->", said)) / shown, clips)}
    if direction:
        found["direction"] = wilson(float(np.einsum("iwjw->", said)) / shown, clips)
    return found


def direction_by_class(table: Confusion, classes: Sequence[str]) -> dict[str, float]:
    """Share of the right direction for the clips of each class."""
    said = table.counts.reshape(len(classes), 2, len(classes), 2)
    return {name: float(np.einsum("wjw->", part) / part.sum()) for name, part in zip(classes, said, strict=True)}
