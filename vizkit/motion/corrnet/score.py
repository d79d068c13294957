"""CorrNet's picture measured against known motion: do a channel's arrows agree over time, does the operator match what moved?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vizkit.contracts import Sampling, Score
from vizkit.motion.corrnet.analysis import FilterGrid, Params, analyze, mean_direction, strongest_match, unavailable
from vizkit.motion.corrnet.module import CorrelationBlock
from vizkit.net.ops import correlate
from vizkit.net.probe import ProbedRun, probe
from vizkit.statistics import mean_over_clips
from vizkit.world import Truth, clip

if TYPE_CHECKING:
    from vizkit.net.network import Network

SIDE_PX = 112
OCTANT_DEG = 22.5
"""Half an octant: a direction is right if it is off by no more."""
DRAWS = 64
"""Random arrows of a channel are drawn so many times."""

Measures = dict[str, NDArray[np.float64]]
Floats = NDArray[np.floating]


def score(network: Network, *, clips: int = 200, seed: int = 0) -> dict[str, Score]:
    """Measure the view over test clips of the motion world at 112 px, at the network's shallowest correlation block.

    Counted are cells whose centre shows a moving thing that was visible in the frame before, and moved by at least half a step
    between neighbours and no farther than the neighbourhood reaches. The operator's match is the displacement with its largest
    output, summed over groups.

    * ``angular_error_deg``: between the match and the true way back; a match at the centre, which has no direction, counts as 90;
    * ``right_octant``: share of directions off by at most 22.5 degrees;
    * ``hit_rate``: share of matches within one step between neighbours (in x and in y) of the true way back.

    Each is also measured with filters of one (``..._flat``), with the cosine of the same features, centred, in the operator's place
    (``..._cosine``) and with a random neighbour (``..._random``); ``hit_rate_unmoved`` is that of the centre.

    * ``consistency``: mean resultant length of a channel's arrows over the frames, mean over the channels with at least two;
      ``consistency_random``: as many arrows to random neighbours, mean over 64 draws.

    Intervals are 95 % bootstrap intervals over clips, of the consistency over channels.

    Args:
        network: a network with at least one correlation block, else nothing is measured.
        clips: number of test clips.
        seed: of the world's test clips and of what is drawn.
    """
    if unavailable(network) is not None:
        return {}
    frames = network.sampling.total_frames
    sampling = Sampling(scheme="dense", frames=frames, short_side_px=SIDE_PX, crop_px=SIDE_PX)
    collected: dict[str, list[NDArray[np.float64]]] = {}
    for index in range(clips):
        world = clip(index, seed=seed, frames=frames, side_px=SIDE_PX)
        run = probe(network, world.clip, sampling=sampling)
        result = analyze(run, Params())
        measured = _compare(result, world.truth, {"": result.match_xy, **_controls(run, result)}, np.random.default_rng([seed, index]))
        for name, values in measured.items():
            collected.setdefault(name, []).append(values)
    lengths = _consistency(result, np.random.default_rng(seed))
    collected |= {name: [np.array([value]) for value in values] for name, values in lengths.items()}
    return {f"corrnet.{name}": mean_over_clips(values) for name, values in collected.items()}


def judge(result: FilterGrid, truth: Truth) -> dict[str, float]:
    """The same measures for one picture whose truth is known; those that need another operator are left out.

    Args:
        result: filters and matches on a clip of the motion world, sampled whole (frame t of the sampling is frame t of the truth).
        truth: the clip's truth.
    """
    rng = np.random.default_rng(0)
    measured = _compare(result, truth, {"": result.match_xy}, rng) | _consistency(result, rng)
    return {name: float(values.mean()) for name, values in measured.items() if len(values)}


def _controls(run: ProbedRun, result: FilterGrid) -> dict[str, NDArray[np.float32]]:
    """Matches [T, H, W, 2] of the same features without filters, and by their centred cosine."""
    block = run.block(result.block)
    assert isinstance(block, CorrelationBlock)  # noqa: S101
    operator = block.operator
    with torch.no_grad():
        features = block.reduce(run.taps[result.block].before[None])
        unit = F.normalize(features - features.mean((2, 3, 4), keepdim=True), dim=1)
        found = {}
        for name, maps in (("_flat", features), ("_cosine", unit)):
            plain = correlate(maps, operator.search(maps), patch=operator.patch, dilation=operator.dilation, groups=operator.groups)
            found[name] = strongest_match(plain, operator)[0].cpu().numpy()
    return found


def _compare(result: FilterGrid, truth: Truth, matches: dict[str, NDArray[np.float32]], rng: np.random.Generator) -> Measures:
    """Angles, octants and hits of matches at the cells that count, by kind of match."""
    counted, back_px = _way_back(result, truth)
    radius = result.patch // 2
    drawn = {name: np.nan_to_num(match[1:][counted]) * result.grid.stride_px for name, match in matches.items()}
    drawn["_random"] = rng.integers(-radius, radius + 1, size=back_px.shape) * result.unit_px
    measured: Measures = {}
    for name, match_px in drawn.items():
        angle = _angles(match_px, back_px)
        measured[f"angular_error{name}_deg"] = angle
        measured[f"right_octant{name}"] = (angle <= OCTANT_DEG).astype(np.float64)
        measured[f"hit_rate{name}"] = _near(match_px, back_px, result.unit_px)
    return measured | {"hit_rate_unmoved": _near(np.zeros_like(back_px), back_px, result.unit_px)}


def _way_back(result: FilterGrid, truth: Truth) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which cells [T-1, H, W] of steps 1.. count, and their true displacement [N, 2] in pixels to the step before."""
    grid = result.grid
    steps, height, width = (np.arange(side) for side in grid.shape)
    t, y, x = np.meshgrid(steps[1:], height, width, indexing="ij")
    centres = grid.centre_px(np.stack([x, y], -1))
    frame = t * grid.stride_frames
    last = np.array(truth.moving.shape[:0:-1]) - 1
    column, row = np.moveaxis(np.clip(np.rint(centres).astype(int), 0, last), -1, 0)
    thing = truth.moving[frame, row, column] & (truth.object_id[frame, row, column] > 0)
    place, visible = truth.tracks(np.column_stack([frame[thing], centres[thing]]))
    rows, before = np.arange(len(place)), (frame - grid.stride_frames)[thing]
    back = place[rows, before].astype(np.float64) - centres[thing]
    within = np.abs(back).max(-1) <= result.patch // 2 * result.unit_px
    kept = visible[rows, before] & within & (np.linalg.norm(back, axis=-1) >= result.unit_px / 2)
    counted = thing.copy()
    counted[thing] = kept
    return counted, back[kept]


