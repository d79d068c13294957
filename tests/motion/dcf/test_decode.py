"""From correlations to displacement and confidence: worked numbers, a plain loop, and what must not matter."""

from __future__ import annotations

import math
from statistics import median

import pytest
import torch

from vizkit.errors import SettingError
from vizkit.motion.dcf.analysis import decode_displacement
from vizkit.motion.dcf.decode import inside_map, neighborhood_cells
from vizkit.motion.dcf.module import correlation_volume


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------ neighbourhoods


def test_neighbours_go_row_by_row_and_are_xy() -> None:
    assert neighborhood_cells(3, 2).tolist() == [[-2, -2], [0, -2], [2, -2], [-2, 0], [0, 0], [2, 0], [-2, 2], [0, 2], [2, 2]]


def test_inside_is_where_the_target_lies_on_the_map() -> None:
    inside = inside_map(4, 6, 3, 2)
    assert inside.shape == (9, 4, 6)
    for number, (x, y) in enumerate(neighborhood_cells(3, 2).tolist()):
        for row in range(4):
            for column in range(6):
                assert inside[number, row, column] == (0 <= row + y < 4 and 0 <= column + x < 6)


# ------------------------------------------------------------------------------------------------ worked numbers


def test_one_peak_in_a_flat_neighbourhood() -> None:
    """One of nine correlations is 1, the others 0, in every cell of a wide map.

    Mean 1/9, std sqrt(8)/9; the same std everywhere, so the denominator is 1.1 std. z = (8/9) / (1.1 sqrt(8)/9) = 2.571297 at the peak
    and -0.321412 elsewhere.
    """
    volume = torch.zeros(9, 9, 9, dtype=torch.float64)
    volume[5] = 1  # x + 1
    decoded = decode_displacement(volume, patch=3)
    peak, other = math.exp(3 * 2.5712974), math.exp(-3 * 0.3214122)
    # the 3 x 3 window around (x + 1, y 0) holds six neighbours: three at x 0, three at x + 1
    expected_x = (peak + 2 * other) / (peak + 5 * other)
    assert decoded.displacement_cells[4, 4].tolist() == pytest.approx([expected_x, 0.0], abs=1e-6)
    share = peak / (peak + 8 * other)
    rest = (1 - share) / 8
    entropy = -share * math.log(share) - 8 * rest * math.log(rest)
    assert decoded.confidence[4, 4].item() == pytest.approx(1 - entropy / math.log(9), abs=1e-6)


@pytest.mark.parametrize(
    ("channel", "xy"), [(19, (2, 1)), (5, (-2, -1)), (2, (0, -2)), (22, (0, 2)), (10, (-2, 0)), (14, (2, 0)), (12, (0, 0))]
)
def test_a_lone_high_peak_is_where_it_is(channel: int, xy: tuple[int, int]) -> None:
    volume = noise(25, 12, 12) * 0.01
    volume[channel] += 1
    decoded = decode_displacement(volume, patch=5)
    assert torch.allclose(decoded.displacement_cells[4:8, 4:8], torch.tensor(xy, dtype=torch.float64).expand(4, 4, 2), atol=0.01)
    assert (decoded.confidence[4:8, 4:8] > 0.99).all()


