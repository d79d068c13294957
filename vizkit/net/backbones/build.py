"""Builders of the backbones, named in :data:`vizkit.net.backbones.BACKBONES`."""

from __future__ import annotations

from vizkit.net.backbones.resnet import FrameResNet, Stem


def build_frame_resnet(
    num_classes: int, *, depth: int = 18, width: int = 64, stem: Stem = "7x7/2+pool", shift: bool = False, dropout: float = 0.5
) -> FrameResNet:
    """A 2-D ResNet on every frame; see :class:`FrameResNet`."""
    return FrameResNet(depth, num_classes, width=width, stem=stem, shift=shift, dropout=dropout)
