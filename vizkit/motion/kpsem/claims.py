"""What KPSEM's paper says and a few minutes can check: a centre that learns, what the module costs, matches across regions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import nn

from vizkit.contracts import ClaimSettings, Measured, Verdict
from vizkit.motion.kpsem import ARCHITECTURES
from vizkit.motion.kpsem.module import KPSEM, geometric_centre, key_points, shifts
from vizkit.net.architecture import Architecture
from vizkit.net.backbones import BACKBONES
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.count import count_architecture, count_parameters, gmacs_as_published, parameters_as_published
from vizkit.net.fit import Batch, Report, accuracy, fit, labelled

# --------------------------------------------------------------------------------------------- centre

LEARNT, GUESSED = 0.9, 0.4
"""Share of right labels from which direction counts as learnt, and up to which it counts as guessed (chance is 0.25)."""

LEARNING, DEAF = "adaptive centre, straight-through gradient", "adaptive centre, no gradient"
VARIANTS: dict[str, dict[str, Any]] = {
    LEARNING: {"gradient": "ste"},
    DEAF: {"gradient": "none"},
    "fixed regions": {"separation": "fixed"},
    "single key point": {"regions": 1},
}
DECISIVE = (LEARNING, DEAF)

SIDE, CHANNELS, FRAMES, DIRECTIONS = 14, 4, 4, 4
STEPS, BATCH, PEAK_RATE, VALIDATION_CLIPS = 300, 32, 0.01, 400
HEIGHTS = {"still": 1.0, "moving": 0.8}
ELSEWHERE = ((10, 3, 0.6), (3, 10, 0.5), (11, 11, 0.4))  # a still dot (x, y, height) in each other quadrant
WIDTH_CELLS, CUT, NOISE = 0.65, 0.25, 0.02


class CentreSettings(ClaimSettings):
    """How learning of the centre is checked."""

    seeds: int = Field(3, ge=1, le=10)
    """How many seeds, from 0 on; each draws clips and weights anew."""


class CentreToy(nn.Module):
    """The weighted shifts of one set, and two layers that name the direction."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.kpsem = KPSEM(CHANNELS, FRAMES, 1, **settings)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear((FRAMES - 1) * self.kpsem.regions * CHANNELS * 2, 64), nn.ReLU(), nn.Linear(64, DIRECTIONS)
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> logits [B, 4]."""
        logits: torch.Tensor = self.head(self.kpsem.regional_shifts(clips, self.kpsem.centre(clips)[:, 0]))
        return logits


def check_centre(params: CentreSettings, report: Report) -> Verdict:
    """Train one set's centre, or not, to tell where a dot moves that shares its quadrant with a stronger one."""
    ours = []
    for seed in range(params.seeds):
        for name, settings in VARIANTS.items():
            told = labelled(report, f"{name}, seed {seed}")
            torch.manual_seed(seed)
            network, generator = CentreToy(**settings), torch.Generator().manual_seed(seed)
            fit(network, _batches(generator), steps=STEPS, peak_rate=PEAK_RATE, report=told)
            ours.append(Measured(name, seed, accuracy(network, *hidden_dots(VALIDATION_CLIPS, generator))))
            told(f"{ours[-1].value:.1%} of the validation clips")
    return judge_centre(tuple(ours))


def hidden_dots(count: int, generator: torch.Generator) -> Batch:
    """Clips [count, C, T, 14, 14] and labels: right, left, down, up.

    In the upper left quadrant a dot of height 1 stands still and one of 0.8 moves by a cell per frame, three cells in all, away from
    the border of the quadrant. Every quadrant's maximum is a still dot: with equal regions no key point moves.
    """
    labels = torch.randint(DIRECTIONS, (count,), generator=generator)
    across = torch.randint(3, 6, (count, 1), generator=generator).float()
    steps = torch.arange(float(FRAMES))
    along = torch.where((labels % 2 == 0)[:, None], 2 + steps, 5 - steps)
    sideways = (labels < 2)[:, None]
    moving = _dot(torch.where(sideways, along, across), torch.where(sideways, across, along), HEIGHTS["moving"])
    scene = torch.maximum(moving, _dot(torch.ones(1, 1), torch.ones(1, 1), HEIGHTS["still"]))
    for x, y, height in ELSEWHERE:
        scene = torch.maximum(scene, _dot(torch.full((1, 1), float(x)), torch.full((1, 1), float(y)), height))
    noise = NOISE * torch.rand(count, CHANNELS, FRAMES, SIDE, SIDE, generator=generator)
    return torch.maximum(scene[:, None], noise), labels


