"""From a probed run to correspondences: who was proposed, who won the max-pool, what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts import COPIES, Grid, Provenance, Record, SampledClip, Settings, Tap
from vizkit.errors import NotAvailableError, unknown_name
from vizkit.motion.cpnet.module import CPModule, Metric, propose
from vizkit.motion.cpnet.removal import Removal, change_share, remove_each
from vizkit.motion.cpnet.strength import BlockStrength, strengths
from vizkit.net.geometry import CellGeometry

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

Point = tuple[int, float, float]
NEIGHBORS = 8  # the paper's k, for a stage without a module
APART_CELLS = 2  # at most one default query per 3 x 3 cells


class Params(Settings):
    """What is computed for CPNet's view."""

    block: str = ""
    """Inserted block ("res3.1"), or a stage ("res3") for proposals without a module; empty for the shallowest block."""
    neighbors: int | None = Field(None, ge=1, le=64)
    """k; None for the block's own. Another k than in training is allowed (paper, table 3b: best at equality)."""
    metric: Literal["own", "semantic", "temporal", "spatiotemporal", "joint"] = "own"
    """Space of the nearest neighbours; "own" is what the block was trained with."""
    points: tuple[Point, ...] = Field((), max_length=64)
    """Queries (t, x, y): sampled frame and model pixels; empty for the cells of largest feature change."""
    queries: int = Field(3, ge=1, le=64)
    """Number of default queries, where no points are given."""
    removed: bool = False
    """Also leave out each proposal in turn and run the rest of the network without it: a pass for each that wins a channel."""


@dataclass(frozen=True, eq=False, repr=False)
class Correspondences(Record):
    """Correspondence proposals of a few queries, and the module's change of the features everywhere."""

    query: NDArray[np.int64]
    """[Q, 3] (t, y, x) cells."""
    proposal: NDArray[np.int64]
    """[Q, k, 3] (t, y, x) cells, nearest first."""
    distance_squared: NDArray[np.float32]
    """[Q, k] ascending, in the metric's unit."""
    active: NDArray[np.bool_]
    """[Q, k] in the max-pool-active set (equation 2): wins at least one live channel. All False without a module."""
    channels_won: NDArray[np.float32]
    """[Q, k] live channels whose maximum it holds; a tie is split equally."""
    live_channels: NDArray[np.int64]
    """[Q] channels whose maximum is above zero (all channels in the form ``before_max``)."""
    change_share: NDArray[np.float32]
    """[Q, k] share in the cell's feature change (:func:`vizkit.motion.cpnet.removal.change_share`); all zero without a module."""
    change: NDArray[np.float32]
    """[T, H, W] sum over channels of |what the module adds|, on ``change_grid``."""
    grid: Grid
    """Grid of queries and proposals (a shrunk module has its own)."""
    change_grid: Grid
    """Grid of the change."""
    strengths: tuple[BlockStrength, ...]
    """Features before and after each CP module of the network, shallow to deep."""
    removal: Removal | None
    """What the network says without each proposal; None where it was not asked for."""
    block: str
    """Name of the block or the stage."""
    decided: bool
    """Whether a CP module decided what is active; False for a stage without one."""
    metric: str
    """Space of the nearest neighbours."""
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
        sizes: dict[str, int] = {}
        self._expect("query", ("Q", 3), sizes, "int64")
        self._expect("proposal", ("Q", "k", 3), sizes, "int64")
        self._expect("distance_squared", ("Q", "k"), sizes, "float32")
        self._expect("active", ("Q", "k"), sizes, "bool")
        self._expect("channels_won", ("Q", "k"), sizes, "float32")
        self._expect("live_channels", ("Q",), sizes, "int64")
        self._expect("change_share", ("Q", "k"), sizes, "float32")
        self._expect("change", self.change_grid.shape, {}, "float32")

    @property
    def win_share(self) -> NDArray[np.float32]:
        """[Q, k] share of the live channels won; 0 where none is live."""
        return (self.channels_won / np.maximum(self.live_channels, 1)[:, None]).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under the names of the record, and the sampled frames' numbers and times."""
        names = ("query", "proposal", "distance_squared", "active", "channels_won", "live_channels", "change_share", "change")
        found = {name: getattr(self, name) for name in names}
        for strength in self.strengths:
            found |= strength.arrays()
        if self.removal is not None:
            removed = ("logits_all", "logits_without", "top_without", "probability_change")
            found |= {name: getattr(self.removal, name) for name in removed}
        return found | {"frame_index": self.clip.index, "frame_times_s": self.clip.times_s}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers."""
        step = (self.proposal[..., :0:-1] - self.query[:, None, :0:-1]) * self.grid.stride_px
        found = {
            "block": self.block,
            "metric": self.metric,
            "queries": len(self.query),
            "neighbors": self.proposal.shape[1],
            "active_share": float(self.active.mean()),
            "median_distance_squared": float(np.median(self.distance_squared)),
            "median_step_px": float(np.median(np.hypot(step[..., 0], step[..., 1]))),
            "change_max": float(self.change.max()),
            "change_mean": float(self.change.mean()),
        }
        if self.removal is None:
            return found
        predicted = self.removal.before.top(1)[0]
        return found | {
            "label": predicted.label,
            "probability": predicted.probability,
            "labels_changed_by_removal": int((self.removal.top_without != predicted.index).sum()),
            "largest_probability_change": float(np.abs(self.removal.probability_change).max()),
            "passes": self.removal.passes,
        }


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network; None where it can.

    Without a CP module there are still proposals on any stage: nearest neighbours need no weights.
    """
    return None if network.stages else f"{network.name} publishes no stages to look for neighbours in."


