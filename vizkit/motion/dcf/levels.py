"""The correlation field of one stage: its volume, and what the volume says about motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vizkit.contracts import Grid, Record
from vizkit.errors import SettingError
from vizkit.motion.dcf.decode import decode_displacement, inside_map, neighborhood_cells
from vizkit.motion.dcf.module import frame_offsets, pool_volume
from vizkit.net.geometry import CellGeometry
from vizkit.net.ops import correlate


@dataclass(frozen=True, eq=False, repr=False)
class CorrelationLevel(Record):
    """The correlation field of one stage."""

    volume: NDArray[np.float32]
    """[offsets, T, P, P, H, W] correlation of each cell with its neighbourhood in another frame; row = dy, column = dx."""
    frame_offset: NDArray[np.int64]
    """[offsets] time steps of the grid to the other frame: -L..-1, 1..L."""
    dilation_cells: NDArray[np.int64]
    """[offsets] distance of the neighbourhood's cells, |offset|."""
    displacement_px: NDArray[np.float32]
    """[offsets, T, H, W, 2] (x, y) from each cell to its match in the frame ``offset`` time steps away, in model pixels."""
    confidence: NDArray[np.float32]
    """[offsets, T, H, W] in 0..1; dimmed where the neighbourhood leaves the map, 0 where there is no such frame."""
    complete: NDArray[np.bool_]
    """[offsets, H, W] the whole neighbourhood lies inside the map: no padding took part."""
    valid_time: NDArray[np.bool_]
    """[offsets, T] there is a frame ``offset`` time steps away; where not, the end frame took its place."""
    grid: Grid
    """Where the cells lie."""
    step_px: float
    """Model pixels between neighbouring correlations at dilation 1: the stage's stride, also of a pooled volume."""
    source: str
    """``"cosine"`` or ``"model"``."""
    block: str
    """Name of the stage's DCF block, or empty."""

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        sizes = dict(zip(("T", "H", "W"), self.grid.shape, strict=True))
        self._expect("volume", ("offsets", "T", "P", "P", "H", "W"), sizes, "float32")
        self._expect("frame_offset", ("offsets",), sizes, "int64")
        self._expect("dilation_cells", ("offsets",), sizes, "int64")
        self._expect("displacement_px", ("offsets", "T", "H", "W", 2), sizes, "float32")
        self._expect("confidence", ("offsets", "T", "H", "W"), sizes, "float32")
        self._expect("complete", ("offsets", "H", "W"), sizes, "bool")
        self._expect("valid_time", ("offsets", "T"), sizes, "bool")

    @property
    def patch(self) -> int:
        """K, cells on a side of the neighbourhood."""
        return self.volume.shape[2]

    @property
    def reach_px(self) -> float:
        """Fastest motion along x or y that the neighbourhood covers, in model pixels per sampled frame; the same for every offset."""
        return self.patch // 2 * self.step_px / self.grid.stride_frames

    @property
    def motion_px(self) -> NDArray[np.float32]:
        """[offsets, T, H, W, 2] (x, y) motion in model pixels per sampled frame: displacement over offset, so its sign is the motion's."""
        frames = self.frame_offset * self.grid.stride_frames
        return (self.displacement_px / frames[:, None, None, None, None]).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        names = ("volume", "frame_offset", "dilation_cells", "displacement_px", "confidence", "complete", "valid_time")
        return {name: getattr(self, name) for name in names}


def cosine_volume(features: torch.Tensor, patch: int, temporal_range: int) -> torch.Tensor:
    """Cosine similarities of centred features: [C, T, H, W] -> [2 * range * patch^2, T, H, W] in -1..1, in the block's own order.

    After a ReLU all features point the same way; without their mean, similarity no longer hides where the channels differ. A similarity
    has no direction: those to the frames before are those to the frames after, seen from the other end, and are not computed twice.
    """
    centred = features.float() - features.float().mean((1, 2, 3), keepdim=True)
    unit = F.normalize(centred, dim=0)[None]
    here = torch.arange(unit.shape[2], device=unit.device)
    ahead: list[torch.Tensor] = []
    back: list[torch.Tensor] = []
    for offset in range(1, temporal_range + 1):
        there = unit.index_select(2, (here + offset).clamp_max(len(here) - 1))
        ahead.append(correlate(unit, there, patch=patch, dilation=offset, scale="sum")[0].contiguous())
        back.insert(0, _seen_from_there(ahead[-1], unit, patch, offset))
    return torch.cat(back + ahead)


