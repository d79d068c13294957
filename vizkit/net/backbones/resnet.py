"""A 2-D ResNet on every frame, with room for motion modules (C2D, CPNet, TSM).

Parameter names and the place of the stride (on the 3x3 of a bottleneck) are torchvision's, so its ImageNet weights fit.
A motion module sees the sum of a residual block *before* the final ReLU as [B, C, T, H, W]; what it returns is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import Block, Stage
from vizkit.net.geometry import CellGeometry

LAYOUTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGE_NAMES = ("res2", "res3", "res4", "res5")
SHIFTED_SHARE = 8

Stem = Literal["7x7/2+pool", "7x7/1+pool", "5x5/2"]

MotionPlan = Mapping[tuple[str, int], Callable[[int], nn.Module]]
"""(stage name, position of the residual block) -> builder of the motion module from its number of channels."""


def shift_frames(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Temporal shift (TSM): an eighth of the channels comes from the next frame, an eighth from the one before.

    Args:
        x: [B*T, C, H, W].
        frames: T.

    Returns:
        [B*T, C, H, W]; zeros where there is no such frame.
    """
    clip = x.unflatten(0, (-1, frames))
    fold = x.shape[1] // SHIFTED_SHARE
    ahead = F.pad(clip[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    behind = F.pad(clip[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([ahead, behind, clip[:, :, 2 * fold :]], dim=2).flatten(0, 1)


class ResidualBlock(nn.Module):
    """Basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1) block on frames [B*T, C, H, W]."""

    def __init__(self, inputs: int, planes: int, *, stride: int, bottleneck: bool, motion: nn.Module | None, shift: bool) -> None:
        super().__init__()
        outputs = planes * (4 if bottleneck else 1)
        if bottleneck:
            self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
            self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(planes), nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.motion = motion
        self.bottleneck, self.shift = bottleneck, shift

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """[B*T, C, H, W] -> [B*T, C', H', W']."""
        out = shift_frames(x, frames) if self.shift else x
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(out)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        out = out + (x if self.downsample is None else self.downsample(x))
        if self.motion is not None:
            clip = out.unflatten(0, (-1, frames)).transpose(1, 2)  # [B, C, T, H, W]
            out = out + self.motion(clip).transpose(1, 2).flatten(0, 1)
        return F.relu(out)


class ResidualStage(nn.Sequential):
    """Residual blocks of one resolution."""

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:  # type: ignore[override]
        """[B*T, C, H, W] -> [B*T, C', H', W']."""
        for block in self:
            x = block(x, frames)
        return x


class FrameResNet(nn.Module):
    """ResNet-18/34/50/101 on every frame, mean over space and time, linear.

    Args:
        depth: 18, 34, 50 or 101.
        num_classes: outputs of the last layer.
        width: channels of res2 (64 in the papers).
        stem: ``"7x7/2+pool"`` (224 px), ``"7x7/1+pool"`` (112 px, cpnet.md section 4) or ``"5x5/2"`` (small nets for small
            clips: the stages lie at strides 2, 4, 8, 16 instead of 4, 8, 16, 32).
        motion: where motion modules go.
        shift: temporal shift in every residual branch (TSM).
        dropout: before the last layer.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        width: int = 64,
        stem: Stem = "7x7/2+pool",
        motion: MotionPlan | None = None,
        shift: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        for kind, value, known in (("depth", depth, tuple(LAYOUTS)), ("stem", stem, get_args(Stem))):
            if value not in known:
                raise ValueError(f"{kind} is {value}, known: {', '.join(map(str, known))}")
        if width < 1:
            raise ValueError(f"width is {width}, at least 1 is needed")
        kernel, stride = int(stem[0]), int(stem[4])
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pooled = stem.endswith("+pool")
        geometry = CellGeometry().through(kernel, stride, kernel // 2)
        geometry = geometry.through(3, 2, 1) if self.pooled else geometry
        plan, bottleneck = dict(motion or {}), depth >= 50
        self.stages: tuple[Stage, ...] = ()
        self.blocks: tuple[Block, ...] = ()
        inputs = width
        for level, (name, blocks) in enumerate(zip(STAGE_NAMES, LAYOUTS[depth], strict=True)):
            planes, step = width * 2**level, 1 if level == 0 else 2
            outputs, path = planes * (4 if bottleneck else 1), f"layer{level + 1}"
            stage = ResidualStage()
            for position in range(blocks):
                build = plan.pop((name, position), None)
                block = ResidualBlock(
                    inputs, planes, stride=step if position == 0 else 1, bottleneck=bottleneck,
                    motion=build(outputs) if build else None, shift=shift,
                )  # fmt: skip
                stage.append(block)
                inputs = outputs
                if build:
                    self.blocks += (Block(f"{name}.{position}", f"{path}.{position}.motion", name),)
            self.add_module(path, stage)
            geometry = geometry.through(3, step, 1)
            self.stages += (Stage(name, path, outputs, geometry.stride_px, 1, geometry.origin_px, "FCHW"),)
        if plan:
            raise ValueError(f"There is no residual block at {sorted(plan)} in a ResNet-{depth}.")
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)
        self._start()

    def _start(self) -> None:
        """Kaiming for the backbone's convolutions; motion modules start themselves."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and ".motion" not in name:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs of the stages, name -> [B*T, C, H, W], for a clip [B, 3, T, H, W]."""
        frames = clip.shape[2]
        x = F.relu(self.bn1(self.conv1(clip.transpose(1, 2).flatten(0, 1))))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        maps = {}
        for stage in self.stages:
            x = maps[stage.name] = self.get_submodule(stage.path)(x, frames)
        return maps

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> logits [B, classes]."""
        return self.classify(self.features(clip)[self.stages[-1].name], clip.shape[2])

    def classify(self, last: torch.Tensor, frames: int) -> torch.Tensor:
        """Output of the last stage [B*T, C, H, W] -> logits [B, classes]: mean over space and time, linear."""
        pooled = last.mean((2, 3)).unflatten(0, (-1, frames)).mean(1)
        logits: torch.Tensor = self.fc(self.dropout(pooled))
        return logits
