"""torchvision's video networks: its own figures, its own preprocessing, and cells where their stages say they are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import get_model, get_model_weights, get_weight
from torchvision.models.video.mvit import MViT
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

import vizkit
from vizkit.catalog import architecture
from vizkit.checkpoint import load_network
from vizkit.clip import open_clip
from vizkit.contracts import Sampling, Stage
from vizkit.errors import SettingError
from vizkit.net.architecture import Architecture
from vizkit.net.backbones.torchvision_video import TorchvisionNetwork, build_mvit, build_s3d, build_swin3d, build_video_resnet
from vizkit.net.count import count_network
from vizkit.net.published import IMAGENET, TORCHVISION
from vizkit.net.wrap import dry_run
from vizkit.pipeline import analyze
from vizkit.world import clip

EVERY = pytest.mark.parametrize("entry", TORCHVISION, ids=lambda entry: entry.name)


def on_shapes(entry: Architecture, **options: Any) -> TorchvisionNetwork:
    with torch.device("meta"):
        built = entry.build(**options)
    assert isinstance(built, TorchvisionNetwork)
    return built.eval()


# ------------------------------------------------------------------------------------------------ what torchvision says


@EVERY
def test_names_and_figures_are_torchvisions(entry: Architecture) -> None:
    theirs = get_model_weights(entry.name)
    assert {weights.source for weights in entry.weights} == {f"{theirs.__name__}.{weights.name}" for weights in theirs}
    assert entry.weights[0].source == f"{theirs.__name__}.{theirs.DEFAULT.name}"
    assert entry.weights[0].name == "kinetics"
    assert entry.published is not None
    assert entry.published.params == theirs.DEFAULT.meta["num_params"] / 1e6
    assert entry.published.gmacs == theirs.DEFAULT.meta["_ops"]


@pytest.mark.parametrize(
    "weights", [*(weights for entry in TORCHVISION for weights in entry.weights), *(IMAGENET[depth][0] for depth in IMAGENET)],
    ids=lambda weights: weights.file,
)  # fmt: skip
def test_files_classes_and_preprocessing_are_torchvisions(weights: Any) -> None:
    theirs = get_weight(weights.source)
    assert theirs.url == f"https://download.pytorch.org/models/{weights.file}"
    assert re.fullmatch(r"[0-9a-f]{8}", weights.digest_start)
    assert f"-{weights.digest_start}." in theirs.url
    assert len(theirs.meta["categories"]) == weights.classes
    preset = theirs.transforms()
    assert tuple(preset.mean) == weights.mean
    assert tuple(preset.std) == weights.std
    assert set(preset.crop_size) == {weights.crop_px}
    resized = tuple(preset.resize_size)
    assert resized == (weights.resize_hw or (weights.short_side_px,))
    assert min(resized) == weights.short_side_px


@EVERY
def test_sampling_is_the_one_that_the_weights_were_measured_with(entry: Architecture) -> None:
    told = get_weight(entry.weights[0].source).meta["_docs"]
    for weights in entry.weights:
        sampling = weights.sampling(entry)
        assert sampling.frames == sampling.total_frames == int(re.search(r"clip_len=(\d+)", told)[1])  # type: ignore[index]
        assert sampling.frames_per_second == float(re.search(r"frame_rate=([\d.]+)", told)[1])  # type: ignore[index]
    assert entry.sampling == entry.weights[0].sampling(entry)


@EVERY
def test_the_network_is_torchvisions(entry: Architecture) -> None:
    with torch.device("meta"):
        theirs = get_model(entry.name)
    ours = on_shapes(entry)
    assert type(ours.net) is type(theirs)
    shapes = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
    assert {key: tensor.shape for key, tensor in ours.net.state_dict().items()} == shapes
    assert ours.translate_keys(shapes.keys()) == {key: f"net.{key}" for key in shapes}
    assert ours.translate_keys({"conv1.weight"}) is None
    assert set(ours.state_dict()) == {f"net.{key}" for key in shapes}


@pytest.mark.slow
@EVERY
def test_our_count_is_torchvisions(entry: Architecture) -> None:
    ours = count_network(on_shapes(entry), 16, entry.size_px) if entry.published else None
    assert ours is not None
    assert ours.params == round(entry.published.params * 1e6)  # type: ignore[union-attr, operator]
    assert ours.gmacs == pytest.approx(entry.published.gmacs, rel=2e-5)  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------ preprocessing


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("r3d_18", "arm_wrestling.mp4"), ("r3d_18", "skiing.mp4"), ("s3d", "asl_book.mkv"), ("mvit_v1_b", "skiing.mp4"),
        ("swin3d_t", "arm_wrestling.mp4"),
    ],
)  # fmt: skip
def test_a_real_clip_is_prepared_as_torchvision_does_it(media: Path, name: str, file: str) -> None:
    """Same frames through both; a value may differ by one grey level, where rounding decides."""
    entry = architecture(name)
    video = open_clip(media / "clips" / file)
    sampling = entry.sampling.model_copy(update={"frames": 4})
    sampled = vizkit.sample(video, sampling)
    weights = entry.weights[0]
    network = vizkit.net.network.Network(
        name, name, nn.Identity(), (), (), (), sampling, weights.mean, weights.std, "published"
    )  # fmt: skip
    ours = network.normalized(sampled.tensor)
    frames = torch.from_numpy(video.read(sampled.index.tolist())).permute(0, 3, 1, 2)
    theirs = get_weight(weights.source).transforms()(frames)[None]
    assert ours.shape == theirs.shape
    level = 1 / 255 / min(weights.std)
    assert float((ours - theirs).abs().max()) <= level + 1e-5
    assert float(((ours - theirs).abs() > level / 2).float().mean()) < 0.005


def test_the_clock_of_a_sampling_is_that_of_the_weights() -> None:
    video = clip(0, frames=16, side_px=64).clip  # 8 frames per second
    index = vizkit.sample(video, architecture("mvit_v1_b").sampling).index
    assert index[:4].tolist() == [0, 1, 2, 3]
    assert np.allclose(video.times_s[index[:14]], np.arange(14) / 7.5, atol=1 / 16 + 1e-6)


# ------------------------------------------------------------------------------------------------ geometry

SMALL: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "r3d_18": ({}, (16, 64)),
    "mc3_18": ({}, (4, 64)), "r2plus1d_18": ({}, (16, 64)),
    "s3d": ({"frames": 16, "size_px": 96}, (16, 96)), "mvit_v1_b": ({"frames": 4, "size_px": 64}, (4, 64)),
    "mvit_v2_s": ({"frames": 6, "size_px": 96}, (6, 96)), "swin3d_t": ({}, (4, 64)),
    "swin3d_s": ({"width": 12, "depths": (1, 2, 2, 1)}, (5, 70)),
    "swin3d_b": ({"width": 32, "depths": (1, 1, 2, 1)}, (3, 90)),
}  # fmt: skip
"""Options and clip (frames, side) of a small run; each stage has more than one cell along every axis."""


@EVERY
def test_a_dry_run_finds_the_stages_that_are_written_out(entry: Architecture) -> None:
    options, (frames, side) = SMALL[entry.name]
    module = on_shapes(entry, **options)
    found, classes = dry_run(module, entry.name, {stage.name: stage.path for stage in module.stages}, (frames, side, side))
    assert found == module.stages
    assert classes == 400


class Average(nn.Module):
    """A pool that averages what a maximum pool looks at; also on maps that are smaller than its kernel."""

    def __init__(self, pool: nn.MaxPool3d) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = (
            (value,) * 3 if isinstance(value, int) else tuple(value) for value in (pool.kernel_size, pool.stride, pool.padding)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = [width for width in reversed(self.padding) for _ in range(2)]
        return F.avg_pool3d(F.pad(x, sides), self.kernel, self.stride)


def symmetric(net: nn.Module) -> nn.Module:
    """Every convolution averages, every pool averages, norms do nothing: an impulse is answered symmetrically about its place."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool3d):
                setattr(module, name, Average(child))
    return net.eval()


