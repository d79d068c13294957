"""One forward pass with what went through it: right, undisturbed by other threads, and without a trace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vizkit.contracts import SampledClip, Sampling
from vizkit.digest import digest_tensors
from vizkit.errors import CheckpointError, NotAvailableError, SettingError
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, predict, probe
from vizkit.world import clip

Load = Callable[..., Network]
Noise = Callable[..., SampledClip]

THREADS = 10
ROUNDS = 3


# ------------------------------------------------------------------------------------------------ what it gives


def test_taps_are_what_went_through_stages_and_blocks(small: Load, noise: Noise) -> None:
    network, sampled = small("cpnet-18", last_gain=1.0), noise(0, height=48, width=64)
    run = probe(network, sampled)
    tensor = network.normalized(sampled.tensor)
    with torch.no_grad():
        maps = network.module.features(tensor)  # type: ignore[operator]
        logits = network.module(tensor)[0]
    assert set(run.taps) == {"res2", "res3", "res4", "res5", *(block.name for block in network.blocks)}
    for stage in network.stages:
        tap = run.taps[stage.name]
        assert torch.equal(tap.after, maps[stage.name].transpose(0, 1))
        assert tap.before.shape == (stage.channels, 4, 48 // int(stage.stride_px), 64 // int(stage.stride_px))
        assert not tap.after.requires_grad
    for block in network.blocks:
        tap = run.taps[block.name]
        assert tap.stage.name == block.stage
        with torch.no_grad():
            assert torch.equal(run.block(block.name)(tap.before[None])[0], tap.after)
    last = run.taps["res4.1"]
    assert torch.equal(torch.relu(last.before + last.after), run.taps["res4"].after)
    assert np.array_equal(run.prediction.logits, logits.numpy())
    assert run.prediction.labels == network.labels


def test_a_switched_off_block_adds_nothing_and_cannot_be_looked_into(small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    run = probe(network, noise(), without=["res3.1"])
    assert not run.taps["res3.1"].after.any()
    assert run.taps["res3.0"].after.any()
    assert run.without == run.provenance.without == ("res3.1",)
    with pytest.raises(NotAvailableError, match=r"res3\.1 is switched off") as told:
        run.block("res3.1")
    assert told.value.code == "switched_off"
    assert not np.array_equal(run.prediction.logits, probe(network, noise()).prediction.logits)


def test_predict_says_what_probe_says(small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    assert np.array_equal(predict(noise(1), network).logits, probe(network, noise(1)).prediction.logits)
    assert not np.array_equal(predict(noise(1), network).logits, predict(noise(2), network).logits)


def test_a_clip_is_sampled_by_the_network_or_as_asked(small: Load) -> None:
    network, video = small("c2d-18"), clip(0, frames=8, side_px=64).clip
    assert probe(network, video).clip.frames.shape == (4, 48, 48, 3)
    other = Sampling(segments=2, frames=2, short_side_px=32, crop_px=32)
    run = probe(network, video, sampling=other)
    assert run.clip.frames.shape == (2, 32, 32, 3)
    assert run.provenance.sampling == other.model_dump()
    with pytest.raises(SettingError, match="sampled already"):
        probe(network, run.clip, sampling=other)


def test_provenance_says_what_the_run_was_made_from(small: Load, noise: Noise) -> None:
    network, sampled = small("cpnet-18", seed=3), noise(4)
    source = probe(network, sampled).provenance
    assert (source.clip, source.clip_digest) == (sampled.name, sampled.digest)
    assert (source.model, source.architecture, source.origin) == ("cpnet-18", "cpnet-18", "random")
    assert source.model_digest == network.digest
    assert {"num_classes": 5, "seed": 3, "width": 4, "stem": "5x5/2"}.items() <= source.arguments.items()
    assert set(source.versions) == {"vizkit", "torch"}
    assert source.threads == torch.get_num_threads()


# ------------------------------------------------------------------------------------------------ what is refused


def test_one_frame_is_too_few_for_a_module_that_compares(small: Load, noise: Noise) -> None:
    with pytest.raises(SettingError, match="at least two frames") as told:
        probe(small("cpnet-18"), noise(frames=1))
    assert told.value.code == "one_frame"
    assert probe(small("c2d-18"), noise(frames=1)).prediction.logits.shape == (5,)


def test_too_small_frames_are_refused_in_a_sentence(small: Load, noise: Noise) -> None:
    """Two frames of 16 x 16 leave one cell of res4 per frame: fewer candidates than neighbours."""
    with pytest.raises(SettingError, match="neighbors|candidates"):
        probe(small("cpnet-18"), noise(frames=2, height=16, width=16))


@pytest.mark.parametrize("name", ["c2d-18", "cpnet-18"])
@pytest.mark.parametrize("key", ["conv1.weight", "fc.weight"])
def test_weights_that_are_not_numbers_are_told(small: Load, noise: Noise, name: str, key: str) -> None:
    network = small(name)
    network.module.state_dict()[key].flatten()[0] = float("nan")
    for look in (lambda: probe(network, noise()), lambda: predict(noise(), network)):
        with pytest.raises(CheckpointError, match="NaN"):
            look()


def test_an_unknown_block_lists_the_known_ones(small: Load, noise: Noise) -> None:
    network = small("cpnet-18")
    with pytest.raises(SettingError, match=r"res3\.0, res3\.1, res4\.0, res4\.1"):
        probe(network, noise(), without=["res9.0"])
    with pytest.raises(SettingError, match=r"res3\.0, res3\.1, res4\.0, res4\.1"):
        probe(network, noise()).block("res3")


# ------------------------------------------------------------------------------------------------ ten at once

Capture = dict[str, torch.Tensor]


def capture(network: Network, sampled: SampledClip, _meet: threading.Barrier | None = None) -> Capture:
    run = probe(network, sampled)
    taps = {f"{name} {side}": getattr(tap, side) for name, tap in run.taps.items() for side in ("before", "after")}
    return {**taps, "logits": torch.from_numpy(run.prediction.logits)}


def capture_with_shared_hooks(network: Network, sampled: SampledClip, meet: threading.Barrier | None = None) -> Capture:
    """What a naive viewer does: hooks on the one module that all sessions share. All threads meet while their hooks are on."""
    taps: Capture = {}

    def tap(name: str) -> Callable[..., None]:
        return lambda _module, inputs, output: taps.update({f"{name} before": inputs[0], f"{name} after": output})

    hooks = [
        network.module.get_submodule(place.path).register_forward_hook(tap(place.name)) for place in (*network.stages, *network.blocks)
    ]
    if meet is not None:
        meet.wait()
    with torch.no_grad():
        taps["logits"] = network.module(network.normalized(sampled.tensor))[0]
    if meet is not None:
        meet.wait()
    for hook in hooks:
        hook.remove()
    return taps


def wrong_captures(network: Network, look: Callable[..., Capture], clips: list[SampledClip]) -> tuple[int, int]:
    """Captures of ten threads at once that are not those of a serial run, of how many."""
    expected = [look(network, sampled) for sampled in clips]
    meet = threading.Barrier(THREADS, timeout=60)
    found: list[list[Capture]] = [[] for _ in clips]

    def session(number: int) -> None:
        for _ in range(ROUNDS):
            meet.wait()
            found[number].append(look(network, clips[number], meet if look is capture_with_shared_hooks else None))

    threads = [threading.Thread(target=session, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pairs = [(right[name], one[name]) for right, many in zip(expected, found, strict=True) for one in many for name in right]
    return sum(not torch.equal(right, one) for right, one in pairs), len(pairs)


def test_ten_threads_get_bit_for_bit_what_serial_runs_get(small: Load, noise: Noise) -> None:
    network, clips = small("cpnet-18", last_gain=1.0), [noise(seed, height=32, width=32) for seed in range(THREADS)]
    wrong, compared = wrong_captures(network, capture, clips)
    assert compared == THREADS * ROUNDS * (2 * (4 + 4) + 1)
    assert wrong == 0


def test_the_check_above_finds_hooks_on_the_shared_module(small: Load, noise: Noise) -> None:
    network, clips = small("cpnet-18", last_gain=1.0), [noise(seed, height=32, width=32) for seed in range(THREADS)]
    wrong, _ = wrong_captures(network, capture_with_shared_hooks, clips)
    assert wrong > 0


# ------------------------------------------------------------------------------------------------ without a trace


def state(module: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    return {
        "tree": [(name, id(part), type(part)) for name, part in module.named_modules()],
        "hooks": [len(getattr(part, hook)) for part in module.modules() for hook in hooks],
        "modes": [part.training for part in module.modules()],
        "attributes": [sorted(vars(part)) for part in module.modules()],
        "weights": [(id(tensor), tensor.requires_grad, tensor.grad) for tensor in module.parameters()],
        "digest": digest_tensors(module.state_dict()),
    }


class Fails(nn.Module):
    """Raises in the middle of a forward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("planted")


def test_nothing_is_left_behind_after_success(small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    before = state(network.module)
    probe(network, noise())
    probe(network, noise(), without=["res3.0", "res4.1"])
    predict(noise(), network)
    assert state(network.module) == before


def test_nothing_is_left_behind_after_an_exception(small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    network.module.dropout = Fails()  # type: ignore[assignment]
    before = state(network.module)
    for look in (lambda: probe(network, noise(), without=["res3.0"]), lambda: predict(noise(), network)):
        with pytest.raises(ZeroDivisionError, match="planted"):
            look()
        assert state(network.module) == before


def test_no_gradients_are_recorded(small: Load, noise: Noise) -> None:
    run: ProbedRun = probe(small("cpnet-18"), noise())
    assert not any(tap.before.requires_grad or tap.after.requires_grad for tap in run.taps.values())
    assert torch.is_grad_enabled()


def test_a_run_does_not_change_the_stream_of_random_numbers(small: Load, noise: Noise) -> None:
    network = replace(small("cpnet-18"))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    probe(network, noise())
    assert torch.equal(torch.rand(3), expected)
