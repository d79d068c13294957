"""DCF's picture measured against known motion: right direction, no motion claimed where there is none, confidence that means something."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from vizkit.clip import clip_from_frames
from vizkit.contracts import Record, Sampling, Score
from vizkit.motion.dcf.analysis import MOVING_CELLS, CorrelationFields, Params, Source, analyze, dcf_blocks, unavailable
from vizkit.motion.dcf.levels import CorrelationLevel, cosine_volume, level_of
from vizkit.net.probe import ProbedRun, probe
from vizkit.statistics import RESAMPLES, mean_over_clips
from vizkit.world import Truth, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

SIDE_PX = 112
OCTANT_DEG = 22.5
BINS = 10
CALIBRATION_SCENES = 4
MARGIN_PX = 16
SMOOTH_PX = 1.5
MEANS = ("angle_deg", "octant", "leakage")

Cells = dict[str, NDArray[np.float64]]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure the view over test clips of the motion world at 112 px, at every default stage and offset.

    ``dcf.cosine_res2_...`` measures source cosine at res2 and offsets -1 and 1, ``dcf.cosine_res2_offset2_...`` offsets -2 and 2;
    ``dcf.model_...`` the volumes of the network's own blocks; ``dcf.rgb_...``, the control, the same correlations of raw RGB (mean
    over each cell).

    * ``angle_deg``: mean angle between decoded and true displacement (a decoded zero counts as 90 degrees, a random direction gives 90);
    * ``octant``: share of directions within 22.5 degrees (a random direction gives 0.125);
    * ``leakage``: colour on still background: mean of the confidence of cells that are decoded as moving, 0 for the others;
    * ``calibration_error``: mean distance, over ten bins of confidence, between the confidence and the share in the right octant.

    Angles, octants and calibration are taken at cells whose centre shows a thing that moves (relative to the background), by half a cell
    or more per time step and not further than the neighbourhood reaches; still background moves by less than half a cell. Only cells
    count whose surface is visible in both frames and whose neighbourhood lies inside the map. Intervals are 95 % bootstrap intervals
    over clips.

    Args:
        network: a network with DCF blocks, or without any motion module; nothing is measured for the networks of other papers, whose
            scores are their own views'.
        clips: number of test clips.
        seed: of the world's test clips.
    """
    sources: tuple[Source, ...] = ("cosine", "model") if dcf_blocks(network) else ("cosine",)
    if unavailable(network) or (network.blocks and len(sources) == 1):
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    collected: dict[str, list[Cells]] = {}
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        run = probe(network, world.clip, sampling=sampling)
        for name, cells in _measure(run, sources, world.truth).items():
            collected.setdefault(name, []).append(cells)
    found: dict[str, Score] = {}
    for name, measured in collected.items():
        found |= {f"dcf.{name}_{measure}": mean_over_clips(_counted(measured, measure)) for measure in MEANS}
        found[f"dcf.{name}_calibration_error"] = _calibration(measured)
    return {name: value for name, value in found.items() if value.n}


def judge(result: CorrelationFields, truth: Truth) -> dict[str, float]:
    """The measures of :func:`score` for one picture whose truth is known; those that no cell counts for are left out.

    Args:
        result: correlation fields of a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    found: dict[str, float] = {}
    for level in result.levels:
        for name, cells in measure_level(level, surfaces(level, truth)).items():
            means = {measure: cells[measure] for measure in MEANS if len(cells[measure])}
            found |= {f"{name}_{measure}": float(values.mean()) for measure, values in means.items()}
            if len(cells["confidence"]):
                found[f"{name}_calibration_error"] = _calibration([cells]).value
    return found


def _measure(run: ProbedRun, sources: Sequence[Source], truth: Truth) -> dict[str, Cells]:
    """The cells of every stage and length of offset, by source; raw RGB on the same grids."""
    fields = [analyze(run, Params(source=source)).levels for source in sources]
    found: dict[str, Cells] = {}
    for levels in zip(*fields, strict=True):
        known = surfaces(levels[0], truth)
        for level in (*levels, _of_rgb(run, levels[0])):
            found |= measure_level(level, known)
    return found


def _of_rgb(run: ProbedRun, level: CorrelationLevel) -> CorrelationLevel:
    """The correlations of the frames themselves, the mean over each cell, with the next frame and the one before."""
    frames, height, width = level.grid.shape
    pixels = run.clip.tensor[0, :, :: level.grid.stride_frames][:, :frames]
    pooled = F.adaptive_avg_pool2d(pixels.transpose(0, 1), (height, width)).transpose(0, 1)
    return level_of(cosine_volume(pooled, level.patch, 1), level.grid, patch=level.patch, step_px=level.step_px, source="rgb")


@dataclass(frozen=True)
class Surfaces:
    """What the cells' centres show, and where it really goes."""

    displacement_px: Mapping[int, NDArray[np.float32]]
    """Offset -> [T, H, W, 2] (x, y) to the same point of the surface in that frame."""
    seen: Mapping[int, NDArray[np.bool_]]
    """Offset -> [T, H, W] visible in both frames, and there is such a frame."""
    moving: NDArray[np.bool_]
    """[T, H, W] moves relative to the background."""
    background: NDArray[np.bool_]
    """[T, H, W] is the background."""


