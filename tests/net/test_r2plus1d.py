"""R2D and R(2+1)D: the papers' multiply-adds, and what the temporal layers do to frames."""

from __future__ import annotations

import pytest
import torch

from vizkit.catalog import architecture
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.r2plus1d import Bottleneck, build_r2plus1d, temporal_layer
from vizkit.net.count import count_network, count_parameters, gmacs_as_published, parameters_as_published

SMALL = {"width": 4, "stem": "5x5/2"}

# ------------------------------------------------------------------------------------------------ costs

TABLE = [
    # name, frames, CorrNet's table 3 (multiply-adds in 1e9), ours, parameters with 400 classes
    ("r2d-26", 16, 27.5, 27.476, 14_765_776),
    ("r2d-26", 32, 55.0, 54.952, 14_765_776),
    ("r2plus1d-26", 16, 36.0, 35.954, 16_858_576),
    ("r2plus1d-26", 32, 71.9, 71.907, 16_858_576),
    ("r2plus1d-50", 32, None, 115.067, 28_107_600),
    ("r2plus1d-101", 32, None, 184.944, 50_450_768),
]


def shapes(name: str, **options: object) -> ClipNetwork:
    with torch.device("meta"):
        return architecture(name).build(**options)  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "frames", "paper", "ours", "parameters"), TABLE)
def test_costs_are_the_papers(name: str, frames: int, paper: float | None, ours: float, parameters: int) -> None:
    cost = count_network(shapes(name), frames, 224)
    assert cost.params == parameters
    assert cost.gmacs == pytest.approx(ours, abs=6e-4)
    if paper is not None:
        assert cost.gmacs == pytest.approx(paper, rel=3e-3)


def test_costs_of_the_zoos_network_in_its_own_counting() -> None:
    entry, module = architecture("r2plus1d-50"), shapes("r2plus1d-50")
    assert entry.published is not None
    assert (entry.published.params, entry.published.gmacs) == (28.11, 76.45)
    assert parameters_as_published(module, entry.published) == pytest.approx(28.11, rel=1e-3)
    assert count_network(module, 16, 256).gmacs == pytest.approx(75.146, abs=6e-4)
    assert gmacs_as_published(module, entry.published, 16, 224) == pytest.approx(76.448, abs=6e-4)
    assert gmacs_as_published(module, entry.published, 16, 224) == pytest.approx(76.45, rel=1e-3)


RES2_TEMPORAL = 3 * 64 * 64 * (112**2 + 56**2)  # the first one stands before the spatial stride
HALF_STEM = 32 * (147 * 112**2 + 64 * 112**2 + 256 * 56**2)  # stem, first 1x1x1 and shortcut of res2


@pytest.mark.parametrize(
    ("options", "difference"),
    [({"temporal_in_res2": False}, RES2_TEMPORAL), ({"temporal_in_res2": False, "stem_width": 32}, RES2_TEMPORAL + HALF_STEM)],
)
def test_variants_cost_less_by_the_layers_that_they_lack(options: dict[str, object], difference: int) -> None:
    whole, less = (count_network(shapes("r2plus1d-26", **chosen), 16, 224).gmacs for chosen in ({}, options))
    assert whole - less == pytest.approx(16 * difference / 1e9, rel=1e-6)
    assert whole - less > 0.03 * whole


def test_published_figures_are_those_of_the_named_architectures() -> None:
    for name, frames, paper, _, _ in TABLE:
        entry = architecture(name)
        assert (entry.frames, entry.size_px, entry.classes) == (16, 224, 400)
        if frames == 16:
            assert entry.published is not None
            assert entry.published.gmacs == paper


# ------------------------------------------------------------------------------------------------ layers


def one_channel(*, temporal: torch.Tensor | None, stride_frames: int) -> Bottleneck:
    """A bottleneck that passes its first channel through every layer but the temporal one, with nothing on its shortcut."""
    between = temporal_layer("res4", 1, stride_frames, temporal=temporal is not None, temporal_in_res2=True)
    block = Bottleneck(1, 1, between, stride=1, stride_frames=stride_frames).double().eval()
    with torch.no_grad():
        for layers in (block.a, block.b, block.c, block.shortcut):
            layers.conv.weight.zero_()  # type: ignore[union-attr, operator]
        block.a.conv.weight[:] = 1
        block.b.conv.weight[0, 0, 0, 1, 1] = 1
        block.c.conv.weight[0] = 1
        if temporal is not None:
            block.temporal.conv.weight[0, 0, :, 0, 0] = temporal  # type: ignore[union-attr, index, operator]
    return block


