"""Networks and weights that torchvision publishes, written out so that listing them loads nothing."""

from __future__ import annotations

from typing import Any

from vizkit.net.architecture import IMAGENET_MEAN, IMAGENET_STD, Architecture, Published, PublishedWeights

_BUILD = "vizkit.net.backbones.torchvision_video:"
_COUNTING = "all parameters in 1e6; multiply-adds of convolutions, linear layers and matrix products in 1e9, on 16 frames"

_SMALL: dict[str, Any] = {
    "mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989), "frames_per_second": 15.0,
    "short_side_px": 128, "crop_px": 112, "resize_hw": (128, 171),
}  # fmt: skip
_S3D: dict[str, Any] = {**_SMALL, "short_side_px": 256, "crop_px": 224, "resize_hw": (256, 256)}
_MVIT: dict[str, Any] = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "frames_per_second": 7.5}
_SWIN: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "frames_per_second": 15.0}


def _kinetics(source: str, file: str, like: dict[str, Any], name: str = "kinetics") -> PublishedWeights:
    return PublishedWeights(name, source, file, 400, **like)


def _imagenet(depth: int, digest_start: str) -> tuple[PublishedWeights, ...]:
    source, file = f"ResNet{depth}_Weights.IMAGENET1K_V1", f"resnet{depth}-{digest_start}.pth"
    return (PublishedWeights("imagenet", source, file, 1000, IMAGENET_MEAN, IMAGENET_STD),)


def _figures(params: int, gmacs: float) -> Published:
    return Published(params / 1e6, gmacs, _COUNTING, unit=1e6, every_parameter=True, frames=16)


IMAGENET: dict[int, tuple[PublishedWeights, ...]] = {
    18: _imagenet(18, "f37072fd"),
    34: _imagenet(34, "b627a593"),
    50: _imagenet(50, "0676ba61"),
    101: _imagenet(101, "63fe2227"),
}
"""Depth of a ResNet -> its image weights."""

TORCHVISION: tuple[Architecture, ...] = (
    Architecture(
        "r3d_18", "", "3-D ResNet-18", f"{_BUILD}build_video_resnet", {"kind": "r3d_18"}, 400, 16, 112, _figures(33371472, 40.697),
        (_kinetics("R3D_18_Weights.KINETICS400_V1", "r3d_18-b3b3357e.pth", _SMALL),),
    ),
    Architecture(
        "mc3_18", "", "ResNet-18, 3-D in res2 only", f"{_BUILD}build_video_resnet", {"kind": "mc3_18"}, 400, 16, 112,
        _figures(11695440, 43.343), (_kinetics("MC3_18_Weights.KINETICS400_V1", "mc3_18-a90a0ba3.pth", _SMALL),),
    ),
    Architecture(
        "r2plus1d_18", "", "R(2+1)D-18", f"{_BUILD}build_video_resnet", {"kind": "r2plus1d_18"}, 400, 16, 112,
        _figures(31505325, 40.519), (_kinetics("R2Plus1D_18_Weights.KINETICS400_V1", "r2plus1d_18-91a641e6.pth", _SMALL),),
    ),
    Architecture(
        "s3d", "", "Separable 3-D Inception", f"{_BUILD}build_s3d", {}, 400, 128, 224, _figures(8320048, 17.979),
        (_kinetics("S3D_Weights.KINETICS400_V1", "s3d-d76dad2f.pth", _S3D),),
    ),
    Architecture(
        "mvit_v1_b", "", "Multiscale vision transformer", f"{_BUILD}build_mvit", {"kind": "mvit_v1_b"}, 400, 16, 224,
        _figures(36610672, 70.599), (_kinetics("MViT_V1_B_Weights.KINETICS400_V1", "mvit_v1_b-dbeb1030.pth", _MVIT),),
    ),
    Architecture(
        "mvit_v2_s", "", "Multiscale vision transformer", f"{_BUILD}build_mvit", {"kind": "mvit_v2_s"}, 400, 16, 224,
        _figures(34537744, 64.224), (_kinetics("MViT_V2_S_Weights.KINETICS400_V1", "mvit_v2_s-ae3be167.pth", _MVIT),),
    ),
    Architecture(
        "swin3d_t", "", "Video Swin transformer", f"{_BUILD}build_swin3d", {}, 400, 32, 224, _figures(28158070, 43.882),
        (_kinetics("Swin3D_T_Weights.KINETICS400_V1", "swin3d_t-7615ae03.pth", _SWIN),),
    ),
    Architecture(
        "swin3d_s", "", "Video Swin transformer", f"{_BUILD}build_swin3d", {"depths": (2, 2, 18, 2)}, 400, 32, 224,
        _figures(49816678, 82.841), (_kinetics("Swin3D_S_Weights.KINETICS400_V1", "swin3d_s-da41c237.pth", _SWIN),),
    ),
    Architecture(
        "swin3d_b", "", "Video Swin transformer", f"{_BUILD}build_swin3d", {"depths": (2, 2, 18, 2), "width": 128}, 400, 32, 224,
        _figures(88048984, 140.667),
        (
            _kinetics("Swin3D_B_Weights.KINETICS400_V1", "swin3d_b_1k-24f7c7c6.pth", _SWIN),
            _kinetics("Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1", "swin3d_b_22k-7c6ae6fa.pth", _SWIN, "kinetics-imagenet22k"),
        ),
    ),
)  # fmt: skip
"""torchvision's video networks under its own names, with its own figures."""