def surfaces(level: CorrelationLevel, truth: Truth) -> Surfaces:
    """Read the truth at the cells of a level."""
    shape, grid = level.grid.shape, level.grid
    total, *sides = truth.object_id.shape
    t, y, x = (part.ravel() for part in np.indices(shape))
    centre, frame = grid.centre_px(np.column_stack([x, y])), np.minimum(t * grid.stride_frames, total - 1)
    xy, visible = truth.tracks(np.column_stack([frame, centre]))
    column, row = (np.clip(np.rint(centre[:, axis]).astype(int), 0, side - 1) for axis, side in ((0, sides[1]), (1, sides[0])))
    moved, seen = {}, {}
    for offset in level.frame_offset.tolist():
        there = (t + offset) * grid.stride_frames
        at = (np.arange(len(t)), np.clip(there, 0, total - 1))
        moved[offset] = (xy[at] - centre).astype(np.float32).reshape(*shape, 2)
        seen[offset] = (visible[at] & (there >= 0) & (there < total)).reshape(shape)
    moving, objects = truth.moving[frame, row, column], truth.object_id[frame, row, column]
    return Surfaces(moved, seen, moving.reshape(shape), (objects == 0).reshape(shape))


def measure_level(level: CorrelationLevel, known: Surfaces) -> dict[str, Cells]:
    """Compare one stage's displacements with the truth, for every length of offset.

    Returns:
        ``"cosine_res2"``, ``"cosine_res2_offset2"``, ... -> ``angle_deg``, ``octant`` and ``confidence`` of the moving cells, and
        ``leakage`` of the still ones.
    """
    found: dict[str, list[Cells]] = {}
    for index, offset in sorted(enumerate(level.frame_offset.tolist()), key=lambda pair: abs(pair[1])):
        apart = abs(offset)
        least, reach = MOVING_CELLS * apart * level.step_px, level.patch // 2 * apart * level.step_px
        true, decoded, sure = known.displacement_px[offset], level.displacement_px[index], level.confidence[index].astype(np.float64)
        usable = known.seen[offset] & level.complete[index]
        length = np.linalg.norm(true, axis=-1)
        moves = usable & known.moving & (length >= least) & (np.abs(true) <= reach).all(-1)
        angle = angles_deg(decoded[moves], true[moves])
        claimed = sure * (np.linalg.norm(decoded, axis=-1) >= least)
        cells = {
            "angle_deg": angle,
            "octant": (angle <= OCTANT_DEG).astype(np.float64),
            "confidence": sure[moves],
            "leakage": claimed[usable & known.background & (length < least)],
        }
        found.setdefault(f"{level.source}_{level.grid.stage}" + (f"_offset{apart}" if apart > 1 else ""), []).append(cells)
    return {name: {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} for name, parts in found.items()}


def angles_deg(decoded: NDArray[np.floating], true: NDArray[np.floating]) -> NDArray[np.float64]:
    """Angles between vectors [N, 2], 0..180 degrees; a decoded zero says nothing and counts as 90."""
    first, second = decoded.astype(np.float64), true.astype(np.float64)
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    angle = np.degrees(np.abs(np.arctan2(cross, (first * second).sum(1))))
    return np.where((first == 0).all(1), 90.0, angle)


def _counted(clips: Sequence[Cells], measure: str) -> list[NDArray[np.float64]]:
    """The clips that something was counted in: a draw of others alone would have no mean."""
    return [cells[measure] for cells in clips if len(cells[measure])]


