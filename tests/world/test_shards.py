"""Clips that were rendered once are the clips that would be rendered again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vizkit.learn.objective import cell_steps
from vizkit.net.backbones.resnet import FrameResNet
from vizkit.world import render
from vizkit.world.shards import SHARD_CLIPS, WorldClips, WorldShards
from vizkit.world.truth import follow, object_map

SMALL = WorldClips(frames=3, side_px=32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> WorldShards:
    made = WorldShards(SMALL, tmp_path_factory.mktemp("shards"))
    assert made.prepare(SHARD_CLIPS + 1) == 2 * SHARD_CLIPS
    return made


def test_what_is_read_is_what_is_rendered(shards: WorldShards) -> None:
    indices = [70, 3, 127, 64]
    read, rendered = shards.batch(indices), render(indices, frames=3, side_px=32)
    assert torch.equal(read.frames, rendered.frames)
    assert torch.equal(read.labels, rendered.labels)
    assert torch.equal(object_map(read.scenes), object_map(rendered.scenes))
    points, frame = torch.rand(4, 20, 2) * 31, torch.randint(0, 3, (4, 20))
    for got, wanted in zip(follow(read.scenes, frame, points), follow(rendered.scenes, frame, points), strict=True):
        assert torch.equal(got, wanted)
    stage = FrameResNet(18, 2, width=4, stem="5x5/2").stages[2]
    for got, wanted in zip(cell_steps(read.scenes, stage, 4), cell_steps(rendered.scenes, stage, 4), strict=True):
        assert torch.equal(got, wanted)


def test_nothing_is_rendered_twice(shards: WorldShards) -> None:
    files = {path: path.stat().st_mtime_ns for path in shards.folder.iterdir()}
    assert WorldShards(SMALL, shards.root).prepare(SHARD_CLIPS) == 0
    assert {path: path.stat().st_mtime_ns for path in shards.folder.iterdir()} == files


@pytest.mark.parametrize("change", [{"seed": 1}, {"split": "test"}, {"frames": 4}, {"side_px": 33}, {"nuisances": False}, {"shake": 1}])
def test_other_clips_lie_in_another_folder(shards: WorldShards, change: dict[str, object]) -> None:
    assert WorldShards(WorldClips.parse(**{**SMALL.model_dump(), **change}), shards.root).folder != shards.folder


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_shard_that_is_missing_or_damaged_is_rendered_again(tmp_path: Path, shards: WorldShards, damage: str) -> None:
    own = WorldShards(SMALL, tmp_path)
    if damage == "cut":
        own.folder.mkdir()
        whole = (shards.folder / "00000.safetensors").read_bytes()
        (own.folder / "00000.safetensors").write_bytes(whole[: len(whole) // 2])
    assert torch.equal(own.batch([5]).frames, shards.batch([5]).frames)
    assert (own.folder / "00000.safetensors").read_bytes() == (shards.folder / "00000.safetensors").read_bytes()


def test_workers_render_the_same_bytes(tmp_path: Path, shards: WorldShards) -> None:
    ready: list[tuple[int, int]] = []
    own = WorldShards(SMALL, tmp_path)
    own.prepare(2 * SHARD_CLIPS, workers=2, report=lambda done, total: ready.append((done, total)))
    assert ready == [(1, 2), (2, 2)]
    for path in shards.folder.iterdir():
        assert (own.folder / path.name).read_bytes() == path.read_bytes(), path.name
