"""Grad-CAM's maps measured: do they lie on what acts, does the prediction need what they show, do they depend on the weights?"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.contracts import Sampling, Score
from vizkit.figure.place import heat_on_pixels
from vizkit.figure.spec import HeatLayer
from vizkit.motion.gradcam.analysis import ClassAttention, unavailable
from vizkit.motion.gradcam.curves import curve_areas, step_of_frames
from vizkit.net.probe import probe
from vizkit.statistics import mean_over_clips
from vizkit.world import LABELS, Truth, WorldClip, clip

if TYPE_CHECKING:
    from vizkit.contracts import AttentionVolume, SampledClip
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

SIDE_PX = 112
CURVE_CLIPS = 16
"""Curves take some 60 passes for each clip, and are drawn for so many clips at most."""

Measures = dict[str, float]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure Grad-CAM for the true label at the last stage, over test clips of the motion world at 112 px.

    * ``gradcam.energy_in_actor``: share of the map's sum, interpolated to pixels, on things that move at some time; clips where
      nothing moves, or nothing speaks for the label, are left out. ``..._uniform``: what a map that is the same everywhere gets;
    * ``gradcam.deletion``, ``gradcam.insertion``, and the same ``_time``: areas under the curves of :mod:`.curves`, over the first 16
      clips; ``..._random``: with cells in random order;
    * ``gradcam.randomised_rank_correlation``: Spearman's, between the maps (before negative values are cut off) of the network and of
      the same network with the weights of every layer shuffled: near 0 where the map depends on what was learned.
      ``gradcam.randomised_head_rank_correlation``: with the weights of the last layer shuffled.

    Intervals are 95 % bootstrap intervals over clips.

    Args:
        network: a network with the world's labels and stages, else nothing is measured.
        clips: number of test clips.
        seed: of the world's test clips and of what is drawn.
    """
    if network.labels != LABELS or unavailable(network) is not None:
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    shuffled = {"randomised": shuffle_weights(network, seed), "randomised_head": shuffle_weights(network, seed, head_only=True)}
    collected: dict[str, list[float]] = {}
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        run, volume = _mapped(network, world, sampling)
        measured = energy_in_actor(volume, run.clip, world.truth)
        if index < CURVE_CLIPS:
            measured |= _curves(run, volume, np.random.default_rng([seed, index]))
        for name, other in shuffled.items():
            _, of_other = _mapped(other, world, sampling)
            measured |= {f"{name}_rank_correlation": rank_correlation(volume.signed, of_other.signed)}
        for name, value in measured.items():
            collected.setdefault(name, []).append(value)
    arrays = {name: [np.array([value]) for value in values if np.isfinite(value)] for name, values in collected.items()}
    return {f"gradcam.{name}": mean_over_clips(values) for name, values in arrays.items() if values}


def _mapped(network: Network, world: WorldClip, sampling: Sampling) -> tuple[ProbedRun, AttentionVolume]:
    """A run, and its map for the true label at the last stage."""
    run = probe(network, world.clip, sampling=sampling, attention=world.label)
    assert run.attention is not None
    return run, run.attention


def judge(result: ClassAttention, truth: Truth) -> dict[str, float]:
    """Energy inside what moves, for one picture whose truth is known, beside that of a map that is the same everywhere.

    Args:
        result: a map of a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    return energy_in_actor(result.volume, result.clip, truth)


def actor_mask(truth: Truth) -> NDArray[np.bool_]:
    """[T, H, W] pixels of things that move, relative to the background, at some time of the clip."""
    acting = np.unique(truth.object_id[truth.moving])
    return np.isin(truth.object_id, acting[acting > 0])


def energy_in_actor(volume: AttentionVolume, frames: SampledClip, truth: Truth) -> Measures:
    """Share of a map's sum on things that move; nothing where nothing moves or the map is zero.

    Args:
        volume: the map.
        frames: the frames it was made from, whole and in the order of the truth.
        truth: of the clip.
    """
    mask = actor_mask(truth)
    if not mask.any() or not volume.values.any():
        return {}
    length, height, width = mask.shape
    inside = 0.0
    total = 0.0
    for frame, step in enumerate(step_of_frames(volume.grid, length)):
        layer = HeatLayer(volume.values[step], volume.grid.origin_px, volume.grid.stride_px, (0.0, 1.0), "map")
        pixels = heat_on_pixels(layer, (width, height)).astype(np.float64)
        inside, total = inside + float(pixels[mask[frame]].sum()), total + float(pixels.sum())
    return {"energy_in_actor": inside / total, "energy_in_actor_uniform": float(mask.mean())}


def _curves(run: ProbedRun, volume: AttentionVolume, rng: np.random.Generator) -> Measures:
    """Areas under the curves of the map, and of one with its cells in random order."""
    found: Measures = {}
    for suffix, values in (("", volume.values), ("_random", rng.random(volume.values.shape))):
        areas = curve_areas(run.network, run.clip.tensor, values, volume.target, volume.grid)
        found |= {f"{name}{suffix}": area for name, area in areas.items()}
    return found


def shuffle_weights(network: Network, seed: int, *, head_only: bool = False) -> Network:
    """The same network with its weights (parameters with more than one axis) in random order, each layer by itself.

    Args:
        network: left as it is.
        seed: of the order.
        head_only: shuffle the last of these layers alone.
    """
    module = copy.deepcopy(network.module)
    generator = torch.Generator().manual_seed(seed)
    weights = [entry for entry in module.parameters() if entry.ndim > 1]
    with torch.no_grad():
        for entry in weights[-1:] if head_only else weights:
            order = torch.randperm(entry.numel(), generator=generator).to(entry.device)
            entry.copy_(entry.flatten()[order].view_as(entry))
    return replace(network, module=module)


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two maps of one shape; NaN where one of them is constant."""
    one, other = _ranks(first.ravel()), _ranks(second.ravel())
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else float("nan")


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N] ranks; equal values share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[group], np.float64)
