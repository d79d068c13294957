"""Objectives against the truth of the clips that they learn from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.contracts import Stage
from vizkit.errors import SettingError
from vizkit.learn.config import Followed
from vizkit.learn.objective import (
    STEP_SIDES,
    Classify,
    ClassifyAndFollow,
    Dense,
    cell_centres,
    cell_layers,
    cell_steps,
    match_loss,
    segment_steps,
)
from vizkit.motion.pwtp.network import build_pwtp
from vizkit.net.backbones.resnet import FrameResNet
from vizkit.world import WorldBatch, render
from vizkit.world.paint import PaintedScene
from vizkit.world.truth import Truth, measure_truth

STAGE = Stage("res3", "layer2", 8, 4.0, 1, 0.0)
SHIFTED = Stage("res3", "layer2", 8, 4.0, 1, 1.0)
SIDE_PX, SIDE = 64, 16


@pytest.fixture(scope="module")
def batch() -> WorldBatch:
    """One clip of every class, with all nuisances."""
    return render(range(16), split="test", frames=3, side_px=SIDE_PX)


def truth_of(index: int) -> Truth:
    return measure_truth(render([index], split="test", frames=3, side_px=SIDE_PX).scenes)


# ------------------------------------------------------------------------------------------------ cells


def test_centres_are_those_of_the_grid_in_frame_sides() -> None:
    centres = cell_centres(SHIFTED, SIDE, SIDE_PX, torch.device("cpu")).view(SIDE, SIDE, 2)
    assert centres[2, 5].tolist() == pytest.approx([(1 + 5 * 4 + 0.5) / 64, (1 + 2 * 4 + 0.5) / 64])


@pytest.mark.parametrize("stage", [STAGE, SHIFTED])
def test_layers_of_cells_are_the_objects_seen_at_their_centres(batch: WorldBatch, stage: Stage) -> None:
    layers = cell_layers(batch.scenes, stage, SIDE)
    first = int(stage.origin_px)
    for index in (0, 8, 11):
        assert np.array_equal(layers[index].numpy(), truth_of(index).object_id[:, first::4, first::4])


def test_steps_of_cells_are_the_flow_less_that_of_the_camera(batch: WorldBatch) -> None:
    steps, layers = cell_steps(batch.scenes, SHIFTED, SIDE)
    for index in (0, 6, 13):  # pan and shake go on
        truth = truth_of(index)
        relative = truth.flow_px[:, 1::4, 1::4] - np.diff(truth.camera[:, :, 2], axis=0)[:, None, None]
        assert np.allclose(steps[index].numpy() * STEP_SIDES * SIDE_PX, relative.reshape(-1, 2), atol=5e-3)
        assert np.array_equal(layers[index].numpy(), truth.object_id[:-1, 1::4, 1::4].reshape(-1))
    assert float(steps[14:].abs().max()) < 1e-4  # the camera alone, and nothing


def test_steps_into_a_frame_come_from_where_its_cells_were_before(batch: WorldBatch) -> None:
    """The truth's tracks know both ways; a leap's motion into a frame is not the one out of it."""
    side, moved = SIDE_PX // 4, []
    steps, layers = cell_steps(batch.scenes, STAGE, side, "into")
    for index in (0, 6, 13):
        truth = truth_of(index)
        cells = [(t, x, y) for t in (1, 2) for y in range(0, SIDE_PX, 4) for x in range(0, SIDE_PX, 4)]
        tracks, _ = truth.tracks(np.array(cells))
        frame = np.array(cells)[:, 0]
        rows = np.arange(len(cells))
        wanted = tracks[rows, frame] - tracks[rows, frame - 1] - (truth.camera[frame, :, 2] - truth.camera[frame - 1, :, 2])
        found = steps[index].numpy() * STEP_SIDES * SIDE_PX
        assert np.allclose(found, wanted, atol=5e-3)
        assert np.array_equal(layers[index].numpy(), truth.object_id[1:, ::4, ::4].reshape(-1))
        moved.append(float(np.abs(wanted).max()))
    assert min(moved) > 1
    out, _ = cell_steps(batch.scenes, STAGE, side)
    assert not np.allclose(steps[13], out[13], atol=0.1)


# ------------------------------------------------------------------------------------------------ matching


def surface_features(scenes: PaintedScene, stage: Stage) -> torch.Tensor:
    """[B*T, D, h, w] unit features that say which point of which layer's canvas is seen: the same in every frame."""
    batch, _, frames, _ = scenes.place.shape
    centres = cell_centres(stage, SIDE, SIDE_PX, scenes.place.device)
    xy = centres.repeat(frames, 1)[None].expand(batch, -1, -1)
    frame = torch.arange(frames).repeat_interleave(len(centres)).expand(batch, -1)
    layer = scenes.top_layer(xy, frame)
    canvas = scenes.to_canvas(xy, layer, frame) * scenes.reach[:, 0, 0].view(-1, 1, 1)
    reach = scenes.reach[torch.arange(batch)[:, None], layer, 0][..., None]
    place = torch.cat([canvas * reach * 4, layer[..., None].float()], -1)  # about one unit per quarter of the frame
    directions = torch.randn(3, 256, generator=torch.Generator().manual_seed(0)) * 6
    waves = torch.cat([torch.cos(place @ directions), torch.sin(place @ directions)], -1)
    return F.normalize(waves, dim=-1).view(batch * frames, SIDE, SIDE, -1).permute(0, 3, 1, 2)


