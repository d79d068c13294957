"""KPSEM: key points of split regions, how they shift from frame to frame, and one vector of a clip made of that.

Source: Cao, Xu, Yang, Mao, Yin, See, "Effective Action Recognition with Embedded Key Point Shifts", sections 3.2, 3.3 and 4.2, equations 2
to 12, figures 3, 4 and 6. What the paper leaves open is listed in docs/kpsem.md.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.errors import SettingError, unknown_name

Gradient = Literal["ste", "none"]
CentreInput = Literal["map", "gap"]
Separation = Literal["adaptive", "fixed"]

EDGE_CELLS = 1e-4  # a boundary stays that far before the last cell, so that no region is empty
CLOSEST_VALUES = 0.1  # equation 9
SOFTNESS_CELLS, SHARPNESS = 1.5, 8.0  # of the straight-through gradient's memberships and of its maxima


def side_of(regions: int) -> int:
    """Bands per axis of so many regions: 4 -> 2.

    Raises:
        SettingError: not a square number.
    """
    if regions < 1 or isqrt(regions) ** 2 != regions:
        raise SettingError(f"regions is {regions}, but a square number (1, 4, 9, 16, ...) is accepted.", code="regions")
    return isqrt(regions)


def geometric_centre(height: int, width: int, regions: int = 4) -> torch.Tensor:
    """The boundaries of equal regions, O of equation 5: [boundaries, 2] (x, y) in cells, ((W - 1) / 2, (H - 1) / 2) for four.

    There are sqrt(regions) - 1 boundaries on each axis, at j L / sqrt(regions) - 1/2.

    Raises:
        SettingError: not a square number of regions.
    """
    side = side_of(regions)
    return torch.tensor([[j * width / side - 0.5, j * height / side - 0.5] for j in range(1, side)]).view(side - 1, 2)


def key_points(x: torch.Tensor, centre_xy: torch.Tensor, *, gradient: Gradient = "none") -> tuple[torch.Tensor, torch.Tensor]:
    """The maximum of every region, frame and channel (equations 6 and 7), the first one row by row where several are equal.

    Region ``row * sqrt(regions) + column``: a cell lies in a later row or column if it lies *beyond* the boundary, y > centre y.

    Args:
        x: [B, C, T, H, W].
        centre_xy: [B, T, boundaries, 2] cells, or [B, T, 2] for four regions.
        gradient: ``"ste"``: the maxima's places pass a gradient on to the centre, see :class:`KPSEM`.

    Returns:
        point_cells [B, T, regions, C, 2] (x, y), whole numbers, and value [B, T, regions, C], both at least float32.

    Raises:
        SettingError: other axes, or a map with fewer cells on a side than there are regions.
    """
    x, boundary_xy = _checked(x, centre_xy)
    columns, rows = (_bands(_beyond(boundary_xy[..., axis], x.shape[4 - axis])) for axis in (0, 1))
    of_rows, column = x[:, :, :, None].masked_fill(columns[:, None, :, :, None] == 0, -torch.inf).max(-1)  # [B, C, T, columns, H]
    value, row = of_rows[:, :, :, None].masked_fill(rows[:, None, :, :, None] == 0, -torch.inf).max(-1)  # [B, C, T, rows, columns]
    column = column[:, :, :, None].expand(*row.shape, -1).gather(-1, row[..., None]).squeeze(-1)
    points = torch.stack([column, row], -1).flatten(3, 4).permute(0, 2, 3, 1, 4).to(x.dtype)
    if gradient == "ste" and centre_xy.requires_grad:
        soft = _soft_points(x.detach(), boundary_xy)
        points = points + (soft - soft.detach())
    return points, value.flatten(3).permute(0, 2, 3, 1)


def shifts(point_cells: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From every key point to those of the next frame, weighted by how alike their values are (equations 8 to 10).

    Args:
        point_cells: [B, T, regions, C, 2].
        value: [B, T, regions, C].

    Returns:
        shift_cells [B, T-1, regions, C, 2] (x, y), and match [B, T-1, regions, regions of the next frame, C], which sums to one
        over the next frame's regions.
    """
    point_cells, value = _precise(point_cells), _precise(value)
    apart = (value[:, :-1, :, None] - value[:, 1:, None]).abs()
    match = (1 / (apart + CLOSEST_VALUES)).softmax(3)
    between = point_cells[:, 1:, None] - point_cells[:, :-1, :, None]  # [B, T-1, regions, regions, C, 2]
    return (match[..., None] * between).sum(3), match