def answers(net: nn.Module, stages: tuple[Stage, ...], clips: torch.Tensor) -> dict[str, torch.Tensor]:
    """[B, T, H, W] what comes out of every stage, summed over channels; the layers behind the last stage are not run."""
    given: dict[str, torch.Tensor] = {}

    class Enough(Exception):
        pass

    def keep(stage: Stage) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            given[stage.name] = output.sum(1)
            if stage is stages[-1]:
                raise Enough

        return hook

    handles = [net.get_submodule(stage.path.removeprefix("net.")).register_forward_hook(keep(stage)) for stage in stages]
    with torch.no_grad(), pytest.raises(Enough):
        net(clips)
    for handle in handles:
        handle.remove()
    return given


def centroid(answer: torch.Tensor, axis: int) -> float:
    weight = answer.sum([other for other in range(answer.ndim) if other != axis])
    assert float(weight[[0, -1]].abs().max()) < 1e-7 * float(weight.max())  # the whole answer is seen
    return float((weight * torch.arange(len(weight))).sum() / weight.sum())


@pytest.mark.slow
@pytest.mark.parametrize("axis", [3, 4], ids=["y", "x"])
@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18", "s3d"])
def test_an_impulse_at_a_cells_centre_is_answered_about_that_cell(name: str, axis: int) -> None:
    frames, long, short = (8, 672, 32) if name == "s3d" else (2, 352, 16)
    built = build_s3d(2, frames=8, size_px=32) if name == "s3d" else build_video_resnet(2, kind=name)  # type: ignore[arg-type]
    net = symmetric(built.net)
    for stage in built.stages[:: 3 if name == "s3d" else 1]:
        cell = round((long / 2 - stage.origin_px) / stage.stride_px)
        shape = [1, 3, frames, short, short]
        shape[axis] = long
        impulse = torch.zeros(shape)
        impulse.movedim(axis, 0)[int(stage.origin_px + cell * stage.stride_px)] = 1
        answer = answers(net, built.stages, impulse)[stage.name][0]
        assert centroid(answer, axis - 2) == pytest.approx(cell, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames"), [("r3d_18", 160), ("mc3_18", 16), ("r2plus1d_18", 160), ("s3d", 320)])
def test_time_steps_are_as_far_apart_as_stages_say(name: str, frames: int) -> None:
    built = build_s3d(2, frames=frames, size_px=32) if name == "s3d" else build_video_resnet(2, kind=name)  # type: ignore[arg-type]
    net = symmetric(built.net)
    for stage in built.stages:
        at = frames // 2
        clips = torch.zeros(2, 3, frames, 32 if name == "s3d" else 16, 32 if name == "s3d" else 16)
        clips[0, :, at], clips[1, :, at + stage.stride_frames] = 1, 1
        here, there = answers(net, built.stages, clips)[stage.name]
        assert centroid(there, 0) - centroid(here, 0) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("axis", [3, 4], ids=["y", "x"])
@pytest.mark.parametrize("width", [8, 12])
def test_a_swin_cell_covers_the_pixels_around_its_centre(width: int, axis: int) -> None:
    """A pixel changes its own cell most; the pixels of one cell are the ``stride_px`` ones about its centre, to the pixel."""
    torch.manual_seed(width)
    built = build_swin3d(2, width=width, depths=(1, 1, 1, 1)).eval()
    for attention in (part for part in built.modules() if isinstance(part, ShiftedWindowAttention3d)):
        nn.init.zeros_(attention.proj.weight)  # tokens keep what is theirs
    base = torch.rand(1, 3, 2, 128, 128)
    for stage in built.stages:
        for cell in (0, 1, 3):
            first = int(stage.origin_px + cell * stage.stride_px - (stage.stride_px - 1) / 2)
            for px, seen in ((first, cell), (first + int(stage.stride_px) - 1, cell), (first + int(stage.stride_px) // 2, cell)):
                assert changed_cell(built, stage, base, axis, px) == seen


def changed_cell(built: TorchvisionNetwork, stage: Stage, base: torch.Tensor, axis: int, px: int) -> int:
    """The cell, along one axis, that changes most when a line of pixels does."""
    other = base.clone()
    other.movedim(axis, 0)[px] += 2
    given = []
    handle = built.get_submodule(stage.path).register_forward_hook(
        lambda _module, _inputs, output: given.append(vizkit.net.probe.one_clip(output, stage.axes))
    )
    with torch.no_grad():
        built(base), built(other)
    handle.remove()
    change = (given[1] - given[0]).abs().sum(0).movedim(axis - 2, 0).flatten(1).sum(1)
    return int(change.argmax())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mvit_v1_b", "mvit_v2_s"])
def test_an_impulse_in_an_mvit_is_answered_about_its_cell(kind: Any) -> None:
    """Attention off, pools averaging: the tokens' own way is symmetric about the cell's centre."""
    torch.manual_seed(0)
    frames, side = 2, 224
    built = build_mvit(2, kind=kind, frames=frames, size_px=side).eval()
    symmetric(built.net)
    assert isinstance(built.net, MViT)
    colour = torch.randn(built.net.conv_proj.out_channels)
    built.net.conv_proj.weight.data = colour.view(-1, 1, 1, 1, 1).expand_as(built.net.conv_proj.weight).clone()
    for name, weights in built.net.named_parameters():
        if "attn.project" in name or "mlp" in name or "pos" in name or name.endswith("bias") or "class" in name:
            nn.init.zeros_(weights)
    for stage in built.stages:
        for cell_x, cell_y in ((3, 3), (4, 2)):
            impulse = torch.zeros(1, 3, frames, side, side)
            x, y = (int(stage.origin_px + cell * stage.stride_px) for cell in (cell_x, cell_y))
            impulse[..., y, x] = 1
            given = []
            handle = built.get_submodule(stage.path).register_forward_hook(
                lambda _module, _inputs, output, given=given, stage=stage: given.append(vizkit.net.probe.one_clip(output, stage.axes))
            )
            with torch.no_grad():
                built(impulse)
            handle.remove()
            weight = given[0].abs().sum((0, 1))
            seen = weight > 1e-3 * weight.max()
            rows, columns = (torch.nonzero(seen.any(1 - axis))[:, 0] for axis in (0, 1))
            assert float(columns.float().mean()) == pytest.approx(cell_x, abs=1e-6)
            assert float(rows.float().mean()) == pytest.approx(cell_y, abs=1e-6)


# ------------------------------------------------------------------------------------------------ at work


@pytest.mark.parametrize(("name", "options"), [("s3d", {"frames": 8, "size_px": 64}), ("swin3d_t", {"width": 12, "depths": (1, 1, 1, 1)})])
def test_proposals_on_their_stages(name: str, options: dict[str, Any]) -> None:
    network = load_network(name, num_classes=3, **options)
    small = replace(network, sampling=Sampling(segments=8, frames=8, short_side_px=64, crop_px=64))
    run = vizkit.probe(small, clip(0, side_px=64, frames=8).clip)
    assert run.prediction.logits.shape == (3,)
    for stage in network.stages[:3]:
        result: Any = analyze("cpnet", run, block=stage.name, neighbors=2)
        assert result.grid.origin_px == stage.origin_px
        assert result.proposal.shape[1:] == (2, 3)


def test_the_sampling_fits_the_size_that_was_asked_for() -> None:
    small = load_network("mvit_v1_b", num_classes=2, frames=4, size_px=64)
    assert (small.sampling.total_frames, small.sampling.short_side_px, small.sampling.crop_px) == (4, 64, 64)
    assert small.sampling.frames_per_second == 7.5
    logits = vizkit.predict(clip(0, side_px=64, frames=4).clip, small).logits
    assert logits.shape == (2,)


@pytest.mark.parametrize(
    ("built", "shape", "words"),
    [
        (lambda: build_s3d(2), (8, 112), ["8 frames of 112 x 112 px", "at least 13 frames of 209 x 209 px", "size_px"]),
        (lambda: build_mvit(2, frames=16, size_px=224), (16, 112), ["16 frames of 112 x 112 px", "takes 16 frames of 224 x 224 px"]),
        (lambda: build_mvit(2, kind="mvit_v2_s"), (8, 224), ["8 frames", "takes 16 frames"]),
    ],
)
def test_a_clip_that_does_not_fit_is_refused_in_a_sentence(built: Any, shape: tuple[int, int], words: list[str]) -> None:
    with torch.device("meta"):
        network = built()
    with pytest.raises(SettingError) as told:
        network(torch.empty(1, 3, shape[0], shape[1], shape[1], device="meta"))
    assert told.value.code == "clip_size"
    assert all(word in told.value.message for word in words)


@pytest.mark.parametrize(("frames", "side"), [(4, 17), (5, 33), (13, 209), (8, 64)])
def test_the_smallest_clip_of_an_s3d_runs_and_a_smaller_one_does_not(frames: int, side: int) -> None:
    with torch.device("meta"):
        built = build_s3d(2, frames=frames, size_px=side).eval()
    least_frames, least_px = built._least
    assert least_frames <= frames
    assert least_px <= side
    assert built(torch.empty(1, 3, least_frames, least_px, least_px, device="meta")).shape == (1, 2)
    for smaller in ((least_frames - 1, least_px), (least_frames, least_px - 1)):
        if smaller[0] > 0:
            with pytest.raises(RuntimeError):
                built.net(torch.empty(1, 3, smaller[0], smaller[1], smaller[1], device="meta"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("r3d_18", {"kind": "r3d_34"}, ["kind is r3d_34", "r3d_18, mc3_18, r2plus1d_18"]),
        ("s3d", {"size_px": 16}, ["size_px is 16"]),
        ("mvit_v1_b", {"frames": 0}, ["frames is 0"]),
        ("swin3d_t", {"width": 0}, ["width is 0"]),
        ("swin3d_t", {"depths": (2, 2)}, ["(2, 2)", "four"]),
    ],
)
def test_an_option_that_cannot_be_is_refused(name: str, options: dict[str, Any], words: list[str]) -> None:
    with torch.device("meta"), pytest.raises(SettingError) as told:
        architecture(name).build(**options)
    assert all(word in told.value.message for word in words)
