"""Where CPNet puts its modules in a ResNet (cpnet.md section 4 lists the sources of every row)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from vizkit.motion.cpnet.module import CPModule, Head, Metric
from vizkit.net.backbones.resnet import FrameResNet, Stem, place_of


def build_cpnet(
    num_classes: int,
    *,
    depth: int = 18,
    blocks: Sequence[str] = ("res3.0", "res3.1", "res4.0", "res4.1"),
    neighbors: int = 8,
    width_shares: Sequence[float] = (0.25, 0.5),
    widths: Sequence[int] | None = None,
    bottleneck_share: float | None = None,
    shrink: int = 2,
    head: Head = "after_max",
    metric: Metric = "semantic",
    position_weight: float = 10.0,
    last_gain: float = 0.0,
    position_gain: Sequence[float] = (1.0, 1.0, 1.0),
    feature_gain: float = 1.0,
    width: int = 64,
    stem: Stem = "7x7/2+pool",
    dropout: float = 0.5,
) -> FrameResNet:
    """Build a frame-wise ResNet with CP modules.

    Args:
        num_classes: outputs.
        depth: of the ResNet.
        blocks: ``"stage.position"`` of the residual blocks that carry a CP module.
        neighbors: k.
        width_shares: hidden widths of the shared MLP as shares of the block's channels.
        widths: hidden widths themselves, instead of ``width_shares``.
        bottleneck_share: channels of the linear layer in front (ResNet-101: 1/8), or None.
        shrink: spatial shrink before matching in res3; 1 elsewhere.
        head: see :class:`CPModule`, as are ``metric`` to ``feature_gain``.
        metric: space of the nearest neighbours.
        position_weight: of the metric "joint".
        last_gain: initial scale of the module's last norm.
        position_gain: factors on the initial position weights.
        feature_gain: factor on the initial feature weights of half the first layer's units.
        width: channels of res2.
        stem: see :class:`FrameResNet`.
        dropout: before the last layer.

    Raises:
        ValueError: a block that the ResNet does not have.
    """

    def build(channels: int, *, factor: int) -> nn.Module:
        return CPModule(
            channels,
            neighbors=neighbors,
            widths=tuple(widths) if widths is not None else tuple(int(channels * share) for share in width_shares),
            shrink=factor,
            head=head,
            bottleneck=int(channels * bottleneck_share) if bottleneck_share else None,
            metric=metric,
            position_weight=position_weight,
            last_gain=last_gain,
            position_gain=tuple(position_gain),  # type: ignore[arg-type]
            feature_gain=feature_gain,
        )

    places = map(place_of, blocks)
    plan = {(stage, position): partial(build, factor=shrink if stage == "res3" else 1) for stage, position in places}
    return FrameResNet(depth, num_classes, width=width, stem=stem, motion=plan, dropout=dropout)
