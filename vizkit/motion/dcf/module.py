"""The DCF block: correlation with neighbouring frames over a long temporal range, carried on through a spatial pyramid.

Source: "Dense Correlation Fields for Motion Modeling in Action Recognition", sections 3.1 to 3.3, algorithm 1, appendix B. The lines that
algorithm 1 lost are filled in from section 3.2 and figure 3; what the paper leaves open is listed in docs/dcf.md.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.errors import SettingError, unknown_name
from vizkit.net.ops import correlate

ResidualInit = Literal["near_identity", "scratch", "frozen_identity"]
Activation = Literal["inside", "outside"]

NEAR_IDENTITY_GAIN = 1e-3  # exactly 0 under a ReLU has no gradient: the block would never train


def frame_offsets(temporal_range: int) -> tuple[int, ...]:
    """Offsets of the frames that a frame is compared with, in the order of the volume (equation 2): -L..-1, 1..L."""
    return (*range(-temporal_range, 0), *range(1, temporal_range + 1))


def correlation_volume(x: torch.Tensor, *, patch: int = 5, temporal_range: int = 2) -> torch.Tensor:
    """Correlate every frame with the frames around it (equations 1 and 2).

    Channel ``block * patch^2 + iy * patch + ix`` is the dot product, over sqrt(C), of a cell with the cell displaced by
    ``(dy, dx) = ((iy - R) * d, (ix - R) * d)`` in the frame ``offset`` time steps away, R = (patch - 1) / 2, zero outside the map. The
    dilation d is |offset|, so constant velocity stays on the same channel of every block; past the ends the end frame is repeated.

    Args:
        x: [B, C, T, H, W].
        patch: K, cells on a side of the neighbourhood, odd.
        temporal_range: L, time steps each way.

    Returns:
        [B, 2 * L * patch^2, T, H, W], one block for each of :func:`frame_offsets`.

    Raises:
        SettingError: a patch or a range that cannot be, or another number of axes.
    """
    if temporal_range < 1:
        raise SettingError(f"temporal_range is {temporal_range}, but whole numbers from 1 up are accepted.", code="temporal_range")
    if x.dim() != 5:
        raise SettingError(f"x has shape {tuple(x.shape)}, but 5 axes [B, C, T, H, W] are accepted.", code="shape")
    here = torch.arange(x.shape[2], device=x.device)
    blocks = []
    for offset in frame_offsets(temporal_range):
        there = x.index_select(2, (here + offset).clamp(0, x.shape[2] - 1))
        blocks.append(correlate(x, there, patch=patch, dilation=abs(offset), scale="sqrt"))
    return torch.cat(blocks, dim=1)


def pool_volume(volume: torch.Tensor) -> torch.Tensor:
    """Halve a volume in space by the mean of 2 x 2 cells, as a stage with stride 2 halves its map: odd sides round up.

    Args:
        volume: [B, channels, T, H, W].

    Returns:
        [B, channels, T, ceil(H / 2), ceil(W / 2)]; a cell at an odd edge is the mean of those that exist.
    """
    pooled = F.avg_pool2d(volume.flatten(1, 2), 2, 2, ceil_mode=True, count_include_pad=False)
    return pooled.unflatten(1, volume.shape[1:3])


class DCFBlock(nn.Module):
    """Correlation block with a residual connection (algorithm 1, figure 3c): ``(features, carried) -> (features, carried)``.

    The steps are public and are what :meth:`forward` runs: :meth:`reduce`, :meth:`correlate`, :meth:`join`, :meth:`merge`,
    :meth:`carry`. Analyses call the same steps again on a tapped input.

    Args:
        channels: C, of the features.
        reduced: D, channels that are correlated (C / 2 in the paper's X3D, C / 4 in its R(2+1)D).
        patch: K.
        temporal_range: L.
        carried_channels: channels of the volume that comes from the stages before; 0 for the first block.
        residual_init: start of the scale of the norm before the addition: ``"near_identity"`` 1e-3 (0 with ``act="outside"``),
            ``"scratch"`` 1, ``"frozen_identity"`` 0, which leaves the features untouched to the bit. With ``act="inside"`` a scale of
            exactly 0 has no gradient, so a block frozen like that never trains.
        act: the ReLU ``"inside"`` the branch, as the paper's order of layers has it, or ``"outside"``, after the addition.
        pyramid: take and carry on volumes; False leaves the stages apart (the paper's ablation).

    Raises:
        SettingError: a setting outside what is accepted.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduced: int,
        patch: int = 5,
        temporal_range: int = 2,
        carried_channels: int = 0,
        residual_init: ResidualInit = "near_identity",
        act: Activation = "inside",
        pyramid: bool = True,
    ) -> None:
        super().__init__()
        for kind, name, known in (("residual_init", residual_init, get_args(ResidualInit)), ("act", act, get_args(Activation))):
            if name not in known:
                raise unknown_name(kind, name, known)
        for kind, number in (("channels", channels), ("reduced", reduced), ("temporal_range", temporal_range)):
            if number < 1:
                raise SettingError(f"{kind} is {number}, but whole numbers from 1 up are accepted.", code=kind)
        if patch < 1 or patch % 2 == 0:
            raise SettingError(f"patch is {patch}, but an odd number of cells from 1 up is accepted.", code="patch")
        if carried_channels < 0 or (carried_channels and not pyramid):
            raise SettingError(f"carried_channels is {carried_channels}, but 0 is accepted without a pyramid, 0 or more with one.")
        self.patch, self.temporal_range, self.carried_channels = patch, temporal_range, carried_channels
        self.act, self.pyramid = act, pyramid
        self.conv1 = nn.Conv3d(channels, reduced, 1, bias=False)
        self.conv2 = nn.Conv3d(self.own_channels + carried_channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.orthogonal_(self.conv1.weight)  # keeps dot products, so that an untrained block shows the features' motion
        nn.init.kaiming_normal_(self.conv2.weight, nonlinearity="relu")
        gains = {"near_identity": NEAR_IDENTITY_GAIN if act == "inside" else 0.0, "scratch": 1.0, "frozen_identity": 0.0}
        nn.init.constant_(self.norm.weight, gains[residual_init])

    @property
    def own_channels(self) -> int:
        """Channels of the block's own volume, 2 L K^2."""
        return 2 * self.temporal_range * self.patch**2

    @property
    def joined_channels(self) -> int:
        """Channels of the volume that it carries on; 0 without a pyramid."""
        return self.own_channels + self.carried_channels if self.pyramid else 0

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """Line 1, x = Conv1(F): [B, C, T, H, W] -> [B, D, T, H, W]."""
        reduced: torch.Tensor = self.conv1(features)
        return reduced

    def correlate(self, reduced: torch.Tensor) -> torch.Tensor:
        """Line 2, the block's own volume S: [B, D, T, H, W] -> [B, 2 L K^2, T, H, W]; see :func:`correlation_volume`."""
        return correlation_volume(reduced, patch=self.patch, temporal_range=self.temporal_range)

    def join(self, volume: torch.Tensor, carried: torch.Tensor | None) -> torch.Tensor:
        """Line 3, P = cat(S, C_in), own volume first; a volume from further up is halved until it fits.

        Args:
            volume: [B, 2 L K^2, T, H, W] from :meth:`correlate`.
            carried: [B, carried_channels, T, H', W'] that the block before carried on, or None for the first block.

        Raises:
            SettingError: a carried volume of other channels, frames or sides than the block was built for.
        """
        got = 0 if carried is None else carried.shape[1]
        if got != self.carried_channels:
            raise SettingError(f"carried has {got} channels, but this block takes {self.carried_channels}.", code="carried")
        if carried is None:
            return volume
        fitting = carried
        while fitting.shape[3] > volume.shape[3] or fitting.shape[4] > volume.shape[4]:
            fitting = pool_volume(fitting)
        if (len(fitting), *fitting.shape[2:]) != (len(volume), *volume.shape[2:]):
            wanted = f"batch, frames and sides {(len(volume), *volume.shape[2:])}"
            raise SettingError(
                f"carried has shape {tuple(carried.shape)}, but {wanted} are accepted, or sides that halving brings there.", code="carried"
            )
        return torch.cat([volume, fitting], dim=1)

    def merge(self, features: torch.Tensor, joined: torch.Tensor) -> torch.Tensor:
        """Lines 4 and 5, F' = F + ReLU(BN(Conv2(P))): [B, C, T, H, W]."""
        change = self.norm(self.conv2(joined))
        return features + F.relu(change) if self.act == "inside" else F.relu(features + change)

    def carry(self, joined: torch.Tensor) -> torch.Tensor | None:
        """Line 6, C_out = Pool(P) for the next block; None without a pyramid."""
        return pool_volume(joined) if self.pyramid else None

    def forward(self, features: torch.Tensor, carried: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """[B, C, T, H, W] and the carried volume -> the enhanced features and the volume for the next block."""
        joined = self.join(self.correlate(self.reduce(features)), carried)
        return self.merge(features, joined), self.carry(joined)

    def fixed(self) -> dict[str, str]:
        """Settings that the weights were made for, each with the reason."""
        own = f"2 x {self.temporal_range} offsets x {self.patch} x {self.patch} = {self.own_channels}"
        reason = f"the block's second convolution has a learned weight for each of the {own} correlations of its own volume."
        return {"patch": reason, "temporal_range": reason}

    def neutral(self, features: torch.Tensor, carried: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What leaves the block when it is switched off: the features untouched, and the volume that the next block was trained with."""
        return features, self.carry(self.join(self.correlate(self.reduce(features)), carried))
