"""X3D-XS, -S and -M (X3D: Feichtenhofer, CVPR 2020, table 1), in the two public layouts of their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.errors import CheckpointError
from vizkit.net.backbones.clips import AfterPlan, ClipNetwork, Level, check_name, check_sizes, conv_norm, start_convolutions
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

Stem = Literal["3x3/2", "5x5/2"]

INNER_SHARE = 2.25
SQUEEZE_SHARE = 1 / 16
SQUEEZE_STEP = 8


@dataclass(frozen=True)
class Layout:
    """How another project calls the layers of X3D."""

    block: str
    """A residual block, with places for the number of its stage and for its position in it."""
    first_stage: int
    """The number of res2 there."""
    layers: Mapping[str, str]
    """Layers, by what they are called here: of the whole network, and of a residual block."""

    def key(self, own: str) -> str:
        """What a tensor of :class:`X3D` is called there."""
        path, _, leaf = own.rpartition(".")
        if path in self.layers:
            return f"{self.layers[path]}.{leaf}"
        stage, _, position, layer = path.split(".", 3)
        block = self.block.format(stage=self.first_stage + STAGE_NAMES.index(stage), position=position)
        return f"{block}.{self.layers[layer]}.{leaf}"


LAYOUTS = (
    Layout(  # PySlowFast
        "s{stage}.pathway0_res{position}", 2,
        {
            "stem.spatial": "s1.pathway0_stem.conv_xy", "stem.temporal": "s1.pathway0_stem.conv", "stem.norm": "s1.pathway0_stem.bn",
            "a.conv": "branch2.a", "a.norm": "branch2.a_bn", "b.conv": "branch2.b", "b.norm": "branch2.b_bn",
            "squeeze.reduce": "branch2.se.fc1", "squeeze.expand": "branch2.se.fc2", "c.conv": "branch2.c", "c.norm": "branch2.c_bn",
            "shortcut.conv": "branch1", "shortcut.norm": "branch1_bn",
            "head.expand.conv": "head.conv_5", "head.expand.norm": "head.conv_5_bn", "head.hidden": "head.lin_5",
            "head.fc": "head.projection",
        },
    ),
    Layout(  # pytorchvideo, where conv_t of the stem is the spatial convolution and conv_xy the temporal one
        "blocks.{stage}.res_blocks.{position}", 1,
        {
            "stem.spatial": "blocks.0.conv.conv_t", "stem.temporal": "blocks.0.conv.conv_xy", "stem.norm": "blocks.0.norm",
            "a.conv": "branch2.conv_a", "a.norm": "branch2.norm_a", "b.conv": "branch2.conv_b", "b.norm": "branch2.norm_b.0",
            "squeeze.reduce": "branch2.norm_b.1.block.0", "squeeze.expand": "branch2.norm_b.1.block.2",
            "c.conv": "branch2.conv_c", "c.norm": "branch2.norm_c", "shortcut.conv": "branch1_conv", "shortcut.norm": "branch1_norm",
            "head.expand.conv": "blocks.5.pool.pre_conv", "head.expand.norm": "blocks.5.pool.pre_norm",
            "head.hidden": "blocks.5.pool.post_conv", "head.fc": "blocks.5.proj",
        },
    ),
)  # fmt: skip
SHORTCUT_NORM = "res2.blocks.0.shortcut.norm.weight"


def squeezed(channels: int) -> int:
    """A sixteenth of the channels, rounded to a multiple of 8 that is at least 8 and not below nine tenths of it."""
    wanted = channels * SQUEEZE_SHARE
    rounded = max(SQUEEZE_STEP, int(wanted + SQUEEZE_STEP / 2) // SQUEEZE_STEP * SQUEEZE_STEP)
    return rounded if rounded >= 0.9 * wanted else rounded + SQUEEZE_STEP


class Squeeze(nn.Module):
    """Squeeze and excitation: channels weighted by what two layers make of their means over time and space."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, squeezed(channels), 1)
        self.expand = nn.Conv3d(squeezed(channels), channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> the same shape."""
        means = x.mean((2, 3, 4), keepdim=True)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(means))))


class X3DBlock(nn.Module):
    """1x1x1, depthwise 3x3x3, squeeze and excitation in every other block, swish, 1x1x1, added to the shortcut, ReLU.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: spatial stride, on the 3x3x3.
        squeeze: whether there is squeeze and excitation.
        shortcut_norm: whether the convolution of the shortcut is followed by a norm.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, squeeze: bool, shortcut_norm: bool) -> None:
        super().__init__()
        inner = int(outputs * INNER_SHARE)
        self.a = conv_norm(inputs, inner, (1, 1, 1))
        self.b = conv_norm(inner, inner, (3, 3, 3), (1, stride, stride), groups=inner, relu=False)
        self.squeeze = Squeeze(inner) if squeeze else nn.Identity()
        self.c = conv_norm(inner, outputs, (1, 1, 1), relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            shortcut = conv_norm(inputs, outputs, (1, 1, 1), (1, stride, stride), relu=False)
            self.shortcut = shortcut if shortcut_norm else shortcut[:1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, outputs, T, H', W']."""
        out = F.silu(self.squeeze(self.b(self.a(x))))
        return F.relu(self.c(out) + self.shortcut(x))


class X3DStem(nn.Module):
    """A spatial convolution of stride 2, a depthwise one over five frames, norm, ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        half = kernel // 2
        self.spatial = nn.Conv3d(3, width, (1, kernel, kernel), (1, 2, 2), (0, half, half), bias=False)
        self.temporal = nn.Conv3d(width, width, (5, 1, 1), padding=(2, 0, 0), groups=width, bias=False)
        self.norm = nn.BatchNorm3d(width)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] -> [B, C, T, H/2, W/2]."""
        return F.relu(self.norm(self.temporal(self.spatial(clip))))


class X3DHead(nn.Module):
    """1x1x1 with norm and ReLU, mean over time and space, a layer without bias, ReLU, dropout, linear."""

    def __init__(self, inputs: int, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        inner = int(inputs * INNER_SHARE)
        self.expand = conv_norm(inputs, inner, (1, 1, 1))
        self.hidden = nn.Conv3d(inner, hidden, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> logits [B, classes]."""
        pooled = self.expand(x).mean((2, 3, 4), keepdim=True)
        logits: torch.Tensor = self.fc(self.dropout(F.relu(self.hidden(pooled)).flatten(1)))
        return logits


