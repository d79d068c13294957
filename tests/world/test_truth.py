"""The truth about motion, checked against the pixels."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.errors import SettingError
from vizkit.world import LABELS, Truth, WorldClip, clip
from vizkit.world.paint import PaintedScene, paint_frames, paint_layers
from vizkit.world.scene import ACTOR, OCCLUDER, Scene, draw_scene
from vizkit.world.truth import measure_truth, object_map

SIDE = 112


@cache
def plain(label: int) -> WorldClip:
    return clip(1, label=label, side_px=SIDE, nuisances=False)


def scene_without_sensor(index: int, frames: int = 8, **changes: object) -> Scene:
    """All nuisances but those that change colours: pan, shake, bystanders, occluders."""
    scene = draw_scene(index, **{"split": "test", "seed": 0, "label": None, "frames": frames, "nuisances": True, **changes})  # type: ignore[arg-type]
    scene.blur_px, scene.sensor, scene.gain = 0.0, 0.0, np.ones(frames, np.float32)
    return scene


def painted(scene: Scene, side_px: int = SIDE) -> tuple[np.ndarray, Truth]:
    """uint8 [T, S, S, 3] and the truth."""
    layers = paint_layers([scene], side_px)
    return paint_frames(layers, [scene])[0].permute(0, 2, 3, 1).numpy(), measure_truth(layers)


# ------------------------------------------------------------------------------------------------ flow


def warp_errors(frames: np.ndarray, truth: Truth) -> tuple[float, float]:
    """Mean absolute error, in grey levels outside ``occluded``, of frame t + 1 read at the flow's ends, and of frame t + 1 itself."""
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float()  # [T, 3, H, W]
    side = frames.shape[1]
    y, x = np.mgrid[:side, :side]
    ends = torch.from_numpy(np.stack([x, y], -1) + truth.flow_px).float()
    warped = F.grid_sample(pictures[1:], (ends + 0.5) * 2 / side - 1, padding_mode="border", align_corners=False)
    seen = torch.from_numpy(~truth.occluded)[:, None].expand_as(warped)
    return float((warped - pictures[:-1])[seen].abs().mean()), float((pictures[1:] - pictures[:-1])[seen].abs().mean())


@pytest.mark.parametrize("label", range(16), ids=LABELS.__getitem__)
def test_flow_brings_the_next_frame_back(label: int) -> None:
    warped, unmoved = warp_errors(plain(label).clip.preview, plain(label).truth)
    assert warped < 2
    assert warped <= max(0.5 * unmoved, 0.01)  # nothing moves: both are zero


def test_flow_explains_three_quarters_of_the_change_with_pan_shake_and_bystanders() -> None:
    errors = np.mean([warp_errors(*painted(scene_without_sensor(index))) for index in range(16)], axis=0)
    assert errors[0] < 2
    assert errors[0] < errors[1] / 4


def test_flow_holds_in_the_longest_and_smallest_clips() -> None:
    """The camera leaves the background's canvas, which goes on mirrored and as stiff as before."""
    for index in (0, 14):
        frames, truth = painted(scene_without_sensor(index, frames=128), side_px=32)
        background = truth.object_id[:-1] == 0
        shown = Truth(truth.flow_px, truth.occluded | ~background, truth.object_id, truth.moving, truth.camera, truth.painted)
        assert warp_errors(frames, shown)[0] < 2, LABELS[index]


def test_the_camera_moves_every_pixel_alike_and_nothing_relative_to_the_background() -> None:
    for index in range(3):
        truth = clip(index, label="the camera moves", side_px=SIDE).truth
        steps = truth.flow_px[:, 0, 0]
        assert np.allclose(truth.flow_px, steps[:, None, None], atol=1e-3)
        assert np.allclose(steps, steps[0], atol=1e-3)
        assert np.hypot(*steps[0]) >= 0.01 * SIDE - 1e-3
        assert not truth.moving.any()
        assert np.allclose(np.diff(truth.camera[:, :, 2], axis=0), steps, atol=1e-3)


def test_where_nothing_moves_nothing_moves() -> None:
    truth = clip(0, label="nothing moves", side_px=SIDE).truth
    assert np.abs(truth.flow_px).max() < 1e-3
    assert not truth.moving.any()
    assert not truth.occluded.any()


