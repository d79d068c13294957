"""PWTP's scores: pictures that are right by construction score so, and wrong ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.contracts import Sampling
from vizkit.motion.pwtp import score as scoring
from vizkit.motion.pwtp.analysis import DynamicAppearance, Params, analyze
from vizkit.motion.pwtp.network import build_pwtp
from vizkit.motion.pwtp.score import judge, score
from vizkit.net.architecture import IMAGENET_MEAN, IMAGENET_STD
from vizkit.net.network import Network
from vizkit.net.probe import probe
from vizkit.world import WorldClip, clip

SIDE, FRAMES = 64, 4


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module = build_pwtp(5, depth=18, width=4, stem="5x5/2", frames=FRAMES, initial="dct").eval()
    sampling = Sampling(segments=2, frames_per_segment=FRAMES, frames=2 * FRAMES, short_side_px=SIDE, crop_px=SIDE)
    labels = tuple(f"class {number}" for number in range(5))
    return Network(
        "small", "pwtp-tsm-50", module, module.stages, module.blocks, labels, sampling, IMAGENET_MEAN, IMAGENET_STD, "random", {}
    )


@pytest.fixture(scope="module")
def world() -> WorldClip:
    return clip(3, side_px=SIDE, frames=2 * FRAMES)


@pytest.fixture(scope="module")
def record(network: Network, world: WorldClip) -> DynamicAppearance:
    return analyze(probe(network, world.clip), Params(tvnet=False))


def painted(record: DynamicAppearance, world: WorldClip, **changes: Any) -> dict[str, float]:
    return judge(replace(record, **changes), world.truth)


# ------------------------------------------------------------------------------------------------ one picture


def test_a_picture_of_what_moves_is_right_and_its_inverse_wrong(record: DynamicAppearance, world: WorldClip) -> None:
    moving = np.stack([world.truth.moving[:4].any(0), world.truth.moving[4:].any(0)])
    bright = np.repeat(moving[..., None], 3, -1).astype(np.float32)
    right = painted(record, world, dynamic=-bright, dynamic_image=1 - bright)  # the sign says nothing
    assert right["precision"] == 1
    assert right["dynamic_image_precision"] < right["moving_share"] == pytest.approx(float(moving.mean()))
    swapped = painted(record, world, dynamic=bright[::-1].copy())
    assert swapped["precision"] < 1  # each segment has its own truth
    turned = painted(record, world, dynamic=bright.swapaxes(1, 2).copy())
    assert turned["precision"] < 0.9


def test_differences_are_averaged_over_time_and_channels(record: DynamicAppearance, world: WorldClip) -> None:
    moving = np.stack([world.truth.moving[:4].any(0), world.truth.moving[4:].any(0)])
    flickering = np.zeros_like(record.rgb_difference)
    flickering[:, 0, ..., 1], flickering[:, 2, ..., 2] = moving, -1.0 * moving  # a signed sum would vanish
    assert painted(record, world, rgb_difference=flickering)["rgb_difference_precision"] == 1


def test_the_true_flow_has_no_error_and_finds_what_moves(record: DynamicAppearance, world: WorldClip) -> None:
    truth = world.truth
    exact = np.stack([truth.flow_px[:3], truth.flow_px[4:7]])  # 3 to 4 lies between the segments
    found = painted(record, world, flow_px=exact, flow_tvnet_px=exact + np.float32([3, 4]))
    assert found["tvl1_epe_px"] == pytest.approx(0, abs=1e-6)
    assert found["tvnet_epe_px"] == pytest.approx(5, rel=1e-5)
    assert found["tvnet_moving_epe_px"] == pytest.approx(5, rel=1e-5)
    assert painted(record, world, flow_px=exact[..., ::-1].copy())["tvl1_moving_epe_px"] > 0.5  # x and y swapped
    assert painted(record, world, flow_px=-exact)["tvl1_epe_px"] > 0.1
    assert found["tvl1_precision"] > 3 * found["moving_share"]


def test_hidden_pixels_are_left_out_of_the_error(record: DynamicAppearance, world: WorldClip) -> None:
    truth = world.truth
    exact = np.stack([truth.flow_px[:3], truth.flow_px[4:7]])
    hidden = np.stack([truth.occluded[:3], truth.occluded[4:7]])
    assert hidden.any()
    wrong = np.where(hidden[..., None], 100, exact).astype(np.float32)
    assert painted(record, world, flow_px=wrong)["tvl1_epe_px"] == pytest.approx(0, abs=1e-6)


def test_flows_that_were_not_asked_for_are_not_judged(record: DynamicAppearance, world: WorldClip) -> None:
    found = painted(record, world, flow_px=None, flow_tvnet_px=None)
    assert set(found) == {"precision", "dynamic_image_precision", "rgb_difference_precision", "moving_share"}


def test_where_nothing_moves_only_errors_are_judged(network: Network) -> None:
    still = clip(0, label="nothing moves", side_px=SIDE, frames=2 * FRAMES)
    found = judge(analyze(probe(network, still.clip), Params(tvnet=False)), still.truth)
    assert set(found) == {"moving_share", "tvl1_epe_px"}
    assert found["moving_share"] == 0


# ------------------------------------------------------------------------------------------------ many clips


@pytest.fixture(scope="module")
def scored(network: Network) -> dict[str, Any]:
    patch = pytest.MonkeyPatch()
    for name, value in {"SIDE_PX": SIDE, "FLOW_CLIPS": 2, "FIT_CLIPS": 1, "FIT_STEPS": 10}.items():
        patch.setattr(scoring, name, value)
    found = score(network, clips=3, seed=0)
    patch.undo()
    return found


def test_every_measure_has_its_control_with_and_without_shake(scored: dict[str, Any]) -> None:
    plain = {name for name in scored if "_shaken" not in name}
    assert {name.replace("_shaken", "") for name in scored if "_shaken" in name} == plain
    flows = {f"{flow}_{part}" for flow in ("tvl1", "tvnet", "farneback", "unmoved") for part in ("epe_px", "moving_epe_px")}
    pictures = ("", "start_", "fit_", "dynamic_image_", "rgb_difference_", "tvl1_")
    others = {f"{name}precision" for name in pictures} | {"moving_share", "enopr", "temporal_mean_enopr"}
    assert plain == {f"pwtp.{name}" for name in flows | others}
    assert (scored["pwtp.precision"].n, scored["pwtp.tvl1_precision"].n, scored["pwtp.fit_precision"].n) == (3, 2, 1)
    assert "pwtp.tvl1_epe_shaken_px" in scored


def test_numbers_are_what_they_say(scored: dict[str, Any]) -> None:
    value = {name.removeprefix("pwtp."): entry.value for name, entry in scored.items()}
    for name, found in value.items():
        assert found >= 0, name
        assert name.endswith("_px") or "enopr" in name or found <= 1, name
    assert value["unmoved_epe_shaken_px"] > value["unmoved_epe_px"] + 0.5
    assert value["tvl1_epe_shaken_px"] < 0.5 * value["unmoved_epe_shaken_px"]
    assert value["farneback_epe_shaken_px"] < value["unmoved_epe_shaken_px"]
    assert value["rgb_difference_precision_shaken"] < value["rgb_difference_precision"]
    assert 0.005 < value["moving_share"] < 0.2


def test_the_same_clips_give_the_same_scores(network: Network, scored: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in {"SIDE_PX": SIDE, "FLOW_CLIPS": 0, "FIT_CLIPS": 0}.items():
        monkeypatch.setattr(scoring, name, number)
    again = score(network, clips=3, seed=0)
    assert all(scored[name] == entry for name, entry in again.items())
    assert score(network, clips=1, seed=1)["pwtp.precision"].value != score(network, clips=1, seed=0)["pwtp.precision"].value


def test_a_network_without_a_projection_has_no_scores() -> None:
    plain = Network("plain", "none", torch.nn.Identity(), (), (), (), Sampling(), IMAGENET_MEAN, IMAGENET_STD, "random", {})
    assert score(plain, clips=1) == {}