def naive(volume: torch.Tensor, patch: int, dilation: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps 1 to 3, cell by cell, of one map [patch^2, H, W]."""
    _, height, width = volume.shape
    cells = [((n % patch - patch // 2) * dilation, (n // patch - patch // 2) * dilation) for n in range(patch**2)]
    known: dict[tuple[int, int], list[int]] = {}
    spread: dict[tuple[int, int], float] = {}
    for row in range(height):
        for column in range(width):
            inside = [n for n, (x, y) in enumerate(cells) if 0 <= row + y < height and 0 <= column + x < width]
            values = [float(volume[n, row, column]) for n in inside]
            mean = sum(values) / len(values)
            known[row, column] = inside
            spread[row, column] = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    floor = 0.1 * median(spread.values())
    displacement, confidence = torch.zeros(height, width, 2, dtype=torch.float64), torch.zeros(height, width, dtype=torch.float64)
    for (row, column), inside in known.items():
        mean = sum(float(volume[n, row, column]) for n in inside) / len(inside)
        z = {n: (float(volume[n, row, column]) - mean) / (spread[row, column] + floor) for n in inside}
        best = max(z, key=lambda n: z[n])
        near = {n: math.exp(3 * z[n]) for n in inside if max(abs(cells[n][axis] - cells[best][axis]) for axis in (0, 1)) <= dilation}
        for axis in (0, 1):
            displacement[row, column, axis] = sum(weight * cells[n][axis] for n, weight in near.items()) / sum(near.values())
        weights = {n: math.exp(3 * value) for n, value in z.items()}
        shares = [weight / sum(weights.values()) for weight in weights.values()]
        entropy = -sum(share * math.log(share) for share in shares)
        confidence[row, column] = (1 - entropy / math.log(len(inside))) * len(inside) / patch**2
    return displacement, confidence


@pytest.mark.parametrize(("patch", "dilation", "height", "width"), [(3, 1, 5, 6), (5, 1, 6, 7), (5, 2, 7, 6), (3, 3, 9, 4)])
def test_every_cell_is_the_plain_loop(patch: int, dilation: int, height: int, width: int) -> None:
    volume = noise(2, patch**2, height, width)
    decoded = decode_displacement(volume, patch=patch, dilation=dilation)
    for number in range(2):
        displacement, confidence = naive(volume[number], patch, dilation)
        assert torch.allclose(decoded.displacement_cells[number], displacement, atol=1e-9)
        assert torch.allclose(decoded.confidence[number], confidence, atol=1e-9)


def test_the_scale_of_a_map_is_its_own() -> None:
    """The median is taken over one map, not over the whole volume."""
    volume = noise(3, 9, 6, 6)
    together = decode_displacement(torch.stack([volume, 100 * volume]), patch=3)
    assert torch.allclose(together.displacement_cells[0], together.displacement_cells[1])
    alone = decode_displacement(volume[1], patch=3)
    torch.testing.assert_close(alone.confidence, decode_displacement(volume, patch=3).confidence[1], rtol=1e-12, atol=1e-12)


def test_brightness_and_contrast_of_the_features_play_no_part() -> None:
    volume = noise(25, 8, 8)
    plain, other = decode_displacement(volume, patch=5), decode_displacement(3 + 7 * volume, patch=5)
    assert torch.allclose(plain.displacement_cells, other.displacement_cells)
    assert torch.allclose(plain.confidence, other.confidence)


# ------------------------------------------------------------------------------------------------ flat and edge


def test_a_flat_neighbourhood_has_no_confidence_beside_a_textured_one() -> None:
    volume = noise(25, 12, 12)
    volume[:, :, 8:] *= 0.001
    decoded = decode_displacement(volume, patch=5)
    assert (decoded.confidence[:, 8:] < 1e-3).all()
    assert decoded.confidence[:, 2:6].mean() > 0.3


def test_where_all_correlations_are_equal_nothing_moves() -> None:
    decoded = decode_displacement(torch.full((25, 9, 9), 0.7), patch=5)
    assert decoded.displacement_cells[2:-2, 2:-2].abs().max() < 1e-6
    assert decoded.confidence.abs().max() < 1e-6


def test_the_border_is_dimmed_by_the_share_that_is_inside() -> None:
    """The same lone peak at the centre everywhere: a corner sees 9 of 25 neighbours."""
    volume = torch.zeros(25, 11, 11, dtype=torch.float64)
    volume[12] = 1
    confidence = decode_displacement(volume, patch=5).confidence
    assert confidence[5, 5].item() == pytest.approx(1, abs=0.01)
    assert confidence[0, 0].item() == pytest.approx(9 / 25, abs=0.02)
    assert confidence[0, 5].item() == pytest.approx(15 / 25, abs=0.02)
    assert confidence[5, 1].item() == pytest.approx(20 / 25, abs=0.02)


def test_correlations_outside_the_image_take_no_part() -> None:
    """Zeros of the padding are no evidence: whatever stands there, the result is the same."""
    volume = noise(25, 6, 7)
    outside = ~inside_map(6, 7, 5)
    changed = torch.where(outside, torch.tensor(50.0, dtype=torch.float64), volume)
    first, second = decode_displacement(volume, patch=5), decode_displacement(changed, patch=5)
    assert torch.allclose(first.displacement_cells, second.displacement_cells)
    assert torch.allclose(first.confidence, second.confidence)


def test_a_map_of_one_cell_has_nothing_to_say() -> None:
    decoded = decode_displacement(noise(25, 1, 1), patch=5)
    assert decoded.displacement_cells.tolist() == [[[0.0, 0.0]]]
    assert decoded.confidence.tolist() == [[0.0]]


# ------------------------------------------------------------------------------------------------ shapes and known motion


def test_leading_axes_stay_and_half_precision_is_decoded_in_full() -> None:
    volume = noise(2, 3, 25, 6, 5)
    decoded = decode_displacement(volume, patch=5)
    assert decoded.displacement_cells.shape == (2, 3, 6, 5, 2)
    assert decoded.confidence.shape == (2, 3, 6, 5)
    half = decode_displacement(volume.bfloat16(), patch=5)
    assert half.confidence.dtype == torch.float32
    assert torch.equal(half.confidence, decode_displacement(volume.bfloat16().float(), patch=5).confidence)


@pytest.mark.parametrize("velocity_xy", [(2, 0), (-2, 0), (0, 2), (0, -2), (1, -1), (-1, 2), (0, 0)])
def test_moving_noise_is_decoded_at_every_offset(velocity_xy: tuple[int, int]) -> None:
    """To frame t + o the displacement is o times the velocity; one channel of the volume, since the dilation grows with the offset."""
    canvas = noise(32, 16, 16)
    x = torch.stack([canvas.roll((t * velocity_xy[1], t * velocity_xy[0]), (1, 2)) for t in range(5)], 1)[None]
    volume = correlation_volume(x, patch=5, temporal_range=2)[0].unflatten(0, (4, 25))
    for number, offset in enumerate((-2, -1, 1, 2)):
        decoded = decode_displacement(volume[number, :, 2], patch=5, dilation=abs(offset))
        inner = decoded.displacement_cells[4:12, 4:12]
        wanted = offset * torch.tensor(velocity_xy, dtype=torch.float64)
        assert (inner - wanted).norm(dim=-1).mean() < 0.1 * abs(offset)


@pytest.mark.parametrize(
    ("shape", "settings", "says"),
    [
        ((24, 6, 6), {"patch": 5}, r"volume has shape \(24, 6, 6\).*25, H, W"),
        ((25, 6), {"patch": 5}, r"volume has shape \(25, 6\)"),
        ((16, 6, 6), {"patch": 4}, "patch is 4"),
        ((25, 6, 6), {"patch": 5, "dilation": 0}, "dilation 0"),
    ],
)
def test_what_cannot_be_decoded_is_refused(shape: tuple[int, ...], settings: dict[str, int], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        decode_displacement(torch.zeros(shape), **settings)
