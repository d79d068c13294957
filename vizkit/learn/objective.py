"""What a run learns from: labels, or the world's own truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import LabelledClips, Stage
from vizkit.errors import SettingError
from vizkit.learn.config import Followed
from vizkit.learn.parallel import ALONE, Group
from vizkit.net.backbones.resnet import FrameResNet
from vizkit.world import WorldBatch
from vizkit.world.paint import PaintedScene

MATCHED_STAGES = 3
OBJECT_WEIGHT = 8.0
QUERIES = 64
TEMPERATURE = 0.1
PROJECTION = 32
FOLLOWED_STAGE = "res4"
STEP_SIDES = 0.03
FOLLOW_WEIGHT = 1.0


class Objective(ABC):
    """A loss with parameters of its own, if it needs any."""

    heads: nn.Module

    @abstractmethod
    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a batch, and numbers for the log."""

    def backward(self, loss: torch.Tensor, _step: int) -> dict[str, float]:
        """Fill the gradients; gives further numbers for the log."""
        loss.backward()
        return {}


def scenes_of(batch: LabelledClips) -> PaintedScene:
    """The truth about a batch.

    Raises:
        SettingError: nothing is known of its motion.
    """
    if not isinstance(batch, WorldBatch):
        raise SettingError(
            "The objectives 'follow' and 'dense' need known motion, which real clips have not; take 'classify'.", code="objective"
        )
    return batch.scenes


class Classify(Objective):
    """Cross-entropy on the labels."""

    def __init__(self) -> None:
        self.heads: nn.Module = nn.Module()

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy, and the share of right answers."""
        logits = network(clips).float()
        right = (logits.argmax(1) == batch.labels).float().mean()
        return F.cross_entropy(logits, batch.labels), {"accuracy": float(right)}


class ClassifyAndFollow(Objective):
    """Cross-entropy on the labels, and the true motion of every cell of res4 between frames, relative to the background.

    A label says one thing about a whole clip; the motion of the cells says where and how far, which is what lets small networks
    learn direction within minutes. Object cells count eight times as much; lengths are in units of ``STEP_SIDES``. Where res4 has
    fewer time steps than the clip has frames, the deepest stage above it that has all of them is followed. Where no stage has, as behind
    pictures of whole segments, res4 is followed from the first to the last frame of each segment.

    Args:
        stages: of the network.
        group: the processes that share a batch.
        followed: ``"out"``, from a cell's frame to the next, or ``"into"``, from the frame before; one frame at the end has none.

    Raises:
        SettingError: ``"into"`` where no stage has a time step for each frame.
    """

    def __init__(self, stages: tuple[Stage, ...], group: Group = ALONE, followed: Followed = "out") -> None:
        names = [stage.name for stage in stages]
        self.group, self.followed = group, followed
        shallow = stages[: names.index(FOLLOWED_STAGE) + 1]
        least = min(stage.stride_frames for stage in shallow)
        self.stage = [stage for stage in shallow if stage.stride_frames == least][-1]
        if followed == "into" and least > 1:
            raise SettingError("followed is 'into', but no stage has a time step for each frame; leave it out.", code="followed")
        self.heads: nn.Module = nn.Conv2d(self.stage.channels, 2, 1)

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """Sum of both losses; the share of right answers and the mean angle error of moving cells."""
        features, logits = self._run(network, clips)
        said = self.heads(features).float().unflatten(0, (len(clips), -1)).movedim(2, -1)  # [B, T, h, w, 2]
        if self.stage.stride_frames == 1:
            said = said[:, :-1] if self.followed == "out" else said[:, 1:]
            said, (step, layer) = said.flatten(1, 3), cell_steps(scenes_of(batch), self.stage, features.shape[2], self.followed)
        else:
            said, (step, layer) = said.flatten(1, 3), segment_steps(scenes_of(batch), self.stage, features.shape[2])
        weight = torch.where(layer > 0, OBJECT_WEIGHT, 1.0)
        distance = F.smooth_l1_loss(said, step, reduction="none").sum(-1)
        loss = F.cross_entropy(logits, batch.labels) + (distance * weight).sum() / self.group.mean(weight.sum()) * FOLLOW_WEIGHT
        moving = step.norm(dim=-1) > 0.25
        aligned = F.cosine_similarity(said[moving], step[moving], dim=-1).mean().nan_to_num()  # 0 where nothing moves
        right = (logits.argmax(1) == batch.labels).float().mean()
        return loss, {"accuracy": float(right), "alignment": round(float(aligned.detach()), 4)}

    def _run(self, network: nn.Module, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What leaves the followed stage, behind a module that stands after it, as [B*T, C, h, w], and the logits [B, classes]."""
        kept: list[Any] = []
        follower = f"after.{self.stage.name}"
        path = follower if follower in dict(network.named_modules()) else self.stage.path
        hook = network.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        try:
            logits = network(clips).float()
        finally:
            hook.remove()
        found = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
        return (found if found.ndim == 4 else found.transpose(1, 2).flatten(0, 1)), logits


