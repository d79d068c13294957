"""torchvision's video networks with their stages.

Their names for layers are kept behind one prefix, so that its published weights and networks fine-tuned from them fit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.video.mvit import PositionalEncoding
from torchvision.models.video.s3d import S3D
from torchvision.models.video.swin_transformer import SwinTransformer3d

from vizkit.contracts import Block, Stage
from vizkit.errors import SettingError
from vizkit.net.backbones.clips import check_name, check_sizes
from vizkit.net.backbones.resnet import STAGE_NAMES

VideoResNetKind = Literal["r3d_18", "mc3_18", "r2plus1d_18"]
MViTKind = Literal["mvit_v1_b", "mvit_v2_s"]

HEAD_CHANNELS = 32  # channels of one attention head of a Swin transformer
WINDOW = (8, 7, 7)


class TorchvisionNetwork(nn.Module):
    """A video network of torchvision as a backbone with stages.

    Args:
        net: maps clips [B, 3, T, H, W] to logits.
        stages: its stages, paths as in ``net``.
        least: (frames, side in px) that a clip must have at least.
        exactly: whether no larger clip fits either.
    """

    def __init__(self, net: nn.Module, stages: Sequence[Stage], *, least: tuple[int, int] = (1, 1), exactly: bool = False) -> None:
        super().__init__()
        self.net = net
        self.stages = tuple(stages)
        self.blocks: tuple[Block, ...] = ()
        self._least, self._exactly = least, exactly

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> logits [B, classes].

        Raises:
            SettingError: a clip of a size that the network cannot take.
        """
        frames, height, width = clip.shape[2:]
        wanted_frames, wanted_px = self._least
        fits = frames >= wanted_frames and min(height, width) >= wanted_px
        if self._exactly and (frames, height, width) != (wanted_frames, wanted_px, wanted_px) or not fits:
            needed = f"{'' if self._exactly else 'at least '}{wanted_frames} frames of {wanted_px} x {wanted_px} px"
            raise SettingError(
                f"The clip has {frames} frames of {width} x {height} px, but this network, as it was built, takes {needed}; "
                "sample so, or build it with other options frames and size_px.",
                code="clip_size",
            )
        logits: torch.Tensor = self.net(clip)
        return logits

    def translate_keys(self, keys: Collection[str]) -> Mapping[str, str] | None:
        """Names of the weights in torchvision -> own names; None for names of another network."""
        own = self.net.state_dict().keys()
        return {key: f"net.{key}" for key in keys} if keys and all(key in own for key in keys) else None


def _stage(level: int, path: str, channels: int, stride_px: int, stride_frames: int, origin_px: float = 0.0, axes: str = "BCTHW") -> Stage:
    return Stage(STAGE_NAMES[level], f"net.{path}", channels, float(stride_px), stride_frames, origin_px, axes)  # type: ignore[arg-type]


def build_video_resnet(num_classes: int, *, kind: VideoResNetKind = "r3d_18") -> TorchvisionNetwork:
    """Build R3D-18, MC3-18 or R(2+1)D-18 ("A Closer Look at Spatiotemporal Convolutions for Action Recognition", figure 1).

    Without a pool after the stem, res2 .. res5 lie at strides 2, 4, 8, 16 px; MC3 halves no frames.

    Args:
        num_classes: outputs.
        kind: torchvision's name.

    Raises:
        ValueError: an unknown kind.
    """
    check_name("kind", kind, get_args(VideoResNetKind))
    stages = [_stage(level, f"layer{level + 1}", 64 << level, 2 << level, 1 if kind == "mc3_18" else 1 << level) for level in range(4)]
    return TorchvisionNetwork(get_model(kind, num_classes=num_classes), stages)


