"""Contracts that every view of the catalogue keeps; a sixth paper is tested by being listed."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.catalog import MODULES, VIEWS, architecture, architectures, module, resolve, step
from vizkit.checkpoint import load_network
from vizkit.contracts import MotionModule, Sampling, Score, Settings, ViewResult
from vizkit.errors import SettingError
from vizkit.figure.spec import FigureSpec
from vizkit.net.architecture import Architecture
from vizkit.net.count import count_parameters
from vizkit.net.network import Network
from vizkit.net.probe import probe
from vizkit.pipeline import analyze, available, draw, judge, open_source
from vizkit.world import WorldClip, clip

EVERY_MODULE = pytest.mark.parametrize("entry", MODULES, ids=lambda entry: entry.key)
EVERY_VIEW = pytest.mark.parametrize("entry", VIEWS, ids=lambda entry: entry.key)
BLOCKS_OF_NO_PAPER = ("temporal-18",)
EVERY_ARCHITECTURE = pytest.mark.parametrize("entry", architectures(), ids=lambda entry: entry.name)
SAMPLING = Sampling(segments=4, frames=4, short_side_px=64, crop_px=64)
NARROW: dict[str, Any] = {"width": 4, "stem": "5x5/2", "size_px": 64}


def narrow(entry: Architecture, frames: int = 4) -> Network:
    """A small network of the architecture, with random weights, for clips of so many frames where it is tied to a number."""
    build = resolve(entry.builder)
    options = {name: value for name, value in {**NARROW, "frames": frames}.items() if name in inspect.signature(build).parameters}
    return replace(load_network(entry.name, num_classes=5, **options), sampling=SAMPLING)


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=True)


@cache
def world() -> WorldClip:
    return clip(1, side_px=64, frames=4)


@cache
def result_of(key: str) -> ViewResult:
    return analyze(key, probe(narrow(own_architecture(module(key))), world().clip))


def step_architectures(entry: MotionModule) -> tuple[Architecture, ...]:
    return tuple(resolve(entry.architectures))


def own_architecture(entry: MotionModule) -> Architecture:
    """The first network of a paper; any one for a view that belongs to none."""
    return (*step_architectures(entry), architecture("c2d-18"))[0]


# ------------------------------------------------------------------------------------------------ the catalogue


def test_names_are_unique() -> None:
    assert len({entry.key for entry in VIEWS}) == len(VIEWS)
    assert len({entry.name for entry in architectures()}) == len(architectures())


def test_unknown_names_list_the_known_ones() -> None:
    for find in (module, architectures):
        with pytest.raises(SettingError, match="cpnet"):
            find("nonet")
    with pytest.raises(SettingError, match=r"c2d-18.*cpnet-101"):
        architecture("resnet")


@EVERY_VIEW
def test_an_entry_of_the_catalogue_is_complete(entry: MotionModule) -> None:
    assert module(entry.key) is entry
    assert issubclass(resolve(entry.params), Settings)
    for name in ("analyze", "figure", "unavailable", "score", "judge"):
        assert callable(step(entry, name)), name
        assert inspect.getdoc(step(entry, name)), name
    assert entry.how_to_read.endswith(".")
    assert entry.citation.year > 2000
    assert entry.citation.bibtex(entry.key).startswith(f"@inproceedings{{{entry.key},")
    assert entry.title


def test_listing_the_catalogue_loads_no_torch() -> None:
    code = "import sys; from vizkit.catalog import architectures; architectures(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ).stdout == "False\n"


# ------------------------------------------------------------------------------------------------ architectures


@EVERY_ARCHITECTURE
def test_an_architecture_is_built_and_says_where_its_parts_are(entry: Architecture) -> None:
    with torch.device("meta"):
        built = entry.build()
        small = entry.build(7)
    for network, classes in ((built, entry.classes), (small, 7)):
        clip_of_shapes = torch.empty(1, 3, entry.frames, entry.size_px, entry.size_px, device="meta")
        assert network.eval()(clip_of_shapes).shape == (1, classes)
    stages = {stage.name for stage in built.stages}  # type: ignore[union-attr]
    for stage in built.stages:  # type: ignore[union-attr]
        built.get_submodule(stage.path)
    for block in built.blocks:  # type: ignore[union-attr]
        assert block.stage in stages
        assert callable(built.get_submodule(block.path).neutral)
    assert bool(built.blocks) == (bool(entry.module) or entry.name in BLOCKS_OF_NO_PAPER)
    assert entry.sampling.total_frames == entry.frames
    assert count_parameters(built, weights_only=True) < count_parameters(built)


@EVERY_ARCHITECTURE
def test_an_architecture_runs_and_its_stages_have_the_geometry_it_says(entry: Architecture) -> None:
    network = narrow(entry)
    run = probe(network, world().clip)
    assert run.prediction.logits.shape == (5,)
    assert set(run.taps) == {part.name for part in (*network.stages, *network.blocks)}
    for stage in network.stages:
        channels, frames, height, width = run.taps[stage.name].after.shape
        grid = stage.grid((frames, height, width))
        assert channels == stage.channels
        assert frames == -(-4 // stage.stride_frames)
        last = grid.centre_px(np.array([width - 1, height - 1]))
        assert (last < 64).all()
        assert (last + stage.stride_px > 63 - stage.stride_px).all()
    assert all(reason is True or isinstance(reason, str) for reason in available(network).values())
    if entry.module:
        assert available(network)[entry.module] is True


@EVERY_ARCHITECTURE
def test_an_unknown_option_lists_the_known_ones(entry: Architecture) -> None:
    known = ", ".join(list(inspect.signature(resolve(entry.builder)).parameters)[1:])
    with torch.device("meta"), pytest.raises(SettingError, match=f"no option 'widht'. Known: {known}"):
        entry.build(widht=4)


# ------------------------------------------------------------------------------------------------ views


@EVERY_VIEW
def test_an_unknown_parameter_lists_the_known_ones(entry: MotionModule) -> None:
    run = probe(narrow(own_architecture(entry)), world().clip)
    with pytest.raises(SettingError, match="'nonsense'") as told:
        analyze(entry.key, run, nonsense=1)
    assert all(name in told.value.message for name in resolve(entry.params).model_fields)


@EVERY_VIEW
def test_parameters_survive_json(entry: MotionModule) -> None:
    params = resolve(entry.params)()
    assert resolve(entry.params).parse(**json.loads(params.model_dump_json())) == params


@EVERY_VIEW
def test_a_result_is_what_every_view_offers(entry: MotionModule) -> None:
    result = result_of(entry.key)
    assert isinstance(result.params, resolve(entry.params))
    assert result.provenance.view == entry.key
    assert result.provenance.clip_digest == world().clip.digest
    assert json.loads(json.dumps(result.provenance.params)) == json.loads(result.params.model_dump_json())
    assert result.grid.shape[0] * result.grid.stride_frames == 4
    assert all(isinstance(word, str) and isinstance(shape, str) for word, shape in result.shapes)
    assert len(result.shapes) >= 3
    json.dumps(result.summary())
    for name, array in result.arrays().items():
        assert isinstance(array, np.ndarray), name
        assert array.dtype != object, name
        assert not np.isinf(array).any() if array.dtype.kind == "f" else True, name


@EVERY_VIEW
def test_the_same_input_gives_the_same_result(entry: MotionModule) -> None:
    first = result_of(entry.key)
    again = analyze(entry.key, probe(narrow(own_architecture(entry)), world().clip))
    assert list(first.arrays()) == list(again.arrays())
    assert all(same(first.arrays()[name], again.arrays()[name]) for name in first.arrays())
    assert first.summary() == again.summary()


@EVERY_VIEW
def test_another_clip_gives_another_result(entry: MotionModule) -> None:
    other = analyze(entry.key, probe(narrow(own_architecture(entry)), clip(2, side_px=64, frames=4).clip))
    first = result_of(entry.key)
    assert any(not same(first.arrays()[name], other.arrays()[name]) for name in first.arrays())


@EVERY_VIEW
def test_a_figure_is_made_of_the_result_alone(entry: MotionModule) -> None:
    result = result_of(entry.key)
    spec = draw(result)
    assert isinstance(spec, FigureSpec)
    assert all(same(spec.arrays[name], array) for name, array in result.arrays().items())
    assert spec.provenance == result.provenance
    assert set(result.notes) <= set(spec.notes)
    assert spec.recipe["view"] == entry.key
    assert spec.table is not None
    assert spec.table.rows
    assert all((spec.title, spec.caption, spec.alt))
    assert {panel.frame for panel in spec.panels} >= set(range(0, 4, result.grid.stride_frames))
    assert draw(result).table == spec.table
    with pytest.raises(SettingError, match="'nonsense'.*Known: "):
        draw(result, nonsense=1)


@EVERY_VIEW
def test_a_picture_of_known_motion_can_be_judged(entry: MotionModule) -> None:
    video, truth = open_source(world().clip.name)
    result = analyze(entry.key, probe(narrow(own_architecture(entry)), video))
    measured = judge(result, truth)
    assert measured
    limits = {"deg": 180.0, "px": np.inf}
    assert all(0 <= value <= limits.get(name.rpartition("_")[2], 1) for name, value in measured.items())
    assert judge(result, None) is None


@EVERY_VIEW
def test_only_a_clip_that_was_sampled_whole_is_judged(entry: MotionModule) -> None:
    truth = world().truth
    for sampling in (
        Sampling(segments=8, frames=8, short_side_px=64, crop_px=64),
        Sampling(segments=4, frames=4, short_side_px=48, crop_px=48),
        Sampling(segments=4, start_s=0.25, short_side_px=64, crop_px=64),
    ):
        network = narrow(own_architecture(entry), frames=sampling.total_frames)
        assert judge(analyze(entry.key, probe(network, world().clip, sampling=sampling)), truth) is None
    longer = clip(1, side_px=64, frames=8)
    assert judge(analyze(entry.key, probe(narrow(own_architecture(entry)), longer.clip)), longer.truth) is None


@EVERY_MODULE
def test_scores_are_named_after_the_view(entry: MotionModule) -> None:
    own = replace(narrow(own_architecture(entry)), sampling=Sampling(segments=4))
    found = step(entry, "score")(own, clips=1, seed=0)
    assert found
    for name, value in found.items():
        assert name.startswith(f"{entry.key}.")
        assert isinstance(value, Score)


@EVERY_MODULE
def test_a_network_with_the_modules_of_another_paper_has_no_scores_of_the_view(entry: MotionModule) -> None:
    for other in MODULES:
        if other.key != entry.key:
            assert step(entry, "score")(replace(narrow(step_architectures(other)[0]), sampling=Sampling()), clips=1, seed=0) == {}


@EVERY_VIEW
def test_a_network_of_another_kind_has_the_view_or_a_reason(entry: MotionModule) -> None:
    bare = replace(narrow(architecture("c2d-18")), stages=())
    reason = step(entry, "unavailable")(bare)
    if reason is None:
        assert analyze(entry.key, probe(bare, world().clip)).arrays()
    else:
        assert isinstance(reason, str)
        assert reason.endswith(".")
