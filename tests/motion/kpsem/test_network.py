"""Networks with KPSEM: costs of the papers' and of other places, the joined vector, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.errors import SettingError
from vizkit.motion.kpsem import ARCHITECTURES
from vizkit.motion.kpsem.module import KPSEM
from vizkit.motion.kpsem.network import build_kpsem
from vizkit.net.architecture import Published
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.mfnet import build_mfnet
from vizkit.net.count import count_network, count_parameters, gmacs_as_published, parameters_as_published
from vizkit.net.network import Network
from vizkit.net.probe import probe
from vizkit.world import clip

ENTRIES = {entry.name: entry for entry in ARCHITECTURES}
SMALL: dict[str, Any] = {"width": 8, "stem": "5x5/2", "frames": 4}
SAMPLING = Sampling(segments=4, frames=4, short_side_px=64, crop_px=64)


def shapes(name: str, classes: int | None = None, **options: Any) -> ClipNetwork:
    with torch.device("meta"):
        return ENTRIES[name].build(classes, **options)  # type: ignore[return-value]


def small(name: str = "mf-kpsem", **options: Any) -> Network:
    return replace(load_network(name, num_classes=5, **{**SMALL, **options}), sampling=SAMPLING)


# ------------------------------------------------------------------------------------------------ costs

COUNTED = [
    # name, classes, parameters, multiply-adds in 1e9: of convolutions and linear layers, with 1 and with 2 per element of a norm
    ("mf-kpsem", 51, 7_878_403, 11.0587, 11.1242, 11.1898),
    ("mf-kpsem", 400, 8_381_312, 11.0592, 11.1247, 11.1903),
    ("r3d-kpsem", 51, 23_870_019, 32.7194, 32.8083, 32.8972),
]


@pytest.mark.parametrize(("name", "classes", "parameters", "plain", "once", "twice"), COUNTED)
def test_costs_in_every_counting(name: str, classes: int, parameters: int, plain: float, once: float, twice: float) -> None:
    entry, network = ENTRIES[name], shapes(name, classes)
    assert count_parameters(network) == parameters
    first, last = (gmacs_as_published(network, Published(None, None, "", norm_macs=norm), entry.frames, 224) for norm in (0, 2))
    assert (first, (first + last) / 2, last) == pytest.approx((plain, once, twice), abs=1e-4)


def test_costs_are_the_papers() -> None:
    entry, network = ENTRIES["mf-kpsem"], shapes("mf-kpsem")
    assert (entry.frames, entry.classes, entry.sampling.total_frames) == (16, 400, 16)
    assert entry.published is not None
    assert (entry.published.params, entry.published.gmacs) == (8.11, 11.21)
    assert parameters_as_published(network, entry.published) == pytest.approx((7_996_368 + 116_144) / 1e6)
    assert parameters_as_published(network, entry.published) == pytest.approx(8.11, rel=5e-3)
    assert gmacs_as_published(network, entry.published, 16, 224) == pytest.approx(11.21, rel=5e-3)
    with torch.device("meta"):
        more = count_network(network, 16, 224).gmacs - count_network(build_mfnet(400), 16, 224).gmacs
    assert 1000 * more == pytest.approx(13.6, abs=0.5)


PLACES = [
    # place in MFNet, parameters of KPSEM with the centres' map as large as the stage's and pooled to 14 x 14, length of the vector
    ("res2", 56, 59_000, 11_960, 168),
    ("res3", 28, 42_272, 32_864, 336),
    ("res4", 14, 116_144, 116_144, 672),
    ("res5", 7, 446_240, 446_240, 1344),
]


@pytest.mark.parametrize(("stage", "cells", "whole", "pooled", "length"), PLACES)
def test_every_place_of_the_papers_figure(stage: str, cells: int, whole: int, pooled: int, length: int) -> None:
    for network, parameters in ((shapes("mf-kpsem", stage=stage, map_cells=cells), whole), (shapes("mf-kpsem", stage=stage), pooled)):
        module = network.beside[stage]
        assert count_parameters(module) == parameters
        assert module.out_features == length
        assert network.head.fc.in_features == 768 + length  # type: ignore[union-attr]
        assert [(block.name, block.path, block.stage) for block in network.blocks] == [(f"{stage}.kpsem", f"beside.{stage}", stage)]
        assert network(torch.empty(1, 3, 16, 224, 224, device="meta")).shape == (1, 400)


def test_places_sizes_and_input_of_the_named_networks() -> None:
    mfnet, r3d = shapes("mf-kpsem"), shapes("r3d-kpsem")
    assert [(name, network.blocks[0].name) for name, network in (("mf", mfnet), ("r3d", r3d))] == [
        ("mf", "res4.kpsem"),
        ("r3d", "res3.kpsem"),
    ]
    assert count_parameters(r3d.beside) == 211_792
    assert count_parameters(shapes("r3d-kpsem", map_cells=14).beside) == 202_384
    assert r3d.beside["res3"].out_features == 896
    assert (ENTRIES["r3d-kpsem"].frames, r3d.beside["res3"].frames, mfnet.beside["res4"].frames) == (8, 8, 8)
    for network, (frames, cells) in ((mfnet, (16, 14)), (r3d, (8, 28))):
        stage = network.stages[2 if network is mfnet else 1]
        found = network.features(torch.empty(1, 3, frames, 224, 224, device="meta"))[stage.name]
        assert tuple(found.shape[2:]) == (8, cells, cells)


@pytest.mark.parametrize(
    "options", [{"regions": 1}, {"regions": 9}, {"separation": "fixed"}, {"centre_input": "gap"}, {"gradient": "none"}]
)
def test_variants_of_the_ablations_run(options: dict[str, Any]) -> None:
    network = small(**options)
    module = network.module.get_submodule("beside.res4")
    assert isinstance(module, KPSEM)
    assert all(getattr(module, name) == value for name, value in options.items())
    assert probe(network, clip(1, side_px=64, frames=4).clip).prediction.logits.shape == (5,)


# ------------------------------------------------------------------------------------------------ the joined vector


@pytest.mark.parametrize("name", ["mf-kpsem", "r3d-kpsem"])
def test_the_classifier_reads_the_pooled_features_and_then_the_vector(name: str) -> None:
    torch.manual_seed(0)
    network = ENTRIES[name].build(5, **SMALL).eval()
    assert isinstance(network, ClipNetwork)
    frames = torch.randn(2, 3, 4, 64, 64)
    (block,) = network.blocks
    with torch.no_grad():
        maps = network.features(frames)
        vector = network.beside[block.stage](maps[block.stage])
        assert vector.shape == (2, network.beside[block.stage].out_features)
        assert bool(vector.any())
        pooled = maps["res5"] if name == "r3d-kpsem" else network.head.norm(maps["res5"]).relu()  # type: ignore[operator, union-attr]
        joined = torch.cat([pooled.mean((2, 3, 4)), vector], 1)
        assert torch.allclose(network(frames), network.head.fc(joined), atol=1e-6)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("name", ["mf-kpsem", "r3d-kpsem"])
def test_the_block_is_tapped_and_switched_off(name: str) -> None:
    network, sampled = small(name), clip(1, side_px=64, frames=4).clip
    (block,) = network.blocks
    run, off = probe(network, sampled), probe(network, sampled, without=block.name)
    tap = run.taps[block.name]
    assert torch.equal(tap.before, run.taps[block.stage].after)
    assert torch.equal(tap.after, tap.before)
    last = network.module.head.fc  # type: ignore[union-attr]
    module = run.block(block.name)
    with torch.no_grad():
        vector = module(tap.before[None])[0]
        share = last.weight[:, -len(vector) :] @ vector  # type: ignore[union-attr, operator, index]
    assert torch.allclose(torch.from_numpy(run.prediction.logits - off.prediction.logits), share, atol=1e-5)
    assert bool(share.abs().max() > 1e-4)


def test_a_network_starts_like_its_twin() -> None:
    for name, twin in (("mf-kpsem", "mfnet"), ("r3d-kpsem", "r3d-50")):
        full, plain = (load_network(entry, num_classes=5, seed=3, **SMALL).module.state_dict() for entry in (name, twin))
        assert all(torch.equal(tensor, full[key]) for key, tensor in plain.items() if not key.startswith("head.fc"))


def test_weights_stay_valid_at_other_sizes() -> None:
    network = load_network("mf-kpsem", num_classes=5, **{**SMALL, "stem": "5x5/2+pool"})
    with torch.no_grad():
        for size in ((96, 128), (64, 64), (160, 160)):
            assert network.module(torch.randn(1, 3, 4, *size)).shape == (1, 5)


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regions": 5}, "mf-kpsem cannot be built: regions is 5, but a square number"),
        ({"sets": 0}, "mf-kpsem cannot be built: sets is 0"),
        ({"stage": "conv4"}, "mf-kpsem cannot be built: stage is conv4, known: res2, res3, res4, res5"),
        ({"backbone": "x3d"}, "mf-kpsem cannot be built: backbone is x3d, known: mfnet, r3d"),
        ({"stem": "7x7/2+pool"}, r"mf-kpsem cannot be built: stem is 7x7/2\+pool, known: 5x5/2\+pool, 5x5/2"),
        ({"frames": 2}, "mf-kpsem cannot be built: frames is 1, but whole numbers from 2 up"),
        ({"gradient": "soft"}, "mf-kpsem cannot be built: Unknown gradient 'soft'"),
    ],
)
def test_networks_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        shapes("mf-kpsem", **options)


def test_clips_that_do_not_fit_are_refused_in_one_sentence() -> None:
    network, sampled = small(), clip(1, side_px=64, frames=8).clip
    with pytest.raises(SettingError, match="The features have 4 steps in time where key point shifts of 2 are embedded"):
        probe(network, sampled, sampling=Sampling(segments=8, frames=8, short_side_px=64, crop_px=64))
    with pytest.raises(SettingError, match="x has 1 frame, but key points shift between at least 2"):
        probe(network, sampled, sampling=Sampling(segments=2, frames=2, short_side_px=64, crop_px=64))
    deep = small(stage="res5", regions=16)
    with pytest.raises(SettingError, match="The map has 2 x 2 cells, but 16 regions need at least 4 x 4"):
        probe(deep, sampled, sampling=Sampling(segments=4, frames=4, short_side_px=32, crop_px=32))


def test_a_builder_needs_no_options() -> None:
    with torch.device("meta"):
        assert count_parameters(build_kpsem(400)) == count_parameters(shapes("mf-kpsem"))
