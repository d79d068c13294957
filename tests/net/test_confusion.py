"""What is counted of a network's answers, with answers that are planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vizkit.checkpoint import load_network
from vizkit.net.confusion import Confusion, confusions
from vizkit.net.network import Network

FRAMES, LABELS = 6, 4


class Planted(nn.Module):
    """Says what ``say`` makes of the frame numbers that it sees; a clip's grey is ``32 * label + t``."""

    def __init__(self, say: Callable[[int, list[int]], int]) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.say = say
        self.seen: list[tuple[int, ...]] = []

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        grey = (clips[:, 0, :, 0, 0] * 255).round().long()
        order = (grey % 32).tolist()
        self.seen.extend(tuple(row) for row in order)
        return nn.functional.one_hot(
            torch.tensor([self.say(int(row[0]) // 32, list(t)) for row, t in zip(grey, order, strict=True)]), LABELS
        )


def network(module: nn.Module) -> Network:
    plain = load_network("c2d-18", num_classes=LABELS, width=4)
    return replace(plain, module=module, stages=(), mean=(0.0,) * 3, std=(1.0,) * 3)


def batches(labels: list[int], size: int) -> Iterator[Any]:
    for first in range(0, len(labels), size):
        label = torch.tensor(labels[first : first + size])
        grey = 32 * label[:, None] + torch.arange(FRAMES)
        yield SimpleNamespace(frames=grey[:, :, None, None, None].expand(-1, -1, 3, 2, 2).to(torch.uint8), labels=label)


def test_the_row_is_what_it_is_and_the_column_what_was_said() -> None:
    said = confusions(network(Planted(lambda label, _: (label + 1) % LABELS)), batches([0, 1, 1, 2, 3, 3, 3], 3))
    expected = np.zeros((LABELS, LABELS), int)
    expected[0, 1], expected[1, 2], expected[2, 3], expected[3, 0] = 1, 2, 1, 3
    assert all((table.counts == expected).all() for table in said.values())


def test_the_orders_are_what_they_are_called() -> None:
    def say(_: int, order: list[int]) -> int:
        if order == sorted(order):
            return 1 if len(set(order)) == 1 else 0
        assert sorted(order) == list(range(FRAMES))
        return 2

    said = confusions(network(Planted(say)), batches([3] * 40, 8))
    assert said["in_order"].counts[3].tolist() == [40, 0, 0, 0]
    assert said["one_frame"].counts[3].tolist() == [0, 40, 0, 0]
    assert said["shuffled"].counts[3, 2] >= 38  # a permutation of six is the identity once in 720


def test_every_clip_has_an_order_of_its_own_whatever_follows_and_however_it_is_batched() -> None:
    def orders(count: int, size: int, seed: int) -> list[tuple[int, ...]]:
        module = Planted(lambda *_: 0)
        run = network(module)
        object.__setattr__(run, "tree", lambda: module)
        confusions(run, batches([0] * count, size), seed=seed)
        return sorted(set(module.seen))

    few, many = orders(5, 5, 1), orders(20, 4, 1)
    assert set(few) <= set(many)
    assert orders(5, 2, 1) == few != orders(5, 5, 2)
    assert len([row for row in many if len(set(row)) == FRAMES]) > 10


def test_the_controls_are_made_on_the_first_clips_alone() -> None:
    labels = [0, 1, 2, 3, 0, 1, 2, 3]
    said = confusions(network(Planted(lambda label, _: label)), batches(labels, 3), control_clips=4)
    assert np.diag(said["in_order"].counts).tolist() == [2, 2, 2, 2]
    for control in ("shuffled", "one_frame"):
        assert np.diag(said[control].counts).tolist() == [1, 1, 1, 1]
        assert said[control].counts.sum() == 4
    assert confusions(network(Planted(lambda label, _: label)), batches(labels, 3), control_clips=0)["shuffled"].counts.sum() == 0


TABLE = Confusion(np.array([[6, 2, 1, 1], [3, 5, 2, 0], [0, 0, 1, 9], [4, 4, 1, 1]]))


@pytest.mark.parametrize(
    ("labels", "right", "total"), [(None, 13, 40), ([0, 1], 11, 20), ([3], 1, 10)]
)  # fmt: skip
def test_accuracy_is_the_share_of_the_diagonal(labels: list[int] | None, right: int, total: int) -> None:
    found = TABLE.accuracy(labels)
    assert (found.value, found.n) == (right / total, total)
    assert found.interval[0] < found.value < found.interval[1]


@pytest.mark.parametrize(
    ("labels", "right", "total"), [(None, 13, 28), ([0, 1], 11, 16), ([0], 6, 8), ([2, 3], 2, 12)]
)  # fmt: skip
def test_in_pair_counts_where_the_pair_is_right(labels: list[int] | None, right: int, total: int) -> None:
    found = TABLE.in_pair(labels)
    assert (found.value, found.n) == (pytest.approx(right / total), total)


def test_a_table_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        Confusion(np.zeros((2, 3), int))