def _calibration(clips: Sequence[Cells]) -> Score:
    """Expected calibration error of the confidence, with a 95 % bootstrap interval over clips."""
    tables = []
    for cells in (cells for cells in clips if len(cells["confidence"])):
        place = np.minimum((cells["confidence"] * BINS).astype(int), BINS - 1)
        columns = (np.ones_like(place), cells["confidence"], cells["octant"])
        tables.append(np.stack([np.bincount(place, column, BINS) for column in columns]))
    if not tables:
        return Score(math.nan, (math.nan, math.nan), 0)
    counted = np.stack(tables)  # [clips, 3, bins]: cells, their confidence, the right ones
    total = int(counted[:, 0].sum())
    drawn = np.random.default_rng(0).integers(len(counted), size=(RESAMPLES, len(counted)))
    spread = [_gap(counted[row].sum(0)) for row in drawn]
    low, high = np.percentile(spread, [2.5, 97.5])
    return Score(_gap(counted.sum(0)), (float(low), float(high)), total)


def _gap(table: NDArray[np.float64]) -> float:
    """Mean over cells of |confidence - share right| of their bins."""
    return float(np.abs(table[1] - table[2]).sum() / max(float(table[0].sum()), 1.0))


# --------------------------------------------------------------------------------------------- scenes of one motion


@dataclass(frozen=True, eq=False, repr=False)
class DirectionMeasures(Record):
    """What :func:`measure_direction` found; offsets -1 and 1 together, the eight directions clockwise from right."""

    angle_deg: NDArray[np.float64]
    """[8] mean angular error inside the moving patch."""
    octant: NDArray[np.float64]
    """[8] share of its cells whose direction is within 22.5 degrees."""
    confidence: NDArray[np.float64]
    """[8] their mean confidence."""
    background_cells: NDArray[np.float64]
    """[8] mean length of the displacement of the still background, in cells."""
    textured_angle_deg: float
    """Mean angular error in the textured half of a frame that moves as a whole."""
    textured_confidence: float
    """Mean confidence there."""
    flat_confidence: float
    """Mean confidence in its other half, which has one colour."""


def measure_direction(
    network: Network, *, stage: str = "res2", source: Source = "cosine", speed_px: int = 6, seed: int = 0, side_px: int = 224
) -> DirectionMeasures:
    """Measure the decoded direction on scenes of one motion.

    Eight scenes of three frames show a patch of random texture, 96 of 224 px wide, that moves over a still one by ``speed_px`` per frame
    (rounded to whole pixels) in the directions of the compass. A ninth moves to the right as a whole, and its right half is grey.
    Cells count whose neighbourhood lies inside the map and whose centre is at least 16 px from the border of patch or half, in
    both frames. A network of random weights gets its norms' statistics from such scenes first.

    Args:
        network: any network with stages.
        stage: the stage to look at.
        source: see :class:`Params`.
        speed_px: pixels per frame; the reach is two cells of the stage.
        seed: of the textures.
        side_px: side of the frames.
    """
    rng = np.random.default_rng(seed)
    patch_px = side_px * 3 // 7
    if network.origin == "random":
        network = calibrate_norms(network, [_moving_patch(rng, (0, 0), side_px, patch_px)[0] for _ in range(CALIBRATION_SCENES)])
    rows = []
    for eighth in range(8):
        turn = eighth * np.pi / 4
        step = round(speed_px * np.cos(turn)), round(speed_px * np.sin(turn))
        frames, corners = _moving_patch(rng, step, side_px, patch_px)
        level = _level_of_scene(network, frames, stage, source)
        in_patch, beside = ([_within(level, corner, patch_px, margin) for corner in corners] for margin in (MARGIN_PX, -MARGIN_PX))
        angle, sure, _ = _compare(level, in_patch, step)
        _, _, length = _compare(level, [~cells for cells in beside], step)
        rows.append((angle.mean(), (angle <= OCTANT_DEG).mean(), sure.mean(), length.mean() / level.step_px))
    half = _half_flat(rng, speed_px, side_px)
    level = _level_of_scene(network, half, stage, source)
    textured, flat = (_within(level, (left, -side_px), side_px, MARGIN_PX, tall=3) for left in (-side_px // 2, side_px // 2))
    angle, textured_confidence, _ = _compare(level, [textured] * 3, (speed_px, 0))
    _, flat_confidence, _ = _compare(level, [flat] * 3, (speed_px, 0))
    angles, octant, confidence, background = np.array(rows).T
    return DirectionMeasures(
        angle_deg=angles,
        octant=octant,
        confidence=confidence,
        background_cells=background,
        textured_angle_deg=float(angle.mean()),
        textured_confidence=float(textured_confidence.mean()),
        flat_confidence=float(flat_confidence.mean()),
    )


def calibrate_norms(network: Network, clips: Sequence[NDArray[np.uint8]]) -> Network:
    """Give the batch norms of a network the statistics of some clips; the network itself is left as it is.

    Random weights come with norms that expect inputs of mean 0 and variance 1, which no layer of theirs gives.

    Args:
        network: the network.
        clips: uint8 [T, H, W, 3] each, all of one shape.
    """
    module = copy.deepcopy(network.module).train()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
            part.momentum = None  # the mean over all passes
    with torch.no_grad():
        for frames in clips:
            module(network.normalized(torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255))
    return replace(network, module=module)


def _texture(rng: np.random.Generator, side_px: int) -> NDArray[np.uint8]:
    """[S, S, 3] colour noise, smooth over a few pixels, that repeats at its borders."""
    frequency = np.fft.fftfreq(side_px)
    smooth = np.exp(-2 * (np.pi * SMOOTH_PX) ** 2 * (frequency[:, None] ** 2 + frequency**2))[..., None]
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side_px, side_px, 3)), axes=(0, 1)) * smooth, axes=(0, 1)).real
    return np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


