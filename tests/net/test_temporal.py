"""The temporal convolutions against sums written out, known motion in time, and costs against a formula."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from vizkit.catalog import architecture
from vizkit.checkpoint import load_network
from vizkit.errors import SettingError
from vizkit.motion.cpnet.network import build_cpnet
from vizkit.motion.cpnet.score import score
from vizkit.net.backbones.build import build_frame_resnet
from vizkit.net.count import count_network
from vizkit.net.temporal import TemporalBlock, build_temporal, solve_hidden

SMALL = {"width": 8, "stem": "5x5/2", "dropout": 0.0}


def plain_norms(block: TemporalBlock) -> TemporalBlock:
    """In evaluation, both norms with nothing to take out."""
    for norm in (block.norm, block.last_norm):
        norm.eps = 0.0
        nn.init.ones_(norm.weight)
    return block.double().eval()


def test_a_block_is_the_sum_over_three_frames_of_every_hidden_channel() -> None:
    torch.manual_seed(0)
    block = plain_norms(TemporalBlock(2, 3))
    clip = torch.randn(2, 2, 4, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        found = block(clip)
        into, taps, back = block.expand.weight[:, :, 0, 0], block.temporal.weight[:, 0, :, 0], block.reduce.weight[:, :, 0, 0]
        expected = torch.zeros_like(clip)
        for t in range(4):
            hidden = sum(
                taps[:, step + 1, None, None] * torch.einsum("hc,bcyx->bhyx", into, clip[:, :, t + step])
                for step in (-1, 0, 1)
                if 0 <= t + step < 4
            )
            expected[:, :, t] = torch.einsum("ch,bhyx->bcyx", back, hidden.relu())
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_tap_behind_the_middle_looks_at_the_next_frame() -> None:
    """One hidden channel that takes the next frame: a light at frame 2, row 1, column 0 is seen at frame 1 of the same cell only."""
    block = plain_norms(TemporalBlock(1, 1))
    with torch.no_grad():
        for weight in (block.expand.weight, block.reduce.weight):
            weight.fill_(1.0)
        block.temporal.weight.copy_(torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 3, 1))
        clip = torch.zeros(1, 1, 4, 2, 3, dtype=torch.float64)
        clip[0, 0, 2, 1, 0] = 5.0
        seen = block(clip)
    assert seen.nonzero().tolist() == [[0, 0, 1, 1, 0]]
    assert float(seen[0, 0, 1, 1, 0]) == 5.0


@pytest.mark.parametrize("batch", [1, 2])
def test_channels_last_frames_give_the_same_sums_and_gradients(batch: int) -> None:
    torch.manual_seed(0)
    block = TemporalBlock(8, 12, last_gain=1.0)
    frames = torch.randn(batch * 4, 8, 3, 5)
    gradients = []
    for given in (frames.clone(), frames.to(memory_format=torch.channels_last)):
        block.zero_grad()
        given.requires_grad_()
        block(given.unflatten(0, (-1, 4)).transpose(1, 2)).square().sum().backward()
        gradients.append([given.grad, *(parameter.grad.clone() for parameter in block.parameters())])
    for first, second in zip(*gradients, strict=True):
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-3)


def test_a_fresh_network_is_the_frame_wise_one_and_blocks_can_be_switched_off() -> None:
    torch.manual_seed(0)
    network = build_temporal(5, hidden=6, **SMALL).eval()
    plain = build_frame_resnet(5, **SMALL).eval()
    assert not plain.load_state_dict(network.state_dict(), strict=False).missing_keys
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(clip), plain(clip))
    started = load_network("temporal-18", num_classes=5, hidden=6, last_gain=1.0, **SMALL)
    off = [block.name for block in started.blocks]
    assert off == ["res3.0", "res3.1", "res4.0", "res4.1"]
    with torch.no_grad():
        on = started.module(clip)
        assert not torch.allclose(on, started.module(clip.flip(2)), atol=1e-4)
        still = started.tree(off)
        assert torch.allclose(still(clip), still(clip.flip(2)), atol=1e-5)


def test_the_cost_is_that_of_a_formula() -> None:
    """Hidden channels x (2 x channels + 3 taps), in every cell of every frame of its stage."""
    given = {**SMALL, "blocks": ["res2.1", "res4.0"]}
    plain, with_time = (
        count_network(net, 4, 32).gmacs * 1e9 for net in (build_frame_resnet(5, **SMALL), build_temporal(5, hidden=7, **given))
    )
    assert with_time - plain == pytest.approx(7 * 4 * ((2 * 8 + 3) * 16 * 16 + (2 * 32 + 3) * 4 * 4))


def test_the_hidden_width_gives_the_cost_of_a_network_with_modules() -> None:
    blocks = ["res3.1", "res4.0"]
    module = build_cpnet(5, blocks=blocks, **SMALL)
    found = solve_hidden(module, lambda hidden: build_temporal(5, hidden=hidden, blocks=blocks, **SMALL), frames=4, size_px=64)
    costs = [count_network(build_temporal(5, hidden=found.hidden + step, blocks=blocks, **SMALL), 4, 64).gmacs for step in (-1, 0, 1)]
    assert found.wanted_gmacs == count_network(module, 4, 64).gmacs
    assert found.gmacs == costs[1]
    assert min(costs, key=lambda cost: abs(cost - found.wanted_gmacs)) == costs[1]
    assert found.rest_percent == pytest.approx(100 * (costs[1] / found.wanted_gmacs - 1))
    assert abs(found.rest_percent) < 1


def test_a_network_that_costs_less_than_one_hidden_channel_is_refused() -> None:
    build = partial(build_temporal, 5, **SMALL)
    with pytest.raises(SettingError, match=r"hidden = 1 costs .*fewer or deeper blocks"):
        solve_hidden(build_frame_resnet(5, **SMALL), lambda hidden: build(hidden=hidden), frames=4, size_px=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": 0}, "hidden is 0"), ({"blocks": ["res3"]}, "'res3' is not of the form 'res3.0'"), ({"blocks": ["res3.7"]}, r"res3.*7")],
)
def test_what_cannot_be_built_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        architecture("temporal-18").build(5, **SMALL, **options)


def test_it_has_no_proposals_to_measure() -> None:
    assert score(load_network("temporal-18", num_classes=5, hidden=2, **SMALL), clips=1) == {}
