"""Scores of networks whose answers are planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import vizkit.world
from vizkit.checkpoint import load_network, write_checkpoint
from vizkit.contracts import Sampling
from vizkit.errors import SettingError
from vizkit.net.network import Network
from vizkit.scores import clips_of, score, untrained
from vizkit.world import LABELS, WorldBatch

FRAMES = 8


def coded(indices: range, *, split: str, seed: int, frames: int, side_px: int) -> WorldBatch:
    """Clips whose grey says label and frame: ``8 * label + t``."""
    labels = torch.tensor([index % 16 for index in indices])
    grey = 8 * labels[:, None] + torch.arange(frames)
    return WorldBatch(grey[:, :, None, None, None].expand(-1, -1, 3, 4, 4).to(torch.uint8), labels, None)  # type: ignore[arg-type]


class Planted(nn.Module):
    """Reads label and order off the coded frames; ``say(label, in_order, one_frame)`` is its answer."""

    def __init__(self, say: Callable[[int, bool, bool], int]) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.say = say

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        grey = ((clips[:, 0, :, 0, 0] * 0.25 + 0.5) * 255).round().long()
        answers = []
        for row in grey.tolist():
            answers.append(self.say(row[0] // 8, row == sorted(row) and len(set(row)) == FRAMES, len(set(row)) == 1))
        return nn.functional.one_hot(torch.tensor(answers), 16).float()


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Network]:
    monkeypatch.setattr(vizkit.world, "render", coded)
    network = load_network("c2d-18", num_classes=16, width=4)

    def plant(say: Callable[[int, bool, bool], int]) -> Network:
        return replace(
            network, module=Planted(say), stages=(), labels=LABELS, mean=(0.5,) * 3, std=(0.25,) * 3,
            sampling=Sampling(segments=FRAMES, frames=FRAMES),
        )  # fmt: skip

    return plant


def test_a_network_that_needs_the_order_fails_without_it(planted: Callable[..., Network]) -> None:
    """Right in order; the other member of the pair where frames are shuffled or one is repeated."""
    found = score(planted(lambda label, in_order, _: label if in_order else label ^ 1), clips=32)
    assert {name: (value.value, value.n) for name, value in found.items()} == {
        "world.accuracy_112": (1.0, 32), "world.accuracy_64": (1.0, 32),
        "world.shuffled_accuracy_112": (0.0, 32), "world.shuffled_accuracy_64": (0.0, 32),
        "world.one_frame_accuracy_112": (0.0, 32), "world.one_frame_accuracy_64": (0.0, 32),
        "world.in_pair_112": (1.0, 32), "world.in_pair_64": (1.0, 32),
        "world.shuffled_in_pair_112": (0.0, 28), "world.shuffled_in_pair_64": (0.0, 28),
        "world.one_frame_in_pair_112": (0.0, 28), "world.one_frame_in_pair_64": (0.0, 28),
    }  # fmt: skip


def test_the_one_frame_control_shows_one_frame(planted: Callable[..., Network]) -> None:
    found = score(planted(lambda label, _, one_frame: label if one_frame else 0), clips=32)
    assert found["world.one_frame_in_pair_112"].value == 1.0
    assert found["world.one_frame_in_pair_112"].n == 28
    assert found["world.accuracy_112"].value == 1 / 16
    assert found["world.in_pair_112"].n == 4  # "moving left" is said: the pairs of left and right


def test_in_pair_counts_only_where_the_pair_is_right(planted: Callable[..., Network]) -> None:
    """Left and right are told apart, all others are taken for their neighbouring pair."""
    found = score(planted(lambda label, *_: label if label < 2 else (label + 2) % 16), clips=32)
    assert (found["world.in_pair_112"].value, found["world.in_pair_112"].n) == (1.0, 4)
    assert found["world.accuracy_112"].value == 4 / 32
    always_left = score(planted(lambda label, *_: label // 2 * 2), clips=32)
    assert (always_left["world.in_pair_112"].value, always_left["world.in_pair_112"].n) == (0.5, 32)


def test_a_part_of_a_batch_is_counted(planted: Callable[..., Network]) -> None:
    found = score(planted(lambda label, *_: label), clips=19)
    assert found["world.accuracy_112"].n == 19
    assert found["world.accuracy_112"].value == 1.0


def test_what_was_not_counted_is_left_out(planted: Callable[..., Network]) -> None:
    found = score(planted(lambda label, *_: (label + 2) % 16), clips=16)
    assert set(found) == {f"world.{control}accuracy_{side}" for control in ("", "shuffled_", "one_frame_") for side in (112, 64)}


def test_clips_of_the_test_split_are_rendered_at_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, int, int, int]] = []

    def watch(indices: range, *, split: str, seed: int, frames: int, side_px: int) -> WorldBatch:
        asked.extend((index, split, seed, frames, side_px) for index in indices)
        return coded(indices, split=split, seed=seed, frames=frames, side_px=side_px)

    monkeypatch.setattr(vizkit.world, "render", watch)
    network = replace(
        load_network("c2d-18", num_classes=16, width=4), module=Planted(lambda label, *_: label), stages=(), labels=LABELS,
        mean=(0.5,) * 3, std=(0.25,) * 3, sampling=Sampling(segments=FRAMES, frames=FRAMES),
    )  # fmt: skip
    score(network, clips=18, seed=3)
    assert sorted(asked) == sorted((index, "test", 3, FRAMES, side) for side in (64, 112) for index in range(18))


def test_a_network_with_other_labels_has_no_accuracy() -> None:
    found = score(load_network("c2d-18", num_classes=16, width=4), clips=1)
    assert found
    assert not any(name.startswith("world.") for name in found)


def test_the_controls_are_made_on_the_first_clips_at_most(planted: Callable[..., Network], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizkit.scores.MOST_CONTROLS", 16)
    found = score(planted(lambda label, *_: label), clips=32)
    assert {name: value.n for name, value in found.items() if name.endswith("accuracy_64")} == {
        "world.accuracy_64": 32, "world.shuffled_accuracy_64": 16, "world.one_frame_accuracy_64": 16
    }  # fmt: skip
    assert [clips_of(name, 32) for name in ("world.in_pair_64", "world.one_frame_in_pair_64", "cpnet.hit_rate")] == [32, 16, 32]
    assert (clips_of("cpnet.hit_rate", 1600), clips_of("world.accuracy_112", 1600)) == (200, 1600)


def test_an_untrained_network_is_the_same_but_for_its_weights(tmp_path: Path) -> None:
    options = {"width": 4, "stem": "5x5/2", "blocks": ["res3.0"], "last_gain": 1.0}
    module = load_network("cpnet-18", num_classes=16, seed=3, **options).module
    card = {
        "name": "mine", "architecture": "cpnet-18", "options": options, "labels": LABELS, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4),
        "sampling": Sampling(segments=4, short_side_px=48, crop_px=48).model_dump(), "origin": "trained", "license": "none",
    }  # fmt: skip
    write_checkpoint(tmp_path, module, card)
    trained = load_network(tmp_path)
    fresh = untrained(trained)
    assert (fresh.mean, fresh.std, fresh.sampling, fresh.origin) == (trained.mean, trained.std, trained.sampling, "random")
    assert [block.path for block in fresh.blocks] == [block.path for block in trained.blocks]
    same = load_network("cpnet-18", num_classes=16, **options).digest
    assert fresh.digest == same != untrained(trained, seed=3).digest
    with pytest.raises(SettingError, match="c2d-18 is no checkpoint"):
        untrained(load_network("c2d-18", num_classes=16, width=4))


def test_at_least_one_clip_is_needed() -> None:
    with pytest.raises(SettingError, match="clips is 0"):
        score(load_network("c2d-18", num_classes=16, width=4), clips=0)
