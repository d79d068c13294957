"""The two sides of a comparison: frames, model, what is switched off or changed in it, and what is wanted of a view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import vizkit
from vizkit.comparison import Comparison, compare
from vizkit.contracts import SampledClip, Settings
from vizkit.ui import class_map, compute, panels
from vizkit.ui.panels import Choice
from vizkit.ui.player import Cells

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

NAMES = ("A", "B")


@dataclass(frozen=True)
class Side:
    """One side. Runs that nothing is changed in are those of the other pages and shared with them."""

    model: str
    """Name of the network."""
    frames: SampledClip
    """What it sees."""
    without: tuple[str, ...] = ()
    """Blocks that are switched off."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Block -> run-time setting -> value."""

    @property
    def key(self) -> compute.Key:
        """The key of its run."""
        plain = compute.run_key(self.model, self.frames)
        if not self.without and not self.changes:
            return plain
        return (*plain, compute.settings_key({"without": self.without, "changes": self.changes}))

    def network(self) -> Network:
        """The network, with its changes."""
        from vizkit.net.adjust import adjust

        base = compute.network(self.model)
        if not self.changes:
            return base
        return compute.RESULTS.get(("adjusted", *self.key), lambda: adjust(base, self.changes))

    def run(self) -> ProbedRun:
        """One forward pass with its taps, computed unless it is at hand."""

        def make() -> ProbedRun:
            compute.check_memory(self.network(), self.frames)
            with compute.timed_pass(self.model, self.frames):
                return vizkit.probe(self.network(), self.frames, without=self.without)

        return compute.RESULTS.get(self.key, make)

    def record_key(self, view: str, params: Settings) -> compute.Key:
        """The key of a view's result."""
        return ("record", view, *self.key, compute.settings_key(params))

    def record(self, view: str, params: Settings) -> Any:
        """A view's result."""
        return compute.RESULTS.get(self.record_key(view, params), lambda: vizkit.analyze(view, self.run(), **params.model_dump()))

    def cells(self, record: Any) -> Cells:
        """What the pointer reads on the panels of one of this side's results."""
        return Cells(self.frames, record.grid, panels.fields(self.model, self.frames, record, without=self.without))


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a comparison."""

    view: str
    """Name of the view."""
    sides: tuple[Side, Side]
    """A and B."""
    choices: tuple[Choice, Choice]
    """What is computed and how it is drawn, for each."""
    locked: bool = True
    """One scale for both."""
    apart: bool = True
    """With their difference."""
    over: Settings | None = None
    """The class map that is laid over the frames of both, if there is one."""

    @property
    def record_keys(self) -> tuple[compute.Key, ...]:
        """The keys of both results, and of their class maps."""
        keys = [side.record_key(self.view, choice.params) for side, choice in zip(self.sides, self.choices, strict=True)]
        return (*keys, *(side.record_key(class_map.VIEW, self.over) for side in self.sides if self.over))

    @property
    def key(self) -> compute.Key:
        """The key of the drawing."""
        looks = compute.settings_key({"looks": [dict(choice.look) for choice in self.choices], "locked": self.locked, "apart": self.apart})
        return (*(word for key in self.record_keys for word in key), looks)

    def at_hand(self) -> bool:
        """Whether all results are there."""
        return all(key in compute.RESULTS for key in self.record_keys)

    def records(self) -> tuple[Any, Any]:
        """Both results, computed unless they are at hand."""
        first, second = (side.record(self.view, choice.params) for side, choice in zip(self.sides, self.choices, strict=True))
        return first, second

    def maps(self) -> tuple[Any, Any] | None:
        """The class maps of both, computed unless they are at hand; None where none is wanted."""
        if self.over is None:
            return None
        return self.sides[0].record(class_map.VIEW, self.over), self.sides[1].record(class_map.VIEW, self.over)

    def cells(self) -> dict[str, Cells]:
        """What the pointer reads on the panels of both, by their names."""
        return {name: side.cells(record) for name, side, record in zip(NAMES, self.sides, self.records(), strict=True)}

    def work(self) -> None:
        """Compute all that takes long."""
        self.maps()
        self.cells()

    def drawn(self) -> Comparison:
        """Both pictures and their difference; draws what was computed, runs no network."""
        one, other = self.records()
        maps = self.maps()
        looks = {"look": self.choices[0].look, "other_look": self.choices[1].look}
        return compute.RESULTS.get(
            ("comparison", *self.key), lambda: compare(one, other, names=NAMES, locked=self.locked, apart=self.apart, over=maps, **looks)
        )