def _moving_patch(
    rng: np.random.Generator, step_xy: tuple[int, int], side_px: int, patch_px: int
) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """Three frames [3, S, S, 3] of a patch that moves over a still texture, and its upper left corner (x, y) in each."""
    background, patch = _texture(rng, side_px), _texture(rng, patch_px)
    frames, corners = np.repeat(background[None], 3, axis=0), []
    for t, frame in enumerate(frames):
        x, y = (side_px - patch_px) // 2 + (t - 1) * np.array(step_xy)
        frame[y : y + patch_px, x : x + patch_px] = patch
        corners.append((int(x), int(y)))
    return frames, corners


def _half_flat(rng: np.random.Generator, speed_px: int, side_px: int) -> NDArray[np.uint8]:
    """Three frames of a texture that moves to the right behind a grey right half."""
    texture = _texture(rng, side_px)
    frames = np.stack([np.roll(texture, t * speed_px, axis=1) for t in range(3)])
    frames[:, :, side_px // 2 :] = 128
    return frames


def _level_of_scene(network: Network, frames: NDArray[np.uint8], stage: str, source: Source) -> CorrelationLevel:
    sampling = Sampling(scheme="dense", frames=len(frames), short_side_px=frames.shape[1], crop_px=frames.shape[2])
    run = probe(network, clip_from_frames(frames, name="scene of one motion"), sampling=sampling)
    return analyze(run, Params(source=source, stages=(stage,))).levels[0]


def _within(level: CorrelationLevel, corner_xy: tuple[int, int], side_px: int, margin_px: int, *, tall: int = 1) -> NDArray[np.bool_]:
    """[H, W] cells whose centre lies inside a rectangle (``tall`` times as high as wide) by the margin."""
    _, height, width = level.grid.shape
    inside = []
    for low, side, cells in ((corner_xy[1], side_px * tall, height), (corner_xy[0], side_px, width)):
        centre = level.grid.centre_px(np.arange(cells))
        inside.append((centre >= low + margin_px) & (centre <= low + side - 1 - margin_px))
    return inside[0][:, None] & inside[1]


def _compare(
    level: CorrelationLevel, cells: Sequence[NDArray[np.bool_]], step_xy: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Angular error, confidence and length in pixels at the cells that lie in the given region in both frames, offsets -1 and 1."""
    angle, sure, length = [], [], []
    for offset in (-1, 1):
        index = level.frame_offset.tolist().index(offset)
        for t in range(len(cells)):
            if level.valid_time[index, t]:
                chosen = cells[t] & cells[t + offset] & level.complete[index]
                decoded = level.displacement_px[index, t][chosen]
                angle.append(angles_deg(decoded, np.broadcast_to(offset * np.array(step_xy), decoded.shape)))
                sure.append(level.confidence[index, t][chosen])
                length.append(np.linalg.norm(decoded, axis=-1))
    return np.concatenate(angle), np.concatenate(sure), np.concatenate(length)
