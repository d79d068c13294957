"""The rest of a network behind one of its blocks, on other outputs of that block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Prediction, Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.net import rest
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.net.rest import logits_with, stage_before
from vizkit.world import clip

BLOCKS = ("res2.1", "res3.1", "res4.0")


@pytest.fixture(scope="module")
def network() -> Network:
    options: dict[str, Any] = {"num_classes": 5, "width": 4, "stem": "5x5/2", "last_gain": 1.0, "shrink": 1, "blocks": BLOCKS}
    return replace(load_network("cpnet-18", **options), sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64))


@pytest.fixture(scope="module")
def run(network: Network) -> ProbedRun:
    return probe(network, clip(0, frames=4, side_px=64).clip)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each pass began."""
    seen: list[str] = []
    own = rest._pass

    def note(run: ProbedRun, block: str, outputs: torch.Tensor, start: Any) -> torch.Tensor:
        seen.append(start.name if start else "clip")
        return own(run, block, outputs, start)

    monkeypatch.setattr(rest, "_pass", note)
    return seen


@pytest.mark.parametrize(("block", "start"), [("res2.1", "clip"), ("res3.1", "res2"), ("res4.0", "res3")])
def test_each_output_has_a_pass_of_its_own(run: ProbedRun, network: Network, starts: list[str], block: str, start: str) -> None:
    """The block's own output gives the run's logits, zeros give those of the network without it, whatever stands beside them."""
    own = run.taps[block].after
    found = logits_with(run, block, torch.stack([own, torch.zeros_like(own), own]))
    assert np.allclose(found[[0, 2]], run.prediction.logits, atol=1e-4)
    assert np.allclose(found[1], probe(network, run.clip, without=[block]).prediction.logits, atol=1e-4)
    assert not np.allclose(found[1], run.prediction.logits, atol=1e-2)
    assert starts == [start]
    before = stage_before(run, block)
    assert (before.name if before else "clip") == start


def test_blocks_that_are_off_stay_off(network: Network, run: ProbedRun) -> None:
    off = probe(network, run.clip, without=["res4.0"])
    found = logits_with(off, "res3.1", off.taps["res3.1"].after[None])
    assert np.allclose(found[0], off.prediction.logits, atol=1e-4)
    with pytest.raises(NotAvailableError, match=r"res4\.0 is switched off"):
        logits_with(off, "res4.0", off.taps["res4.0"].after[None])


def test_a_network_that_needs_more_than_the_stage_is_run_as_a_whole(
    run: ProbedRun, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("more than the stage's output")

    monkeypatch.setattr(rest, "_begin", refuse)
    own = run.taps["res4.0"].after
    assert np.allclose(logits_with(run, "res4.0", own[None])[0], run.prediction.logits, atol=1e-4)
    assert starts == ["res3", "clip"]


def test_a_network_that_does_not_repeat_itself_is_refused(run: ProbedRun) -> None:
    other = replace(run, prediction=Prediction(run.prediction.logits + np.float32(1), run.prediction.labels))
    with pytest.raises(NotAvailableError, match="says something else when the same clip is run again"):
        logits_with(other, "res4.0", run.taps["res4.0"].after[None])


def test_nothing_of_the_network_is_changed(network: Network, run: ProbedRun) -> None:
    before = [(name, type(module)) for name, module in network.module.named_modules()]
    output = run.outputs["res3"].clone()
    logits_with(run, "res4.0", run.taps["res4.0"].after[None])
    assert [(name, type(module)) for name, module in network.module.named_modules()] == before
    assert not any(module.training or module._forward_hooks for module in network.module.modules())
    assert torch.equal(run.outputs["res3"], output)


def test_an_unknown_block_is_refused(run: ProbedRun) -> None:
    with pytest.raises(SettingError, match="res9"):
        logits_with(run, "res9.0", run.taps["res4.0"].after[None])
