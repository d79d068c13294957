"""Counting parameters and multiply-adds."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vizkit.net.architecture import Architecture, Published

WITH_WEIGHTS = frozenset({"aten.convolution", "aten.mm", "aten.addmm"})
"""Products of activations with weights, as torch calls them; those of activations with each other come in batches."""


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    params: int
    """All parameters: weights, biases, norms."""
    gmacs: float
    """Multiply-adds of one clip in 1e9: convolutions, linear layers and matrix products (neighbour search included)."""
    frames: int
    """Frames of the clip."""
    size_px: int
    """Side of the frames."""


def count_network(module: nn.Module, frames: int, size_px: int) -> Cost:
    """Count a network on a clip [1, 3, frames, size_px, size_px]; shapes only, nothing is computed.

    Multiply-adds are half of what torch's FlopCounterMode counts.
    """
    shapes = copy.deepcopy(module).to("meta").eval()
    return Cost(count_parameters(module), _gmacs(shapes, frames, size_px), frames, size_px)


def _gmacs(shapes: nn.Module, frames: int, size_px: int, *, products: bool = True) -> float:
    """Multiply-adds in 1e9 of a module on the device "meta"; without ``products`` those with weights alone."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.empty(1, 3, frames, size_px, size_px, device="meta"))
    found = counter.get_flop_counts().get("Global", {})
    return sum(flops for operation, flops in found.items() if products or str(operation) in WITH_WEIGHTS) / 2e9


def count_architecture(architecture: Architecture) -> Cost:
    """Count a named architecture at its own size and number of classes."""
    with torch.device("meta"):
        module = architecture.build()
    return count_network(module, architecture.frames, architecture.size_px)


def count_parameters(module: nn.Module, *, weights_only: bool = False) -> int:
    """Number of parameters; ``weights_only`` leaves out biases and norms (tensors with one axis)."""
    return sum(parameter.numel() for parameter in module.parameters() if not weights_only or parameter.ndim > 1)


def gmacs_as_published(module: nn.Module, published: Published, frames: int, size_px: int) -> float:
    """Multiply-adds in 1e9 in a paper's own counting, on its own clip.

    Args:
        module: the network.
        published: the paper's figures and how it counted.
        frames: frames of the architecture's clip, where the paper counted on it.
        size_px: side of that clip.
    """
    shapes = copy.deepcopy(module).to("meta").eval().requires_grad_()  # frozen, torch makes batches of some products with weights
    normed = [0]
    for part in shapes.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.register_forward_hook(lambda _module, _inputs, output: normed.__setitem__(0, normed[0] + output.numel()))
    gmacs = _gmacs(shapes, published.frames or frames, published.size_px or size_px, products=published.products)
    return published.flops * gmacs + published.norm_macs * normed[0] / 1e9


def parameters_as_published(module: nn.Module, published: Published) -> float:
    """Number of parameters in a paper's own counting and unit."""
    return (count_parameters(module, weights_only=not published.every_parameter) - published.params_left_out) / published.unit
