"""What one picture of a clip says of its motion: table 5 in small, and static appearance that gives the label away.

A classifier of a few convolutions reads one picture of each clip, so that a direction has to be in the picture itself. Where nothing
but ENoPR is learned it is not: the best subspace of a pixel turns with the order of its frames, and what it leaves does not change.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from vizkit.contracts import ClaimSettings, Measured, Verdict
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.network import Front, Picture, SegmentPictures
from vizkit.motion.pwtp.objective import enopr, joint_backward
from vizkit.motion.pwtp.toy import small_classifier
from vizkit.net.fit import TESTED_AT_ONCE, Batch, Report, shuffled_batches
from vizkit.world import render
from vizkit.world.drift import DIRECTIONS_XY, FRAMES, drifting_patches

BATCH, PEAK_RATE, FRONT_RATE = 16, 1e-2, 2e-3
ENOPR, REVERSAL = ", ENoPR", ", likeness to its reversal"


class DirectionSettings(ClaimSettings):
    """How both claims are checked."""

    seeds: int = Field(3, ge=1, le=10)
    """How many seeds, from 0 on; a seed draws weights and clips."""


@dataclass(frozen=True)
class Weighing:
    """How the projection learns."""

    kind: Literal["labels", "separate", "joint"] = "joint"
    """``labels``: from the labels alone; ``separate``: from ENoPR alone, before the classifier; ``joint``: from both at once."""
    scale: float | None = None
    """Fixed weight of ENoPR in ``joint``; None for the closed form (MGDA)."""
    normalized: bool = False
    """Whether both gradients have length 1 in ``joint``."""


class Reader:
    """A small classifier that reads one picture of each clip.

    Args:
        front: makes the picture.
        classes: number of labels.
        channels: of the picture.
    """

    def __init__(self, front: SegmentPictures, classes: int, *, channels: int = 3) -> None:
        self.front, self.classifier = front, small_classifier(classes, channels)

    def train(self, batches: Iterator[Batch], steps: int, weighing: Weighing) -> None:
        """Train by AdamW with a one-cycle learning rate; afterwards both parts are in eval mode.

        Args:
            batches: as many as there are steps; ``separate`` takes twice as many.
            steps: number of steps.
            weighing: how the projection learns, where there is one.
        """
        if weighing.kind == "separate":
            self._fit_front(batches, steps)
        own, shared = list(self.classifier.parameters()), [part for part in self.front.parameters() if part.requires_grad]
        optimizer = torch.optim.AdamW([{"params": own}, *([{"params": shared}] if shared else [])])
        rates = [PEAK_RATE, *([FRONT_RATE] if shared else [])]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
        for _, (clips, labels) in zip(range(steps), batches, strict=False):
            picture, rest = self.picture(clips)
            loss = F.cross_entropy(self.classifier(picture), labels)
            optimizer.zero_grad()
            if weighing.kind == "joint" and rest is not None:
                joint_backward(loss, enopr(rest), shared=shared, own=own, scale=weighing.scale, normalized=weighing.normalized)
            else:
                loss.backward()
            optimizer.step()
            schedule.step()
        self.classifier.eval()
        self.front.eval()

    def _fit_front(self, batches: Iterator[Batch], steps: int) -> None:
        """Train the projection on ENoPR alone, and leave it as it is from then on."""
        optimizer = torch.optim.AdamW(self.front.parameters(), FRONT_RATE)
        for _, (clips, _) in zip(range(steps), batches, strict=False):
            rest = self.picture(clips)[1]
            assert rest is not None
            optimizer.zero_grad()
            enopr(rest).backward()
            optimizer.step()
        self.front.eval().requires_grad_(False)

    def picture(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The picture [B, C, S, S] of clips [B, 3, T, S, S], and the residual where there is a projection."""
        if isinstance(self.front, Front):
            residual = self.front.pwtp.separate(clips)[1]
            return residual.mean(2), residual
        return self.front.draw(clips), None

    @torch.no_grad()
    def accuracy(self, clips: torch.Tensor, labels: torch.Tensor) -> float:
        """Share of right labels."""
        said = torch.cat([self.classifier(self.picture(part)[0]).argmax(1) for part in clips.split(TESTED_AT_ONCE)])
        return float((said == labels).double().mean())


