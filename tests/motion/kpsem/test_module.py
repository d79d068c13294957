"""KPSEM: worked numbers, regions, gradients of the centre, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vizkit.errors import SettingError
from vizkit.motion.kpsem.module import (
    KPSEM,
    SHARPNESS,
    SOFTNESS_CELLS,
    geometric_centre,
    key_points,
    region_weights,
    shifts,
    side_of,
)
from vizkit.net.count import count_parameters

DOUBLE = torch.float64

# ------------------------------------------------------------------------------------------------ worked numbers

DOTS = (
    {(1, 0): 1.0, (3, 1): 0.6, (0, 3): 0.8, (2, 2): 0.4},
    {(1, 1): 0.95, (2, 0): 0.5, (3, 3): 0.85, (0, 2): 0.3},
)
"""(x, y) -> value of the two frames of a map of 4 x 4 cells."""


def dotted(frames: tuple[dict[tuple[int, int], float], ...], height: int, width: int) -> torch.Tensor:
    """[1, 1, T, H, W], zero but for the dots."""
    clip = torch.zeros(1, 1, len(frames), height, width, dtype=DOUBLE)
    for t, dots in enumerate(frames):
        for (x, y), value in dots.items():
            clip[0, 0, t, y, x] = value
    return clip


def middle(clip: torch.Tensor) -> torch.Tensor:
    """The geometric centre of every frame: [B, T, 2]."""
    return geometric_centre(clip.shape[3], clip.shape[4]).to(clip).expand(clip.shape[0], clip.shape[2], 2)


def test_the_vector_of_four_regions() -> None:
    clip = dotted(DOTS, 4, 4)
    points, value = key_points(clip, middle(clip))
    assert points[0, :, :, 0].tolist() == [[[1, 0], [3, 1], [0, 3], [2, 2]], [[1, 1], [2, 0], [0, 2], [3, 3]]]
    assert value[0, :, :, 0].tolist() == [[1.0, 0.6, 0.8, 0.4], [0.95, 0.5, 0.3, 0.85]]
    shift, match = shifts(points, value)
    expected = [
        [0.92536, 0.00624, 0.00411, 0.0643], [0.04928, 0.79266, 0.06507, 0.09299],
        [0.06365, 0.0142, 0.00617, 0.91598], [0.01514, 0.48242, 0.48242, 0.02003],
    ]  # fmt: skip
    assert torch.allclose(match[0, 0, :, :, 0], torch.tensor(expected, dtype=DOUBLE), atol=1e-5)
    found = [[0.13072, 1.12647], [-1.08642, -0.5416], [2.83999, -0.17607], [-0.95995, -0.95995]]
    assert torch.allclose(shift[0, 0, :, 0], torch.tensor(found, dtype=DOUBLE), atol=1e-5)
    weights = region_weights(clip, middle(clip))
    assert torch.allclose(weights[0, 0, :, 0], torch.tensor([0.269207, 0.242071, 0.242071, 0.246652], dtype=DOUBLE), atol=1e-6)
    weighted = KPSEM(4, 2, 1).regional_shifts(clip, middle(clip))
    found = [[0.03519, 0.303253], [-0.262991, -0.131106], [0.687478, -0.042621], [-0.236774, -0.236774]]
    assert torch.allclose(weighted[0, 0, :, 0], torch.tensor(found, dtype=DOUBLE), atol=1e-4)


def test_regions_go_row_by_row_on_a_map_that_is_no_square() -> None:
    """The centre (2.0, 0.5) of 3 x 6 cells: column 2 still lies in the left regions, row 1 in the lower ones."""
    values = torch.arange(18, dtype=DOUBLE).view(1, 1, 1, 3, 6).expand(1, 2, 2, 3, 6).clone()
    values[:, 1] *= -1
    centre = torch.tensor([2.0, 0.5], dtype=DOUBLE).expand(1, 2, 2)
    points, value = key_points(values, centre)
    assert points[0, 0, :, 0].tolist() == [[2, 0], [5, 0], [2, 2], [5, 2]]
    assert points[0, 1, :, 1].tolist() == [[0, 0], [3, 0], [0, 1], [3, 1]]
    assert value[0, 0, :, 0].tolist() == [2, 5, 14, 17]
    means = torch.tensor([1.0, 4.0, 10.0, 13.0], dtype=DOUBLE)
    assert torch.allclose(region_weights(values, centre)[0, 0, :, 0], means.softmax(0))


def test_regional_weights_are_of_the_mean_of_two_frames() -> None:
    clip = torch.zeros(1, 1, 3, 4, 4, dtype=DOUBLE)
    clip[0, 0, 1, :2, :2], clip[0, 0, 2, 2:, 2:] = 2.0, 6.0
    weights = region_weights(clip, middle(clip))
    assert torch.allclose(weights[0, :, :, 0], torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 3.0]], dtype=DOUBLE).softmax(1))


def test_of_equal_cells_the_first_one_row_by_row_is_the_key_point() -> None:
    clip = dotted(({(2, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}, {}), 6, 6)
    points, value = key_points(clip, middle(clip))
    assert points[0, 0, 0, 0].tolist() == [2, 1]
    assert points[0, 1, :, 0].tolist() == [[0, 0], [3, 0], [0, 3], [3, 3]]  # constant regions
    assert not value[0, 1].any()


def test_nine_regions_have_two_boundaries_on_each_axis() -> None:
    assert geometric_centre(14, 14).tolist() == [[6.5, 6.5]]
    assert geometric_centre(6, 9, 9).tolist() == [[2.5, 1.5], [5.5, 3.5]]
    assert geometric_centre(8, 16, 16).tolist() == [[3.5, 1.5], [7.5, 3.5], [11.5, 5.5]]
    assert geometric_centre(5, 5, 1).shape == (0, 2)
    clip = torch.rand(1, 1, 2, 6, 9, dtype=DOUBLE)
    points, value = key_points(clip, geometric_centre(6, 9, 9).to(DOUBLE).expand(1, 2, 2, 2))
    for number, (row, column) in enumerate((row, column) for row in range(3) for column in range(3)):
        part = clip[0, 0, 1, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        assert value[0, 1, number, 0] == part.max()
        x, y = (int(place) for place in points[0, 1, number, 0])
        assert clip[0, 0, 1, y, x] == part.max()


def test_the_single_key_point_moves_with_its_dot() -> None:
    clip = dotted(({(1, 4): 1.0}, {(3, 3): 0.7}, {(6, 3): 0.9}), 6, 8)
    whole = torch.zeros(1, 3, 0, 2, dtype=DOUBLE)
    shift, match = shifts(*key_points(clip, whole))
    assert shift[0, :, 0, 0].tolist() == [[2, -1], [3, 0]]
    assert (match == 1).all()
    assert (region_weights(clip, whole) == 1).all()


# ------------------------------------------------------------------------------------------------ properties


def test_a_still_clip_does_not_move_where_its_maxima_differ() -> None:
    dots = {(3, 2): 4.0, (10, 3): 3.0, (2, 10): 2.0, (12, 11): 1.0}
    clip = dotted((dots, dots), 14, 14)
    shift, match = shifts(*key_points(clip, middle(clip)))
    assert float(match[0, 0, :, :, 0].diagonal().min()) >= 0.9997
    assert float(shift.abs().max()) <= 0.01
    frame = torch.rand(1, 64, 1, 14, 14, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 2, -1, -1)
    shift, _ = shifts(*key_points(frame, middle(frame)))
    assert 1 < float(shift.norm(dim=-1).mean()) < 4  # maxima of noise are alike: what matches by value alone cannot tell them apart


def test_weights_sum_to_one_and_no_shift_leaves_the_map() -> None:
    clip = torch.randn(2, 3, 4, 7, 9, dtype=DOUBLE)
    module = KPSEM(4, 4, 2)
    centre = torch.rand(2, 4, 2, dtype=DOUBLE) * torch.tensor([8.0, 6.0], dtype=DOUBLE)
    shift, match = module.shifts(*module.key_points(clip, centre))
    assert shift.shape == (2, 3, 4, 3, 2)
    assert match.shape == (2, 3, 4, 4, 3)
    assert torch.allclose(match.sum(3), torch.ones_like(match[:, :, :, 0]))
    assert torch.allclose(region_weights(clip, centre).sum(2), torch.ones(2, 3, 3, dtype=DOUBLE))
    assert (shift.abs() <= torch.tensor([8.0, 6.0], dtype=DOUBLE)).all()


def test_a_clip_moved_with_its_centre_has_moved_key_points_and_the_same_shifts() -> None:
    clip = torch.zeros(1, 5, 3, 14, 14, dtype=DOUBLE)
    clip[..., 3:11, 3:11] = torch.rand(1, 5, 3, 8, 8, dtype=DOUBLE) + 0.5
    centre = middle(clip) - 0.4
    step = torch.tensor([1.0, 2.0], dtype=DOUBLE)
    points, value = key_points(clip, centre)
    moved_points, moved_value = key_points(clip.roll((2, 1), (3, 4)), centre + step)
    assert torch.equal(moved_points, points + step)
    assert torch.equal(moved_value, value)
    assert all(torch.allclose(*pair) for pair in zip(shifts(points, value), shifts(moved_points, moved_value), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_single(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    clip = torch.randn(1, 8, 3, 9, 7).to(dtype)
    module = KPSEM(8, 3, 2, map_cells=5).eval()
    centre = module.centre(clip)
    assert centre.dtype == torch.float32
    points, value = key_points(clip, middle(clip))
    wide, expected = key_points(clip.float(), middle(clip.float()))
    assert torch.equal(points, wide)
    assert torch.equal(value, expected)
    assert torch.equal(region_weights(clip, middle(clip)), region_weights(clip.float(), middle(clip.float())))
    found = module(clip)
    assert found.dtype == dtype
    assert torch.equal(found, module(clip.float()).to(dtype))
    assert bool(module.to(dtype)(clip).isfinite().all())


def test_autocast_reaches_the_layers_only() -> None:
    clip = torch.rand(1, 6, 3, 9, 7)
    expected = (*key_points(clip, middle(clip)), region_weights(clip, middle(clip)))
    with torch.autocast("cpu", torch.bfloat16):
        found = (*key_points(clip, middle(clip)), region_weights(clip, middle(clip)))
        shift, _ = shifts(*found[:2])
        assert KPSEM(6, 3, 2)(clip).dtype == torch.float32
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert torch.equal(shift, shifts(*expected[:2])[0])


# ------------------------------------------------------------------------------------------------ centre


def still(module: KPSEM) -> KPSEM:
    """All weights of the centres zero."""
    with torch.no_grad():
        for parameter in module.centres.parameters():
            parameter.zero_()
    return module


def test_without_bias_the_centre_is_the_geometric_one() -> None:
    clip = torch.randn(2, 4, 3, 6, 9)
    assert torch.allclose(still(KPSEM(4, 3, 2)).centre(clip), torch.tensor([4.0, 2.5]).expand(2, 2, 3, 1, 2))
    nine = still(KPSEM(4, 3, 1, 9)).centre(clip)
    assert torch.allclose(nine, torch.tensor([[2.5, 1.5], [5.5, 3.5]]).expand(2, 1, 3, 2, 2))
    assert KPSEM(4, 3, 2, 1).centre(clip).shape == (2, 2, 3, 0, 2)


def test_the_centre_of_a_frame_is_read_from_the_mean_map_of_that_frame() -> None:
    module = still(KPSEM(4, 3, 2, map_cells=4)).double()
    clip = torch.zeros(1, 4, 3, 8, 8, dtype=DOUBLE)
    clip[0, :2, 1, 2:4, 6:8] = 2.0  # pooled to 4 x 4: cell (x 3, y 1), number 7; mean over four channels 1
    with torch.no_grad():
        module.centres[1][0].weight[:, 7] = torch.tensor([0.5, -1.0])  # type: ignore[index]
        centre = module.centre(clip)[0, :, :, 0]
    bias = torch.tensor([0.5, -1.0], dtype=DOUBLE).tanh() * 3
    assert torch.allclose(centre[0], torch.tensor(3.5, dtype=DOUBLE))
    assert torch.allclose(centre[1], 3.5 + torch.stack([0 * bias, bias, 0 * bias]))


def test_the_centre_of_channel_means_and_a_hidden_layer() -> None:
    module = still(KPSEM(4, 2, 1, centre_input="gap", hidden=3)).double()
    clip = torch.zeros(1, 4, 2, 6, 6, dtype=DOUBLE)
    clip[0, 2, 1, :3] = 4.0
    with torch.no_grad():
        module.centres[0][0].weight[1, 2] = 0.5  # type: ignore[index]
        module.centres[0][2].weight[0, 1] = 2.0  # type: ignore[index]
        centre = module.centre(clip)[0, 0, :, 0]
    assert torch.allclose(centre, torch.tensor([[2.5, 2.5], [2.5 + 2 * torch.tensor(2.0).tanh(), 2.5]], dtype=DOUBLE))


@pytest.mark.parametrize("regions", [4, 9, 16])
def test_no_centre_leaves_a_region_empty(regions: int) -> None:
    torch.manual_seed(1)
    side = side_of(regions)
    clip = torch.randn(2, 4, 3, side, side + 1)
    module = KPSEM(4, 3, 3, regions)
    with torch.no_grad():
        for parameter in module.centres.parameters():
            parameter.normal_(0, 30)
    for centre in module.centre(clip).unbind(1):
        _, value = key_points(clip, centre)
        assert bool(value.isfinite().all())
    far = torch.tensor([1e6, -1e6]).expand(2, 3, side - 1, 2)  # a checkpoint gone wrong
    assert bool(key_points(clip, far)[1].isfinite().all())
    assert bool(region_weights(clip, far).isfinite().all())


def test_a_far_centre_leaves_one_row_and_one_column() -> None:
    clip = dotted(({}, {(5, 3): 1.0}), 4, 6)
    points, _ = key_points(clip, torch.tensor([99.0, 99.0], dtype=DOUBLE).expand(1, 2, 2))
    assert points[0, 0, :, 0].tolist() == [[0, 0], [5, 0], [0, 3], [5, 3]]
    points, _ = key_points(clip, torch.tensor([-9.0, -9.0], dtype=DOUBLE).expand(1, 2, 2))
    assert points[0, 0, :, 0].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_fixed_regions_are_drawn_once_for_each_set_and_frame() -> None:
    torch.manual_seed(0)
    module = KPSEM(4, 3, 5, separation="fixed")
    first, second = (module.centre(torch.randn(1, 4, 3, 10, 12)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first[0, :, :, 0, 0].unique()) == 15
    assert bool((first >= 0.5).all())
    assert bool((first <= torch.tensor([10.5, 8.5])).all())
    assert "fixed_bias" in module.state_dict()
    assert count_parameters(KPSEM(4, 3, 5)) - count_parameters(module) == 5 * 2 * (14 * 14 + 1)


# ------------------------------------------------------------------------------------------------ gradient


def softly(clip: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft maxima's places and soft means of four regions, cell by cell."""
    rows, columns = (torch.arange(side, dtype=clip.dtype) for side in clip.shape[3:])
    right = torch.sigmoid((columns - centre[..., :1]) / SOFTNESS_CELLS)  # [B, T, W]
    lower = torch.sigmoid((rows - centre[..., 1:]) / SOFTNESS_CELLS)
    regions = torch.stack([y[..., None] * x[..., None, :] for y in (1 - lower, lower) for x in (1 - right, right)], 2)  # [B, T, 4, H, W]
    spread = clip.amax((2, 3, 4), keepdim=True) - clip.amin((2, 3, 4), keepdim=True)
    height = (SHARPNESS * (clip - clip.amax((3, 4), keepdim=True)) / spread).exp().transpose(1, 2)[:, :, None]  # [B, T, 1, C, H, W]
    member = regions[:, :, :, None]
    total = (height * member).sum((4, 5))
    places = [(height * member * at).sum((4, 5)) / total for at in (columns, rows[:, None])]
    return torch.stack(places, -1), (member * clip.transpose(1, 2)[:, :, None]).sum((4, 5)) / member.sum((4, 5))