def test_features_of_the_surface_itself_find_the_true_cells(batch: WorldBatch) -> None:
    torch.manual_seed(0)
    cells = cell_layers(batch.scenes, STAGE, SIDE)
    features = surface_features(batch.scenes, STAGE)
    loss, found = match_loss(features, cells, batch.scenes, STAGE)
    assert found > 0.85
    chance, nothing = match_loss(F.normalize(torch.randn_like(features), dim=1), cells, batch.scenes, STAGE)
    assert nothing < 0.05
    assert float(loss) < float(chance) / 2


def test_the_next_frame_and_not_the_one_before_is_matched_at_its_place() -> None:
    """The camera moves every cell: with frames in reverse order, or with x and y swapped, the true cell is not the nearest."""
    torch.manual_seed(0)
    moving = render(range(4), split="test", label=14, frames=3, side_px=SIDE_PX, nuisances=False)
    cells = cell_layers(moving.scenes, STAGE, SIDE)
    features = surface_features(moving.scenes, STAGE)
    reverse = features.unflatten(0, (4, 3)).flip(1).flatten(0, 1)
    found, backwards, swapped = (match_loss(maps, cells, moving.scenes, STAGE)[1] for maps in (features, reverse, features.transpose(2, 3)))
    assert found > 0.9
    assert backwards < 0.1
    assert swapped < 0.3


# ------------------------------------------------------------------------------------------------ losses