def likeness_to_reversal(front: SegmentPictures, clips: torch.Tensor) -> float:
    """Mean cosine of the angle between the picture of a clip and that of the clip run backwards: at 1, it cannot tell them apart.

    Args:
        front: makes the pictures.
        clips: [B, 3, T, S, S].
    """
    with torch.no_grad():
        forwards, backwards = (front.draw(frames).flatten(1) for frames in (clips, clips.flip(2)))
    return float(F.cosine_similarity(forwards, backwards).mean())


# --------------------------------------------------------------------------------------------- table 5

STEPS, TEST_CLIPS = 200, 256
BASELINE, SEPARATE, MGDA = "RGB frame", "separate training", "MGDA"
CONSTANTS = {f"constant scale {scale:g}": Weighing(scale=scale) for scale in (0.1, 1.0, 10.0)}
UNIT = "MGDA, gradients of length 1"
WAYS: Mapping[str, Weighing] = {
    SEPARATE: Weighing("separate"),
    **CONSTANTS,
    MGDA: Weighing(),
    UNIT: Weighing(normalized=True),
}
"""The rows of table 5 with a projection (its constants are lost), and one of ours. All start as a dynamic image."""


def check_weighing(params: DirectionSettings, report: Report) -> Verdict:
    """Train a reader of dynamic appearance in every way of table 5 on patches that drift in eight directions."""
    return judge_weighing(tuple(entry for seed in range(params.seeds) for entry in weigh(seed, report)))


def weigh(seed: int, report: Report) -> list[Measured]:
    """Accuracy, ENoPR and likeness of a clip's picture to its reversal's on other clips, for every row with one seed."""
    ours = []
    clips, labels = drifting_patches(TEST_CLIPS, np.random.default_rng([seed, 1]))
    for name in (BASELINE, *WAYS):
        torch.manual_seed(seed)
        front = SegmentPictures(FRAMES, "middle frame") if name == BASELINE else Front(PWTP(FRAMES, kernel=5, stride=4, initial="rank"))
        reader = Reader(front, len(DIRECTIONS_XY))
        reader.train(_drifting(np.random.default_rng([seed, 0])), STEPS, WAYS.get(name, Weighing("labels")))
        found = {"": reader.accuracy(clips, labels)}
        if isinstance(front, Front):
            with torch.no_grad():
                found |= {ENOPR: float(enopr(front.pwtp.separate(clips)[1])), REVERSAL: likeness_to_reversal(front, clips)}
        ours += [Measured(f"{name}{kind}", seed, value) for kind, value in found.items()]
        report(f"{name}, seed {seed}: {found.pop(''):.1%} right" + "".join(f"{kind} {value:.3f}" for kind, value in found.items()))
    return ours


