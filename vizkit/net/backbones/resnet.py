"""A 2-D ResNet on every frame, with room for motion modules (C2D, CPNet, TSM, and small networks of every module).

Parameter names and the place of the stride (on the 3x3 of a bottleneck) are torchvision's, so its ImageNet weights fit.
A motion module inside a residual block sees the block's sum *before* the final ReLU as [B, C, T, H, W]; what it returns is added.
Modules after a residual block, after a stage and beside a stage are those of :mod:`vizkit.net.backbones.clips`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import Block, Stage
from vizkit.net.geometry import CellGeometry

if TYPE_CHECKING:
    from vizkit.net.backbones.clips import AfterPlan, BesidePlan, InsertPlan

LAYOUTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGE_NAMES = ("res2", "res3", "res4", "res5")
SHIFTED_SHARE = 8

Stem = Literal["7x7/2+pool", "7x7/1+pool", "5x5/2"]

MotionPlan = Mapping[tuple[str, int], Callable[[int], nn.Module]]
"""(stage name, position of the residual block) -> builder of the motion module from its number of channels."""


def place_of(block: str, like: str = "res3.0") -> tuple[str, int]:
    """``"res3.1"`` -> ("res3", 1).

    Args:
        block: stage and position of a residual block.
        like: the example in the message.

    Raises:
        ValueError: another form.
    """
    stage, _, position = block.partition(".")
    if not position.isdigit():
        raise ValueError(f"block {block!r} is not of the form {like!r}")
    return stage, int(position)


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


def _as_clip(x: torch.Tensor, frames: int) -> torch.Tensor:
    """[B*T, C, H, W] -> [B, C, T, H, W]."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def _as_frames(x: torch.Tensor) -> torch.Tensor:
    """[B, C, T, H, W] -> [B*T, C, H, W]."""
    return x.transpose(1, 2).flatten(0, 1)


class ResidualBlock(nn.Module):
    """Basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1) block on frames [B*T, C, H, W]."""

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        stride: int,
        bottleneck: bool,
        motion: Callable[[int], nn.Module] | None,
        inserted: Callable[[int, int], nn.Module] | None,
        frames: int,
        shift: bool,
    ) -> None:
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
        self.motion = motion(outputs) if motion else None
        self.inserted = inserted(outputs, frames) if inserted else None
        self.bottleneck, self.shift = bottleneck, shift

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """[B*T, C, H, W] -> [B*T, C', H', W']."""
        out = shift_frames(x, frames) if self.shift else x
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(out)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        out = out + (x if self.downsample is None else self.downsample(x))
        if self.motion is not None:
            out = out + _as_frames(self.motion(_as_clip(out, frames)))
        out = F.relu(out)
        return out if self.inserted is None else _as_frames(self.inserted(_as_clip(out, frames)))


class ResidualStage(nn.Sequential):
    """Residual blocks of one resolution."""

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:  # type: ignore[override]
        """[B*T, C, H, W] -> [B*T, C', H', W']."""
        for block in self:
            x = block(x, frames)
        return x


def _build_stage(
    inputs: int,
    planes: int,
    plan: Sequence[tuple[Callable[[int], nn.Module] | None, Callable[[int, int], nn.Module] | None]],
    *,
    stride: int,
    bottleneck: bool,
    frames: int,
    shift: bool,
) -> ResidualStage:
    """The residual blocks of a stage, each with the builders of the modules inside and after it."""
    stage = ResidualStage()
    for place, (motion, inserted) in enumerate(plan):
        block = ResidualBlock(
            inputs, planes, stride=stride if place == 0 else 1, bottleneck=bottleneck, motion=motion, inserted=inserted, frames=frames,
            shift=shift,
        )  # fmt: skip
        stage.append(block)
        inputs = planes * (4 if bottleneck else 1)
    return stage