def analyze(run: ProbedRun, params: Params) -> Correspondences:
    """Work out the correspondences of a few queries.

    The module's own steps are called again on its tapped input, so the picture is made by the code that computed the prediction.

    Args:
        run: a probed run.
        params: block, k, metric, points.

    Raises:
        SettingError: an unknown block, a point outside the clip, or more neighbours than candidates.
        NotAvailableError: the block is switched off in this run.
    """
    name = params.block or usual_place(run.network, run.without)
    module, tap = _module_and_tap(run, name)
    change_grid = tap.stage.grid(tap.before.shape[1:])
    change = (tap.after.abs().sum(0) if module else torch.zeros(change_grid.shape)).float().cpu().numpy()
    features = module.points(tap.before[None]) if module else tap.before[None]
    grid = _grid(change_grid, module.shrink if module else 1, features)
    cells = _query_cells(run, params, grid, change_grid, change)
    found = _find(module, features, cells, grid, params)
    return Correspondences(
        query=cells,
        proposal=np.stack(np.unravel_index(found.index, grid.shape), -1).astype(np.int64),
        distance_squared=found.distance_squared,
        active=found.active,
        channels_won=found.channels_won,
        live_channels=found.live_channels,
        change_share=found.change_share,
        change=change,
        grid=grid,
        change_grid=change_grid,
        strengths=strengths(run),
        removal=_removal(run, name, module, cells, grid, params),
        block=name,
        decided=module is not None,
        metric=found.metric,
        clip=run.clip,
        params=params,
        shapes=_shapes(run, tap.before, features, module, found.index),
        notes=_notes(run, name, module, float(change.max()), found.metric, params),
        provenance=replace(run.provenance, view="cpnet", params=params.model_dump()),
    )


def without_each(result: Correspondences, query: int) -> Params:
    """Settings that leave out each proposal of one query of a result in turn.

    Args:
        result: from :func:`analyze`.
        query: its number.
    """
    t, y, x = result.query[query].tolist()
    place = (t * result.grid.stride_frames, *(float(side) for side in result.grid.centre_px(np.array([x, y]))))
    point: Point = result.params.points[query] if result.params.points else place
    return result.params.model_copy(update={"points": (point,), "queries": 1, "removed": True})


class _Found(NamedTuple):
    """Proposals of the queries and what the maximum made of them."""

    metric: str
    index: NDArray[np.int64]  # type: ignore[assignment]
    distance_squared: NDArray[np.float32]
    active: NDArray[np.bool_]
    channels_won: NDArray[np.float32]
    live_channels: NDArray[np.int64]
    change_share: NDArray[np.float32]