class X3D(ClipNetwork):
    """An X3D network, which knows what its weights are called elsewhere."""

    def translate_keys(self, keys: Iterable[str]) -> dict[str, str] | None:
        """Say what the tensors of a file in PySlowFast's or pytorchvideo's layout are called here.

        Args:
            keys: keys of the file.

        Returns:
            Key of the file -> own key, for those that have one; None for a file in another layout.

        Raises:
            CheckpointError: the file is of the other variant of the shortcut of res2.
        """
        given = set(keys)
        own = [key for key in self.state_dict() if not key.startswith("after.")]
        layout = next((layout for layout in LAYOUTS if layout.key("stem.spatial.weight") in given), None)
        if layout is None:
            return None
        in_file, here = layout.key(SHORTCUT_NORM) in given, SHORTCUT_NORM in own
        if in_file != here:
            told = f"the weights have {'a' if in_file else 'no'} norm on the shortcut of res2"
            raise CheckpointError(f"{told}; build the network with stage2_shortcut_bn={in_file} for them.", code="keys")
        return {layout.key(key): key for key in own if layout.key(key) in given}


def build_x3d(
    num_classes: int,
    *,
    layout: Sequence[int] = (3, 5, 11, 7),
    width: int = 24,
    head_width: int = 2048,
    stem: Stem = "3x3/2",
    stage2_shortcut_bn: bool = True,
    after: AfterPlan | None = None,
    after_name: str = "after",
    dropout: float = 0.5,
) -> X3D:
    """Build X3D-XS, -S or -M, which differ in their clips only; every stage keeps all frames.

    Args:
        num_classes: outputs.
        layout: residual blocks of each stage.
        width: channels of res2; they double from stage to stage.
        head_width: channels of the layer before the last.
        stem: ``"3x3/2"`` (res2 .. res5 lie at strides 4, 8, 16, 32) or ``"5x5/2"`` (small nets for small clips: 2, 4, 8, 16, and an
            identity as the first shortcut of res2).
        stage2_shortcut_bn: whether the first shortcut of res2, a strided convolution, has a norm: PySlowFast's weights have it,
            pytorchvideo's have not.
        after: modules after whole stages.
        after_name: what the blocks of ``after`` are called: ``"res2.dcf"``.
        dropout: before the last layer.

    Raises:
        ValueError: a size below one, an unknown stem, or a plan for a stage that is not there.
    """
    check_sizes(layout, width=width, head_width=head_width)
    check_name("stem", stem, get_args(Stem))
    kernel, first_stride = int(stem[0]), 2 if stem == "3x3/2" else 1
    first, levels, inputs = X3DStem(width, kernel), [], width
    for level, length in enumerate(layout):
        outputs, stride, blocks = width * 2**level, 2 if level else first_stride, []
        for position in range(length):
            blocks.append(
                X3DBlock(
                    inputs, outputs, stride=1 if position else stride, squeeze=position % 2 == 0,
                    shortcut_norm=level > 0 or stage2_shortcut_bn,
                )
            )  # fmt: skip
            inputs = outputs
        levels.append(Level(outputs, stride, 1, blocks))
    head = X3DHead(inputs, head_width, num_classes, dropout)
    start_convolutions(first, *(block for level in levels for block in level.blocks), head)
    geometry = CellGeometry().through(kernel, 2, kernel // 2)
    return X3D(first, levels, head, geometry=geometry, after=after, after_name=after_name)
