"""TV-L1: one level against a plain loop, known translations, the motion world, edge cases, and what other implementations give."""

from __future__ import annotations

import importlib

import cv2
import numpy as np
import pytest
import torch

import vizkit
from vizkit.baseline import FlowSettings, tvl1
from vizkit.baseline.coarse_to_fine import count_levels, data_term, level_sizes, pyramid, with_gradient
from vizkit.errors import SettingError

MOVES_PX = ((1.0, 0.0), (2.0, -1.0), (3.0, 2.0), (5.0, 4.0), (-6.5, 3.0), (0.5, -0.25))


# ------------------------------------------------------------------------------------------------ one level


def forward_differences(field):
    along_x, along_y = np.zeros_like(field), np.zeros_like(field)
    along_x[:, :-1] = field[:, 1:] - field[:, :-1]
    along_y[:-1] = field[1:] - field[:-1]
    return along_x, along_y


def divergence(along_x, along_y):
    """Backward differences that take what lies outside as zero: rows and columns written out one by one."""
    height, width = along_x.shape
    result = np.zeros_like(along_x)
    for y in range(height):
        for x in range(width):
            result[y, x] += (along_x[y, x] if x < width - 1 else 0) - (along_x[y, x - 1] if x else 0)
            result[y, x] += (along_y[y, x] if y < height - 1 else 0) - (along_y[y - 1, x] if y else 0)
    return result


def one_warp(difference, gradient, steps, attachment=0.15, theta=0.3, tau=0.25):
    """Zach, Pock, Bischof with the three cases of the data term written out."""
    flow, dual = np.zeros_like(gradient), np.zeros((2, *gradient.shape))
    for _ in range(steps):
        rho = difference + (gradient * flow).sum(0)
        squared = (gradient**2).sum(0)
        bound = attachment * theta * squared
        middle = -rho * gradient / np.where(squared > 0, squared, 1)
        step = np.where(rho < -bound, attachment * theta * gradient, np.where(rho > bound, -attachment * theta * gradient, middle))
        flow = flow + step
        for axis in range(2):
            flow[axis] += theta * divergence(dual[0, axis], dual[1, axis])
            slope = np.stack(forward_differences(flow[axis]))
            dual[:, axis] = (dual[:, axis] + tau / theta * slope) / (1 + tau / theta * np.sqrt((slope**2).sum(0)))
    return flow


def test_difference_and_divergence_are_adjoint() -> None:
    rng = np.random.default_rng(0)
    field, along_x, along_y = rng.standard_normal((3, 5, 7))
    of_x, of_y = forward_differences(field)
    assert (of_x * along_x).sum() + (of_y * along_y).sum() + (field * divergence(along_x, along_y)).sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", [(9, 14), (15, 8), (1, 6), (2, 2)])
def test_one_level_is_the_plain_loop(shifted, size: tuple[int, int]) -> None:
    """Three pairs at once, whose maps lie one behind the other."""
    first, second = shifted(*size, (0.7, 0.2), (-0.4, 0.6), (0.3, -0.8))
    found = tvl1(first, second, scales=1, warps=1, iterations=9)
    term = data_term(255 * first, with_gradient(255 * second), torch.zeros(3, 2, *size, dtype=torch.float64))
    for pair in range(3):
        expected = one_warp(term.difference[pair].numpy(), term.gradient[pair].numpy(), 9)
        np.testing.assert_allclose(found[pair].numpy(), np.moveaxis(expected, 0, -1), atol=1e-9)
    assert float(found.abs().max()) > 0.1


def test_picture_is_warped_towards_the_first() -> None:
    """A ramp moved right by 2: the warped second is the first, its slope that of the ramp, zero where the flow leaves the picture."""
    ramp = torch.arange(12, dtype=torch.float64).expand(1, 1, 6, 12)
    flow = torch.zeros(1, 2, 6, 12, dtype=torch.float64)
    flow[:, 0] = 2
    term = data_term(ramp, with_gradient(ramp - 2), flow)
    inner = term.difference + (term.gradient * flow).sum(1)
    torch.testing.assert_close(inner[..., 3:-5], torch.zeros_like(inner[..., 3:-5]), atol=1e-9, rtol=0)
    torch.testing.assert_close(term.gradient[0, 0, :, 3:-5], torch.ones(6, 4, dtype=torch.float64), atol=1e-9, rtol=0)
    assert not term.gradient[0, 0, :, -2:].any()


