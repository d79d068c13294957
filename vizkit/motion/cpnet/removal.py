"""Who won: how much of a module's output comes from each proposal, and what the network says without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.contracts import Prediction, Record
from vizkit.errors import SettingError
from vizkit.motion.cpnet.module import CPModule, Metric
from vizkit.net.rest import logits_with

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun

MOST_REMOVED = 512
"""Proposals that are removed in one analysis, each of them a pass."""
TOGETHER = 9
"""Passes that run as one batch."""


@dataclass(frozen=True, eq=False, repr=False)
class Removal(Record):
    """What a network says where one proposal of one cell is left out of the maximum."""

    logits_all: NDArray[np.float32]
    """[classes] with all proposals."""
    logits_without: NDArray[np.float32]
    """[Q, k, classes] without each; a proposal that wins no channel changes nothing."""
    labels: tuple[str, ...]
    """[classes] names."""
    passes: int
    """Passes that it took."""

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        self._expect("logits_all", (len(self.labels),), {}, "float32")
        self._expect("logits_without", ("Q", "k", len(self.labels)), {}, "float32")

    @property
    def before(self) -> Prediction:
        """What the network says with all proposals."""
        return Prediction(self.logits_all, self.labels)

    @property
    def top_without(self) -> NDArray[np.int64]:
        """[Q, k] number of the most probable label without each."""
        return self.logits_without.argmax(-1)

    @property
    def probability_change(self) -> NDArray[np.float64]:
        """[Q, k] by how much the probability of the label that is predicted with all proposals changes without each."""
        label = int(self.logits_all.argmax())
        probabilities = [[Prediction(logits, self.labels).probabilities[label] for logits in row] for row in self.logits_without]
        return np.array(probabilities) - self.before.probabilities[label]


def change_share(module: CPModule, embedded: torch.Tensor) -> torch.Tensor:
    """Share of each proposal in a cell's feature change.

    The maximum of a cell is the sum of parts, one for each proposal: its values in the channels that it won, zero elsewhere (a tie is
    split equally). What follows the maximum (equation 1 and the released form alike) is linear but for a constant, so the feature change
    is the sum of what the parts become, and of that constant. The share of a proposal is the L1 norm over channels of what its part
    becomes, over the sum of these norms of all proposals. In the form ``before_max`` that is the share of sum |output| over the channels
    that it won.

    Args:
        module: the CP module.
        embedded: [Q, k, w] what enters the maximum.

    Returns:
        [Q, k], sums to 1 over the proposals; 0 where the maximum is 0 in all channels.
    """
    strongest = embedded.max(dim=1, keepdim=True).values
    wins = (embedded == strongest).to(embedded.dtype)
    parts = strongest * wins / wins.sum(1, keepdim=True)  # [Q, k, w]
    norms = (module.lift(parts) - module.lift(torch.zeros_like(parts[:1, :1]))).abs().sum(-1)
    return norms / norms.sum(1, keepdim=True).clamp_min(torch.finfo(norms.dtype).tiny)


def remove_each(run: ProbedRun, name: str, query: torch.Tensor, *, neighbors: int, metric: Metric) -> Removal:
    """Leave out each proposal of each query in turn, and run the rest of the network on what the module gives then.

    The maximum of that one cell is taken over the other proposals; all other cells keep theirs. What follows is a real pass (later
    modules look for neighbours anew). Proposals without which the maximum is the same are not run.

    Args:
        run: a probed run.
        name: block with a CP module.
        query: [Q] cell numbers on the grid that is matched.
        neighbors: k.
        metric: space of the nearest neighbours.

    Raises:
        SettingError: fewer than two proposals, or too many passes.
        NotAvailableError: the network gives other logits than it gave before.
    """
    if neighbors < 2:
        raise SettingError(
            f"neighbors is {neighbors}, but where one is removed another has to stay: at least 2 are accepted.", code="removed"
        )
    if len(query) * neighbors > MOST_REMOVED:
        raise SettingError(
            f"removed asks for {len(query) * neighbors} passes, at most {MOST_REMOVED} are run; pick fewer points, or fewer neighbors.",
            code="removed",
        )
    module: CPModule = run.block(name)  # type: ignore[assignment]
    before = run.taps[name].before[None]
    with torch.no_grad():
        features = module.points(before)
        index = module.match(features, neighbors=neighbors, metric=metric).index
        embedded = module.embed(features, index)[0]
        strongest = embedded.max(1).values  # [N, w]
        without = _without_each(embedded[query])  # [Q, k, w]
        changed = (without != strongest[query, None]).any(-1)
        rows = [(int(cell), value) for cell, kept, values in zip(query, changed, without, strict=True) for value in values[kept]]
        logits = [_logits(run, name, strongest, part, features.shape) for part in _parts(rows)]
    found = np.concatenate(logits)
    each = np.broadcast_to(found[0], (*changed.shape, found.shape[1])).copy()
    each[changed.cpu().numpy()] = found[1:]
    return Removal(found[0], each, run.network.labels, len(rows))


def _without_each(embedded: torch.Tensor) -> torch.Tensor:
    """[Q, k, w] the maximum over the other proposals, for each of them."""
    neighbors = embedded.shape[1]
    others = [[other for other in range(neighbors) if other != one] for one in range(neighbors)]
    return torch.stack([embedded[:, chosen].max(1).values for chosen in others], 1)


Row = tuple[int, torch.Tensor] | None


def _parts(rows: list[tuple[int, torch.Tensor]]) -> list[list[Row]]:
    """What runs together; the first of all rows is the network with all proposals."""
    every: list[Row] = [None, *rows]
    return [every[start : start + TOGETHER] for start in range(0, len(every), TOGETHER)]


def _logits(run: ProbedRun, name: str, strongest: torch.Tensor, rows: list[Row], points_shape: torch.Size) -> NDArray[np.float32]:
    """[rows, classes] with another maximum [w] in one cell of each."""
    module: CPModule = run.block(name)  # type: ignore[assignment]
    maxima = strongest.repeat(len(rows), 1, 1)
    for place, row in enumerate(rows):
        if row is not None:
            maxima[place, row[0]] = row[1]
    shape = torch.Size((len(rows), *points_shape[1:]))
    return logits_with(run, name, module.expand(maxima, shape, torch.Size((len(rows), *run.taps[name].before.shape))))
