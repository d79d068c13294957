"""Where cells lie, by impulses: a symmetric network answers an impulse symmetrically about the cell whose centre it hits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizkit.contracts import Stage
from vizkit.motion.cpnet.module import CPModule
from vizkit.net.backbones.resnet import STAGE_NAMES, FrameResNet
from vizkit.net.geometry import CellGeometry

STEMS = ("7x7/2+pool", "7x7/1+pool", "5x5/2")
STRIDES = {"7x7/2+pool": (4, 8, 16, 32), "7x7/1+pool": (2, 4, 8, 16), "5x5/2": (2, 4, 8, 16)}
CELLS = 21


def symmetric(stem: str, depth: int = 18) -> FrameResNet:
    """All convolutions sum; all norms do nothing."""
    network = FrameResNet(depth, 2, width=1, stem=stem).double().eval()  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    return network


def impulse(x: int, y: int, side: int) -> torch.Tensor:
    clip = torch.zeros(1, 3, 1, side, side, dtype=torch.float64)
    clip[..., y, x] = 1
    return clip


def centroid(response: torch.Tensor) -> tuple[float, float]:
    """(x, y) of a map [C, h, w]."""
    weight = response.sum(0)
    assert float(weight.sum()) > 0
    assert not weight[[0, -1]].any()  # the whole response is seen
    assert not weight[:, [0, -1]].any()
    rows, columns = (torch.arange(side, dtype=weight.dtype) for side in weight.shape)
    return float((weight.sum(0) * columns).sum() / weight.sum()), float((weight.sum(1) * rows).sum() / weight.sum())


def hit(stage_origin: float, stage_stride: float, x: int, y: int) -> torch.Tensor:
    px = [stage_origin + cell * stage_stride for cell in (x, y)]
    assert all(value == int(value) for value in px)
    return impulse(int(px[0]), int(px[1]), int(stage_stride * CELLS))


@pytest.mark.parametrize("level", range(4), ids=STAGE_NAMES)
@pytest.mark.parametrize("stem", STEMS)
def test_an_impulse_at_a_cells_centre_lights_that_cell(stem: str, level: int) -> None:
    network = symmetric(stem)
    stage: Stage = network.stages[level]
    assert stage.name == STAGE_NAMES[level]
    assert stage.stride_px == STRIDES[stem][level]
    with torch.no_grad():
        response = network.features(hit(stage.origin_px, stage.stride_px, 11, 9))[stage.name][0]
    assert response.shape[0] == stage.channels
    assert centroid(response) == pytest.approx((11, 9), abs=1e-9)


def test_an_impulse_beside_the_centre_is_told_apart() -> None:
    """The check can fail: one pixel off, and the response is no longer symmetric about the cell."""
    network = symmetric("5x5/2")
    stage = network.stages[1]
    with torch.no_grad():
        response = network.features(hit(stage.origin_px + 1, stage.stride_px, 11, 9))[stage.name][0]
    assert centroid(response)[0] > 11 + 1e-3


def test_bottlenecks_keep_the_geometry() -> None:
    network = symmetric("5x5/2", depth=50)
    stage = network.stages[1]
    with torch.no_grad():
        response = network.features(hit(stage.origin_px, stage.stride_px, 12, 10))[stage.name][0]
    assert centroid(response) == pytest.approx((12, 10), abs=1e-9)


@pytest.mark.parametrize("stem", STEMS)
def test_a_shrunk_grid_has_its_centres_between_the_cells(stem: str) -> None:
    network, module = symmetric(stem), CPModule(2, widths=(2,), shrink=2).double()
    stage = network.stages[1]
    shrunk = CellGeometry(stage.origin_px, stage.stride_px).shrunk(2)
    assert shrunk == (stage.origin_px + stage.stride_px / 2, stage.stride_px * 2)
    with torch.no_grad():
        maps = network.features(hit(shrunk.origin_px, shrunk.stride_px, 11, 9))[stage.name]
        points = module.points(maps.unflatten(0, (1, 1)).transpose(1, 2))
    assert points.shape[3:] == (CELLS, CELLS)
    assert centroid(points[0, :, 0]) == pytest.approx((11, 9), abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(7, 2, 3)], (0.0, 2.0)),
        ([(7, 2, 3), (3, 2, 1)], (0.0, 4.0)),
        ([(16, 16)], (7.5, 16.0)),
        ([(2, 2), (2, 2)], (1.5, 4.0)),
        ([(3, 1)], (1.0, 1.0)),
    ],
)
def test_hand_worked_geometry(steps: list[tuple[int, ...]], expected: tuple[float, float]) -> None:
    geometry = CellGeometry()
    for step in steps:
        geometry = geometry.through(*step)
    assert geometry == expected
