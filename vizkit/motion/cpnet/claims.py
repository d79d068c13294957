"""What CPNet's paper says and a few minutes can check: the toy experiment, the identity at the start, the sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from vizkit.contracts import ClaimSettings, Measured, Verdict
from vizkit.motion.cpnet import ARCHITECTURES
from vizkit.motion.cpnet.network import build_cpnet
from vizkit.motion.cpnet.toy import CPStart, Padding, ToyNetwork, build_toy, jumping_squares
from vizkit.net.backbones import BACKBONES
from vizkit.net.backbones.build import build_frame_resnet
from vizkit.net.count import parameters_as_published
from vizkit.net.fit import Batch, Report, accuracy, fit, labelled, shuffled_batches

LEARNT, GUESSED = 0.95, 0.32
"""Share of right labels from which direction counts as learnt, and up to which it counts as guessed (chance is 0.25)."""

NETWORKS = ("CPNet", "NL", "TRN", "ART", "C2D")
BATCH, PEAK_RATE, VALIDATION_CLIPS = 4, 0.005, 200
SIZE_TOLERANCE = 0.01
SIZED = ("c2d-18", "c2d-34", "cpnet-18-paper", "cpnet-34-paper", "cpnet-101")


class ToySize(NamedTuple):
    """How large the toy experiment is."""

    side_px: int
    jump_px: tuple[int, int]
    clips: int
    epochs: dict[str, int]
    start: CPStart


SMALL = ToySize(24, (6, 6), 400, dict.fromkeys(NETWORKS, 4), CPStart(last_gain=1.0, position_gain=6.0))
"""No pretrained backbone has to be protected, and the first layer sees displacements at the scale of features: half the steps."""

PAPER = ToySize(32, (7, 9), 1000, {"CPNet": 3, "NL": 2, "TRN": 8, "ART": 8, "C2D": 8}, CPStart())


class ToySettings(ClaimSettings):
    """How the toy experiment is run."""

    seeds: int = Field(3, ge=1, le=10)
    """How many seeds, from 0 on; each draws clips and weights anew."""
    padding: Padding = "circular"
    """Padding of every convolution; ``"zero"`` shows how the label leaks at the borders."""


def check_toy(params: ToySettings, report: Report) -> Verdict:
    """Train the networks of table 1, and C2D, on the same clips and compare them on others."""
    size = PAPER if params.full else SMALL
    ours = []
    for seed in range(params.seeds):
        for name in NETWORKS:
            told = labelled(report, f"{name}, seed {seed}")
            network, validation = train_toy(name, seed, size, params.padding, told)
            ours.append(Measured(name, seed, accuracy(network, *validation)))
            told(f"{ours[-1].value:.1%} of the validation clips")
    return judge_toy(tuple(ours), params.padding)


def train_toy(name: str, seed: int, size: ToySize, padding: Padding, report: Report) -> tuple[ToyNetwork, Batch]:
    """Train one network with one seed, which draws clips and weights; with it come 200 validation clips and their labels."""
    rng = np.random.default_rng(seed)
    train = jumping_squares(size.clips, rng, side_px=size.side_px, jump_px=size.jump_px)
    validation = jumping_squares(VALIDATION_CLIPS, rng, side_px=size.side_px, jump_px=size.jump_px)
    torch.manual_seed(seed)
    network = build_toy(name, padding, size.start)
    steps = size.clips // BATCH * size.epochs[name]
    batches = shuffled_batches(*train, size=BATCH, epochs=size.epochs[name], generator=torch.Generator().manual_seed(seed))
    fit(network, batches, steps=steps, peak_rate=PEAK_RATE, report=report)
    return network, validation


def judge_toy(ours: tuple[Measured, ...], padding: Padding) -> Verdict:
    """CPNet has to learn with every seed, and every other network to guess with every seed."""
    worst = min((entry for entry in ours if entry.network == "CPNet"), key=lambda entry: entry.value)
    best = max((entry for entry in ours if entry.network != "CPNet"), key=lambda entry: entry.value)
    learnt, guessed = worst.value >= LEARNT, best.value <= GUESSED
    cpnet = f"CPNet has {worst.value:.1%} or more with every seed"
    if not learnt:
        cpnet = f"CPNet has only {worst.value:.1%} with seed {worst.seed}, below {LEARNT:.0%}"
    others = f"the other networks guess, {best.value:.1%} at most ({best.network})"
    if not guessed:
        others = f"{best.network} has {best.value:.1%} with seed {best.seed}, above {GUESSED:.0%}"
        if padding == "zero":
            others += (
                "; the label leaks: a track begins and ends near the border, zero padding shows a cell how near, and which end of the "
                "clip touches which border is the direction. With circular padding it cannot be seen"
            )
    return Verdict(learnt and guessed, ours, f"{cpnet}; {others}.")


def check_identity(params: ClaimSettings, report: Report) -> Verdict:
    """Give a fresh CPNet-18 the weights of a C2D-18 and compare their logits, in eval mode, on a random clip."""
    ours = []
    for seed in range(params.seeds):
        torch.manual_seed(seed)
        plain, cpnet = build_frame_resnet(174, depth=18).eval(), build_cpnet(174, depth=18).eval()
        loaded = cpnet.load_state_dict(plain.state_dict(), strict=False)
        if loaded.unexpected_keys or not all(".motion." in key for key in loaded.missing_keys):
            raise RuntimeError(f"CPNet-18 is not C2D-18 with CP modules: {loaded}")
        clip = torch.randn(1, 3, 8, 112, 112)
        with torch.no_grad():
            difference = float((plain(clip) - cpnet(clip)).abs().max())
        ours.append(Measured("CPNet-18, largest difference of a logit to C2D-18", seed, difference))
        report(f"seed {seed}: largest difference {difference}")
    worst = max(entry.value for entry in ours)
    same = "No logit differs by a bit" if worst == 0 else f"A logit differs by {worst:.3g}"
    return Verdict(worst == 0, tuple(ours), f"{same}: the last norm of every CP module starts at zero.")


def check_size(_params: ClaimSettings, report: Report) -> Verdict:
    """Count the published networks in the paper's own counting."""
    ours, missed = [], []
    for entry in (*BACKBONES, *ARCHITECTURES):
        published = entry.published
        if entry.name not in SIZED or published is None or published.params is None:
            continue
        with torch.device("meta"):
            ours.append(Measured(entry.name, 0, parameters_as_published(entry.build(), published)))
        difference = ours[-1].value / published.params - 1
        report(f"{entry.name}: {ours[-1].value:.2f}, published {published.params} ({difference:+.1%})")
        if abs(difference) > SIZE_TOLERANCE:
            missed.append(f"{entry.name} differs by {difference:+.1%}")
    told = "; ".join(missed) or f"All {len(ours)} sizes are met within {SIZE_TOLERANCE:.0%}"
    released = "with the widths of the released CP modules CPNet-18 is 3.4 % and CPNet-34 1.8 % smaller than published"
    return Verdict(not missed, tuple(ours), f"{told}; {released}.")
