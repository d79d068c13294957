"""Where PWTP goes: in front of a backbone, which sees one frame of dynamic appearance for each segment (section 3.3, figure 2).

The pictures that table 6 compares it with can stand in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import nn

from vizkit.baseline import dynamic_image, tvl1
from vizkit.contracts import Block, Stage
from vizkit.errors import SettingError
from vizkit.motion.pwtp.module import PWTP, Initial
from vizkit.net.backbones.build import build_frame_resnet
from vizkit.net.backbones.clips import check_name
from vizkit.net.backbones.vit import build_vit
from vizkit.net.backbones.x3d import build_x3d

Backbone = Literal["tsm", "x3d", "vit", "resnet"]
Stem = Literal["7x7/2+pool", "7x7/1+pool", "3x3/2", "5x5/2"]
Picture = Literal["dynamic appearance", "middle frame", "dynamic image", "flow"]

BLOCK, STAGE = "pwtp", "rgb"


class SegmentPictures(nn.Module):
    """One picture of every segment of a clip: [B, 3, S*T, H, W] -> [B, 3, S, H, W], by a rule without weights.

    Args:
        frames: T, length of a segment.
        picture: ``"middle frame"``; ``"dynamic image"``: approximate rank pooling over T, so that it has the unit of dynamic appearance;
            ``"flow"``: x, y and length in pixels of the motion from the middle frame to the next by TV-L1, which does not depend on
            how colours were normalised.
    """

    def __init__(self, frames: int, picture: Picture) -> None:
        super().__init__()
        self.frames, self.picture = frames, picture

    def segments(self, clip: torch.Tensor) -> torch.Tensor:
        """Cut clips [B, C, S*T, H, W] into segments of T frames that follow each other: [B*S, C, T, H, W].

        Raises:
            SettingError: a length that T does not divide.
        """
        frames = self.frames
        if clip.shape[2] % frames:
            raise SettingError(
                f"The clip has {clip.shape[2]} frames, but segments of {frames} frames are accepted; sample a multiple of it "
                f"(frames_per_segment={frames}), or build the network with another number of frames.",
                code="frames",
            )
        return clip.unflatten(2, (-1, frames)).transpose(1, 2).flatten(0, 1)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, C, S*T, H, W] -> pictures [B, C, S, H, W]."""
        return self.joined(self.draw(self.segments(clip)), len(clip))

    def draw(self, segments: torch.Tensor) -> torch.Tensor:
        """[B*S, C, T, H, W] -> [B*S, C, H, W]."""
        if self.picture == "flow":
            return _flow_picture(segments)
        return dynamic_image(segments) / self.frames if self.picture == "dynamic image" else PWTP.neutral(segments)

    @staticmethod
    def joined(pictures: torch.Tensor, batch: int) -> torch.Tensor:
        """[B*S, C, H, W] -> [B, C, S, H, W]."""
        return pictures.unflatten(0, (batch, -1)).transpose(1, 2)


class Front(SegmentPictures):
    """PWTP on every segment of a clip.

    Args:
        pwtp: the projection of one segment.
    """

    def __init__(self, pwtp: PWTP) -> None:
        super().__init__(pwtp.frames, "dynamic appearance")
        self.pwtp = pwtp

    def draw(self, segments: torch.Tensor) -> torch.Tensor:
        """[B*S, C, T, H, W] -> dynamic appearance [B*S, C, H, W]."""
        appearance: torch.Tensor = self.pwtp(segments)
        return appearance

    def neutral(self, clip: torch.Tensor) -> torch.Tensor:
        """What the backbone sees when the block is switched off: the middle frame of every segment, [B, C, S, H, W]."""
        return self.joined(self.pwtp.neutral(self.segments(clip)), len(clip))