def test_the_straight_through_gradient_is_that_of_softly_split_regions() -> None:
    torch.manual_seed(0)
    clip = torch.rand(2, 3, 2, 5, 7, dtype=DOUBLE)
    centre = (middle(clip) + 0.3 * torch.randn(2, 2, 2, dtype=DOUBLE)).requires_grad_()
    points, _ = key_points(clip, centre, gradient="ste")
    soft_points, soft_means = softly(clip, centre)
    weight = torch.randn_like(points)
    (found,) = torch.autograd.grad((weight * points).sum(), centre)
    (expected,) = torch.autograd.grad((weight * soft_points).sum(), centre, retain_graph=True)
    assert torch.allclose(found, expected)
    hard = region_weights(clip, centry := centre.detach())
    assert torch.equal(region_weights(clip, centre, gradient="ste"), hard)
    weight = torch.randn_like(hard)
    (found,) = torch.autograd.grad((weight * region_weights(clip, centre, gradient="ste")).sum(), centre)
    steps = (soft_means[:, 1:] + soft_means[:, :-1]) / 2
    pulled = hard * (weight - (weight * hard).sum(2, keepdim=True))  # through the softmax of the hard means
    (expected,) = torch.autograd.grad((pulled * steps).sum(), centre)
    assert torch.allclose(found, expected)
    assert torch.equal(key_points(clip, centry)[0], points.detach())


