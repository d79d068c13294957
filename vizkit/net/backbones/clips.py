"""Networks that keep a clip as [B, C, T, H, W], with room for motion modules inside and after their stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from vizkit.contracts import Block, Stage
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

Triple = tuple[int, int, int]

InsertPlan = Mapping[tuple[str, int], Callable[[int, int], nn.Module]]
"""(stage name, position of a residual block) -> builder of the module that stands after that block, from its channels and frames.

The module maps [B, C, T, H, W] to the same shape and brings its own shortcut."""

AfterPlan = Mapping[str, Callable[[int], nn.Module]]
"""Stage name -> builder, from the stage's channels, of a module after the whole stage: (features, carried) -> (features, carried).

``carried`` is what the module before it handed on, None for the first one; it is passed on untouched, at the size it was made."""

BesidePlan = Mapping[str, Callable[[int, int], nn.Module]]
"""Stage name -> builder, from the stage's channels and frames, of a module beside the stages: the stage's output -> a vector [B, length].

The head takes the vector; the module says its length as ``out_features``."""


@dataclass(frozen=True)
class Level:
    """One stage as its backbone makes it."""

    channels: int
    """Channels of its output."""
    stride: int
    """Spatial stride of its first residual block (a 3x3 with padding 1)."""
    stride_frames: int
    """Temporal stride of that block (3 taps with padding 1)."""
    blocks: Sequence[nn.Module]
    """Its residual blocks."""


def conv_norm(
    inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), *, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution without bias (padding of half its kernel) and batch norm, with a ReLU where ``relu``."""
    depth, height, width = kernel
    padding = (depth // 2, height // 2, width // 2)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv3d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False), norm=nn.BatchNorm3d(outputs)
    )
    if relu:
        layers["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def start_convolutions(*modules: nn.Module) -> None:
    """Kaiming start of the convolutions, by fan-out, of depthwise ones by fan-in (torch's fan-out takes no account of groups).

    Subclasses of ``nn.Conv3d`` start themselves.
    """
    for module in modules:
        for part in module.modules():
            if type(part) is nn.Conv3d:
                nn.init.kaiming_normal_(part.weight, mode="fan_out" if part.groups == 1 else "fan_in", nonlinearity="relu")


def check_sizes(layout: Sequence[int], **sizes: int) -> None:
    """Refuse a layout without four stages, and sizes below one.

    Raises:
        ValueError: names the argument, its value and what is accepted.
    """
    if len(layout) != len(STAGE_NAMES) or min(layout) < 1:
        raise ValueError(f"layout is {tuple(layout)}, four numbers of residual blocks from 1 up are needed")
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, at least 1 is needed")


def check_name(kind: str, value: str, known: Sequence[str]) -> None:
    """Refuse an unknown name.

    Raises:
        ValueError: lists the known ones.
    """
    if value not in known:
        raise ValueError(f"{kind} is {value}, known: {', '.join(known)}")


class ClipStage(nn.Module):
    """Residual blocks of one resolution; a module of the plan stands after some of them.

    The keys of the residual blocks do not depend on the plan.
    """

    def __init__(self, blocks: Sequence[nn.Module], inserted: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.inserted = nn.ModuleDict({str(position): module for position, module in inserted.items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C', T', H', W']."""
        for position, block in enumerate(self.blocks):
            x = block(x)
            if str(position) in self.inserted:
                x = self.inserted[str(position)](x)
        return x


class PooledHead(nn.Module):
    """Mean over time and space, joined with the vectors of modules beside the stages; dropout, linear.

    Args:
        channels: of the last stage.
        num_classes: outputs.
        dropout: before the linear layer.
        joined: length of all vectors together.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float, joined: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels + joined, num_classes)

    def forward(self, x: torch.Tensor, *vectors: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] and vectors [B, length] -> logits [B, classes]."""
        logits: torch.Tensor = self.fc(self.dropout(torch.cat([x.mean((2, 3, 4)), *vectors], 1)))
        return logits


class ClipNetwork(nn.Module):
    """Stem, res2 .. res5, head on clips [B, 3, T, H, W].

    The backbone is given whole and started; modules of the plans are built after it, so that a network with and one without
    them start from the same weights for the same seed.

    Args:
        stem: first layers, without temporal stride.
        levels: the four stages.
        head: output of res5 -> logits; where there are modules beside the stages, its builder from the length of all their vectors.
        geometry: where the cells of the stem's output lie.
        frames: length of the clips that the modules of ``inserted`` are built for.
        inserted: modules inside the stages.
        after: modules after whole stages.
        after_name: what the blocks of ``after`` are called: ``"res2.dcf"``.
        beside: modules beside the stages.
        beside_name: what the blocks of ``beside`` are called: ``"res4.kpsem"``.

    Raises:
        ValueError: a plan for a block or a stage that is not there.
    """

    def __init__(
        self,
        stem: nn.Module,
        levels: Sequence[Level],
        head: nn.Module | Callable[[int], nn.Module],
        *,
        geometry: CellGeometry,
        frames: int = 1,
        inserted: InsertPlan | None = None,
        after: AfterPlan | None = None,
        after_name: str = "after",
        beside: BesidePlan | None = None,
        beside_name: str = "beside",
    ) -> None:
        super().__init__()
        plan, follow, aside = dict(inserted or {}), dict(after or {}), dict(beside or {})
        self.stem = stem
        self.stages: tuple[Stage, ...] = ()
        self.blocks: tuple[Block, ...] = ()
        followers: dict[str, nn.Module] = {}
        attached: dict[str, nn.Module] = {}
        stride_frames = 1
        for name, level in zip(STAGE_NAMES, levels, strict=True):
            geometry = geometry.through(3, level.stride, 1)
            stride_frames *= level.stride_frames
            frames = -(-frames // level.stride_frames)
            places = [position for position in range(len(level.blocks)) if (name, position) in plan]
            built = {position: plan.pop((name, position))(level.channels, frames) for position in places}
            self.add_module(name, ClipStage(level.blocks, built))
            self.stages += (Stage(name, name, level.channels, geometry.stride_px, stride_frames, geometry.origin_px),)
            self.blocks += tuple(Block(f"{name}.{position}", f"{name}.inserted.{position}", name) for position in places)
            if name in follow:
                followers[name] = follow.pop(name)(level.channels)
                self.blocks += (Block(f"{name}.{after_name}", f"after.{name}", name),)
            if name in aside:
                attached[name] = aside.pop(name)(level.channels, frames)
                self.blocks += (Block(f"{name}.{beside_name}", f"beside.{name}", name),)
        if plan or follow or aside:
            has = ", ".join(f"{name} of {len(level.blocks)}" for name, level in zip(STAGE_NAMES, levels, strict=True))
            raise ValueError(f"there is no place for modules at {[*plan, *follow, *aside]}; the stages and their residual blocks: {has}")
        self.after, self.beside = nn.ModuleDict(followers), nn.ModuleDict(attached)
        joined = sum(module.out_features for module in attached.values())  # type: ignore[misc]
        # last, as its last layer is the classifier by which the number of classes of a file is checked
        self.head = head if isinstance(head, nn.Module) else head(joined)

    def features(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs of the stages, name -> [B, C, T', H', W'], for a clip [B, 3, T, H, W], before a module that follows the stage."""
        return {name: own for name, own, _ in self._walk(clip)}

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> logits [B, classes]."""
        vectors = []
        for name, own, onward in self._walk(clip):
            last = onward
            if name in self.beside:
                vectors.append(self.beside[name](own))
        logits: torch.Tensor = self.head(last, *vectors)
        return logits

    def _walk(self, clip: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, own output and what goes on to the next stage, stage by stage."""
        x, carried = self.stem(clip), None
        for stage in self.stages:
            own = x = self.get_submodule(stage.path)(x)
            if stage.name in self.after:
                x, carried = self.after[stage.name](own, carried)
            yield stage.name, own, x