def _flow_picture(segments: torch.Tensor) -> torch.Tensor:
    """[B, 3, T, H, W] -> [B, 3, H, W] x, y and length of the flow from the middle frame to the next."""
    middle = segments.shape[2] // 2
    low, high = (pick(segments, (1, 2, 3, 4), keepdim=True) for pick in (torch.amin, torch.amax))
    grey = (segments - low) / (high - low).clamp_min(torch.finfo(segments.dtype).tiny)
    flow_px = tvl1(grey[:, :, middle], grey[:, :, min(middle + 1, segments.shape[2] - 1)]).movedim(-1, 1)
    return torch.cat([flow_px, flow_px.norm(dim=1, keepdim=True)], 1)


class ProjectedNetwork(nn.Module):
    """A backbone behind PWTP, or behind other pictures: clips of S segments of T frames [B, 3, S*T, H, W] -> logits [B, classes].

    Args:
        front: makes S frames of S*T; only PWTP counts as a block.
        backbone: maps [B, 3, S, H, W] to logits; with ``stages`` and without blocks.
        input_norm: a batch norm between the two, for a backbone that expects pictures of unit variance: dynamic appearance is small.
    """

    def __init__(self, front: SegmentPictures, backbone: nn.Module, *, input_norm: bool) -> None:
        super().__init__()
        self.front = front
        self.norm: nn.Module = nn.BatchNorm3d(3) if input_norm else nn.Identity()
        self.backbone = backbone
        frames = front.frames
        own: tuple[Stage, ...] = backbone.stages  # type: ignore[assignment]
        behind = (replace(stage, path=f"backbone.{stage.path}", stride_frames=frames * stage.stride_frames) for stage in own)
        self.stages = (Stage(STAGE, "front", 3, 1.0, frames, 0.0), *behind)
        self.blocks = (Block(BLOCK, "front", STAGE),) if isinstance(front, Front) else ()

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
    picture: Picture = "dynamic appearance",
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
        backbone: ``"tsm"`` (ResNet with temporal shift), ``"x3d"``, ``"vit"`` (ViT-B/16 on every frame) or ``"resnet"`` (a ResNet on
            every frame: what it says of motion it has read off single frames of dynamic appearance).
        frames: T, frames of a segment; see :class:`PWTP` for this and what follows.
        rank: D.
        kernel: side of PWTP's convolution.
        stride: its stride.
        channels: its outputs.
        expansion: e.
        bottleneck: r.
        blocks: residual units of the MLP.
        initial: start of the MLP's last layer.
        picture: what the backbone sees; other pictures than dynamic appearance take nothing of PWTP but ``frames``.
        input_norm: a batch norm between PWTP and the backbone.
        depth: layers of the ResNet (``"tsm"`` and ``"resnet"`` only).
        width: of the backbone; its default when None.
        stem: of the backbone, where it has a choice; its default when None.
        size_px: side of the frames, to which positions are tied (``"vit"`` only).
        dropout: before the last layer, inside the layers of ``"vit"``; the backbone's default when None.

    Raises:
        ValueError: a name or a size that cannot be.
    """
    check_name("backbone", backbone, get_args(Backbone))
    check_name("picture", picture, get_args(Picture))
    given = {"width": width, "dropout": dropout} | ({} if backbone == "vit" else {"stem": stem})
    options = {name: value for name, value in given.items() if value is not None}
    behind: nn.Module
    if backbone in ("tsm", "resnet"):
        behind = build_frame_resnet(num_classes, depth=depth, shift=backbone == "tsm", **options)  # type: ignore[arg-type]
    elif backbone == "x3d":
        behind = build_x3d(num_classes, **options)  # type: ignore[arg-type]
    else:
        behind = build_vit(num_classes, size_px=size_px, **options)  # type: ignore[arg-type]
    if picture != "dynamic appearance":
        return ProjectedNetwork(SegmentPictures(frames, picture), behind, input_norm=input_norm)
    pwtp = PWTP(frames, rank, kernel, stride, channels, expansion, bottleneck, blocks, initial=initial)
    return ProjectedNetwork(Front(pwtp), behind, input_norm=input_norm)
