"""Where the blocks go, what the networks cost, and that they leave their backbone alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vizkit.catalog import architecture
from vizkit.checkpoint import load_network
from vizkit.errors import SettingError
from vizkit.motion.dcf.module import DCFBlock
from vizkit.motion.dcf.network import build_dcf
from vizkit.net.backbones.depthwise import build_depthwise
from vizkit.net.count import count_architecture, count_network
from vizkit.net.probe import probe
from vizkit.world import clip

X3D_S = (13, 160)


def cost(frames: int, side_px: int, classes: int = 174, **options: Any) -> tuple[int, float]:
    with torch.device("meta"):
        module = build_dcf(classes, **options)
    counted = count_network(module, frames, side_px)
    return counted.params, counted.gmacs


# ------------------------------------------------------------------------------------------------ cost


@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [("dcf-x3d-m", 3_836_706, 5.1898), ("dcf-r2plus1d-50", 24_607_534, 35.923), ("dcf-r2plus1d-101", 43_612_718, 65.641)],
)
def test_named_networks_cost_what_was_counted(name: str, params: int, gmacs: float) -> None:
    counted = count_architecture(architecture(name))
    assert counted.params == params
    assert counted.gmacs == pytest.approx(gmacs, rel=1e-3)


@pytest.mark.parametrize(
    ("frames", "side_px", "classes", "backbone", "params", "gmacs"),
    [
        (*X3D_S, 174, "x3d", 3_373_632, 2.152), (8, 160, 174, "x3d", 3_373_632, 1.325), (8, 224, 174, "x3d", 3_373_632, 2.595),
        (16, 224, 174, "depthwise", 24_607_534, 71.846), (8, 256, 400, "depthwise", 25_070_608, 46.920),
    ],
)  # fmt: skip
def test_other_clips_cost_what_was_counted(frames: int, side_px: int, classes: int, backbone: Any, params: int, gmacs: float) -> None:
    counted = cost(frames, side_px, classes, backbone=backbone)
    assert counted[0] == params
    assert counted[1] == pytest.approx(gmacs, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "gmacs"),
    [
        ({"stages": ("res2",)}, 2.043), ({"stages": ("res3",)}, 2.006), ({"stages": ("res4",)}, 1.978),
        ({"stages": ("res2", "res3")}, 2.112), ({"stages": ("res3", "res4")}, 2.034), ({}, 2.152),
        ({"temporal_range": 1, "pyramid": False}, 2.046), ({"pyramid": False}, 2.102), ({"temporal_range": (2, 2, 1)}, 2.152),
    ],
)  # fmt: skip
def test_ablations_cost_what_was_counted(options: dict[str, Any], gmacs: float) -> None:
    assert cost(*X3D_S, backbone="x3d", **options)[1] == pytest.approx(gmacs, abs=6e-4)


def test_correlation_costs_the_papers_formula() -> None:
    """Appendix C: T H W C K^2 2L, C the channels that enter the operator; a wider patch costs that and the wider second layer."""
    narrow, wide = (cost(*X3D_S, backbone="x3d", patch=patch, stages=("res2",))[1] for patch in (5, 7))
    cells, more = 13 * 40 * 40, (49 - 25) * 4
    assert wide - narrow == pytest.approx(cells * more * (12 + 24) / 1e9, rel=1e-6)


# ------------------------------------------------------------------------------------------------ where the blocks go


def blocks(**options: Any) -> dict[str, DCFBlock]:
    with torch.device("meta"):
        network = build_dcf(10, **options)
    return {block.name: network.get_submodule(block.path) for block in network.blocks}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("backbone", "channels", "reduced", "params"),
    [
        ("x3d", (24, 48, 96), (12, 24, 48), (2_736, 10_848, 28_800)),
        ("depthwise", (256, 512, 1024), (64, 128, 256), (42_496, 168_960, 520_192)),
    ],
)
def test_one_block_after_each_of_three_stages(
    backbone: Any, channels: tuple[int, ...], reduced: tuple[int, ...], params: tuple[int, ...]
) -> None:
    found = blocks(backbone=backbone)
    assert list(found) == ["res2.dcf", "res3.dcf", "res4.dcf"]
    assert tuple(block.conv1.in_channels for block in found.values()) == channels
    assert tuple(block.conv1.out_channels for block in found.values()) == reduced
    assert tuple(block.temporal_range for block in found.values()) == (2, 2, 1)
    assert tuple(block.own_channels for block in found.values()) == (100, 100, 50)
    assert tuple(block.conv2.in_channels for block in found.values()) == (100, 200, 250)
    assert tuple(sum(parameter.numel() for parameter in block.parameters()) for block in found.values()) == params


@pytest.mark.parametrize(
    ("options", "inputs"),
    [
        ({"pyramid": False}, {"res2.dcf": 100, "res3.dcf": 100, "res4.dcf": 50}),
        ({"stages": ("res2", "res4")}, {"res2.dcf": 100, "res4.dcf": 150}),
        ({"stages": ("res4", "res5"), "temporal_range": (3, 1)}, {"res4.dcf": 150, "res5.dcf": 200}),
        ({"patch": 3, "temporal_range": 1}, {"res2.dcf": 18, "res3.dcf": 36, "res4.dcf": 54}),
    ],
)
def test_the_second_layer_fits_what_is_carried(options: dict[str, Any], inputs: dict[str, int]) -> None:
    assert {name: block.conv2.in_channels for name, block in blocks(**options).items()} == inputs


@pytest.mark.parametrize("side_px", [160, 182, 100])
@pytest.mark.parametrize("stages", [("res2", "res3", "res4"), ("res2", "res4")])
def test_x3d_runs_on_odd_maps_and_carries_the_size_of_the_next_stage(side_px: int, stages: tuple[str, ...]) -> None:
    with torch.device("meta"):
        network = build_dcf(5, backbone="x3d", stages=stages).eval()
    sizes, carried = {}, {}
    for stage in network.stages:
        network.get_submodule(stage.path).register_forward_hook(
            lambda _module, _inputs, output, name=stage.name: sizes.update({name: tuple(output.shape[3:])})
        )
    for block in network.blocks:
        network.get_submodule(block.path).register_forward_hook(
            lambda _module, _inputs, output, name=block.stage: carried.update({name: tuple(output[1].shape)})
        )
    assert network(torch.empty(1, 3, 4, side_px, side_px, device="meta")).shape == (1, 5)
    for (name, shape), channels in zip(carried.items(), (100, 200, 250) if len(stages) == 3 else (100, 150), strict=True):
        following = f"res{int(name[3]) + 1}"
        assert shape == (1, channels, 4, *sizes[following])


# ------------------------------------------------------------------------------------------------ the backbone underneath


def test_frozen_blocks_leave_the_logits_to_the_bit() -> None:
    small: dict[str, Any] = {"width": 4, "stem": "5x5/2", "layout": (1, 1, 1, 1)}
    torch.manual_seed(0)
    with_blocks = build_dcf(5, residual_init="frozen_identity", **small).eval()
    torch.manual_seed(0)
    plain = build_depthwise(5, **small).eval()
    frames = torch.rand(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(with_blocks(frames), plain(frames))


def test_blocks_see_what_the_blocks_before_carried() -> None:
    """Switching a block off keeps its volume in the pyramid; a network without it would have another second layer."""
    network = load_network("dcf-r2plus1d-50", num_classes=5, width=4, stem="5x5/2", layout=(1, 1, 1, 1), residual_init="scratch")
    sample = clip(0, side_px=32, frames=4).clip
    whole, off = probe(network, sample), probe(network, sample, without=["res2.dcf"])
    before, after = off.taps["res2.dcf"].before, off.taps["res2.dcf"].after
    assert torch.equal(before, after)
    assert not torch.equal(whole.taps["res2.dcf"].before, whole.taps["res2.dcf"].after)
    assert (whole.prediction.logits != off.prediction.logits).any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backbone": "vit"}, "backbone is vit, known: depthwise, x3d"),
        ({"stages": ("res3", "res2")}, "stages is .*in this order"),
        ({"stages": ("res2", "res2")}, "stages is"),
        ({"stages": ("res9",)}, "stages is .*res2, res3, res4, res5"),
        ({"temporal_range": (2, 2)}, r"temporal_range is \(2, 2\)"),
        ({"temporal_range": 0}, "temporal_range is 0"),
        ({"patch": 4}, "patch is 4"),
        ({"residual_init": "zero"}, "residual_init"),
        ({"stem": "9x9"}, "stem is 9x9"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_a_network_that_cannot_be_is_refused_in_a_sentence(options: dict[str, Any], says: str) -> None:
    with torch.device("meta"), pytest.raises(SettingError, match=says):
        architecture("dcf-r2plus1d-50").build(**options)