def _find(module: CPModule | None, features: torch.Tensor, cells: NDArray[np.int64], grid: Grid, params: Params) -> _Found:
    """Run the module's steps for the queries only; without a module, the neighbour search alone."""
    query = torch.from_numpy(np.ravel_multi_index(tuple(cells.T), grid.shape))
    neighbors, metric = _search(module, params)
    with torch.no_grad():
        match = module.match if module else propose
        index, distance = match(features, neighbors=neighbors, metric=metric, query=query)
        active, won, live = torch.zeros_like(index[0], dtype=torch.bool), torch.zeros_like(distance[0]), torch.zeros_like(index[0, :, 0])
        share = torch.zeros_like(distance[0])
        if module:
            embedded = module.embed(features, index, query=query)[0]
            active, won, live = find_active(embedded, every_channel=module.head == "before_max")
            share = change_share(module, embedded)
    found = (number.cpu().numpy() for number in (index[0], distance[0].float(), active, won.float(), live, share.float()))
    return _Found(metric, *found)


def _search(module: CPModule | None, params: Params) -> tuple[int, Metric]:
    """How many nearest neighbours, and in which space: as asked for, or the module's own."""
    own: Metric = module.metric if module else "semantic"
    return params.neighbors or (module.neighbors if module else NEIGHBORS), own if params.metric == "own" else params.metric


def _removal(run: ProbedRun, name: str, module: CPModule | None, cells: NDArray[np.int64], grid: Grid, params: Params) -> Removal | None:
    """What the network says without each proposal, where that was asked for."""
    if not params.removed:
        return None
    if module is None:
        raise NotAvailableError(
            f"{name} is a stage without a CP module: no proposal is used there, so none can be removed.", code="removed"
        )
    neighbors, metric = _search(module, params)
    return remove_each(run, name, torch.from_numpy(np.ravel_multi_index(tuple(cells.T), grid.shape)), neighbors=neighbors, metric=metric)