def test_halves_keep_their_place() -> None:
    """A straight ramp stays the ramp at the places of the smaller pixels, odd sides too."""
    for width, tolerance in ((32, 1e-7), (33, 0.05)):
        ramp = torch.arange(width, dtype=torch.float64).expand(1, 1, width, width)
        half = pyramid(ramp, level_sizes((width, width), 2))[1][0, 0, 8]
        side = (width + 1) // 2
        places = (torch.arange(side, dtype=torch.float64) + 0.5) * width / side - 0.5
        torch.testing.assert_close(half[2:-2], places[2:-2], atol=tolerance, rtol=0)


def test_levels_and_steps() -> None:
    assert count_levels((224, 224), 5) == 4
    assert count_levels((256, 512), 5) == 5
    assert count_levels((20, 300), 5) == 1
    assert level_sizes((31, 45), 2) == [(31, 45), (16, 23)]
    assert [FlowSettings().steps(level) for level in range(4)] == [20, 10, 5, 5]
    assert [FlowSettings(iterations=3).steps(level) for level in range(3)] == [3, 3, 3]


# ------------------------------------------------------------------------------------------------ known motion


@pytest.mark.parametrize("stretch", [False, True])
def test_translations_are_found(shifted, end_point_error, stretch: bool) -> None:
    first, second = shifted(96, 104, *MOVES_PX)
    flow = tvl1(first.float(), second.float(), stretch=stretch)
    assert flow.shape == (6, 96, 104, 2)
    assert flow.dtype == torch.float32
    assert max(end_point_error(flow, MOVES_PX, 10)) <= 0.1
    back = tvl1(second.float(), first.float(), stretch=stretch)
    assert max(end_point_error(-back, MOVES_PX, 10)) <= 0.1


def test_one_level_alone_does_not_reach_far(shifted, end_point_error) -> None:
    """Coarse to fine is what finds 5 pixels."""
    pair = shifted(64, 64, (5.0, 4.0))
    assert end_point_error(tvl1(*pair, scales=1, warps=1), ((5.0, 4.0),), 8)[0] > 1


def test_smooth_motion_varies_in_space() -> None:
    """The second picture is grown by 4 % about the centre: the flow is 0.04 times the distance from it."""
    side = 96
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.random((side, side)), (0, 0), 2.5)
    picture = (picture - picture.min()) / np.ptp(picture)
    axis = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(axis, axis)
    grown = cv2.remap(picture.astype(np.float32), *(((v / 1.04) + (side - 1) / 2).astype(np.float32) for v in (x, y)), cv2.INTER_CUBIC)
    first, second = (torch.from_numpy(v.astype(np.float32))[None, None] for v in (picture, grown))
    expected = torch.from_numpy(np.stack([0.04 * x, 0.04 * y], -1)).float()
    error = (tvl1(first, second)[0] - expected).norm(dim=-1)
    assert float(error[10:-10, 10:-10].mean()) < 0.1


def test_motion_of_the_world_is_found() -> None:
    """What moves in a synthetic clip, by up to 6 px, beside what a flow of zero scores."""
    clip = vizkit.world.clip(8, label=None, side_px=96, nuisances=False)
    grey = torch.stack([torch.from_numpy(frame) for frame in clip.clip.read(range(4))]).movedim(3, 1).float() / 255
    flow = tvl1(grey[:-1], grey[1:]).numpy()
    error, length = (np.linalg.norm(v, axis=-1) for v in (flow - clip.truth.flow_px[:3], clip.truth.flow_px[:3]))
    moving = clip.truth.moving[:3] & ~clip.truth.occluded[:3]
    assert error[moving].mean() < 0.35 * length[moving].mean()
    assert error[~moving].mean() < 0.1


