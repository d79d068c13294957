"""Differences of features between neighbouring frames."""

from __future__ import annotations

import torch
from torch import nn


class DifferenceModule(nn.Module):
    """A linear layer on the difference to the frame before.

    Args:
        channels: C of the input [B, C, T, H, W].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv3d(channels, channels, 1, bias=False)

    def differ(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] difference to the frame before; zero in the first frame."""
        return torch.diff(x, dim=2, prepend=x[:, :, :1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the input."""
        added: torch.Tensor = self.expand(self.differ(x))
        return added

    def neutral(self, x: torch.Tensor) -> torch.Tensor:
        """What is added when the block is switched off."""
        return torch.zeros_like(x)