def test_the_centres_learn_with_the_straight_through_gradient_and_not_without() -> None:
    clip = torch.randn(2, 8, 3, 6, 6)
    found = {}
    for gradient in ("ste", "none"):
        torch.manual_seed(0)
        module = KPSEM(8, 3, 2, gradient=gradient)  # type: ignore[arg-type]
        own = clip.clone().requires_grad_()
        vector = module(own)
        vector.square().sum().backward()
        found[gradient] = vector
        assert float(own.grad.norm()) > 0  # type: ignore[union-attr]
        assert all(float(part.weight.grad.norm()) > 0 for part in module.embeddings)  # type: ignore[operator, union-attr]
        for parameter in module.centres.parameters():
            assert (parameter.grad is None) == (gradient == "none")
            assert gradient == "none" or float(parameter.grad.norm()) > 0  # type: ignore[union-attr]
    assert torch.equal(found["ste"], found["none"])


def test_a_constant_clip_has_finite_gradients() -> None:
    clip = torch.ones(1, 8, 3, 6, 6, requires_grad=True)
    module = KPSEM(8, 3, 2)
    module(clip).sum().backward()
    assert bool(clip.grad.isfinite().all())  # type: ignore[union-attr]
    assert all(bool(parameter.grad.isfinite().all()) for parameter in module.parameters())  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------ embedding


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 116_144),
        ({"centre_input": "gap"}, 119_152),
        ({"centre_input": "gap", "hidden": 6}, 131_584),
        ({"regions": 9}, 121_216),
        ({"regions": 16}, 127_056),
        ({"separation": "fixed"}, 116_144 - 3_152),
        ({"regions": 1}, 116_144 - 3_152 - 8 * 6 * 24),
        ({"sets": 4}, 111_264 + 4 * (394 + 216)),
        ({"embedding": 8}, 111_264 + 3_152 + 8 * 9 * 8),
    ],
)
def test_parameters_and_the_length_of_the_vector(options: dict[str, object], parameters: int) -> None:
    with torch.device("meta"):
        module = KPSEM(384, **options)  # type: ignore[arg-type]
        assert module(torch.empty(2, 384, 8, 14, 14)).shape == (2, 672)
    assert count_parameters(module) == parameters
    assert module.out_features == 672


