"""The one way a task ends without a result that is not a bug."""

from __future__ import annotations


class Refused(Exception):
    """The clip is not taken.

    Args:
        reason: a key of :data:`vizkit.clip.messages.REFUSALS`.
        number: which picture, where that matters.
    """

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number


def check_size(width: int, height: int, limits: dict[str, int]) -> None:
    """Refuse a picture whose sides or area lie outside the limits.

    Raises:
        Refused: too small or too large.
    """
    if max(width, height) > limits["side_px"] or width * height > limits["frame_px"]:
        raise Refused("too_large_picture")
    if min(width, height) < limits["side_min_px"]:
        raise Refused("too_small")
