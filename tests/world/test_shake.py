"""Camera jitter on demand: exact in the truth, and nothing else changes."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import numpy as np
import pytest
import torch

from vizkit.world import LABELS, clip, clip_at, render
from vizkit.world.paint import paint_frames, paint_layers
from vizkit.world.scene import Scene, draw_scene

SIDE, FRAMES, SHAKE = 64, 6, 2
PIXELS = [
    57, 87, 88, 70, 105, 72, 47, 108, 93, 110, 93, 111, 104, 103, 103, 145,
    52, 77, 88, 67, 109, 69, 6, 94, 90, 103, 88, 113, 108, 90, 101, 153,
    45, 82, 76, 74, 98, 56, 55, 90, 89, 102, 89, 122, 110, 84, 99, 132,
]  # fmt: skip


def drawn(index: int, shake: int, *, label: int | None = None, nuisances: bool = True) -> Scene:
    return draw_scene(index, split="test", seed=0, label=label, frames=FRAMES, nuisances=nuisances, shake=shake)


def parts_of(scene: Scene) -> dict[str, list[object]]:
    """Everything that was drawn, by name."""
    values = {field.name: getattr(scene, field.name) for field in fields(scene)}
    return {name: value if isinstance(value, list) else [value] for name, value in values.items()}


def jitter_of(index: int, shake: int = SHAKE, label: int | None = None) -> np.ndarray:
    """[T, 2] by how many pixels every frame is moved."""
    return drawn(index, shake, label=label).camera_px - drawn(index, 0, label=label).camera_px


def test_without_shake_the_world_is_what_it_was() -> None:
    """Recorded before there was a shake: all draws of 16 scenes to nine digits, and pixels of a clip."""
    digest = hashlib.sha256()
    for index in range(16):
        for parts in parts_of(draw_scene(index, split="test", seed=0, label=None, frames=8, nuisances=True)).values():
            for part in parts:
                digest.update((np.round(np.asarray(part, np.float64), 9) + 0.0).tobytes())
    assert digest.hexdigest() == "56f624a2a43bbaba1ee39f58cc3a5f54cf6dac21701d5833f934867da755ddf1"
    pixels = clip(3, side_px=SIDE, seed=1).clip.preview[::3, ::21, ::21, 1].astype(int)
    assert np.abs(pixels.ravel() - PIXELS).max() <= 1


def test_shake_draws_whole_pixels_for_every_frame_and_nothing_else() -> None:
    for index in range(8):
        still, shaken = (parts_of(drawn(index, shake)) for shake in (0, SHAKE))
        for name in still.keys() - {"camera_px"}:
            assert all(np.array_equal(*pair) for pair in zip(still[name], shaken[name], strict=True)), name
    moved = np.stack([jitter_of(index) for index in range(40)])
    assert np.allclose(moved, np.rint(moved), atol=1e-12)
    assert set(np.rint(moved).astype(int).ravel()) == {-2, -1, 0, 1, 2}
    assert abs(np.corrcoef(moved[..., 0].ravel(), moved[..., 1].ravel())[0, 1]) < 0.2
    assert abs(np.corrcoef(moved[:, 1:].ravel(), moved[:, :-1].ravel())[0, 1]) < 0.2  # frames are drawn apart


@pytest.mark.parametrize("index", [0, 14, 15])
def test_a_shaken_frame_is_the_same_frame_moved(index: int) -> None:
    """Also where the label says that the camera stands still."""
    pictures = []
    for shake in (0, SHAKE):
        scene = drawn(index, shake, nuisances=False)
        pictures.append(paint_frames(paint_layers([scene], SIDE), [scene])[0].numpy().astype(int))
    inner = np.arange(4, SIDE - 4)
    for t, (x, y) in enumerate(np.rint(jitter_of(index)).astype(int)):
        moved = pictures[1][t][:, inner[:, None] + y, inner + x]
        assert np.abs(moved - pictures[0][t][:, inner[:, None], inner]).max() <= 1, LABELS[index]
    assert not np.array_equal(*pictures)


@pytest.mark.parametrize("index", [3, 10, 15])
def test_flow_and_tracks_and_camera_hold_the_jitter_exactly(index: int) -> None:
    still, shaken = (clip(index, frames=FRAMES, side_px=SIDE, shake=shake).truth for shake in (0, SHAKE))
    jitter = jitter_of(index)
    assert np.allclose(shaken.camera[:, :, 2] - still.camera[:, :, 2], jitter - jitter[0], atol=1e-3)
    xy, _ = still.track(2, (30, 24))
    moved, _ = shaken.track(2, tuple(np.array([30, 24]) + jitter[2]))
    assert np.allclose(moved - xy, jitter, atol=5e-3)
    inner = np.arange(4, SIDE - 4)
    for t, step in enumerate(np.diff(jitter, axis=0)):
        x, y = np.rint(jitter[t]).astype(int)
        rows, columns = inner[:, None] + y, inner + x
        difference = shaken.flow_px[t, rows, columns] - still.flow_px[t, inner[:, None], inner]
        same = shaken.object_id[t, rows, columns] == still.object_id[t, inner[:, None], inner]
        assert np.allclose(difference[same], step, atol=1e-2)
        assert same.mean() > 0.99
        assert np.array_equal(shaken.moving[t, rows, columns][same], still.moving[t, inner[:, None], inner][same])


def test_one_member_of_a_shaken_pair_is_the_other_one_backwards() -> None:
    assert np.allclose(jitter_of(5, label=0), jitter_of(5, label=1)[::-1])


def test_a_shaken_batch_holds_the_clips_of_its_addresses() -> None:
    batch = render([4, 15], split="test", frames=3, side_px=48, shake=1)
    for row, index in enumerate((4, 15)):
        alone = clip_at(f"world:test:{index}:frames=3,side_px=48,shake=1")
        assert alone.clip.name == f"world:test:{index}:frames=3,side_px=48,shake=1"
        assert np.array_equal(batch.frames[row].permute(0, 2, 3, 1).numpy(), alone.clip.preview)
    assert not torch.equal(batch.frames, render([4, 15], split="test", frames=3, side_px=48).frames)