def test_the_embedding_takes_the_regions_one_by_one_x_before_y() -> None:
    module = KPSEM(4, 2, 3, embedding=2).double()
    weighted = torch.randn(1, 1, 4, 4, 2, dtype=DOUBLE)
    with torch.no_grad():
        module.embeddings[1].weight.zero_()  # type: ignore[operator, union-attr]
        module.embeddings[1].weight[0, 2 * 3 + 1] = 1.0  # type: ignore[index, union-attr]
        module.embeddings[1].weight[1, 2 * 1] = 10.0  # type: ignore[index, union-attr]
        module.embeddings[1].bias[:] = torch.tensor([0.0, 5.0])  # type: ignore[index, union-attr]
        found = module.embed(weighted, 1)
    assert found.shape == (1, 4, 1, 2)
    assert torch.allclose(found[0, :, 0, 0], weighted[0, 0, 3, :, 1])
    assert torch.allclose(found[0, :, 0, 1], 10 * weighted[0, 0, 1, :, 0] + 5)


def test_the_reduction_halves_the_embedding_twice_and_keeps_steps_apart() -> None:
    module = KPSEM(8, 3, 1).double().eval()
    first, second = module.reduction[0], module.reduction[3]
    embedding = torch.rand(1, 8, 2, 24, dtype=DOUBLE)
    with torch.no_grad():
        assert [tuple(module.reduction[:count](embedding).shape) for count in (1, 4)] == [(1, 2, 2, 12), (1, 2, 2, 6)]
        for layer in (first, second):
            layer.weight.zero_()  # type: ignore[operator, union-attr]
        first.weight[1, 5, 0] = torch.tensor([1.0, 10.0, 100.0])  # type: ignore[index, union-attr]
        second.weight[:, 0, 0] = torch.tensor([1.0, 10.0, 100.0])  # type: ignore[index, union-attr]
        found = module.reduce(embedding)
    rows = torch.nn.functional.pad(embedding[0, 5], (1, 1))
    for _ in range(2):
        rows = rows[:, 0:-2:2] + 10 * rows[:, 1:-1:2] + 100 * rows[:, 2::2]
        rows = torch.nn.functional.pad(rows / (1 + 1e-5) ** 0.5, (1, 1))
    assert found.shape == (1, 4)
    assert torch.allclose(found[0], torch.cat([torch.zeros(2, dtype=DOUBLE), rows[:, 1:-1].mean(1)]))


