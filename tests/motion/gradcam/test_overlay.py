"""Grad-CAM over another view's picture: its numbers, its words, the recipe that makes it again, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import vizkit
from vizkit.contracts import AttentionVolume
from vizkit.figure.layers import LayerLook, dress
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer
from vizkit.motion.gradcam.analysis import ClassAttention
from vizkit.motion.gradcam.overlay import lay_over
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun
from vizkit.pipeline import analyze, draw
from vizkit.recipe import Recipe
from vizkit.world import clip

OPTIONS = {"width": 8, "stem": "5x5/2", "dropout": 0.0, "blocks": ["res3.1"], "neighbors": 2, "last_gain": 1.0, "shrink": 1}
SAMPLING = {"segments": 4, "short_side_px": 48, "crop_px": 48}


@pytest.fixture(scope="module")
def network() -> Network:
    return vizkit.load_network("cpnet-18", num_classes=5, seed=0, **OPTIONS)


@pytest.fixture(scope="module")
def run(network: Network) -> ProbedRun:
    sampling = network.sampling.model_validate(SAMPLING)
    return vizkit.probe(network, clip(3, frames=8, side_px=48).clip, sampling=sampling)


@pytest.fixture(scope="module")
def spec(run: ProbedRun) -> FigureSpec:
    return draw(analyze("cpnet", run))


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> ClassAttention:
    found = analyze("gradcam", run, target=2)
    assert isinstance(found, ClassAttention)
    values = np.zeros_like(found.values)
    values[:, 0, 1] = np.arange(1, len(values) + 1)  # the last frame's is the largest
    return replace(found, volume=replace(found.volume, values=values, signed=values, zero_because=""))


def maps(spec: FigureSpec) -> list[HeatLayer]:
    return [layer for panel in spec.panels for layer in panel.layers if isinstance(layer, HeatLayer) and layer.name.startswith("Grad-CAM")]


def test_every_frame_has_its_own_map_from_0_to_1_of_the_clip(spec: FigureSpec, result: ClassAttention) -> None:
    laid = lay_over(spec, result)
    found = maps(laid)
    assert [layer.values[0, 1] for layer in found] == [0.25, 0.5, 0.75, 1.0]
    assert {layer.limits for layer in found} == {(0.0, 1.0)}
    assert {(layer.origin_px, layer.stride_px) for layer in found} == {(result.grid.origin_px, result.grid.stride_px)}
    bar = laid.keys[-1]
    assert isinstance(bar, ColorBarKey)
    assert (bar.limits, bar.layer, bar.note) == ((0.0, 1.0), found[0].name, "1 = largest value in the clip, 4")
    assert np.array_equal(laid.arrays["class_map"], result.values)


def test_raw_values_up_to_a_limit_let_maps_share_a_scale(spec: FigureSpec, result: ClassAttention) -> None:
    laid = lay_over(spec, result, limit=10.0)
    assert [layer.values[0, 1] for layer in maps(laid)] == [1.0, 2.0, 3.0, 4.0]
    assert {layer.limits for layer in maps(laid)} == {(0.0, 10.0)}
    assert "raw values from 0 to 10" in laid.caption
    assert laid.recipe["class_map_limit"] == 10.0
    assert "class_map_limit" not in lay_over(spec, result).recipe


def test_words_say_label_probability_method_and_where_it_is_strongest(spec: FigureSpec, result: ClassAttention) -> None:
    laid, label = lay_over(spec, result), result.volume.label
    assert laid.caption.startswith(spec.caption)
    told = laid.caption.removeprefix(spec.caption)
    of = f"the label {label!r} (probability {result.probability:.3f})"
    assert all(word in told for word in ("Grad-CAM (Selvaraju et al.", result.volume.stage, of, "value in the clip, 4"))
    x, y = result.grid.centre_px(np.array([1, 0]))
    assert laid.alt.endswith(f"Over the frames lies Grad-CAM for {label!r}: strongest at frame 3, pixel ({x:g}, {y:g}).")
    assert "The weights are random" in " ".join(laid.notes)
    assert len(laid.notes) == len(set(laid.notes))


def test_a_map_of_zero_is_a_sentence_and_no_layer(spec: FigureSpec, result: ClassAttention) -> None:
    zero = np.zeros_like(result.values)
    volume = AttentionVolume(**{**vars(result.volume), "values": zero, "signed": zero, "zero_because": "It is zero because."})
    laid = lay_over(spec, replace(result, volume=volume, notes=("It is zero because.",)))
    assert maps(laid) == []
    assert laid.notes[-1] == "It is zero because."
    assert laid.caption == spec.caption


def test_a_picture_without_frames_stays_as_it_is(spec: FigureSpec, result: ClassAttention) -> None:
    bare = replace(spec, panels=(replace(spec.panels[0], layers=spec.panels[0].layers[1:]),), links=())
    assert lay_over(bare, result) is bare


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with each forward pass of a probed network."""
    from vizkit.net import probe

    counted: list[str] = []
    forward = probe._forward

    def count(network: Network, *rest: object) -> object:
        counted.append(network.name)
        return forward(network, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "_forward", count)
    return counted


def test_the_recipe_makes_the_same_figure_again_in_one_forward_pass(
    spec: FigureSpec, run: ProbedRun, network: Network, forwards: list[str]
) -> None:
    laid = lay_over(spec, analyze("gradcam", run, target=2))  # type: ignore[arg-type]
    looks = {"feature change": LayerLook(visible=True, colors="gray"), "frame": LayerLook(visible=False)}
    wanted = dress(laid, looks)
    assert forwards == []
    recipe = Recipe(**wanted.recipe)
    assert recipe.model_dump(mode="json")["class_map"] == {"target": "2"}
    again = recipe.run(clip(3, frames=8, side_px=48).clip, network=network)
    assert forwards == ["cpnet-18"]
    assert (again.caption, again.keys, again.notes, again.recipe) == (wanted.caption, wanted.keys, wanted.notes, wanted.recipe)
    for ours, theirs in zip(again.panels, wanted.panels, strict=True):
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert np.array_equal(maps(again)[2].values, maps(wanted)[2].values)


def test_a_recipe_without_any_of_it_is_as_it_was(spec: FigureSpec) -> None:
    assert not {"class_map", "layers"} & set(spec.recipe)
    assert not {"class_map", "layers"} & set(Recipe(**spec.recipe).model_dump(mode="json"))