def cell_steps(scenes: PaintedScene, stage: Stage, side: int, followed: Followed = "out") -> tuple[torch.Tensor, torch.Tensor]:
    """True motion of every cell, relative to the background, in units of ``STEP_SIDES``.

    Args:
        scenes: the layers.
        stage: whose cells.
        side: cells of a side.
        followed: ``"out"``: what the cells of frames 0..T-2 see goes on to the next frame; ``"into"``: what the cells of frames 1..T-1
            see has come from the frame before.

    Returns:
        steps [B, (T-1)*side*side, 2] and the layer seen at each cell [B, (T-1)*side*side].
    """
    batch, _, frames, _ = scenes.place.shape
    centres = cell_centres(stage, side, scenes.side_px, scenes.place.device)
    xy = centres.repeat(frames - 1, 1)[None].expand(batch, -1, -1)
    way = 1 if followed == "out" else -1
    frame = torch.arange(frames - 1, device=xy.device).repeat_interleave(len(centres)).expand(batch, -1) + (way < 0)
    layer = scenes.top_layer(xy, frame)
    there = scenes.to_frame(scenes.to_canvas(xy, layer, frame), layer, frame + way)
    behind = scenes.to_frame(scenes.to_canvas(xy, 0, frame), 0, frame + way)
    return (there - behind) * way / STEP_SIDES, layer


