"""The correlation volume and the DCF block: worked numbers, a loop, and what must not change the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vizkit.errors import SettingError
from vizkit.motion.dcf.module import DCFBlock, correlation_volume, frame_offsets, pool_volume

Step = Callable[[torch.Tensor], torch.Tensor]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def block(channels: int = 8, *, seed: int = 0, **settings: Any) -> DCFBlock:
    """A block in eval mode, float64, whose norm is not the identity."""
    torch.manual_seed(seed)
    made = DCFBlock(channels, **{"reduced": 4, "patch": 3, "temporal_range": 1, "residual_init": "scratch", **settings}).double().eval()
    with torch.no_grad():
        made.norm.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
        made.norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
        made.norm.bias.normal_(0, 0.2)
    return made


# ------------------------------------------------------------------------------------------------ the volume


def test_offsets_go_from_the_earliest_to_the_latest() -> None:
    assert frame_offsets(1) == (-1, 1)
    assert frame_offsets(3) == (-3, -2, -1, 1, 2, 3)


def test_one_pair_of_points_gives_one_correlation() -> None:
    """2 x 3 / sqrt(3) at the channel of the displacement (dy 2, dx -1), and its mirror seen from the other frame."""
    x = torch.zeros(1, 3, 2, 9, 9)
    x[0, 1, 0, 4, 4], x[0, 1, 1, 6, 3] = 2.0, 3.0
    volume = correlation_volume(x, patch=5, temporal_range=1)[0].unflatten(0, (2, 25))
    assert volume[1, 21, 0, 4, 4].item() == pytest.approx(3.4641016)
    assert volume[0, 3, 1, 6, 3].item() == pytest.approx(3.4641016)
    between = volume.clone()
    between[1, 21, 0, 4, 4] = between[0, 3, 1, 6, 3] = 0
    nonzero = between.nonzero().tolist()  # what is left are end frames compared with themselves
    assert nonzero == [[0, 12, 0, 4, 4], [1, 12, 1, 6, 3]]


def test_a_ramp_whose_volume_was_worked_out_by_hand() -> None:
    x = (torch.arange(1, 55).double() / 10).view(1, 2, 3, 3, 3)
    volume = correlation_volume(x, patch=3, temporal_range=2)[0]
    assert volume.shape == (36, 3, 3, 3)
    centre = volume[:, 1, 1, 1].view(4, 9)
    only_middle = [0.0] * 4 + [1.0] + [0.0] * 4
    assert centre[0].tolist() == pytest.approx([9.7722 * part for part in only_middle], abs=1e-4)
    backward = [8.2166, 8.6055, 8.9944, 9.3833, 9.7722, 10.1611, 10.55, 10.9389, 11.3278]
    assert centre[1].tolist() == pytest.approx(backward, abs=1e-4)
    forward = [15.2169, 15.6058, 15.9948, 16.3837, 16.7726, 17.1615, 17.5504, 17.9393, 18.3282]
    assert centre[2].tolist() == pytest.approx(forward, abs=1e-4)
    assert centre[3].tolist() == pytest.approx([16.7726 * part for part in only_middle], abs=1e-4)
    sums = volume.sum((1, 2, 3)).tolist()
    assert sums[:5] == pytest.approx([27.1105, 83.4527, 28.3833, 87.4408, 266.3954], abs=1e-4)
    assert sums[-1] == pytest.approx(48.1115, abs=1e-4)


def test_constant_velocity_stays_on_one_channel() -> None:
    """One cell down and two right per frame: dilation grows with the offset, so the channel does not change."""
    x = torch.zeros(1, 2, 5, 21, 21)
    for t in range(5):
        x[0, 0, t, 6 + t, 5 + 2 * t] = 1
    middle = correlation_volume(x, patch=5, temporal_range=2)[0, :, 2, 8, 9].view(4, 25)
    assert middle.argmax(1).tolist() == [5, 5, 19, 19]
    assert middle.amax(1).tolist() == pytest.approx([2**-0.5] * 4)
    assert (middle != 0).sum() == 4


@pytest.mark.parametrize(("frames", "temporal_range", "patch"), [(5, 2, 3), (4, 1, 5), (2, 3, 3), (1, 2, 3)])
def test_every_block_is_the_plain_loop(frames: int, temporal_range: int, patch: int) -> None:
    """Zero outside the image, the end frame repeated outside the clip."""
    x = noise(1, 3, frames, 5, 7)
    volume = correlation_volume(x, patch=patch, temporal_range=temporal_range)[0]
    reach = patch // 2
    expected = torch.zeros_like(volume)
    for number, offset in enumerate(frame_offsets(temporal_range)):
        for t in range(frames):
            other = min(max(t + offset, 0), frames - 1)
            for iy in range(patch):
                for ix in range(patch):
                    dy, dx = (iy - reach) * abs(offset), (ix - reach) * abs(offset)
                    for row in range(5):
                        for column in range(7):
                            if 0 <= row + dy < 5 and 0 <= column + dx < 7:
                                product = (x[0, :, t, row, column] * x[0, :, other, row + dy, column + dx]).sum() / 3**0.5
                                expected[number * patch**2 + iy * patch + ix, t, row, column] = product
    assert torch.allclose(volume, expected, atol=1e-12)


def test_reversing_time_swaps_the_blocks() -> None:
    x = noise(2, 4, 5, 6, 7, dtype=torch.float32)
    volume = correlation_volume(x, patch=3, temporal_range=2).unflatten(1, (4, 9))
    reversed_volume = correlation_volume(x.flip(2), patch=3, temporal_range=2).unflatten(1, (4, 9))
    assert torch.equal(reversed_volume, volume.flip(1).flip(3))


def test_half_precision_is_summed_in_full() -> None:
    """The sum of 4,096 products of about 1 is exact but for the last rounding; summed in bfloat16 it would stop at 256."""
    x = torch.ones(1, 4096, 2, 3, 3, dtype=torch.bfloat16)
    volume = correlation_volume(x, patch=3, temporal_range=1)
    assert volume.dtype == torch.bfloat16
    assert volume[0, 4, 0, 1, 1].item() == 64.0


def test_gradients_are_those_of_the_volume() -> None:
    x = noise(1, 2, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: correlation_volume(x, patch=3, temporal_range=2), (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("settings", "says"), [({"patch": 4}, "patch is 4"), ({"temporal_range": 0}, "temporal_range is 0"), ({"patch": 0}, "patch is 0")]
)
def test_a_volume_that_cannot_be_is_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        correlation_volume(noise(1, 2, 3, 4, 4), **settings)


def test_other_axes_are_refused() -> None:
    with pytest.raises(SettingError, match=r"x has shape \(2, 3, 4, 4\).*B, C, T, H, W"):
        correlation_volume(noise(2, 3, 4, 4))


# ------------------------------------------------------------------------------------------------ pooling


@pytest.mark.parametrize("side", [40, 46, 23, 25, 13, 7, 1])
def test_pooling_gives_the_size_of_a_strided_stage(side: int) -> None:
    stage = nn.Conv2d(1, 1, 3, 2, 1)(torch.zeros(1, 1, side, side))
    assert pool_volume(torch.zeros(1, 2, 3, side, side)).shape == (1, 2, 3, *stage.shape[2:])


def test_pooling_takes_the_mean_of_what_is_there() -> None:
    volume = torch.arange(9.0).view(1, 1, 1, 3, 3)
    assert pool_volume(volume)[0, 0, 0].tolist() == [[2.0, 3.5], [6.5, 8.0]]
    even = noise(1, 2, 3, 8, 12)
    assert torch.allclose(pool_volume(pool_volume(even)), F.avg_pool3d(even, (1, 4, 4)), atol=1e-12)


# ------------------------------------------------------------------------------------------------ the block


def naive(made: DCFBlock, features: torch.Tensor, carried: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Algorithm 1 with einsum and explicit norms."""
    reduced = torch.einsum("dc,bcthw->bdthw", made.conv1.weight.flatten(1), features)
    own = correlation_volume(reduced, patch=made.patch, temporal_range=made.temporal_range)
    joined = own if carried is None else torch.cat([own, carried], 1)
    change = torch.einsum("cn,bnthw->bcthw", made.conv2.weight.flatten(1), joined)
    of_channel = (None, slice(None), None, None, None)
    norm = made.norm
    scaled = (change - norm.running_mean[of_channel]) / (norm.running_var[of_channel] + norm.eps).sqrt()  # type: ignore[index, operator]
    return features + (scaled * norm.weight[of_channel] + norm.bias[of_channel]).clamp_min(0), joined