def test_the_camera_is_the_motion_of_the_background() -> None:
    truth = clip(3, side_px=SIDE).truth  # a pan goes on
    for t, step in enumerate(np.diff(truth.camera[:, :, 2], axis=0)):
        behind = truth.object_id[t] == 0
        assert np.allclose(truth.flow_px[t][behind], step, atol=1e-3)
    assert np.abs(truth.camera[-1, :, 2]).max() > 0.5
    assert truth.camera[0].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_moving_is_what_moves_relative_to_the_background() -> None:
    """Pan and shake go on; pixels of the actor move, those of the background and of bystanders do not."""
    for index in (0, 2, 8):
        truth = clip(index, side_px=SIDE).truth
        assert not truth.moving[truth.object_id == 0].any()
        assert truth.moving[truth.object_id == ACTOR].all()
        relative = truth.flow_px - np.diff(truth.camera[:, :, 2], axis=0)[:, None, None]
        assert np.array_equal(truth.moving[:-1], np.hypot(relative[..., 0], relative[..., 1]) > 0.25)
        assert truth.moving[-1].any()


# ------------------------------------------------------------------------------------------------ objects


@pytest.mark.parametrize("index", range(0, 14, 3))
def test_object_id_marks_the_pixels_that_the_thing_paints(index: int) -> None:
    scene = scene_without_sensor(index)
    frames, truth = painted(scene)
    scene.present[ACTOR] = False
    without, _ = painted(scene)
    difference = np.abs(frames.astype(int) - without).max(-1)
    shown = truth.object_id == ACTOR
    near = F.max_pool2d(torch.from_numpy(shown).float(), 7, 1, 3).bool().numpy()
    assert shown.any(axis=(1, 2)).all()
    assert difference[shown].mean() > 30
    assert difference[~near].max() <= 1
    assert (difference[shown] > 2).mean() > 0.95


def test_object_id_is_read_row_by_row() -> None:
    """The actor of a plain clip stands where its track says: x along columns, y along rows."""
    for label in (0, 2, 12):
        world = plain(label)
        track = (world.truth.painted.place[0, ACTOR].numpy() * SIDE) - 0.5
        for t, (x, y) in enumerate(track):
            rows, columns = np.nonzero(world.truth.object_id[t] == ACTOR)
            assert columns.mean() == pytest.approx(x, abs=6)
            assert rows.mean() == pytest.approx(y, abs=6)


def test_the_object_map_of_a_batch_is_that_of_its_clips() -> None:
    scenes = [scene_without_sensor(index) for index in (3, 9)]
    together = object_map(paint_layers(scenes, 48))
    for row, scene in enumerate(scenes):
        assert np.array_equal(together[row].numpy(), painted(scene, 48)[1].object_id)


# ------------------------------------------------------------------------------------------------ tracks


def drawn_points(truth: Truth, count: int, last: int) -> np.ndarray:
    """[N, 3] (t, x, y): half anywhere, half on things."""
    rng = np.random.default_rng(0)
    frames, side, _ = truth.object_id.shape
    anywhere = np.column_stack([rng.integers(frames - last, size=count), *rng.integers(side, size=(2, count))])
    t, y, x = rng.permutation(np.argwhere(truth.object_id[: frames - last] > 0))[:count].T
    return np.concatenate([anywhere, np.column_stack([t, x, y])])


@pytest.mark.parametrize("index", range(0, 16, 3))
def test_one_step_of_a_track_is_the_flow(index: int) -> None:
    truth = clip(index, side_px=SIDE).truth
    points = drawn_points(truth, 200, last=1)
    t, x, y = points.T
    xy, visible = truth.tracks(points)
    rows = np.arange(len(points))
    assert np.allclose(xy[rows, t], points[:, 1:], atol=2e-3)
    assert np.allclose(xy[rows, t + 1] - points[:, 1:], truth.flow_px[t, y, x], atol=4e-3)
    assert np.array_equal(visible[rows, t + 1], ~truth.occluded[t, y, x])


