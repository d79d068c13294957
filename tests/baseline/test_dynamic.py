"""Dynamic images: the weights' worked numbers, what stands still, and the ranking problem against a slow solver of its own."""

from __future__ import annotations

import pytest
import torch

from vizkit.baseline import dynamic_image, rank_pooling_weights
from vizkit.baseline.dynamic import REGULARIZATION
from vizkit.errors import SettingError


def textured(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def with_a_mover(frames: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    """[1, 3, T, S, S] a textured background on which a textured square moves by one pixel a frame."""
    clip = textured(1, 3, 1, side, side, seed=seed).repeat(1, 1, frames, 1, 1)
    square = textured(1, 3, 4, 4, seed=seed + 1)
    for t in range(frames):
        clip[:, :, t, 5:9, t : t + 4] = square
    return clip


def running_means(clip: torch.Tensor) -> torch.Tensor:
    return torch.stack([clip[:, :, : t + 1].mean(2) for t in range(clip.shape[2])], 2)


# ------------------------------------------------------------------------------------------------ approximate


@pytest.mark.parametrize(
    ("frames", "weights"),
    [
        (1, [1.0]),
        (2, [-0.5, 0.5]),
        (4, [-2.4167, 0.5833, 1.0833, 0.75]),
        (5, [-3.7, 0.3, 1.3, 1.3, 0.8]),
        (8, [-8.4607, -1.4607, 1.0393, 2.0393, 2.2893, 2.0893, 1.5893, 0.875]),
    ],
)
def test_weights_of_running_means(frames: int, weights: list[float]) -> None:
    assert rank_pooling_weights(frames).tolist() == pytest.approx(weights, abs=5e-5)


@pytest.mark.parametrize("frames", [2, 3, 4, 8, 16])
def test_weights_obey_the_closed_form(frames: int) -> None:
    """alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}); sum 0; sum of alpha_t t = T (T^2 - 1) / 12."""
    harmonic = [sum(1 / i for i in range(1, n + 1)) for n in range(frames + 1)]
    closed = [2 * (frames - t + 1) - (frames + 1) * (harmonic[frames] - harmonic[t - 1]) for t in range(1, frames + 1)]
    weights = rank_pooling_weights(frames)
    assert weights.tolist() == pytest.approx(closed, abs=1e-12)
    assert float(weights.sum()) == pytest.approx(0, abs=1e-12)
    assert float(weights @ torch.arange(1, frames + 1, dtype=torch.float64)) == pytest.approx(frames * (frames**2 - 1) / 12)


def test_weights_of_frames_count_up() -> None:
    assert rank_pooling_weights(4, "none").tolist() == [-3, -1, 1, 3]
    assert rank_pooling_weights(1, "none").tolist() == [1]


def test_picture_is_the_weighted_sum_of_the_frames() -> None:
    clip = textured(2, 3, 5, 4, 6)
    for averaging in ("running", "none"):
        weights = rank_pooling_weights(5, averaging)
        expected = sum(weight * clip[:, :, t] for t, weight in enumerate(weights))
        torch.testing.assert_close(dynamic_image(clip, averaging=averaging), expected)


def test_it_is_the_sum_over_pairs_of_running_means() -> None:
    """Independent of any closed form: sum over t < q of V_q - V_t, of which the weights are the rearrangement."""
    clip = textured(1, 2, 6, 3, 4)
    means = running_means(clip)
    pairs = sum(means[:, :, q] - means[:, :, t] for q in range(6) for t in range(q))
    torch.testing.assert_close(dynamic_image(clip), pairs)


def test_a_dot_that_appears_late_is_positive_and_backwards_negative() -> None:
    clip = torch.zeros(1, 1, 4, 3, 3, dtype=torch.float64)
    clip[0, 0, 3, 1, 2] = 1
    for exact in (False, True):
        forwards, backwards = dynamic_image(clip, exact=exact), dynamic_image(clip.flip(2), exact=exact)
        assert forwards[0, 0, 1, 2] > 0 > backwards[0, 0, 1, 2]
        assert forwards.count_nonzero() == 1


def test_gradient_flows_through_the_approximate_form() -> None:
    clip = textured(1, 2, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(dynamic_image, (clip,))


# ------------------------------------------------------------------------------------------------ exact


def slow_ranking(clip: torch.Tensor, averaging: str = "running") -> torch.Tensor:
    """Minimise the objective over the picture itself by accelerated gradient descent, pair by pair: no Gram matrix, no Newton step."""
    ranked = (running_means(clip) if averaging == "running" else clip)[0].movedim(1, 0).flatten(1)  # [T, N]
    frames, size = ranked.shape
    apart = torch.stack([ranked[q] - ranked[t] for q in range(frames) for t in range(q)])
    contrast = (apart**2).mean(1).mean()
    decay = REGULARIZATION * contrast
    steepest = decay / size + 2 / len(apart) * torch.linalg.matrix_norm(apart / size, 2) ** 2
    slowest = decay / size
    momentum = (1 - (slowest / steepest) ** 0.5) / (1 + (slowest / steepest) ** 0.5)
    d = before = torch.zeros(size, dtype=torch.float64)
    for _ in range(6000):
        ahead = d + momentum * (d - before)
        short = (1 - apart @ ahead / size).clamp_min(0)
        slope = decay * ahead / size - 2 / len(apart) * short @ apart / size
        d, before = ahead - slope / steepest, d
    return d.view(1, *clip.shape[1:2], *clip.shape[3:])


@pytest.mark.parametrize("frames", [2, 3, 4, 8])
def test_exact_form_agrees_with_a_slow_solver(frames: int) -> None:
    clip = with_a_mover(frames) + 0.02 * textured(1, 3, frames, 16, 16, seed=5)
    found, slow = dynamic_image(clip, exact=True), slow_ranking(clip)
    assert float((found - slow).norm() / slow.norm()) < 1e-5


def test_exact_form_ranks_frames_too() -> None:
    clip = with_a_mover(5)
    found, slow = dynamic_image(clip, exact=True, averaging="none"), slow_ranking(clip, "none")
    assert float((found - slow).norm() / slow.norm()) < 1e-5


@pytest.mark.parametrize("frames", [2, 3, 8, 12])
def test_scores_of_the_exact_form_grow_with_time(frames: int) -> None:
    clip = with_a_mover(frames)
    scores = (running_means(clip) * dynamic_image(clip, exact=True)[:, :, None]).mean((1, 3, 4))[0]
    assert (scores.diff() > 0.25).all()
    reversed_scores = (running_means(clip) * dynamic_image(clip.flip(2), exact=True)[:, :, None]).mean((1, 3, 4))[0]
    assert reversed_scores[-1] < reversed_scores[0]


def test_exact_form_depends_neither_on_brightness_nor_on_size() -> None:
    clip = with_a_mover(6)
    found = dynamic_image(clip, exact=True)
    torch.testing.assert_close(dynamic_image(4 * clip, exact=True), found / 4)
    torch.testing.assert_close(dynamic_image(clip + 0.3, exact=True), found)
    torch.testing.assert_close(dynamic_image(clip.repeat(1, 1, 1, 2, 2), exact=True), found.repeat(1, 1, 2, 2))
    faint = dynamic_image((1e-22 * clip).float(), exact=True)
    torch.testing.assert_close(faint.double() * 1e-22, found, rtol=1e-3, atol=1e-3 * float(found.abs().max()))


def test_exact_form_in_float32_is_that_in_float64() -> None:
    clip = with_a_mover(8)
    single = dynamic_image(clip.float(), exact=True)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), dynamic_image(clip, exact=True), rtol=1e-3, atol=1e-3 * float(single.abs().max()))


# ------------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_stands_still_gives_zero(exact: bool, dtype: torch.dtype) -> None:
    still = textured(2, 3, 1, 5, 7, dtype=dtype).expand(-1, -1, 8, -1, -1)
    picture = dynamic_image(still, exact=exact)
    assert picture.shape == (2, 3, 5, 7)
    assert picture.dtype == dtype
    assert not picture.any()


@pytest.mark.parametrize("exact", [False, True])
def test_one_frame_is_returned(exact: bool) -> None:
    clip = textured(2, 3, 1, 4, 5)
    assert torch.equal(dynamic_image(clip, exact=exact), clip[:, :, 0])


@pytest.mark.parametrize("exact", [False, True])
def test_clips_of_a_batch_are_apart(exact: bool) -> None:
    clips = torch.cat([with_a_mover(5, seed=seed) for seed in range(3)] + [torch.zeros(1, 3, 5, 16, 16, dtype=torch.float64)])
    together = dynamic_image(clips, exact=exact)
    for number in range(4):
        torch.testing.assert_close(together[number : number + 1], dynamic_image(clips[number : number + 1], exact=exact))


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(SettingError, match=r"frames has shape \(3, 4, 5\), but 5 axes"):
        dynamic_image(torch.zeros(3, 4, 5))
    with pytest.raises(SettingError, match="torch.uint8, but floating-point"):
        dynamic_image(torch.zeros(1, 3, 2, 4, 4, dtype=torch.uint8))
    with pytest.raises(SettingError, match="averaging 'mean'. Known: none, running"):
        dynamic_image(torch.zeros(1, 3, 2, 4, 4), averaging="mean")
    with pytest.raises(SettingError, match="frames is 0"):
        rank_pooling_weights(0)
    with pytest.raises(SettingError, match="NaN or infinite"):
        dynamic_image(torch.full((1, 3, 3, 4, 4), torch.nan), exact=True)
