"""AdamW with the filters of correlation operators, and projections in front of a network, in groups of their own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from vizkit.learn.config import Phase
from vizkit.motion.corrnet.module import CorrelationOperator
from vizkit.motion.pwtp.module import PWTP

FILTER_EPSILON = 1e-3
"""Far above the root mean square of a filter weight's gradient (about 1e-4): all weights keep one step size."""


def build_optimizer(network: nn.Module, heads: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW for a network and the heads of its objective; rates are zero until :func:`set_rates`.

    AdamW divides each weight's gradient by that weight's own past, so that displacements where nothing moves change as fast as those
    where things do: filters of one channel then differ from frame to frame by noise. For filters the divisor is all but constant, which
    makes their steps those of gradient descent with momentum (the paper trains by SGD, section 5), and they do not decay: norms follow
    the operator, so that only their ratios count.

    Dynamic appearance is what a subspace near a constant leaves: a step that every other weight takes without harm turns it into another
    picture, so that a projection may learn at a rate of its own.

    Args:
        network: what learns.
        heads: of the objective.
        weight_decay: of all weights but the filters.
    """
    filters = [part.filters for part in network.modules() if isinstance(part, CorrelationOperator) and part.filtered]
    projection = [entry for part in network.modules() if isinstance(part, PWTP) for entry in part.parameters()]
    apart = {id(entry) for entry in [*filters, *projection]}
    groups: list[dict[str, object]] = [{"params": _without(apart, [*network.parameters(), *heads.parameters()]), "rate": ""}]
    if filters:
        groups.append({"params": filters, "rate": "filters_rate", "eps": FILTER_EPSILON, "weight_decay": 0.0})
    if projection:
        groups.append({"params": projection, "rate": "projection_rate"})
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=weight_decay)


def set_rates(optimizer: torch.optim.Optimizer, rate: float, phase: Phase) -> None:
    """Give each group of parameters its learning rate: ``rate``, for groups of their own times the phase's number for them."""
    for group in optimizer.param_groups:
        group["lr"] = rate * getattr(phase, group["rate"]) if group["rate"] else rate


def _without(apart: set[int], parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if id(parameter) not in apart]
