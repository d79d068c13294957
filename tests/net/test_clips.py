"""The frame of the clip networks: where modules of a plan stand, and where cells lie in space and in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from vizkit.checkpoint import load_network
from vizkit.contracts import SampledClip, Sampling
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.depthwise import build_depthwise
from vizkit.net.backbones.mfnet import build_mfnet
from vizkit.net.backbones.r2plus1d import build_r2plus1d
from vizkit.net.backbones.r3d import build_r3d
from vizkit.net.backbones.resnet import STAGE_NAMES
from vizkit.net.backbones.x3d import build_x3d
from vizkit.net.probe import probe

SMALL = {"width": 2, "stem": "5x5/2", "layout": (2, 2, 2, 1)}


class Added(nn.Module):
    """Adds a number; remembers what it was built for."""

    def __init__(self, channels: int, frames: int, amount: float = 1.0) -> None:
        super().__init__()
        self.built_for = (channels, frames)
        self.weight = nn.Parameter(torch.full((channels, 1, 1, 1), amount))

    def neutral(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


class Told(nn.Module):
    """Gives the mean of every channel and the number of frames."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.out_features = channels + 1
        self.built_for = (channels, frames)

    def neutral(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(len(x), self.out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3, 4)), torch.full((len(x), 1), float(x.shape[2]))], 1)


