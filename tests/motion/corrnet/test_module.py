"""The operator and the blocks: worked numbers, known motion, gradients, another clip length, what is refused."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.errors import SettingError
from vizkit.motion.corrnet.analysis import find_peaks
from vizkit.motion.corrnet.module import CorrelationBlock, CorrelationConcat, CorrelationOperator, CorrelationSum, FrameNorm

TINY = 1e-12


def operator(channels: int, frames: int, **settings: object) -> CorrelationOperator:
    return CorrelationOperator(channels, frames, **settings).double()  # type: ignore[arg-type]


def waves(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def put(module: CorrelationOperator, filters: torch.Tensor) -> CorrelationOperator:
    with torch.no_grad():
        module.filters.copy_(filters)
    return module


def by_loops(x: torch.Tensor, filters: torch.Tensor, dilation: int, groups: int) -> torch.Tensor:
    """Equation 1, cell by cell; the previous frame is searched, the first one in itself."""
    batch, channels, frames, height, width = x.shape
    patch, inside = filters.shape[-1], channels // groups
    out = torch.zeros(batch, groups * patch**2, frames, height, width, dtype=x.dtype)
    for b, c, t, y, px, (iy, ix) in product(*map(range, (batch, channels, frames, height, width)), product(range(patch), repeat=2)):
        there_y, there_x = y + (iy - patch // 2) * dilation, px + (ix - patch // 2) * dilation
        if 0 <= there_y < height and 0 <= there_x < width:
            matched = x[b, c, max(t - 1, 0), there_y, there_x]
            out[b, c // inside * patch**2 + iy * patch + ix, t, y, px] += filters[t, c, iy, ix] * x[b, c, t, y, px] * matched / inside
    return out


# ------------------------------------------------------------------------------------------------ the operator


@pytest.mark.parametrize(
    ("shape", "patch", "dilation", "groups"),
    [((2, 8, 2, 6, 5), 3, 1, 1), ((2, 8, 3, 4, 6), 5, 2, 2), ((1, 4, 1, 3, 3), 7, 2, 1), ((1, 6, 3, 5, 4), 3, 2, 3)],
)
def test_it_is_equation_1_with_filters_and_groups_over_a_clip(shape: tuple[int, ...], patch: int, dilation: int, groups: int) -> None:
    x, filters = waves(*shape), waves(shape[2], shape[1], patch, patch, seed=1)
    module = operator(shape[1], shape[2], patch=patch, dilation=dilation, group_size=shape[1] // groups)
    assert module.out_channels == groups * patch**2
    assert (module(x) - by_loops(x, torch.ones_like(filters), dilation, groups)).abs().max() < TINY
    assert (put(module, filters)(x) - by_loops(x, filters, dilation, groups)).abs().max() < TINY


def test_a_frame_is_searched_in_the_one_before_it_and_the_first_in_itself() -> None:
    x = torch.arange(4.0).view(1, 1, 4, 1, 1)
    assert CorrelationOperator.search(x).flatten().tolist() == [0, 0, 1, 2]
    assert CorrelationOperator(1, 4, patch=1)(x).flatten().tolist() == [0, 0, 2, 6]


def test_one_match_lies_in_one_channel() -> None:
    """A cell of 2 at (y 4, x 4) now, a cell of 3 before: neighbour 21 is (dy 2, dx -1), 37 the same of 7, 3 with dilation (dy -4, dx 2)."""
    for patch, dilation, (y, x), neighbour in ((5, 1, (6, 3), 21), (7, 1, (6, 3), 37), (5, 2, (0, 6), 3)):
        clip = torch.zeros(1, 3, 2, 9, 9, dtype=torch.float64)
        clip[0, 1, 0, y, x], clip[0, 1, 1, 4, 4] = 3, 2
        out = operator(3, 2, patch=patch, dilation=dilation)(clip)[0, :, 1].detach()
        assert torch.nonzero(out).tolist() == [[neighbour, 4, 4]]
        assert out[neighbour, 4, 4] == pytest.approx(2.0)


def test_the_ramp() -> None:
    now, before = torch.arange(1.0, 19).view(2, 3, 3), torch.arange(18.0, 0, -1).view(2, 3, 3)
    clip = torch.stack([before, now], 1)[None].double()
    out = operator(2, 2, patch=3, dilation=1)(clip)[0, :, 1]
    assert out[0].tolist() == [[0, 0, 0], [0, 108, 111], [0, 111, 108]]
    assert out[1].tolist() == [[0, 0, 0], [94.5, 98.5, 100.5], [100.5, 98.5, 94.5]]
    assert out[3].tolist() == [[0, 67.5, 73.5], [0, 79.5, 79.5], [0, 73.5, 67.5]]
    assert out[4].tolist() == [[54, 61, 66], [69, 70, 69], [66, 61, 54]]
    assert out[7].tolist() == [[37.5, 41.5, 43.5], [43.5, 41.5, 37.5], [0, 0, 0]]
    grouped = operator(2, 2, patch=3, dilation=1, group_size=1)(clip)[0, :, 1].sum((1, 2)).tolist()
    assert grouped == [438, 587, 350, 441, 570, 327, 198, 245, 134] * 2
    weights = torch.arange(18.0).view(1, 2, 3, 3).double() / 10
    weighted = put(operator(2, 2, patch=3, dilation=1), weights.expand(2, -1, -1, -1))(clip)[0, :, 1].sum((1, 2))
    assert weighted.tolist() == pytest.approx([197.1, 322.85, 227.5, 330.75, 484.5, 310.65, 207.9, 281.75, 167.5])


def test_swapping_the_frames_mirrors_the_displacements() -> None:
    first, second = waves(1, 4, 1, 9, 9), waves(1, 4, 1, 9, 9, seed=1)
    module = operator(4, 2, patch=5, dilation=2)
    there, back = module(torch.cat([second, first], 2))[0, :, 1], module(torch.cat([first, second], 2))[0, :, 1]
    padded = F.pad(back, (4, 4, 4, 4))
    for iy, ix in product(range(5), repeat=2):
        moved = padded[24 - (iy * 5 + ix), iy * 2 :, ix * 2 :][:9, :9]
        assert (there[iy * 5 + ix] - moved).abs().max() < TINY


def test_groups_are_runs_of_neighbouring_channels_and_their_mean_is_the_ungrouped_result() -> None:
    x = waves(1, 6, 3, 5, 5)
    grouped = operator(6, 3, patch=3, group_size=2)(x).unflatten(1, (3, 9))
    assert (grouped.mean(1) - operator(6, 3, patch=3)(x)).abs().max() < TINY
    for number in range(3):
        alone = operator(2, 3, patch=3)(x[:, 2 * number : 2 * number + 2])
        assert (grouped[:, number] - alone).abs().max() < TINY


def test_the_first_frame_is_correlated_with_itself() -> None:
    x = waves(2, 4, 3, 8, 8)
    assert (operator(4, 3)(x)[:, 24, 0] - x[:, :, 0].square().mean(1)).abs().max() < TINY
    alone = operator(4, 1)(x[:, :, :1])
    assert (alone[:, :, 0] - operator(4, 3)(x)[:, :, 0]).abs().max() < TINY


def test_known_motion_is_matched_backwards() -> None:
    """Features move 2 cells to the right with every frame: the match lies at (dy 0, dx -2), neighbour 23; frame 0 at the centre, 24."""
    wide = waves(1, 16, 1, 24, 64)
    clip = torch.cat([wide[..., 20 - 2 * t : 44 - 2 * t] for t in range(5)], 2)
    strongest = operator(16, 5)(clip)[0].mean((2, 3)).argmax(0).tolist()
    assert strongest == [24, 23, 23, 23, 23]


def test_the_gradient_of_the_mean_output() -> None:
    """d mean(out) / d filters[t, c, iy, ix] = 1 / (g N) sum of Q S over the cells, N the number of outputs."""
    x = waves(1, 6, 2, 7, 8)
    module = operator(6, 2, patch=5, dilation=1, group_size=2)
    out = module(x)
    out.mean().backward()
    assert module.filters.grad is not None
    padded = F.pad(module.search(x), (2, 2, 2, 2))
    for iy, ix in product(range(5), repeat=2):
        expected = (x * padded[..., iy : iy + 7, ix : ix + 8]).sum((0, 3, 4)).T / (2 * out.numel())
        assert (module.filters.grad[:, :, iy, ix] - expected).abs().max() < 1e-15


@pytest.mark.parametrize("velocity_xy", [(2, 0), (-4, 0), (0, 4), (2, -2), (-6, 6), (4, 2)])
def test_one_step_uphill_turns_every_arrow_against_the_motion(velocity_xy: tuple[int, int]) -> None:
    """Zero-mean features that move by (x, y) cells a frame: arrows of frames 1..7 are exactly opposite, those of frame 0 are dots."""
    side, margin = 40, 50
    wide = waves(1, 8, 1, side + 2 * margin, side + 2 * margin, seed=3)
    corners = [(margin - velocity_xy[1] * t, margin - velocity_xy[0] * t) for t in range(8)]
    clip = torch.cat([wide[..., y : y + side, x : x + side] for y, x in corners], 2)
    module = operator(8, 8)
    module(clip).mean().backward()
    assert module.filters.grad is not None
    peaks = find_peaks((module.filters + module.filters.grad / module.filters.grad.abs().max()).detach().float().numpy(), 2)
    assert peaks[0].tolist() == [[0, 0]] * 8
    assert np.array_equal(peaks[1:], np.broadcast_to(-np.array(velocity_xy, np.float32), (7, 8, 2)))


def test_without_filters_it_is_the_operator_with_filters_of_one() -> None:
    x = waves(2, 4, 3, 7, 6)
    plain = operator(4, 3, filtered=False)
    assert (plain(x) - operator(4, 3)(x)).abs().max() < TINY
    assert list(plain.parameters()) == []
    assert plain.state_dict() == {}
    assert torch.equal(plain.filters, torch.ones(3, 4, 7, 7, dtype=torch.float64))
    assert plain(waves(1, 4, 5, 7, 6)).shape == (1, 49, 5, 7, 6)


def test_the_start_of_the_filters() -> None:
    assert torch.equal(CorrelationOperator(4, 3).filters, torch.ones(3, 4, 7, 7))
    torch.manual_seed(0)
    drawn = CorrelationOperator(64, 32, initial="kaiming").filters
    assert float(drawn.detach().std()) == pytest.approx((2 / (49 * 32)) ** 0.5, rel=0.02)
    assert abs(float(drawn.detach().mean())) < 1e-3


# ------------------------------------------------------------------------------------------------ another length


def test_a_clip_of_another_length_is_refused_with_both_lengths_and_the_way_out() -> None:
    with pytest.raises(SettingError, match=r"has 5 frames.*filters for 4.*other_length='interpolate'") as told:
        operator(2, 4)(waves(1, 2, 5, 3, 3))
    assert told.value.code == "frames"


def test_filters_can_be_interpolated_along_the_frames() -> None:
    module = put(operator(1, 3, patch=1, other_length="interpolate"), torch.tensor([0.0, 10, 40], dtype=torch.float64).view(3, 1, 1, 1))
    assert module.filters_for(5).flatten().tolist() == [0, 5, 10, 25, 40]
    assert module.filters_for(2).flatten().tolist() == [0, 40]
    assert module.filters_for(1).flatten().tolist() == [0]
    assert module.filters_for(3) is module.filters
    out = module(torch.full((1, 1, 5, 2, 2), 2.0, dtype=torch.float64))
    assert out[0, 0, :, 0, 0].tolist() == [0, 20, 40, 100, 160]


def test_interpolation_keeps_channels_and_places_apart() -> None:
    filters = waves(3, 4, 5, 5)
    module = put(operator(4, 3, patch=5, other_length="interpolate"), filters)
    assert (module.filters_for(5)[1::2] - (filters[:-1] + filters[1:]) / 2).abs().max() < TINY


# ------------------------------------------------------------------------------------------------ the blocks


def test_the_sum_block_is_a_bottleneck_around_the_operator() -> None:
    """Worked in plain matrices: 1x1x1 8 -> 2, norm, ReLU; operator; norm, ReLU; 1x1x1 9 -> 8, norm; added; ReLU."""
    torch.manual_seed(0)
    block = CorrelationSum(8, 2, reduction=4, patch=3, dilation=1).double().eval()
    x = waves(1, 8, 2, 3, 4).relu()
    into, filters, back = (part.detach() for part in block.parameters() if part.ndim > 1)
    assert (into.shape, filters.shape, back.shape) == ((2, 8, 1, 1, 1), (2, 2, 3, 3), (8, 9, 1, 1, 1))
    norm = 1 / np.sqrt(1 + 1e-5)
    reduced = (torch.einsum("rc,bcthw->brthw", into[..., 0, 0, 0], x) * norm).relu()
    correlated = (by_loops(reduced, filters, 1, 1) * norm).relu()
    added = torch.einsum("ck,bkthw->bcthw", back[..., 0, 0, 0], correlated) * norm
    assert (block(x) - (x + added).relu()).abs().max() < TINY
    assert (block.expand(block.correlate(block.reduce(x))) - added).abs().max() < TINY
    assert added.abs().max() > 0.01


def test_the_concat_block_has_two_branches_and_no_shortcut() -> None:
    torch.manual_seed(0)
    block = CorrelationConcat(16, 2, reduction=8, patch=3, dilation=1).double().eval()
    x = waves(1, 16, 2, 3, 4).relu()
    into, filters, carrier = (part.detach() for part in block.parameters() if part.ndim > 1)
    assert (into.shape, filters.shape, carrier.shape) == ((2, 16, 1, 1, 1), (2, 2, 3, 3), (7, 16, 1, 1, 1))
    norm = 1 / np.sqrt(1 + 1e-5)
    reduced = (torch.einsum("rc,bcthw->brthw", into[..., 0, 0, 0], x) * norm).relu()
    correlated = (by_loops(reduced, filters, 1, 1) * norm).relu()
    carried = (torch.einsum("rc,bcthw->brthw", carrier[..., 0, 0, 0], x) * norm).relu()
    assert block(x).shape == x.shape
    assert (block(x) - torch.cat([correlated, carried], 1)).abs().max() < TINY


def test_a_frame_norm_treats_every_channel_of_every_frame_number_by_itself() -> None:
    norm = FrameNorm(3, 4).double()
    x = waves(5, 3, 4, 6, 7) * torch.arange(1, 13).view(3, 4, 1, 1) + torch.arange(12.0).view(3, 4, 1, 1)
    with torch.no_grad():
        norm.norm.bias.copy_(torch.arange(12.0))
    out = norm(x)
    assert (out.mean((0, 3, 4)) - torch.arange(12.0).view(3, 4)).abs().max() < TINY
    assert (out.var((0, 3, 4), correction=0) - 1).abs().max() < 1e-4
    with pytest.raises(SettingError, match="5 frames where a norm for 4"):
        norm(waves(1, 3, 5, 2, 2))


@pytest.mark.parametrize("frame_norm", [True, False])
def test_only_a_norm_over_all_frames_sees_how_strong_one_frames_filters_are(frame_norm: bool) -> None:
    torch.manual_seed(0)
    block, x = CorrelationSum(8, 4, patch=3, dilation=1, reduction=1, frame_norm=frame_norm).double(), waves(6, 8, 4, 9, 9)
    before = block(x)
    with torch.no_grad():
        block.operator.filters[2] *= 3
    change = (block(x) - before).abs().amax((0, 1, 3, 4))
    assert (change < 1e-3).tolist() == [frame_norm] * 4


@pytest.mark.parametrize("kind", [CorrelationSum, CorrelationConcat])
def test_a_block_that_is_off_passes_its_input_on(kind: type[CorrelationBlock]) -> None:
    block, x = kind(64, 2), waves(1, 64, 2, 3, 3).float()
    assert block.neutral(x) is x
    assert block(x).shape == x.shape


@pytest.mark.parametrize(("channels", "carried", "given"), [(256, 158, 98), (512, 316, 196), (1024, 632, 392)])
def test_the_branches_of_the_concat_block_keep_the_channels(channels: int, carried: int, given: int) -> None:
    block = CorrelationConcat(channels, 1)
    assert (block.operator.out_channels, block.carrier[0].out_channels) == (given, carried)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"patch": 4}, "patch is 4"),
        ({"patch": 0}, "patch is 0"),
        ({"dilation": 0}, "dilation is 0"),
        ({"group_size": 3}, "group_size is 3, but 8 channels"),
        ({"group_size": -2}, "group_size is -2"),
        ({"initial": "zeros"}, "initial 'zeros'. Known: kaiming, ones"),
        ({"other_length": "crop"}, "other_length 'crop'. Known: error, interpolate"),
    ],
)
def test_settings_that_cannot_be_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        operator(8, 4, **settings)


def test_a_group_is_never_larger_than_the_channels() -> None:
    assert CorrelationOperator(8, 4, group_size=32).groups == 1
    assert CorrelationOperator(64, 4, group_size=32).groups == 2
    assert CorrelationOperator(64, 4, group_size=None).groups == 1


def test_blocks_that_cannot_be_are_told() -> None:
    with pytest.raises(SettingError, match=r"frames is 0"):
        CorrelationSum(16, 0)
    with pytest.raises(SettingError, match=r"reduction is 17, 1\.\.16"):
        CorrelationSum(16, 4, reduction=17)
    with pytest.raises(SettingError, match=r"frame_norm is True, .* needs other_length='error'"):
        CorrelationSum(16, 4, frame_norm=True, other_length="interpolate")
    with pytest.raises(SettingError, match=r"gives 49 channels, .* fewer than its 49"):
        CorrelationConcat(49, 4)
