"""The tiny R2D: what it sees, where its stages lie, where modules go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizkit.net.backbones.tiny import build_tiny_r2d


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(2, 3, 6, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_order_of_frames_does_not_matter(clip: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = build_tiny_r2d(8, width=4).eval()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        logits = network(clip)
        assert logits.shape == (2, 8)
        torch.testing.assert_close(network(clip[:, :, order]), logits)
        assert not torch.allclose(network(clip.flip(3)), logits)


def test_stages_keep_all_frames(clip: torch.Tensor) -> None:
    network = build_tiny_r2d(8, width=4).eval()
    assert [(stage.name, stage.channels, stage.stride_px, stage.stride_frames) for stage in network.stages] == [
        ("res2", 16, 2, 1), ("res3", 32, 4, 1), ("res4", 64, 8, 1), ("res5", 128, 8, 1),
    ]  # fmt: skip
    with torch.no_grad():
        maps = network.features(clip)
    assert [tuple(maps[stage.name].shape[1:]) for stage in network.stages] == [
        (16, 6, 16, 16),
        (32, 6, 8, 8),
        (64, 6, 4, 4),
        (128, 6, 4, 4),
    ]


def test_modules_are_built_for_channels_and_frames() -> None:
    asked = []

    def build(channels: int, frames: int) -> nn.Module:
        asked.append((channels, frames))
        return nn.Identity()

    network = build_tiny_r2d(8, width=4, frames=5, inserted={("res2", 0): build, ("res4", 0): build})
    assert asked == [(16, 5), (64, 5)]
    assert [block.name for block in network.blocks] == ["res2.0", "res4.0"]
