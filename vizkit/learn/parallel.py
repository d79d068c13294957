"""Data parallel training: processes that torchrun started take a part of every batch each, and do together what one does alone.

``torchrun --nproc-per-node 2 -m vizkit train CONFIG --out DIR`` gives the losses of ``vizkit train CONFIG --out DIR`` up to rounding, as
gradients are averaged and norms see the statistics of the whole batch. What a run draws at random for each clip (dropout, the cells of
the dense start) is drawn by every process for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from vizkit.contracts import LabelledClips
from vizkit.errors import SettingError
from vizkit.learn.source import Source

LONGEST_WAIT = timedelta(hours=6)
"""For the first process, which makes what is kept on disk before all begin."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, as seen by one of them."""

    rank: int = 0
    """Number of this process."""
    size: int = 1
    """Number of processes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of the processes' values, without a graph."""
        if self.size == 1:
            return values.detach()
        total = values.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def mean_numbers(self, numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """Means of the numbers of a log."""
        if self.size == 1:
            return dict(numbers)
        means = self.mean(torch.tensor(list(numbers.values()), dtype=torch.float64, device=device))
        return {name: round(mean, 5) for name, mean in zip(numbers, means.tolist(), strict=True)}

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all gradients: that of the mean of the losses."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size > 1 and gradients:
            means = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
            for gradient, part in zip(gradients, means.split([gradient.numel() for gradient in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def share(self, modules: Iterable[nn.Module]) -> None:
        """Give every process the weights and buffers of the first one."""
        if self.size > 1:
            for module in modules:
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)


ALONE = Group()


@contextmanager
def joined(batch: int, device: str) -> Iterator[Group]:
    """Join the processes that torchrun started; alone where it did not start this one.

    Args:
        batch: clips of a step, of all processes together.
        device: ``"cpu"`` or ``"cuda"``: processes on GPUs speak NCCL, others Gloo.

    Raises:
        SettingError: a batch that cannot be shared out evenly.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if batch % size:
        raise SettingError(f"batch is {batch}, but {size} processes share it; a multiple of {size} is accepted.", code="batch")
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Group(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def leads() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


class Part(Dataset[LabelledClips]):
    """One process's part of every batch: clips that follow each other.

    Every process makes whole batches and keeps its part: cheap where clips are read from disk, and no faster than one process where they
    are rendered for their step.

    Args:
        source: whole batches by the number of the step.
        group: the processes.
    """

    def __init__(self, source: Source, group: Group) -> None:
        self.source, self.group = source, group

    def __getitem__(self, step: int) -> LabelledClips:
        """The part of a step's batch."""
        batch = self.source[step]
        share = len(batch.labels) // self.group.size
        first = self.group.rank * share
        return batch if self.group.size == 1 else batch.take(slice(first, first + share))


class GroupBatchNorm(_BatchNorm):
    """Batch norm with the statistics of all processes' batches, on any device; torch's own synchronised norm is for GPUs only.

    All batches have the same number of values for each channel. In evaluation it is a plain batch norm.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of axes from two up."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, ...] -> [B, C, ...]."""
        if not self.training:
            return super().forward(x)
        axes, shape, size = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2)), dist.get_world_size()
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = _SumOfProcesses.apply(wide.mean(axes)) / size
        centred = wide - mean.view(shape)
        variance = _SumOfProcesses.apply(centred.square().mean(axes)) / size
        self._follow(mean.detach(), variance.detach(), x.numel() // x.shape[1] * size)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running statistics; the variance as the unbiased one of ``count`` values."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), self.momentum)


class _SumOfProcesses(torch.autograd.Function):
    """Sum over all processes; so is the gradient, as every process's loss depends on every process's values."""

    @staticmethod
    def forward(_context: object, values: torch.Tensor) -> torch.Tensor:
        """The sum."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: object, *gradients: torch.Tensor) -> torch.Tensor:
        """The sum of the gradients."""
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def synchronise_norms(network: nn.Module) -> None:
    """Replace every batch norm of a network by a :class:`GroupBatchNorm` over the same parameters and buffers."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                wide = GroupBatchNorm(norm.num_features, norm.eps, norm.momentum).train(norm.training)
                wide.weight, wide.bias = norm.weight, norm.bias
                wide.running_mean, wide.running_var, wide.num_batches_tracked = (
                    norm.running_mean,
                    norm.running_var,
                    norm.num_batches_tracked,
                )
                setattr(parent, name, wide)
