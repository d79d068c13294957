"""Deletion and insertion (RISE, Petsiuk et al., BMVC 2018), in space and in time: does the map find what the prediction needs?

The label's probability is followed while parts of the clip go away in the order of the map (deletion: the lower the area under the
curve, the better) or come in that order (insertion: the higher, the better). In space the parts are the cells of the map, each in its own
time step, and what is away is blurred. In time they are frames, and what is away shows the nearest frame that is there, so that no
clip ever flickers; nothing is ever left to look at without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vizkit.contracts import Grid
from vizkit.net.network import fix_threads

if TYPE_CHECKING:
    from vizkit.net.network import Network

STEPS = 6
"""A curve in space has so many parts of equal size."""
BLUR_SHARE = 0.1
"""Standard deviation of the blur, as a share of the frame's side."""

Floats = NDArray[np.floating]


def curve_areas(network: Network, frames: torch.Tensor, values: Floats, target: int, grid: Grid) -> dict[str, float]:
    """Areas under the four curves of one map.

    Args:
        network: whose probability is followed.
        frames: [1, 3, T, H, W] in 0..1.
        values: [T', H', W'] the map; the order of equal values is that of the cells.
        target: number of the label.
        grid: where the cells lie.

    Returns:
        ``deletion``, ``insertion``, ``deletion_time``, ``insertion_time``: means of the probability from all (or nothing) there to
        nothing (or all) there, by the trapezium rule.
    """
    ranks = (-values.ravel()).argsort(kind="stable").argsort(kind="stable").reshape(values.shape)
    shown = [_shown_cells(ranks < round(values.size * part / STEPS), frames, grid) for part in range(STEPS + 1)]
    away = blur(frames)
    inserted = [torch.where(mask, frames, away) for mask in shown]
    deleted = [torch.where(mask, away, frames) for mask in shown]
    length = frames.shape[2]
    order = (-_of_frames(values, grid, length)).argsort(kind="stable")
    first = [hold(frames, order[:count]) for count in range(1, length + 1)]
    last = [hold(frames, order[length - count :]) for count in range(length, 0, -1)]
    curves = {"insertion": inserted, "deletion": deleted, "insertion_time": first, "deletion_time": last}
    said = probabilities(network, [clip for clips in curves.values() for clip in clips], target)
    areas, start = {}, 0
    for name, clips in curves.items():
        curve = said[start : start + len(clips)]
        start += len(clips)
        areas[name] = float(((curve[1:] + curve[:-1]) / 2).mean()) if len(curve) > 1 else float(curve[0])
    return areas


def _shown_cells(cells: NDArray[np.bool_], frames: torch.Tensor, grid: Grid) -> torch.Tensor:
    """[1, 1, T, H, W] the pixels whose nearest cell, in the time step that their frame belongs to, is chosen."""
    length, height, width = frames.shape[2:]
    y, x = np.mgrid[:height, :width]
    column, row = np.moveaxis(grid.cell_at(np.stack([x, y], -1)), -1, 0)
    return torch.from_numpy(cells[step_of_frames(grid, length)][:, row, column])[None, None]


def step_of_frames(grid: Grid, frames: int) -> NDArray[np.int64]:
    """[T] the time step of the map that each frame belongs to."""
    return np.minimum(np.arange(frames) // grid.stride_frames, grid.shape[0] - 1)


def _of_frames(values: Floats, grid: Grid, frames: int) -> NDArray[np.float64]:
    """[T] what the map holds in each frame; frames of one time step share it."""
    return values.reshape(len(values), -1).astype(np.float64).sum(1)[step_of_frames(grid, frames)]


def blur(frames: torch.Tensor) -> torch.Tensor:
    """Frames [1, 3, T, H, W] without detail, each by itself."""
    side = min(frames.shape[3:])
    sigma = BLUR_SHARE * side
    reach = min(round(2 * sigma), side - 1)
    taps = torch.exp(-(torch.arange(-reach, reach + 1, dtype=frames.dtype) ** 2) / (2 * sigma**2))
    kernel = (taps / taps.sum()).expand(3, 1, 1, -1)
    pictures = frames[0].transpose(0, 1)  # [T, 3, H, W]
    pictures = F.conv2d(F.pad(pictures, (reach, reach, 0, 0), "reflect"), kernel, groups=3)
    pictures = F.conv2d(F.pad(pictures, (0, 0, reach, reach), "reflect"), kernel.transpose(2, 3), groups=3)
    return pictures.transpose(0, 1)[None]


def hold(frames: torch.Tensor, there: NDArray[np.integer]) -> torch.Tensor:
    """Frames [1, 3, T, H, W] where those that are not there show the nearest one that is, of two the earlier."""
    kept = np.sort(there)
    every = np.arange(frames.shape[2])
    return frames[:, :, kept[np.abs(every[:, None] - kept).argmin(1)]]


def probabilities(network: Network, clips: Sequence[torch.Tensor], target: int) -> NDArray[np.float64]:
    """Probability of one label for each of some clips [1, 3, T, H, W]."""
    fix_threads()
    tree, device = network.tree(), next((entry.device for entry in network.module.parameters()), None)
    with torch.no_grad():
        said = [tree(network.normalized(clip.to(device)))[0].double().softmax(0)[target] for clip in clips]
    return torch.stack(said).cpu().numpy()