def _seen_from_there(ahead: torch.Tensor, unit: torch.Tensor, patch: int, offset: int) -> torch.Tensor:
    """The volume [patch^2, T, H, W] at ``-offset`` from that at ``offset``: where a cell's match lies, the match has the cell."""
    frames, height, width = ahead.shape[1:]
    first = min(offset, frames)  # frames without one so far before them are compared with the first
    start = unit[:, :, :1].expand(-1, -1, first, -1, -1)
    ends = correlate(unit[:, :, :first], start, patch=patch, dilation=offset, scale="sum")[0]
    back = torch.zeros_like(ahead)
    back[:, :first] = ends
    for channel, (x, y) in enumerate(neighborhood_cells(patch, offset).tolist()):
        rows, columns = (slice(max(0, -step), max(0, side - max(0, step))) for step, side in ((y, height), (x, width)))
        rows_there, columns_there = (slice(max(0, step), max(0, side + min(0, step))) for step, side in ((y, height), (x, width)))
        back[channel, first:, rows, columns] = ahead[-1 - channel, : frames - first, rows_there, columns_there]
    return back


def level_of(
    volume: torch.Tensor, grid: Grid, *, patch: int, step_px: float, source: str, block: str = "", inside: torch.Tensor | None = None
) -> CorrelationLevel:
    """Decode a volume.

    Args:
        volume: [2 * range * patch^2, T, H, W] in the order of :func:`correlation_volume`.
        grid: where its cells lie.
        patch: K.
        step_px: model pixels between neighbouring correlations at dilation 1.
        source: what was correlated.
        block: name of the block, or empty.
        inside: bool [offsets, patch^2, H, W], which correlations are whole; by default those whose target lies inside the map.
    """
    frames, height, width = grid.shape
    by_offset = volume.float().unflatten(0, (-1, patch**2)).transpose(1, 2)  # [offsets, T, P*P, H, W]
    offsets = np.array(frame_offsets(len(by_offset) // 2))
    whole = [inside_map(height, width, patch, abs(o)) for o in offsets.tolist()] if inside is None else list(inside)
    decoded = [
        decode_displacement(part, patch=patch, dilation=abs(o), inside=mask)
        for part, o, mask in zip(by_offset, offsets.tolist(), whole, strict=True)
    ]
    there = np.arange(frames) + offsets[:, None]
    valid = (there >= 0) & (there < frames)
    return CorrelationLevel(
        volume=by_offset.unflatten(2, (patch, patch)).cpu().numpy(),
        frame_offset=offsets,
        dilation_cells=np.abs(offsets),
        displacement_px=torch.stack([part.displacement_cells for part in decoded]).cpu().numpy() * np.float32(step_px),
        confidence=torch.stack([part.confidence for part in decoded]).cpu().numpy() * valid[..., None, None].astype(np.float32),
        complete=np.stack([mask.all(0).cpu().numpy() for mask in whole]),
        valid_time=valid,
        grid=grid,
        step_px=step_px,
        source=source,
        block=block,
    )


def pool_levels(levels: Sequence[CorrelationLevel]) -> tuple[CorrelationLevel, ...]:
    """Bring all volumes to the grid of the coarsest by the block's own pooling, then decode them (section 3.2, P4).

    A correlation counts as whole where the targets of all pooled cells lie inside the map.

    Raises:
        SettingError: halving does not bring one of them to the coarsest grid.
    """
    goal = min(levels, key=lambda level: level.grid.shape[1]).grid.shape[1:]
    return tuple(_pooled(level, goal) for level in levels)


def _pooled(level: CorrelationLevel, goal: tuple[int, int]) -> CorrelationLevel:
    offsets, frames, patch, _, *size = level.volume.shape
    if tuple(size) == goal:
        return level
    volume = torch.from_numpy(level.volume).reshape(1, offsets * frames, patch**2, *size)
    inside = torch.stack([inside_map(size[0], size[1], patch, dilation) for dilation in level.dilation_cells.tolist()])[None].float()
    geometry = CellGeometry(level.grid.origin_px, level.grid.stride_px)
    while volume.shape[3] > goal[0]:
        volume, inside, geometry = pool_volume(volume), pool_volume(inside), geometry.through(2, 2)
    if volume.shape[3:] != goal:
        raise SettingError(
            f"{level.grid.stage} has {size[0]} x {size[1]} cells, and halving does not bring them to {goal[0]} x {goal[1]}.", code="layout"
        )
    grid = Grid(level.grid.stage, geometry.origin_px, geometry.stride_px, level.grid.stride_frames, (frames, *goal))
    parts = volume[0].unflatten(0, (offsets, frames)).transpose(1, 2).flatten(0, 1)  # [offsets * P*P, T, h, w]
    return level_of(parts, grid, patch=patch, step_px=level.step_px, source=level.source, block=level.block, inside=inside[0] == 1)
