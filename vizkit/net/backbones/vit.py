"""A vision transformer on every frame, its last tokens averaged over all frames.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, as "Dynamic Appearance" adapts it to clips (section 3.3).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from vizkit.contracts import Block, Stage
from vizkit.errors import SettingError
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

HEAD_CHANNELS = 64
MLP_SHARE = 4
POSITION_STD = 0.02
NORM_EPS = 1e-6


class TokenStage(nn.Module):
    """Encoder layers on the tokens of every frame."""

    def __init__(self, depth: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(EncoderBlock(heads, width, MLP_SHARE * width, dropout, 0.0, lambda size: nn.LayerNorm(size, NORM_EPS)) for _ in range(depth))
        )

    def forward(self, x: torch.Tensor, summary: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches [B*T, C, h, w] and class tokens [B*T, 1, C] -> the same."""
        tokens = self.layers(torch.cat([summary, x.flatten(2).mT], dim=1))
        return tokens[:, 1:].mT.unflatten(2, x.shape[2:]), tokens[:, :1]


class FrameViT(nn.Module):
    """ViT on every frame: no attention across frames, one positional embedding for all of them, the mean of all last tokens, linear.

    Four stages of equal depth lie on the same grid of patches; a stage's map are its patch tokens.

    Args:
        num_classes: outputs of the last layer.
        size_px: side of the frames; positions are tied to it.
        patch_px: side of a patch.
        width: channels of a token.
        depth: encoder layers, a multiple of four.
        dropout: inside the layers.

    Raises:
        ValueError: a size below one, a depth that four does not divide, or patches that do not tile the frame.
    """

    def __init__(self, num_classes: int, *, size_px: int, patch_px: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        if width < 1 or depth < 1 or depth % len(STAGE_NAMES):
            raise ValueError(f"width is {width} and depth {depth}, at least 1 and a multiple of {len(STAGE_NAMES)} are needed")
        if patch_px < 1 or size_px < patch_px or size_px % patch_px:
            raise ValueError(f"size_px is {size_px}, a multiple of patch_px ({patch_px}) is needed")
        self.size_px = size_px
        self.patches = nn.Conv2d(3, width, patch_px, patch_px)
        self.summary = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.empty(1, (size_px // patch_px) ** 2 + 1, width).normal_(std=POSITION_STD))
        heads = max(1, width // HEAD_CHANNELS)
        geometry = CellGeometry().through(patch_px, patch_px)
        self.stages: tuple[Stage, ...] = ()
        self.blocks: tuple[Block, ...] = ()
        for level, name in enumerate(STAGE_NAMES):
            path = f"layer{level + 1}"
            self.add_module(path, TokenStage(depth // len(STAGE_NAMES), width, heads, dropout))
            self.stages += (Stage(name, path, width, geometry.stride_px, 1, geometry.origin_px, "FCHW"),)
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.head = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(self.patches.weight, std=math.sqrt(1 / (3 * patch_px**2)))
        nn.init.zeros_(self.patches.bias)  # type: ignore[arg-type]  # the layer has a bias

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> logits [B, classes].

        Raises:
            SettingError: frames of another size than the positions are for.
        """
        if clip.shape[3:] != (self.size_px, self.size_px):
            raise SettingError(
                f"The frames have {clip.shape[4]} x {clip.shape[3]} px, but this network's positions are for {self.size_px} x "
                f"{self.size_px} px; sample so, or build it with another size_px.",
                code="clip_size",
            )
        patches = self.patches(clip.transpose(1, 2).flatten(0, 1))  # [B*T, C, h, w]
        summary = (self.summary + self.position[:, :1]).expand(len(patches), -1, -1)
        x = patches + self.position[:, 1:].mT.unflatten(2, patches.shape[2:])
        for stage in self.stages:
            x, summary = self.get_submodule(stage.path)(x, summary)
        tokens = self.norm(torch.cat([summary, x.flatten(2).mT], dim=1))
        logits: torch.Tensor = self.head(tokens.mean(1).unflatten(0, (len(clip), -1)).mean(1))
        return logits


def build_vit(
    num_classes: int, *, size_px: int = 224, patch_px: int = 16, width: int = 768, depth: int = 12, dropout: float = 0.0
) -> FrameViT:
    """Build ViT-B/16, or a smaller one, on every frame; see :class:`FrameViT`."""
    return FrameViT(num_classes, size_px=size_px, patch_px=patch_px, width=width, depth=depth, dropout=dropout)
