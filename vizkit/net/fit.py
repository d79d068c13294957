"""Training of tiny networks on clips that are made on the spot: what the papers' small experiments need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.errors import TrainingError

Report = Callable[[str], None]
"""Takes lines of progress."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Clips [B, C, T, H, W] and labels [B]."""

REPORTS = 8
TESTED_AT_ONCE = 20


def labelled(report: Report, label: str) -> Report:
    """Put a label in front of every line."""
    return lambda line: report(f"{label}: {line}")


def shuffled_batches(clips: torch.Tensor, labels: torch.Tensor, *, size: int, epochs: int, generator: torch.Generator) -> Iterator[Batch]:
    """Every clip once per epoch, in a new order each time; an incomplete last batch is left out.

    Args:
        clips: [N, C, T, H, W].
        labels: [N].
        size: clips of a batch.
        epochs: how often every clip is seen.
        generator: draws the orders.
    """
    for _ in range(epochs):
        for rows in torch.randperm(len(clips), generator=generator)[: len(clips) // size * size].split(size):
            yield clips[rows], labels[rows]


def fit(network: nn.Module, batches: Iterable[Batch], *, steps: int, peak_rate: float, report: Report) -> None:
    """Train by Adam with a one-cycle learning rate on the cross-entropy; afterwards the network is in eval mode.

    Args:
        network: clips -> logits.
        batches: at least ``steps`` of them.
        steps: number of steps.
        peak_rate: the highest learning rate, reached after 30 % of the steps.
        report: takes about eight lines on the mean loss since the last line.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    network.train()
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps)
    losses: list[float] = []
    for step, (clips, labels) in zip(range(1, steps + 1), batches, strict=False):
        loss = F.cross_entropy(network(clips), labels)
        losses.append(float(loss.detach()))
        if not bool(loss.isfinite()):
            raise TrainingError(f"The loss is {losses[-1]} at step {step}; peak_rate is {peak_rate}, take a lower one.", code="diverged")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // REPORTS) == 0:
            report(f"step {step} of {steps}, loss {sum(losses) / len(losses):.3f}")
            losses.clear()
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, clips: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right labels of a network in eval mode."""
    said = torch.cat([network(part).argmax(1) for part in clips.split(TESTED_AT_ONCE)])
    return float((said == labels).double().mean())
