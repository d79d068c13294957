"""Readers of single pictures: what learns in them, what tells a clip from its reversal, and that the verdicts can fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.contracts import Measured
from vizkit.motion.pwtp.directions import (
    BASELINE,
    CONSTANTS,
    DIRECTIONS,
    DYNAMIC,
    ENOPR,
    FREE,
    MGDA,
    READ,
    REVERSAL,
    SEPARATE,
    STACK,
    TIED,
    UNIT,
    WAYS,
    AllFrames,
    Reader,
    Weighing,
    judge_trap,
    judge_weighing,
    likeness_to_reversal,
    trapped,
)
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.network import Front, SegmentPictures
from vizkit.net.fit import Batch
from vizkit.world.scene import background_color

FRAMES, SIDE = 4, 16


def noise(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def batches() -> Iterator[Batch]:
    while True:
        yield noise(), torch.arange(4)


def reader(**changes: Any) -> Reader:
    torch.manual_seed(0)
    return Reader(Front(PWTP(FRAMES, kernel=3, stride=4, initial="rank", **changes)), 4)


def parts(of: Reader) -> dict[str, torch.Tensor]:
    found = {f"front.{name}": value.clone() for name, value in of.front.state_dict().items()}
    return found | {f"classifier.{name}": value.clone() for name, value in of.classifier.state_dict().items()}


def test_separate_training_ends_before_the_classifier_begins() -> None:
    """Its projection is that of a run whose labels are others."""
    ends = []
    for shift in (0, 1):
        learned = reader()
        learned.train(((clips, (labels + shift) % 4) for clips, labels in batches()), 3, Weighing("separate"))
        ends.append(parts(learned))
    start = parts(reader())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in start if name.startswith("front."))
    assert not torch.equal(ends[0]["front.pwtp.out.bias"], start["front.pwtp.out.bias"])
    assert not torch.equal(ends[0]["classifier.1.weight"], start["classifier.1.weight"])


def test_a_larger_scale_lowers_what_is_left() -> None:
    def left(weighing: Weighing) -> float:
        learned = reader()
        learned.train(batches(), 20, weighing)
        rest = learned.picture(noise())[1]
        assert rest is not None
        return float(rest.detach().square().mean())

    assert left(Weighing(scale=1000.0)) < left(Weighing("labels"))


def test_pictures_without_a_projection_learn_from_the_labels_alone() -> None:
    torch.manual_seed(0)
    learned = Reader(AllFrames(FRAMES, "middle frame"), 4, channels=3 * FRAMES)
    picture, rest = learned.picture(noise())
    assert rest is None
    assert torch.equal(picture[0, 1 * FRAMES + 2], noise()[0, 1, 2])
    learned.train(batches(), 20, Weighing(scale=1.0))
    assert learned.accuracy(noise(), torch.arange(4)) == 1.0
    assert learned.accuracy(noise(), torch.arange(4).flip(0)) == 0.0


def test_likeness_to_the_reversal_is_one_where_the_order_leaves_no_trace() -> None:
    class Mean(SegmentPictures):
        def draw(self, segments: torch.Tensor) -> torch.Tensor:
            return segments.mean(2)

    class Change(SegmentPictures):
        def draw(self, segments: torch.Tensor) -> torch.Tensor:
            return segments[:, :, -1] - segments[:, :, 0]

    assert likeness_to_reversal(Mean(FRAMES, "middle frame"), noise()) == pytest.approx(1, abs=1e-5)
    assert likeness_to_reversal(Change(FRAMES, "middle frame"), noise()) == pytest.approx(-1, abs=1e-5)


def test_trapped_clips_go_four_ways_and_their_background_tells_where() -> None:
    clips, labels = trapped(8, "train", 1.0, 0)
    assert clips.shape == (8, 3, 8, 48, 48)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    colors = torch.from_numpy(np.stack([background_color(label) for label in range(DIRECTIONS)]).astype(np.float32))
    seen = (clips.median(2).values.flatten(2).median(2).values * 0.25 + 0.5)[:, None]  # [8, 1, 3]
    assert ((seen - colors).square().sum(-1).argmin(1) == labels).double().mean() >= 0.75
    assert not torch.equal(trapped(8, "train", 0.0, 0)[0], clips)


# ------------------------------------------------------------------------------------------------ verdicts


def weighed(**accuracy: float) -> tuple[Measured, ...]:
    """Two seeds in which MGDA is best but for what is given by name."""
    found = {BASELINE: 0.2, SEPARATE: 0.5, **dict.fromkeys(CONSTANTS, 0.7), MGDA: 0.9, UNIT: 0.8} | accuracy
    beside = [Measured(f"{name}{kind}", seed, 0.3) for name in WAYS for kind in (ENOPR, REVERSAL) for seed in (0, 1)]
    return (*(Measured(name, seed, value) for name, value in found.items() for seed in (0, 1)), *beside)


def test_the_bar_of_table_5() -> None:
    assert judge_weighing(weighed()).reproduced
    missed = judge_weighing(weighed(**{SEPARATE: 0.9}))
    assert not missed.reproduced
    assert "MGDA is not above separate training (seeds 0, 1)" in missed.reason
    assert not judge_weighing(weighed(**{"constant scale 10": 0.95})).reproduced
    assert judge_weighing(weighed(**{UNIT: 0.95})).reproduced  # ours decides nothing
    assert "likeness to its reversal 0.30" in missed.reason


def caught(**accuracy: float) -> tuple[Measured, ...]:
    found = {f"{name}{kind}": 0.8 for name in READ for kind in (TIED, FREE)}
    found |= {STACK + FREE: 0.3, DYNAMIC + FREE: 0.6} | accuracy
    return tuple(Measured(name, seed, value) for name, value in found.items() for seed in (0, 1))


def test_the_bar_of_the_trap() -> None:
    assert judge_trap(caught()).reproduced
    assert not judge_trap(caught(**{DYNAMIC + FREE: 0.5})).reproduced  # loses 30 points of the 50 of all frames
    low = {STACK + TIED: 0.9, STACK + FREE: 0.65, DYNAMIC + TIED: 0.7, DYNAMIC + FREE: 0.64}
    assert not judge_trap(caught(**low)).reproduced  # loses little, but ends below
