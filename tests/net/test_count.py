"""The parameter table of cpnet.md section 5, and multiply-adds against a formula."""

from __future__ import annotations

import math

import pytest
import torch

from vizkit.catalog import architecture
from vizkit.motion.cpnet.module import CPModule
from vizkit.net.backbones.resnet import FrameResNet
from vizkit.net.count import count_architecture, count_network, count_parameters, parameters_as_published

TABLE = [
    # name, classes, all parameters, weights only, /2^20, the paper's number, difference in percent (0: equal, cut to one decimal)
    ("c2d-18", 174, 11_265_774, 11_256_000, 10.7346, 10.7, 0.0),
    ("c2d-34", 174, 21_373_934, 21_356_736, 20.3674, 20.3, 0.0),
    ("c2d-101", 400, 43_319_760, 43_214_016, 41.2121, None, None),
    ("cpnet-101", 400, 44_368_848, 44_247_744, 42.1979, 42.1, 0.0),
    ("cpnet-18", 174, 11_454_702, 11_440_896, 10.911, 11.3, -3.4),
    ("cpnet-34", 174, 21_638_126, 21_615_552, 20.614, 21.0, -1.8),
    ("cpnet-18-paper", 174, 11_912_430, 11_896_896, 11.346, 11.3, 0.4),
    ("cpnet-34-paper", 174, 22_020_590, 21_997_632, 20.979, 21.0, -0.1),
    ("cpnet-18-6cp", 400, 12_166_608, 12_147_200, 11.584, None, None),
]


@pytest.mark.parametrize(("name", "classes", "everything", "weights", "millions", "paper", "percent"), TABLE, ids=[row[0] for row in TABLE])
def test_parameters_are_the_papers(
    name: str, classes: int, everything: int, weights: int, millions: float, paper: float | None, percent: float | None
) -> None:
    entry = architecture(name)
    with torch.device("meta"):
        module = entry.build(classes)
    assert entry.classes == classes
    assert count_parameters(module) == everything
    assert count_parameters(module, weights_only=True) == weights
    assert weights / 2**20 == pytest.approx(millions, abs=1e-3)
    assert (entry.published.params if entry.published else None) == paper
    if entry.published and paper and percent is not None:
        counted = parameters_as_published(module, entry.published)
        assert counted == weights / 2**20
        if percent:
            assert 100 * (counted / paper - 1) == pytest.approx(percent, abs=0.06)
        else:
            assert math.floor(10 * counted) / 10 == paper


@pytest.mark.parametrize(("channels", "parameters"), [(128, 19_200), (256, 75_264), (512, 297_984)])
def test_one_cp_module(channels: int, parameters: int) -> None:
    assert count_parameters(CPModule(channels)) == parameters


def test_multiply_adds_are_those_of_a_formula() -> None:
    """A stem and a classifier alone: kernel area x channels in x channels out x cells x frames."""
    network = FrameResNet(18, 10, width=8, stem="5x5/2")
    full = count_network(network, frames=3, size_px=32)
    assert full.params == count_parameters(network)
    assert (full.frames, full.size_px) == (3, 32)
    expected = 5 * 5 * 3 * 8 * 16 * 16  # stem
    sides, inputs = (16, 8, 4, 2), 8
    for level, side in enumerate(sides):
        planes = 8 * 2**level
        expected += (9 * inputs * planes + 3 * 9 * planes * planes) * side * side
        expected += inputs * planes * side * side if level else 0  # 1x1 of the shortcut
        inputs = planes
    assert full.gmacs * 1e9 == pytest.approx(3 * expected + inputs * 10)


def test_the_search_for_neighbours_is_counted() -> None:
    plain, matching = (count_architecture(architecture(name)) for name in ("c2d-18", "cpnet-18"))
    cells = 8 * 14 * 14  # res3, shrunk from 28 x 28, and res4: the same number
    search = (2 * 128 + 2 * 256) * cells**2 / 1e9
    assert matching.gmacs - plain.gmacs > search
    assert matching.gmacs - plain.gmacs < 1.5 * search
    assert (plain.frames, plain.size_px) == (8, 224)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = FrameResNet(18, 10, width=4, stem="5x5/2").train()
    count_network(network, frames=2, size_px=32)
    assert network.training
    assert all(parameter.device.type == "cpu" and parameter.requires_grad for parameter in network.parameters())