FRAMES = torch.tensor([1.0, 5.0, 2.0, 3.0, 9.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("temporal", "stride_frames", "expected"),
    [
        (torch.tensor([1.0, 10.0, 100.0]), 1, [510, 251, 325, 932, 493, 49]),  # 1 x the frame before, 10 x this, 100 x the next
        (torch.tensor([1.0, 10.0, 100.0]), 2, [510, 325, 493]),
        (None, 2, [5, 5, 9]),
        (None, 1, [1, 5, 2, 3, 9, 4]),
    ],
)
def test_the_temporal_layer_sees_the_frame_before_and_the_next(
    temporal: torch.Tensor | None, stride_frames: int, expected: list[float]
) -> None:
    block = one_channel(temporal=temporal, stride_frames=stride_frames)
    with torch.no_grad():
        found = block(FRAMES.view(1, 1, -1, 1, 1).expand(1, 1, -1, 3, 2))
    scale = (1 + 1e-5) ** -0.5  # every norm divides by sqrt(1 + eps)
    norms = 3 if temporal is None else 4
    assert found.shape == (1, 4, len(expected), 3, 2)
    assert (found[0, 0, :, 1, 1] / scale**norms).tolist() == pytest.approx(expected)
    assert not found[0, 1:].any()


def test_the_shortcut_takes_every_second_frame_and_is_added_before_the_relu() -> None:
    block = one_channel(temporal=None, stride_frames=2)
    with torch.no_grad():
        block.shortcut.conv.weight[0] = -2  # type: ignore[union-attr, index]
        found = block(FRAMES.view(1, 1, -1, 1, 1)) / (1 + 1e-5) ** -0.5
    expected = [5 / (1 + 1e-5) - 2, 5 / (1 + 1e-5) - 4, 0]  # 9 - 18 is cut
    assert found[0, 0, :, 0, 0].tolist() == pytest.approx(expected)


def test_layers_stand_in_the_order_of_the_costs() -> None:
    block = build_r2plus1d(5, **SMALL).get_submodule("res4.blocks.0")
    assert [name for name, _ in block.named_children()] == ["a", "temporal", "b", "c", "shortcut"]
    strides = {name: block.get_submodule(f"{name}.conv").stride for name in ("a", "temporal", "b", "c", "shortcut")}
    assert strides == {"a": (1, 1, 1), "temporal": (2, 1, 1), "b": (1, 2, 2), "c": (1, 1, 1), "shortcut": (2, 2, 2)}


# ------------------------------------------------------------------------------------------------ frames


@pytest.mark.parametrize("frames", range(1, 10))
@pytest.mark.parametrize("temporal", [True, False])
def test_every_halving_of_an_odd_clip_keeps_its_last_frame(temporal: bool, frames: int) -> None:
    network = build_r2plus1d(5, temporal=temporal, layout=(1, 1, 1, 1), **SMALL).eval()
    with torch.no_grad():
        maps = network.features(torch.rand(1, 3, frames, 32, 32))
    half = (frames - 1) // 2 + 1
    assert [len(maps[name][0, 0]) for name in maps] == [frames, frames, half, (half - 1) // 2 + 1]


def random_network(*, temporal: bool, **options: bool) -> ClipNetwork:
    torch.manual_seed(1)
    return build_r2plus1d(5, temporal=temporal, **SMALL, **options).eval()


def test_frames_of_r2d_meet_in_maxima_only() -> None:
    network, clip = random_network(temporal=False), torch.randn(1, 3, 5, 32, 32)
    with torch.no_grad():
        maps, alone = network.features(clip), network.features(clip[:, :, 2:3])
        for name in ("res2", "res3"):
            assert torch.allclose(maps[name][:, :, 2:3], alone[name], atol=1e-5)
        assert not torch.allclose(maps["res4"][:, :, 1:2], alone["res4"], atol=1e-3)
        assert torch.allclose(network(clip), network(clip.flip(2)), rtol=1e-4)  # an odd clip is halved the same way from both ends


def test_frames_of_r2plus1d_are_told_apart_by_their_order() -> None:
    network, clip = random_network(temporal=True), torch.randn(1, 3, 5, 32, 32)
    with torch.no_grad():
        logits = network(clip)
        assert float((logits - network(clip.flip(2))).abs().max()) > 1e-2 * float(logits.abs().max())


def test_without_temporal_convolutions_in_res2_its_frames_are_alone() -> None:
    clip = torch.randn(1, 3, 4, 32, 32)
    for temporal_in_res2 in (True, False):
        network = random_network(temporal=True, temporal_in_res2=temporal_in_res2)
        with torch.no_grad():
            maps, alone = network.features(clip), network.features(clip[:, :, 1:2])
        assert torch.allclose(maps["res2"][:, :, 1:2], alone["res2"], atol=1e-5) != temporal_in_res2
        assert not torch.allclose(maps["res3"][:, :, 1:2], alone["res3"], atol=1e-3)


def test_the_head_takes_means_over_frames_and_places() -> None:
    network = random_network(temporal=True)
    maps = torch.rand(2, 128, 2, 3, 5)
    with torch.no_grad():
        expected = maps.flatten(2).sum(2) / 30 @ network.head.fc.weight.T + network.head.fc.bias
        assert torch.allclose(network.head(maps), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["stem_width", "frames"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, at least 1 is needed"):
        build_r2plus1d(5, **{name: 0})
    assert count_parameters(build_r2plus1d(5, stem_width=3, **SMALL).stem) == 3 * 75 + 2 * 3