def test_cross_entropy_and_the_share_of_right_answers(batch: WorldBatch) -> None:
    class Says(torch.nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return F.one_hot(batch.labels % 8, 16).float() * 3

    loss, numbers = Classify().loss(Says(), torch.zeros(16, 3, 3, 8, 8), batch)
    assert numbers == {"accuracy": 0.5}
    rest = 15 + math.exp(3)
    assert float(loss) == pytest.approx(0.5 * math.log(rest / math.exp(3)) + 0.5 * math.log(rest), rel=1e-5)


@pytest.mark.parametrize("kind", ["dense", "follow"])
def test_gradients_reach_every_weight_that_the_objective_needs(batch: WorldBatch, kind: str) -> None:
    torch.manual_seed(0)
    network = FrameResNet(18, 16, width=4, stem="5x5/2", dropout=0.0)
    objective = Dense(network.stages) if kind == "dense" else ClassifyAndFollow(network.stages)
    loss, numbers = objective.loss(network, (batch.frames.transpose(1, 2).float() - 128) / 64, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    without = {name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert without == ({"fc.weight", "fc.bias"} if kind == "dense" else set())
    assert all(weight.grad is not None for weight in objective.heads.parameters())
    assert set(numbers) == ({"found_res2", "found_res3", "found_res4"} if kind == "dense" else {"accuracy", "alignment"})


def test_cells_of_segments_go_from_their_first_frame_to_their_last() -> None:
    """Two segments of four frames; the truth follows what each cell sees in frames 2 and 6."""
    stage, moved = Stage("res4", "layer3", 8, 8.0, 4, 0.0), []
    for index in (0, 4, 12):  # left, nearer, a fall
        scenes = render([index], split="test", frames=8, side_px=SIDE_PX).scenes
        truth, side = measure_truth(scenes), SIDE_PX // 8
        steps, layer = segment_steps(scenes, stage, side)
        cells = [(x, y) for y in range(0, SIDE_PX, 8) for x in range(0, SIDE_PX, 8)]
        for segment, found in enumerate(steps.view(2, -1, 2)):
            middle, first, last = 4 * segment + 2, 4 * segment, 4 * segment + 3
            tracks, _ = truth.tracks(np.array([[middle, *cell] for cell in cells]))
            camera = truth.camera[last, :, 2] - truth.camera[first, :, 2]
            wanted = (tracks[:, last] - tracks[:, first] - camera) / SIDE_PX / STEP_SIDES
            assert np.allclose(found.numpy(), wanted, atol=1e-3)
            moved.append(float(np.abs(wanted).max()))
        assert layer.shape == (1, 2 * side * side)
    assert max(moved) > 0.5


def test_networks_that_see_segments_follow_them() -> None:
    batch = render(range(2), frames=8, side_px=32)
    torch.manual_seed(0)
    network = build_pwtp(16, backbone="resnet", depth=18, frames=4, width=4, stem="5x5/2", dropout=0.0, initial="rank")
    objective = ClassifyAndFollow(network.stages)
    assert (objective.stage.name, objective.stage.stride_frames) == ("res4", 4)
    loss, numbers = objective.loss(network, (batch.frames.transpose(1, 2).float() - 128) / 64, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in network.parameters())
    assert set(numbers) == {"accuracy", "alignment"}


@pytest.mark.parametrize("followed", ["out", "into"])
def test_following_is_perfect_where_the_head_says_the_true_steps(batch: WorldBatch, followed: Followed) -> None:
    """A planted head: its answers are the truth of every cell of res4, and nothing for the frame that is not asked."""

    class Knows(torch.nn.Module):
        def __init__(self, way: Followed) -> None:
            super().__init__()
            self.way = way

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            side = features.shape[2]
            steps, _ = cell_steps(batch.scenes, stage, side, self.way)
            unasked = (0, 1) if self.way == "out" else (1, 0)
            known = F.pad(steps.view(16, 2, side, side, 2), (0, 0, 0, 0, 0, 0, *unasked))
            return known.flatten(0, 1).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    network = FrameResNet(18, 16, width=4, stem="5x5/2", dropout=0.0).eval()
    objective, stage = ClassifyAndFollow(network.stages, followed=followed), network.stages[2]
    clips = (batch.frames.transpose(1, 2).float() - 128) / 64
    objective.heads = Knows(followed)
    loss, numbers = objective.loss(network, clips, batch)
    assert numbers["alignment"] == pytest.approx(1.0, abs=1e-3)
    assert float(loss.detach()) == pytest.approx(float(F.cross_entropy(network(clips), batch.labels).detach()), abs=1e-5)
    objective.heads = Knows("into" if followed == "out" else "out")
    assert objective.loss(network, clips, batch)[1]["alignment"] < 0.9


def test_pictures_of_segments_have_no_frame_to_follow_into() -> None:
    network = build_pwtp(16, backbone="resnet", depth=18, frames=4, width=4, stem="5x5/2", dropout=0.0, initial="rank")
    with pytest.raises(SettingError, match="no stage has a time step for each frame") as told:
        ClassifyAndFollow(network.stages, followed="into")
    assert told.value.code == "followed"