def region_weights(x: torch.Tensor, centre_xy: torch.Tensor, *, gradient: Gradient = "none") -> torch.Tensor:
    """How much each region counts: softmax of the regions' means over two adjacent frames (equation 11).

    Args:
        x: [B, C, T, H, W].
        centre_xy: as in :func:`key_points`.
        gradient: ``"ste"``: the means pass a gradient on to the centre, see :class:`KPSEM`.

    Returns:
        [B, T-1, regions, C], which sums to one over the regions.

    Raises:
        SettingError: as :func:`key_points`.
    """
    x, boundary_xy = _checked(x, centre_xy)
    beyond = [_beyond(boundary_xy[..., axis], x.shape[4 - axis]) for axis in (0, 1)]
    means = _region_means(x, *beyond)
    if gradient == "ste" and centre_xy.requires_grad:
        soft = _region_means(x.detach(), *(_softly_beyond(boundary_xy[..., axis], x.shape[4 - axis]) for axis in (0, 1)))
        means = means + (soft - soft.detach())
    return ((means[:, 1:] + means[:, :-1]) / 2).softmax(2)


class KPSEM(nn.Module):
    """Key point shifts embedding module (figures 3 and 6b): a feature map -> one vector of the clip.

    The steps are public and are what :meth:`forward` runs: :meth:`centre`, then for each set :meth:`key_points`, :meth:`shifts`,
    :meth:`region_weights` and :meth:`embed`, then :meth:`reduce` on their sum. Analyses call the same steps again on a tapped input.

    A maximum and a hard border give the layers of the centre no gradient. With ``gradient="ste"`` the forward pass stays as it is, and
    the backward pass takes the gradients of softly split regions: soft maxima in place of the key points, soft means in place of the means.

    Args:
        channels: C.
        frames: T, of the feature map; the length of the vector depends on it.
        sets: G, separations with a centre and an embedding of their own.
        regions: K, a square number; 1 is the single key point of table 2a.
        embedding: d_e, length of the embedding of a set's shifts.
        separation: ``"adaptive"``, or ``"fixed"``: centres drawn at random once for each set and frame (table 2b).
        gradient: of the adaptive centre.
        centre_input: what its layers see: the ``"map"`` of the mean over channels, pooled to ``map_cells``, or ``"gap"``, the channels'
            means over the map.
        map_cells: side of that map.
        hidden: width of a hidden layer between it and the centre; none when None.

    Raises:
        SettingError: a setting outside what is accepted.
    """

    fixed_bias: torch.Tensor
    """[sets, T, boundaries, 2] in -1..1 of the way that a boundary may go, where the separation is fixed."""

    def __init__(
        self,
        channels: int,
        frames: int = 8,
        sets: int = 8,
        regions: int = 4,
        *,
        embedding: int = 24,
        separation: Separation = "adaptive",
        gradient: Gradient = "ste",
        centre_input: CentreInput = "map",
        map_cells: int = 14,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        for kind, given, known in (
            ("separation", separation, get_args(Separation)),
            ("gradient", gradient, get_args(Gradient)),
            ("centre_input", centre_input, get_args(CentreInput)),
        ):
            if given not in known:
                raise unknown_name(kind, given, known)
        least = {"channels": 4, "frames": 2, "sets": 1, "embedding": 1, "map_cells": 1, "hidden": 1}
        sizes = {"channels": channels, "frames": frames, "sets": sets, "embedding": embedding, "map_cells": map_cells}
        for kind, size in {**sizes, **({} if hidden is None else {"hidden": hidden})}.items():
            if size < least[kind]:
                raise SettingError(f"{kind} is {size}, but whole numbers from {least[kind]} up are accepted.", code=kind)
        self.channels, self.frames, self.sets, self.regions, self.embedding = channels, frames, sets, regions, embedding
        self.separation, self.gradient, self.centre_input, self.map_cells = separation, gradient, centre_input, map_cells
        boundaries = side_of(regions) - 1
        inputs = map_cells**2 if centre_input == "map" else channels
        adaptive = separation == "adaptive" and regions > 1
        self.centres = nn.ModuleList(_perceptron(inputs, hidden, 2 * boundaries) for _ in range(sets if adaptive else 0))
        if separation == "fixed":
            self.register_buffer("fixed_bias", torch.rand(sets, frames, boundaries, 2) * 2 - 1)
        self.embeddings = nn.ModuleList(nn.Linear(2 * regions, embedding) for _ in range(sets))
        reduced = channels // 4
        self.reduction = nn.Sequential(
            *_halving(channels, reduced, groups=1),
            *_halving(reduced, reduced, groups=reduced),
        )

    @property
    def out_features(self) -> int:
        """Length of the vector: C/4 for each step between frames (672 for 384 channels and 8 frames)."""
        return self.channels // 4 * (self.frames - 1)

    def centre(self, x: torch.Tensor) -> torch.Tensor:
        """Where each set separates each frame (equations 4 and 5): [B, C, T, H, W] -> [B, sets, T, boundaries, 2] (x, y) in cells.

        Four regions have one boundary on each axis, the separation centre; one region has none. The bias keeps within half a map less
        one cell for four regions, and within half a region for more.

        Raises:
            SettingError: another number of axes, channels or frames than the module's, or a map with too few cells.
        """
        self._check(x)
        side, (height, width) = side_of(self.regions), x.shape[3:]
        origin = geometric_centre(height, width, self.regions).to(_precise(x))
        reach = torch.tensor([width, height]).to(origin) / (2 * side if side > 2 else 2) - (1 if side == 2 else 0)
        boundary_xy = origin + self._bias(x) * reach
        return torch.stack([_ordered(boundary_xy[..., axis], x.shape[4 - axis]) for axis in (0, 1)], -1)

    def key_points(self, x: torch.Tensor, centre_xy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One set's key points: :func:`key_points` with the module's gradient."""
        return key_points(x, centre_xy, gradient=self.gradient)

    @staticmethod
    def shifts(point_cells: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One set's shifts: :func:`shifts`."""
        return shifts(point_cells, value)

    def region_weights(self, x: torch.Tensor, centre_xy: torch.Tensor) -> torch.Tensor:
        """One set's regional weights: :func:`region_weights` with the module's gradient."""
        return region_weights(x, centre_xy, gradient=self.gradient)

    def regional_shifts(self, x: torch.Tensor, centre_xy: torch.Tensor) -> torch.Tensor:
        """One set's weighted shifts, RKPS of equation 12: [B, T-1, regions, C, 2]."""
        shift_cells, _ = self.shifts(*self.key_points(x, centre_xy))
        return self.region_weights(x, centre_xy)[..., None] * shift_cells

    def embed(self, weighted_cells: torch.Tensor, index: int) -> torch.Tensor:
        """A set's embedding (a term of equation 3): its weighted shifts [B, T-1, regions, C, 2] -> [B, C, T-1, embedding]."""
        layer = self.embeddings[index]
        rows = weighted_cells.permute(0, 3, 1, 2, 4).flatten(3)  # [B, C, T-1, 2 * regions], region by region
        return layer(rows.to(_dtype(layer)))

    def reduce(self, embedding: torch.Tensor) -> torch.Tensor:
        """The sum over sets -> the clip's vector (section 4.2): [B, C, T-1, embedding] -> [B, C/4 * (T-1)], channel by channel."""
        return self.reduction(embedding).mean(-1).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, :attr:`out_features`] of the same type.

        Raises:
            SettingError: as :meth:`centre`.
        """
        of_sets = self.centre(x).unbind(1)
        embedded = [self.embed(self.regional_shifts(x, centre_xy), index) for index, centre_xy in enumerate(of_sets)]
        return self.reduce(torch.stack(embedded).sum(0)).to(x.dtype)

    def fixed(self) -> dict[str, str]:
        """Settings that the weights were made for, each with the reason."""
        return {
            "sets": f"there are {self.sets} learned embeddings, one for each set.",
            "regions": f"an embedding takes the shifts of {self.regions} regions, 2 x {self.regions} numbers.",
        }

    def neutral(self, x: torch.Tensor) -> torch.Tensor:
        """What leaves the module when it is switched off: a vector of zeros."""
        return x.new_zeros(len(x), self.out_features)

    def _bias(self, x: torch.Tensor) -> torch.Tensor:
        """[B, sets, T, boundaries, 2], in -1..1 of the way that a boundary may go."""
        boundaries = side_of(self.regions) - 1
        if self.separation == "fixed":
            return _precise(self.fixed_bias).expand(len(x), -1, -1, -1, -1)
        if not self.centres:
            return _precise(x).new_zeros(len(x), self.sets, self.frames, 0, 2)
        means = _precise(x).mean((3, 4)).transpose(1, 2) if self.centre_input == "gap" else self._pooled(_precise(x))
        raw = torch.stack([layers(means.to(_dtype(layers))) for layers in self.centres], 1)  # [B, sets, T, 2 * boundaries]
        return _precise(raw).tanh().unflatten(3, (boundaries, 2))

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        """The mean over channels on a map of ``map_cells``: [B, T, map_cells^2]."""
        return F.adaptive_avg_pool2d(x.mean(1), self.map_cells).flatten(2)

    def _check(self, x: torch.Tensor) -> None:
        if x.dim() != 5 or x.shape[1] != self.channels:
            raise SettingError(f"x has shape {tuple(x.shape)}, but [B, {self.channels}, T, H, W] is accepted.", code="shape")
        _check_cells(x, side_of(self.regions))
        if x.shape[2] != self.frames:
            raise SettingError(
                f"The features have {x.shape[2]} steps in time where key point shifts of {self.frames} are embedded; sample as many frames "
                "as the network was built for, or build it with another number of frames.",
                code="frames",
            )


def _halving(inputs: int, outputs: int, *, groups: int) -> tuple[nn.Module, ...]:
    """A convolution that halves the embedding, with norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, (1, 3), (1, 2), (0, 1), groups=groups, bias=False)
    return layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def _perceptron(inputs: int, hidden: int | None, outputs: int) -> nn.Sequential:
    if hidden is None:
        return nn.Sequential(nn.Linear(inputs, outputs))
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


