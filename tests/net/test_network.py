"""Networks are shared by all jobs: every job works on a tree of its own over the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from vizkit.checkpoint import load_network
from vizkit.errors import SettingError
from vizkit.net.network import Bypassed, Network, fix_threads

Load = Callable[..., Network]


def test_a_tree_has_modules_of_its_own_over_the_same_weights(small: Load) -> None:
    network = small("cpnet-18")
    tree = network.tree()
    assert not {id(module) for module in tree.modules()} & {id(module) for module in network.module.modules()}
    own, shared = tree.state_dict(keep_vars=True), network.module.state_dict(keep_vars=True)
    assert list(own) == list(shared)
    assert all(own[key].data_ptr() == shared[key].data_ptr() and own[key].shape == shared[key].shape for key in own)
    assert not tree.training


def test_hooks_and_modes_of_a_tree_stay_in_it(small: Load) -> None:
    network = small("cpnet-18")
    tree = network.tree().train()
    tree.register_forward_hook(lambda *_: None)
    tree.get_submodule("layer2.0").register_forward_hook(lambda *_: None)
    assert not any(module._forward_hooks or module.training for module in network.module.modules())
    assert not any(module._forward_hooks or module.training for module in network.tree().modules())


def test_a_network_is_frozen_when_it_is_made() -> None:
    module = load_network("c2d-18", num_classes=3, width=4, stem="5x5/2").module
    module.train().requires_grad_(True)
    network = replace(load_network("c2d-18", num_classes=3, width=4, stem="5x5/2"), module=module)
    assert not network.module.training
    assert not any(parameter.requires_grad for parameter in network.module.parameters())


def test_without_its_blocks_a_network_is_its_twin_bit_for_bit(small: Load) -> None:
    network = small("cpnet-18", last_gain=1.0, widths=(12, 12))
    twin = small("c2d-18")
    twin.module.load_state_dict({key: value for key, value in network.module.state_dict().items() if ".motion." not in key})
    clip = torch.randn((1, 3, 4, 48, 48), generator=torch.Generator().manual_seed(0))
    every = [block.name for block in network.blocks]
    with torch.no_grad():
        assert torch.equal(network.tree(every)(clip), twin.tree()(clip))
        assert not torch.equal(network.tree(every[:-1])(clip), twin.tree()(clip))
        assert not torch.equal(network.tree()(clip), network.tree(every[:1])(clip))
        assert torch.equal(network.tree()(clip), network.module(clip))


def test_only_the_named_blocks_are_switched_off(small: Load) -> None:
    network = small("cpnet-18")
    tree = network.tree(["res3.1", "res4.0"])
    off = {block.name for block in network.blocks if isinstance(tree.get_submodule(block.path), Bypassed)}
    assert off == {"res3.1", "res4.0"}


def test_a_block_named_twice_is_switched_off_once(small: Load) -> None:
    network = small("cpnet-18", last_gain=1.0)
    clip = torch.randn(1, 3, 4, 48, 48)
    with torch.no_grad():
        assert torch.equal(network.tree(["res3.0", "res3.0"])(clip), network.tree(["res3.0"])(clip))


def test_unknown_stages_and_blocks_list_the_known_ones(small: Load) -> None:
    network = small("cpnet-18")
    assert network.stage("res4").channels == 16
    assert network.block("res4.1").path == "layer3.1.motion"
    with pytest.raises(SettingError, match="res2, res3, res4, res5"):
        network.stage("layer1")
    with pytest.raises(SettingError, match=r"res3\.0, res3\.1, res4\.0, res4\.1"):
        network.block("res5.0")
    with pytest.raises(SettingError, match=r"res3\.0, res3\.1, res4\.0, res4\.1"):
        network.tree(["res5.0"])


def test_the_input_is_normalised_channel_by_channel(small: Load) -> None:
    network = replace(small("c2d-18"), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.1))
    frames = torch.full((1, 3, 2, 4, 5), 0.6)
    assert network.normalized(frames)[0, :, 1, 3, 4].tolist() == pytest.approx([1.0, 1.6, 3.0])


def test_the_digest_is_over_every_weight_and_buffer(small: Load) -> None:
    digest = small("c2d-18").digest
    assert digest == small("c2d-18").digest
    changed = small("c2d-18")
    with torch.no_grad():
        changed.module.get_submodule("layer4.1.bn2").running_var[-1] += 1e-3
    assert changed.digest != digest
    assert small("c2d-18", seed=1).digest != digest


def test_the_repr_holds_no_weights(small: Load) -> None:
    assert len(repr(small("c2d-18"))) < 2000


class Counts(nn.Module):
    """A network whose answer is the number of threads."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return torch.full((len(clip), 1), float(torch.get_num_threads()))


def test_every_run_has_the_fixed_number_of_threads(small: Load, noise: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZKIT_THREADS", "1")
    from vizkit.net.probe import probe

    network = replace(small("c2d-18"), module=Counts(), stages=(), labels=("threads",))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run = probe(network, noise())  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert run.prediction.logits.tolist() == [1]
    assert run.provenance.threads == 1


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZKIT_THREADS", text)
    with pytest.raises(SettingError, match="VIZKIT_THREADS"):
        fix_threads()


def test_the_number_of_threads_is_a_setting_of_the_environment() -> None:
    code = "from vizkit.net.network import fix_threads; import torch; fix_threads(); print(torch.get_num_threads())"
    environment = {**os.environ, "VIZKIT_THREADS": "3", "OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout.strip() == "3"
