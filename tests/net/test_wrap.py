"""Any module as a network: its stages found by a dry run, itself left alone, and a sentence where it cannot be."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import vizkit
from vizkit.catalog import MODULES
from vizkit.contracts import SampledClip, Sampling
from vizkit.digest import digest_tensors
from vizkit.errors import SettingError
from vizkit.net.wrap import wrap
from vizkit.pipeline import analyze, available, draw
from vizkit.recipe import load_recipe
from vizkit.render.write import encode
from vizkit.ui.words import ORIGINS
from vizkit.world import clip

SAMPLING = Sampling(segments=4, frames=4, short_side_px=48, crop_px=48)
INPUT: dict[str, Any] = {"sampling": SAMPLING, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
Noise = Callable[..., SampledClip]


class Volume(nn.Module):
    """A plain 3-D CNN; ``late`` is called before ``early`` is listed."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.late = nn.Sequential(nn.Conv3d(6, 8, 3, stride=2, padding=1), nn.BatchNorm3d(8), nn.ReLU(inplace=True))
        self.early = nn.Sequential(nn.Conv3d(3, 6, (1, 4, 4), stride=(1, 4, 4)), nn.ReLU())
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.late(self.early(x)).mean((2, 3, 4)))


class Frames(nn.Module):
    """A 2-D CNN on frames that are folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 6, 2, 2))
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = self.body(x.transpose(1, 2).flatten(0, 1))
        return self.head(frames.mean((2, 3)).unflatten(0, (len(x), -1)).mean(1))


class Tokens(nn.Module):
    """Patches of 2 x 8 x 8 as tokens behind a class token; a block gives them beside their (T, H, W)."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor, sizes: tuple[int, int, int]) -> tuple[torch.Tensor, tuple[int, int, int]]:
            return x + self.attention(x, x, x, need_weights=False)[0], sizes

    def __init__(self, beside: bool = True) -> None:
        super().__init__()
        self.patches = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.block, self.norm, self.head = self.Block(), nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.patches(x)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), maps.flatten(2).transpose(1, 2)], 1)
        tokens, _ = self.block(tokens, tuple(maps.shape[2:]))
        return self.head(self.norm(tokens)[:, 0])


class Odd(nn.Module):
    """A network around any way from a clip to a map."""

    def __init__(self, way: Callable[[torch.Tensor], Any], logits: Callable[[torch.Tensor], Any] | None = None) -> None:
        super().__init__()
        self.stage = Way(way)
        self.scale = nn.Parameter(torch.ones(1))
        self.logits = logits or (lambda clip: clip.mean((2, 3, 4)) * self.scale)

    def forward(self, x: torch.Tensor) -> Any:
        self.stage(x)
        return self.logits(x)


