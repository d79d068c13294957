"""Objectives of networks with PWTP in front: ENoPR beside the labels, alone, or not at all.

Source: "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training", sections 3.4 and 3.5, table 5, appendix D.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.contracts import LabelledClips
from vizkit.errors import SettingError
from vizkit.learn.config import SMALLEST_SCALE, JointTraining, TrainingConfig
from vizkit.learn.objective import Classify, ClassifyAndFollow, Objective
from vizkit.motion.pwtp.network import Front, ProjectedNetwork
from vizkit.motion.pwtp.objective import enopr, joint_backward, scale_at


def require_front(network: nn.Module, config: TrainingConfig) -> ProjectedNetwork:
    """The network, if it has a projection in front that the config's clips fit.

    Raises:
        SettingError: it has none, or cuts clips into segments that do not divide ``frames``.
    """
    if not (isinstance(network, ProjectedNetwork) and isinstance(network.front, Front)):
        raise SettingError(
            f"objective is '{config.objective}', but {config.architecture} has no projection in front; take a pwtp architecture "
            "whose picture is 'dynamic appearance', or another objective.",
            code="objective",
        )
    segment = network.front.frames
    wrong = [frames for frames in (config.frames, *(phase.frames or segment for phase in config.phases)) if frames % segment]
    if wrong:
        raise SettingError(f"frames is {wrong[0]}, but segments of {segment} frames need a multiple of it.", code="frames")
    return network


class Joint(Objective):
    """Cross-entropy for the whole network (where asked for, the true motion of cells too), and ENoPR (rms) for the projection beside it."""

    def __init__(self, network: ProjectedNetwork, config: TrainingConfig) -> None:
        self.settings, self.steps = config.joint or JointTraining(), config.steps
        self.task: Objective = ClassifyAndFollow(network.stages) if self.settings.follow else Classify()
        self.heads: nn.Module = self.task.heads
        self.shared = list(network.front.parameters())
        self.own = [*network.norm.parameters(), *network.backbone.parameters(), *self.heads.parameters()]
        self._rest = torch.zeros(())

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of the task; its numbers and ENoPR."""
        loss, numbers = self.task.loss(network, clips, batch)
        self._rest = enopr(_residual(network, clips).float())
        return loss, numbers | {"enopr": round(float(self._rest.detach()), 5)}

    def backward(self, loss: torch.Tensor, step: int) -> dict[str, float]:
        """Gradients of both losses; gives the weight of ENoPR."""
        weight = joint_backward(
            loss, self._rest, shared=self.shared, own=self.own, scale=self._scale(step), normalized=self.settings.normalized
        )
        return {"weight": round(weight, 5)}

    def _scale(self, step: int) -> float | None:
        if self.settings.weighting == "schedule":
            return scale_at(step, self.steps, largest=self.settings.scale, gamma=self.settings.gamma, smallest=SMALLEST_SCALE)
        return self.settings.scale if self.settings.weighting == "constant" else None


class Separate(Objective):
    """ENoPR (rms) alone: the projection is trained, the backbone gets no gradient and no weight decay."""

    def __init__(self) -> None:
        self.heads: nn.Module = nn.Module()

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """ENoPR; batch's labels are not looked at."""
        rest = enopr(_residual(network, clips).float())
        return rest, {"enopr": round(float(rest.detach()), 5)}


class Behind(Objective):
    """Cross-entropy for everything behind the projection, which stays as it is, the statistics of its norms too."""

    def __init__(self, network: ProjectedNetwork) -> None:
        self.heads: nn.Module = nn.Module()
        network.front.requires_grad_(False)

    def loss(self, network: nn.Module, clips: torch.Tensor, batch: LabelledClips) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy; the share of right answers."""
        assert isinstance(network, ProjectedNetwork)
        network.front.eval()
        logits = _behind(network, network.front(clips))
        return F.cross_entropy(logits, batch.labels), {"accuracy": float((logits.argmax(1) == batch.labels).float().mean())}


def _residual(network: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """[B*S, C, T, H, W] of every segment."""
    assert isinstance(network, ProjectedNetwork)
    front = network.front
    assert isinstance(front, Front)
    return front.pwtp.separate(front.segments(clips))[1]


def _behind(network: nn.Module, appearance: torch.Tensor) -> torch.Tensor:
    """Logits [B, classes] of dynamic appearance [B, C, S, H, W]."""
    assert isinstance(network, ProjectedNetwork)
    logits: torch.Tensor = network.backbone(network.norm(appearance))
    return logits.float()
