"""Dynamic appearance measured against known motion: does it show what moves, and does it go on to when the camera shakes?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.baseline import TVNet, dynamic_image, farneback, rgb_difference, tvl1
from vizkit.contracts import Score
from vizkit.motion.pwtp.analysis import DynamicAppearance, front_of
from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.module import PWTP
from vizkit.motion.pwtp.objective import enopr
from vizkit.statistics import average_precision, mean_over_clips
from vizkit.world import Truth, WorldClip, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

SIDE_PX = 112
SHAKES_PX = {"": 0, "_shaken": 2}
FLOW_CLIPS, FIT_CLIPS = 20, 10
FIT_STEPS = 100

Measures = dict[str, float]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure the pictures over test clips of the motion world at 112 px, each one segment of the network's length.

    Everything is measured twice: on the clips as they are, and, under names that end in ``_shaken``, with every frame moved by up to two
    whole pixels along each axis.

    * ``precision``: average precision of |dynamic appearance| (mean over the channels) as a detector of the pixels that move relative to
      the background in any frame of the segment; ``start_precision``: the same for an untrained projection that starts from cosines,
      ``fit_precision``: for one that was fitted to each clip in 100 steps (first 10 clips);
    * ``dynamic_image_precision``, ``rgb_difference_precision``, ``tvl1_precision`` (length of the flow; first 20 clips): the controls;
    * ``moving_share``: the level of chance;
    * ``enopr``, ``temporal_mean_enopr``: root of the mean square of what the projection, and the temporal mean, leave;
    * ``tvl1_epe_px``, ``tvnet_epe_px``, ``farneback_epe_px``, ``unmoved_epe_px``: mean end-point error per frame of the flows, and of no
      flow at all, over the pixels whose surface is seen in both frames (first 20 clips); ``..._moving_epe_px``: over those that move
      relative to the background.

    Precisions leave clips out in which nothing moves. Intervals are 95 % bootstrap intervals over clips.

    Args:
        network: a network with a projection in front, else nothing is measured.
        clips: number of test clips.
        seed: of the world's test clips.
    """
    front = front_of(network)
    if front is None:
        return {}
    collected: dict[str, list[float]] = {}
    for index in range(clips):
        for ending, shake in SHAKES_PX.items():
            world = clip(index, seed=seed, frames=front.pwtp.frames, side_px=SIDE_PX, shake=shake)
            found = _measure(network, front.pwtp, world, fit=index < FIT_CLIPS, flow=index < FLOW_CLIPS)
            for name, value in found.items():
                collected.setdefault(_ended(name, ending), []).append(value)
    kept = {name: [np.array([value]) for value in values if not np.isnan(value)] for name, values in collected.items()}
    return {f"pwtp.{name}": mean_over_clips(values) for name, values in kept.items() if values}


def _ended(name: str, ending: str) -> str:
    """Units stay last."""
    return name.removesuffix("_px") + ending + "_px" if name.endswith("_px") else name + ending


def judge(record: DynamicAppearance, truth: Truth) -> Measures:
    """The measures of :func:`score` for one picture whose truth is known, as means over its segments.

    Args:
        record: dynamic appearance of a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    rows: list[Measures] = []
    for segment, frames in enumerate(record.frame_number):
        pictures = {
            "precision": np.abs(record.dynamic[segment]).mean(-1),
            "dynamic_image_precision": np.abs(record.dynamic_image[segment]).mean(-1),
            "rgb_difference_precision": np.abs(record.rgb_difference[segment]).mean((0, -1)),
        }
        flows = {"tvl1": record.flow_px, "tvnet": record.flow_tvnet_px}
        found = {name: flow[segment] for name, flow in flows.items() if flow is not None}
        if "tvl1" in found:
            pictures["tvl1_precision"] = _length(found["tvl1"])
        rows.append(_precisions(pictures, truth, frames) | _end_points(found, truth, frames[:-1]))
    names = [name for name in rows[0] if any(not np.isnan(row[name]) for row in rows)]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in names}


@torch.no_grad()
def _measure(network: Network, projection: PWTP, world: WorldClip, *, fit: bool, flow: bool) -> Measures:
    """The measures of one clip of one segment."""
    pixels = torch.from_numpy(world.clip.read(range(projection.frames))).permute(3, 0, 1, 2)[None].float() / 255
    segment = network.normalized(pixels)
    residual = projection.separate(segment)[1]
    pictures = {
        "precision": _brightness(residual.mean(2)),
        "start_precision": _brightness(fit_to_clip(segment, rank=projection.rank, steps=0)(segment)),
        "dynamic_image_precision": _brightness(dynamic_image(segment)),
        "rgb_difference_precision": _brightness(rgb_difference(segment).abs().mean(2)),
    }
    if fit:
        pictures["fit_precision"] = _brightness(fit_to_clip(segment, rank=projection.rank, steps=FIT_STEPS)(segment))
    frames, flows = np.arange(projection.frames), _flows(pixels) if flow else {}
    if flow:
        pictures["tvl1_precision"] = _length(flows["tvl1"])
    left = {"enopr": residual, "temporal_mean_enopr": segment - segment.mean(2, keepdim=True)}
    return (
        _precisions(pictures, world.truth, frames)
        | {name: float(enopr(rest)) for name, rest in left.items()}
        | _end_points(flows, world.truth, frames[:-1])
    )


def _flows(pixels: torch.Tensor) -> dict[str, NDArray[np.float32]]:
    """[T - 1, H, W, 2] flow between the neighbouring frames of a clip [1, 3, T, H, W] in [0, 1], by estimator."""
    frames = pixels[0].transpose(0, 1)
    estimators: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "tvl1": tvl1, "tvnet": TVNet(), "farneback": farneback, "unmoved": lambda first, _: first.new_zeros(len(first), *first.shape[2:], 2)
    }  # fmt: skip
    return {name: estimate(frames[:-1], frames[1:]).numpy() for name, estimate in estimators.items()}


def _brightness(picture: torch.Tensor) -> NDArray[np.float32]:
    """[H, W] mean of the absolute values of [1, C, H, W] over the channels."""
    return picture[0].abs().mean(0).numpy()


def _length(flow_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] mean length of [T - 1, H, W, 2] over time."""
    return np.linalg.norm(flow_px, axis=-1).mean(0)


def _precisions(pictures: dict[str, NDArray[np.float32]], truth: Truth, frames: NDArray[np.int64]) -> Measures:
    """Average precision of [H, W] pictures as detectors of what moves in any of the frames; NaN where nothing does."""
    moving: NDArray[np.bool_] = np.any(truth.moving[frames], axis=0)
    return {name: average_precision(picture, moving) for name, picture in pictures.items()} | {"moving_share": float(moving.mean())}


def _end_points(flows: dict[str, NDArray[np.float32]], truth: Truth, frames: NDArray[np.int64]) -> Measures:
    """Mean end-point error of flows [T - 1, H, W, 2] from the frames to the next ones, where the surface is seen in both."""
    seen, moving = ~truth.occluded[frames], truth.moving[frames] & ~truth.occluded[frames]
    found: Measures = {}
    for name, flow in flows.items():
        error = np.linalg.norm(flow - truth.flow_px[frames], axis=-1)
        found[f"{name}_epe_px"] = float(error[seen].mean())
        if moving.any():
            found[f"{name}_moving_epe_px"] = float(error[moving].mean())
    return found