class Way(nn.Module):
    def __init__(self, way: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> Any:
        return self.way(x)


def geometry(network: vizkit.net.network.Network) -> dict[str, tuple[Any, ...]]:
    return {
        stage.name: (stage.path, stage.channels, stage.stride_px, stage.stride_frames, stage.origin_px, stage.axes)
        for stage in network.stages
    }


# ------------------------------------------------------------------------------------------------ what is found


def test_a_plain_3d_network() -> None:
    network = vizkit.wrap(Volume(), stages={"deep": "late", "shallow": "early", "norm": "late.1"}, **INPUT)
    assert geometry(network) == {
        "shallow": ("early", 6, 4.0, 1, 1.5, "BCTHW"),
        "norm": ("late.1", 8, 8.0, 2, 1.5, "BCTHW"),
        "deep": ("late", 8, 8.0, 2, 1.5, "BCTHW"),
    }
    assert [stage.name for stage in network.stages] == ["shallow", "norm", "deep"]
    assert (network.name, network.architecture, network.origin, network.blocks) == ("Volume", "Volume", "own", ())
    assert network.labels == tuple(f"class {number}" for number in range(5))
    assert network.origin in ORIGINS


def test_frames_folded_into_the_batch() -> None:
    network = wrap(Frames(), stages={"one": "body.0", "two": "body"}, labels=["a", "b", "c"], **INPUT)
    assert geometry(network) == {"one": ("body.0", 4, 2.0, 1, 0.0, "FCHW"), "two": ("body", 6, 8.0, 1, 2.0, "FCHW")}
    assert network.labels == ("a", "b", "c")


def test_tokens_beside_their_sizes() -> None:
    network = wrap(Tokens(), stages={"map": "patches", "tokens": "block"}, **INPUT)
    assert geometry(network) == {"map": ("patches", 8, 8.0, 2, 3.5, "BCTHW"), "tokens": ("block", 8, 8.0, 2, 3.5, "BNC")}


def test_channels_last() -> None:
    def way(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool3d(x, (1, 3, 3)).permute(0, 2, 3, 4, 1)

    assert geometry(wrap(Odd(way), stages={"s": "stage"}, **INPUT))["s"] == ("stage", 3, 3.0, 1, 1.0, "BTHWC")


@pytest.mark.parametrize("make", [Volume, Frames, Tokens])
def test_taps_and_logits_are_the_modules_own(make: type[nn.Module], noise: Noise) -> None:
    torch.manual_seed(0)
    module = make().eval()
    paths = {"Volume": ("early", "late"), "Frames": ("body.0", "body"), "Tokens": ("patches", "block")}[make.__name__]
    network = wrap(module, stages={f"s{place}": path for place, path in enumerate(paths)}, **INPUT)
    given: dict[str, torch.Tensor] = {}
    for path in paths:
        module.get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output, path=path: given.__setitem__(path, output[0] if isinstance(output, tuple) else output)
        )
    sampled = noise(1)
    run = vizkit.probe(network, sampled)
    mean, std = (torch.tensor(INPUT[key]).view(3, 1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = module((sampled.tensor - mean) / std)
    assert torch.allclose(torch.from_numpy(run.prediction.logits), logits[0], atol=1e-6)
    for stage in network.stages:
        tap, whole = run.taps[stage.name].after, given[stage.path]
        if stage.axes == "BCTHW":
            assert torch.allclose(tap, whole[0], atol=1e-6)
        elif stage.axes == "FCHW":
            assert torch.allclose(tap, whole.transpose(0, 1), atol=1e-6)
        else:
            assert torch.allclose(tap, whole[0, 1:].T.unflatten(1, (2, 6, 6)), atol=1e-6)


def test_a_map_that_the_next_layer_changes_is_kept_as_it_was(noise: Noise) -> None:
    """The ReLU after the norm works in place: the norm's own output holds values below zero."""
    run = vizkit.probe(wrap(Volume(), stages={"norm": "late.1", "relu": "late"}, **INPUT), noise(2))
    assert run.taps["norm"].after.min() < 0
    assert torch.equal(run.taps["relu"].after, run.taps["norm"].after.relu())


def test_a_module_that_needs_values_is_run_on_values() -> None:
    def way(x: torch.Tensor) -> torch.Tensor:
        assert float(x.max()) <= 1
        return F.avg_pool3d(x, (1, 2, 2)) * float(x.mean())

    assert geometry(wrap(Odd(way), stages={"s": "stage"}, **INPUT))["s"] == ("stage", 3, 2.0, 1, 0.5, "BCTHW")


def test_frames_picked_by_number_are_followed_on_values() -> None:
    """On shapes alone the numbers are not known: every third frame from frame 1 on, seen exactly in a run on values."""

    def way(x: torch.Tensor) -> torch.Tensor:
        return x.index_select(2, torch.arange(1, 8, 3, device=x.device))

    sampling = SAMPLING.model_copy(update={"segments": 8})
    assert geometry(wrap(Odd(way), stages={"s": "stage"}, **{**INPUT, "sampling": sampling}))["s"][3] == 3


def test_cells_that_cannot_be_followed_tile_the_frame() -> None:
    def way(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.ifft(torch.fft.fft(F.avg_pool3d(x, (2, 4, 4), (2, 4, 4)), dim=1), dim=1).real

    def last(x: torch.Tensor) -> torch.Tensor:
        return way(x).permute(0, 2, 3, 4, 1)

    assert geometry(wrap(Odd(way), stages={"s": "stage"}, **INPUT))["s"] == ("stage", 3, 4.0, 2, 1.5, "BCTHW")
    assert geometry(wrap(Odd(last), stages={"s": "stage"}, **INPUT))["s"] == ("stage", 3, 4.0, 2, 1.5, "BTHWC")


def test_an_axis_with_one_cell_has_the_whole_side_for_a_stride() -> None:
    network = wrap(Odd(lambda x: F.adaptive_avg_pool3d(x, (1, 6, 6))), stages={"s": "stage"}, **INPUT)
    assert geometry(network)["s"] == ("stage", 3, 8.0, 4, 3.5, "BCTHW")


# ------------------------------------------------------------------------------------------------ views


def test_proposals_on_a_wrapped_stage_find_a_moved_square() -> None:
    """A square moves 8 px a frame; cells of 4 px: its neighbours in other frames are where it went."""
    frames = np.full((4, 48, 48, 3), 90, np.uint8)
    frames += np.random.default_rng(0).integers(0, 3, frames.shape, np.uint8)
    for t in range(4):
        frames[t, 16:24, 8 + 8 * t : 16 + 8 * t] = (250, 40, 20)
    video = vizkit.clip.clip_from_frames(frames)
    network = vizkit.wrap(Volume(), stages={"shallow": "early", "deep": "late"}, **INPUT)
    result: Any = analyze("cpnet", vizkit.probe(network, video), block="shallow", points=[(0, 12, 20)], neighbors=6)
    assert {tuple(place) for place in result.proposal[0][:, [0, 1]].tolist()} <= {(t, y) for t in (1, 2, 3) for y in (4, 5)}
    assert all(column in (2 + 2 * t, 3 + 2 * t) for t, _, column in result.proposal[0].tolist())
    assert not result.decided
    assert result.provenance.origin == "own"
    assert draw(result).panels


@pytest.mark.parametrize(("step_px", "stage"), [((4, 0), "shallow"), ((0, -4), "shallow"), ((8, 8), "deep")])
def test_correlation_on_a_wrapped_stage_shows_a_whole_frame_that_moves(step_px: tuple[int, int], stage: str) -> None:
    """The texture moves by one cell a time step (deep: two frames): so say the cells between the clip's ends and the borders."""
    torch.manual_seed(0)
    texture = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    per_frame = (step_px[0] // 2, step_px[1] // 2) if stage == "deep" else step_px
    frames = np.stack([np.roll(texture, (per_frame[1] * t, per_frame[0] * t), (0, 1))[32:80, 32:80] for t in range(8)])
    sampling = SAMPLING.model_copy(update={"segments": 8})
    network = vizkit.wrap(Volume(), stages={"shallow": "early", "deep": "late"}, **{**INPUT, "sampling": sampling})
    run = vizkit.probe(network, vizkit.clip.clip_from_frames(frames))
    result: Any = analyze("dcf", run, stages=(stage,), temporal_range=1)
    (level,) = result.levels
    ahead = level.frame_offset.tolist().index(1)
    inside = level.displacement_px[ahead, 1, 1:-1, 1:-1]
    assert level.grid.stride_px == (8 if stage == "deep" else 4)
    assert np.abs(np.median(inside, (0, 1)) - step_px).max() < 0.75
    assert draw(result).panels


def test_every_view_is_there_or_says_why_not() -> None:
    network = vizkit.wrap(Volume(), stages={"shallow": "early", "deep": "late"}, **INPUT)
    run = vizkit.probe(network, clip(1, side_px=48, frames=4).clip)
    for entry in MODULES:
        why = available(network)[entry.key]
        if why is True:
            assert draw(analyze(entry.key, run)).table
        else:
            assert str(why).endswith(".")
    assert available(network)["cpnet"] is True


def test_a_recipe_needs_the_module_again(tmp_path: Path) -> None:
    network = vizkit.wrap(Volume(), stages={"shallow": "early", "deep": "late"}, **INPUT)
    spec = draw(analyze("cpnet", vizkit.probe(network, clip(0, side_px=48, frames=4).clip), block="deep", neighbors=2))
    (tmp_path / "recipe.json").write_bytes(encode(spec, "json"))
    recipe = load_recipe(tmp_path / "recipe.json")
    with pytest.raises(SettingError, match=r"Unknown model 'Volume'.*SHA-256 .*give it as network=\.") as told:
        recipe.run()
    assert told.value.code == "unknown_name"
    assert encode(recipe.run(network=network), "npz") == encode(spec, "npz")
    other = vizkit.wrap(Volume(), stages={"shallow": "early", "deep": "late"}, **INPUT)
    assert any("other weights of Volume" in note for note in recipe.run(network=other).notes)


# ------------------------------------------------------------------------------------------------ what stays as it was


def state_of(module: nn.Module) -> tuple[Any, ...]:
    return (
        {key: tensor.clone() for key, tensor in module.state_dict().items()},
        [part.training for part in module.modules()],
        [(id(tensor), tensor.requires_grad, tensor.dtype, tensor.device) for tensor in module.parameters()],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        sorted(vars(module)),
    )


class Broken(Volume):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.early(x)
        raise IndexError("no such thing")


@pytest.mark.parametrize("make", [Volume, Broken])
def test_the_module_is_left_alone(make: type[Volume]) -> None:
    module = make().train()
    module.early[0].weight.requires_grad_(False)
    before = state_of(module)
    torch.manual_seed(3)
    drawn = torch.get_rng_state()
    if make is Volume:
        wrap(module, stages={"s": "early"}, **INPUT)
    else:
        with pytest.raises(SettingError):
            wrap(module, stages={"s": "early"}, **INPUT)
    after = state_of(module)
    assert all(torch.equal(tensor, after[0][key]) for key, tensor in before[0].items())
    assert before[1:] == after[1:]
    assert torch.equal(torch.get_rng_state(), drawn)


def test_training_on_does_not_change_the_network(noise: Noise) -> None:
    module = Volume()
    network = wrap(module, stages={"s": "early"}, **INPUT)
    digest, logits = digest_tensors(module.state_dict()), vizkit.predict(noise(0), network).logits
    with torch.no_grad():
        module.head.weight.add_(1)
    assert network.digest == digest
    assert np.array_equal(vizkit.predict(noise(0), network).logits, logits)
    assert wrap(module, stages={"s": "early"}, **INPUT).digest != digest


def test_weights_of_half_precision_are_computed_in_single(noise: Noise) -> None:
    module = Volume().half()
    network = wrap(module, stages={"s": "early"}, **INPUT)
    assert next(network.module.parameters()).dtype == torch.float32
    assert next(module.parameters()).dtype == torch.float16
    assert np.isfinite(vizkit.predict(noise(0), network).logits).all()


def test_a_network_may_be_described_in_json(noise: Noise) -> None:
    run = vizkit.probe(wrap(Volume(), stages={"s": "early"}, **INPUT), noise(0))
    assert json.loads(run.provenance.json())["origin"] == "own"


# ------------------------------------------------------------------------------------------------ what cannot be


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ({}, ["stages is empty", "Volume"]),
        (["early"], ["stages is of type list", "{'res2': 'layer1'}"]),
        ({"s": "layer1"}, ["'s'", "'layer1'", "Known: late, early, unused, head"]),
        ({"s": "erly"}, ["'erly'", "Near: early"]),
        ({"s": "late.3"}, ["'late.3'", "Known there: late.0, late.1, late.2"]),
        ({"s": "head"}, ["'s'", "head", "[1, 5]", "2 axes"]),
        ({"s": "early", "t": "unused"}, ["'t'", "'unused'", "is not run"]),
        ({"s": ""}, ["''"]),
    ],
)
def test_a_stage_that_cannot_be_is_refused(stages: Any, words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        wrap(Volume(), stages=stages, **INPUT)
    assert all(word in told.value.message for word in words)
    assert told.value.code == "stages"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (lambda x: F.avg_pool3d(x, (1, 2, 4)), ["4 px wide and 2 px high", "square"]),
        (lambda x: x[..., ::2], ["2 px wide and 1 px high", "(0, 0)", "square"]),
        (lambda x: F.avg_pool3d(x, (1, 2, 2))[:, :, :, 1:], ["(x, y) = (0.5, 2.5)", "square"]),
        (lambda x: F.interpolate(x, size=(8, 48, 48), mode="trilinear"), ["0.5 frames apart", "whole frames"]),
        (lambda x: x.mean((3, 4)).transpose(1, 2), ["tokens without their (T, H, W)"]),
        (lambda x: {"map": x}, ["type dict"]),
        (lambda x: [x], ["type list"]),
        (lambda x: x.flatten(3), ["does not fit a clip of 4 frames of 48 x 48 px"]),
        (lambda x: torch.fft.fft(x).real[:, :, :, :24], ["does not fit"]),
    ],
)
def test_an_output_that_is_no_map_is_refused(way: Callable[[torch.Tensor], Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        wrap(Odd(way), stages={"s": "stage"}, **INPUT)
    assert told.value.message.startswith("Stage 's' (stage) gives no map: its ")
    assert all(word in told.value.message for word in words), told.value.message


def test_a_function_is_no_module() -> None:
    with pytest.raises(SettingError, match="module is of type function, but a torch.nn.Module is accepted"):
        wrap(lambda clip: clip, stages={"s": "early"}, **INPUT)  # type: ignore[arg-type, return-value]


def test_a_module_that_does_not_run_says_on_which_clip() -> None:
    with pytest.raises(SettingError, match=r"^Broken does not run on a clip \[1, 3, 4, 48, 48\] .*: IndexError: no such thing\.$") as told:
        wrap(Broken(), stages={"s": "early"}, **INPUT)
    assert told.value.code == "forward"
    with pytest.raises(SettingError, match=r"\[1, 3, 4, 16, 16\]"):
        wrap(Odd(lambda x: F.avg_pool3d(x, 99)), stages={"s": "stage"}, **{**INPUT, "sampling": Sampling(segments=4, crop_px=16)})


@pytest.mark.parametrize(
    ("logits", "given"),
    [(lambda x: x, "[1, 3, 4, 48, 48]"), (lambda x: {"logits": x}, "dict"), (lambda x: x.mean((2, 3, 4)).argmax(1), "[1]")],
)
def test_an_output_that_is_no_logits_is_refused(logits: Callable[[torch.Tensor], Any], given: str) -> None:
    with pytest.raises(SettingError) as told:
        wrap(Odd(lambda x: x, logits), stages={"s": "stage"}, **INPUT)
    assert told.value.message == f"Odd gives {given} for a clip [1, 3, 4, 48, 48]; logits [1, classes] are needed."


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"labels": ["a", "b"]}, ["labels has 2 names", "5 classes"]),
        ({"labels": "abcde"}, ["labels"]),
        ({"mean": (0.5, 0.5)}, ["mean is (0.5, 0.5)", "three numbers"]),
        ({"std": (0.2, 0.2, 0.0)}, ["std", "above 0"]),
        ({"mean": (0.5, 0.5, float("nan"))}, ["mean", "three numbers"]),
    ],
)
def test_other_arguments_that_cannot_be_are_refused(changed: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        wrap(Volume(), stages={"s": "early"}, **{**INPUT, **changed})
    assert all(word in told.value.message for word in words)


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    module = Volume()
    module.kept = module.head.weight * 2  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        copy.deepcopy(module)
    with pytest.raises(SettingError, match="Volume cannot be copied"):
        wrap(module, stages={"s": "early"}, **INPUT)
