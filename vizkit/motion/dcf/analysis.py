"""From a probed run to correlation fields: volumes, displacements and confidences of one or more stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vizkit.contracts import COPIES, FAR_APART_S, Block, Grid, Provenance, Record, SampledClip, Settings
from vizkit.errors import SettingError
from vizkit.motion.dcf.agreement import Agreement, agree, said, tvl1_flow
from vizkit.motion.dcf.decode import Decoded, decode_displacement
from vizkit.motion.dcf.levels import CorrelationLevel, cosine_volume, level_of
from vizkit.motion.dcf.module import DCFBlock

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

__all__ = ["CorrelationFields", "CorrelationLevel", "Decoded", "Params", "analyze", "decode_displacement", "unavailable"]

Point = tuple[int, float, float]
Source = Literal["cosine", "model"]

PATCH, TEMPORAL_RANGE, STAGES = 5, 2, 3  # the paper's, for a network without DCF blocks
LARGEST_BYTES = 1 << 30
MOVING_CELLS = 0.5
SHOWS = {
    "cosine": "Source cosine shows how the scene moves in the features, trained or not; it is not what a DCF block computes.",
    "model": "Source model shows the dot products that the blocks use; neighbours with strong features win them, moving or not.",
}


class Params(Settings):
    """What is computed for DCF's view."""

    source: Source = "cosine"
    """``cosine``: centred cosine similarity of the features, of any network; ``model``: the volume that the stage's DCF block uses."""
    stages: tuple[str, ...] = ()
    """Stages, shallow to deep; empty for those with a DCF block, or the first three."""
    patch: int | None = Field(None, ge=3, le=15)
    """K, odd; None for the block's own, or 5."""
    temporal_range: int | None = Field(None, ge=1, le=8)
    """L, time steps each way; None for the block's own, or 2."""
    points: tuple[Point, ...] = Field((), max_length=8)
    """Picked cells (t, x, y): sampled frame and model pixels; empty for the one that moves most clearly."""
    tvl1: bool = False
    """Optical flow by TV-L1 to the next frame beside the stages, and how well the directions agree with it."""

    @field_validator("stages", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("patch")
    @classmethod
    def _odd(cls, value: int | None) -> int | None:
        if value is not None and value % 2 == 0:
            raise ValueError(f"patch is {value}, but an odd number of cells is accepted")
        return value


@dataclass(frozen=True, eq=False, repr=False)
class CorrelationFields(Record):
    """Correlation fields of one or more stages of one run; the arrays of the first stage are at hand under their own names."""

    levels: tuple[CorrelationLevel, ...]
    """One for each stage, shallow to deep."""
    picked_txy: NDArray[np.float64]
    """[Q, 3] picked cells: sampled frame and model pixels."""
    flow_px: NDArray[np.float32] | None
    """[T - 1, H, W, 2] TV-L1 from each sampled frame to the next one, in model pixels; None where it was not asked for."""
    agreements: tuple[Agreement, ...]
    """How well each stage's directions agree with it; empty without it."""
    clip: SampledClip
    """The frames."""
    params: Params
    """Settings of the analysis."""
    shapes: tuple[tuple[str, str], ...]
    """The strip frame -> features -> operator -> picture."""
    notes: tuple[str, ...]
    """What a reader must know."""
    provenance: Provenance
    """What it was made from."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        self._expect("picked_txy", ("Q", 3), {}, "float64")
        if not self.levels:
            raise ValueError("CorrelationFields.levels: at least one stage is needed.")

    @property
    def grid(self) -> Grid:
        """Grid of the first stage."""
        return self.levels[0].grid

    @property
    def volume(self) -> NDArray[np.float32]:
        """[offsets, T, P, P, H, W] of the first stage."""
        return self.levels[0].volume

    @property
    def frame_offset(self) -> NDArray[np.int64]:
        """[offsets] of the first stage."""
        return self.levels[0].frame_offset

    @property
    def displacement_px(self) -> NDArray[np.float32]:
        """[offsets, T, H, W, 2] of the first stage."""
        return self.levels[0].displacement_px

    @property
    def confidence(self) -> NDArray[np.float32]:
        """[offsets, T, H, W] of the first stage."""
        return self.levels[0].confidence

    @property
    def complete(self) -> NDArray[np.bool_]:
        """[offsets, H, W] of the first stage."""
        return self.levels[0].complete

    @property
    def valid_time(self) -> NDArray[np.bool_]:
        """[offsets, T] of the first stage."""
        return self.levels[0].valid_time

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the first stage under the names of the record, those of the others as ``volume_res3`` and so on."""
        found = self.levels[0].arrays()
        for level in self.levels[1:]:
            found |= {f"{name}_{level.grid.stage}": array for name, array in level.arrays().items()}
        if self.flow_px is not None:
            found["flow_px"] = self.flow_px
        for agreement in self.agreements:
            found |= {f"tvl1_cosine_{agreement.stage}": agreement.cosine, f"tvl1_cells_{agreement.stage}": agreement.cells}
        return found | {"picked_txy": self.picked_txy, "frame_index": self.clip.index, "frame_times_s": self.clip.times_s}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers: confidence and speed at the offset of one time step."""
        found: dict[str, float | int | str | bool] = {
            "source": self.params.source,
            "stages": ", ".join(level.grid.stage for level in self.levels),
        }
        for level in self.levels:
            stage, ahead = level.grid.stage, level.frame_offset.tolist().index(1)
            sure = level.confidence[ahead]
            speed = np.hypot(*np.moveaxis(level.motion_px[ahead], -1, 0))
            found |= {
                f"{stage}_patch": level.patch,
                f"{stage}_reach_px": level.reach_px,
                f"{stage}_confidence": float(sure.mean()),
                f"{stage}_speed_px": float((speed * sure).sum() / max(float(sure.sum()), 1e-12)),
            }
        for agreement in self.agreements:
            found |= {f"{agreement.stage}_tvl1_cosine": agreement.mean, f"{agreement.stage}_tvl1_cells": int(agreement.cells.sum())}
        return found


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network; None where it can. Correlations need no weights, so any stage will do."""
    return None if network.stages else f"{network.name} publishes no stages to correlate."


def analyze(run: ProbedRun, params: Params) -> CorrelationFields:
    """Work out the correlation fields of one or more stages.

    Source ``model`` calls the block's own steps again on its tapped input, so the picture is made by the code that computed the
    prediction. Source ``cosine`` takes each channel's mean over the clip from the stage's features, scales every cell to unit length and
    correlates with the same operator; it needs no weights.

    Args:
        run: a probed run.
        params: source, stages, patch, range, points.

    Raises:
        SettingError: an unknown stage, a point outside the clip, a patch or range other than the block's own with source ``model``, or
            volumes larger than one gigabyte.
        NotAvailableError: the block is switched off in this run, and its own volume is asked for.
    """
    for point in params.points:
        run.clip.check_point(*point)
    plans = [_plan(run, name, params) for name in _stage_names(run.network, params)]
    _check_size(plans)
    levels = _levels(run, plans)
    flow_px = _flow(run) if params.tvl1 else None
    agreements = () if flow_px is None else tuple(agree(level, flow_px) for level in levels)
    picked = np.array(params.points, np.float64).reshape(-1, 3) if params.points else _clearest(levels[0])
    return CorrelationFields(
        levels=levels,
        picked_txy=picked,
        flow_px=flow_px,
        agreements=agreements,
        clip=run.clip,
        params=params,
        shapes=_shapes(run, plans, levels),
        notes=(*_notes(run, levels), *([said(agreements)] if agreements else [])),
        provenance=replace(run.provenance, view="dcf", params=params.model_dump()),
    )


@dataclass(frozen=True)
class _Plan:
    """What is correlated at one stage."""

    stage: str
    block: str
    source: Source
    patch: int
    temporal_range: int
    grid: Grid


_KEPT: WeakKeyDictionary[ProbedRun, dict[_Plan, CorrelationLevel]] = WeakKeyDictionary()
"""Levels of the last analysis of each run that is still there."""


_FLOWS: WeakKeyDictionary[ProbedRun, NDArray[np.float32]] = WeakKeyDictionary()
"""Optical flow of each run that is still there."""


def _flow(run: ProbedRun) -> NDArray[np.float32]:
    if run not in _FLOWS:
        _FLOWS[run] = tvl1_flow(run.clip)
    return _FLOWS[run]


def _stage_names(network: Network, params: Params) -> tuple[str, ...]:
    """The stages asked for, in the network's order."""
    known = [stage.name for stage in network.stages]
    asked = {network.stage(name).name for name in params.stages}
    if not asked:
        asked = {block.stage for block, _ in dcf_blocks(network)} or set(first_stages(network))
    return tuple(name for name in known if name in asked)


def first_stages(network: Network) -> list[str]:
    """The first stages of a network without DCF blocks, shallow to deep; pixels are no features to correlate."""
    return [stage.name for stage in network.stages if stage.stride_px > 1][:STAGES]


def dcf_blocks(network: Network) -> list[tuple[Block, DCFBlock]]:
    """The network's DCF blocks, shallow to deep."""
    found = ((block, network.module.get_submodule(block.path)) for block in network.blocks)
    return [(block, module) for block, module in found if isinstance(module, DCFBlock)]


def _plan(run: ProbedRun, stage: str, params: Params) -> _Plan:
    block, module = next(((block.name, module) for block, module in dcf_blocks(run.network) if block.stage == stage), ("", None))
    own = (module.patch, module.temporal_range) if module else (PATCH, TEMPORAL_RANGE)
    asked = (params.patch or own[0], params.temporal_range or own[1])
    if params.source == "model":
        if module is None:
            raise SettingError(
                f"source is 'model', but {run.network.name} has no DCF block at {stage}; source 'cosine' needs none.", code="source"
            )
        for name, value, wanted in zip(("patch", "temporal_range"), asked, own, strict=True):
            if value != wanted:
                raise SettingError(f"{name} is {value}, but source 'model' shows what the block at {stage} uses, {wanted}.", code=name)
    return _Plan(stage, block, params.source, *asked, run.network.stage(stage).grid(run.taps[stage].after.shape[1:]))


def _check_size(plans: Sequence[_Plan]) -> None:
    size = sum(4 * 2 * plan.temporal_range * plan.patch**2 * int(np.prod(plan.grid.shape)) for plan in plans)
    if size > LARGEST_BYTES:
        raise SettingError(
            f"The correlation volumes would take {size / 1e9:.1f} GB, at most {LARGEST_BYTES / 1e9:.1f} GB are computed; "
            "choose fewer stages, a smaller patch or temporal_range, or fewer or smaller frames.",
            code="too_large",
        )  # fmt: skip


def _levels(run: ProbedRun, plans: Sequence[_Plan]) -> tuple[CorrelationLevel, ...]:
    """The plans' levels; those of a run's last analysis are kept as long as the run, so that picking a cell correlates nothing anew."""
    kept = _KEPT.get(run, {})
    found = {plan: kept[plan] if plan in kept else _level(run, plan) for plan in plans}
    _KEPT[run] = found
    return tuple(found.values())


def _level(run: ProbedRun, plan: _Plan) -> CorrelationLevel:
    with torch.no_grad():
        if plan.source == "model":
            block: DCFBlock = run.block(plan.block)  # type: ignore[assignment]
            volume = block.correlate(block.reduce(run.taps[plan.block].before[None]))[0]
        else:
            volume = cosine_volume(run.taps[plan.stage].after, plan.patch, plan.temporal_range)
    stride_px = run.network.stage(plan.stage).stride_px
    return level_of(volume, plan.grid, patch=plan.patch, step_px=stride_px, source=plan.source, block=plan.block)


def _clearest(level: CorrelationLevel) -> NDArray[np.float64]:
    """[1, 3] the cell that moves most clearly: alike since the frame before and to the frame after, by half a cell or more.

    Of those, the one whose lower confidence is highest; the most confident cell of all where none moves like that.
    """
    before, after = (level.frame_offset.tolist().index(offset) for offset in (-1, 1))
    motion, limit_px = level.motion_px, MOVING_CELLS * level.step_px / level.grid.stride_frames
    moves = np.linalg.norm(motion[before] + motion[after], axis=-1) / 2 >= limit_px
    alike = np.linalg.norm(motion[before] - motion[after], axis=-1) <= limit_px
    sure = np.where(moves & alike, 1 + np.minimum(level.confidence[before], level.confidence[after]), level.confidence[after])
    sure[~level.valid_time[before] | ~level.valid_time[after]] -= 1
    t, y, x = (int(part) for part in np.unravel_index(int(sure.argmax()), sure.shape))
    return np.array([[t * level.grid.stride_frames, *level.grid.centre_px(np.array([x, y]))]])


def _shapes(run: ProbedRun, plans: Sequence[_Plan], levels: Sequence[CorrelationLevel]) -> tuple[tuple[str, str], ...]:
    frames, height, width, _ = run.clip.frames.shape
    features = (f"{plan.stage} {' x '.join(str(side) for side in run.taps[plan.stage].after.shape)}" for plan in plans)
    volumes = (f"{plan.stage} {2 * plan.temporal_range} offsets x {plan.patch} x {plan.patch}" for plan in plans)
    return (
        ("frames", f"{frames} x {height} x {width}"),
        ("features (C x T x H x W)", ", ".join(features)),
        ("correlation", ", ".join(volumes)),
        ("picture", ", ".join(f"{level.grid.stage} {level.grid.shape[1]} x {level.grid.shape[2]} vectors" for level in levels)),
    )


def _notes(run: ProbedRun, levels: Sequence[CorrelationLevel]) -> tuple[str, ...]:
    notes = run.switched_off
    if run.clip.repeats:
        notes.append(f"{COPIES}: a cell does not move between copies of a frame.")
    bare = [level.grid.stage for level in levels if not level.block]
    if bare:
        notes.append(f"No DCF block at {', '.join(bare)}: correlations of the stage's own features.")
    alone = [level.grid.stage for level in levels if level.grid.shape[0] == 1]
    if alone:
        notes.append(f"One time step at {', '.join(alone)}: there is no other to compare it with, so no motion is shown.")
    notes.append(SHOWS[levels[0].source])
    reach = ", ".join(f"{level.reach_px:g} px ({level.grid.stage})" for level in levels)
    notes.append(f"Motion along x or y beyond the reach of {reach} per frame has no right match: it shows as another direction, or pale.")
    if run.clip.step_s > FAR_APART_S:
        notes.append(
            f"The sampled frames lie {run.clip.step_s:.2g} s apart, in which most things move further than that: take frames that follow "
            "each other (sampling scheme=dense, interval=1) to see their motion."
        )
    return tuple(notes)
