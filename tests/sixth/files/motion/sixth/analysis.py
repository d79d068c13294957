"""From a probed run to the size of the differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vizkit.contracts import Grid, Provenance, Record, SampledClip, Settings
from vizkit.errors import NotAvailableError
from vizkit.motion.sixth.module import DifferenceModule

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun


class Params(Settings):
    """What is computed."""

    norm: Literal["l1", "l2"] = "l1"
    """Norm over the channels."""


@dataclass(frozen=True, eq=False, repr=False)
class Differences(Record):
    """Size of the difference to the frame before, cell by cell."""

    difference: NDArray[np.float32]
    """[T, H, W] norm over channels; 0 in the first frame."""
    grid: Grid
    """Where the cells lie."""
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
        """Check the shape."""
        self._expect("difference", self.grid.shape, {}, "float32")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {"difference": self.difference}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers."""
        return {"difference_max": float(self.difference.max()), "difference_mean": float(self.difference.mean())}


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network."""
    return None if any(True for _ in _blocks(network)) else f"{network.name} has no difference module; sixth-18 has one."


def _blocks(network: Network) -> list[str]:
    return [block.name for block in network.blocks if isinstance(network.module.get_submodule(block.path), DifferenceModule)]


def analyze(run: ProbedRun, params: Params) -> Differences:
    """Work out the differences at the first module that is on.

    Raises:
        NotAvailableError: every module is switched off.
    """
    on = [name for name in _blocks(run.network) if name not in run.without]
    if not on:
        raise NotAvailableError("Every difference module is switched off in this run.", code="switched_off")
    tap, module = run.taps[on[0]], run.block(on[0])
    differences = module.differ(tap.before[None])[0]  # type: ignore[operator]
    size = differences.abs().sum(0) if params.norm == "l1" else differences.square().sum(0).sqrt()
    grid = tap.stage.grid(size.shape)
    return Differences(
        difference=size.cpu().numpy(),
        grid=grid,
        clip=run.clip,
        params=params,
        shapes=(
            ("frames", str(run.clip.frames.shape)),
            ("features", str(tuple(tap.before.shape))),
            ("picture", str(grid.shape)),
        ),
        notes=(),
        provenance=replace(run.provenance, view="sixth", params=params.model_dump()),
    )