def judge_centre(ours: tuple[Measured, ...]) -> Verdict:
    """Two of every three seeds learnt with the gradient, and every seed at chance without."""
    values = {name: [entry.value for entry in ours if entry.network == name] for name in DECISIVE}
    learnt = sum(value >= LEARNT for value in values[LEARNING])
    enough, deaf = 3 * learnt >= 2 * len(values[LEARNING]), max(values[DEAF])
    told = f"With the straight-through gradient {learnt} of {len(values[LEARNING])} seeds reach {LEARNT:.0%}"
    told += f"; without, the best has {deaf:.1%}{'' if deaf <= GUESSED else f', more than {GUESSED:.0%}'}"
    return Verdict(enough and deaf <= GUESSED, ours, f"{told}.")


def _batches(generator: torch.Generator) -> Iterator[Batch]:
    while True:
        yield hidden_dots(BATCH, generator)


def _dot(x: torch.Tensor, y: torch.Tensor, height: float) -> torch.Tensor:
    """A dot at (x, y) [N, T] on maps [N, T, 14, 14], without tails."""
    cells = torch.arange(float(SIDE))
    squared = (cells - x[..., None, None]) ** 2 + (cells[:, None] - y[..., None, None]) ** 2
    values = height * torch.exp(-squared / (2 * WIDTH_CELLS**2))
    return values * (values >= CUT)


# --------------------------------------------------------------------------------------------- cost

TOLERANCE = 0.005
MOST_PARAMETERS, MOST_MACS = 0.015, 0.01
SIZES = (12, 6, 672)
PLAIN, FULL = "mfnet", "mf-kpsem"


def check_cost(_params: ClaimSettings, report: Report) -> Verdict:
    """Count MFNet-3D with and without KPSEM in the paper's way, and follow the sizes of section 4.2."""
    plain, full = (next(entry for entry in (*BACKBONES, *ARCHITECTURES) if entry.name == name) for name in (PLAIN, FULL))
    off = [entry for network in (plain, full) for entry in _off_published(network, report)]
    with torch.device("meta"):
        module, bare = full.build(), plain.build()
    assert isinstance(module, ClipNetwork)
    kpsem = module.beside["res4"]
    more = (
        Measured(f"{FULL}, parameters of the module over those of {PLAIN}", 0, count_parameters(kpsem) / count_parameters(bare)),
        Measured(f"{FULL}, multiply-adds more than {PLAIN}", 0, count_architecture(full).gmacs / count_architecture(plain).gmacs - 1),
    )
    sizes = tuple(Measured(name, 0, size) for name, size in zip(("halved", "halved again", "vector"), _sizes(kpsem), strict=True))
    for entry in (*more, *sizes):
        report(f"{entry.network}: {entry.value:g}")
    return judge_cost(tuple(off), more, sizes)


def judge_cost(off: tuple[Measured, ...], more: tuple[Measured, ...], sizes: tuple[Measured, ...]) -> Verdict:
    """Published figures within 0.5 %, sizes exact, and at most 1.5 % more parameters and 1 % more multiply-adds."""
    worst = max(off, key=lambda entry: abs(entry.value))
    near, exact = abs(worst.value) <= TOLERANCE, tuple(entry.value for entry in sizes) == SIZES
    cheap = more[0].value <= MOST_PARAMETERS and more[1].value <= MOST_MACS
    told = f"The published figures are met within {abs(worst.value):.2%} ({worst.network})"
    told += f"; the sizes are {'' if exact else 'not '}the paper's"
    told += f"; KPSEM adds {more[0].value:.2%} to the parameters and {more[1].value:.2%} to the multiply-adds"
    return Verdict(near and exact and cheap, off + more + sizes, f"{told}.")


def _off_published(entry: Architecture, report: Report) -> Iterator[Measured]:
    """How far a network's parameters and multiply-adds lie from the published ones."""
    with torch.device("meta"):
        module = entry.build()
    published = entry.published
    assert published is not None
    counted = {
        "parameters": (parameters_as_published(module, published), published.params),
        "multiply-adds": (gmacs_as_published(module, published, entry.frames, entry.size_px), published.gmacs),
    }
    for name, (ours, paper) in counted.items():
        assert paper is not None
        report(f"{entry.name}: {ours:.3f} {name}, published {paper:g}")
        yield Measured(f"{entry.name}, {name} off the published ones", 0, ours / paper - 1)


def _sizes(kpsem: nn.Module) -> tuple[int, ...]:
    """Length of the embedding after each convolution, and of the vector."""
    assert isinstance(kpsem, KPSEM)
    embedding = torch.empty(1, kpsem.channels, kpsem.frames - 1, kpsem.embedding, device="meta")
    halves = [int(kpsem.reduction[:count](embedding).shape[-1]) for count in (1, 4)]
    return (*halves, int(kpsem.reduce(embedding).shape[1]))


# --------------------------------------------------------------------------------------------- matching

MATCHED, CLOSE_CELLS, SAME = 0.99, 0.1, 1e-5
SCENES, STEPS_OF_DOTS = 64, 4
DOT_HEIGHTS = (1.0, 0.8, 0.6, 0.4)
FLICKER = 0.05
QUADRANTS_XY = ((1, 1), (8, 1), (1, 8), (8, 8))
"""The first cells in which the dots of each region are placed, 4 x 4 of them, so that a clip can be moved by a cell."""

