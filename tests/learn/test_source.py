"""Batches of a run: what a step sees is a function of the config and the step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vizkit.learn.config import TrainingConfig
from vizkit.learn.source import WorldSource, source_of
from vizkit.world import render
from vizkit.world.labels import relabel
from vizkit.world.shards import SHARD_CLIPS
from vizkit.world.truth import object_map

Tiny = Callable[..., TrainingConfig]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


def kept(tiny: Tiny, **changes: object) -> TrainingConfig:
    """Three rounds over eight clips that are kept, then one phase of new ones."""
    return tiny(phases=[{"clips": 24, "rendered": 8, "sides_px": [32]}, {"clips": 8, "sides_px": [32]}], **changes)


def test_without_kept_clips_every_step_renders_clips_of_its_own(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(data_seed=5, phases=[{"clips": 12, "sides_px": [32, 48]}, {"clips": 8, "sides_px": [40], "nuisances": False}])
    source = source_of(config, tmp_path)
    assert source.prepare() == 0
    assert not list(tmp_path.iterdir())
    for step, (side, nuisances) in enumerate([(32, True), (48, True), (32, True), (40, False), (40, False)]):
        expected = render(range(4 * step, 4 * step + 4), seed=5, frames=2, side_px=side, nuisances=nuisances)
        assert torch.equal(source[step].frames, expected.frames), step
        assert torch.equal(source[step].labels, expected.labels)


def test_kept_clips_come_once_a_round_in_a_new_order(tiny: Tiny, shards: Path) -> None:
    source = WorldSource(kept(tiny), shards)
    assert source.prepare() in (0, SHARD_CLIPS)
    known = {frames.numpy().tobytes(): number for number, frames in enumerate(render(range(8), frames=2, side_px=32).frames)}
    seen = [known[frames.numpy().tobytes()] for step in range(6) for frames in source[step].frames]
    rounds = [seen[:8], seen[8:16], seen[16:]]
    assert all(Counter(part) == Counter(range(8)) for part in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert torch.equal(source[6].frames, render(range(24, 28), frames=2, side_px=32).frames)


def test_the_seed_changes_the_order_and_the_data_seed_the_clips(tiny: Tiny, shards: Path) -> None:
    first, ordered, other = (WorldSource(kept(tiny, **seeds), shards) for seeds in ({}, {"seed": 1}, {"data_seed": 1}))

    def clips(source: WorldSource) -> set[bytes]:
        return {frames.numpy().tobytes() for step in range(2) for frames in source[step].frames}

    assert clips(first) == clips(ordered)
    assert not torch.equal(first[0].frames, ordered[0].frames)
    assert clips(first).isdisjoint(clips(other))


def test_augmentation_changes_labels_with_the_frames(tiny: Tiny, shards: Path) -> None:
    plain, augmented = (WorldSource(kept(tiny, augment=augment), shards) for augment in ([], ["reverse"]))
    turned = 0
    for step in range(6):
        before, after = plain[step], augmented[step]
        for row in range(4):
            if torch.equal(after.frames[row], before.frames[row]):
                assert after.labels[row] == before.labels[row]
                continue
            assert torch.equal(after.frames[row], before.frames[row].flip(0))
            assert int(after.labels[row]) == relabel(int(before.labels[row]), "reverse")
            turned += 1
        again = WorldSource(kept(tiny, augment=["reverse"]), shards)[step]
        assert torch.equal(again.frames, after.frames)
        assert torch.equal(object_map(again.scenes), object_map(after.scenes))
    assert 4 <= turned <= 20


def test_pixels_are_normalised_and_time_comes_after_the_channels(tiny: Tiny, tmp_path: Path) -> None:
    frames = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    frames[0, 1, 2] = 255
    clips = source_of(tiny(), tmp_path).normalize(frames)
    assert clips.shape == (1, 3, 2, 4, 4)
    assert float(clips[0, 2, 1, 0, 0]) == 2.0
    assert float(clips[0, 0, 1, 0, 0]) == -2.0


def test_the_facts_tell_seen_clips_from_distinct_ones(tiny: Tiny, tmp_path: Path) -> None:
    facts = source_of(kept(tiny, augment=["flip_x"], data_seed=3), tmp_path).facts
    assert (facts["clips"], facts["distinct"], facts["seed"], facts["augment"]) == (32, 16, 3, ["flip_x"])


def test_a_phase_may_have_clips_of_another_length(tiny: Tiny, tmp_path: Path) -> None:
    phase = {"clips": 4, "sides_px": [32]}
    config = tiny(frames=4, phases=[{**phase, "frames": 2}, phase])
    source = WorldSource(config, tmp_path)
    assert [source[step].frames.shape[1] for step in range(2)] == [2, 4]
