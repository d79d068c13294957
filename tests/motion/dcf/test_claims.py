"""DCF's claims: velocity and channel, cost, directions of the hues, the toy's networks."""

from __future__ import annotations

import pytest
import torch

from vizkit.contracts import ClaimSettings, Measured
from vizkit.motion.dcf import claims
from vizkit.motion.dcf.claims import (
    PLAIN,
    RANGES,
    VelocitySettings,
    build_toy,
    check_colours,
    check_velocity,
    convolution_over_correlation,
    judge_colours,
    judge_cost,
    moving_texture,
    right_channels,
    right_without_dilation,
    velocity_channel,
)
from vizkit.motion.dcf.module import DCFBlock


def silent(_: str) -> None:
    pass


# ------------------------------------------------------------------------------------------------ velocity


def test_channels_of_velocities() -> None:
    assert velocity_channel((2, 1)) == 19
    assert 24 - velocity_channel((2, 1)) == 5
    assert sorted(velocity_channel((x, y)) for y in range(-2, 3) for x in range(-2, 3)) == list(range(25))


def test_textures_move_right_and_down() -> None:
    texture = moving_texture((2, 1), 0)[0]
    assert texture.shape == (64, 5, 16, 16)
    assert torch.equal(texture[:, 3, 1:, 2:], texture[:, 2, :-1, :-2])


@pytest.mark.parametrize("velocity_xy", [(0, 0), (2, 1), (-1, 2)])
def test_a_velocity_has_one_channel_and_its_mirror(velocity_xy: tuple[int, int]) -> None:
    assert right_channels(velocity_xy, 0) == [1.0] * 4


def test_without_a_growing_dilation_the_channel_moves() -> None:
    assert right_without_dilation((0, 0), 0) == 1.0
    assert right_without_dilation((2, 1), 0) < 0.2
    assert right_without_dilation((1, 0), 0) == 0.0


def test_the_velocity_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    found = check_velocity(VelocitySettings(seeds=1), silent)
    assert found.reproduced
    assert [entry.value for entry in found.ours[:4]] == [1.0] * 4
    monkeypatch.setattr(claims, "moving_texture", lambda velocity_xy, seed: moving_texture(velocity_xy[::-1], seed))  # x and y swapped
    found = check_velocity(VelocitySettings(seeds=1), silent)
    assert not found.reproduced
    assert found.reason.startswith("Only ")


# ------------------------------------------------------------------------------------------------ cost


@pytest.mark.parametrize(("reduced", "temporal_range"), [(64, 2), (12, 2), (48, 1)])
def test_factors_are_those_of_appendix_c(reduced: int, temporal_range: int) -> None:
    """C_out * Kt * Kx * Ky over K^2 * 2L."""
    block = DCFBlock(2 * reduced, reduced=reduced, temporal_range=temporal_range)
    assert convolution_over_correlation(block.to("meta")) == pytest.approx(reduced * 27 / (25 * 2 * temporal_range))


def test_the_cost_verdict() -> None:
    def judged(overhead: float, factor: float) -> bool:
        narrow = Measured("dcf-x3d-s, after.res2: factor", 0, 3.24)
        return judge_cost(
            (Measured("dcf-x3d-s, more", 0, overhead),), (Measured("dcf-r2plus1d-50, after.res2: factor", 0, factor), narrow)
        ).reproduced

    assert judged(0.10, 10.0)
    assert not judged(0.101, 10.0)
    assert not judged(0.10, 9.9)


def test_narrow_stages_are_named() -> None:
    factors = (Measured("dcf-r2plus1d-50, after.res2: factor", 0, 17.28), Measured("dcf-x3d-s, after.res2: factor", 0, 3.24))
    assert "in dcf-x3d-s, after.res2 only 3.2 times" in judge_cost((Measured("dcf-x3d-s, more", 0, 0.097),), factors).reason


@pytest.mark.slow
def test_costs_are_met() -> None:
    found = claims.check_cost(ClaimSettings(), silent)
    assert found.reproduced
    assert found.ours[0].value == pytest.approx(0.0966, abs=5e-4)
    assert [round(entry.value, 2) for entry in found.ours[4:]] == [17.28, 34.56, 138.24, 3.24, 6.48, 25.92]


# ------------------------------------------------------------------------------------------------ colours


def colours(angle: float, octant: float, seed: int = 0) -> tuple[Measured, ...]:
    return (
        Measured("res2, mean angular error, degrees", seed, angle),
        Measured("res2, share in the right octant, worst of 8 directions", seed, octant),
        Measured("res3, mean angular error, degrees", seed, 40.0),
        Measured("res2, mean angular error, whole frame moves, degrees", seed, 50.0),
    )


def test_only_res2_decides_about_the_hues() -> None:
    assert judge_colours(colours(5.9, 0.951)).reproduced


@pytest.mark.parametrize(("angle", "octant", "said"), [(6.0, 0.99, "not below 6"), (1.0, 0.95, "not above 95%")])
def test_the_bars_of_the_hues(angle: float, octant: float, said: str) -> None:
    found = judge_colours(colours(angle, octant))
    assert not found.reproduced
    assert said in found.reason


def test_every_seed_has_to_have_right_hues() -> None:
    assert not judge_colours((*colours(1.0, 0.99), *colours(7.0, 0.99, seed=1))).reproduced


@pytest.mark.slow
def test_hues_are_right() -> None:
    found = check_colours(ClaimSettings(), silent)
    assert found.reproduced
    assert {entry.network.partition(",")[0] for entry in found.ours} == {"res2"}


# ------------------------------------------------------------------------------------------------ toy


def test_the_plain_network_is_frame_wise_and_the_others_are_not() -> None:
    clip = torch.randn(1, 3, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in (PLAIN, *RANGES):
        torch.manual_seed(0)
        network = build_toy(name).eval()
        with torch.no_grad():
            assert torch.allclose(network(clip.flip(2)), network(clip), atol=1e-5) == (name == PLAIN)


def test_blocks_carry_the_pyramid() -> None:
    for name, ranges in RANGES.items():
        blocks = [part for part in build_toy(name).modules() if isinstance(part, DCFBlock)]
        assert [block.temporal_range for block in blocks] == list(ranges)
        assert [block.carried_channels for block in blocks] == [0, 50 * ranges[0], 50 * (ranges[0] + ranges[1])]
        assert all((block.norm.weight == 1).all() for block in blocks)
