"""What the catalogue, the command line and the pages need of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts.base import Settings
from vizkit.contracts.networks import Grid, Provenance


class ViewResult(Protocol):
    """What every view's record offers to the command line, the exports and the pages."""

    params: Settings
    """The parameters it was computed with."""
    grid: Grid
    """Where its cells lie."""
    provenance: Provenance
    """What it was made from."""
    notes: tuple[str, ...]
    """Sentences a reader must know ("identity module: ...")."""
    shapes: tuple[tuple[str, str], ...]
    """The strip frame -> features -> operator -> picture: (word, shape) with this run's shapes."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The record's arrays by name: the NPZ export."""

    def summary(self) -> dict[str, float | int | str | bool]:
        """A few numbers that say what was found."""


@dataclass(frozen=True)
class Citation:
    """Where a module comes from."""

    title: str
    authors: str
    venue: str
    year: int

    def bibtex(self, key: str) -> str:
        """A BibTeX entry."""
        return (
            f"@inproceedings{{{key},\n  title = {{{self.title}}},\n  author = {{{self.authors}}},\n"
            f"  booktitle = {{{self.venue}}},\n  year = {{{self.year}}}\n}}\n"
        )


class ClaimSettings(Settings):
    """What every claim can be run with; a claim that draws nothing or has one size takes no notice of the one or the other."""

    full: bool = False
    """The paper's own size, where the default is a smaller one."""
    seeds: int = Field(1, ge=1, le=10)
    """How many seeds, from 0 on."""


@dataclass(frozen=True)
class Claim:
    """Something that a paper says and that can be checked on one machine in minutes."""

    name: str
    """E.g. ``"cpnet-toy"``."""
    paper: str
    """Key of the view, e.g. ``"cpnet"``."""
    statement: str
    """One sentence: what is checked, and the bar that decides."""
    published: str
    """What the paper says, with table or section."""
    params: str
    """``"module.path:class"`` of its :class:`ClaimSettings`: ``full``, ``seeds`` and its own."""
    run: str
    """``"module.path:function"``: ``(params, report) -> Verdict``; ``report`` takes lines of progress."""
    minutes: float
    """About how long it takes on two cores."""


@dataclass(frozen=True)
class Measured:
    """One number of a claim."""

    network: str
    """What was measured."""
    seed: int
    """Its seed."""
    value: float
    """The number."""


@dataclass(frozen=True)
class Verdict:
    """What came out of a claim."""

    reproduced: bool
    """Whether the bar of the statement was met."""
    ours: tuple[Measured, ...]
    """The numbers."""
    reason: str
    """One sentence: which bar was met or missed."""


@dataclass(frozen=True)
class MotionModule:
    """What the catalogue, the command line, the pages and the scores need of a paper.

    Functions are named as ``"module.path:function"`` and imported on first use, so that listing the catalogue loads no torch.
    """

    key: str
    """Name of the view, e.g. ``"cpnet"``."""
    title: str
    """Short title for people."""
    citation: Citation
    """The paper."""
    params: str
    """The view's :class:`Settings` class."""
    architectures: str
    """``() -> tuple[Architecture, ...]``: the named networks."""
    analyze: str
    """``(run, params) -> record``."""
    figure: str
    """``(record, **look) -> FigureSpec``."""
    unavailable: str
    """``(network) -> str | None``: why the view cannot be had of a network."""
    score: str
    """``(network, *, clips, seed) -> dict[str, Score]``: measures over clips of known motion."""
    judge: str
    """``(record, truth) -> dict[str, float]``: the same measures for one picture whose truth is known."""
    how_to_read: str
    """One sentence: how to read this picture."""
    headline: str = ""
    """The measure of ``score`` that says most about the picture, without the view's name: ``"hit_rate"``."""
    claims: tuple[Claim, ...] = ()
    """What of the paper can be checked in minutes."""
    at_point: Mapping[str, str] = field(default_factory=dict)
    """How the view is drawn where all modules are shown for one picked point, if otherwise than usual: fields of its look."""
    no_difference: str = ""
    """``(record, record, look) -> str | None``: why a difference of two results of the same frames would mean nothing."""


@dataclass(frozen=True)
class Score:
    """One measure against known motion."""

    value: float
    """The measured share or error."""
    interval: tuple[float, float]
    """95 % interval."""
    n: int
    """Number of things counted."""
