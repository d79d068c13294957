"""TV-L1 optical flow (Zach, Pock, Bischof: A duality based approach for realtime TV-L1 optical flow, DAGM 2007)."""

from __future__ import annotations

from typing import Any

import torch

from vizkit.baseline.checks import require_pair
from vizkit.baseline.coarse_to_fine import (
    TINY,
    DataTerm,
    FlowSettings,
    count_levels,
    data_term,
    grey_pictures,
    level_sizes,
    pyramid,
    resize_flow,
    with_gradient,
)

CHUNK_PX = 2**17  # pixels that are worked on together


def tvl1(first: torch.Tensor, second: torch.Tensor, **settings: Any) -> torch.Tensor:
    """Estimate the motion from the first picture to the second, coarse to fine.

    Lowers the sum of lambda |I1(x + u) - I0(x)| + |grad u_x| + |grad u_y| over grey levels of 0..255, by the steps of Sanchez,
    Meinhardt-Llopis, Facciolo (TV-L1 optical flow estimation, IPOL 2013): on each level of a pyramid the second picture is warped
    and the difference made linear; then u and its dual variables take turns. It differs from the implementation of OpenCV like
    this: levels of half the side instead of 0.8; a fixed number of steps, most of them on the finest level, since many steps on a
    coarse one smooth small things away; no median filter; where the flow leaves the picture only smoothness counts. No gradient
    flows through it (see :class:`vizkit.baseline.TVNet`).

    Args:
        first: [B, C, H, W], C = 1 or 3, pixels in [0, 1].
        second: the same shape; the next frame.
        **settings: fields of :class:`FlowSettings`.

    Returns:
        [B, H, W, 2] (x, y) in pixels, in the inputs' type (half types are computed in float32): the pixel at x of ``first`` is at
        x + u in ``second``. Two constant pictures give 0.

    Raises:
        SettingError: other shapes or types, NaN, or a setting outside its range.
    """
    require_pair(first, second)
    given = FlowSettings.parse(**settings)
    size = (first.shape[2], first.shape[3])
    sizes = level_sizes(size, count_levels(size, given.scales))
    computed = torch.promote_types(first.dtype, torch.float32)
    with torch.no_grad():
        here, there = (pyramid(picture, sizes) for picture in grey_pictures(first.to(computed), second.to(computed), given.stretch))
        flow = here[0].new_zeros(len(first), 2, *sizes[-1])
        for level in reversed(range(len(sizes))):
            flow = resize_flow(flow, sizes[level])
            together = max(1, CHUNK_PX // flow[0, 0].numel())
            parts = zip(here[level].split(together), there[level].split(together), flow.split(together), strict=True)
            flow = torch.cat([_solve(*part, given, given.steps(level)) for part in parts])
    return flow.movedim(1, 3).to(first.dtype)


def _solve(first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor, settings: FlowSettings, steps: int) -> torch.Tensor:
    """[B, 2, H, W] the flow of one level."""
    second, state = with_gradient(second), _State(flow, settings)
    for _ in range(settings.warps):
        state.attach(data_term(first, second, state.flow()))
        for _ in range(steps):
            state.descend()
            state.ascend()
    return state.flow()


class _State:
    """Flow and dual variables of some pairs of one level, in buffers that are used again and again.

    The maps of all pairs lie one behind the other, so that a neighbour is an offset into one long line: 1 to the right, W below.
    Forward differences are zero in the last column and row, and so are the dual variables; a step over an edge reads such a zero.
    Flow and its gradient are kept times tau / theta, so that no step multiplies by it.
    """

    def __init__(self, flow: torch.Tensor, settings: FlowSettings) -> None:
        pairs, _, height, width = flow.shape
        self.shape, self.settings = (2, pairs, height, width), settings
        self.unit = settings.time_step / settings.tightness
        length = pairs * height * width
        lines = flow.new_zeros(2, length + width)  # along x and y, and a row of zeros
        self.scaled, self.right, self.below = lines[:, :length], lines[:, 1 : length + 1], lines[:, width:]
        self.scaled.view(self.shape).copy_(flow.movedim(1, 0) * self.unit)
        dual = flow.new_zeros(2, 2, width + length)  # derivative along x and y, of flow along x and y; a row of zeros before
        self.dual, self.dual_left, self.dual_above = dual[:, :, width:], dual[0, :, width - 1 : -1], dual[1, :, :-width]
        self.gradient = torch.empty_like(self.dual)
        self.last_column = self.gradient[0].view(self.shape)[..., -1]
        self.last_row = self.gradient[1].view(self.shape)[..., -1, :]
        self.length, self.step = torch.empty_like(self.scaled), flow.new_empty(length)

    def flow(self) -> torch.Tensor:
        """[B, 2, H, W] in pixels."""
        return (self.scaled / self.unit).view(self.shape).movedim(0, 1)

    def attach(self, term: DataTerm) -> None:
        """Take over a data term; steps along its gradient are measured in multiples of it."""
        gradient = term.gradient.movedim(1, 0).reshape(2, -1)
        squared = (gradient**2).sum(0) + TINY
        self.offset = term.difference.reshape(-1) / -squared
        self.slope = gradient / (squared * self.unit)
        self.direction = gradient * self.unit

    def descend(self) -> None:
        """One step of the flow: v = u + clamp(-rho / |g|^2, +-lambda theta) g, then u = v + theta div p."""
        torch.addcmul(self.offset, self.slope[0], self.scaled[0], value=-1, out=self.step)
        self.step.addcmul_(self.slope[1], self.scaled[1], value=-1)
        limit = self.settings.attachment * self.settings.tightness
        self.scaled.addcmul_(self.step.clamp_(-limit, limit), self.direction)
        tau = self.settings.time_step
        self.scaled.add_(self.dual[0], alpha=tau).sub_(self.dual_left, alpha=tau)
        self.scaled.add_(self.dual[1], alpha=tau).sub_(self.dual_above, alpha=tau)

    def ascend(self) -> None:
        """One step of the dual variables: p = (p + tau / theta grad u) / (1 + tau / theta |grad u|)."""
        torch.sub(self.right, self.scaled, out=self.gradient[0])
        torch.sub(self.below, self.scaled, out=self.gradient[1])
        self.last_column.zero_()
        self.last_row.zero_()
        torch.mul(self.gradient[0], self.gradient[0], out=self.length)
        self.length.addcmul_(self.gradient[1], self.gradient[1]).sqrt_().add_(1)
        self.dual.add_(self.gradient).div_(self.length)