def _dtype(layers: nn.Module) -> torch.dtype:
    return next(layers.parameters()).dtype


def _precise(x: torch.Tensor) -> torch.Tensor:
    """At least float32: places and softmaxes do not bear less."""
    return x if x.dtype == torch.float64 else x.float()


def _check_cells(x: torch.Tensor, side: int) -> None:
    if x.shape[2] < 2:
        raise SettingError(f"x has {x.shape[2]} frame, but key points shift between at least 2.", code="frames")
    if min(x.shape[3:]) < side:
        height, width = x.shape[3:]
        raise SettingError(f"The map has {height} x {width} cells, but {side**2} regions need at least {side} x {side}.", code="regions")


def _checked(x: torch.Tensor, centre_xy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """At least float32: x, and the boundaries [B, T, boundaries, 2] in order and within the map."""
    boundary_xy = _precise(centre_xy[:, :, None] if centre_xy.dim() == 3 else centre_xy)
    if x.dim() != 5 or boundary_xy.dim() != 4 or boundary_xy.shape[:2] != (x.shape[0], x.shape[2]) or boundary_xy.shape[3] != 2:
        told = f"x has shape {tuple(x.shape)} and centre_xy {tuple(centre_xy.shape)}"
        raise SettingError(f"{told}, but [B, C, T, H, W] and [B, T, boundaries, 2] or [B, T, 2] are accepted.", code="shape")
    _check_cells(x, boundary_xy.shape[2] + 1)
    ordered = [_ordered(boundary_xy[..., axis], x.shape[4 - axis]) for axis in (0, 1)]
    return _precise(x), torch.stack(ordered, -1)


def _ordered(boundary: torch.Tensor, size: int) -> torch.Tensor:
    """Boundaries [..., boundaries] in order, at least a cell apart and inside a side of ``size`` cells, so that no region is empty."""
    count = boundary.shape[-1]
    if count == 0:
        return boundary
    step = torch.arange(count).to(boundary)
    return (boundary.sort(-1).values - step).cummax(-1).values.clamp(0, size - count - EDGE_CELLS) + step


def _beyond(boundary: torch.Tensor, size: int) -> torch.Tensor:
    """Whether cells lie beyond each boundary: [B, T, boundaries] -> 0 or 1 [B, T, boundaries, size]."""
    return (torch.arange(size).to(boundary) > boundary[..., None]).to(boundary.dtype)


def _softly_beyond(boundary: torch.Tensor, size: int) -> torch.Tensor:
    """The same with a gradual border, between 0 and 1."""
    return torch.sigmoid((torch.arange(size).to(boundary) - boundary[..., None]) / SOFTNESS_CELLS)


def _bands(beyond: torch.Tensor) -> torch.Tensor:
    """Membership of cells in the bands between boundaries: [B, T, boundaries, size] -> [B, T, boundaries + 1, size]."""
    end = beyond.new_ones(*beyond.shape[:2], 1, beyond.shape[3])
    return torch.cat([end, beyond], 2) * torch.cat([1 - beyond, end], 2)


def _region_sums(maps: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Sums over regions: [B, C, T, H, W], weights of columns [B, T, bands, W] and rows [B, T, bands, H] -> [B, T, regions, C].

    Without matrix products: their multiply-adds are no part of what the paper counts, and half precision would round them.
    """
    of_rows = (maps[:, :, :, None] * rows[:, None, :, :, :, None]).sum(4)  # [B, C, T, rows, W]
    sums = (of_rows[:, :, :, :, None] * columns[:, None, :, None]).sum(5)  # [B, C, T, rows, columns]
    return sums.flatten(3).permute(0, 2, 3, 1)


def _region_means(maps: torch.Tensor, beyond_x: torch.Tensor, beyond_y: torch.Tensor) -> torch.Tensor:
    """Means over regions: [B, T, regions, C]."""
    columns, rows = _bands(beyond_x), _bands(beyond_y)
    return _region_sums(maps, columns, rows) / _region_sums(torch.ones_like(maps[:, :1]), columns, rows)


def _soft_points(x: torch.Tensor, boundary_xy: torch.Tensor) -> torch.Tensor:
    """Soft maxima of softly split regions: [B, T, regions, C, 2]; sharp relative to the range of a channel in the clip."""
    spread = (x.amax((2, 3, 4), keepdim=True) - x.amin((2, 3, 4), keepdim=True)).clamp_min(torch.finfo(x.dtype).tiny)
    heights = (SHARPNESS * (x - x.amax((3, 4), keepdim=True)) / spread).exp()
    columns, rows = (_bands(_softly_beyond(boundary_xy[..., axis], x.shape[4 - axis])) for axis in (0, 1))
    total = _region_sums(heights, columns, rows)
    at_x = _region_sums(heights, columns * torch.arange(x.shape[4]).to(x), rows) / total
    at_y = _region_sums(heights, columns, rows * torch.arange(x.shape[3]).to(x)) / total
    return torch.stack([at_x, at_y], -1)
