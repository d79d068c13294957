"""How strong the features are before and after each CP module of a network, and how much it changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts import Grid, Record
from vizkit.motion.cpnet.module import CPModule

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun


@dataclass(frozen=True, eq=False, repr=False)
class BlockStrength(Record):
    """One block's maps: means over channels, so that blocks of other widths compare; all before the residual block's ReLU."""

    block: str
    """Its name."""
    before: NDArray[np.float32]
    """[T, H, W] mean |x| of what goes in."""
    after: NDArray[np.float32]
    """[T, H, W] mean |x + output|."""
    change: NDArray[np.float32]
    """[T, H, W] mean |output|."""
    grid: Grid
    """Where the cells lie."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        for name in ("before", "after", "change"):
            self._expect(name, self.grid.shape, {}, "float32")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The maps under names that hold the block's."""
        return {f"{name}_{self.block}": getattr(self, name) for name in ("before", "after", "change")}


def strengths(run: ProbedRun) -> tuple[BlockStrength, ...]:
    """The maps of every CP module that is on in a run, shallow to deep.

    Args:
        run: a probed run.
    """
    blocks = [block.name for block in run.network.blocks if isinstance(run.network.module.get_submodule(block.path), CPModule)]
    found = []
    for name in blocks:
        if name not in run.without:
            tap = run.taps[name]
            maps = {"before": tap.before, "after": tap.before + tap.after, "change": tap.after}
            means = {key: value.abs().mean(0).float().cpu().numpy() for key, value in maps.items()}
            found.append(BlockStrength(name, grid=tap.stage.grid(tap.before.shape[1:]), **means))
    return tuple(found)
