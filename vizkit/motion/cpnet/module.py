"""The CP module: correspondence proposals by k nearest neighbours in feature space, a shared MLP, a maximum.

Source: Liu, Lee, Jin, "Learning Video Representations from Correspondence Proposals", CVPR 2019, section 3 and equations 1, 2.
The released form (head after the maximum) is the default; the paper's form (equation 1) is ``head="before_max"``.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from vizkit.contracts import Settings
from vizkit.errors import SettingError, unknown_name
from vizkit.net.ops import NearestCells, full_precision, nearest_cells

Metric = Literal["semantic", "temporal", "spatiotemporal", "joint"]
Head = Literal["after_max", "before_max"]


class RunTime(Settings):
    """What can be changed with the weights as they are (the paper's table 3b: other k at test time)."""

    neighbors: int = Field(8, ge=1, le=64)
    """k, proposals per cell."""
    metric: Metric = "semantic"
    """Space of the nearest neighbours."""


class CPModule(nn.Module):
    """Correspondence proposals for feature maps [B, C, T, H, W]; returns what is added to them.

    The steps are public and are what :meth:`forward` runs: :meth:`points`, :meth:`match`, :meth:`embed`, a maximum over the
    proposals, :meth:`expand` (:meth:`lift` and a resize). Analyses call the same steps again on a tapped input.

    Args:
        channels: C.
        neighbors: k, proposals per cell.
        widths: hidden widths of the shared MLP; ``(C // 4, C // 2)`` when None.
        shrink: spatial factor by which the features are resized before matching (2 in res3 of the paper's networks).
        head: where the last linear layer sits: ``"after_max"`` (the authors' release) or ``"before_max"`` (equation 1).
        bottleneck: channels of a linear layer with norm and no activation in front (ResNet-101: C // 8), or None.
        metric: space of the nearest neighbours; see :func:`metric_space`. The paper's is ``"semantic"``.
        position_weight: weight of the squared image distance in the metric ``"joint"``.
        last_gain: initial scale of the last norm. 0 makes a fresh module an exact identity (the paper); 1 is for training
            where no pretrained backbone has to be protected (cpnet.md section 8).
        position_gain: factors on the initial weights of (dt, dy, dx) in the first layer; (1, 1, 1) in the paper.
        feature_gain: factor on the initial feature weights of half of the first layer's units, so that these begin by
            looking at positions; 1 in the paper.
    """

    RunTime: ClassVar = RunTime

    def __init__(
        self,
        channels: int,
        *,
        neighbors: int = 8,
        widths: tuple[int, ...] | None = None,
        shrink: int = 1,
        head: Head = "after_max",
        bottleneck: int | None = None,
        metric: Metric = "semantic",
        position_weight: float = 10.0,
        last_gain: float = 0.0,
        position_gain: tuple[float, float, float] = (1.0, 1.0, 1.0),
        feature_gain: float = 1.0,
    ) -> None:
        super().__init__()
        for kind, name, known in (("metric", metric, get_args(Metric)), ("head", head, get_args(Head))):
            if name not in known:
                raise unknown_name(kind, name, known)
        for kind, number in (("neighbors", neighbors), ("shrink", shrink)):
            if not isinstance(number, int) or number < 1:
                raise SettingError(f"{kind} is {number!r}, a whole number of at least 1 is needed.")
        if len(position_gain) != 3 or (widths is not None and not widths):
            raise SettingError("position_gain needs three numbers (t, y, x), and widths at least one.")
        hidden = tuple(widths) if widths is not None else (channels // 4, channels // 2)
        self.channels, self.neighbors, self.shrink, self.head = channels, neighbors, shrink, head
        self.metric, self.position_weight = metric, position_weight
        point_channels = bottleneck or channels
        self.reduce = nn.Sequential(nn.Linear(channels, bottleneck), nn.BatchNorm1d(bottleneck)) if bottleneck else None
        sides = (3 + 2 * point_channels, *hidden) + ((channels,) if head == "before_max" else ())
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in zip(sides, sides[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm1d(outputs) for outputs in sides[1:])
        self.last = nn.Linear(sides[-1], channels) if head == "after_max" else None
        self.last_norm = nn.BatchNorm1d(channels) if head == "after_max" else None
        self._start(last_gain, position_gain, feature_gain)

    def _start(self, last_gain: float, position_gain: tuple[float, float, float], feature_gain: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        final = self.last_norm if self.last_norm is not None else self.norms[-1]
        nn.init.constant_(final.weight, last_gain)  # type: ignore[arg-type]
        with torch.no_grad():
            first: torch.Tensor = self.layers[0].weight  # type: ignore[assignment]
            first[:, :3] *= torch.tensor(position_gain)
            first[: len(first) // 2, 3:] *= feature_gain

    def points(self, x: torch.Tensor) -> torch.Tensor:
        """Features that are matched: [B, C, T, H, W] -> [B, c, T, H // shrink, W // shrink]."""
        batch = len(x)
        if self.reduce is not None:
            x = self.reduce(x.movedim(1, -1).flatten(0, 3)).unflatten(0, (batch, *x.shape[2:])).movedim(-1, 1)
        if self.shrink == 1:
            return x
        frames = x.transpose(1, 2).flatten(0, 1)
        small = F.interpolate(frames, scale_factor=1 / self.shrink, mode="bilinear", align_corners=False, recompute_scale_factor=False)
        return small.unflatten(0, (batch, -1)).transpose(1, 2)

    def match(
        self, features: torch.Tensor, *, neighbors: int | None = None, metric: Metric | None = None, query: torch.Tensor | None = None
    ) -> NearestCells:
        """Propose correspondences with the module's own k and metric, or others; see :func:`propose`."""
        wanted = self.neighbors if neighbors is None else neighbors
        return propose(features, wanted, metric or self.metric, position_weight=self.position_weight, query=query)

    def embed(self, features: torch.Tensor, index: torch.Tensor, *, query: torch.Tensor | None = None) -> torch.Tensor:
        """Run the shared MLP on every (query, proposal) pair: what enters the maximum.

        A pair is ((dt, dy, dx), f_i, f_j), proposal minus query (figure 3). The first layer is linear in it, so it is computed
        per cell and added per pair: equal up to rounding and about k times cheaper.

        Args:
            features: [B, c, T, h, w] from :meth:`points`.
            index: [B, Q, k] from :meth:`match`.
            query: the [Q] cell numbers given to :meth:`match`, if any.

        Returns:
            [B, Q, k, w]: after ReLU (``after_max``), or the last norm's output (``before_max``).
        """
        pairs = self._first_layer(features, index, query)
        for number, norm in enumerate(self.norms):
            if number:
                pairs = self.layers[number](pairs)
            pairs = norm(pairs.flatten(0, 2)).view_as(pairs)
            if self.head == "after_max" or number + 1 < len(self.norms):
                pairs = F.relu(pairs)
        return pairs

    def _first_layer(self, features: torch.Tensor, index: torch.Tensor, query: torch.Tensor | None) -> torch.Tensor:
        """W [dp; f_i; f_j] + b = (W_i f_i - W_p p_i + b) + (W_j f_j + W_p p_j); never in half precision, where p_j - p_i would drown."""
        first: nn.Linear = self.layers[0]  # type: ignore[assignment]
        with full_precision(features):
            features = features.to(first.weight.dtype)
            points = features.flatten(2).transpose(1, 2)  # [B, N, c]
            of_position, of_query, of_proposal = first.weight.split([3, points.shape[2], points.shape[2]], dim=1)
            shift = F.linear(coordinates(features), of_position)
            own = F.linear(points, of_query, first.bias) - shift
            other = F.linear(points, of_proposal) + shift
            own = own if query is None else own[:, query]
            flat = index + torch.arange(len(index), device=index.device)[:, None, None] * points.shape[1]
            return own[:, :, None] + other.flatten(0, 1).index_select(0, flat.flatten()).view(*index.shape, -1)

    def lift(self, strongest: torch.Tensor) -> torch.Tensor:
        """What follows the maximum, cell by cell: [..., w] -> [..., C]; linear but for a constant, nothing in the form ``before_max``."""
        if self.last is None or self.last_norm is None:
            return strongest
        return self.last_norm(self.last(strongest).flatten(0, -2)).unflatten(0, strongest.shape[:-1])

    def expand(self, strongest: torch.Tensor, points_shape: torch.Size, size: torch.Size) -> torch.Tensor:
        """Bring the maxima back to the input's channels and size.

        Args:
            strongest: [B, N, w] maxima over the proposals.
            points_shape: shape of the output of :meth:`points`.
            size: shape [B, C, T, H, W] of the module's input.
        """
        out = self.lift(strongest).transpose(1, 2).unflatten(2, points_shape[2:])
        if self.shrink == 1:
            return out
        grown = F.interpolate(out.transpose(1, 2).flatten(0, 1), size=size[3:], mode="bilinear", align_corners=False)
        return grown.unflatten(0, (size[0], size[2])).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C, T, H, W], to be added to the input."""
        features = self.points(x)
        index = self.match(features).index
        strongest = self.embed(features, index).max(dim=2).values
        return self.expand(strongest, features.shape, x.shape)

    def fixed(self) -> dict[str, str]:
        """Settings that the weights were made for, each with the reason."""
        return {"head": f"the last linear layer stands {self.head.replace('_', ' ')} in these weights."}

    @staticmethod
    def neutral(x: torch.Tensor) -> torch.Tensor:
        """What the module returns when it is switched off: zeros, so that the block is the backbone's own."""
        return torch.zeros_like(x)


def propose(
    features: torch.Tensor, neighbors: int, metric: Metric = "semantic", *, position_weight: float = 10.0, query: torch.Tensor | None = None
) -> NearestCells:
    """Propose correspondences: the k nearest cells of the other frames (section 3.1). Needs no weights.

    Args:
        features: [B, c, T, h, w].
        neighbors: k.
        metric: the space, see :func:`metric_space`.
        position_weight: of the metric ``joint``.
        query: [Q] cell numbers; all cells when None.

    Returns:
        ``index`` [B, Q, k] and ``distance_squared`` [B, Q, k] (in the metric's own unit), ascending.

    Raises:
        SettingError: fewer than k candidates.
        CheckpointError: features that are not finite.
    """
    tied: Literal["any", "lowest"] = "lowest" if metric in ("temporal", "spatiotemporal") else "any"
    return nearest_cells(metric_space(features, metric, position_weight), neighbors, query=query, ties=tied)


def metric_space(features: torch.Tensor, metric: Metric, position_weight: float) -> torch.Tensor:
    """Put features into the space whose squared Euclidean distance is the metric.

    * ``semantic``: ||df||^2, the paper's;
    * ``temporal``: dt^2; ``spatiotemporal``: dt^2 + dy^2 + dx^2 with coordinates index / length in [0, 1)
      (the limits that the paper compares with in section 3.4);
    * ``joint``: ||df||^2 / (c s^2) + position_weight * (dy^2 + dx^2), s the standard deviation of the clip's features.
      This is ours, not the paper's.

    Args:
        features: [B, c, T, h, w].
        metric: name of the space.
        position_weight: of the metric ``joint``.

    Returns:
        [B, d, T, h, w] float32 (float64 for float64 features and for places alone).
    """
    if metric not in get_args(Metric):
        raise unknown_name("metric", metric, get_args(Metric))
    kind = features.dtype if features.dtype == torch.float64 else torch.float32
    features = features.detach().to(kind)
    if metric == "semantic":
        return features
    exact = features.double() if metric in ("temporal", "spatiotemporal") else features  # equal places must tie
    where = coordinates(exact).T.unflatten(1, features.shape[2:])[None].expand(len(features), -1, -1, -1, -1)
    if metric == "temporal":
        return where[:, :1]
    if metric == "spatiotemporal":
        return where
    spread = features.std(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-12)
    scaled = features / (spread * features.shape[1] ** 0.5)
    return torch.cat([scaled, where[:, 1:] * position_weight**0.5], dim=1)


def coordinates(features: torch.Tensor) -> torch.Tensor:
    """[N, 3] (t/T, y/H, x/W) of every cell, frame-major: index divided by length, in [0, 1)."""
    axes = [torch.arange(side, device=features.device, dtype=features.dtype) / side for side in features.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)
