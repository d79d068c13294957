"""CorrNet's networks: the paper's multiply-adds, parameters, the shapes of the filters, the ablations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vizkit.catalog import architecture, architectures
from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.errors import SettingError
from vizkit.motion.corrnet.module import CorrelationBlock, CorrelationConcat, CorrelationSum
from vizkit.motion.corrnet.network import build_corrnet
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.count import count_network, gmacs_as_published
from vizkit.net.probe import probe
from vizkit.world import clip

FIFTY = {"layout": (3, 4, 6, 3)}
HUNDRED = {"layout": (3, 4, 23, 3), "blocks": ("res2.2", "res3.3", "res4.11", "res4.22")}


def shapes_of(frames: int = 32, **options: Any) -> ClipNetwork:
    with torch.device("meta"):
        return build_corrnet(400, frames=frames, **options)


def correlations(network: ClipNetwork) -> list[CorrelationBlock]:
    return [part for part in network.modules() if isinstance(part, CorrelationBlock)]


# ------------------------------------------------------------------------------------------------ what they cost


@pytest.mark.parametrize(
    ("options", "frames", "gmacs", "params", "filters"),
    [
        ({}, 16, 36.563, 17_946_380, 250_880),
        ({}, 32, 73.125, 18_197_260, 501_760),
        (FIFTY, 32, 115.052, 29_433_868, 501_760),
        (HUNDRED, 32, 187.049, 52_644_636, 702_464),
    ],
    ids=["26 of 16", "26", "50", "101"],
)
def test_multiply_adds_and_parameters(options: dict[str, Any], frames: int, gmacs: float, params: int, filters: int) -> None:
    network = shapes_of(frames, **options)
    cost = count_network(network, frames, 224)
    assert cost.gmacs == pytest.approx(gmacs, abs=6e-4)
    assert cost.params == params
    assert sum(block.operator.filters.numel() for block in correlations(network)) == filters


@pytest.mark.parametrize(("name", "tolerance"), [("corrnet-26", 0.03), ("corrnet-50", 0.005), ("corrnet-101", 0.005)])
def test_multiply_adds_are_the_published_ones(name: str, tolerance: float) -> None:
    """CorrNet-26 counts 2.2 % less than the paper says, in every reading that keeps the other two."""
    entry = architecture(name)
    assert entry.published is not None
    assert (entry.frames, entry.size_px, entry.classes) == (32, 224, 400)
    with torch.device("meta"):
        module = entry.build()
    ours = gmacs_as_published(module, entry.published, entry.frames, entry.size_px)
    assert ours == pytest.approx(entry.published.gmacs, rel=tolerance)


@pytest.mark.parametrize(
    ("options", "gmacs"),
    [
        ({"patch": 3}, 67.57),
        ({"patch": 5}, 69.79),
        ({"patch": 9}, 77.57),
        ({"group_size": None}, 68.88),
        ({"kind": "concat"}, 76.98),
        ({"filtered": False}, 73.13),
        ({"stem_width": 64}, 76.66),
        ({**FIFTY, "stem_width": 64}, 118.58),
        ({**FIFTY, "temporal_in_res2": True}, 122.45),
        ({**FIFTY, "reduction": 2}, 125.97),
        ({**FIFTY, "reduction": 8}, 109.59),
        ({**FIFTY, "group_size": 64}, 111.91),
        ({**FIFTY, "group_size": 16}, 121.35),
        ({**HUNDRED, "reduction": 2}, 200.09),
        ({**HUNDRED, "reduction": 8}, 180.53),
        ({**HUNDRED, "blocks": None}, 184.93),
    ],
    ids=str,
)
def test_multiply_adds_of_the_variants(options: dict[str, Any], gmacs: float) -> None:
    assert count_network(shapes_of(**options), 32, 224).gmacs == pytest.approx(gmacs, abs=0.006)


# ------------------------------------------------------------------------------------------------ where the blocks go


def test_the_named_networks() -> None:
    assert [entry.name for entry in architectures("corrnet")] == ["corrnet-26", "corrnet-50", "corrnet-101", "corrnet-18"]
    with torch.device("meta"):
        places = {entry.name: [block.name for block in entry.build().blocks] for entry in architectures("corrnet")}  # type: ignore[union-attr]
    assert places == {
        "corrnet-26": ["res2.1", "res3.1", "res4.1"],
        "corrnet-50": ["res2.2", "res3.3", "res4.5"],
        "corrnet-101": ["res2.2", "res3.3", "res4.11", "res4.22"],
        "corrnet-18": ["res2.1", "res3.1", "res4.1"],
    }


@pytest.mark.parametrize(("frames", "depths"), [(32, (32, 32, 16)), (5, (5, 5, 3)), (16, (16, 16, 8)), (1, (1, 1, 1))])
def test_filters_have_the_clips_length_at_their_depth(frames: int, depths: tuple[int, ...]) -> None:
    shapes = [tuple(block.operator.filters.shape) for block in correlations(shapes_of(frames))]
    assert shapes == [(depth, channels, 7, 7) for depth, channels in zip(depths, (64, 128, 256), strict=True)]


def test_channels_of_the_paper() -> None:
    network = shapes_of()
    assert network.stem.conv.out_channels == 32
    assert [stage.channels for stage in network.stages] == [256, 512, 1024, 2048]
    assert [(stage.stride_px, stage.stride_frames) for stage in network.stages] == [(4, 1), (8, 1), (16, 2), (32, 4)]
    assert [(block.operator.groups, block.operator.out_channels) for block in correlations(network)] == [(2, 98), (4, 196), (8, 392)]
    assert not any(isinstance(part, torch.nn.Conv3d) and part.kernel_size[0] > 1 for part in network.res2.modules())
    assert any(isinstance(part, torch.nn.Conv3d) and part.kernel_size[0] > 1 for part in network.res3.modules())


def test_ablations_reach_the_blocks() -> None:
    for kind, block in (("sum", CorrelationSum), ("concat", CorrelationConcat)):
        assert all(type(found) is block for found in correlations(shapes_of(kind=kind)))
    changed = correlations(shapes_of(patch=5, dilation=1, group_size=None, filtered=False, initial="kaiming", other_length="interpolate"))
    for found in (block.operator for block in changed):
        assert (found.patch, found.dilation, found.groups, found.filtered) == (5, 1, 1, False)
        assert (found.initial, found.other_length) == ("kaiming", "interpolate")


def test_a_network_without_filters_is_the_untrained_network_with_them() -> None:
    """The same random weights elsewhere: filters that start at one take nothing from the stream of random numbers."""
    options = {"num_classes": 5, "width": 8, "stem": "5x5/2", "frames": 4}
    frames = torch.rand(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, filtered = (load_network("corrnet-26", filtered=choice, **options).module for choice in (False, True))
    with torch.no_grad():
        assert torch.allclose(plain(frames), filtered(frames), atol=1e-5)
    assert not any("filters" in name for name in plain.state_dict())


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "mean"}, "Unknown kind 'mean'. Known: concat, sum"),
        ({"patch": 6}, "patch is 6"),
        ({"width": 24}, "group_size is 32, but 48 channels"),
        ({"blocks": ["res2"]}, "block 'res2' is not of the form 'res2.1'"),
        ({"blocks": ["res2.7"]}, "no place for modules at .*res2.*7"),
        ({"width": 8, "kind": "concat"}, "concat block needs fewer than its 32"),
    ],
)
def test_networks_that_cannot_be_are_told(options: dict[str, Any], told: str) -> None:
    with torch.device("meta"), pytest.raises(SettingError, match=told):
        architecture("corrnet-26").build(**options)


def test_a_clip_of_another_length_is_refused_unless_interpolated() -> None:
    options = {"num_classes": 5, "width": 8, "stem": "5x5/2", "frames": 4}
    sampling = Sampling(segments=6, short_side_px=64, crop_px=64)
    world = clip(0, frames=6, side_px=64, nuisances=False)
    with pytest.raises(SettingError, match=r"6 frames .* filters for 4 .*interpolate"):
        probe(load_network("corrnet-26", **options), world.clip, sampling=sampling)
    run = probe(load_network("corrnet-26", other_length="interpolate", **options), world.clip, sampling=sampling)
    assert run.taps["res2.1"].after.shape[1] == 6
    assert run.taps["res4.1"].after.shape[1] == 3
