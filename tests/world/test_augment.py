"""Frames, labels and truth change together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vizkit.errors import SettingError
from vizkit.world import LABELS, WorldBatch, render
from vizkit.world.augment import augment, transform
from vizkit.world.labels import Augmentation, has_label, relabel
from vizkit.world.truth import measure_truth

PICTURES = {
    "flip_x": lambda maps: maps[..., ::-1],
    "flip_y": lambda maps: maps[..., ::-1, :],
    "transpose": lambda maps: maps.swapaxes(-1, -2),
}
VECTORS = {"flip_x": lambda xy: xy * [-1, 1], "flip_y": lambda xy: xy * [1, -1], "transpose": lambda xy: xy[..., ::-1]}
ALL: tuple[Augmentation, ...] = ("flip_x", "flip_y", "reverse", "transpose")


@pytest.fixture(scope="module")
def batch() -> WorldBatch:
    """One clip of every class; the camera pans and shakes in most."""
    return render(range(16), frames=4, side_px=48)


def part(batch: WorldBatch, rows: list[int]) -> WorldBatch:
    return WorldBatch(batch.frames[rows], batch.labels[rows], batch.scenes.take(torch.tensor(rows)))


@pytest.mark.parametrize("name", ["flip_x", "flip_y", "transpose"])
def test_truth_is_mirrored_with_the_frames(batch: WorldBatch, name: Augmentation) -> None:
    for row in [number for number in range(16) if has_label(number, name)]:
        one = part(batch, [row])
        before, after = measure_truth(one.scenes), measure_truth(transform(one, name).scenes)
        assert (after.object_id == PICTURES[name](before.object_id)).all(), LABELS[row]
        assert (after.moving == PICTURES[name](before.moving)).mean() > 0.999
        wanted = VECTORS[name](np.stack([PICTURES[name](before.flow_px[..., axis]) for axis in (0, 1)], -1))
        assert np.abs(after.flow_px - wanted).max() < 1e-3, LABELS[row]


def test_truth_runs_backwards_with_the_frames(batch: WorldBatch) -> None:
    turned = transform(batch, "reverse")
    assert torch.equal(turned.frames, batch.frames.flip(1))
    for row in range(16):
        before, after = (measure_truth(part(clips, [row]).scenes) for clips in (batch, turned))
        assert (after.object_id == before.object_id[::-1]).all()
    # where a thing is seen moving to the left, the reversed clip brings it back to the right
    left = int(np.flatnonzero(batch.labels.numpy() == 0)[0])
    flow, track = measure_truth(part(turned, [left]).scenes).flow_px, measure_truth(part(turned, [left]).scenes).moving[:-1]
    assert flow[track][:, 0].mean() > 0


@pytest.mark.parametrize("name", ["flip_x", "flip_y", "transpose", "reverse"])
def test_frames_and_labels_change_by_the_table(batch: WorldBatch, name: Augmentation) -> None:
    rows = [number for number in range(16) if has_label(number, name)]
    changed = transform(part(batch, rows), name)
    wanted = batch.frames[rows].numpy()[:, ::-1] if name == "reverse" else PICTURES[name](batch.frames[rows].numpy())
    assert (changed.frames.numpy() == wanted).all()
    assert changed.labels.tolist() == [relabel(row, name) for row in rows]


@pytest.mark.parametrize("name", ["flip_y", "transpose"])
def test_a_fall_that_is_turned_over_has_no_label(batch: WorldBatch, name: Augmentation) -> None:
    with pytest.raises(SettingError, match="no label after"):
        transform(part(batch, [12]), name)


@pytest.mark.parametrize("name", ["flip_x", "flip_y", "transpose", "reverse"])
def test_twice_is_as_before(batch: WorldBatch, name: Augmentation) -> None:
    rows = part(batch, [number for number in range(16) if has_label(number, name)])
    again = transform(transform(rows, name), name)
    assert torch.equal(again.frames, rows.frames)
    assert torch.equal(again.labels, rows.labels)
    assert torch.allclose(again.scenes.place, rows.scenes.place, atol=1e-6)


def test_half_of_the_clips_are_changed_and_falls_stay_upright(batch: WorldBatch) -> None:
    rng = np.random.default_rng(0)
    changed = np.zeros(16)
    for _ in range(40):
        turned = augment(batch, ["flip_y"], rng)
        changed += [not torch.equal(turned.frames[row], batch.frames[row]) for row in range(16)]
        assert turned.labels[12:14].tolist() == [12, 13]
    assert (changed[12:14] == 0).all()
    assert ((changed[:12] > 8) & (changed[:12] < 32)).all()


def test_what_a_label_says_holds_after_any_mixture(batch: WorldBatch) -> None:
    """Left, right, up and down are read off the true motion of what moves."""
    turned = augment(part(batch, [0, 1, 2, 3] * 4), ALL, np.random.default_rng(1))
    for row in range(16):
        truth = measure_truth(part(turned, [row]).scenes)
        relative = truth.flow_px - np.diff(truth.camera[:, :, 2], axis=0)[:, None, None]
        x, y = relative[truth.moving[:-1]].mean(0)
        said = LABELS[int(turned.labels[row])]
        assert said == (("moving left" if x < 0 else "moving right") if abs(x) > abs(y) else ("moving up" if y < 0 else "moving down"))
    assert len(set(turned.labels.tolist())) > 2