def test_the_vector_is_what_the_steps_give_summed_over_sets() -> None:
    torch.manual_seed(0)
    module = KPSEM(8, 3, 3).eval()
    clip = torch.rand(2, 8, 3, 7, 7)
    with torch.no_grad():
        centre = module.centre(clip)
        total = 0
        for number in range(3):
            points, value = module.key_points(clip, centre[:, number])
            shift, _ = module.shifts(points, value)
            total = total + module.embed(module.region_weights(clip, centre[:, number])[..., None] * shift, number)
        assert torch.allclose(module(clip), module.reduce(total))  # type: ignore[arg-type]
        assert module(clip).shape == module.neutral(clip).shape == (2, 4)
        assert not module.neutral(clip).any()
        backwards = module(clip.flip(2))
    assert not torch.allclose(module(clip).detach(), backwards)


# ------------------------------------------------------------------------------------------------ refused

BUILT: list[tuple[dict[str, object], str]] = [
    ({"regions": 5}, r"regions is 5, but a square number"),
    ({"regions": 0}, r"regions is 0, but a square number"),
    ({"channels": 3}, "channels is 3, but whole numbers from 4 up"),
    ({"frames": 1}, "frames is 1, but whole numbers from 2 up"),
    ({"sets": 0}, "sets is 0, but whole numbers from 1 up"),
    ({"embedding": 0}, "embedding is 0"),
    ({"map_cells": 0}, "map_cells is 0"),
    ({"hidden": 0}, "hidden is 0"),
    ({"gradient": "soft"}, "Unknown gradient 'soft'. Known: none, ste"),
    ({"separation": "equal"}, "Unknown separation 'equal'. Known: adaptive, fixed"),
    ({"centre_input": "mean"}, "Unknown centre_input 'mean'. Known: gap, map"),
]