def behind_a_bar() -> Scene:
    """A thing moves left behind a still upright bar while the camera pans; its centre passes under the bar in frame 4 of 9."""
    scene = draw_scene(0, split="test", seed=0, label=0, frames=9, nuisances=False)
    scene.stroked[ACTOR], scene.present[OCCLUDER], scene.stroked[OCCLUDER] = False, True, True
    scene.place[OCCLUDER], scene.reach[OCCLUDER], scene.turn[OCCLUDER] = scene.place[ACTOR, 4], 0.3, 0.0
    scene.stroke[OCCLUDER] = np.array([0.0, -0.8, 0.0, 0.8, 0.12])
    scene.camera_px[:] = np.arange(9)[:, None] * np.array([0.5, -0.25])
    return scene


def test_a_track_goes_on_exactly_behind_what_covers_it() -> None:
    scene = behind_a_bar()
    _, truth = painted(scene)
    centre = scene.place[ACTOR] * SIDE + scene.camera_px - 0.5
    for t in (0, 8):
        xy, visible = truth.track(t, centre[t])
        assert np.allclose(xy, centre, atol=2e-3)
        assert visible[[0, 8]].all()
        assert not visible[4]
        changes = np.flatnonzero(np.diff(visible.astype(int)))
        assert len(changes) == 2  # covered once


def test_occluded_says_where_the_surface_disappears() -> None:
    _, truth = painted(behind_a_bar())
    covered = truth.occluded[:-1] & (truth.object_id[:-2] == ACTOR)
    ends = np.argwhere(covered)
    assert len(ends) > 50
    for t, y, x in ends[::10]:
        to = np.rint(np.array([x, y]) + truth.flow_px[t, y, x]).astype(int)
        around = truth.object_id[t + 1, max(to[1] - 1, 0) : to[1] + 2, max(to[0] - 1, 0) : to[0] + 2]
        assert (around == OCCLUDER).any()


def test_a_point_that_leaves_the_frame_is_not_visible_there() -> None:
    truth = clip(0, label="the camera moves", side_px=SIDE).truth
    step = truth.flow_px[0, 0, 0]
    corner = (0 if step[0] < 0 else SIDE - 1, 0 if step[1] < 0 else SIDE - 1)
    xy, visible = truth.track(0, corner)
    inside = ((xy > -0.5) & (xy < SIDE - 0.5)).all(1)
    assert visible[0]
    assert not inside[-1]
    assert not visible[~inside].any()


def test_tracks_of_rotation_and_growth_are_similarities() -> None:
    """Distances within a turning thing stay, those within a growing one grow, and both about a still centre."""
    for label, grows in (("rotating clockwise", False), ("approaching", True)):
        truth = clip(2, label=label, side_px=SIDE, nuisances=False).truth
        y, x = np.nonzero(truth.object_id[0] == ACTOR)
        xy, _ = truth.tracks(np.column_stack([np.zeros(len(x)), x, y]))
        centre = truth.painted.place[0, ACTOR, 0].numpy() * SIDE - 0.5
        reach = np.linalg.norm(xy - centre, axis=-1)
        ratio = reach[:, -1] / reach[:, 0]
        assert np.allclose(ratio, ratio[0], rtol=1e-2)
        assert (ratio[0] > 1.6) if grows else (ratio[0] == pytest.approx(1, abs=1e-3))


@pytest.mark.parametrize("point", [(-1, 0, 0), (8, 0, 0), (0, -0.6, 0), (0, 0, SIDE - 0.5), (0, SIDE, 0), (0, float("nan"), 0)])
def test_a_point_outside_the_clip_is_refused(point: tuple[int, float, float]) -> None:
    t, x, y = point
    with pytest.raises(SettingError, match="lies outside the clip"):
        plain(0).truth.track(t, (x, y))


def test_canvas_and_frame_positions_are_each_others_inverse() -> None:
    layers: PaintedScene = plain(6).truth.painted
    xy = torch.rand(1, 50, 2)
    frame = torch.randint(8, (1, 50))
    layer = torch.randint(6, (1, 50))
    assert torch.allclose(layers.to_frame(layers.to_canvas(xy, layer, frame), layer, frame), xy, atol=1e-5)
