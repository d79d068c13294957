"""Where PWTP goes: in front of a backbone, which sees one frame of dynamic appearance for each segment (section 3.3, figure 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import nn

from vizkit.contracts import Block, Stage
from vizkit.errors import SettingError
from vizkit.motion.pwtp.module import PWTP, Initial
from vizkit.net.backbones.build import build_frame_resnet
from vizkit.net.backbones.clips import check_name
from vizkit.net.backbones.vit import build_vit
from vizkit.net.backbones.x3d import build_x3d

Backbone = Literal["tsm", "x3d", "vit"]
Stem = Literal["7x7/2+pool", "7x7/1+pool", "3x3/2", "5x5/2"]

BLOCK, STAGE = "pwtp", "rgb"


class Front(nn.Module):
    """PWTP on every segment of a clip.

    Args:
        pwtp: the projection of one segment.
    """

    def __init__(self, pwtp: PWTP) -> None:
        super().__init__()
        self.pwtp = pwtp

    def segments(self, clip: torch.Tensor) -> torch.Tensor:
        """Cut clips [B, C, S*T, H, W] into segments of T frames that follow each other: [B*S, C, T, H, W].

        Raises:
            SettingError: a length that T does not divide.
        """
        frames = self.pwtp.frames
        if clip.shape[2] % frames:
            raise SettingError(
                f"The clip has {clip.shape[2]} frames, but segments of {frames} frames are accepted; sample a multiple of it "
                f"(frames_per_segment={frames}), or build the network with another number of frames.",
                code="frames",
            )
        return clip.unflatten(2, (-1, frames)).transpose(1, 2).flatten(0, 1)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, C, S*T, H, W] -> dynamic appearance [B, C, S, H, W]."""
        appearance: torch.Tensor = self.pwtp(self.segments(clip))
        return self._joined(appearance, len(clip))

    def neutral(self, clip: torch.Tensor) -> torch.Tensor:
        """What the backbone sees when the block is switched off: the middle frame of every segment, [B, C, S, H, W]."""
        return self._joined(self.pwtp.neutral(self.segments(clip)), len(clip))

    @staticmethod
    def _joined(pictures: torch.Tensor, batch: int) -> torch.Tensor:
        """[B*S, C, H, W] -> [B, C, S, H, W]."""
        return pictures.unflatten(0, (batch, -1)).transpose(1, 2)


class ProjectedNetwork(nn.Module):
    """A backbone behind PWTP: clips of S segments of T frames [B, 3, S*T, H, W] -> logits [B, classes].

    Args:
        front: makes S frames of S*T.
        backbone: maps [B, 3, S, H, W] to logits; with ``stages`` and without blocks.
        input_norm: a batch norm between the two, for a backbone that expects pictures of unit variance: dynamic appearance is small.
    """

    def __init__(self, front: Front, backbone: nn.Module, *, input_norm: bool) -> None:
        super().__init__()
        self.front = front
        self.norm: nn.Module = nn.BatchNorm3d(3) if input_norm else nn.Identity()
        self.backbone = backbone
        frames = front.pwtp.frames
        own: tuple[Stage, ...] = backbone.stages  # type: ignore[assignment]
        behind = (replace(stage, path=f"backbone.{stage.path}", stride_frames=frames * stage.stride_frames) for stage in own)
        self.stages = (Stage(STAGE, "front", 3, 1.0, frames, 0.0), *behind)
        self.blocks = (Block(BLOCK, "front", STAGE),)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, S*T, H, W] -> logits [B, classes]."""
        logits: torch.Tensor = self.backbone(self.norm(self.front(clip)))
        return logits

    def translate_keys(self, keys: Collection[str]) -> Mapping[str, str] | None:
        """Names of the backbone's weights -> own names, whatever names the backbone knows; None for names of another network."""
        translate = getattr(self.backbone, "translate_keys", None)
        names = (translate(keys) if translate else None) or {key: key for key in keys}
        known = self.backbone.state_dict().keys()
        found = {key: f"backbone.{name}" for key, name in names.items() if name in known}
        return found or None


def build_pwtp(
    num_classes: int,
    *,
    backbone: Backbone = "tsm",
    frames: int = 8,
    rank: int = 1,
    kernel: int = 9,
    stride: int = 8,
    channels: int = 24,
    expansion: int = 2,
    bottleneck: float = 0.25,
    blocks: int = 1,
    initial: Initial = "random",
    input_norm: bool = False,
    depth: int = 50,
    width: int | None = None,
    stem: Stem | None = None,
    size_px: int = 224,
    dropout: float | None = None,
) -> ProjectedNetwork:
    """Build a backbone with PWTP in front of it.

    The backbone is built first, so that it starts from the same weights as the backbone alone for the same seed.

    Args:
        num_classes: outputs.
        backbone: ``"tsm"`` (ResNet with temporal shift), ``"x3d"`` or ``"vit"`` (ViT-B/16 on every frame).
        frames: T, frames of a segment; see :class:`PWTP` for this and what follows.
        rank: D.
        kernel: side of PWTP's convolution.
        stride: its stride.
        channels: its outputs.
        expansion: e.
        bottleneck: r.
        blocks: residual units of the MLP.
        initial: start of the MLP's last layer.
        input_norm: a batch norm between PWTP and the backbone.
        depth: layers of the ResNet (``"tsm"`` only).
        width: of the backbone; its default when None.
        stem: of the backbone, where it has a choice; its default when None.
        size_px: side of the frames, to which positions are tied (``"vit"`` only).
        dropout: before the last layer, inside the layers of ``"vit"``; the backbone's default when None.

    Raises:
        ValueError: a name or a size that cannot be.
    """
    check_name("backbone", backbone, get_args(Backbone))
    given = {"width": width, "dropout": dropout} | ({} if backbone == "vit" else {"stem": stem})
    options = {name: value for name, value in given.items() if value is not None}
    behind: nn.Module
    if backbone == "tsm":
        behind = build_frame_resnet(num_classes, depth=depth, shift=True, **options)  # type: ignore[arg-type]
    elif backbone == "x3d":
        behind = build_x3d(num_classes, **options)  # type: ignore[arg-type]
    else:
        behind = build_vit(num_classes, size_px=size_px, **options)  # type: ignore[arg-type]
    pwtp = PWTP(frames, rank, kernel, stride, channels, expansion, bottleneck, blocks, initial=initial)
    return ProjectedNetwork(Front(pwtp), behind, input_norm=input_norm)
