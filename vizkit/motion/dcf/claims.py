"""What DCF's paper says and a few minutes can check: constant velocity on one channel, what correlation costs, right directions."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vizkit.contracts import ClaimSettings, Measured, Verdict
from vizkit.motion.dcf import ARCHITECTURES
from vizkit.motion.dcf.module import DCFBlock, correlation_volume, frame_offsets
from vizkit.motion.dcf.score import measure_direction
from vizkit.net.architecture import IMAGENET_MEAN, IMAGENET_STD
from vizkit.net.backbones import BACKBONES
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.tiny import build_tiny_r2d
from vizkit.net.count import count_architecture
from vizkit.net.fit import Report
from vizkit.net.network import Network
from vizkit.net.ops import correlate
from vizkit.world.drift import DIRECTIONS_XY, judge_gain, learn_directions

PATCH, RANGE = 5, 2

# --------------------------------------------------------------------------------------------- constant velocity

CHANNELS, FRAMES, SIDE = 64, 2 * RANGE + 1, 16


class VelocitySettings(ClaimSettings):
    """How constant velocity is checked."""

    seeds: int = Field(3, ge=1, le=10)
    """How many seeds, from 0 on; each draws textures anew."""


def check_velocity(params: VelocitySettings, report: Report) -> Verdict:
    """Move random textures by every whole velocity within reach and look where the peaks of the middle frame's volume lie."""
    ours, control = [], []
    velocities = [(x, y) for y in range(-(PATCH // 2), PATCH // 2 + 1) for x in range(-(PATCH // 2), PATCH // 2 + 1)]
    for seed in range(params.seeds):
        shares = torch.tensor([[*right_channels(velocity, seed), right_without_dilation(velocity, seed)] for velocity in velocities]).mean(
            0
        )
        for offset, share in zip(frame_offsets(RANGE), shares[:-1].tolist(), strict=True):
            ours.append(Measured(f"cells with their peak on the velocity's channel, offset {offset:+d}", seed, share))
        control.append(Measured("the same, offset +2, dilation 1", seed, shares[-1].item()))
        report(f"seed {seed}: {ours[-1].value:.1%} of the cells at offset +2, {control[-1].value:.1%} without a growing dilation")
    worst = min(ours, key=lambda entry: entry.value)
    met = f"All {len(velocities)} velocities have their own channel in every block"
    missed = f"Only {worst.value:.1%} of the cells have it ({worst.network})"
    without = f"if the dilation did not grow, {control[0].value:.0%} of the cells would have it at offset +2"
    return Verdict(worst.value == 1, (*ours, *control), f"{met if worst.value == 1 else missed}; {without}.")


def right_channels(velocity_xy: tuple[int, int], seed: int) -> list[float]:
    """Share of inner cells whose largest correlation lies on the velocity's channel, for each offset.

    That channel is ``(R + vy) * K + R + vx`` in the blocks of later frames, and its mirror ``K^2 - 1 - n`` in those of earlier ones.
    """
    volume = correlation_volume(moving_texture(velocity_xy, seed), patch=PATCH, temporal_range=RANGE)
    blocks = volume[0, :, FRAMES // 2].unflatten(0, (-1, PATCH**2))  # [offsets, K^2, H, W]
    own = velocity_channel(velocity_xy)
    return [_share(block, own if offset > 0 else PATCH**2 - 1 - own) for offset, block in zip(frame_offsets(RANGE), blocks, strict=True)]


def right_without_dilation(velocity_xy: tuple[int, int], seed: int) -> float:
    """The same share at offset +2 if neighbours lay one cell apart there too."""
    texture = moving_texture(velocity_xy, seed)
    middle = FRAMES // 2
    volume = correlate(texture[:, :, middle : middle + 1], texture[:, :, middle + 2 : middle + 3], patch=PATCH, scale="sqrt")
    return _share(volume[0, :, 0], velocity_channel(velocity_xy))


def velocity_channel(velocity_xy: tuple[int, int]) -> int:
    """Channel of a velocity in whole cells per frame, in the block of a later frame."""
    x, y = velocity_xy
    return (PATCH // 2 + y) * PATCH + PATCH // 2 + x


def moving_texture(velocity_xy: tuple[int, int], seed: int) -> torch.Tensor:
    """Normal noise [1, C, T, H, W] that moves by ``velocity_xy`` cells per frame and wraps around."""
    canvas = torch.randn(CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    x, y = velocity_xy
    return torch.stack([canvas.roll((t * y, t * x), (1, 2)) for t in range(FRAMES)], 1)[None]


def _share(block: torch.Tensor, channel: int) -> float:
    """Share of the cells, at least RANGE * R from the border, whose largest correlation is the channel's."""
    margin = RANGE * (PATCH // 2)
    return float((block.argmax(0)[margin:-margin, margin:-margin] == channel).double().mean())


# --------------------------------------------------------------------------------------------- cost

OVERHEAD, MAGNITUDE = 0.10, 10.0
PAIRS = (("x3d-s", "dcf-x3d-s"), ("x3d-m", "dcf-x3d-m"), ("r2plus1d-dw-50", "dcf-r2plus1d-50"), ("r2plus1d-dw-101", "dcf-r2plus1d-101"))
ORDER = "dcf-r2plus1d-50"


def check_cost(_params: ClaimSettings, report: Report) -> Verdict:
    """Count the networks with and without DCF, and each operator beside a 3 x 3 x 3 convolution on the same channels."""
    known = {entry.name: entry for entry in (*BACKBONES, *ARCHITECTURES)}
    overheads, factors = [], []
    for plain, full in PAIRS:
        overhead = count_architecture(known[full]).gmacs / count_architecture(known[plain]).gmacs - 1
        overheads.append(Measured(f"{full}, multiply-adds more than {plain}", 0, overhead))
        report(f"{full}: {overhead:+.1%} multiply-adds")
    for name in (ORDER, "dcf-x3d-s"):
        with torch.device("meta"):
            module = known[name].build()
        for place, block in module.named_modules():
            if isinstance(block, DCFBlock):
                factors.append(Measured(f"{name}, {place}: 3 x 3 x 3 convolution over correlation", 0, convolution_over_correlation(block)))
                report(f"{factors[-1].network}: {factors[-1].value:.1f}")
    return judge_cost(tuple(overheads), tuple(factors))


def convolution_over_correlation(block: DCFBlock) -> float:
    """Multiply-adds of a 3 x 3 x 3 convolution that keeps the block's reduced channels, over those of its correlations (appendix C)."""
    channels = block.conv1.out_channels
    cells = torch.empty(1, channels, 4, 8, 8, device="meta")
    convolution = nn.Conv3d(channels, channels, 3, padding=1, bias=False, device="meta")
    counts = []
    for function in (convolution, block.correlate):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            function(cells)
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]


def judge_cost(overheads: tuple[Measured, ...], factors: tuple[Measured, ...]) -> Verdict:
    """Every overhead at most 10 %, and every factor of R(2+1)D-50 at least ten."""
    largest = max(overheads, key=lambda entry: entry.value)
    smallest = min((entry for entry in factors if entry.network.startswith(ORDER)), key=lambda entry: entry.value)
    narrow = [entry for entry in factors if not entry.network.startswith(ORDER) and entry.value < MAGNITUDE]
    small, cheap = largest.value <= OVERHEAD, smallest.value >= MAGNITUDE
    most = f"DCF adds {largest.value:.1%} of the multiply-adds at most ({largest.network.partition(',')[0]})"
    told = f"{most}; in R(2+1)D-50 a 3 x 3 x 3 convolution costs {smallest.value:.1f} times as much as the correlation or more"
    told += "".join(f"; in {entry.network.partition(':')[0]} only {entry.value:.1f} times, as it has few channels" for entry in narrow)
    return Verdict(small and cheap, overheads + factors, f"{told}.")


# --------------------------------------------------------------------------------------------- colours

UNTRAINED = "r2plus1d-dw-50"
WORST_ANGLE_DEG, LEAST_OCTANT = 6.0, 0.95
DEEPER = {"res3": 8, "res4": 16}
"""Stage -> speed in px per frame, measured beside res2 at the full size; they decide nothing."""


def check_colours(params: ClaimSettings, report: Report) -> Verdict:
    """Decode the directions that the hues show, from features of random weights, on scenes whose motion is known."""
    ours: list[Measured] = []
    for seed in range(params.seeds):
        network = untrained(seed)
        for stage, speed_px in {"res2": 6, **(DEEPER if params.full else {})}.items():
            report(f"{UNTRAINED}, seed {seed}, {stage}: 9 scenes of {speed_px} px per frame")
            found = measure_direction(network, stage=stage, speed_px=speed_px, seed=seed)
            numbers = {
                "mean angular error, degrees": float(found.angle_deg.mean()),
                "share in the right octant, worst of 8 directions": float(found.octant.min()),
                "motion of the still background, cells": float(found.background_cells.mean()),
                "mean angular error, whole frame moves, degrees": found.textured_angle_deg,
                "confidence where there is no texture": found.flat_confidence,
            }
            ours += [Measured(f"{stage}, {name}", seed, value) for name, value in numbers.items()]
    return judge_colours(tuple(ours))


def untrained(seed: int) -> Network:
    """The depthwise R(2+1)D-50 with random weights."""
    entry = next(entry for entry in BACKBONES if entry.name == UNTRAINED)
    torch.manual_seed(seed)
    module = entry.build()
    labels = tuple(f"class {number}" for number in range(entry.classes))
    return Network(
        entry.name, entry.name, module, module.stages, module.blocks, labels, entry.sampling, IMAGENET_MEAN, IMAGENET_STD, "random",  # type: ignore[arg-type]
        {"seed": seed},
    )  # fmt: skip


def judge_colours(ours: tuple[Measured, ...]) -> Verdict:
    """At res2 and with every seed the error has to be below 6 degrees, and the octant right in more than 95 % for every direction."""
    angle = max(entry.value for entry in ours if entry.network.startswith("res2, mean angular error, degrees"))
    octant = min(entry.value for entry in ours if entry.network.startswith("res2, share in the right octant"))
    close, right = angle < WORST_ANGLE_DEG, octant > LEAST_OCTANT
    told = f"At res2 the error is {angle:.1f} degrees{'' if close else f', not below {WORST_ANGLE_DEG:g}'}"
    told += f", and the octant is right in {octant:.1%} for the worst direction{'' if right else f', not above {LEAST_OCTANT:.0%}'}"
    return Verdict(close and right, ours, f"{told}; random weights do that, so the picture shows the scene and not what was learned.")


# --------------------------------------------------------------------------------------------- direction

STEPS = 150
PLAIN, DECISIVE = "R2D", "R2D + DCF"
RANGES = {DECISIVE: (2, 2, 1), f"{DECISIVE}, L = 1": (1, 1, 1)}
"""L of the blocks after res2, res3 and res4."""


def check_toy(params: ClaimSettings, report: Report) -> Verdict:
    """Train a tiny R2D without and with DCF blocks to tell eight directions of a patch."""
    builders = {name: partial(build_toy, name) for name in (PLAIN, *RANGES)}
    ours = learn_directions(builders, steps=STEPS, seeds=params.seeds, report=report)
    return judge_gain(ours, plain=PLAIN, decisive=DECISIVE)


def build_toy(name: str) -> ClipNetwork:
    """A tiny R2D with DCF blocks in the paper's places, or, under the name :data:`PLAIN`, without."""
    if name == PLAIN:
        return build_tiny_r2d(len(DIRECTIONS_XY))
    after, carried = {}, 0
    for stage, reach in zip(("res2", "res3", "res4"), RANGES[name], strict=True):
        after[stage] = partial(_block, temporal_range=reach, carried_channels=carried)
        carried += 2 * reach * PATCH**2
    return build_tiny_r2d(len(DIRECTIONS_XY), after=after)


def _block(channels: int, *, temporal_range: int, carried_channels: int) -> DCFBlock:
    return DCFBlock(
        channels,
        reduced=channels // 4,
        patch=PATCH,
        temporal_range=temporal_range,
        carried_channels=carried_channels,
        residual_init="scratch",
    )