@pytest.mark.parametrize(("options", "words"), BUILT)
def test_a_module_that_cannot_be_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        KPSEM(**{"channels": 8, **options})  # type: ignore[arg-type]


CALLED: list[tuple[Callable[[], object], str]] = [
    (lambda: KPSEM(8, 4)(torch.zeros(1, 8, 1, 6, 6)), "x has 1 frame, but key points shift between at least 2"),
    (lambda: KPSEM(8, 4)(torch.zeros(1, 8, 6, 6, 6)), "The features have 6 steps in time where key point shifts of 4 are embedded"),
    (lambda: KPSEM(8, 4)(torch.zeros(1, 8, 4, 1, 6)), "The map has 1 x 6 cells, but 4 regions need at least 2 x 2"),
    (lambda: KPSEM(8, 4, 8, 9)(torch.zeros(1, 8, 4, 6, 2)), "The map has 6 x 2 cells, but 9 regions need at least 3 x 3"),
    (lambda: KPSEM(8, 4)(torch.zeros(1, 6, 4, 6, 6)), r"x has shape \(1, 6, 4, 6, 6\), but \[B, 8, T, H, W\]"),
    (lambda: KPSEM(8, 4)(torch.zeros(8, 4, 6, 6)), r"x has shape \(8, 4, 6, 6\)"),
    (lambda: key_points(torch.zeros(1, 8, 2, 6, 6), torch.zeros(1, 3, 2)), r"centre_xy \(1, 3, 2\), but"),
    (lambda: key_points(torch.zeros(1, 8, 1, 6, 6), torch.zeros(1, 1, 2)), "x has 1 frame"),
    (lambda: region_weights(torch.zeros(1, 8, 2, 1, 6), torch.zeros(1, 2, 2)), "The map has 1 x 6 cells"),
    (lambda: geometric_centre(6, 6, 8), "regions is 8"),
]


@pytest.mark.parametrize(("call", "words"), CALLED)
def test_a_clip_that_does_not_fit_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        call()
