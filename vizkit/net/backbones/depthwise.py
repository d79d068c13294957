"""R(2+1)D with depthwise temporal convolutions, the backbone of DCF (DCF, table 6).

The temporal convolutions start as the identity, have no norm and no ReLU of their own, and no stage drops frames: an untrained
network is a 2-D ResNet on every frame, takes an image network's weights, and gives the mean of its logits over the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import nn

from vizkit.errors import CheckpointError
from vizkit.net.backbones.clips import AfterPlan, ClipNetwork, PooledHead, check_name, check_sizes, conv_norm, start_convolutions
from vizkit.net.backbones.r2plus1d import StrideOn, bottleneck_levels
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.geometry import CellGeometry

Stem = Literal["7x7/2+pool", "5x5/2"]

IMAGE_LAYERS = {
    "stem.conv": "conv1", "stem.norm": "bn1", "head.fc": "fc",
    "a.conv": "conv1", "a.norm": "bn1", "b.conv": "conv2", "b.norm": "bn2", "c.conv": "conv3", "c.norm": "bn3",
    "shortcut.conv": "downsample.0", "shortcut.norm": "downsample.1",
}  # fmt: skip
"""What torchvision's ResNet calls the layers of the whole network and of a bottleneck."""
SHOWN_KEYS = 3


class DepthwiseTemporal(nn.Conv3d):
    """3x1x1 convolution of every channel for itself, without bias; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (3, 1, 1), padding=(1, 0, 0), groups=channels, bias=False)

    def reset_parameters(self) -> None:
        """Set every kernel to [0, 1, 0]."""
        with torch.no_grad():
            self.weight.zero_()[:, :, 1] = 1


def build_depthwise(
    num_classes: int,
    *,
    layout: Sequence[int] = (3, 4, 6, 3),
    width: int = 64,
    stem: Stem = "7x7/2+pool",
    stride_on: StrideOn = "3x3",
    after: AfterPlan | None = None,
    after_name: str = "after",
    dropout: float = 0.5,
) -> ClipNetwork:
    """Build R(2+1)D with depthwise temporal convolutions; every stage keeps all frames.

    Args:
        num_classes: outputs.
        layout: residual blocks of each stage: (3, 4, 6, 3) for depth 50, (3, 4, 23, 3) for 101.
        width: planes of res2.
        stem: ``"7x7/2+pool"`` (res2 .. res5 lie at strides 4, 8, 16, 32) or ``"5x5/2"`` (small nets for small clips: 2, 4, 8, 16).
        stride_on: the layer of a bottleneck with the spatial stride; torchvision's image weights were trained with ``"3x3"``.
        after: modules after whole stages.
        after_name: what the blocks of ``after`` are called: ``"res2.dcf"``.
        dropout: before the last layer.

    Raises:
        ValueError: a size below one, an unknown name, or a plan for a stage that is not there.
    """
    check_sizes(layout, width=width)
    check_name("stem", stem, get_args(Stem))
    check_name("stride_on", stride_on, get_args(StrideOn))
    kernel, pooled = int(stem[0]), stem.endswith("+pool")
    first = conv_norm(3, width, (1, kernel, kernel), (1, 2, 2))
    geometry = CellGeometry().through(kernel, 2, kernel // 2)
    if pooled:
        first.add_module("pool", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        geometry = geometry.through(3, 2, 1)
    levels = bottleneck_levels(
        width, width, layout, strides=(1, 2, 2, 2), strides_frames=(1, 1, 1, 1),
        temporal=lambda _name, planes, _stride: DepthwiseTemporal(planes), stride_on=stride_on,
    )  # fmt: skip
    start_convolutions(first, *(block for level in levels for block in level.blocks))
    head = PooledHead(levels[-1].channels, num_classes, dropout)
    return ClipNetwork(first, levels, head, geometry=geometry, after=after, after_name=after_name)


def load_image_weights(network: ClipNetwork, weights: Mapping[str, torch.Tensor], *, classifier: bool = True) -> None:
    """Put the weights of torchvision's ResNet-50 or -101 into a network of :func:`build_depthwise`: all of them or none.

    Temporal convolutions and modules of a plan keep what they have.

    Args:
        network: with ``stride_on="3x3"``, as the image network strides there.
        weights: state of the image network.
        classifier: whether its last layer is taken too; without, the network keeps its own.

    Raises:
        CheckpointError: weights of another network.
    """
    own = network.state_dict()
    kept = ("after.", "beside.") if classifier else ("after.", "beside.", "head.")
    names = {image_key(key): key for key in own if ".temporal." not in key and not key.startswith(kept)}
    given = {key for key in weights if classifier or not key.startswith("fc.")}
    if names.keys() != given:
        missing, unexpected = sorted(names.keys() - given), sorted(given - names.keys())
        raise CheckpointError(
            f"The image weights are of another network: missing {missing[:SHOWN_KEYS]}, unexpected {unexpected[:SHOWN_KEYS]}; "
            "those of a ResNet of the same depth are accepted.",
            code="keys",
        )
    inflated = {own_key: weights[key].unsqueeze(2) if weights[key].ndim == 4 else weights[key] for key, own_key in names.items()}
    for key, tensor in inflated.items():
        if tensor.shape != own[key].shape:
            raise CheckpointError(
                f"The image weights for {key} have shape {list(tensor.shape)}, expected {list(own[key].shape)}.", code="shape"
            )
    network.load_state_dict(inflated, strict=False)


def image_key(key: str) -> str:
    """What torchvision's ResNet calls a tensor: ``"layer2.0.conv1.weight"`` for ``"res3.blocks.0.a.conv.weight"``."""
    path, _, leaf = key.rpartition(".")
    if path in IMAGE_LAYERS:
        return f"{IMAGE_LAYERS[path]}.{leaf}"
    stage, _, position, layer = path.split(".", 3)
    return f"layer{STAGE_NAMES.index(stage) + 1}.{position}.{IMAGE_LAYERS[layer]}.{leaf}"
