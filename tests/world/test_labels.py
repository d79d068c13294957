"""What augmentations do to labels, proved by the truth of flipped clips."""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.world import LABELS, PAIR_NAMES, Truth, clip, relabel
from vizkit.world.labels import Augmentation, label_number
from vizkit.world.scene import ACTOR, SECOND

SIDE = 64
Motion = tuple[np.ndarray, np.ndarray]
"""object_id [T, H, W] and flow [T-1, H, W, 2] of a clip without nuisances."""


# ------------------------------------------------------------------------------------------------ the label that the truth tells


def tell(objects: np.ndarray, flow: np.ndarray) -> str:
    """Name the class from the objects and the flow alone (a still camera, or nothing but a camera)."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    if length.max() < 1e-3:
        return "nothing moves"
    if length.min() > 0.3:
        return "the camera moves"
    if (objects == SECOND).any():
        if length[objects[:-1] == SECOND].max(initial=0.0) > 0.1:
            gaps = [np.linalg.norm(centre(shown == ACTOR) - centre(shown == SECOND)) for shown in (objects[0], objects[-1])]
            return "two things closing in" if gaps[1] < gaps[0] else "two things moving apart"
        areas = [(shown == SECOND).sum() for shown in (objects[0], objects[-1])]
        return "one thing uncovered by another" if areas[1] > areas[0] else "one thing covered by another"
    return tell_single(objects == ACTOR, flow)


def tell_single(actor: np.ndarray, flow: np.ndarray) -> str:
    growth, turn = np.mean([growth_and_turn(shown, step) for shown, step in zip(actor, flow, strict=False)], axis=0)
    if abs(growth) > 0.04:
        return "approaching" if growth > 0 else "receding"
    if abs(turn) > 0.1:
        return "rotating clockwise" if turn > 0 else "rotating anticlockwise"
    x, y = np.stack([centre(shown) for shown in actor], -1)
    if y.max() - max(y[0], y[-1]) > 2:  # lowest in the middle: a bounce
        return "falling and bouncing low" if y[0] < y[-1] else "dropping low and leaping"
    if abs(x[-1] - x[0]) > abs(y[-1] - y[0]):
        return "moving left" if x[-1] < x[0] else "moving right"
    return "moving up" if y[-1] < y[0] else "moving down"


def centre(shown: np.ndarray) -> np.ndarray:
    """(x, y) mean of the pixels."""
    return np.argwhere(shown).mean(0)[::-1]


def growth_and_turn(shown: np.ndarray, step: np.ndarray) -> tuple[float, float]:
    """Relative growth and rotation in radians (clockwise, as y points down) of the similarity nearest to the flow."""
    y, x = np.nonzero(shown)
    around = np.column_stack([x - x.mean(), y - y.mean(), np.ones(len(x))])
    (xx, xy), (yx, yy), _ = np.linalg.lstsq(around, step[y, x], rcond=None)[0]
    along, across = 1 + (xx + yy) / 2, (xy - yx) / 2
    return float(np.hypot(along, across)) - 1, float(np.arctan2(across, along))


@cache
def plain(index: int, label: int) -> Truth:
    return clip(index, label=label, side_px=SIDE, nuisances=False).truth


def augmented(truth: Truth, augmentation: str) -> Motion:
    """The truth of the clip after its frames have been flipped, transposed or reversed."""
    objects, flow = truth.object_id, truth.flow_px
    if augmentation == "flip_x":
        return objects[:, :, ::-1], flow[:, :, ::-1] * np.array([-1, 1])
    if augmentation == "flip_y":
        return objects[:, ::-1], flow[:, ::-1] * np.array([1, -1])
    if augmentation == "transpose":
        return objects.transpose(0, 2, 1), flow.transpose(0, 2, 1, 3)[..., ::-1]
    return objects[::-1], backward(truth)


def backward(truth: Truth) -> np.ndarray:
    """Flow [T-1, H, W, 2] of the reversed clip: from every pixel of frame t to its place in frame t - 1, last frame first."""
    frames, height, width = truth.object_id.shape
    y, x = np.mgrid[:height, :width]
    steps = []
    for t in range(frames - 1, 0, -1):
        xy, _ = truth.tracks(np.column_stack([np.full(x.size, t), x.ravel(), y.ravel()]))
        steps.append((xy[:, t - 1] - np.column_stack([x.ravel(), y.ravel()])).reshape(height, width, 2))
    return np.stack(steps)


# ------------------------------------------------------------------------------------------------ tests


@pytest.mark.parametrize("label", range(16), ids=LABELS.__getitem__)
def test_the_truth_shows_what_the_label_says(label: int) -> None:
    for index in range(4):
        truth = plain(index, label)
        assert tell(truth.object_id, truth.flow_px) == LABELS[label], index


@pytest.mark.parametrize("augmentation", get_args(Augmentation))
def test_the_new_label_is_what_the_flipped_truth_shows(augmentation: Augmentation) -> None:
    for label in range(14 if augmentation == "reverse" else 16):
        told = tell(*augmented(plain(0, label), augmentation))
        try:
            assert told == LABELS[relabel(label, augmentation)], LABELS[label]
        except SettingError:
            assert LABELS[label] in ("falling and bouncing low", "dropping low and leaping")
            assert augmentation in ("flip_y", "transpose")


@pytest.mark.parametrize("augmentation", get_args(Augmentation))
def test_twice_gives_the_first_label_again(augmentation: Augmentation) -> None:
    for label in range(16):
        if LABELS[label] in ("falling and bouncing low", "dropping low and leaping") and augmentation in ("flip_y", "transpose"):
            with pytest.raises(SettingError) as told:
                relabel(label, augmentation)
            assert told.value.code == "no_label"
        else:
            assert relabel(relabel(label, augmentation), augmentation) == label


def test_running_backwards_swaps_inside_every_pair_but_the_last() -> None:
    assert [relabel(label, "reverse") for label in range(16)] == [label ^ 1 for label in range(14)] + [14, 15]


@pytest.mark.parametrize("label", [-1, 16])
def test_a_number_that_is_no_label_is_refused(label: int) -> None:
    with pytest.raises(SettingError, match="moving left"):
        relabel(label, "flip_x")


def test_an_unknown_augmentation_lists_the_known_ones() -> None:
    with pytest.raises(SettingError, match="flip_x, flip_y, reverse, transpose"):
        relabel(0, "mirror")  # type: ignore[arg-type]


def test_labels_are_found_by_name_and_by_number() -> None:
    assert [label_number(name) for name in LABELS] == list(range(16)) == [label_number(number) for number in range(16)]
    assert len(PAIR_NAMES) * 2 == len(set(LABELS)) == 16
    for wrong in ("sideways", 16, -1):
        with pytest.raises(SettingError, match="nothing moves") as told:
            label_number(wrong)
        assert told.value.code == "unknown_name"
