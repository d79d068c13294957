"""Dynamic images: a clip as one picture, by rank pooling (Bilen, Fernando, Gavves, Vedaldi, Gould: Dynamic image networks, CVPR 2016)."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from vizkit.baseline.checks import require_frames
from vizkit.errors import SettingError, unknown_name

Averaging = Literal["running", "none"]
REGULARIZATION = 1e-3
TOLERANCE = 1e-10
MOST_STEPS = 200


def rank_pooling_weights(frames: int, averaging: Averaging = "running") -> torch.Tensor:
    """Weights of the frames in approximate rank pooling.

    ``"running"`` ranks the running means V_t of the frames: alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}) with the harmonic
    numbers H (the paper's fast computation), which is the sum over i >= t of (2 i - T - 1) / i. ``"none"`` ranks the frames themselves:
    alpha_t = 2 t - T - 1. Both sum to zero, so that what stands still vanishes; a single frame has the weight 1.

    Args:
        frames: number of frames T.
        averaging: what is ranked.

    Returns:
        [T] float64; T = 4 gives -2.4167, 0.5833, 1.0833, 0.75.

    Raises:
        SettingError: no frame, or an unknown ``averaging``.
    """
    if averaging not in get_args(Averaging):
        raise unknown_name("averaging", averaging, get_args(Averaging))
    if frames < 1:
        raise SettingError(f"frames is {frames}, but whole numbers from 1 up are accepted.", code="frames")
    if frames == 1:
        return torch.ones(1, dtype=torch.float64)
    time = torch.arange(1, frames + 1, dtype=torch.float64)
    rank = 2 * time - frames - 1
    return rank if averaging == "none" else (rank / time).flip(0).cumsum(0).flip(0)


def dynamic_image(frames: torch.Tensor, *, exact: bool = False, averaging: Averaging = "running") -> torch.Tensor:
    """Pool the frames of a clip into one picture d whose product with the running means of the frames grows with time.

    Approximate rank pooling is a fixed weighted sum (:func:`rank_pooling_weights`), the direction of the first step from d = 0.
    Exact rank pooling is the minimum over d of the ranking objective

        lambda / 2 |d|^2 + 2 / (T (T - 1)) sum over t < q of max(0, 1 - <d, V_q - V_t>)^2,

    V_t the mean of the first t frames (``averaging="running"``; the frames themselves otherwise), <., .> the mean over the C*H*W
    values of a product, and lambda = 0.001 times the mean of |V_q - V_t|^2 over all pairs. It differs from the paper's objective
    like this: the hinge is squared, so that the minimum is unique and a Newton method ends at it (gradient <= 1e-10 of its value
    at d = 0), and lambda, which the paper does not state, follows the clip's own contrast, so that d does not depend on size or
    brightness of the pictures but for its unit: frames times s give d / s. No gradient flows through the exact form.

    Args:
        frames: [B, C, T, H, W]. A clip of one frame is returned as it is.
        exact: solve the ranking problem of each clip.
        averaging: what is ranked, running means or frames.

    Returns:
        [B, C, H, W] in the frames' type. A clip that stands still gives 0.

    Raises:
        SettingError: another shape or type, an unknown ``averaging``, or NaN or infinite values where ``exact``.
    """
    require_frames(frames)
    computed = torch.promote_types(frames.dtype, torch.float32)
    weights = rank_pooling_weights(frames.shape[2], averaging).to(frames.device, computed)
    if frames.shape[2] == 1:
        return frames[:, :, 0].clone()
    moved = (frames - frames[:, :, :1]).to(computed)  # what stands still is zero to the last bit
    if not exact:
        return _weighted(moved, weights.expand(len(frames), -1)).to(frames.dtype)
    with torch.no_grad():
        unit = moved.abs().amax((1, 2, 3, 4), keepdim=True).clamp_min(torch.finfo(computed).tiny)  # the weights go with its square
        ranking = torch.stack([_rank(_gram(clip), averaging) for clip in moved / unit])
        return (_weighted(moved / unit, ranking.to(frames.device, computed)) / unit[:, :, 0]).to(frames.dtype)


def _weighted(frames: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum [B, C, T, H, W] over time with the weights [B, T] of each clip."""
    return (weights[:, None, None] @ frames.flatten(3)).view(*frames.shape[:2], *frames.shape[3:])


def _gram(clip: torch.Tensor) -> torch.Tensor:
    """[T, T] float64 mean over the values of the products of all pairs of frames [C, T, H, W].

    Raises:
        SettingError: values that are not finite.
    """
    gram = torch.zeros(clip.shape[1], clip.shape[1], dtype=torch.float64, device=clip.device)
    for channel in clip:
        values = channel.flatten(1).double()
        gram += values @ values.T / clip[:, 0].numel()
    if not bool(torch.isfinite(gram).all()):
        raise SettingError("frames holds NaN or infinite values, but exact rank pooling accepts finite ones only.", code="not_finite")
    return gram.cpu()


def _rank(gram: torch.Tensor, averaging: Averaging) -> torch.Tensor:
    """[T] weights of the frames in the exact ranking function.

    d = sum_t b_t V_t lies in the span of the running means, so the problem has T unknowns. In the pairs that are not yet 1 apart the
    objective is quadratic; its Newton step is one linear system, halved until the objective falls.
    """
    frames = len(gram)
    time = torch.arange(1, frames + 1, dtype=torch.float64)
    means = torch.eye(frames, dtype=torch.float64) if averaging == "none" else torch.ones(frames, frames).tril() / time[:, None]
    earlier, later = torch.triu_indices(frames, frames, 1)
    pairs = torch.eye(frames, dtype=torch.float64)[later] - torch.eye(frames, dtype=torch.float64)[earlier]  # [P, T]
    products = means @ gram @ means.T
    contrast = (pairs @ products * pairs).sum(1).mean()
    if not contrast > 0:
        return torch.zeros(frames, dtype=torch.float64)
    return _newton(products / contrast, pairs) @ means / contrast


def _newton(products: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """[T] coefficients b of the minimum, where ``products`` [T, T] are those of the V_t in units of the mean contrast."""
    weight = 2 / len(pairs)

    def objective(b: torch.Tensor) -> torch.Tensor:
        short = (1 - pairs @ products @ b).clamp_min(0)
        return REGULARIZATION / 2 * b @ products @ b + weight / 2 * short @ short

    b = torch.zeros(len(products), dtype=torch.float64)
    at_start = (weight * pairs.sum(0)).norm()
    for _ in range(MOST_STEPS):
        short = (1 - pairs @ products @ b).clamp_min(0)
        slope = REGULARIZATION * b - weight * short @ pairs  # in the basis of the V_t
        if slope.norm() <= TOLERANCE * at_start:
            return b
        counted = pairs[short > 0]
        system = REGULARIZATION * torch.eye(len(b), dtype=torch.float64) + weight * counted.T @ counted @ products
        step, length = torch.linalg.solve(system, -slope), 1.0
        while length > TOLERANCE and objective(b + length * step) > objective(b):
            length /= 2
        b = b + length * step
    raise RuntimeError(f"Rank pooling did not converge in {MOST_STEPS} steps.")
