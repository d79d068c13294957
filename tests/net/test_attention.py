"""Grad-CAM on our own passes: the library's numbers, right places, every order of axes, and a network that is left alone."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import vizkit
from tests.net.test_probe import Fails, state
from vizkit.contracts import Block, SampledClip, Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.net import head as head_module
from vizkit.net.attention import METHODS, NOT_ON_VIDEO, attend, label_index, methods_of, tabulate_methods
from vizkit.net.head import head_of
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, as_output, one_clip, probe

SAMPLING = Sampling(segments=4, frames=4, short_side_px=48, crop_px=48)
INPUT: dict[str, Any] = {"sampling": SAMPLING, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
STAGES = {"shallow": "early", "deep": "late"}
Noise = Callable[..., SampledClip]
Load = Callable[..., Network]


class Volume(nn.Module):
    """A 3-D CNN whose head bends: second derivatives are not zero, and in-place operations follow both stages."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv3d(3, 6, (1, 4, 4), stride=(1, 4, 4)), nn.BatchNorm3d(6))
        self.late = nn.Sequential(nn.Conv3d(6, 8, 3, stride=2, padding=1), nn.BatchNorm3d(8))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, classes))
        with torch.no_grad():
            self.head[0].weight.mul_(9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.late(self.relu(self.early(x)))).mean((2, 3, 4)))