@pytest.mark.parametrize("carried_channels", [0, 5])
def test_the_block_is_algorithm_1(carried_channels: int) -> None:
    made = block(carried_channels=carried_channels)
    features, carried = noise(2, 8, 3, 6, 5), noise(2, 5, 3, 6, 5, seed=1) if carried_channels else None
    out, onward = made(features, carried)
    expected, joined = naive(made, features, carried)
    assert torch.allclose(out, expected, atol=1e-12)
    assert torch.allclose(onward, pool_volume(joined), atol=1e-12)
    assert onward.shape == (2, 18 + carried_channels, 3, 3, 3)
    assert made.joined_channels == 18 + carried_channels


def test_layers_have_no_bias_and_come_in_the_order_of_the_algorithm() -> None:
    shapes = [(name, tuple(parameter.shape)) for name, parameter in block(carried_channels=5).named_parameters()]
    assert shapes == [
        ("conv1.weight", (4, 8, 1, 1, 1)), ("conv2.weight", (8, 23, 1, 1, 1)), ("norm.weight", (8,)), ("norm.bias", (8,)),
    ]  # fmt: skip


def test_the_first_layer_keeps_dot_products() -> None:
    weight = block(16).conv1.weight.flatten(1)
    assert torch.allclose(weight @ weight.T, torch.eye(4, dtype=torch.float64), atol=1e-6)


