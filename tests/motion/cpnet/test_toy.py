"""The paper's toy experiment (table 1) at the size of a CPU test: cpnet.md section 8.

A 2 x 2 square jumps left, right, up or down by 6 px in each of three steps on 24 x 24 pixels; the label is the direction. Nothing
local tells it, since frames are translates of each other and padding is circular. One seed of weights and data; the last norm starts
at 1, as there is no pretrained backbone to protect (a deviation from the paper, as there).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vizkit.motion.cpnet.module import CPModule

SIDE, FRAMES, JUMP, CHANNELS = 24, 4, 6, 16
TRAIN, VALIDATION, EPOCHS, BATCH = 400, 200, 4, 4


def squares(count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips [N, 1, T, S, S] and labels [N]: 0 left, 1 right, 2 up, 3 down, as many of each."""
    clips = torch.zeros(count, 1, FRAMES, SIDE, SIDE)
    labels = rng.permutation(np.arange(count) % 4)
    for clip, label in zip(clips, labels, strict=True):
        cross = int(rng.integers(SIDE - 1))
        start = int(rng.integers(SIDE - 1 - JUMP * (FRAMES - 1)))
        along = start + JUMP * np.arange(FRAMES)
        for t, place in enumerate(along[::-1] if label % 2 == 0 else along):
            x, y = (int(place), cross) if label < 2 else (cross, int(place))
            clip[0, t, y : y + 2, x : x + 2] = 1
    return clips, torch.from_numpy(labels)


class Toy(nn.Module):
    """Two frame-wise convolutions with the CP module, or nothing, between them."""

    def __init__(self, motion: CPModule | None) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, CHANNELS, (1, 3, 3), padding=(0, 1, 1), padding_mode="circular", bias=False)
        self.second = nn.Conv3d(CHANNELS, CHANNELS, (1, 3, 3), padding=(0, 1, 1), padding_mode="circular", bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm3d(CHANNELS), nn.BatchNorm3d(CHANNELS)
        self.motion = motion
        self.fc = nn.Linear(CHANNELS, 4)

    def embed(self, clips: torch.Tensor) -> torch.Tensor:
        """What the module sees: [B, C, T, S, S]."""
        return self.first_norm(self.first(clips))  # type: ignore[no-any-return]

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.embed(clips)
        if self.motion is not None:
            x = x + self.motion(x)
        x = F.relu(self.second_norm(self.second(F.relu(x))))
        return self.fc(x.amax((2, 3, 4)))  # type: ignore[no-any-return]


def fit(network: Toy, clips: torch.Tensor, labels: torch.Tensor) -> None:
    steps = EPOCHS * len(clips) // BATCH
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.005, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(clips)).split(BATCH):
            loss = F.cross_entropy(network(clips[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()


@torch.no_grad()
def accuracy(network: Toy, clips: torch.Tensor, labels: torch.Tensor) -> float:
    said = torch.cat([network(part).argmax(1) for part in clips.split(20)])
    return float((said == labels).float().mean())


def trained(motion: CPModule | None) -> tuple[Toy, torch.Tensor, torch.Tensor]:
    """A trained network with the validation clips and their labels."""
    rng = np.random.default_rng(0)
    clips, labels = squares(TRAIN, rng)
    validation = squares(VALIDATION, rng)
    network = Toy(motion)
    fit(network, clips, labels)
    return network, *validation


@pytest.mark.slow
def test_without_the_module_direction_cannot_be_learnt() -> None:
    torch.manual_seed(0)
    assert accuracy(*trained(None)) <= 0.32


@pytest.mark.slow
def test_with_the_module_direction_is_learnt_and_the_change_lies_on_the_square() -> None:
    torch.manual_seed(0)
    network, clips, labels = trained(CPModule(CHANNELS, neighbors=8, widths=(32, 32), last_gain=1.0))
    assert accuracy(network, clips, labels) >= 0.90
    assert network.motion is not None
    with torch.no_grad():
        change = network.motion(network.embed(clips[:20])).abs().sum(1)  # [B, T, S, S]
    square = clips[:20, 0] > 0
    near = F.max_pool2d(square.float(), 5, 1, 2).bool()
    assert float(change[square].mean()) >= 5 * float(change[~near].mean())