WEIGHT, ERROR = "weight on the dot itself, worst", "error of the shift, worst, cells"
STILL, MOVED = "longest shift of a still clip, cells", "largest change of a shift in a moved clip, cells"


class MatchingSettings(ClaimSettings):
    """How matching is checked."""

    seeds: int = Field(3, ge=1, le=10)
    """How many seeds, from 0 on; each draws dots anew."""


def check_matching(params: MatchingSettings, report: Report) -> Verdict:
    """Let four dots of different heights jump between the regions and look where their shifts lead."""
    ours = []
    for seed in range(params.seeds):
        for name, value in measure_matching(seed).items():
            ours.append(Measured(name, seed, value))
            report(f"seed {seed}, {name}: {value:.4g}")
    return judge_matching(tuple(ours))


def measure_matching(seed: int) -> dict[str, float]:
    """The numbers of one seed, with what decides nothing beside them: flickering dots and regions matched to themselves."""
    generator = torch.Generator().manual_seed(seed)
    clip, place, region = jumping_dots(generator)
    weight, error = _matched(clip, place, region)
    flicker = clip * (1 + FLICKER * (2 * torch.rand(SCENES, clip.shape[2], generator=generator) - 1))[None, :, :, None, None]
    flickering, _ = _matched(flicker, place, region)
    centre = _middle(clip)
    still, _ = shifts(*key_points(clip[:, :, :1].expand_as(clip), centre))
    noise = torch.rand(1, SCENES, 1, SIDE, SIDE, generator=generator).expand(-1, -1, 2, -1, -1)
    drifting, _ = shifts(*key_points(noise, _middle(noise)))
    moved, _ = shifts(*key_points(clip.roll((1, 1), (3, 4)), centre + 1))
    own, _ = shifts(*key_points(clip, centre))
    crossing = region[:, 1:] != region[:, :-1]
    return {
        WEIGHT: float(weight.min()),
        ERROR: float(error.max()),
        STILL: float(still.norm(dim=-1).max()),
        MOVED: float((moved - own).abs().max()),
        "share of steps over a border": float(crossing.float().mean()),
        f"weight on the dot itself, mean, heights within {FLICKER:.0%}": float(flickering.mean()),
        "mean shift of still noise, cells": float(drifting.norm(dim=-1).mean()),
    }


def jumping_dots(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clips of four dots, one in each region in each frame, that change places at random.

    Returns:
        The clip [1, scenes, T, 14, 14], the dots' places (x, y) [scenes, T, 4, 2] and their regions [scenes, T, 4].
    """
    region = torch.rand(SCENES, STEPS_OF_DOTS, 4, generator=generator).argsort(-1)
    place = torch.tensor(QUADRANTS_XY)[region] + torch.randint(4, (SCENES, STEPS_OF_DOTS, 4, 2), generator=generator)
    clip = torch.zeros(SCENES, STEPS_OF_DOTS, SIDE * SIDE)
    clip.scatter_(2, place[..., 1] * SIDE + place[..., 0], torch.tensor(DOT_HEIGHTS).expand(SCENES, STEPS_OF_DOTS, 4))
    return clip.view(1, SCENES, STEPS_OF_DOTS, SIDE, SIDE), place, region


def judge_matching(ours: tuple[Measured, ...]) -> Verdict:
    """Weights at least 0.99, shifts within 0.1 cells, and none changed by moving the clip, with every seed."""
    weight = min(entry.value for entry in ours if entry.network == WEIGHT)
    error, still, moved = (max(entry.value for entry in ours if entry.network == name) for name in (ERROR, STILL, MOVED))
    held = weight >= MATCHED and error <= CLOSE_CELLS and still <= CLOSE_CELLS and moved <= SAME
    told = f"The least weight on a dot itself is {weight:.4f}, its shift at most {error:.3f} cells off"
    told += f"; a still clip's longest shift is {still:.3f} cells, and moving a clip changes shifts by {moved:.1g} at most"
    return Verdict(held, ours, f"{told}.")


def _middle(clip: torch.Tensor) -> torch.Tensor:
    """The geometric centre of every frame: [B, T, 2]."""
    return geometric_centre(SIDE, SIDE).to(clip).expand(clip.shape[0], clip.shape[2], 2)


def _matched(clip: torch.Tensor, place: torch.Tensor, region: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For every dot and step: the weight on itself in the next frame, and how far its shift is off, in cells [scenes, T-1, 4]."""
    shift, match = shifts(*key_points(clip, _middle(clip)))
    scene = torch.arange(SCENES)[:, None, None]
    step = torch.arange(STEPS_OF_DOTS - 1)[:, None]
    now, then = region[:, :-1], region[:, 1:]
    error = shift[0, step, now, scene] - (place[:, 1:] - place[:, :-1])
    return match[0, step, now, then, scene], error.norm(dim=-1)
