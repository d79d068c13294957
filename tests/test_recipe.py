"""A recipe makes the same figure again, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vizkit.checkpoint import checkpoint_folder, load_network
from vizkit.contracts import Sampling, VideoClip
from vizkit.errors import SettingError
from vizkit.figure.spec import FigureSpec
from vizkit.net.network import Network
from vizkit.net.probe import probe
from vizkit.pipeline import analyze, draw
from vizkit.recipe import load_recipe
from vizkit.render.write import encode
from vizkit.world import clip

SAMPLING = Sampling(segments=4, frames=4, short_side_px=48, crop_px=48)
OPTIONS: dict[str, Any] = {"num_classes": 3, "width": 4, "stem": "5x5/2", "widths": [8, 8], "last_gain": 1.0}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "defaults": ({}, {}, ()),
    "points": ({"points": [(1, 20.5, 30.0), (3, 4.0, 40.0)], "neighbors": 3, "metric": "joint"}, {}, ()),
    "look": ({"block": "res4.0"}, {"heat": False, "columns": 2, "shown": 3}, ()),
    "without": ({"block": "res4.1"}, {}, ("res3.0", "res4.0")),
    "stage": ({"block": "res2", "queries": 2}, {}, ()),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("cpnet-18", **OPTIONS)


def figure(
    network: Network, video: VideoClip, params: Mapping[str, Any], look: Mapping[str, Any], without: tuple[str, ...] = ()
) -> FigureSpec:
    return draw(analyze("cpnet", probe(network, video, sampling=SAMPLING, without=without), **params), **look)


def written(spec: FigureSpec, folder: Path) -> Path:
    path = folder / "recipe.json"
    path.write_bytes(encode(spec, "json"))
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_recipe_makes_the_same_bytes_again(network: Network, tmp_path: Path, case: str) -> None:
    spec = figure(network, clip(0, side_px=64, frames=4).clip, *CASES[case])
    again = load_recipe(written(spec, tmp_path)).run()
    for form in ("npz", "csv", "json"):
        assert encode(again, form) == encode(spec, form), form
    assert (again.caption, again.alt, again.notes, again.title) == (spec.caption, spec.alt, spec.notes, spec.title)
    assert len(again.links) == len(spec.links)
    for one, other in zip(again.links, spec.links, strict=True):
        assert np.array_equal(one.end_xy_px, other.end_xy_px)
        assert np.array_equal(one.weight, other.weight)
        assert one.label == other.label
    for panel, same in zip(again.panels, spec.panels, strict=True):
        assert (panel.title, panel.row, panel.column, len(panel.layers)) == (same.title, same.row, same.column, len(same.layers))


def test_options_that_are_zero_or_false_are_kept(tmp_path: Path) -> None:
    """position_weight=0 makes another metric; a recipe that forgets it draws another figure of the same weights."""
    network = load_network("cpnet-18", **OPTIONS, metric="joint", position_weight=0.0)
    spec = figure(network, clip(0, side_px=64, frames=4).clip, {}, {})
    assert encode(load_recipe(written(spec, tmp_path)).run(), "npz") == encode(spec, "npz")


def test_a_recipe_holds_names_and_digests_and_no_pixels(network: Network) -> None:
    video = clip(0, side_px=64, frames=4).clip
    recipe = figure(network, video, {"points": [(1, 2.0, 3.0)]}, {"heat": False}).recipe
    assert recipe["clip"] == {"name": video.name, "digest": video.digest}
    assert recipe["model"] == "cpnet-18"
    assert OPTIONS.items() <= recipe["arguments"].items()
    assert recipe["model_digest"] == network.digest
    assert recipe["sampling"] == SAMPLING.model_dump(mode="json")
    assert recipe["view"] == "cpnet"
    assert recipe["params"]["points"] == [[1, 2.0, 3.0]]
    assert recipe["look"] == {"heat": False}
    assert len(json.dumps(recipe)) < 4000


def test_a_clip_of_the_user_has_to_be_given(network: Network, tmp_path: Path) -> None:
    mine = replace(clip(0, side_px=64, frames=4).clip, name="mine.mp4")
    spec = figure(network, mine, {}, {})
    recipe = load_recipe(written(spec, tmp_path))
    with pytest.raises(SettingError, match=r"needs the clip 'mine\.mp4'") as told:
        recipe.run()
    assert told.value.code == "clip"
    assert encode(recipe.run(mine), "npz") == encode(spec, "npz")


def test_another_clip_is_drawn_and_told(network: Network, tmp_path: Path) -> None:
    recipe = load_recipe(written(figure(network, clip(0, side_px=64, frames=4).clip, {}, {}), tmp_path))
    other = clip(1, side_px=64, frames=4).clip
    again = recipe.run(other)
    assert any("another clip" in note for note in again.notes)
    assert again.provenance is not None
    assert again.provenance.clip == other.name


def test_other_weights_are_told(network: Network, tmp_path: Path) -> None:
    path = written(figure(network, clip(0, side_px=64, frames=4).clip, {}, {}), tmp_path)
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "arguments": {**values["arguments"], "seed": 5}}), encoding="utf-8")
    assert any("other weights" in note for note in load_recipe(path).run().notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "clip"),
        (b'{"colour": 1}', "Setting"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(SettingError, match=words):
        load_recipe(tmp_path / "r.json")
    with pytest.raises(SettingError, match="no readable recipe") as told:
        load_recipe(tmp_path / "none.json")
    assert told.value.code == "missing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version"),
        ({"sampling": {"segments": 0}}, "segments"),
        ({"model": "cpnet-99"}, "Unknown model"),
        ({"view": "none"}, "Unknown view"),
        ({"params": {"neighbours": 3}}, "neighbours"),
        ({"look": {"colour": "red"}}, "colour"),
        ({"without": ["res9.0"]}, "Unknown block"),
        ({"arguments": {"depht": 18}}, "depht"),
    ],
    ids=str,
)
def test_a_recipe_that_was_changed_says_what_is_wrong(network: Network, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = written(figure(network, clip(0, side_px=64, frames=4).clip, {}, {}), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    with pytest.raises(SettingError, match=words):
        load_recipe(path).run()


def test_a_network_from_a_folder_of_ones_own_is_given_to_its_recipe(tmp_path: Path) -> None:
    """A recipe holds names, never paths."""
    shutil.copytree(checkpoint_folder() / "cpnet-world", tmp_path / "mine")
    own = load_network(tmp_path / "mine")
    spec = draw(analyze("cpnet", probe(own, clip(0, split="demo").clip, sampling=SAMPLING), queries=1))
    (tmp_path / "figure.json").write_text(json.dumps(spec.recipe), encoding="utf-8")
    recipe = load_recipe(tmp_path / "figure.json")
    with pytest.raises(SettingError, match="Unknown model 'mine'"):
        recipe.run()
    again = recipe.run(network=own)
    assert all(np.array_equal(again.arrays[name], spec.arrays[name]) for name in spec.arrays)