class Ordered(nn.Module):
    """The same network, whose stage gives its map in another order of axes."""

    class Stage(nn.Module):
        def __init__(self, axes: str) -> None:
            super().__init__()
            self.conv, self.axes = nn.Conv3d(3, 4, (1, 8, 8), stride=(1, 8, 8)), axes

        def forward(self, x: torch.Tensor) -> Any:
            x = torch.relu(self.conv(x))  # [B, C, T, H, W]
            if self.axes == "FCHW":
                return x.transpose(1, 2).flatten(0, 1)
            if self.axes == "BTHWC":
                return x.permute(0, 2, 3, 4, 1)
            if self.axes == "BNC":
                return torch.cat([x.new_ones(len(x), 1, 4), x.flatten(2).transpose(1, 2)], 1), tuple(x.shape[2:])
            return x

    def __init__(self, axes: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stage, self.weight = self.Stage(axes), nn.Parameter(torch.randn(3, 4, 4, 6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, batch = self.stage(x), len(x)
        if self.stage.axes == "FCHW":
            output = output.unflatten(0, (batch, -1)).transpose(1, 2)
        elif self.stage.axes == "BTHWC":
            output = output.permute(0, 4, 1, 2, 3)
        elif self.stage.axes == "BNC":
            output = output[0][:, 1:].transpose(1, 2).unflatten(2, output[1])
        return (output[:, None] * torch.tanh(output[:, None] * self.weight)).sum((2, 3, 4, 5))


class Leaks(Volume):
    """The head takes the shallow map as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shallow = self.early(x)
        return self.head(self.relu(self.late(shallow)).mean((2, 3, 4))) * shallow.abs().mean()


class Beside(Volume):
    """A block beside the shallow stage gives the head a vector."""

    class Vector(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs().mean((2, 3, 4))[:, :1]

    def __init__(self) -> None:
        super().__init__()
        self.vector = self.Vector()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shallow = self.early(x)
        vector = self.vector(shallow)
        return self.head(self.relu(self.late(shallow)).mean((2, 3, 4))) * vector


def run_of(module: nn.Module, noise: Noise, **stages: str) -> ProbedRun:
    return probe(vizkit.wrap(module, stages=stages or STAGES, **INPUT), noise(3))


def copy_for_library(run: ProbedRun) -> nn.Module:
    """The library keeps a stage's output without copying it, which operations in place behind the stage would change."""
    module = copy.deepcopy(run.network.module).requires_grad_(True)
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    return module


def by_library(run: ProbedRun, stage: str, target: int, method: str) -> np.ndarray:
    """What the library's own pass through a copy of the network hands to its last steps."""
    module = copy_for_library(run)
    kind, seen = getattr(pytorch_grad_cam, METHODS[method].kind), []
    with kind(module, [module.get_submodule(run.network.stage(stage).path)]) as cam:
        formula = cam.get_cam_image
        cam.get_cam_image = lambda *given: seen.append(formula(*given)) or seen[-1]
        np.random.seed(0)  # noqa: NPY002
        cam(run.network.normalized(run.clip.tensor), [ClassifierOutputTarget(target)])
    return np.asarray(seen[0][0])


# ------------------------------------------------------------------------------------------------ the right numbers


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "finercam"])
def test_maps_are_those_of_the_librarys_own_pass(method: str, stage: str, noise: Noise) -> None:
    run = run_of(Volume(), noise)
    found = attend(run, stage=stage, target=2, method=method)
    expected = by_library(run, stage, 2, method)
    assert found.signed.shape == found.grid.shape == expected.shape
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(found.signed, expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max())
    assert np.array_equal(found.values, np.maximum(found.signed, 0))


def test_finer_cam_compares_with_the_nearest_logits(noise: Noise) -> None:
    run = run_of(Volume(), noise)
    module = copy_for_library(run)
    seen: list[np.ndarray] = []
    with pytorch_grad_cam.FinerCAM(module, [module.late]) as finer:
        formula = finer.base_cam.get_cam_image
        finer.base_cam.get_cam_image = lambda *given: seen.append(formula(*given)) or seen[-1]
        finer(run.network.normalized(run.clip.tensor))
    found = attend(run, method="finercam")
    np.testing.assert_allclose(found.signed, seen[0][0], rtol=1e-3, atol=1e-6)
    assert not np.allclose(found.signed, attend(run).signed)


def test_finer_cam_needs_a_second_label(noise: Noise) -> None:
    run = run_of(Volume(1), noise)
    assert attend(run).target == 0
    with pytest.raises(SettingError, match="the network knows one label only"):
        attend(run, method="finercam")
    assert attend(run_of(Volume(2), noise), method="finercam").signed.any()


def test_grad_cam_of_a_linear_head_is_the_class_activation_map(noise: Noise) -> None:
    """logit = w . mean(a) + b: every channel's weight is w / cells."""
    module = Volume()
    module.head = nn.Linear(8, 5)
    run = run_of(module, noise, deep="late", act="relu")
    features = run.taps["act"].after.double()
    expected = torch.einsum("c,cthw->thw", run.network.module.head.weight[3].double(), features) / features[0].numel()
    np.testing.assert_allclose(attend(run, stage="act", target=3).signed, expected.numpy(), rtol=1e-4, atol=1e-8)


def test_the_second_derivative_takes_part_in_shapley_cam(noise: Noise) -> None:
    run = run_of(Volume(), noise)
    assert not np.allclose(attend(run, method="shapleycam").signed, attend(run).signed, rtol=0.05)
    again = attend(run, method="gradcam")
    assert np.array_equal(again.signed, attend(run).signed), "the kept graph is still whole"


@pytest.mark.parametrize("axes", ["BCTHW", "FCHW", "BTHWC", "BNC"])
def test_every_order_of_axes_gives_the_same_map(axes: str, noise: Noise) -> None:
    for method in ("gradcam", "hirescam", "shapleycam"):
        plain = attend(run_of(Ordered("BCTHW"), noise, only="stage"), target=1, method=method)
        run = run_of(Ordered(axes), noise, only="stage")
        assert run.network.stages[0].axes == axes
        found = attend(run, target=1, method=method)
        assert found.values.shape == (4, 6, 6)
        np.testing.assert_allclose(found.signed, plain.signed, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("axes", ["BCTHW", "FCHW", "BTHWC", "BNC"])
def test_a_map_is_put_back_as_it_came(axes: Any) -> None:
    output = Ordered.Stage(axes)(torch.randn(1, 3, 4, 48, 48))
    back = as_output(one_clip(output, axes), output, axes)
    one, other = (value if axes == "BNC" else (value,) for value in (output, back))
    assert torch.equal(one[0], other[0])
    assert one[1:] == other[1:]


class OneCell(nn.Module):
    """The logit of label 1 is one cell of the map."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv3d(3, 2, (1, 8, 8), stride=(1, 8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = torch.exp(self.stage(x))
        return torch.stack([features[:, 0].mean((1, 2, 3)), features[:, 1, 2, 1, 4]], 1)


def test_the_map_lies_where_the_label_looks(noise: Noise) -> None:
    found = attend(run_of(OneCell(), noise, only="stage"), target=1, method="hirescam")
    assert found.values.shape == (4, 6, 6)
    assert np.argwhere(found.signed).tolist() == [[2, 1, 4]]


# ------------------------------------------------------------------------------------------------ the head alone


@pytest.fixture
def whole_passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    passes: list[str] = []
    run_whole = head_module._whole_pass
    monkeypatch.setattr(head_module, "_whole_pass", lambda run, stage: (passes.append(stage.name), run_whole(run, stage))[1])
    return passes


def test_only_the_head_is_computed(noise: Noise, monkeypatch: pytest.MonkeyPatch, whole_passes: list[str]) -> None:
    run, real = run_of(Volume(), noise), []
    convolve = nn.Conv3d.forward
    monkeypatch.setattr(nn.Conv3d, "forward", lambda self, x: (real.append(x.is_meta), convolve(self, x))[1])
    attend(run, stage="deep")
    assert real == [True, True]
    real.clear()
    for target in range(5):
        attend(run, stage="deep", target=target)
    assert real == [], "further labels run nothing forward"
    attend(run, stage="shallow")
    assert real == [True, False]
    assert whole_passes == []


def test_the_kept_graph_goes_with_its_run(noise: Noise) -> None:
    run = run_of(Volume(), noise)
    attend(run)
    assert run.prediction in head_module._KEPT
    count = len(head_module._KEPT)
    del run
    assert len(head_module._KEPT) < count


@pytest.mark.parametrize("method", ["gradcam", "shapleycam"])
def test_a_head_that_takes_more_than_the_stage(method: str, noise: Noise, whole_passes: list[str]) -> None:
    run = run_of(Leaks(), noise)
    found = attend(run, stage="deep", target=2, method=method)
    assert whole_passes == ["deep"]
    np.testing.assert_allclose(found.signed, by_library(run, "deep", 2, method), rtol=2e-3, atol=1e-7)


def test_a_block_beside_the_stages_is_computed_on_what_it_saw(noise: Noise, whole_passes: list[str]) -> None:
    network = vizkit.wrap(Beside(), stages=STAGES, **INPUT)
    network = replace(network, blocks=(Block("shallow.beside", "vector", "shallow"),))
    run = probe(network, noise(3))
    for stage in STAGES:
        np.testing.assert_allclose(attend(run, stage=stage, target=2).signed, by_library(run, stage, 2, "gradcam"), rtol=2e-3, atol=1e-7)
    assert whole_passes == []


def test_a_switched_off_block_stays_off(small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    with_block, without = probe(network, noise()), probe(network, noise(), without=["res4.1"])
    first, second = attend(with_block, stage="res3"), attend(without, stage="res3", target=attend(with_block).target)
    assert not np.allclose(first.signed, second.signed)


class Noisy(Volume):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + torch.rand(1)


def test_a_network_that_does_not_repeat_itself_is_refused(noise: Noise) -> None:
    with pytest.raises(NotAvailableError, match="says something else"):
        attend(run_of(Noisy(), noise))


def test_inference_mode_around_it_does_no_harm(noise: Noise) -> None:
    network = vizkit.wrap(Volume(), stages=STAGES, **INPUT)
    expected = attend(probe(network, noise(3))).signed
    with torch.inference_mode():
        assert np.array_equal(attend(probe(network, noise(3))).signed, expected)


# ------------------------------------------------------------------------------------------------ labels and methods


def test_labels_by_name_number_and_prediction(noise: Noise) -> None:
    network = vizkit.wrap(Volume(), stages=STAGES, labels=["run", "walk", "jump high", "3", "sit"], **INPUT)
    run = probe(network, noise(3))
    assert label_index(run.prediction, "predicted") == int(run.prediction.logits.argmax())
    assert [label_index(run.prediction, name) for name in ("jump high", "3", 4, "4", np.int64(1))] == [2, 3, 4, 4, 1]
    found = attend(run, target="jump high")
    assert (found.target, found.label, found.stage) == (2, "jump high", "deep")
    assert not np.allclose(found.signed, attend(run, target="run").signed)
    for wrong in ("jmup high", 5, -1, "9", True, 1.5):
        with pytest.raises(SettingError, match=r"target is .*0 to 4.*'(jump high|run)'"):
            attend(run, target=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", NOT_ON_VIDEO)
def test_other_methods_say_why_not(method: str, noise: Noise) -> None:
    with pytest.raises(NotAvailableError, match=rf"'{method}' cannot be had of a clip: .*\. Known: gradcam"):
        attend(run_of(Volume(), noise), method=method)


def test_unknown_names_list_the_known_ones(noise: Noise) -> None:
    run = run_of(Volume(), noise)
    with pytest.raises(SettingError, match=r"method 'cam'.*gradcam\+\+"):
        attend(run, method="cam")
    with pytest.raises(SettingError, match=r"stage 'res9'.*deep, shallow"):
        attend(run, stage="res9")
    with pytest.raises(NotAvailableError, match="publishes no stages"):
        attend(replace(run, network=replace(run.network, stages=())))


def test_too_many_cells_to_decompose(noise: Noise) -> None:
    module = Volume()
    module.early[0] = nn.Conv3d(3, 6, (1, 1, 1))
    run = run_of(module, noise)
    with pytest.raises(SettingError, match="4,096 cells, but shallow has 9,216; take a deeper stage"):
        attend(run, stage="shallow", method="eigencam")
    assert attend(run, stage="shallow").values.shape == (4, 48, 48)


# ------------------------------------------------------------------------------------------------ zero, never NaN


def head_of_zeros(module: Volume) -> None:
    nn.init.zeros_(module.head[-1].weight)


def features_of_zeros(module: Volume) -> None:
    nn.init.zeros_(module.late[1].weight)
    nn.init.zeros_(module.late[1].bias)


def head_against(module: Volume) -> None:
    module.head = nn.Linear(8, 5)
    with torch.no_grad():
        module.head.weight.copy_(-module.head.weight.abs())


@pytest.mark.parametrize(
    ("plant", "because"),
    [
        (head_of_zeros, "no cell of act reaches the logit of"),
        (features_of_zeros, "all features at act are"),
        (head_against, "speak against"),
    ],
)
def test_a_map_of_zeros_is_explained(plant: Callable[[Volume], None], because: str, noise: Noise) -> None:
    module = Volume()
    plant(module)
    found = attend(run_of(module, noise, act="relu"), target=2)
    assert not found.values.any()
    assert because in found.zero_because
    assert found.zero_because.endswith(".")


@pytest.mark.slow
def test_a_class_token_reads_no_cell_of_the_last_stage(noise: Noise) -> None:
    network = vizkit.load_network("mvit_v2_s", num_classes=5)
    run = probe(replace(network, sampling=Sampling(segments=16, frames=16, short_side_px=224, crop_px=224)), noise(0, 16, 224, 224))
    last, before = attend(run), attend(run, stage="res4")
    assert "class token" in last.zero_because
    assert before.signed.any()
    assert not before.zero_because


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("plant", [head_of_zeros, features_of_zeros, head_against])
def test_there_is_never_a_nan(plant: Callable[[Volume], None], method: str, noise: Noise) -> None:
    module = Volume()
    plant(module)
    found = attend(run_of(module, noise), method=method, target=0)
    assert np.isfinite(found.signed).all()
    assert found.values.any() or found.zero_because


def test_cells_without_a_number_are_zero_and_counted(noise: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    def formula(*_given: Any) -> np.ndarray:
        return np.where(np.arange(72).reshape(1, 2, 6, 6) < 5, np.nan, 1).astype(np.float32)

    monkeypatch.setattr(pytorch_grad_cam.GradCAM, "get_cam_image", formula)
    found = attend(run_of(Volume(), noise))
    assert found.undefined_cells == 5
    assert found.values.sum() == 72 - 5


# ------------------------------------------------------------------------------------------------ without a trace


class FailsBackwards(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, _grad: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("planted")


class Backwards(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return FailsBackwards.apply(x)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind_after_success(method: str, small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    before, draws = state(network.module), np.random.get_state()[1].copy()  # noqa: NPY002
    run = probe(network, noise())
    taps = {name: (tap.before.clone(), tap.after.clone()) for name, tap in run.taps.items()}
    attend(run, method=method, stage="res4")
    assert state(network.module) == before
    assert torch.is_grad_enabled()
    assert np.array_equal(np.random.get_state()[1], draws)  # noqa: NPY002
    assert all(torch.equal(taps[name][0], tap.before) and torch.equal(taps[name][1], tap.after) for name, tap in run.taps.items())
    assert not any(tap.after.requires_grad for tap in run.taps.values())


@pytest.mark.parametrize("part", [Fails, Backwards])
@pytest.mark.parametrize("method", ["gradcam", "shapleycam"])
def test_nothing_is_left_behind_after_an_exception(method: str, part: type[nn.Module], small: Load, noise: Noise) -> None:
    network = small("cpnet-18", last_gain=1.0)
    run = probe(network, noise())
    network.module.dropout = part()  # type: ignore[assignment]
    before = state(network.module)
    with pytest.raises(ZeroDivisionError, match="planted"):
        attend(run, method=method)
    assert state(network.module) == before
    assert torch.is_grad_enabled()


def test_threads_get_what_serial_runs_get(small: Load, noise: Noise) -> None:
    network, sampled = small("cpnet-18", last_gain=1.0), noise(height=32, width=32)
    run = probe(network, sampled)
    jobs = [(stage, target) for stage in ("res4", "res5") for target in range(3)]
    expected = [attend(probe(network, sampled), stage=stage, target=target).signed for stage, target in jobs]
    found: list[np.ndarray | None] = [None] * len(jobs)
    meet = threading.Barrier(len(jobs), timeout=60)

    def session(number: int) -> None:
        meet.wait()
        stage, target = jobs[number]
        found[number] = attend(run, stage=stage, target=target).signed

    threads = [threading.Thread(target=session, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is not None and np.array_equal(one, right) for one, right in zip(found, expected, strict=True))


# ------------------------------------------------------------------------------------------------ with the probe


def test_a_run_carries_its_attention(small: Load, noise: Noise) -> None:
    network = small("c2d-18")
    assert probe(network, noise()).attention is None
    run = probe(network, noise(), attention=True)
    assert run.attention is not None
    assert (run.attention.stage, run.attention.target) == ("res5", int(run.prediction.logits.argmax()))
    assert np.array_equal(run.attention.values, attend(run).values)
    assert head_of(run, network.stages[-1]) is head_of(run, network.stages[-1])
    assert probe(network, noise(), attention=0).attention.target == 0  # type: ignore[union-attr]
    other = probe(network, noise(), attention={"stage": "res4", "target": 3, "method": "layercam"}).attention
    assert other is not None
    assert (other.stage, other.target, other.method) == ("res4", 3, "layercam")
    with pytest.raises(SettingError, match=r"'layer'.*method, stage, target"):
        probe(network, noise(), attention={"layer": "res4"})


@pytest.mark.parametrize("module", [Volume, Leaks])
def test_a_pass_that_is_asked_for_a_map_keeps_its_graph(
    module: type[nn.Module], noise: Noise, monkeypatch: pytest.MonkeyPatch, whole_passes: list[str]
) -> None:
    plain = run_of(module(), noise)
    expected, real = attend(plain, stage="deep", target=2), []
    whole_passes.clear()
    convolve = nn.Conv3d.forward
    monkeypatch.setattr(nn.Conv3d, "forward", lambda self, x: (real.append(x.is_meta), convolve(self, x))[1])
    run = probe(plain.network, plain.clip, attention={"stage": "deep", "target": 2})
    assert real == [False] * len(real)
    assert len(real) == sum(isinstance(part, nn.Conv3d) for part in plain.network.module.modules())
    assert whole_passes == []
    assert run.attention is not None
    assert np.array_equal(run.attention.signed, expected.signed)
    assert np.array_equal(run.prediction.logits, plain.prediction.logits)
    assert all(torch.equal(tap.after, plain.taps[name].after) for name, tap in run.taps.items())
    assert not any(tap.after.requires_grad or tap.before.requires_grad for tap in run.taps.values())
    assert not any(output.requires_grad for output in run.outputs.values())
    assert torch.is_grad_enabled()


# ------------------------------------------------------------------------------------------------ the list of methods


HELPERS = {"AblationLayer", "AblationLayerFasterRCNN", "AblationLayerVit", "ActivationsAndGradients"}
"""Classes of the library that are no methods."""
CALLED = {"finercam": "FinerCAM", "guidedbackprop": "GuidedBackpropReLUModel", "dff": "DeepFeatureFactorization"}


def test_every_method_of_the_library_is_there_or_has_its_reason() -> None:
    offered = {name for name, kind in vars(pytorch_grad_cam).items() if inspect.isclass(kind)} - HELPERS
    known = {CALLED.get(name, method.kind) for name, method in METHODS.items()}
    refused = {CALLED.get(name, name).lower() for name in NOT_ON_VIDEO}
    assert {name.lower() for name in offered} == {name.lower() for name in known} | refused


@pytest.mark.parametrize("cells", [None, 1])
def test_the_list_says_what_an_attempt_finds(monkeypatch: pytest.MonkeyPatch, noise: Noise, cells: int | None) -> None:
    """Each method is tried: those that are listed give a map, the others refuse with the listed reason."""
    from vizkit.net import attention

    if cells is not None:
        monkeypatch.setattr(attention, "MOST_CELLS", cells)
    run = probe(vizkit.wrap(Volume(), stages=STAGES, **INPUT), noise())
    states = methods_of(run, "deep")
    assert [one.name for one in states] == [*METHODS, *NOT_ON_VIDEO]
    for method in states:
        if method.available:
            assert attend(run, stage="deep", method=method.name).values.shape == run.taps["deep"].after.shape[1:]
        else:
            with pytest.raises((SettingError, NotAvailableError)) as refused:
                attend(run, stage="deep", method=method.name)
            assert method.reason[3:-1] in str(refused.value)
    refusing = {one.name for one in states if not one.available} - set(NOT_ON_VIDEO)
    assert refusing == (set() if cells is None else {name for name, known in METHODS.items() if known.decomposes})
    rows = {row[0]: row for row in tabulate_methods(states).rows}
    assert rows["gradcam"][1:] == (True, "", "Selvaraju et al., ICCV 2017")
    assert rows["fem"][2] == "The map does not depend on the label."
    assert rows["dff"][1:3] == (False, "It factorizes features and explains no label.")


def test_one_label_has_nothing_to_be_held_against(noise: Noise) -> None:
    run = probe(vizkit.wrap(Volume(1), stages=STAGES, **INPUT), noise())
    (finer,) = [one for one in methods_of(run) if one.name == "finercam"]
    assert not finer.available
    assert finer.reason == "It holds a label against others, but the network knows one label only."
    with pytest.raises(SettingError, match="Unknown stage .deepest."):
        methods_of(run, "deepest")
