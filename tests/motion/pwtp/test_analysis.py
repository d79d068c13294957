"""What the record holds, where it comes from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.motion.pwtp.conftest import SIDE_PX, moving_square
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.pwtp import analysis
from vizkit.motion.pwtp.analysis import DynamicAppearance, Params, analyze, fit, segments_of
from vizkit.motion.pwtp.module import project
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe

QUICK = {"tvl1": False, "tvnet": False}
ClipOf = Callable[..., Any]


def quick(run: ProbedRun, **params: Any) -> DynamicAppearance:
    return analyze(run, Params(**{**QUICK, **params}))


# ------------------------------------------------------------------------------------------------ the record


def test_a_network_with_a_projection_shows_its_own(own: ProbedRun) -> None:
    """The picture is made by the code that computed the prediction: dynamic appearance is what went into the backbone."""
    found = quick(own)
    assert found.origin == "own"
    assert found.static.shape == found.residual.shape == (2, 4, SIDE_PX, SIDE_PX, 3)
    after = own.taps["pwtp"].after.permute(1, 2, 3, 0).numpy()  # [S, H, W, 3]
    assert np.allclose(found.dynamic, after, atol=1e-6)
    frames = own.taps["pwtp"].before.permute(1, 2, 3, 0).numpy().reshape(2, 4, SIDE_PX, SIDE_PX, 3)
    assert np.allclose(found.static + found.residual, frames, atol=1e-6)
    assert np.allclose(found.dynamic, found.residual.mean(1), atol=1e-6)
    assert found.frame_number.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (found.grid.stage, found.grid.stride_frames, found.grid.shape) == ("rgb", 4, (2, SIDE_PX, SIDE_PX))
    assert found.provenance.view == "pwtp"


def test_weights_say_how_much_each_frame_adds(own: ProbedRun) -> None:
    found = quick(own)
    frames = found.static + found.residual
    assert np.allclose((found.weight[..., None] * frames).mean(1), found.dynamic, atol=1e-5)
    cosine_squared = 1 - found.weight.mean(1)  # 1' (I - P) 1 / T = 1 - cos^2
    assert np.allclose(found.cosine**2, cosine_squared, atol=1e-5)


def test_enopr_is_the_root_of_the_mean_square_of_the_residual(own: ProbedRun) -> None:
    found = quick(own)
    assert np.allclose(found.enopr, np.sqrt((found.residual**2).mean((1, 2, 3, 4))), atol=1e-6)
    frames = found.static + found.residual
    assert np.allclose(found.enopr_of_mean, np.sqrt(((frames - frames.mean(1, keepdims=True)) ** 2).mean((1, 2, 3, 4))), atol=1e-6)


def test_the_other_pictures_are_of_the_same_frames(run: ProbedRun) -> None:
    found = quick(run, frames=4)
    frames = found.static + found.residual
    weights = np.array([-2.4167, 0.5833, 1.0833, 0.75])
    assert np.allclose(found.dynamic_image, np.einsum("t,sthwc->shwc", weights, frames), atol=1e-3)
    assert np.allclose(found.rgb_difference, np.diff(frames, axis=1), atol=1e-6)
    exact, moved = found.dynamic_image_exact, found.rgb_difference.any((1, 4))
    assert exact.shape == found.dynamic_image.shape
    assert not np.allclose(exact, found.dynamic_image)
    assert np.abs(exact[~moved]).max() < 1e-3 * np.abs(exact).max()


def test_flow_is_to_the_next_frame_and_only_where_it_is_asked_for(run: ProbedRun) -> None:
    found = analyze(run, Params(frames=4))
    for flow in (found.flow_px, found.flow_tvnet_px):
        assert flow is not None
        assert flow.shape == (2, 3, SIDE_PX, SIDE_PX, 2)
    assert found.flow_px is not None
    thing = [found.flow_px[0, t, 13:19, 4 + 2 * t : 8 + 2 * t].mean((0, 1)) for t in range(3)]
    assert np.allclose(thing, [[2, 0]] * 3, atol=0.5), "right is x > 0, and frame t shows the motion to frame t + 1"
    assert "flow_px" in found.arrays()
    without = quick(run, frames=4)
    assert without.flow_px is without.flow_tvnet_px is None
    assert not {"flow_px", "flow_tvnet_px"} & set(without.arrays())


# ------------------------------------------------------------------------------------------------ segments


def test_any_network_s_frames_are_cut_into_segments(run: ProbedRun, plain: Network, clip_of: ClipOf) -> None:
    assert quick(run).static.shape[:2] == (1, 8), "8 frames unless said otherwise"
    found = quick(run, frames=3)
    assert found.static.shape[:2] == (2, 3)
    assert found.frame_number.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert "The last 2 of 8 frames fill no segment of 3 and are left out." in found.notes
    short = probe(plain, clip_of(moving_square(5)))
    assert quick(short).static.shape[:2] == (1, 5), "all of a shorter clip"
    segments = segments_of(run, Params(frames=3))
    assert torch.equal(segments[1, :, 2], run.network.normalized(run.clip.tensor)[0, :, 5])


def test_too_few_frames_are_one_sentence(run: ProbedRun, plain: Network, clip_of: ClipOf) -> None:
    with pytest.raises(SettingError, match="sampled to 8 frames, but segments of 9 are asked for"):
        quick(run, frames=9)
    with pytest.raises(SettingError, match="sampled to 1 frame, but segments of 2"):
        quick(probe(plain, clip_of(moving_square(1))))
    with pytest.raises(SettingError, match="rank is 5, but 1 to 4 is accepted for 4 frames"):
        quick(run, frames=4, rank=5)


def test_a_large_rank_is_noted(run: ProbedRun) -> None:
    assert not any("above half" in note for note in quick(run, frames=4, rank=2).notes)
    assert any("rank is 3, above half of the 4 frames" in note for note in quick(run, frames=4, rank=3).notes)


def test_a_network_s_own_projection_is_for_its_own_segments(own: ProbedRun, projected: Network, clip_of: ClipOf) -> None:
    for name in ("frames", "rank"):
        with pytest.raises(SettingError, match=f"{name} is 2, but the projection of pwtp-x3d-xs is for"):
            quick(own, **{name: 2})
    assert quick(own, frames=4, rank=1).origin == "own"
    other = quick(own, frames=2, rank=2, fit_steps=1)
    assert (other.origin, other.rank, other.static.shape[:2]) == ("fit", 2, (4, 2))
    off = probe(projected, clip_of(moving_square()), without="pwtp")
    with pytest.raises(NotAvailableError, match="Block pwtp is switched off"):
        quick(off)
    assert quick(off, fit_steps=1).origin == "fit"


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_constant_clip_has_no_motion_and_nothing_breaks(plain: Network, clip_of: ClipOf, value: int) -> None:
    found = analyze(probe(plain, clip_of(np.full((4, 16, 16, 3), value, np.uint8))), Params(fit_steps=2))
    assert all(np.isfinite(array).all() for array in found.arrays().values())
    assert not found.rgb_difference.any()
    assert np.abs(found.dynamic_image).max() < 1e-4
    assert found.enopr_of_mean[0] < 1e-5
    assert found.flow_px is not None
    assert np.abs(found.flow_px).max() < 1e-3


# ------------------------------------------------------------------------------------------------ the fit


def test_an_untrained_projection_says_so_and_a_fitted_one_finds_what_moves(run: ProbedRun) -> None:
    start, fitted = quick(run), quick(run, fit_steps=60)
    assert (start.origin, fitted.origin) == ("start", "fit")
    assert any("untrained" in note for note in start.notes)
    assert any("trained on this clip alone, 60 steps" in note for note in fitted.notes)
    assert fitted.enopr[0] < start.enopr[0]
    assert fitted.enopr[0] < fitted.enopr_of_mean[0]
    moved = fitted.rgb_difference.any((1, 4))[0]
    assert np.abs(fitted.dynamic[0][moved]).mean() > 5 * np.abs(fitted.dynamic[0][~moved]).mean()
    assert fitted.cosine[0][~moved].mean() > 0.99
    assert fitted.cosine[0][moved].mean() < fitted.cosine[0][~moved].mean()


def test_a_fit_that_is_stopped_is_a_fit_of_fewer_steps_and_is_not_done_twice(
    plain: Network, clip_of: ClipOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []

    def stop_at_three(step: int, value: float) -> bool:
        seen.append((step, value))
        return step < 3

    run = probe(plain, clip_of(moving_square()))
    reached = fit(run, Params(**QUICK, fit_steps=50), stop_at_three)
    assert [step for step, _ in seen] == [1, 2, 3]
    assert all(0 < value < 10 for _, value in seen)
    assert reached == Params(**QUICK, fit_steps=3)
    anew = quick(probe(plain, clip_of(moving_square())), fit_steps=3)
    monkeypatch.setattr(analysis, "fit_to_clip", lambda *_args, **_more: pytest.fail("trained again"))
    assert np.array_equal(analyze(run, reached).dynamic, anew.dynamic)


def test_the_same_settings_give_the_same_fit_and_another_seed_another(run: ProbedRun, plain: Network, clip_of: ClipOf) -> None:
    again = probe(plain, clip_of(moving_square()))
    first, second, other = quick(run, fit_steps=3), quick(again, fit_steps=3), quick(run, fit_steps=3, seed=1)
    assert np.array_equal(first.dynamic, second.dynamic)
    assert not np.array_equal(first.dynamic, other.dynamic)


# ------------------------------------------------------------------------------------------------ notes


def test_frames_far_apart_repeated_frames_and_random_weights_are_noted(run: ProbedRun, own: ProbedRun) -> None:
    far = replace(run, clip=replace(run.clip, times_s=2 * run.clip.times_s + np.arange(8)))
    assert any("lie 1.2 s apart" in note for note in quick(far).notes)
    assert not any("apart" in note for note in quick(run).notes)
    copies = replace(run, clip=replace(run.clip, index=np.arange(8) // 2))
    assert any("copies of others" in note for note in quick(copies).notes)
    again = replace(run, clip=replace(run.clip, index=np.arange(8) % 4))
    assert not any("copies of others" in note for note in quick(again, frames=4).notes), "no segment holds a frame twice"
    assert any("random weights" in note for note in quick(own).notes)


def test_the_record_checks_its_shapes_and_tells_a_few_numbers(run: ProbedRun) -> None:
    found = quick(run, frames=4)
    with pytest.raises(ValueError, match=r"DynamicAppearance.weight: expected \[segments, T, H, W\]"):
        replace(found, weight=found.weight[:, :3])
    told = found.summary()
    assert (told["segments"], told["frames"], told["projection"]) == (2, 4, "start")
    assert told["enopr_rms"] == pytest.approx(float(found.enopr.mean()))
    assert [word for word, _ in found.shapes] == [
        "frames", "segments", "similarities of all pairs of frames", "subspace of every pixel", "picture"
    ]  # fmt: skip


def test_a_still_pixel_of_an_exact_constant_subspace_vanishes() -> None:
    """The sentence on the cosine's key, in numbers."""
    still, constant = torch.full((1, 3, 4, 1, 1), 0.7), torch.ones(1, 4, 1, 1, 1)
    assert float(project(still, constant)[1].abs().max()) < 1e-5