def _drifting(rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield drifting_patches(BATCH, rng)


def judge_weighing(ours: tuple[Measured, ...]) -> Verdict:
    """With every seed MGDA has to be above separate training and above every constant scale."""
    value = {(entry.network, entry.seed): entry.value for entry in ours}
    seeds = sorted({entry.seed for entry in ours})
    missed = {name: [str(seed) for seed in seeds if value[name, seed] >= value[MGDA, seed]] for name in (SEPARATE, *CONSTANTS)}
    beaten = [f"{name} (seeds {', '.join(numbers)})" for name, numbers in missed.items() if numbers]

    def mean(name: str) -> float:
        return statistics.mean(value[name, seed] for seed in seeds)

    told = "; ".join(
        f"{name} {mean(name):.0%}"
        + (f" (ENoPR {mean(name + ENOPR):.3f}, likeness to its reversal {mean(name + REVERSAL):.2f})" if name in WAYS else "")
        for name in (BASELINE, *WAYS)
    )
    first = f"MGDA is not above {', '.join(beaten)}" if beaten else "MGDA is above separate training and every constant with every seed"
    return Verdict(not beaten, ours, f"{first}. Means over {len(seeds)} seeds: {told}.")


# --------------------------------------------------------------------------------------------- the trap

SHARE = 0.7
DIRECTIONS, SIDE_PX, SEGMENT = 4, 48, 8
TRAP_CLIPS, TRAP_TEST_CLIPS, TRAP_STEPS = 1280, 400, 240
STACK = "RGB, all frames"
DYNAMIC, APART, FIXED = (f"dynamic appearance, {way}" for way in ("MGDA", "separate training", "constant scale 1"))
LEARNED: Mapping[str, Weighing] = {DYNAMIC: Weighing(), APART: Weighing("separate"), FIXED: Weighing(scale=1.0)}
PICTURES: Mapping[str, Picture] = {"RGB, middle frame": "middle frame", "dynamic image": "dynamic image", "TV-L1": "flow"}
READ = (STACK, *LEARNED, *PICTURES)
"""What a reader sees. From a stack of all frames motion could be read; the projection learns in three ways."""
TIED, FREE = ", tied", ", free"


class AllFrames(SegmentPictures):
    """All frames of a segment as channels of one picture."""

    def draw(self, segments: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, C*T, H, W]."""
        return segments.flatten(1, 2)


def check_trap(params: DirectionSettings, report: Report) -> Verdict:
    """Train readers on clips whose background gives the label away in a share of them; test them with and without that."""
    return judge_trap(tuple(entry for seed in range(params.seeds) for entry in catch(seed, report)))


def catch(seed: int, report: Report) -> list[Measured]:
    """Shares of right directions where the background tells and where it does not, for every reader with one seed."""
    ours = []
    clips, labels = trapped(TRAP_CLIPS, "train", SHARE, seed)
    tests = {TIED: trapped(TRAP_TEST_CLIPS, "test", 1.0, seed), FREE: trapped(TRAP_TEST_CLIPS, "test", 0.0, seed)}
    epochs = -(-TRAP_STEPS // (len(clips) // BATCH))
    for name in READ:
        torch.manual_seed(seed)
        reader = _trap_reader(name)
        generator = torch.Generator().manual_seed(seed)
        batches = shuffled_batches(clips, labels, size=BATCH, epochs=2 * epochs, generator=generator)
        reader.train(batches, TRAP_STEPS, LEARNED.get(name, Weighing("labels")))
        found = {kind: reader.accuracy(*test) for kind, test in tests.items()}
        ours += [Measured(f"{name}{kind}", seed, value) for kind, value in found.items()]
        report(f"{name}, seed {seed}: {found[TIED]:.1%} right where the background tells, {found[FREE]:.1%} where it does not")
    return ours


def trapped(count: int, split: str, share: float, seed: int) -> Batch:
    """Clips of the motion world in which a thing moves left, right, up or down, as networks of the world see them.

    Args:
        count: number of clips.
        split: of the world.
        share: of the clips whose background has the colour of the label.
        seed: of the world.

    Returns:
        Clips [count, 3, 8, 48, 48] and labels.
    """
    rows = [
        render(range(label, count, DIRECTIONS), split=split, seed=seed, label=label, frames=SEGMENT, side_px=SIDE_PX, trap=share)
        for label in range(DIRECTIONS)
    ]
    frames, labels = torch.cat([row.frames for row in rows]), torch.cat([row.labels for row in rows])
    return ((frames.float() / 255 - 0.5) / 0.25).transpose(1, 2).contiguous(), labels


def _trap_reader(name: str) -> Reader:
    if name == STACK:
        return Reader(AllFrames(SEGMENT, "middle frame"), DIRECTIONS, channels=3 * SEGMENT)
    if name in LEARNED:
        return Reader(Front(PWTP(SEGMENT, initial="rank")), DIRECTIONS)
    return Reader(SegmentPictures(SEGMENT, PICTURES[name]), DIRECTIONS)


def judge_trap(ours: tuple[Measured, ...]) -> Verdict:
    """With every seed MGDA's dynamic appearance has to lose at most half of what the stack of RGB frames loses, and to end above it."""
    value = {(entry.network, entry.seed): entry.value for entry in ours}
    seeds = sorted({entry.seed for entry in ours})
    lost = {(name, seed): value[name + TIED, seed] - value[name + FREE, seed] for name in (STACK, DYNAMIC) for seed in seeds}
    missed = [
        seed
        for seed in seeds
        if lost[DYNAMIC, seed] > lost[STACK, seed] / 2 or value[DYNAMIC + FREE, seed] <= value[STACK + FREE, seed]
    ]  # fmt: skip

    def mean(name: str) -> float:
        return statistics.mean(value[name, seed] for seed in seeds)

    told = "; ".join(f"{name} {mean(name + TIED):.0%} and {mean(name + FREE):.0%}" for name in READ)
    first = f"The bar is missed with {len(missed)} of {len(seeds)} seeds" if missed else "The bar is met with every seed"
    return Verdict(not missed, ours, f"{first}. Right where the background tells, and where it does not, means: {told}.")