def build_s3d(num_classes: int, *, frames: int = 128, size_px: int = 224, dropout: float = 0.2) -> TorchvisionNetwork:
    """Build S3D ("Rethinking Spatiotemporal Feature Learning", figure 4). Pools that are longer than their map are cut to it.

    The last pool has no padding, so cell 0 of res5 is centred on pixel 8, not 0.

    Args:
        num_classes: outputs.
        frames: length of the clips; longer ones fit as well.
        size_px: side of their frames; larger ones fit as well.
        dropout: before the last layer.

    Raises:
        ValueError: clips too small for a cell in res5.
    """
    if size_px < 17:
        raise ValueError(f"size_px is {size_px}, at least 17 is needed")
    check_sizes((1, 1, 1, 1), frames=frames)
    net = S3D(num_classes=num_classes, dropout=dropout)
    steps, side = -(-frames // 4), -(-size_px // 16)
    pool_frames = min(2, steps)
    net.features[13] = nn.MaxPool3d((pool_frames, 2, 2))
    kernel = (min(2, steps // pool_frames), min(7, side // 2), min(7, side // 2))
    net.avgpool = nn.AvgPool3d(kernel, stride=1)
    stages = (
        _stage(0, "features.3", 192, 4, 2), _stage(1, "features.6", 480, 8, 2), _stage(2, "features.12", 832, 16, 4),
        _stage(3, "features.15", 1024, 32, 4 * pool_frames, 8.0),
    )  # fmt: skip
    least = (4 * pool_frames * kernel[0] - 3, 32 * kernel[1] - 15)
    return TorchvisionNetwork(net, stages, least=least)


def build_mvit(
    num_classes: int, *, kind: MViTKind = "mvit_v1_b", frames: int = 16, size_px: int = 224, dropout: float = 0.5
) -> TorchvisionNetwork:
    """Build MViT-B ("Multiscale Vision Transformers", table 2) or MViTv2-S ("MViTv2", table 1).

    Its positions are tied to the clip's size: absolute ones (v1) are as many as there are cells, relative ones (v2) are interpolated.

    Args:
        num_classes: outputs.
        kind: torchvision's name.
        frames: length of the clips.
        size_px: side of their frames.
        dropout: before the last layer.

    Raises:
        ValueError: an unknown kind, or clips without a cell in res5.
    """
    check_name("kind", kind, get_args(MViTKind))
    check_sizes((1, 1, 1, 1), frames=frames, size_px=size_px)
    net = get_model(kind, num_classes=num_classes, dropout=dropout)
    cells, side = -(-frames // 2), -(-size_px // 4)
    built = net.pos_encoding
    if (cells, side) != (built.temporal_size, built.spatial_size[0]):
        relative = built.spatial_pos is None
        net.pos_encoding = PositionalEncoding(len(built.class_token), (side, side), cells, rel_pos_embed=relative)
        for weights in net.pos_encoding.parameters():
            nn.init.trunc_normal_(weights, std=0.02)
    blocks = (0, 2, 13, 15)
    channels = [net.blocks[number].mlp[3].out_features for number in blocks]
    stages = [_stage(level, f"blocks.{blocks[level]}", channels[level], 4 << level, 2, axes="BNC") for level in range(4)]
    return TorchvisionNetwork(net, stages, least=(frames, size_px), exactly=True)


def build_swin3d(num_classes: int, *, depths: Sequence[int] = (2, 2, 6, 2), width: int = 96, dropout: float = 0.0) -> TorchvisionNetwork:
    """Build a Video Swin transformer ("Video Swin Transformer", section 3.1).

    Patches of 2 x 4 x 4 tile the clip and are merged 2 x 2, so cell 0 of res2 .. res5 is centred on pixel 1.5, 3.5, 7.5, 15.5.

    Args:
        num_classes: outputs.
        depths: blocks of each stage: (2, 2, 6, 2) for T, (2, 2, 18, 2) for S and B.
        width: channels of res2: 96 for T and S, 128 for B; every 32 channels are a head of the attention.
        dropout: of its layers.

    Raises:
        ValueError: a size below one.
    """
    check_sizes(depths, width=width)
    heads = [max(1, (width << level) // HEAD_CHANNELS) for level in range(4)]
    net = SwinTransformer3d(
        patch_size=[2, 4, 4], embed_dim=width, depths=list(depths), num_heads=heads, window_size=list(WINDOW), dropout=dropout,
        stochastic_depth_prob=0.1, num_classes=num_classes,
    )  # fmt: skip
    stages = [_stage(level, f"features.{2 * level}", width << level, 4 << level, 2, ((4 << level) - 1) / 2, "BTHWC") for level in range(4)]
    return TorchvisionNetwork(net, stages)