def test_a_volume_from_further_up_is_halved_once_per_skipped_stage() -> None:
    made = block(carried_channels=5)
    features, far = noise(1, 8, 2, 3, 5), noise(1, 5, 2, 11, 17, seed=1)
    near = pool_volume(pool_volume(far))
    assert near.shape[3:] == (3, 5)
    assert torch.equal(made(features, far)[0], made(features, near)[0])


@pytest.mark.parametrize(
    "carried",
    [None, noise(1, 4, 2, 3, 5), noise(1, 5, 3, 3, 5), noise(1, 5, 2, 2, 5), noise(1, 5, 2, 9, 10), noise(2, 5, 2, 3, 5)],
    ids=["none", "channels", "frames", "smaller", "another shape", "batch"],
)
def test_a_carried_volume_that_does_not_fit_is_refused(carried: torch.Tensor | None) -> None:
    with pytest.raises(SettingError, match="carried has .* but .*(accepted|takes 5)"):
        block(carried_channels=5)(noise(1, 8, 2, 3, 5), carried)


def test_a_first_block_takes_no_volume() -> None:
    with pytest.raises(SettingError, match="carried has 5 channels, but this block takes 0"):
        block()(noise(1, 8, 2, 3, 5), noise(1, 5, 2, 3, 5))


def test_without_a_pyramid_nothing_is_carried() -> None:
    made = block(pyramid=False)
    out, onward = made(noise(1, 8, 2, 3, 5))
    assert onward is None
    assert made.joined_channels == 0
    assert torch.equal(out, block()(noise(1, 8, 2, 3, 5))[0])


@pytest.mark.parametrize("carried_channels", [0, 5])
def test_switched_off_it_leaves_the_features_and_carries_its_volume_on(carried_channels: int) -> None:
    made = block(carried_channels=carried_channels)
    features, carried = noise(1, 8, 2, 4, 4), noise(1, 5, 2, 8, 8, seed=1) if carried_channels else None
    out, onward = made.neutral(features, carried)
    assert out is features
    assert torch.equal(onward, made(features, carried)[1])


# ------------------------------------------------------------------------------------------------ how it starts


def gradients(made: DCFBlock, features: torch.Tensor) -> dict[str, float]:
    made.train()
    (made(features)[0] * noise(*features.shape, seed=7)).sum().backward()
    return {name: float(parameter.grad.norm()) for name, parameter in made.named_parameters()}  # type: ignore[union-attr]


def fresh(**settings: Any) -> DCFBlock:
    torch.manual_seed(0)
    return DCFBlock(8, reduced=4, patch=3, temporal_range=1, **settings).double()


def test_near_identity_leaves_the_features_almost_and_learns() -> None:
    features = noise(2, 8, 3, 6, 6).clamp_min(0)
    made = fresh(residual_init="near_identity")
    change = (made.train()(features)[0] - features).abs().max()
    assert 0 < change < 1e-2
    assert all(norm > 0 for norm in gradients(made, features).values())


def test_frozen_identity_leaves_the_features_to_the_bit_and_cannot_learn() -> None:
    """ReLU has no gradient at 0: the reason why near_identity is not exactly the identity."""
    features = noise(2, 8, 3, 6, 6).clamp_min(0)
    made = fresh(residual_init="frozen_identity")
    assert torch.equal(made.train()(features)[0], features)
    assert set(gradients(made, features).values()) == {0.0}


def test_with_the_relu_outside_the_exact_identity_learns() -> None:
    features = noise(2, 8, 3, 6, 6).clamp_min(0)
    made = fresh(act="outside")
    assert torch.equal(made.train()(features)[0], features)
    assert gradients(made, features)["norm.weight"] > 0


def test_with_the_relu_outside_it_comes_after_the_addition() -> None:
    made, features = block(act="outside"), noise(1, 8, 2, 4, 4)
    change = made.norm(made.conv2(made.correlate(made.reduce(features))))
    assert torch.equal(made(features)[0], (features + change).clamp_min(0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"patch": 4}, "patch is 4.*odd"),
        ({"reduced": 0}, "reduced is 0"),
        ({"temporal_range": 0}, "temporal_range is 0"),
        ({"carried_channels": -1}, "carried_channels is -1"),
        ({"carried_channels": 3, "pyramid": False}, "carried_channels is 3"),
        ({"residual_init": "zero"}, "residual_init 'zero'.*frozen_identity, near_identity, scratch"),
        ({"act": "between"}, "act 'between'.*inside, outside"),
    ],
)
def test_a_block_that_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        DCFBlock(8, **{"reduced": 4, **settings})
