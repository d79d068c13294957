"""The classes of the motion world, and what an augmentation does to them."""

from __future__ import annotations

from typing import Literal

from vizkit.errors import SettingError, unknown_name

LABELS = (
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "approaching",
    "receding",
    "rotating clockwise",
    "rotating anticlockwise",
    "two things closing in",
    "two things moving apart",
    "one thing uncovered by another",
    "one thing covered by another",
    "falling and bouncing low",
    "dropping low and leaping",
    "the camera moves",
    "nothing moves",
)
"""Names of the 16 classes. Labels 2i and 2i + 1 are a pair: each other's time reversal (but for the last pair)."""

PAIR_NAMES = ("horizontal", "vertical", "depth", "rotation", "distance", "cover", "bounce", "camera")
"""One word for each pair of labels."""

ORDERED = tuple(range(14))
"""Labels whose clips cannot be told from their pair's other member without the order of the frames: all but the camera's."""

Augmentation = Literal["flip_x", "flip_y", "reverse", "transpose"]

_SWAPPED: dict[str, tuple[int | None, ...]] = {
    #          left right up down near far cw acw close apart unc cov fall leap camera nothing
    "flip_x": (1, 0, 2, 3, 4, 5, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15),
    "flip_y": (0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 10, 11, None, None, 14, 15),
    "reverse": (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14, 15),
    "transpose": (2, 3, 0, 1, 4, 5, 7, 6, 8, 9, 10, 11, None, None, 14, 15),
}


def relabel(label: int, augmentation: Augmentation) -> int:
    """The label of a clip after an augmentation.

    Args:
        label: number of the class, 0..15.
        augmentation: ``flip_x`` mirrors left and right, ``flip_y`` up and down, ``reverse`` runs the clip backwards,
            ``transpose`` swaps x and y.

    Returns:
        The new label: ``relabel(0, "flip_x") == 1``, ``relabel(14, "reverse") == 14``.

    Raises:
        SettingError: the label or the augmentation is unknown, or it leaves the world (a fall turned upside down has no label).
    """
    if not has_label(label, augmentation):
        raise SettingError(f"{LABELS[label]!r} has no label after {augmentation}.", code="no_label")
    new = _SWAPPED[augmentation][label_number(label)]
    assert new is not None
    return new


def has_label(label: int, augmentation: Augmentation) -> bool:
    """Whether a clip of a class is still one of the world's after an augmentation, see :func:`relabel`.

    Raises:
        SettingError: the label or the augmentation is unknown.
    """
    if augmentation not in _SWAPPED:
        raise unknown_name("augmentation", augmentation, list(_SWAPPED))
    return _SWAPPED[augmentation][label_number(label)] is not None


def label_number(label: str | int) -> int:
    """The number of a class given by name or number.

    Raises:
        SettingError: an unknown label; the message lists the known ones.
    """
    if isinstance(label, str) and label in LABELS:
        return LABELS.index(label)
    if isinstance(label, int) and 0 <= label < len(LABELS):
        return label
    raise unknown_name("label", label, LABELS)
