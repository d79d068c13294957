"""The CP module: the spec's vector V3, a naive double loop, and what must not change the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from vizkit.catalog import architecture
from vizkit.motion.cpnet.analysis import find_active
from vizkit.motion.cpnet.module import CPModule, Head, Metric, coordinates
from vizkit.net.ops import nearest_cells

Make = Callable[..., CPModule]


def random_module(channels: int = 6, *, seed: int = 0, dtype: torch.dtype = torch.float64, **settings: Any) -> CPModule:
    """A module in eval mode whose norms are not the identity."""
    torch.manual_seed(seed)
    module = CPModule(channels, **{"neighbors": 3, "widths": (5, 4), "last_gain": 1.0, **settings}).to(dtype).eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.2)
                part.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
                part.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return module


def maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


# ------------------------------------------------------------------------------------------------ vector V3 of cpnet.md section 9


def v3() -> tuple[CPModule, torch.Tensor]:
    module = CPModule(4, neighbors=2, widths=(3, 2), last_gain=1.0).double().eval()
    tensors = [parameter for name, parameter in module.named_parameters() if "norm" not in name]
    with torch.no_grad():
        for order, tensor in enumerate(tensors):
            tensor.copy_((0.3 * torch.sin(0.37 * torch.arange(1, tensor.numel() + 1).double() + order)).view_as(tensor))
    assert [tuple(tensor.shape) for tensor in tensors] == [(3, 11), (3,), (2, 3), (2,), (4, 2), (4,)]
    return module, torch.sin(0.7 * torch.arange(48).double()).view(1, 4, 3, 2, 2)


def test_vector_v3() -> None:
    module, x = v3()
    features = module.points(x)
    found = module.match(features)
    rows = "9,8|10,11|11,10|11,4|3,11|3,8|8,0|8,0|7,0|0,1|1,2|2,3"
    assert found.index[0].tolist() == [[int(cell) for cell in row.split(",")] for row in rows.split("|")]
    assert found.distance_squared[0, 0].tolist() == pytest.approx([0.0007, 1.073033], abs=1e-5)
    embedded = module.embed(features, found.index)
    assert embedded[0, 0].max(0).values.tolist() == pytest.approx([0.066144, 0.0], abs=1e-5)
    out = module(x)
    assert out[0, :, 0, 0, 0].tolist() == pytest.approx([-0.256126, -0.173354, -0.060025, 0.064657], abs=1e-5)
    assert float(out.detach().sum()) == pytest.approx(-5.002414, abs=1e-5)
    assert float(out.detach().abs().sum()) == pytest.approx(6.524982, abs=1e-5)
    assert out[0].detach().abs().sum(0).flatten()[:4].tolist() == pytest.approx([0.554163, 0.549234, 0.565015, 0.551901], abs=1e-5)


def test_vector_v3_active_set_by_live_channels() -> None:
    module, x = v3()
    embedded = module.embed(module.points(x), module.match(x).index)[0].detach()
    active, won, live = find_active(embedded)
    rows = "10,01,10,10,01,10,01,01,10,01,10,01"
    assert active.int().tolist() == [[int(digit) for digit in row] for row in rows.split(",")]
    assert torch.equal(won.sum(1), live.double())
    literal = (embedded == embedded.max(1, keepdim=True).values).any(2)
    assert literal.all()  # equation 2 read literally puts every proposal into the set


# ------------------------------------------------------------------------------------------------ a naive double loop


def affine(part: nn.Module, vector: np.ndarray) -> np.ndarray:
    """A linear layer or a norm in eval mode."""
    values = {name: tensor.detach().numpy() for name, tensor in part.state_dict().items()}
    if isinstance(part, nn.Linear):
        return np.asarray(values["weight"] @ vector + values["bias"])
    return np.asarray((vector - values["running_mean"]) / np.sqrt(values["running_var"] + part.eps) * values["weight"] + values["bias"])


def naive(module: CPModule, clip: np.ndarray) -> np.ndarray:
    """What the paper says, one cell and one proposal after the other: [C, T, H, W] -> [C, T, H, W] (no shrink, semantic)."""
    channels, frames, height, width = clip.shape
    cells = [(t, y, x) for t in range(frames) for y in range(height) for x in range(width)]
    feature = {}
    for cell in cells:
        feature[cell] = clip[(slice(None), *cell)]
        for part in module.reduce or ():
            feature[cell] = affine(part, feature[cell])
    out = np.zeros((channels, frames, height, width))
    for here in cells:
        others = [cell for cell in cells if cell[0] != here[0]]
        others.sort(key=lambda cell: float(((feature[cell] - feature[here]) ** 2).sum()))
        embedded = []
        for there in others[: module.neighbors]:
            step = (np.array(there) - np.array(here)) / np.array([frames, height, width])
            pair = np.concatenate([step, feature[here], feature[there]])
            for number, (layer, norm) in enumerate(zip(module.layers, module.norms, strict=True)):
                pair = affine(norm, affine(layer, pair))
                if module.head == "after_max" or number + 1 < len(module.layers):
                    pair = np.maximum(pair, 0)
            embedded.append(pair)
        strongest = np.max(embedded, axis=0)
        if module.last is not None and module.last_norm is not None:
            strongest = affine(module.last_norm, affine(module.last, strongest))
        out[(slice(None), *here)] = strongest
    return out


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("bottleneck", [None, 3])
def test_the_module_is_the_double_loop(head: Head, bottleneck: int | None) -> None:
    module = random_module(head=head, bottleneck=bottleneck)
    x = maps(2, 6, 3, 3, 2)
    found = module(x).detach()
    for row in range(2):
        assert np.allclose(found[row].numpy(), naive(module, x[row].numpy()), atol=1e-10)
    assert float(found.abs().mean()) > 0.05


def test_one_hidden_layer_and_float32() -> None:
    module = random_module(widths=(4,), dtype=torch.float32)
    x = maps(1, 6, 3, 3, 2, dtype=torch.float32)
    assert np.allclose(module(x)[0].detach().numpy(), naive(module, x[0].numpy()), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 2), (2, 5, 4)])
def test_coordinates_are_index_divided_by_length_in_t_y_x(shape: tuple[int, int, int]) -> None:
    found = coordinates(torch.zeros(1, 1, *shape))
    cells = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), -1)
    assert np.allclose(found.numpy(), cells / np.array(shape))


def test_coordinates_of_vector_v1() -> None:
    assert coordinates(torch.zeros(1, 1, 2, 1, 2)).tolist() == [[0, 0, 0], [0, 0, 0.5], [0.5, 0, 0], [0.5, 0, 0.5]]


# ------------------------------------------------------------------------------------------------ fresh modules


@pytest.mark.parametrize(("name", "twin"), [("cpnet-18", "c2d-18"), ("cpnet-34", "c2d-34")])
def test_a_fresh_cpnet_is_its_backbone_bit_for_bit(name: str, twin: str) -> None:
    torch.manual_seed(0)
    with_modules, without = (architecture(each).build(5, width=8, stem="5x5/2").eval() for each in (name, twin))
    without.load_state_dict({key: value for key, value in with_modules.state_dict().items() if ".motion." not in key})
    clip = torch.randn(1, 3, 4, 48, 48)
    with torch.no_grad():
        assert torch.equal(with_modules(clip), without(clip))


@pytest.mark.parametrize("head", get_args(Head))
def test_the_gradient_reaches_the_last_gain_of_a_fresh_module(head: Head) -> None:
    """A ReLU after the last norm would cut it off for ever."""
    torch.manual_seed(0)
    module = CPModule(6, neighbors=3, widths=(5, 4), head=head)
    x = maps(2, 6, 3, 4, 4, dtype=torch.float32)
    assert not module(x).detach().any()
    (module(x) * maps(2, 6, 3, 4, 4, seed=1, dtype=torch.float32)).sum().backward()
    last = module.last_norm if head == "after_max" else module.norms[-1]
    assert float(last.weight.grad.abs().min()) > 0  # type: ignore[union-attr]


def test_a_fresh_module_before_max_ties_in_every_channel() -> None:
    module = CPModule(6, neighbors=3, widths=(5,), head="before_max").eval()
    features = module.points(maps(1, 6, 3, 3, 3, dtype=torch.float32))
    embedded = module.embed(features, module.match(features).index)
    assert embedded.shape == (1, 27, 3, 6)
    assert torch.equal(embedded, embedded[:, :, :1].expand_as(embedded))
    active, won, live = find_active(embedded[0].detach(), every_channel=True)
    assert active.all()
    assert torch.allclose(won, torch.full_like(won, 2.0))
    assert live.tolist() == [6] * 27


def test_gains_act_on_the_first_layer_only() -> None:
    torch.manual_seed(0)
    plain = CPModule(6, widths=(4, 4))
    torch.manual_seed(0)
    changed = CPModule(6, widths=(4, 4), position_gain=(1.0, 6.0, 5.0), feature_gain=0.1)
    first, other = (module.layers[0].weight.detach() for module in (plain, changed))  # type: ignore[union-attr]
    assert torch.allclose(other[:, :3], first[:, :3] * torch.tensor([1.0, 6.0, 5.0]))
    assert torch.allclose(other[:2, 3:], first[:2, 3:] * 0.1)
    assert torch.equal(other[2:, 3:], first[2:, 3:])
    assert torch.equal(plain.layers[1].weight, changed.layers[1].weight)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ shrinking


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 9)])
def test_shrinking_averages_two_by_two_and_grows_back(height: int, width: int) -> None:
    module = random_module(shrink=2)
    x = maps(2, 6, 3, height, width)
    points = module.points(x)
    even = x[..., : height // 2 * 2, : width // 2 * 2]
    pooled = torch.nn.functional.avg_pool2d(even.flatten(0, 2)[:, None], 2)[:, 0].unflatten(0, x.shape[:3])
    assert torch.allclose(points, pooled)
    assert module(x).shape == x.shape


def test_a_shrunk_module_is_the_plain_one_on_the_small_map_grown_back() -> None:
    module, plain = random_module(shrink=2), random_module(shrink=1)
    plain.load_state_dict(module.state_dict())
    x = maps(2, 6, 3, 7, 9)
    small = plain(module.points(x))
    grown = torch.nn.functional.interpolate(small.transpose(1, 2).flatten(0, 1), size=(7, 9), mode="bilinear", align_corners=False)
    assert torch.allclose(module(x), grown.unflatten(0, (2, 3)).transpose(1, 2))


# ------------------------------------------------------------------------------------------------ metrics


def pairwise(features: torch.Tensor, metric: str, weight: float) -> np.ndarray:
    """Squared distances [N, N] by the formulas of cpnet.md section 7, own frames infinitely far; features [1, c, T, H, W]."""
    channels, frames, height, width = features.shape[1:]
    values = features[0].flatten(1).T.numpy()
    t, y, x = np.unravel_index(np.arange(frames * height * width), (frames, height, width))
    semantic = ((values[:, None] - values) ** 2).sum(-1)
    dt, dy, dx = (((axis[:, None] - axis) / side) ** 2 for axis, side in ((t, frames), (y, height), (x, width)))
    deviation = values.std(ddof=1)
    distance = {
        "semantic": semantic, "temporal": dt, "spatiotemporal": dt + dy + dx,
        "joint": semantic / (channels * deviation**2) + weight * (dy + dx),
    }[metric]  # fmt: skip
    return np.where(t[:, None] == t, np.inf, distance)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_metrics_are_their_formulas(metric: Metric) -> None:
    module = random_module(metric=metric, position_weight=7.0)
    features = maps(1, 6, 4, 4, 4)
    found = module.match(features, neighbors=5)
    distance = pairwise(features, metric, 7.0)
    expected = np.argsort(distance, axis=1, kind="stable")[:, :5]
    assert np.array_equal(found.index[0].numpy(), expected)
    assert np.allclose(found.distance_squared[0].numpy(), np.take_along_axis(distance, expected, 1), atol=1e-12)
    assert torch.equal(module.match(features, neighbors=5, metric=metric).index, found.index)


@pytest.mark.parametrize("metric", ["temporal", "spatiotemporal"])
@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 5, 7), (6, 5, 5), (8, 7, 7)])
def test_ties_of_places_go_to_the_lowest_cell(shape: tuple[int, int, int], metric: Metric) -> None:
    """Thirds and sevenths have no exact binary form, yet places that are equally far are equally far."""
    common = np.lcm.reduce(shape)
    cells = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), -1)
    steps = (cells[:, None] - cells) * (common // np.array(shape))
    distance = (steps[..., :1] ** 2).sum(-1) if metric == "temporal" else (steps**2).sum(-1)
    distance[steps[..., 0] == 0] = np.iinfo(np.int64).max
    expected = np.argsort(distance, axis=1, kind="stable")[:, :8]
    found = random_module().match(maps(1, 6, *shape, dtype=torch.float32), neighbors=8, metric=metric)
    assert (found.index[0].numpy() != expected).sum() == 0
    assert np.allclose(found.distance_squared[0].numpy(), np.take_along_axis(distance, expected, 1) / common**2, atol=1e-6)


def test_joint_distances_do_not_depend_on_the_scale_of_the_features() -> None:
    module = random_module(metric="joint")
    features = maps(2, 6, 3, 4, 5)
    assert torch.allclose(module.match(features).distance_squared, module.match(features * 37 + 5).distance_squared)


def test_each_clip_of_a_batch_has_its_own_scale() -> None:
    module = random_module(metric="joint")
    features = maps(2, 6, 3, 4, 5) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1, 1)
    assert torch.allclose(module.match(features).distance_squared[0], module.match(features[:1]).distance_squared[0])


def test_an_unknown_metric_or_head_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="joint, semantic, spatiotemporal, temporal"):
        CPModule(6, metric="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="after_max.*before_max"):
        CPModule(6, head="middle")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ symmetries


def test_the_order_of_the_proposals_does_not_count() -> None:
    module = random_module()
    features = maps(1, 6, 3, 3, 4)
    index = module.match(features).index
    shuffled = index[..., [2, 0, 1]]
    assert torch.allclose(module.embed(features, index).max(2).values, module.embed(features, shuffled).max(2).values)


def test_permuting_the_cells_of_a_frame_permutes_the_proposals() -> None:
    features = maps(1, 6, 3, 3, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    moved = features.clone()
    moved[:, :, 1] = features[:, :, 1].flatten(2)[..., order].view(1, 6, 3, 4)
    before, after = (nearest_cells(each, 4).index[0] for each in (features, moved))
    old_number = torch.arange(36)
    old_number[12:24] = 12 + order  # cell n of the moved map was cell old_number[n]
    assert torch.equal(old_number[after], before[old_number])


def test_clips_of_a_batch_are_independent() -> None:
    module = random_module(metric="joint", shrink=2)
    x = maps(3, 6, 3, 6, 4)
    assert torch.allclose(module(x)[1], module(x[1:2])[0])


def test_queries_are_rows_of_the_whole_result() -> None:
    module = random_module()
    features = maps(2, 6, 3, 4, 5)
    whole = module.embed(features, module.match(features).index)
    query = torch.tensor([59, 0, 17, 31])
    chosen = module.embed(features, module.match(features, query=query).index, query=query)
    assert torch.allclose(chosen, whole[:, query])


def test_another_k_takes_the_nearest_of_them() -> None:
    module = random_module()
    features = maps(1, 6, 3, 4, 5)
    assert torch.equal(module.match(features, neighbors=2).index, module.match(features).index[..., :2])
    assert module.match(features, neighbors=7).index.shape[2] == 7
    with pytest.raises(ValueError, match="neighbors is 0"):
        module.match(features, neighbors=0)


def test_one_frame_and_too_few_cells_are_refused() -> None:
    for shape in ((1, 6, 1, 4, 4), (1, 6, 2, 1, 2)):
        with pytest.raises(ValueError, match="candidates"):
            random_module()(maps(*shape))


def test_switched_off_it_adds_zeros() -> None:
    x = maps(1, 6, 2, 3, 3)
    assert torch.equal(x + random_module().neutral(x), x)


# ------------------------------------------------------------------------------------------------ precision and gradients


def test_under_autocast_the_same_neighbours_are_chosen() -> None:
    module = random_module(dtype=torch.float32, metric="joint")
    features = maps(1, 6, 4, 6, 6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module.match(features)
        embedded = module.embed(features, inside.index)
    assert torch.equal(inside.index, module.match(features).index)
    assert torch.allclose(embedded.float(), module.embed(features, inside.index), atol=0.05)


def test_positions_do_not_drown_in_half_precision() -> None:
    """A step of 1/28 beside a coordinate of 0.9 has few bits left in bf16; the first layer never computes in it."""
    module = random_module(channels=2, dtype=torch.float32, widths=(3,), metric="joint")
    features = torch.zeros(1, 2, 2, 28, 28)
    features[:, 0] = torch.linspace(0, 1, 28)
    index = module.match(features).index
    with torch.autocast("cpu", torch.bfloat16):
        inside = module.embed(features.bfloat16(), index)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, module.embed(features.bfloat16().float(), index))


@pytest.mark.parametrize("head", get_args(Head))
def test_gradients_are_those_of_the_function(head: Head) -> None:
    module = random_module(channels=3, widths=(4,), neighbors=2, head=head, bottleneck=2)
    x = maps(1, 3, 2, 2, 2, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,), eps=1e-7, atol=1e-5)


def test_gradients_reach_queries_and_proposals_alike() -> None:
    module = random_module()
    x = maps(1, 6, 2, 2, 2).requires_grad_()
    features = module.points(x)
    index = module.match(features, query=torch.tensor([0])).index
    module.embed(features, index, query=torch.tensor([0])).sum().backward()
    touched = x.grad[0].abs().sum(0).flatten() > 0  # type: ignore[index]
    assert set(torch.nonzero(touched)[:, 0].tolist()) == {0, *index[0, 0].tolist()}
