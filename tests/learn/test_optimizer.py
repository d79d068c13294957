"""What learns at a rate of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizkit.learn.config import Phase
from vizkit.learn.optimizer import build_optimizer, set_rates
from vizkit.motion.corrnet.module import CorrelationOperator, CorrelationSum

PHASE = Phase(clips=16, filters_rate=4.0)


def learn(network: nn.Module, gradients: dict[str, torch.Tensor], phase: Phase, *, weight_decay: float = 0.0) -> dict[str, torch.Tensor]:
    """What one step on given gradients adds to each parameter."""
    before = {name: entry.detach().clone() for name, entry in network.named_parameters()}
    optimizer = build_optimizer(network, nn.Linear(2, 2), weight_decay=weight_decay)
    set_rates(optimizer, 0.01, phase)
    for name, entry in network.named_parameters():
        entry.grad = gradients.get(name, torch.zeros_like(entry))
    optimizer.step()
    return {name: entry.detach() - before[name] for name, entry in network.named_parameters()}


def test_filters_move_by_their_gradients_and_other_weights_by_its_sign() -> None:
    network = nn.ModuleDict({"operator": CorrelationOperator(2, 2, patch=3), "other": nn.Linear(2, 1, bias=False)})
    filters = torch.zeros(2, 2, 3, 3)
    filters[1, 0, 2, 1], filters[1, 1, 0, 0] = 1e-5, -2e-5
    added = learn(network, {"operator.filters": filters, "other.weight": torch.tensor([[1e-5, -2e-5]])}, PHASE)
    assert added["operator.filters"] == pytest.approx(-0.01 * 4 * filters / 1e-3, rel=0.03)
    assert added["other.weight"].flatten().tolist() == pytest.approx([-0.01, 0.01], rel=0.01)


def test_filters_rest_at_rate_zero_and_never_decay() -> None:
    block = CorrelationSum(8, 2, patch=3)
    gradients = {name: torch.ones_like(entry) for name, entry in block.named_parameters()}
    added = learn(block, gradients, Phase(clips=16, filters_rate=0.0))
    assert not added["operator.filters"].any()
    assert all(change.all() for name, change in added.items() if name != "operator.filters")
    decayed = learn(block, {}, PHASE, weight_decay=0.5)
    assert not decayed["operator.filters"].any()
    assert decayed["reduction.0.weight"].all()


def test_every_parameter_learns_once() -> None:
    network, heads = nn.Sequential(CorrelationSum(8, 2), CorrelationSum(8, 2, filtered=False)), nn.Conv2d(2, 2, 1)
    optimizer = build_optimizer(network, heads, weight_decay=0.02)
    learning = [id(entry) for group in optimizer.param_groups for entry in group["params"]]
    assert sorted(learning) == sorted(id(entry) for entry in [*network.parameters(), *heads.parameters()])
    assert [len(group["params"]) for group in optimizer.param_groups][1:] == [1]