class Chained(nn.Module):
    """Adds one to the features and counts, in what it carries on, how many modules stood before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1))
        self.carried: list[float | None] = []

    def neutral(self, x: torch.Tensor, carried: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        return x, carried

    def forward(self, x: torch.Tensor, carried: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.carried.append(None if carried is None else float(carried))
        return x + self.weight, torch.zeros(()) if carried is None else carried + 1


# ------------------------------------------------------------------------------------------------ plans


def test_a_module_stands_after_its_residual_block_and_knows_its_channels_and_frames() -> None:
    torch.manual_seed(0)
    plan = {("res2", 1): Added, ("res4", 0): Added, ("res5", 0): Added, ("res4", 1): Added}
    network = build_r2plus1d(5, frames=7, inserted=plan, **SMALL).eval()
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [
        ("res2.1", "res2.inserted.1", "res2"), ("res4.0", "res4.inserted.0", "res4"),
        ("res4.1", "res4.inserted.1", "res4"), ("res5.0", "res5.inserted.0", "res5"),
    ]  # fmt: skip
    built_for = [network.get_submodule(block.path).built_for for block in network.blocks]
    assert built_for == [(8, 7), (32, 4), (32, 4), (64, 2)]
    clip = torch.randn(2, 3, 7, 32, 32)
    with torch.no_grad():
        found = network.features(clip)["res4"]
        first, second = (network.get_submodule(f"res4.blocks.{position}") for position in (0, 1))
        assert torch.equal(found, second(first(network.features(clip)["res3"]) + 1) + 1)


def test_a_plan_changes_neither_the_keys_nor_the_start_of_the_backbone() -> None:
    built = []
    for inserted in (None, {("res2", 0): Added, ("res3", 1): Added}):
        torch.manual_seed(3)
        built.append(build_r2plus1d(5, inserted=inserted, **SMALL))
    plain, planned = (network.state_dict() for network in built)
    assert planned.keys() - plain.keys() == {"res2.inserted.0.weight", "res3.inserted.1.weight"}
    assert all(torch.equal(plain[key], planned[key]) for key in plain)
    assert list(planned)[-2:] == ["head.fc.weight", "head.fc.bias"]


@pytest.mark.parametrize("build", [build_depthwise, build_x3d])
def test_modules_after_stages_are_chained_past_stages_without_one(build: Callable[..., ClipNetwork]) -> None:
    torch.manual_seed(0)
    network = build(5, after={"res4": Chained, "res2": Chained, "res5": Chained}, after_name="chain", **SMALL).eval()
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [
        (f"{stage}.chain", f"after.{stage}", stage) for stage in ("res2", "res4", "res5")
    ]
    clip = torch.randn(1, 3, 3, 32, 32)
    with torch.no_grad():
        logits, maps = network(clip), network.features(clip)
        assert [network.after[stage].carried for stage in ("res2", "res4", "res5")] == [[None, None], [0.0, 0.0], [1.0, 1.0]]
        assert torch.equal(maps["res2"], network.res2(network.stem(clip)))
        assert torch.equal(maps["res3"], network.res3(maps["res2"] + 1))
        assert torch.equal(maps["res4"], network.res4(maps["res3"]))
        assert torch.equal(logits, network.head(maps["res5"] + 1))
    assert list(network.state_dict())[-1] == "head.fc.bias"


@pytest.mark.parametrize(("build", "frames"), [(build_mfnet, 3), (build_r3d, 5)])
def test_vectors_of_modules_beside_stages_join_the_pooled_features(build: Callable[..., ClipNetwork], frames: int) -> None:
    torch.manual_seed(0)
    network = build(5, frames=5, beside={"res5": Told, "res3": Told}, beside_name="told", **SMALL).eval()
    channels = {stage.name: stage.channels for stage in network.stages}
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [
        (f"{stage}.told", f"beside.{stage}", stage) for stage in ("res3", "res5")
    ]
    assert [network.beside[name].built_for for name in ("res3", "res5")] == [(channels[name], frames) for name in ("res3", "res5")]
    assert network.head.fc.in_features == channels["res3"] + 1 + 2 * channels["res5"] + 1
    assert list(network.state_dict())[-1] == "head.fc.bias"
    clip = torch.randn(2, 3, 5, 32, 32)
    with torch.no_grad():
        maps = network.features(clip)
        vectors = [network.beside[name](maps[name]) for name in ("res3", "res5")]
        assert torch.equal(network(clip), network.head(maps["res5"], *vectors))
        assert not torch.allclose(network(clip), network.head(maps["res5"], vectors[0], network.beside["res5"].neutral(maps["res5"])))
        if build is build_r3d:
            pooled = torch.cat([maps["res5"].mean((2, 3, 4)), *vectors], 1)
            assert torch.equal(network(clip), network.head.fc(pooled))


@pytest.mark.parametrize("build", [build_mfnet, build_r3d])
def test_a_backbone_starts_the_same_with_and_without_modules_beside_it(build: Callable[..., ClipNetwork]) -> None:
    built = []
    for beside in (None, {"res4": Told}):
        torch.manual_seed(3)
        built.append(build(5, beside=beside, **SMALL).state_dict())
    assert built[0].keys() == built[1].keys()
    assert all(torch.equal(tensor, built[1][key]) for key, tensor in built[0].items() if not key.startswith("head.fc"))


def test_blocks_are_switched_off_and_tapped(noise: Callable[..., SampledClip]) -> None:
    options = {"num_classes": 5, "after": {"res2": Chained, "res3": Chained}, "after_name": "chain", **SMALL}
    network = replace(load_network("x3d-xs", **options), sampling=Sampling(segments=4, frames=4, short_side_px=48, crop_px=48))
    plain = load_network("x3d-xs", num_classes=5, **SMALL)
    run, off = probe(network, noise()), probe(network, noise(), without=("res2.chain", "res3.chain"))
    assert torch.equal(run.taps["res2.chain"].after, run.taps["res2"].after + 1)
    assert torch.equal(run.taps["res2.chain"].before, run.taps["res2"].after)
    assert torch.equal(off.taps["res2.chain"].after, off.taps["res2"].after)
    assert (off.prediction.logits == probe(plain, noise()).prediction.logits).all()
    assert (off.prediction.logits != run.prediction.logits).all()


def test_a_plan_for_a_place_that_is_not_there_is_refused() -> None:
    for place in (("res2", 2), ("res6", 0)):
        with pytest.raises(ValueError, match=rf"no place for modules at \[\('{place[0]}', {place[1]}\)\].*res2 of 2, .*res5 of 1"):
            build_r2plus1d(5, inserted={place: Added}, **SMALL)
    with pytest.raises(ValueError, match=r"no place for modules at \['conv4'\]"):
        build_mfnet(5, beside={"conv4": Told}, **SMALL)
    with pytest.raises(ValueError, match=r"no place for modules at \['layer2'\]"):
        build_x3d(5, after={"layer2": Chained}, **SMALL)


BUILDERS = [build_r2plus1d, build_depthwise, build_x3d, build_mfnet, build_r3d]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": (2, 2, 2)}, r"layout is \(2, 2, 2\), four"),
        ({"layout": (2, 0, 2, 2)}, "layout is .*from 1 up"),
        ({"width": 0}, "width is 0, at least 1"),
        ({"stem": "3x3"}, "stem is 3x3, known: .*5x5/2"),
    ],
)
def test_sizes_and_names_that_cannot_be_are_refused(build: Callable[..., ClipNetwork], options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(5, **options)


@pytest.mark.parametrize("build", BUILDERS)
def test_clips_of_a_batch_are_independent(build: Callable[..., ClipNetwork]) -> None:
    torch.manual_seed(0)
    network = build(5, **SMALL).eval()
    clip = torch.randn(3, 3, 4, 32, 48)
    with torch.no_grad():
        assert torch.allclose(network(clip)[1:2], network(clip[1:2]), rtol=1e-4, atol=1e-6)


def test_every_convolution_starts_at_the_scale_of_its_own_fan() -> None:
    """In a depthwise kernel every weight counts for one channel: its fan is the kernel, not channels times the kernel."""
    torch.manual_seed(0)
    network = build_x3d(5, width=24, layout=(1, 1, 1, 1))
    wide = network.res5.blocks[0]
    assert float(wide.b.conv.weight.detach().std()) == pytest.approx((2 / 27) ** 0.5, rel=0.05)
    assert float(wide.a.conv.weight.detach().std()) == pytest.approx((2 / 432) ** 0.5, rel=0.05)


# ------------------------------------------------------------------------------------------------ geometry

CELLS = 21
NETWORKS: dict[str, tuple[Callable[..., ClipNetwork], dict[str, object], tuple[int, ...], tuple[int, ...]]] = {
    "r2plus1d": (build_r2plus1d, {}, (4, 8, 16, 32), (1, 1, 2, 4)),
    "r2plus1d small": (build_r2plus1d, {"stem": "5x5/2"}, (2, 4, 8, 16), (1, 1, 2, 4)),
    "r2d": (build_r2plus1d, {"temporal": False, "stem": "5x5/2"}, (2, 4, 8, 16), (1, 1, 2, 4)),
    "depthwise": (build_depthwise, {}, (4, 8, 16, 32), (1, 1, 1, 1)),
    "depthwise small": (build_depthwise, {"stem": "5x5/2", "stride_on": "1x1"}, (2, 4, 8, 16), (1, 1, 1, 1)),
    "x3d": (build_x3d, {}, (4, 8, 16, 32), (1, 1, 1, 1)),
    "x3d small": (build_x3d, {"stem": "5x5/2"}, (2, 4, 8, 16), (1, 1, 1, 1)),
    "mfnet": (build_mfnet, {}, (4, 8, 16, 32), (2, 2, 2, 2)),
    "mfnet small": (build_mfnet, {"stem": "5x5/2"}, (2, 4, 8, 16), (2, 2, 2, 2)),
    "r3d": (build_r3d, {}, (4, 8, 16, 32), (1, 1, 1, 1)),
    "r3d small": (build_r3d, {"stem": "5x5/2"}, (2, 4, 8, 16), (1, 1, 1, 1)),
}
PLACES = [(name, level) for name in NETWORKS for level in range(4)]


def symmetric(name: str) -> ClipNetwork:
    """All convolutions sum; all norms do nothing."""
    build, options, _, _ = NETWORKS[name]
    network = build(2, width=1, layout=(1, 1, 1, 1), **options).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.ones_(module.weight)
    return network


def centre(weight: torch.Tensor) -> float:
    """Centroid of a row of weights that is seen whole."""
    assert float(weight.sum()) > 0
    assert not weight[[0, -1]].any()
    return float((weight * torch.arange(len(weight))).sum() / weight.sum())


def answer(name: str, level: int, clip: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return symmetric(name).features(clip)[STAGE_NAMES[level]][0].sum(0)


@pytest.mark.parametrize(("name", "level"), PLACES)
def test_an_impulse_at_a_cells_centre_lights_that_cell(name: str, level: int) -> None:
    stage = symmetric(name).stages[level]
    assert (stage.name, stage.path, stage.stride_px) == (STAGE_NAMES[level], STAGE_NAMES[level], NETWORKS[name][2][level])
    x, y = (int(stage.origin_px + cell * stage.stride_px) for cell in (11, 9))
    clip = torch.zeros(1, 3, 1, *(int(CELLS * stage.stride_px),) * 2, dtype=torch.float64)
    clip[..., y, x] = 1
    weight = answer(name, level, clip)[0]
    assert centre(weight.sum(0)) == pytest.approx(11, abs=1e-9)
    assert centre(weight.sum(1)) == pytest.approx(9, abs=1e-9)
    moved = answer(name, level, clip.roll(int(stage.stride_px / 2), 4))[0]  # the check can fail: off by half a cell
    assert 11.1 < centre(moved.sum(0)) < 11.9


@pytest.mark.parametrize(("name", "level"), PLACES)
def test_an_impulse_at_a_cells_frame_lights_that_frame(name: str, level: int) -> None:
    stage = symmetric(name).stages[level]
    assert stage.stride_frames == NETWORKS[name][3][level]
    clip = torch.zeros(1, 3, CELLS * stage.stride_frames, 33, 33, dtype=torch.float64)
    clip[:, :, 9 * stage.stride_frames, 16, 16] = 1
    weight = answer(name, level, clip).sum((1, 2))
    assert len(weight) == CELLS
    assert centre(weight) == pytest.approx(9, abs=1e-9)
