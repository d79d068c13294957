"""Backbones that publish their stages. Listing them loads no torch."""

from __future__ import annotations

from vizkit.net.architecture import MFNET_MEAN, MFNET_STD, X3D_MEAN, X3D_STD, Architecture, Published
from vizkit.net.published import IMAGENET, TORCHVISION

RESNET = "vizkit.net.backbones.build:build_frame_resnet"
TEMPORAL = "vizkit.net.temporal:build_temporal"
R2PLUS1D = "vizkit.net.backbones.r2plus1d:build_r2plus1d"
DEPTHWISE = "vizkit.net.backbones.depthwise:build_depthwise"
X3D = "vizkit.net.backbones.x3d:build_x3d"
MFNET = "vizkit.net.backbones.mfnet:build_mfnet"
R3D = "vizkit.net.backbones.r3d:build_r3d"
VIT = "vizkit.net.backbones.vit:build_vit"
DEPTH_50, DEPTH_101 = (3, 4, 6, 3), (3, 4, 23, 3)

CPNET_COUNTING = "convolution and linear weights without biases and norms, divided by 2^20"
MULTIPLY_ADDS = "multiply-adds of convolutions and linear layers in 1e9"
ZOO_COUNTING = f"all parameters in 1e6; {MULTIPLY_ADDS}"
APPEARANCE_COUNTING = f"{ZOO_COUNTING}, and 2 per element of a norm, on 8 frames of 256 x 256"
VIT_COUNTING = "all parameters in 1e6 (86.3 fits no variant that we counted); 2 per multiply-add with weights in 1e9, without attention"
MFNET_COUNTING = f"{ZOO_COUNTING}, and 1 per element of a norm"
OLD_ZOO_COUNTING = f"{ZOO_COUNTING}, and 5 per element of a norm, on 16 frames of 256 x 256"


def _zoo(gmacs: float) -> Published:
    """X3D as PySlowFast's model zoo has it."""
    return Published(3.8, gmacs, ZOO_COUNTING, unit=1e6, every_parameter=True)


BACKBONES: tuple[Architecture, ...] = (
    Architecture(
        "c2d-18", "", "ResNet-18 on every frame", RESNET, {"depth": 18}, 174,
        published=Published(10.7, None, CPNET_COUNTING), weights=IMAGENET[18],
    ),
    Architecture(
        "c2d-34", "", "ResNet-34 on every frame", RESNET, {"depth": 34}, 174,
        published=Published(20.3, None, CPNET_COUNTING), weights=IMAGENET[34],
    ),
    Architecture("c2d-50", "", "ResNet-50 on every frame", RESNET, {"depth": 50}, weights=IMAGENET[50]),
    Architecture("c2d-101", "", "ResNet-101 on every frame", RESNET, {"depth": 101}, weights=IMAGENET[101]),
    Architecture("tsm-18", "", "ResNet-18 with temporal shift", RESNET, {"depth": 18, "shift": True}, 174, weights=IMAGENET[18]),
    Architecture(
        "tsm-50", "", "ResNet-50 with temporal shift", RESNET, {"depth": 50, "shift": True}, 174,
        published=Published(23.8, 42.9, APPEARANCE_COUNTING, unit=1e6, every_parameter=True, size_px=256, norm_macs=2),
        weights=IMAGENET[50],
    ),
    Architecture(
        "temporal-18", "", "ResNet-18 on every frame, depthwise temporal convolutions", TEMPORAL, {"depth": 18}, 174, weights=IMAGENET[18],
    ),
    Architecture(
        "vit-b", "", "ViT-B/16 on every frame", VIT, {}, 174,
        published=Published(86.3, 269, VIT_COUNTING, unit=1e6, every_parameter=True, flops=2, products=False),
    ),
    Architecture(
        "r2d-26", "", "R2D-26, frames meet in maxima", R2PLUS1D, {"temporal": False}, frames=16,
        published=Published(None, 27.5, MULTIPLY_ADDS),
    ),
    Architecture("r2plus1d-26", "", "R(2+1)D-26", R2PLUS1D, frames=16, published=Published(None, 36.0, MULTIPLY_ADDS)),
    Architecture(
        "r2plus1d-50", "", "R(2+1)D-50", R2PLUS1D, {"layout": DEPTH_50}, frames=16,
        published=Published(28.11, 76.45, OLD_ZOO_COUNTING, unit=1e6, every_parameter=True, frames=16, size_px=256, norm_macs=5),
    ),
    Architecture("r2plus1d-101", "", "R(2+1)D-101", R2PLUS1D, {"layout": DEPTH_101}, frames=16),
    Architecture("r2plus1d-dw-50", "", "R(2+1)D-50, depthwise in time", DEPTHWISE, {"layout": DEPTH_50}, 174, weights=IMAGENET[50]),
    Architecture("r2plus1d-dw-101", "", "R(2+1)D-101, depthwise in time", DEPTHWISE, {"layout": DEPTH_101}, 174, weights=IMAGENET[101]),
    Architecture("x3d-xs", "", "X3D", X3D, frames=4, size_px=160, published=_zoo(0.60), mean=X3D_MEAN, std=X3D_STD),
    Architecture("x3d-s", "", "X3D", X3D, frames=13, size_px=160, published=_zoo(1.96), mean=X3D_MEAN, std=X3D_STD),
    Architecture("x3d-m", "", "X3D", X3D, frames=16, published=_zoo(4.73), mean=X3D_MEAN, std=X3D_STD),
    Architecture(
        "mfnet", "", "MFNet-3D", MFNET, frames=16, mean=MFNET_MEAN, std=MFNET_STD,
        published=Published(8.0, 11.1, MFNET_COUNTING, unit=1e6, every_parameter=True, norm_macs=1),
    ),
    Architecture("r3d-50", "", "ResNet-50 inflated to 1 x k x k", R3D, {}, 51, weights=IMAGENET[50]),
) + TORCHVISION  # fmt: skip
"""Networks without a motion module of the five papers."""
