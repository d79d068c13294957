"""Where the differences go in a ResNet."""

from __future__ import annotations

from vizkit.motion.sixth.module import DifferenceModule
from vizkit.net.backbones.resnet import FrameResNet, Stem


def build_sixth(num_classes: int, *, depth: int = 18, width: int = 64, stem: Stem = "7x7/2+pool", dropout: float = 0.5) -> FrameResNet:
    """Build a frame-wise ResNet with one difference module after the first block of res3."""
    return FrameResNet(depth, num_classes, width=width, stem=stem, motion={("res3", 0): DifferenceModule}, dropout=dropout)