def find_active(embedded: torch.Tensor, *, every_channel: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The max-pool-active set (equation 2), restricted to live channels.

    A proposal is active if it equals the maximum, exactly and on the tensor that fed it, in some channel. After a ReLU the
    channels whose maximum is 0 tie for all proposals and would put every one into the set, so only channels with a maximum
    above 0 count (the paper does not say; cpnet.md section 6).

    Args:
        embedded: [Q, k, w] what enters the maximum.
        every_channel: count all channels as live (the form without ReLU before the maximum).

    Returns:
        active [Q, k] bool, channels_won [Q, k] (ties split equally), live [Q] number of live channels.
    """
    strongest = embedded.max(dim=1, keepdim=True).values
    live = torch.ones_like(strongest, dtype=torch.bool) if every_channel else strongest > 0
    wins = (embedded == strongest) & live
    share = wins.to(embedded.dtype) / wins.sum(1, keepdim=True).clamp_min(1)
    return wins.any(2), share.sum(2), live[:, 0].sum(1)


def places(network: Network) -> list[str]:
    """Where proposals can be looked at: the network's CP modules, then its stages; modules of other papers are none."""
    modules = ((block.name, network.module.get_submodule(block.path)) for block in network.blocks)
    return [*(name for name, module in modules if isinstance(module, CPModule)), *(stage.name for stage in network.stages)]


def usual_place(network: Network, without: Sequence[str] = ()) -> str:
    """The shallowest CP module that is on, else the second stage."""
    stages = [stage.name for stage in network.stages]
    on = [name for name in places(network) if name not in stages and name not in without]
    return on[0] if on else stages[min(1, len(stages) - 1)]


def _module_and_tap(run: ProbedRun, name: str) -> tuple[CPModule | None, Tap]:
    """The block's module (None for a stage) and what went through it."""
    if name not in places(run.network):
        raise unknown_name("block", name, places(run.network))
    if name in {stage.name for stage in run.network.stages}:
        return None, run.taps[name]
    return cast("CPModule", run.block(name)), run.taps[name]


def _grid(full: Grid, shrink: int, features: torch.Tensor) -> Grid:
    geometry = CellGeometry(full.origin_px, full.stride_px).shrunk(shrink)
    frames, height, width = features.shape[2:]
    return Grid(full.stage, geometry.origin_px, geometry.stride_px, full.stride_frames, (frames, height, width))


def _query_cells(run: ProbedRun, params: Params, grid: Grid, change_grid: Grid, change: NDArray[np.float32]) -> NDArray[np.int64]:
    """[Q, 3] the cells nearest to the points, or those of largest change."""
    if not params.points:
        heat = change if change.max() > 0 else _frame_change(run.clip, change_grid)
        return _largest(heat, params.queries, change_grid, grid)
    cells = []
    for t, x, y in params.points:
        run.clip.check_point(t, x, y)
        column, row = grid.cell_at(np.array([x, y]))
        cells.append((t // grid.stride_frames, row, column))
    return np.array(cells, np.int64)


def _frame_change(clip: SampledClip, grid: Grid) -> NDArray[np.float32]:
    """[T, H, W] grey-level change to the next frame at the cells: where to look when no module says so."""
    grey = clip.frames.astype(np.float32).mean(3)
    change = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    rows, columns = (np.clip(np.rint(grid.origin_px + np.arange(side) * grid.stride_px).astype(int), 0, grey.shape[axis] - 1)
                     for axis, side in ((1, grid.shape[1]), (2, grid.shape[2])))  # fmt: skip
    return change[:: grid.stride_frames][: grid.shape[0]][:, rows][:, :, columns]


def _largest(heat: NDArray[np.float32], count: int, heat_grid: Grid, grid: Grid) -> NDArray[np.int64]:
    """The cells of largest heat, at most one per 3 x 3 cells over all frames; ties in reading order."""
    chosen: list[tuple[int, int, int]] = []
    for number in np.argsort(-heat, axis=None, kind="stable"):
        t, y, x = (int(part) for part in np.unravel_index(number, heat.shape))
        column, row = (int(part) for part in grid.cell_at(heat_grid.centre_px(np.array([x, y]))))
        if all(max(abs(row - other[1]), abs(column - other[2])) > APART_CELLS for other in chosen):
            chosen.append((t, row, column))
            if len(chosen) == count:
                break
    return np.array(chosen, np.int64)


def _shapes(
    run: ProbedRun, before: torch.Tensor, features: torch.Tensor, module: CPModule | None, index: NDArray[np.int64]
) -> tuple[tuple[str, str], ...]:
    frames, height, width, _ = run.clip.frames.shape
    queries, neighbors = index.shape
    operator = "none"
    if module:
        operator = f"MLP {' - '.join(str(norm.num_features) for norm in module.norms)}, maximum"
    return (
        ("frames", f"{frames} x {height} x {width}"),
        ("features (C x T x H x W)", " x ".join(str(side) for side in before.shape)),
        ("nearest neighbours in other frames", f"{features[0, 0].numel()} cells, {neighbors} neighbours each"),
        ("operator", operator),
        ("picture", f"{queries} queries x {neighbors} arrows"),
    )


def _notes(run: ProbedRun, name: str, module: CPModule | None, largest: float, metric: str, params: Params) -> tuple[str, ...]:
    notes = _notes_of_run(run)
    if module is None:
        told = (
            f"{name} is a stage without a CP module: arrows are nearest neighbours of its features, and nothing decides which are active."
        )
        return (*notes, told)
    if largest == 0:
        notes.append("Identity module: it adds exactly zero, so there is no feature change to show.")
    if metric != module.metric:
        notes.append(f"Neighbours are sought in the metric {metric!r}; the module was trained with {module.metric!r}.")
    elif metric != "semantic":
        notes.append(f"This network matches in the metric {metric!r}, not in the paper's 'semantic' one.")
    if params.neighbors not in (None, module.neighbors):
        notes.append(f"k = {params.neighbors} neighbours; the module was trained with {module.neighbors}.")
    return tuple(notes)


def _notes_of_run(run: ProbedRun) -> list[str]:
    """Blocks that are off, and frames that the network saw more than once."""
    notes = run.switched_off
    if run.clip.repeats:
        notes.append(f"{COPIES}: the nearest cell in a copy of a frame is the cell itself.")
    return notes
