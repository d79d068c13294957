"""Backbones that publish their stages. Listing them loads no torch."""

from __future__ import annotations

from vizkit.net.architecture import Architecture, Published

RESNET = "vizkit.net.backbones.build:build_frame_resnet"
CPNET_COUNTING = "convolution and linear weights without biases and norms, divided by 2^20"

BACKBONES: tuple[Architecture, ...] = (
    Architecture("c2d-18", "", "ResNet-18 on every frame", RESNET, {"depth": 18}, 174, published=Published(10.7, None, CPNET_COUNTING)),
    Architecture("c2d-34", "", "ResNet-34 on every frame", RESNET, {"depth": 34}, 174, published=Published(20.3, None, CPNET_COUNTING)),
    Architecture("c2d-50", "", "ResNet-50 on every frame", RESNET, {"depth": 50}),
    Architecture("c2d-101", "", "ResNet-101 on every frame", RESNET, {"depth": 101}),
    Architecture("tsm-18", "", "ResNet-18 with temporal shift", RESNET, {"depth": 18, "shift": True}, 174),
)
"""Networks without a motion module of the five papers."""
