"""Fit a projection to one clip: ENoPR needs no labels, so a clip is all that it takes (equation 8; table 8 trains that way).

Everything random comes from a generator of its own: the same segments, settings and seed give the same module, whatever other threads draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from vizkit.errors import SettingError
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr

RATE = 3e-3
SEGMENTS_AT_ONCE = 2
"""Segments of a step: a long clip takes no more time than a short one."""


def fit_to_clip(
    segments: torch.Tensor, *, rank: int = 1, steps: int = 150, seed: int = 0, on_step: Callable[[int, float], bool] | None = None
) -> PWTP:
    """Train a projection on the segments of one clip, by AdamW on ENoPR (rms), from the start by cosines.

    Args:
        segments: [S, C, T, H, W] normalised frames; a module for T frames of C channels is made.
        rank: D.
        steps: number of steps, each on two segments drawn at random; 0 gives the start.
        seed: of the weights and of the draws.
        on_step: called after each step with its number (from 1) and its ENoPR; returning False stops, and what was reached by
            then is returned.

    Returns:
        The module in eval mode; its norms hold the statistics of these segments.

    Raises:
        SettingError: segments without five axes or without a frame, fewer than 0 steps, or a rank that T frames do not have.
    """
    if segments.dim() != 5 or 0 in segments.shape:
        raise SettingError(
            f"segments has shape {tuple(segments.shape)}, but [S, C, T, H, W] with at least one segment is accepted.", code="shape"
        )
    if steps < 0:
        raise SettingError(f"steps is {steps}, at least 0 is needed.", code="steps")
    generator = torch.Generator().manual_seed(seed)
    clip = segments.detach().float()
    module = _start(clip.shape[2], clip.shape[1], rank, generator)
    if steps:
        with torch.enable_grad():
            _descend(module, clip, steps, generator, on_step)
        _settle(module, clip)
    return module.eval()


def _start(frames: int, channels: int, rank: int, generator: torch.Generator) -> PWTP:
    """A module with torch's default start, drawn from the generator: layers that are built in place draw from the global one."""
    with torch.device("meta"):
        module = PWTP(frames, rank, in_channels=channels)
    module.to_empty(device="cpu")
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(part.weight[0].numel())
            nn.init.uniform_(part.bias, -bound, bound, generator=generator)  # type: ignore[arg-type]  # every layer has a bias
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
    module.start_from_cosines()
    return module


def _descend(
    module: PWTP, clip: torch.Tensor, steps: int, generator: torch.Generator, on_step: Callable[[int, float], bool] | None
) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), RATE)
    module.train(_can_norm(module, clip))
    for step in range(1, steps + 1):
        drawn = torch.randperm(len(clip), generator=generator)[:SEGMENTS_AT_ONCE]
        loss = enopr(module.separate(clip[drawn])[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if on_step is not None and not on_step(step, float(loss.detach())):
            break


@torch.no_grad()
def _settle(module: PWTP, clip: torch.Tensor) -> None:
    """Give the norms the statistics of these segments under the final weights; a running mean lags behind."""
    if not _can_norm(module, clip):
        return
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momentum = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the mean over all passes
    module.train()
    for segments in clip.split(SEGMENTS_AT_ONCE):
        module.subspace(segments)
    for part, before in zip(norms, momentum, strict=True):
        part.momentum = before


def _can_norm(module: PWTP, clip: torch.Tensor) -> bool:
    """A batch norm needs more than one position; a picture below the first convolution's stride may have one only."""
    cells = [math.ceil(side / stride) for side, stride in zip(clip.shape[3:], module.conv.stride, strict=True)]
    return math.prod(cells) > 1
