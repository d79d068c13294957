"""Which pixels a cell looks at, followed through single operations whose answer is worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from vizkit.net.geometry import CellGeometry
from vizkit.net.receptive import PlaceTrace, _reshape

Way = Callable[[torch.Tensor], torch.Tensor]


def followed(way: Way, shape: tuple[int, ...] = (1, 3, 6, 16, 20), device: str = "meta") -> tuple[torch.Tensor, ...] | None:
    clip = torch.zeros(shape, device=device)
    trace = PlaceTrace(clip)
    with torch.no_grad(), trace:
        result = way(clip)
    places = trace.of(result)
    assert places is None or all(part.shape == result.shape for part in places)
    return places


def along(way: Way, axis: int, coordinate: int, shape: tuple[int, ...] = (1, 3, 6, 16, 20)) -> list[float]:
    """Places of one coordinate along one axis of the result; everything else must agree about them."""
    places = followed(way, shape)
    assert places is not None
    lines = places[coordinate].movedim(axis, -1).flatten(0, -2)
    assert torch.equal(lines, lines[:1].expand_as(lines))
    return lines[0].tolist()


def kernel(*sides: int, inputs: int = 3, outputs: int = 2) -> torch.Tensor:
    return torch.empty(outputs, inputs, *sides, device="meta")


def expected(first: float, step: float, count: int) -> list[float]:
    return [first + step * number for number in range(count)]


# ------------------------------------------------------------------------------------------------ kernels


@pytest.mark.parametrize(
    ("taps", "stride", "padding"), [(7, 2, 3), (3, 1, 1), (3, 2, 1), (2, 2, 0), (4, 4, 0), (1, 2, 0), (5, 3, 1), (3, 1, 0)]
)
def test_a_convolution_reads_at_the_middle_of_its_kernel(taps: int, stride: int, padding: int) -> None:
    where = CellGeometry().through(taps, stride, padding)

    def way(clip: torch.Tensor) -> torch.Tensor:
        return F.conv3d(clip, kernel(1, taps, taps), stride=(1, stride, stride), padding=(0, padding, padding))

    count = (20 + 2 * padding - taps) // stride + 1
    assert along(way, 4, 2) == pytest.approx(expected(where.origin_px, where.stride_px, count))
    assert along(way, 2, 0) == expected(0, 1, 6)


def test_a_dilated_kernel_in_time() -> None:
    assert along(lambda clip: F.conv3d(clip, kernel(3, 1, 1), dilation=(2, 1, 1)), 2, 0) == [2, 3]
    assert along(lambda clip: F.conv3d(clip, kernel(3, 1, 1), dilation=(2, 1, 1), padding=(2, 0, 0)), 2, 0) == expected(0, 1, 6)


def test_two_layers_are_one_after_the_other() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        return F.conv3d(F.conv3d(clip, kernel(1, 4, 4), stride=(1, 4, 4)), kernel(1, 2, 2, inputs=2), stride=(1, 2, 2))

    assert along(way, 4, 2) == [3.5, 11.5]
    assert along(way, 3, 1) == [3.5, 11.5]


@pytest.mark.parametrize("pool", [F.max_pool3d, F.avg_pool3d])
def test_pools(pool: Way) -> None:
    assert along(lambda clip: pool(clip, 2), 4, 2) == expected(0.5, 2, 10)  # type: ignore[call-arg]
    assert along(lambda clip: pool(clip, 2), 2, 0) == expected(0.5, 2, 3)  # type: ignore[call-arg]
    assert along(lambda clip: pool(clip, (1, 3, 3), (1, 2, 2), (0, 1, 1)), 3, 1) == expected(0, 2, 8)  # type: ignore[call-arg]


def test_a_dilated_pool() -> None:
    def pool(clip: torch.Tensor) -> torch.Tensor:
        return F.max_pool3d(clip, (1, 3, 3), (1, 1, 1), (0, 1, 1), dilation=(1, 3, 3))

    assert along(pool, 4, 2) == expected(2, 1, 16)
    assert along(lambda clip: F.max_pool2d(clip[0].transpose(0, 1), 3, 2, dilation=2), 3, 2) == expected(2, 2, 8)


def test_frames_folded_into_the_batch_keep_their_numbers() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        frames = clip.transpose(1, 2).flatten(0, 1)  # [B*T, C, H, W]
        return F.max_pool2d(F.conv2d(frames, kernel(3, 3), stride=2, padding=1), 2)

    assert along(way, 0, 0) == expected(0, 1, 6)
    assert along(way, 3, 2) == expected(1, 4, 5)
    assert along(lambda clip: way(clip).unflatten(0, (1, 6)).transpose(1, 2), 2, 0) == expected(0, 1, 6)


def test_a_temporal_convolution_over_pixels_in_the_batch() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        rows = clip.permute(0, 3, 4, 1, 2).flatten(0, 2)  # [B*H*W, C, T]
        return F.conv1d(rows, kernel(3), stride=2, padding=1).unflatten(0, (16, 20))

    assert along(way, 3, 0) == [0, 2, 4]
    assert along(way, 0, 1) == expected(0, 1, 16)
    assert along(way, 1, 2) == expected(0, 1, 20)


def test_a_transposed_convolution_goes_back() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        down = F.conv3d(clip, kernel(1, 2, 2), stride=(1, 2, 2))
        return F.conv_transpose3d(down, torch.empty(2, 2, 1, 2, 2, device="meta"), stride=(1, 2, 2))

    assert along(way, 4, 2) == expected(0, 1, 20)


# ------------------------------------------------------------------------------------------------ moves


def test_merged_patches_are_centred_between_their_cells() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        x = clip.permute(0, 2, 3, 4, 1)  # [B, T, H, W, C]
        merged = torch.cat([x[..., row::2, column::2, :] for column in (0, 1) for row in (0, 1)], -1)
        return F.linear(merged, torch.empty(5, 12, device="meta"))

    assert along(way, 3, 2) == expected(0.5, 2, 10)
    assert along(way, 2, 1) == expected(0.5, 2, 8)


def test_windows_that_are_shifted_and_put_back_move_nothing() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        x = F.pad(clip.permute(0, 2, 3, 4, 1), (0, 0, 0, 4, 0, 0, 0, 0))  # [1, 6, 16, 24, 3]
        x = torch.roll(x, (-1, -2, -2), (1, 2, 3))
        windows = x.view(1, 3, 2, 4, 4, 6, 4, 3).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, 32, 3)
        windows = torch.softmax(windows @ windows.transpose(1, 2), -1) @ windows
        x = windows.view(1, 3, 4, 6, 2, 4, 4, 3).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(1, 6, 16, 24, 3)
        return torch.roll(x, (1, 2, 2), (1, 2, 3))[:, :, :, :20]

    assert along(way, 1, 0) == expected(0, 1, 6)
    assert along(way, 2, 1) == expected(0, 1, 16)
    assert along(way, 3, 2) == expected(0, 1, 20)


def test_a_token_stays_where_its_query_is() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        tokens = F.conv3d(clip, kernel(2, 4, 4), stride=(2, 4, 4)).flatten(2).transpose(1, 2)
        few = F.max_pool3d(clip, (6, 8, 10)).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros(1, 1, 2, device="meta"), tokens], 1)
        gathered = torch.softmax(tokens @ torch.empty(1, 2, 3, device="meta") @ few.transpose(1, 2), -1) @ few
        return gathered[:, 1:].transpose(1, 2).unflatten(2, (3, 4, 5))

    assert along(way, 2, 0) == [0.5, 2.5, 4.5]
    assert along(way, 4, 2) == expected(1.5, 4, 5)


def test_shifted_channels_keep_the_cell_in_the_mean() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        x = clip.repeat(1, 8, 1, 1, 1)
        out = torch.zeros_like(x)
        out[:, :3, :-1] = x[:, :3, 1:]
        out[:, 3:6, 1:] = x[:, 3:6, :-1]
        out[:, 6:] = x[:, 6:]
        return F.conv3d(out, kernel(1, 1, 1, inputs=24))

    inside = along(way, 2, 0)
    assert inside[1:-1] == expected(1, 1, 4)
    assert inside[0] == pytest.approx(1 / 7)  # the channels without a frame before look at nothing


def test_differences_and_means_of_frames_lie_between_them() -> None:
    assert along(lambda clip: clip[:, :, 1:] - clip[:, :, :-1], 2, 0) == expected(0.5, 1, 5)
    assert along(lambda clip: clip.mean(2), 2, 1) == expected(0, 1, 16)
    places = followed(lambda clip: clip.mean(2))
    assert places is not None
    assert float(places[0].mean()) == 2.5


def test_what_is_spread_over_a_map_has_no_say() -> None:
    assert along(lambda clip: clip * torch.sigmoid(clip.mean((2, 3, 4), keepdim=True)), 4, 2) == expected(0, 1, 20)


def test_a_resized_map() -> None:
    grown = along(lambda clip: F.interpolate(clip, scale_factor=(1, 2, 2), mode="trilinear"), 4, 2)
    assert grown[1:-1] == pytest.approx(expected(0.25, 0.5, 38))
    assert along(lambda clip: F.adaptive_avg_pool3d(clip, (6, 8, 5)), 4, 2) == pytest.approx(expected(1.5, 4, 5))


# ------------------------------------------------------------------------------------------------ what is lost


def test_an_operation_that_mixes_everything_loses_the_places() -> None:
    assert followed(lambda clip: torch.fft.rfft(clip).real) is None


def test_frames_taken_by_number_need_the_numbers() -> None:
    def way(clip: torch.Tensor) -> torch.Tensor:
        return clip.index_select(2, torch.linspace(0, 5, 3, device=clip.device).long())

    assert followed(way) is None
    places = followed(way, device="cpu")
    assert places is not None
    assert places[0][0, 0, :, 0, 0].tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("before", "same", "after"),
    [
        ((2, 3, 4, 5), (3,), (6, 20)),
        ((2, 3, 4, 5), (3,), (2, 12, 5)),
        ((2, 3, 4, 6), (3,), (2, 3, 4, 3, 2)),
        ((2, 3, 4, 6), (0, 3), (2, 12, 3, 2, 1)),
        ((1, 6, 4), (0,), (6, 4)),
        ((6, 4), (1,), (1, 2, 3, 4, 1)),
        ((2, 3, 4), (0, 1, 2), (24,)),
        ((2, 3, 4), (1,), (4, 3, 2)),
        ((5, 1), (1,), (5,)),
    ],
)
def test_a_reshape_of_places_is_the_reshape(before: tuple[int, ...], same: tuple[int, ...], after: tuple[int, ...]) -> None:
    thin = torch.rand([1 if axis in same else side for axis, side in enumerate(before)])
    assert torch.equal(_reshape(thin.expand(before), after), thin.expand(before).reshape(after))


def test_padding_lies_straight_on() -> None:
    assert along(lambda clip: F.pad(clip, (2, 1, 0, 3)), 4, 2) == expected(-2, 1, 23)
    assert along(lambda clip: F.pad(clip, (2, 1, 0, 3)), 3, 1) == expected(0, 1, 19)
    assert along(lambda clip: F.pad(clip[:, :, 1:], (0, 0, 0, 0, 0, 1)), 2, 0) == expected(1, 1, 6)
