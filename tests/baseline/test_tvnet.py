"""TVNet: untrained it is TV-L1, and it learns."""

from __future__ import annotations

import pytest
import torch

from vizkit.baseline import TVNet, tvl1
from vizkit.baseline.tvnet import _divergence, _forward_difference
from vizkit.errors import SettingError

PLAIN = torch.tensor([-1.0, 1.0], dtype=torch.float64).expand(2, 2, 2)


@pytest.mark.parametrize(
    "schedule",
    [
        {"scales": 1, "warps": 1, "iterations": 12},
        {"scales": 1, "warps": 3, "iterations": 6, "attachment": 0.3, "tightness": 0.2, "time_step": 0.2},
        {"scales": 2, "warps": 2, "iterations": 12, "stretch": False},
    ],
)
def test_untrained_it_is_tvl1(shifted, schedule) -> None:
    pair = shifted(35, 42, (1.0, 0.5), (-0.5, 1.5))
    network = TVNet((42, 35), **schedule).double()
    torch.testing.assert_close(network(*pair), tvl1(*pair, **{"stretch": True, **schedule}), atol=1e-6, rtol=0)


def test_as_published_it_has_one_level_one_warp_and_fifty_steps() -> None:
    network = TVNet((32, 24))
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == {
        "start": (2, 24, 32), "gradient_kernels": (50, 2, 2, 2), "divergence_kernels": (50, 2, 2, 2),
    }  # fmt: skip
    assert TVNet((64, 32), scales=2, warps=3, iterations=8).gradient_kernels.shape == (3 * (8 + 5), 2, 2, 2)
    assert TVNet((64, 32), scales=2).start.shape == (2, 16, 32)


def test_difference_and_divergence_are_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    flow = torch.randn(3, 2, 5, 7, generator=generator, dtype=torch.float64)
    dual = torch.randn(3, 2, 2, 5, 7, generator=generator, dtype=torch.float64)
    dual[:, 0, :, :, -1] = 0  # as every dual variable is, since the slopes are zero there
    dual[:, 1, :, -1] = 0
    total = (_forward_difference(flow, PLAIN) * dual).sum() + (flow * _divergence(dual, PLAIN)).sum()
    assert total.item() == pytest.approx(0, abs=1e-12)


def test_kernels_belong_to_their_axis_and_component() -> None:
    flow = torch.arange(12, dtype=torch.float64).view(1, 1, 3, 4).repeat(1, 2, 1, 1)
    kernels = torch.zeros(2, 2, 2, dtype=torch.float64)
    kernels[0, 1, 1] = 1  # along x, of the flow along y: the right neighbour
    slope = _forward_difference(flow, kernels)[0]
    assert slope[0, 1].tolist() == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]]
    assert not slope[0, 0].any()
    assert not slope[1].any()


def test_loss_is_the_mismatch_and_the_slope(shifted) -> None:
    first, second = shifted(24, 24, (0.0, 0.0))
    network = TVNet((24, 24), iterations=1, attachment=0.5, stretch=False).double()
    assert network.loss(first, first).item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        network.start[0] = torch.arange(24.0) * 0.1  # grows by 0.1 px a column
        network.gradient_kernels.zero_()
        network.divergence_kernels.zero_()
    flat = torch.full_like(first, 0.5)
    assert network.loss(flat, flat + 0.1).item() == pytest.approx(0.5 * 25.5 + 0.1 * 23 / 24, abs=1e-5)


def test_it_learns(shifted, end_point_error) -> None:
    """Gradients are finite and reach everything; the loss falls, and so does the error of a motion too far for one warp."""
    move = (2.0, 1.0)
    pair = shifted(24, 24, move)
    network = TVNet((24, 24), iterations=8).double()
    before, error = network.loss(*pair).item(), end_point_error(network(*pair).detach(), (move,), 4)[0]
    for _ in range(20):
        for value in network.parameters():
            value.grad = None
        network.loss(*pair).backward()
        for name, value in network.named_parameters():
            assert torch.isfinite(value.grad).all(), name
            assert value.grad.any(), name
        with torch.no_grad():
            for value, rate in zip(network.parameters(), (0.1, 0.002, 0.002), strict=True):
                value -= rate * value.grad.sign()
    assert network.loss(*pair).item() < 0.7 * before
    assert end_point_error(network(*pair).detach(), (move,), 4)[0] < 0.5 * error


def test_gradients_are_those_of_finite_differences(shifted) -> None:
    pair = shifted(4, 5, (0.4, 0.3))
    network = TVNet((5, 4), iterations=1, warps=2).double()
    names = list(dict(network.named_parameters()))
    values = [(value + 0.01 * torch.randn_like(value)).detach().requires_grad_() for value in network.parameters()]

    def flow(*changed: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(network, dict(zip(names, changed, strict=True)), pair)

    assert torch.autograd.gradcheck(flow, values, atol=1e-4, rtol=1e-3)


def test_what_stands_still_has_finite_gradients() -> None:
    still = torch.full((1, 3, 12, 12), 0.4)
    network = TVNet((12, 12), iterations=4)
    network.loss(still, still).backward()
    assert all(torch.isfinite(value.grad).all() for value in network.parameters())
    assert not network(still, still).any()


def test_other_sizes_resize_the_start() -> None:
    network = TVNet((16, 16), iterations=1)
    with torch.no_grad():
        network.start.fill_(1.0)
    flow = network(torch.zeros(1, 1, 32, 48), torch.zeros(1, 1, 32, 48))
    torch.testing.assert_close(flow[0, 5, 5], torch.tensor([3.0, 2.0]))


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(SettingError, match=r"size_wh is \(0, 4\)"):
        TVNet((0, 4))
    with pytest.raises(SettingError, match="warps"):
        TVNet(warps=0)
    with pytest.raises(SettingError, match="first has shape"):
        TVNet((8, 8))(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))
