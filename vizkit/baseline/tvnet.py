"""TVNet: TV-L1 as layers that learn (Fan, Huang, Gan, Ermon, Gong, Huang: End-to-end learning of motion representation, CVPR 2018)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.baseline.checks import require_pair
from vizkit.baseline.coarse_to_fine import (
    TINY,
    FlowSettings,
    count_levels,
    data_term,
    grey_pictures,
    level_sizes,
    pyramid,
    resize_flow,
    warp,
    with_gradient,
)
from vizkit.errors import SettingError


class TVNet(nn.Module):
    """TV-L1 with a fixed number of steps, each a layer; untrained it gives the flow of :func:`vizkit.baseline.tvl1`.

    Learned are the flow on the coarsest level from which it starts, and the kernels of 1 x 2 and 2 x 1 pixels that take forward
    differences and divergence, for every level, warp and step its own. Gradients of the pictures are fixed central differences.
    Left as published are one level, one warp and 50 steps, which find motions of about one pixel only; more of each are slower and
    reach further. It differs from the published code like this: bicubic instead of bilinear interpolation, the smaller picture by an
    area filter, and where the flow leaves the picture only smoothness counts.

    Args:
        size_wh: width and height of the pictures that it is trained on. Others are accepted; the learned start is resized.
        **settings: fields of :class:`FlowSettings`; 1 scale, 1 warp, 50 iterations and stretched pictures where not given.

    Raises:
        SettingError: a setting outside its range.
    """

    def __init__(self, size_wh: tuple[int, int] = (224, 224), **settings: Any) -> None:
        super().__init__()
        if len(size_wh) != 2 or min(size_wh) < 1:
            raise SettingError(f"size_wh is {size_wh}, but width and height from 1 px up are accepted.", code="size_wh")
        self.settings = FlowSettings.parse(**{"scales": 1, "warps": 1, "iterations": 50, "stretch": True, **settings})
        size = (size_wh[1], size_wh[0])
        self.levels = count_levels(size, self.settings.scales)
        self.start = nn.Parameter(torch.zeros(2, *level_sizes(size, self.levels)[-1]))
        """[2, h, w] px of the coarsest level"""
        steps = self.settings.warps * sum(self.settings.steps(level) for level in range(self.levels))
        difference = torch.tensor([-1.0, 1.0]).expand(steps, 2, 2, 2)
        self.gradient_kernels = nn.Parameter(difference.clone())
        """[steps, 2 along x and y, 2 of flow along x and y, 2 taps], coarsest level first"""
        self.divergence_kernels = nn.Parameter(difference.clone())

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Estimate the motion from the first picture to the second.

        Args:
            first: [B, C, H, W], C = 1 or 3, pixels in [0, 1].
            second: the same shape; the next frame.

        Returns:
            [B, H, W, 2] (x, y) in pixels, in the inputs' type; half types are computed in float32.

        Raises:
            SettingError: other shapes or types, or NaN.
        """
        require_pair(first, second)
        sizes = level_sizes((first.shape[2], first.shape[3]), self.levels)
        here, there = (pyramid(picture, sizes) for picture in self._pictures(first, second))
        flow = self.start.to(here[0].dtype).expand(len(first), -1, -1, -1)
        done = 0
        for level in reversed(range(self.levels)):
            flow, done = self._solve(here[level], with_gradient(there[level]), resize_flow(flow, sizes[level]), level, done)
        return flow.movedim(1, 3).to(first.dtype)

    def _solve(self, first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor, level: int, done: int) -> tuple[torch.Tensor, int]:
        """The flow of one level, [B, 2, H, W], and the number of steps done so far."""
        limit, theta = self.settings.attachment * self.settings.tightness, self.settings.tightness
        rate = self.settings.time_step / theta
        dual = flow.new_zeros(len(flow), 2, *flow.shape[1:])  # [B, 2 derivatives, 2, H, W]
        for _ in range(self.settings.warps):
            term = data_term(first, second, flow)
            squared = (term.gradient**2).sum(1) + TINY
            for number in range(done, done + self.settings.steps(level)):
                mismatch = term.difference + (term.gradient * flow).sum(1)
                toward = flow + (-mismatch / squared).clamp(-limit, limit)[:, None] * term.gradient
                flow = toward + theta * _divergence(dual, self.divergence_kernels[number].to(flow.dtype))
                slope = _forward_difference(flow, self.gradient_kernels[number].to(flow.dtype))
                length = ((slope**2).sum(1, keepdim=True) + TINY).sqrt()
                dual = (dual + rate * slope) / (1 + rate * length)
            done += self.settings.steps(level)
        return flow, done

    def _pictures(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two of [B, 1, H, W], computed in float32 or float64."""
        computed = torch.promote_types(first.dtype, torch.float32)
        return grey_pictures(first.to(computed), second.to(computed), self.settings.stretch)

    def loss(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """What the paper minimises without labels: lambda mean |I1(x + u) - I0(x)| + mean |grad u|, its four differences summed.

        Args:
            first: [B, C, H, W] as in :meth:`forward`.
            second: the same shape.

        Returns:
            A scalar.
        """
        here, there = self._pictures(first, second)
        flow = self(first, second).movedim(3, 1).to(here.dtype)
        mismatch = (warp(there, flow)[0] - here).abs().mean()
        kernels = flow.new_tensor([-1.0, 1.0]).expand(2, 2, 2)
        return self.settings.attachment * mismatch + _forward_difference(flow, kernels).abs().sum((1, 2)).mean()


def _forward_difference(flow: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """[B, 2, H, W] -> [B, 2 derivatives, 2, H, W] by kernels [2, 2, 2 taps]; zero in the last column and row."""
    taps = kernels[..., None, None]
    along_x = taps[0, :, 0] * flow[..., :-1] + taps[0, :, 1] * flow[..., 1:]
    along_y = taps[1, :, 0] * flow[..., :-1, :] + taps[1, :, 1] * flow[..., 1:, :]
    return torch.stack([F.pad(along_x, (0, 1)), F.pad(along_y, (0, 0, 0, 1))], 1)


def _divergence(dual: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """[B, 2 derivatives, 2, H, W] -> [B, 2, H, W] by kernels [2, 2, 2 taps]; zero before the first column and row."""
    taps = kernels[..., None, None]
    along_x, along_y = F.pad(dual[:, 0], (1, 0)), F.pad(dual[:, 1], (0, 0, 1, 0))
    of_x = taps[0, :, 0] * along_x[..., :-1] + taps[0, :, 1] * along_x[..., 1:]
    return of_x + taps[1, :, 0] * along_y[..., :-1, :] + taps[1, :, 1] * along_y[..., 1:, :]