def test_borders_and_batches(shifted) -> None:
    """Pairs of a batch are apart, however many are worked on together."""
    first, second = shifted(40, 37, (1.0, 0.5), (-2.0, 1.0), (0.0, 0.0))
    together = tvl1(first, second)
    for pair in range(3):
        torch.testing.assert_close(together[pair : pair + 1], tvl1(first[pair : pair + 1], second[pair : pair + 1]), atol=1e-9, rtol=0)


def test_many_small_parts_give_the_same(shifted, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = shifted(40, 37, (1.0, 0.5), (-2.0, 1.0), (0.0, 0.0))
    together = tvl1(*pair)
    monkeypatch.setattr(importlib.import_module("vizkit.baseline.tvl1"), "CHUNK_PX", 1)
    torch.testing.assert_close(tvl1(*pair), together, atol=1e-9, rtol=0)


def test_colour_is_made_grey(shifted) -> None:
    first, second = shifted(32, 32, (1.0, 0.0))
    weights = torch.tensor([0.5, 1.0, 0.2], dtype=torch.float64)[:, None, None]
    grey = float((weights[:, 0, 0] * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)).sum())
    torch.testing.assert_close(tvl1(first * weights, second * weights), tvl1(first * grey, second * grey), atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------------------------ edge cases


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("stretch", [False, True])
def test_constant_pictures_stand_still(dtype: torch.dtype, stretch: bool) -> None:
    grey = torch.full((2, 3, 33, 40), 0.3, dtype=dtype)
    flow = tvl1(grey, grey, stretch=stretch)
    assert flow.dtype == dtype
    assert not flow.any()
    assert float(tvl1(grey, torch.ones_like(grey), stretch=stretch).abs().max()) < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (17, 33), (5, 48)])
def test_small_and_odd_pictures(size: tuple[int, int]) -> None:
    pictures = torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(0))
    flow = tvl1(*pictures)
    assert flow.shape == (2, *size, 2)
    assert torch.isfinite(flow).all()


def test_bad_input_is_one_sentence() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    with pytest.raises(SettingError, match=r"first has shape \(3, 8, 8\), but 4 axes"):
        tvl1(picture[0], picture[0])
    with pytest.raises(SettingError, match="second has shape .1, 2, 8, 8."):
        tvl1(picture, picture[:, :2])
    with pytest.raises(SettingError, match="of one shape, type and device"):
        tvl1(picture, picture[..., :7])
    with pytest.raises(SettingError, match="torch.uint8, but floating-point"):
        tvl1(picture.byte(), picture.byte())
    with pytest.raises(SettingError, match="NaN or infinite"):
        tvl1(picture, picture + torch.nan)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("attachment", 0), ("tightness", -1), ("time_step", 0.3), ("scales", 0), ("warps", 0), ("iterations", 1001), ("steps", 3)],
)
def test_settings_have_ranges(setting: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"{setting}.*Known: attachment"):
        tvl1(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), **{setting: value})


# ------------------------------------------------------------------------------------------------ others
# Neither is a dependency: OpenCV's module with TV-L1 is another build of the same package. benchmarks/tvl1.py has them side by side.

PEERS_PX = {
    "scikit-image 0.26.0, registration.optical_flow_tvl1": (0.0025, 0.0026, 0.0026, 0.0030, 0.0307, 0.0379),
    "opencv-contrib 4.14.0.94, optflow.DualTVL1OpticalFlow, 8-bit": (0.0035, 0.0028, 0.0031, 0.0047, 0.0112, 0.0262),
}
"""Mean end-point errors with default settings on ``shifted(96, 96, *MOVES_PX)``, without the 12 px at the border."""


@pytest.mark.parametrize("peer", PEERS_PX)
def test_no_worse_than_others_on_any_move(peer: str, shifted, end_point_error) -> None:
    first, second = shifted(96, 96, *MOVES_PX)
    if peer.endswith("8-bit"):
        first, second = ((255 * picture).round() / 255 for picture in (first, second))
    assert (np.array(end_point_error(tvl1(first, second), MOVES_PX, 12)) <= PEERS_PX[peer]).all()
