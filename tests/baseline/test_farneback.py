"""Farnebaeck's flow: the wrapper's axes, signs and types."""

from __future__ import annotations

import pytest
import torch

from vizkit.baseline import farneback
from vizkit.errors import SettingError


def test_translations_are_found(shifted, end_point_error) -> None:
    moves = ((2.0, -1.0), (-3.0, 0.0))
    first, second = shifted(96, 80, *moves)
    flow = farneback(first, second)
    assert flow.shape == (2, 96, 80, 2)
    assert flow.dtype == torch.float64
    assert max(end_point_error(flow, moves, 16)) < 0.3


def test_colour_and_what_stands_still(shifted) -> None:
    first, _ = shifted(40, 48, (0.0, 0.0))
    assert float(farneback(first.expand(-1, 3, -1, -1), first.expand(-1, 3, -1, -1)).abs().max()) < 0.1
    assert torch.isfinite(farneback(torch.rand(1, 3, 1, 1), torch.rand(1, 3, 1, 1))).all()


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(SettingError, match="first has shape"):
        farneback(torch.zeros(4, 8, 8), torch.zeros(4, 8, 8))
    with pytest.raises(SettingError, match="NaN"):
        farneback(torch.full((1, 1, 8, 8), torch.nan), torch.zeros(1, 1, 8, 8))
