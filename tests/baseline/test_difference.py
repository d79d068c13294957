"""RGB differences."""

from __future__ import annotations

import pytest
import torch

from vizkit.baseline import rgb_difference
from vizkit.errors import SettingError


def test_each_frame_is_subtracted_from_the_next() -> None:
    frames = torch.tensor([1.0, 4.0, 2.0]).view(1, 1, 3, 1, 1).expand(2, 3, 3, 4, 5)
    difference = rgb_difference(frames)
    assert difference.shape == (2, 3, 2, 4, 5)
    assert (difference[:, :, 0] == 3).all()
    assert (difference[:, :, 1] == -2).all()


def test_one_frame_has_no_difference() -> None:
    with pytest.raises(SettingError, match="1 frame"):
        rgb_difference(torch.zeros(1, 3, 1, 4, 4))