class FrameResNet(nn.Module):
    """ResNet-18/34/50/101 on every frame, mean over space and time, linear.

    Args:
        depth: 18, 34, 50 or 101.
        num_classes: outputs of the last layer.
        width: channels of res2 (64 in the papers).
        stem: ``"7x7/2+pool"`` (224 px), ``"7x7/1+pool"`` (112 px, cpnet.md section 4) or ``"5x5/2"`` (small nets for small
            clips: the stages lie at strides 2, 4, 8, 16 instead of 4, 8, 16, 32).
        motion: modules inside residual blocks, before the final ReLU.
        inserted: modules after residual blocks, see :class:`vizkit.net.backbones.clips.ClipNetwork`, as for all down to ``beside_name``.
        frames: length of the clips that the modules of ``inserted`` and ``beside`` are built for.
        after: modules after whole stages.
        after_name: what the blocks of ``after`` are called.
        beside: modules beside the stages, whose vectors the last layer takes.
        beside_name: what the blocks of ``beside`` are called.
        shift: temporal shift in every residual branch (TSM).
        dropout: before the last layer.

    Raises:
        ValueError: a size or a name that cannot be, or a plan for a block or a stage that is not there.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        width: int = 64,
        stem: Stem = "7x7/2+pool",
        motion: MotionPlan | None = None,
        inserted: InsertPlan | None = None,
        frames: int = 8,
        after: AfterPlan | None = None,
        after_name: str = "after",
        beside: BesidePlan | None = None,
        beside_name: str = "beside",
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
        inside, behind, follow, aside = dict(motion or {}), dict(inserted or {}), dict(after or {}), dict(beside or {})
        self.stages: tuple[Stage, ...] = ()
        self.blocks: tuple[Block, ...] = ()
        self.after, self.beside = nn.ModuleDict(), nn.ModuleDict()
        inputs = width
        for level, name in enumerate(STAGE_NAMES):
            path, step = f"layer{level + 1}", 1 if level == 0 else 2
            plan = [(inside.pop((name, place), None), behind.pop((name, place), None)) for place in range(LAYOUTS[depth][level])]
            stage = _build_stage(inputs, width * 2**level, plan, stride=step, bottleneck=depth >= 50, frames=frames, shift=shift)
            inputs = width * 2**level * (4 if depth >= 50 else 1)
            for place, builders in enumerate(plan):
                kinds = [kind for kind, builder in zip(("motion", "inserted"), builders, strict=True) if builder]
                self.blocks += tuple(Block(f"{name}.{place}", f"{path}.{place}.{kind}", name) for kind in kinds)
            self.add_module(path, stage)
            geometry = geometry.through(3, step, 1)
            self.stages += (Stage(name, path, inputs, geometry.stride_px, 1, geometry.origin_px, "FCHW"),)
            if name in follow:
                self.after[name] = follow.pop(name)(inputs)
                self.blocks += (Block(f"{name}.{after_name}", f"after.{name}", name),)
            if name in aside:
                self.beside[name] = aside.pop(name)(inputs, frames)
                self.blocks += (Block(f"{name}.{beside_name}", f"beside.{name}", name),)
        if left := sorted(map(str, [*inside, *behind, *follow, *aside])):
            raise ValueError(f"there is no residual block or stage for modules at {', '.join(left)} in a ResNet-{depth}")
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs + sum(module.out_features for module in self.beside.values()), num_classes)  # type: ignore[misc]
        self._start()

    def _start(self) -> None:
        """Kaiming for the backbone's convolutions; motion modules start themselves."""
        modules = tuple(block.path for block in self.blocks)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith(modules):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs of the stages, name -> [B*T, C, H, W], for a clip [B, 3, T, H, W], before a module that follows the stage."""
        return {name: own for name, own, _ in self._walk(clip)}

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> logits [B, classes]."""
        vectors = []
        for name, own, onward in self._walk(clip):
            last = onward
            if name in self.beside:
                vectors.append(self.beside[name](_as_clip(own, clip.shape[2])))
        return self.classify(last, clip.shape[2], *vectors)

    def _walk(self, clip: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, own output and what goes on to the next stage, stage by stage."""
        frames, carried = clip.shape[2], None
        x = F.relu(self.bn1(self.conv1(_as_frames(clip))))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        for stage in self.stages:
            own = x = self.get_submodule(stage.path)(x, frames)
            if stage.name in self.after:
                onward, carried = self.after[stage.name](_as_clip(own, frames), carried)
                x = _as_frames(onward)
            yield stage.name, own, x

    def classify(self, last: torch.Tensor, frames: int, *vectors: torch.Tensor) -> torch.Tensor:
        """Output of the last stage [B*T, C, H, W] and vectors [B, length] -> logits [B, classes]: mean over space and time, linear."""
        pooled = last.mean((2, 3)).unflatten(0, (-1, frames)).mean(1)
        logits: torch.Tensor = self.fc(self.dropout(torch.cat([pooled, *vectors], 1)))
        return logits
