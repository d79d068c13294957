"""A network that can be looked into: module, stages, labels, sampling, origin."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from vizkit.contracts import Block, Record, Sampling, Stage
from vizkit.digest import digest_tensors
from vizkit.errors import SettingError, unknown_name

MOST_THREADS = 256


def fix_threads() -> int:
    """Fix the number of intra-op threads (``VIZKIT_THREADS``), since results differ in the last bit between numbers of threads.

    Returns:
        The number in force.

    Raises:
        SettingError: ``VIZKIT_THREADS`` is not a number of threads.
    """
    text = os.environ.get("VIZKIT_THREADS") or str(min(2, os.cpu_count() or 1))
    if not text.isdigit() or not 1 <= int(text) <= MOST_THREADS:
        raise SettingError(f"VIZKIT_THREADS is {text!r}; give a number from 1 to {MOST_THREADS}.")
    if torch.get_num_threads() != int(text):
        torch.set_num_threads(int(text))
    return torch.get_num_threads()


class Bypassed(nn.Module):
    """Stands where a switched-off block stood; returns what leaves the network as if the block were not there."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The block's neutral output."""
        return self.block.neutral(*inputs)  # type: ignore[operator]


@dataclass(frozen=True, eq=False, repr=False)
class Network(Record):
    """A classifier of clips [B, 3, T, H, W] with named stages and blocks.

    The module is never hooked, switched to another mode or given gradients: every job works on its own :meth:`tree`.
    """

    name: str
    """Name that it was loaded by."""
    architecture: str
    """Name of the architecture."""
    module: nn.Module
    """In eval mode, parameters without gradients."""
    stages: tuple[Stage, ...]
    """Its stages, shallow to deep."""
    blocks: tuple[Block, ...]
    """Its inserted motion modules."""
    labels: tuple[str, ...]
    """Names of the classes."""
    sampling: Sampling
    """The sampling that it was trained and measured with."""
    mean: tuple[float, float, float]
    """Mean of the input, RGB in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of the input."""
    origin: str
    """``"trained"``, ``"converted"``, ``"published"``, ``"random"``, or ``"own"`` for a module that was wrapped."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What :func:`vizkit.load_network` was called with besides the name, so that a recipe can call it again; ``adjust`` holds what
    :func:`vizkit.net.adjust.adjust` changed."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The checkpoint's card; empty for other networks."""
    notes: tuple[str, ...] = ()
    """What a reader of its pictures must know about its weights."""

    def __post_init__(self) -> None:
        """Freeze the module."""
        fix_threads()
        self.module.eval().requires_grad_(False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of a checkpoint's weights file (checked when it was loaded), or over every weight and buffer of another network."""
        return str(self.card["digest"]) if self.card else digest_tensors(self.module.state_dict())

    def stage(self, name: str) -> Stage:
        """A stage by name.

        Raises:
            SettingError: an unknown stage; the message lists the known ones.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise unknown_name("stage", name, [stage.name for stage in self.stages])

    def block(self, name: str) -> Block:
        """An inserted block by name.

        Raises:
            SettingError: an unknown block; the message lists the known ones.
        """
        for block in self.blocks:
            if block.name == name:
                return block
        raise unknown_name("block", name, [block.name for block in self.blocks])

    def tree(self, without: Sequence[str] = ()) -> nn.Module:
        """A module tree of one's own over the same weight tensors (no copy of the weights), blocks of ``without`` switched off."""
        shared: dict[int, Any] = {id(tensor): tensor for tensor in (*self.module.parameters(), *self.module.buffers())}
        own = copy.deepcopy(self.module, shared)
        for name in dict.fromkeys(without):
            path, _, leaf = self.block(name).path.rpartition(".")
            parent = own.get_submodule(path)
            setattr(parent, leaf, Bypassed(getattr(parent, leaf)))
        return own

    def normalized(self, frames: torch.Tensor) -> torch.Tensor:
        """Subtract the mean and divide by the standard deviation: [B, 3, T, H, W] in [0, 1] -> the module's input."""
        mean, std = (torch.tensor(values, dtype=frames.dtype, device=frames.device).view(3, 1, 1, 1) for values in (self.mean, self.std))
        return (frames - mean) / std