def segment_steps(scenes: PaintedScene, stage: Stage, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """True motion of what each cell sees in the middle frame of a segment, from its first frame to its last, in ``STEP_SIDES``.

    Returns:
        steps [B, S*side*side, 2], relative to the background, and the layer seen at each cell [B, S*side*side].
    """
    batch, _, frames, _ = scenes.place.shape
    length = int(stage.stride_frames)
    centres = cell_centres(stage, side, scenes.side_px, scenes.place.device)
    xy = centres.repeat(frames // length, 1)[None].expand(batch, -1, -1)
    first = torch.arange(0, frames // length * length, length, device=xy.device).repeat_interleave(len(centres)).expand(batch, -1)
    middle = first + length // 2
    layer = scenes.top_layer(xy, middle)

    def travel(on: int | torch.Tensor) -> torch.Tensor:
        canvas = scenes.to_canvas(xy, on, middle)
        return scenes.to_frame(canvas, on, first + length - 1) - scenes.to_frame(canvas, on, first)

    return (travel(layer) - travel(0)) / STEP_SIDES, layer


class Dense(Objective):
    """The dense start: object or not at every stage, and the true cell of the next frame at the first three. No labels.

    Cells whose surface point is visible in the next frame are drawn, object cells eight times as often; all other cells of
    the next frame are negatives (InfoNCE).
    """

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        self.heads: nn.Module = nn.ModuleDict(
            {f"object_{stage.name}": nn.Conv2d(stage.channels, 2, 1) for stage in stages}
            | {f"match_{stage.name}": nn.Conv2d(stage.channels, PROJECTION, 1) for stage in stages[:MATCHED_STAGES]}
        )

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """Sum of the object losses and the matching losses; the share of cells found at each stage."""
        if not isinstance(network, FrameResNet):
            raise TypeError("The dense start needs a frame-wise ResNet.")
        maps, scenes = network.features(clips), scenes_of(batch)
        total, numbers = clips.new_zeros(()), {}
        for level, stage in enumerate(self.stages):
            features = maps[stage.name]
            cells = cell_layers(scenes, stage, features.shape[2])
            scores = self.heads[f"object_{stage.name}"](features).float()  # type: ignore[index]
            total = total + F.cross_entropy(scores, (cells.flatten(0, 1) > 0).long())
            if level < MATCHED_STAGES:
                projected = F.normalize(self.heads[f"match_{stage.name}"](features).float(), dim=1)  # type: ignore[index]
                loss, found = match_loss(projected, cells, scenes, stage)
                total, numbers[f"found_{stage.name}"] = total + loss, found
        return total, numbers


def cell_centres(stage: Stage, side: int, side_px: int, device: torch.device) -> torch.Tensor:
    """[side*side, 2] centres of a stage's cells in frame sides."""
    axis = (stage.origin_px + torch.arange(side, device=device) * stage.stride_px + 0.5) / side_px
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def cell_layers(scenes: PaintedScene, stage: Stage, side: int) -> torch.Tensor:
    """[B, T, side, side] number of the layer seen at every cell's centre."""
    batch, _, frames, _ = scenes.place.shape
    centres = cell_centres(stage, side, scenes.side_px, scenes.place.device)
    xy = centres.repeat(frames, 1)[None].expand(batch, -1, -1)
    frame = torch.arange(frames, device=centres.device).repeat_interleave(len(centres)).expand(batch, -1)
    return scenes.top_layer(xy, frame).view(batch, frames, side, side)


def match_loss(projected: torch.Tensor, cells: torch.Tensor, scenes: PaintedScene, stage: Stage) -> tuple[torch.Tensor, float]:
    """InfoNCE between cells of frame t and their true places in frame t + 1.

    Args:
        projected: [B*T, D, h, w] unit features.
        cells: [B, T, h, w] layer at each cell's centre.
        scenes: the layers.
        stage: whose grid the cells are.

    Returns:
        The loss, and the share of drawn cells whose true place is the nearest in feature space.
    """
    batch, frames, side, _ = cells.shape
    now = cells[:, :-1].flatten(1)  # [B, (T-1)*h*w]
    centres = cell_centres(stage, side, scenes.side_px, cells.device)
    xy = centres.repeat(frames - 1, 1)[None].expand(batch, -1, -1)
    frame = torch.arange(frames - 1, device=cells.device).repeat_interleave(len(centres)).expand(batch, -1)
    there = scenes.to_frame(scenes.to_canvas(xy, now, frame), now, frame + 1)
    target = ((there * scenes.side_px - 0.5 - stage.origin_px) / stage.stride_px).round().long()
    seen = ((target >= 0) & (target < side)).all(-1) & (scenes.top_layer(there, frame + 1) == now)
    weight = seen * torch.where(now > 0, OBJECT_WEIGHT, 1.0)
    weight = weight.view(batch * (frames - 1), -1) + 1e-6
    drawn = torch.multinomial(weight, min(QUERIES, weight.shape[1]))
    place = (target[..., 1] * side + target[..., 0]).clamp(0, side * side - 1).view_as(weight)
    clip = projected.unflatten(0, (batch, frames)).flatten(3)  # [B, T, D, h*w]
    here = clip[:, :-1].flatten(0, 1).gather(2, drawn[:, None].expand(-1, clip.shape[2], -1))
    scores = torch.bmm(here.transpose(1, 2), clip[:, 1:].flatten(0, 1)) / TEMPERATURE  # [B*(T-1), Q, h*w]
    wanted, counts = place.gather(1, drawn), seen.view_as(weight).gather(1, drawn)
    loss = F.cross_entropy(scores.transpose(1, 2), wanted, reduction="none")[counts].mean()
    found = (scores.argmax(2) == wanted)[counts].float().mean()
    return loss, float(found)
