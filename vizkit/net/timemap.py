"""Which frames of the clip one time step of a stage looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vizkit.contracts import Stage
from vizkit.net.field import edge_lines

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun

_KEPT: WeakKeyDictionary[nn.Module, dict[object, NDArray[np.int64] | None]] = WeakKeyDictionary()
"""What was found for a module, by stage (place and order of axes), shape of the clip and blocks switched off."""


def frames_covered(run: ProbedRun, stage: Stage) -> NDArray[np.int64] | None:
    """First and last frame that each time step of a stage looks at through the windows of convolutions, pools and shifts.

    Followed on shapes through the network's own pass. What mixes a whole clip (attention, correlation, gates that see its mean) is not
    counted: there, a step may know more of the clip than this.

    Args:
        run: a probed run.
        stage: one of its network's.

    Returns:
        int64 [T, 2], sampled frames, both included; None where an operation hides it.
    """
    kept = _KEPT.setdefault(run.network.module, {})
    key = stage.path, stage.axes, tuple(run.clip.tensor.shape), run.without  # names are given by whoever wraps the module
    if key not in kept:
        kept[key] = _follow(run, stage)
    return kept[key]


def _follow(run: ProbedRun, stage: Stage) -> NDArray[np.int64] | None:
    shape, places = run.clip.tensor.shape, {stage.name: stage}
    edges = [edge_lines(run.network, places, shape, edge, run.without) for edge in ("first", "last")]
    steps, frames = run.taps[stage.name].after.shape[1], len(run.clip.frames)
    lines = [edge[stage.name][0] for edge in edges if stage.name in edge]
    if len(lines) < 2 or any(line.shape != (steps,) or bool(line.isnan().any()) for line in lines):
        return None
    low, high = (line.clamp(0, frames - 1).numpy() for line in lines)
    return np.stack([np.floor(low), np.ceil(high)], -1).astype(np.int64)
