"""The paper's toy experiment (section 4, table 1, figure 4): its clips and its networks.

A square of 2 x 2 px jumps left, right, up or down; the label is the direction. A jump is longer than the 5 x 5 px that the two
convolutions see, so that only a network that relates far cells *and* knows where they lie can tell the label.

Two choices that the paper leaves open: padding is circular, as under zero padding the ends of the tracks lie so near to the border that
its truncated features give the label away without any motion (``padding="zero"`` shows it); and global pooling is the maximum, as a
few cells of thousands are active.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vizkit.motion.cpnet.module import CPModule

Padding = Literal["circular", "zero"]

CHANNELS, FRAMES, CLASSES, SQUARE_PX = 16, 4, 4, 2


def jumping_squares(count: int, rng: np.random.Generator, *, side_px: int, jump_px: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of one white square that jumps over black (figure 4).

    Each step's length is drawn from ``jump_px``, the start from all places that keep the whole track inside the frame.

    Args:
        count: number of clips; as many of each label where it is a multiple of four.
        rng: draws everything.
        side_px: side S of the frames.
        jump_px: shortest and longest jump of a step.

    Returns:
        Clips float32 [count, 1, 4, S, S] of 0 and 1, and labels int64 [count]: 0 left, 1 right, 2 up, 3 down.
    """
    clips = torch.zeros(count, 1, FRAMES, side_px, side_px)
    labels = rng.permutation(np.arange(count) % CLASSES)
    places = side_px - SQUARE_PX + 1
    for clip, label in zip(clips, labels, strict=True):
        track = np.concatenate([[0], rng.integers(jump_px[0], jump_px[1] + 1, FRAMES - 1).cumsum()])
        along = rng.integers(places - track[-1]) + track
        cross = int(rng.integers(places))
        for t, place in enumerate(along[-1] + along[0] - along if label % 2 == 0 else along):  # left and up run downwards
            x, y = (int(place), cross) if label < 2 else (cross, int(place))
            clip[0, t, y : y + SQUARE_PX, x : x + SQUARE_PX] = 1
    return clips, torch.from_numpy(labels)


class PaddedConv(nn.Module):
    """A convolution that keeps the size, with its norm: circular or zero padding in space, zeros in time."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int], padding: Padding) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=(kernel[0] // 2, 0, 0), bias=False)
        self.norm = nn.BatchNorm3d(outputs)
        self.edge_px = (kernel[2] // 2,) * 2 + (kernel[1] // 2,) * 2 + (0, 0)
        self.mode = "circular" if padding == "circular" else "constant"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, outputs, T, H, W]."""
        return self.norm(self.conv(F.pad(x, self.edge_px, mode=self.mode)))


class ToyNetwork(nn.Module):
    """conv1, something added to its output, ReLU, conv2, ReLU, maximum over the frame, head (table 1).

    Args:
        first: conv1 with its norm.
        motion: what is added to conv1's output, or None.
        second: conv2 with its norm.
        head: [B, T, C] maxima over each frame -> logits; None for the maximum over time and a linear layer.
    """

    def __init__(self, first: nn.Module, motion: nn.Module | None, second: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.motion, self.second = first, motion, second
        self.head = head or StrongestFrame()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """[B, 1, T, S, S] -> [B, 4]."""
        x = self.first(clips)
        if self.motion is not None:
            x = x + self.motion(x)
        x = F.relu(self.second(F.relu(x)))
        return self.head(x.amax((3, 4)).transpose(1, 2))


class StrongestFrame(nn.Module):
    """The maximum over time, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, C] -> [B, 4]."""
        return self.fc(frames.amax(1))


class TemporalRelation(nn.Module):
    """Multi-scale temporal relation: one MLP for all ordered subsets of 2, of 3 and of 4 frames, summed (TRN, Zhou et al., ECCV 2018)."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(nn.Linear(size * CHANNELS, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)) for size in range(2, FRAMES + 1)
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, C] -> [B, 4]."""
        said = [
            scale(frames[:, list(subset)].flatten(1))
            for size, scale in enumerate(self.scales, start=2)
            for subset in combinations(range(FRAMES), size)
        ]
        return torch.stack(said).sum(0)


class NonLocal(nn.Module):
    """Non-local block, embedded Gaussian, half the channels inside (Wang et al., CVPR 2018, equation 6); returns what is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv3d(channels, channels // 2, 1) for _ in range(3))
        self.out = nn.Conv3d(channels // 2, channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C, T, H, W]: every cell attends to every cell of the clip."""
        query, key, value = (part(x).flatten(2).transpose(1, 2)[:, None] for part in (self.query, self.key, self.value))  # [B, 1, N, C/2]
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return self.norm(self.out(mixed.transpose(1, 2).unflatten(2, x.shape[2:])))


class Smart(nn.Module):
    """Appearance branch (2-D) and squared relation branch (3-D), fused (ARTNet's SMART block, Wang et al., CVPR 2018)."""

    def __init__(self, channels: int, padding: Padding) -> None:
        super().__init__()
        self.appearance = PaddedConv(channels, channels, (1, 3, 3), padding)
        self.relation = PaddedConv(channels, channels, (3, 3, 3), padding)
        self.relation_norm = nn.BatchNorm3d(channels)
        self.fuse = PaddedConv(2 * channels, channels, (1, 1, 1), padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C, T, H, W]."""
        relation = self.relation_norm(self.relation(x) ** 2)
        return self.fuse(F.relu(torch.cat([self.appearance(x), relation], 1)))


class CPStart(NamedTuple):
    """How the CP module starts; as the paper has it by default."""

    last_gain: float = 0.0
    """Scale of its last norm."""
    position_gain: float = 1.0
    """Factor on the first layer's weights of dy and dx."""


def build_toy(name: str, padding: Padding = "circular", start: CPStart = CPStart()) -> ToyNetwork:  # noqa: B008
    """One of the networks of table 1, and C2D, which has nothing between the convolutions.

    Args:
        name: ``"CPNet"``, ``"NL"``, ``"TRN"``, ``"ART"`` or ``"C2D"``.
        padding: of every convolution.
        start: of the CP module.
    """
    first = PaddedConv(1, CHANNELS, (3, 3, 3) if name == "ART" else (1, 3, 3), padding)
    if name == "CPNet":
        gain = (1.0, start.position_gain, start.position_gain)
        motion = CPModule(CHANNELS, neighbors=8, widths=(32, 32), last_gain=start.last_gain, position_gain=gain)
        return ToyNetwork(first, motion, PaddedConv(CHANNELS, CHANNELS, (1, 3, 3), padding))
    if name == "NL":
        return ToyNetwork(first, NonLocal(CHANNELS), PaddedConv(CHANNELS, CHANNELS, (3, 1, 1), padding))
    if name == "ART":
        return ToyNetwork(first, None, Smart(CHANNELS, padding))
    head = TemporalRelation() if name == "TRN" else None
    return ToyNetwork(first, None, PaddedConv(CHANNELS, CHANNELS, (1, 3, 3), padding), head)
