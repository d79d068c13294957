"""The plain way to see time: temporal convolutions where another network has its motion modules, at the same cost.

A network without any view of time loses to one with a motion module by construction. One that spends the same multiply-adds on
depthwise temporal convolutions, in the same places of the same backbone, says what the module itself is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import Record
from vizkit.errors import SettingError
from vizkit.net.backbones.resnet import FrameResNet, Stem, place_of
from vizkit.net.count import count_network

TAPS = 3


class TemporalBlock(nn.Module):
    """1x1x1 convolution, depthwise 3x1x1 convolution, norm, ReLU, 1x1x1 convolution, norm; returns what is added to its input.

    The depthwise separable convolution of R(2+1)D with depthwise temporal convolutions (DCF, table 6) and of X3D (table 1), with
    time as its only extent. Ends are padded with zeros.

    Args:
        channels: of the input.
        hidden: between the two 1x1x1 convolutions.
        last_gain: initial scale of the last norm; with 0 the block adds nothing at first.

    Raises:
        ValueError: a size below one.
    """

    def __init__(self, channels: int, hidden: int, *, last_gain: float = 0.0) -> None:
        super().__init__()
        if channels < 1 or hidden < 1:
            raise ValueError(f"channels is {channels} and hidden is {hidden}, at least 1 is needed of both")
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.temporal = nn.Conv2d(hidden, hidden, (TAPS, 1), padding=(TAPS // 2, 0), groups=hidden, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.reduce = nn.Conv2d(hidden, channels, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(channels)
        for convolution in (self.expand, self.temporal, self.reduce):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
        nn.init.constant_(self.last_norm.weight, last_gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C, T, H, W]."""
        lines = x.flatten(3)  # [B, C, T, H*W]: torch's 2-D depthwise convolution is much faster than its 3-D one on processors
        mixed = F.relu(self.norm(self.temporal(self.expand(lines))))
        added: torch.Tensor = self.last_norm(self.reduce(mixed))
        return added.unflatten(3, x.shape[3:])

    @staticmethod
    def neutral(x: torch.Tensor) -> torch.Tensor:
        """Zeros: what is added when the block is switched off."""
        return torch.zeros_like(x)


def build_temporal(
    num_classes: int,
    *,
    depth: int = 18,
    blocks: Sequence[str] = ("res3.0", "res3.1", "res4.0", "res4.1"),
    hidden: int = 64,
    last_gain: float = 0.0,
    width: int = 64,
    stem: Stem = "7x7/2+pool",
    dropout: float = 0.5,
) -> FrameResNet:
    """Build a frame-wise ResNet with temporal convolutions in some of its residual blocks.

    Args:
        num_classes: outputs.
        depth: of the ResNet.
        blocks: ``"stage.position"`` of the residual blocks that carry temporal convolutions.
        hidden: channels of these convolutions; :func:`solve_hidden` finds those that cost what another network costs.
        last_gain: initial scale of each block's last norm.
        width: channels of res2.
        stem: see :class:`FrameResNet`.
        dropout: before the last layer.

    Raises:
        ValueError: a block that the ResNet does not have, or a size below one.
    """

    def build(channels: int) -> nn.Module:
        return TemporalBlock(channels, hidden, last_gain=last_gain)

    plan = dict.fromkeys(map(place_of, blocks), build)
    return FrameResNet(depth, num_classes, width=width, stem=stem, motion=plan, dropout=dropout)


@dataclass(frozen=True, repr=False)
class EqualCost(Record):
    """A hidden width, and how near it comes to the cost that was asked for."""

    hidden: int
    """Channels of the temporal convolutions."""
    gmacs: float
    """Multiply-adds in 1e9 of one clip, with this width."""
    wanted_gmacs: float
    """Those of the network to compare with."""
    rest_percent: float
    """How much more they are than wanted, in percent of what was wanted; below zero if they are fewer."""


def solve_hidden(network: nn.Module, build: Callable[[int], nn.Module], *, frames: int, size_px: int) -> EqualCost:
    """Find the hidden width at which a network with temporal convolutions costs what another network costs.

    Args:
        network: the network to compare with, counted by :func:`vizkit.net.count.count_network`.
        build: builder of the network with temporal convolutions from ``hidden``, e.g. a partial of :func:`build_temporal`.
        frames: of the clip that both are counted on.
        size_px: its side.

    Returns:
        The nearest width, as multiply-adds rise by the same amount with each hidden channel.

    Raises:
        SettingError: the other network costs less than one hidden channel in every block.
    """
    wanted, one, two = (count_network(module, frames, size_px).gmacs for module in (network, build(1), build(2)))
    if wanted < one:
        raise SettingError(
            f"The network to compare with costs {wanted:.6g} GMACs, but hidden = 1 costs {one:.6g}; name fewer or deeper blocks.",
            code="cost",
        )
    hidden = 1 + round((wanted - one) / (two - one))
    gmacs = count_network(build(hidden), frames, size_px).gmacs
    return EqualCost(hidden, gmacs, wanted, 100 * (gmacs - wanted) / wanted)
