"""What a cell looks at, against chains worked out by hand and against where the gradient of a cell is not zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vizkit.checkpoint import load_network
from vizkit.contracts import Block, Sampling, Stage
from vizkit.errors import SettingError
from vizkit.net.field import receptive_field
from vizkit.net.network import Network

FRAMES, HEIGHT, WIDTH = 9, 40, 48


def chain(*layers: nn.Module) -> Network:
    """A network whose stages are its layers, ``at0``, ``at1`` ..."""
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())
    stages = tuple(Stage(f"at{number}", str(number), 1, 1.0, 1, 0.0) for number in range(len(layers)))
    sampling = Sampling(scheme="dense", frames=FRAMES, short_side_px=HEIGHT, crop_px=None)
    return Network("chain", "chain", module, stages, (), ("a",), sampling, (0.0,) * 3, (1.0,) * 3, "own")


def conv(taps: tuple[int, int, int], stride: int = 1, dilation: tuple[int, int, int] = (1, 1, 1), inputs: int = 2) -> nn.Conv3d:
    padding = tuple(side // 2 * apart for side, apart in zip(taps, dilation, strict=True))
    return nn.Conv3d(inputs, 2, taps, (1, stride, stride), padding, dilation)  # type: ignore[arg-type]


CHAIN = (
    conv((1, 7, 7), 2, inputs=3),  # sees 7, steps of 2
    nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),  # sees 7 + 2 * 2 = 11, steps of 4
    conv((3, 3, 3), 1, (2, 2, 2)),  # sees 11 + 2 * 2 * 4 = 27; frames -2 .. 2
    conv((3, 2, 4), 2),  # sees 27 + 3 * 4 = 39 across and 27 + 1 * 4 = 31 down, steps of 8; frames -3 .. 3
)
BY_HAND = {
    "at0": ((-3, -3), (3, 3), 2, 0),
    "at1": ((-5, -5), (5, 5), 4, 0),
    "at2": ((-13, -13), (13, 13), 4, 2),
    "at3": ((-13 - 2 * 4, -13 - 1 * 4), (13 + 1 * 4, 13), 8, 3),
}


@pytest.mark.parametrize("stage", BY_HAND)
def test_a_chain_is_as_worked_out_by_hand(stage: str) -> None:
    field = receptive_field(chain(*CHAIN), stage, size_hw=(HEIGHT, WIDTH))
    assert field is not None
    first, last, stride, frames = BY_HAND[stage]
    assert (field.first_xy_px, field.last_xy_px, field.stride_px) == (first, last, stride)
    assert field.size_wh == (last[0] - first[0] + 1, last[1] - first[1] + 1)
    near = [[max(t - frames, 0), min(t + frames, FRAMES - 1)] for t in range(FRAMES)]
    assert field.frames.tolist() == near


def test_a_box_moves_with_its_cell() -> None:
    field = receptive_field(chain(*CHAIN), "at3", size_hw=(HEIGHT, WIDTH))
    assert field is not None
    assert field.box_px(np.array([[0, 0], [2, 1]])).tolist() == [[-21, -17, 17, 13], [-5, -9, 33, 21]]


def support(network: Network, path: str, cell_tyx: tuple[int, int, int]) -> list[tuple[int, int]]:
    """First and last frame, row and column where the gradient of one cell at a clip of zeros is not zero; all weights are positive."""
    module = network.module
    for parameter in module.parameters():
        parameter.fill_(0.5)
    clip, found = torch.zeros(1, 3, FRAMES, HEIGHT, WIDTH, requires_grad=True), list[torch.Tensor]()
    hook = module.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: found.append(output))
    module(clip)
    hook.remove()
    (gradient,) = torch.autograd.grad(found[0][(0, 0, *cell_tyx)], clip)
    seen = gradient[0].sum(0).nonzero()
    return [(int(low), int(high)) for low, high in zip(seen.amin(0), seen.amax(0), strict=True)]


@pytest.mark.parametrize("cell", [(4, 2, 3), (0, 0, 0), (8, 1, 5)])
def test_the_field_is_where_the_gradient_is_not_zero(cell: tuple[int, int, int]) -> None:
    """Averages stand for maxima, whose gradient sees one cell; the middle, and what padding cuts off at corners and ends."""
    layers = [nn.AvgPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if isinstance(layer, nn.MaxPool3d) else layer for layer in CHAIN]
    network = chain(*layers)
    field = receptive_field(network, "at3", size_hw=(HEIGHT, WIDTH))
    assert field is not None
    t, y, x = cell
    left, top, right, bottom = field.box_px(np.array([x, y])).tolist()
    inside = [(max(top, 0), min(bottom, HEIGHT - 1)), (max(left, 0), min(right, WIDTH - 1))]
    assert support(network, "3", cell) == [tuple(field.frames[t].tolist()), *inside]


def test_branches_see_what_the_widest_sees_and_a_block_what_goes_into_it() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = conv((1, 5, 5)), conv((1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.wide(x) + self.narrow(x)

    network = chain(conv((1, 3, 3), inputs=3), Branches(), conv((1, 3, 3)))
    network = replace(network, blocks=(Block("at2.inner", "2", "at2"),))
    sizes = {name: receptive_field(network, name, size_hw=(16, 16)).size_wh for name in ("at1", "at2", "at2.inner")}  # type: ignore[union-attr]
    assert sizes == {"at1": (7, 7), "at2": (9, 9), "at2.inner": (7, 7)}


def test_unequal_windows_are_none_and_what_mixes_all_is_not_counted() -> None:
    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.roll(24, -1)

    class Gate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.mean((2, 3, 4), keepdim=True)

    assert receptive_field(chain(Halves(), conv((1, 3, 3), inputs=3)), "at1", size_hw=(HEIGHT, WIDTH)) is None
    gated = receptive_field(chain(conv((1, 3, 3), inputs=3), Gate()), "at1")
    assert gated is not None
    assert gated.size_wh == (3, 3)


def test_a_real_backbone_by_hand() -> None:
    """ResNet-18: 7/2, pool 3/2 (11 px, steps of 4), then two blocks of two 3 x 3 convolutions: 11 + 4 * 2 * 4."""
    network = load_network("c2d-18")
    field = receptive_field(network, "res2")
    assert field is not None
    assert field.size_wh == (43, 43)
    assert field.frames.tolist() == [[t, t] for t in range(network.sampling.total_frames)]


def test_an_unknown_place_lists_the_known_ones() -> None:
    with pytest.raises(SettingError, match="stage or block 'res9'.*at0"):
        receptive_field(chain(*CHAIN), "res9")