def _angles(match_px: Floats, back_px: Floats) -> NDArray[np.float64]:
    """[N] degrees between two displacements, 90 where the first has no length."""
    product = np.linalg.norm(match_px, axis=-1) * np.linalg.norm(back_px, axis=-1)
    cosine = np.divide((match_px * back_px).sum(-1), product, out=np.zeros(len(product)), where=product > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _near(match_px: Floats, back_px: Floats, step_px: float) -> NDArray[np.float64]:
    """[N] 1 where two displacements differ by at most one step between neighbours in x and in y, else 0."""
    return np.asarray((np.abs(match_px - back_px) <= step_px).all(-1), np.float64)


def _consistency(result: FilterGrid, rng: np.random.Generator) -> Measures:
    """Mean resultant length of each channel with at least two arrows, and that of as many arrows to random neighbours."""
    several = ~np.isnan(result.consistency)
    if not several.any():
        return {}
    radius = result.patch // 2
    axis = np.arange(-radius, radius + 1)
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    places = places[(places != 0).any(-1)]
    drawn = places[rng.integers(len(places), size=(DRAWS, *result.arrows.shape))].astype(np.float32)
    drawn[:, ~result.arrows] = np.nan
    random = np.stack([mean_direction(peaks)[0][several] for peaks in drawn]).astype(np.float64).mean(0)
    return {"consistency": result.consistency[several].astype(np.float64), "consistency_random": np.asarray(random)}
