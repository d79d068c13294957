"""MFNet-3D (Chen, Kalantidis, Li, Yan, Feng, "Multi-Fiber Networks for Video Recognition", ECCV 2018), the backbone of KPSEM.

The layers are those of the authors' public code (github.com/cypw/PyTorch-MFNet), under whose names weights can be loaded; there the
input must have 16 frames of 224 x 224, here the last pooling takes any size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from math import gcd
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.net.backbones.clips import (
    BesidePlan,
    ClipNetwork,
    Level,
    Triple,
    check_name,
    check_sizes,
    conv_norm,
    start_convolutions,
)
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

Stem = Literal["5x5/2+pool", "5x5/2"]

FIBRES = 16
MULTIPLEXER_SHARE = 4
STEM_SHARE = 6  # 96 channels of res2, 16 of the stem

LAYERS = {"stem.conv": "conv1.conv", "stem.norm": "conv1.bn", "head.norm": "tail.bn", "head.fc": "classifier"}
UNIT_LAYERS = {"mix.0": "conv_i1", "mix.1": "conv_i2", "a": "conv_m1", "b": "conv_m2", "shortcut": "conv_w1"}
"""What the public code calls the layers of the whole network and of a unit."""


def norm_conv(inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), *, fibres: int = 1) -> nn.Sequential:
    """Batch norm, ReLU, then a convolution without bias (padding of half its kernel), in groups where ``fibres`` is above 1."""
    depth, height, width = kernel
    groups = gcd(fibres, inputs, outputs)
    conv = nn.Conv3d(inputs, outputs, kernel, stride, (depth // 2, height // 2, width // 2), groups=groups, bias=False)
    return nn.Sequential(OrderedDict(norm=nn.BatchNorm3d(inputs), relu=nn.ReLU(inplace=True), conv=conv))


class MultiFibreUnit(nn.Module):
    """A residual unit in fibres, which a multiplexer lets exchange what they found (MFNet, figure 2).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: (time, height, width).
        first: the first unit of a stage: its second convolution is 1x1x1 over all fibres, and its shortcut a convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: Triple, first: bool) -> None:
        super().__init__()
        between = max(1, outputs // MULTIPLEXER_SHARE)
        self.mix = nn.Sequential(norm_conv(inputs, between, (1, 1, 1)), norm_conv(between, inputs, (1, 1, 1)))
        self.a = norm_conv(inputs, outputs, (3, 3, 3), stride, fibres=FIBRES)
        self.b = norm_conv(outputs, outputs, (1, 1, 1)) if first else norm_conv(outputs, outputs, (1, 3, 3), fibres=FIBRES)
        self.shortcut = norm_conv(inputs, outputs, (1, 1, 1), stride) if first else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, outputs, T', H', W'], without a ReLU at the end."""
        return self.b(self.a(x + self.mix(x))) + self.shortcut(x)


class MFNetHead(nn.Module):
    """Norm, ReLU, mean over time and space, joined with vectors; dropout, linear."""

    def __init__(self, channels: int, num_classes: int, dropout: float, joined: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels + joined, num_classes)

    def forward(self, x: torch.Tensor, *vectors: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] and vectors [B, length] -> logits [B, classes]."""
        pooled = F.relu(self.norm(x)).mean((2, 3, 4))
        logits: torch.Tensor = self.fc(self.dropout(torch.cat([pooled, *vectors], 1)))
        return logits


class MFNet(ClipNetwork):
    """An MFNet-3D, which knows what its weights are called in the public code."""

    def translate_keys(self, keys: Iterable[str]) -> dict[str, str] | None:
        """Say what the tensors of a file with the public code's names are called here.

        Args:
            keys: keys of the file.

        Returns:
            Key of the file -> own key, for those that have one; None for a file in another layout.
        """
        given = set(keys)
        if public_key("stem.conv.weight") not in given:
            return None
        named = {public_key(key): key for key in self.state_dict() if not key.startswith("beside.")}
        return {public: own for public, own in named.items() if public in given}


def public_key(key: str) -> str:
    """What the public code calls a tensor: ``"conv3.B01.conv_m1.bn.weight"`` for ``"res3.blocks.0.a.norm.weight"``."""
    path, _, leaf = key.rpartition(".")
    if path in LAYERS:
        return f"{LAYERS[path]}.{leaf}"
    stage, _, position, rest = path.split(".", 3)
    layer, _, part = rest.rpartition(".")
    unit = f"conv{STAGE_NAMES.index(stage) + 2}.B{int(position) + 1:02}"
    return f"{unit}.{UNIT_LAYERS[layer]}.{'bn' if part == 'norm' else part}.{leaf}"


def build_mfnet(
    num_classes: int,
    *,
    layout: Sequence[int] = (3, 4, 6, 3),
    width: int = 96,
    stem: Stem = "5x5/2+pool",
    frames: int = 16,
    beside: BesidePlan | None = None,
    beside_name: str = "beside",
    dropout: float = 0.5,
) -> MFNet:
    """Build MFNet-3D; res2 to res5 (its conv2 to conv5) have ceil(T/2) of a clip's T frames.

    Args:
        num_classes: outputs.
        layout: units of each stage.
        width: channels of res2; they double from stage to stage, and the stem has a sixth. Convolutions have 16 fibres, fewer where
            the channels are no multiple of 16.
        stem: ``"5x5/2+pool"`` (res2 .. res5 lie at strides 4, 8, 16, 32) or ``"5x5/2"`` (small nets for small clips: 2, 4, 8, 16).
        frames: length of the clips that the modules of ``beside`` are built for.
        beside: modules beside the stages.
        beside_name: what their blocks are called: ``"res4.kpsem"``.
        dropout: before the last layer.

    Raises:
        ValueError: a size below one, an unknown stem, or a plan for a stage that is not there.
    """
    check_sizes(layout, width=width, frames=frames)
    check_name("stem", stem, get_args(Stem))
    inputs = max(1, width // STEM_SHARE)
    first = conv_norm(3, inputs, (3, 5, 5), (1, 2, 2))
    geometry = CellGeometry().through(5, 2, 2)
    if stem.endswith("+pool"):
        first.add_module("pool", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        geometry = geometry.through(3, 2, 1)
    levels = []
    for level, length in enumerate(layout):
        outputs, stride = width * 2**level, (1, 2, 2) if level else (2, 1, 1)
        units = [MultiFibreUnit(inputs, outputs, stride=stride, first=True)]
        units += [MultiFibreUnit(outputs, outputs, stride=(1, 1, 1), first=False) for _ in range(length - 1)]
        levels.append(Level(outputs, stride[1], stride[0], units))
        inputs = outputs
    start_convolutions(first, *(unit for level in levels for unit in level.blocks))
    head = partial(MFNetHead, inputs, num_classes, dropout)
    return MFNet(first, levels, head, geometry=geometry, frames=frames, beside=beside, beside_name=beside_name)
