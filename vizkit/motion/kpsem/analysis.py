"""From a probed run to key points: where they lie in each region, where they shift, how sure the match is, how much a region counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import isqrt, log2
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vizkit.contracts import COPIES, Grid, Provenance, Record, SampledClip, Settings, Tap
from vizkit.errors import SettingError, unknown_name
from vizkit.motion.kpsem.module import KPSEM, geometric_centre, key_points, region_weights, shifts, side_of

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

REGIONS, STRIDE_PX = 4, 16  # the paper's, for a network without KPSEM
MOST_REGIONS = 16
LAST_CHANNEL, LAST_SET = 4095, 63
CLEAR_MATCH = 0.5  # below, a shift is a mean over several key points rather than a way to one

Floats = NDArray[np.float32]
CORNERS = ("top left", "top right", "bottom left", "bottom right")


class Params(Settings):
    """What is computed for KPSEM's view."""

    block: str = ""
    """KPSEM block, or a stage ("res4") for key points without learned centres; empty for the block, else the stage nearest to 16 px."""
    regions: int | None = Field(None, ge=1, le=MOST_REGIONS)
    """K, regions of a frame: 1, 4, 9 or 16; None for the block's own, or 4. Only a stage can be split otherwise than its block."""
    set_shown: int = Field(0, ge=0, le=LAST_SET)
    """Set of separation centres whose key points are shown."""
    channels: tuple[int, ...] = Field((), max_length=16)
    """Channels shown; empty for those whose key points count most: the largest mean of region weight x value over steps and regions."""
    channels_shown: int = Field(3, ge=1, le=16)
    """Number of channels shown, where none are named."""

    @field_validator("channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("regions")
    @classmethod
    def _square(cls, value: int | None) -> int | None:
        if value is not None and isqrt(value) ** 2 != value:
            raise ValueError(f"regions is {value}, but a square number (1, 4, 9, 16) is accepted")
        return value


@dataclass(frozen=True, eq=False, repr=False)
class KeyPointShifts(Record):
    """Key points of every set, region and channel, and their shifts to the next step; sets, regions and steps from 0 on.

    Regions are numbered row by row: top left, top right, bottom left, bottom right for four.
    """

    point_cells: NDArray[np.int64]
    """[sets, regions, C, T, 2] (x, y) cells: where a region's largest value lies (equation 6)."""
    value: Floats
    """[sets, regions, C, T] that value (equation 7)."""
    flat: NDArray[np.bool_]
    """[sets, regions, C, T] all values of the region's several cells are the same: its key point, the first one, means nothing."""
    boundary_cells: Floats
    """[sets, T, boundaries, 2] (x, y) cells: later rows and columns of regions begin beyond them; one for four regions."""
    centre_cells: Floats
    """[sets, T, 2] (x, y) cells: the separation centre; the mean of the boundaries for more regions, the map's middle for one."""
    shift_cells: Floats
    """[sets, regions, C, T-1, 2] (x, y) cells: mean way to the next step's key points, by their match (equation 10)."""
    match: Floats
    """[sets, regions, regions of the next step, C, T-1] 0..1, sums to 1 over the latter: how alike two values are (equation 9)."""
    region_weight: Floats
    """[sets, regions, C, T-1] 0..1: how much a region counts (equation 11); sums to 1 over the regions."""
    channels: NDArray[np.int64]
    """[N] channels shown, the one that counts most first."""
    grid: Grid
    """Grid of the features."""
    block: str
    """Name of the block or the stage."""
    learned: bool
    """Whether a KPSEM module gave the centres; False for a stage, split into equal regions."""
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
        """Check the shapes against each other."""
        sizes = {"T": self.grid.shape[0], "T-1": self.grid.shape[0] - 1}
        self._expect("point_cells", ("G", "K", "C", "T", 2), sizes, "int64")
        self._expect("value", ("G", "K", "C", "T"), sizes, "float32")
        self._expect("flat", ("G", "K", "C", "T"), sizes, "bool")
        self._expect("boundary_cells", ("G", "T", side_of(sizes["K"]) - 1, 2), sizes, "float32")
        self._expect("centre_cells", ("G", "T", 2), sizes, "float32")
        self._expect("shift_cells", ("G", "K", "C", "T-1", 2), sizes, "float32")
        self._expect("match", ("G", "K", sizes["K"], "C", "T-1"), sizes, "float32")
        self._expect("region_weight", ("G", "K", "C", "T-1"), sizes, "float32")
        self._expect("channels", ("N",), sizes, "int64")

    @property
    def regions(self) -> int:
        """Regions of a frame."""
        return self.value.shape[1]

    @property
    def weighted_cells(self) -> Floats:
        """[sets, regions, C, T-1, 2] regional key point shifts, as they are embedded: region weight x shift (equation 12)."""
        return self.region_weight[..., None] * self.shift_cells

    @cached_property
    def best_region(self) -> NDArray[np.int64]:
        """[sets, regions, C, T-1] region of the next step whose key point matches best, the first of equal ones."""
        return self.match.argmax(2)

    @cached_property
    def best_match(self) -> Floats:
        """[sets, regions, C, T-1] how well."""
        return self.match.max(2)

    @cached_property
    def drawn(self) -> NDArray[np.bool_]:
        """[sets, regions, C, T-1] shifts that mean something: neither region is flat where the key point and its best match lie."""
        ahead = np.take_along_axis(self.flat[..., 1:], self.best_region, axis=1)
        return ~(self.flat[..., :-1] | ahead)

    def region_name(self, region: int) -> str:
        """What a region is called: by its corner, or by row and column."""
        if self.regions == 1:
            return "whole frame"
        row, column = divmod(region, side_of(self.regions))
        return CORNERS[region] if self.regions == len(CORNERS) else f"row {row + 1}, column {column + 1}"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under the names of the record, the weighted shifts, and the sampled frames' numbers and times."""
        names = ("point_cells", "value", "flat", "boundary_cells", "centre_cells", "shift_cells", "match", "region_weight", "channels")
        found = {name: getattr(self, name) for name in names} | {"weighted_cells": self.weighted_cells}
        return found | {"frame_index": self.clip.index, "frame_times_s": self.clip.times_s}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers: of all sets and channels, and of those shown."""
        counted, away = self.drawn, self.best_region != np.arange(self.regions)[:, None, None]
        length = np.linalg.norm(self.shift_cells, axis=-1)
        shown = (self.params.set_shown, slice(None), self.channels)
        found: dict[str, float | int | str | bool] = {
            "block": self.block,
            "learned_centres": self.learned,
            "sets": len(self.value),
            "regions": self.regions,
            "set_shown": self.params.set_shown,
            "channels": ", ".join(map(str, self.channels)),
            "flat_share": float(self.flat.mean()),
            "cross_region_moves_shown": int((away & counted)[shown].sum()),
            "shifts_shown": int(counted[shown].sum()),
        }
        if not counted.any():
            return found
        return found | {
            "cross_region_share": float(away[counted].mean()),
            "best_match_mean": float(self.best_match[counted].mean()),
            "shift_cells_mean": float(length[counted].mean()),
            "shift_px_mean": float(length[counted].mean() * self.grid.stride_px),
        }


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network; None where it can. Key points need no weights, so any stage will do."""
    return None if network.stages else f"{network.name} publishes no stages to find key points in."


def kpsem_blocks(network: Network) -> dict[str, KPSEM]:
    """The network's KPSEM modules by the names of their blocks."""
    found = {block.name: network.module.get_submodule(block.path) for block in network.blocks}
    return {name: module for name, module in found.items() if isinstance(module, KPSEM)}


def default_stage(network: Network, frames: int) -> str:
    """The stage that a network without KPSEM is looked at: cells of 16 px, as the paper's, or the nearest with two steps in time.

    Of stages with equal cells the deepest counts.
    """
    stepping = [stage for stage in network.stages if frames > stage.stride_frames] or network.stages
    return min(reversed(stepping), key=lambda stage: abs(log2(stage.stride_px / STRIDE_PX))).name


def analyze(run: ProbedRun, params: Params) -> KeyPointShifts:
    """Find the key points of a block or a stage, and their shifts.

    A module's own steps are called again on its tapped input, so the picture is made by the code that computed the prediction. A stage
    is split into equal regions, one set: that needs no weights.

    Args:
        run: a probed run.
        params: block, regions, set, channels.

    Raises:
        SettingError: an unknown block, a set or a channel that it does not have, other regions than the block's own, fewer than two
            steps in time, or a map with fewer cells on a side than there are regions.
        NotAvailableError: the block is switched off in this run.
    """
    usual = default_stage(run.network, len(run.clip.frames))
    name = params.block or next((block for block in kpsem_blocks(run.network) if block not in run.without), usual)
    module, tap = _module_and_tap(run, name)
    features = tap.before[None]
    boundary_cells, found = _kept_points(run, name, module, features, params)
    if params.set_shown >= len(found.value):
        raise SettingError(f"set_shown is {params.set_shown}, but {name} has sets 0..{len(found.value) - 1}.", code="set")
    grid = tap.stage.grid(features.shape[2:])
    middle = geometric_centre(features.shape[3], features.shape[4])[0].expand(*boundary_cells.shape[:2], 2)
    result = KeyPointShifts(
        **found._asdict(),
        boundary_cells=boundary_cells.numpy(),
        centre_cells=(boundary_cells.mean(2) if boundary_cells.shape[2] else middle).numpy(),
        channels=_channels(found, params, name),
        grid=grid,
        block=name,
        learned=module is not None,
        clip=run.clip,
        params=params,
        shapes=_shapes(run, features, found, module),
        notes=(),
        provenance=replace(run.provenance, view="kpsem", params=params.model_dump()),
    )
    return replace(result, notes=_notes(result, run, module))


def _kept_points(run: ProbedRun, name: str, module: KPSEM | None, features: torch.Tensor, params: Params) -> tuple[torch.Tensor, _Found]:
    """Boundaries and key points of all sets and channels; those of a run's last block are kept, as another set shows what is found."""
    kept = _KEPT.get(run)
    if kept is None or kept[0] != (name, params.regions):
        boundary_cells = _boundaries(module, features, params)
        kept = (name, params.regions), boundary_cells, _find(features, boundary_cells)
        _KEPT[run] = kept
    return kept[1:]


def _module_and_tap(run: ProbedRun, name: str) -> tuple[KPSEM | None, Tap]:
    """The module of a block and what went into it, or a stage's features."""
    blocks = kpsem_blocks(run.network)
    if name in blocks:
        run.block(name)
        return blocks[name], run.taps[name]
    stages = [stage.name for stage in run.network.stages]
    if name not in stages:
        raise unknown_name("block", name, [*blocks, *stages])
    return None, run.taps[name]


def _boundaries(module: KPSEM | None, features: torch.Tensor, params: Params) -> torch.Tensor:
    """[sets, T, boundaries, 2] of the module, or of one set of equal regions."""
    if module is None:
        if features.shape[2] < 2:
            raise SettingError(
                f"The features have {features.shape[2]} step in time, but key points shift between at least 2.", code="frames"
            )
        steps, height, width = features.shape[2:]
        return geometric_centre(height, width, params.regions or REGIONS).expand(1, steps, -1, -1)
    if module.regions > MOST_REGIONS:
        raise SettingError(f"The block splits frames into {module.regions} regions, but up to {MOST_REGIONS} are shown.", code="regions")
    if params.regions not in (None, module.regions):
        raise SettingError(
            f"regions is {params.regions}, but the block splits frames into {module.regions}; choose a stage as block for other regions.",
            code="regions",
        )
    with torch.no_grad():
        return module.centre(features)[0].float().cpu()


class _Found(NamedTuple):
    """Key points and shifts of all sets; fields as in the record."""

    point_cells: NDArray[np.int64]
    value: Floats
    flat: NDArray[np.bool_]
    shift_cells: Floats
    match: Floats
    region_weight: Floats


_KEPT: WeakKeyDictionary[ProbedRun, tuple[tuple[str, int | None], torch.Tensor, _Found]] = WeakKeyDictionary()


def _find(features: torch.Tensor, boundary_cells: torch.Tensor) -> _Found:
    """Run the module's steps set by set; all axes of the record."""
    sets = []
    with torch.no_grad():
        for boundary in boundary_cells[:, None].to(features.device):
            points, value = key_points(features, boundary)
            shift_cells, match = shifts(points, value)
            lowest = -key_points(-features, boundary)[1]
            weight = region_weights(features, boundary)
            flat = (value == lowest) & (_cells(boundary, features)[..., None] > 1)
            sets.append((points.long(), value, flat, shift_cells, match, weight))
    stacked = [torch.cat(parts).cpu() for parts in zip(*sets, strict=True)]  # [sets, T, regions, (next regions), C, (2)]
    point_cells, value, flat, shift_cells, match, weight = stacked
    return _Found(
        point_cells=point_cells.permute(0, 2, 3, 1, 4).contiguous().numpy(),
        value=value.permute(0, 2, 3, 1).contiguous().numpy(),
        flat=flat.permute(0, 2, 3, 1).contiguous().numpy(),
        shift_cells=shift_cells.permute(0, 2, 3, 1, 4).contiguous().numpy(),
        match=match.permute(0, 2, 3, 4, 1).contiguous().numpy(),
        region_weight=weight.permute(0, 2, 3, 1).contiguous().numpy(),
    )


def _cells(boundary: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """[1, T, regions] how many cells each region has."""
    sides = []
    for axis in (0, 1):
        end = boundary.new_full((*boundary.shape[:2], 1), features.shape[4 - axis])
        sides.append(torch.cat([torch.zeros_like(end), boundary[..., axis].floor() + 1, end], -1).diff(dim=-1))
    return (sides[1][..., :, None] * sides[0][..., None, :]).flatten(2)


def _channels(found: _Found, params: Params, name: str) -> NDArray[np.int64]:
    """The channels named, or those with the largest mean of region weight x value over regions and steps."""
    total = found.value.shape[2]
    for channel in params.channels:
        if not 0 <= channel < total:
            raise SettingError(f"channels has {channel}, but {name} has channels 0..{total - 1}.", code="channel")
    if params.channels:
        return np.array(list(dict.fromkeys(params.channels)), np.int64)
    counts = (found.region_weight * found.value[..., :-1])[params.set_shown].mean((0, 2))
    return np.argsort(-counts, kind="stable")[: params.channels_shown].astype(np.int64)


def _shapes(run: ProbedRun, features: torch.Tensor, found: _Found, module: KPSEM | None) -> tuple[tuple[str, str], ...]:
    frames, height, width, _ = run.clip.frames.shape
    sets, regions, channels, steps = found.value.shape
    vector = (("vector", str(module.out_features)),) if module else ()
    return (
        ("frames", f"{frames} x {height} x {width}"),
        ("features (C x T x H x W)", " x ".join(map(str, features.shape[1:]))),
        ("separation centres (sets x T)", f"{sets} x {steps}"),
        ("key points (sets x regions x C x T)", f"{sets} x {regions} x {channels} x {steps}"),
        ("shifts", f"{sets} x {regions} x {channels} x {steps - 1}"),
        *vector,
        ("picture", "one set, a few channels"),
    )


def _notes(result: KeyPointShifts, run: ProbedRun, module: KPSEM | None) -> tuple[str, ...]:
    notes = run.switched_off
    if module is None:
        notes.append(
            f"These are the features of {result.block}, split into equal regions: no KPSEM module is at work, and the network does not "
            "use these shifts."
        )
    elif module.separation == "fixed":
        notes.append("The separation centres were drawn at random once and are not learned.")
    shown = (result.params.set_shown, slice(None), result.channels)
    if result.flat[shown].any():
        notes.append(
            f"{int(result.flat[shown].sum())} of {result.flat[shown].size} regions shown have one value everywhere: they have no key point."
        )
    counted = result.drawn[shown]
    sure = float(result.best_match[shown][counted].mean()) if counted.any() else 1.0
    if sure < CLEAR_MATCH:
        notes.append(
            f"Key points are matched by their values alone, and these are much alike: the best match has {sure:.2f} on average, equal "
            f"values would have {1 / result.regions:.2f}. Such shifts are means over unrelated places and show no motion."
        )
    if run.clip.repeats:
        notes.append(f"{COPIES}: their key points do not shift.")
    return tuple(notes)
