"""Two results of one view beside each other, on one scale, with their difference where it means something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vizkit.catalog import look_of, module, resolve
from vizkit.contracts import Prediction, Record, ViewResult
from vizkit.errors import SettingError
from vizkit.figure.beside import Limits, beside, common_limits, scales
from vizkit.figure.difference import Difference, difference
from vizkit.figure.spec import FigureSpec, Table
from vizkit.pipeline import draw, lay_over

OTHER_FRAMES = "The two sides show different frames: at one place they have different things, so a difference means nothing."


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Two results of one view, drawn together."""

    spec: FigureSpec
    """Both pictures and, where it was asked for and means something, their difference."""
    sides: tuple[FigureSpec, FigureSpec]
    """Each picture alone, on the scale that it has in ``spec``, with its recipe."""
    no_difference: str
    """Why there is no difference, in one sentence; empty where there is one."""
    one_scale: bool
    """Whether every scale that both pictures have is the same on both sides."""


def compare(
    one: ViewResult,
    other: ViewResult,
    *,
    look: Mapping[str, Any] | None = None,
    other_look: Mapping[str, Any] | None = None,
    names: tuple[str, str] = ("A", "B"),
    locked: bool = True,
    apart: bool = True,
    over: tuple[ViewResult, ViewResult] | None = None,
) -> Comparison:
    """Draw two results of one view beside each other.

    Args:
        one: from :func:`vizkit.analyze`.
        other: another result of the same view.
        look: fields of the view's ``Look`` for ``one``.
        other_look: the same for ``other``; that of ``one`` when None.
        names: what the sides are called in headings, keys and captions.
        locked: draw both on the scales that hold the values of both; otherwise each on its own.
        apart: add the difference.
        over: results of the view ``gradcam``, to be laid over the frames of each side in raw values.

    Raises:
        SettingError: results of two views, or an unknown look.
    """
    view = one.provenance.view
    if other.provenance.view != view:
        raise SettingError(f"The results are of two views, {view!r} and {other.provenance.view!r}; one view is compared.", code="view")
    looks = [dict(look or {}), dict(look or {}) if other_look is None else dict(other_look)]
    sides = [draw(result, **own) for result, own in zip((one, other), looks, strict=True)]
    if locked:
        shared = _as_look(view, common_limits(*sides))
        sides = [draw(result, **own, **shared) for result, own in zip((one, other), looks, strict=True)]
    found = _why_not(one, other, looks[0]) or difference(*sides, names=names)
    drawn = found if apart and isinstance(found, Difference) else None
    first, second = _laid_over(sides, over, locked=locked) if over else sides
    return Comparison(
        spec=beside(first, second, names=names, apart=drawn),
        sides=(first, second),
        no_difference=found if isinstance(found, str) else "",
        one_scale=_agree(scales(first), scales(second)),
    )


def _laid_over(sides: Sequence[FigureSpec], over: tuple[ViewResult, ViewResult], *, locked: bool) -> list[FigureSpec]:
    """Both pictures with their class maps, up to the larger of both maxima or each up to its own; a map without one is a note alone."""
    tops = [float(result.arrays()["values"].max()) for result in over]
    return [lay_over(spec, result, max(tops) if locked else top) for spec, result, top in zip(sides, over, tops, strict=True)]


def _as_look(view: str, limits: Limits) -> dict[str, Any]:
    """Limits as a view's look takes them: by name of the scale, or as the one number at the end of its only one."""
    known = look_of(module(view)).model_fields
    if "limits" in known:
        return {"limits": limits} if limits else {}
    return {"limit": max(high for _, high in limits.values())} if "limit" in known and limits else {}


def _agree(one: Limits, other: Limits) -> bool:
    return all(one[label] == other[label] for label in one.keys() & other.keys())


def _why_not(one: ViewResult, other: ViewResult, look: Mapping[str, Any]) -> str:
    """Why a difference would mean nothing; empty where nothing is known against it."""
    frames = [found.clip.frames for found in (one, other)]  # type: ignore[attr-defined]
    if not np.array_equal(*frames):
        return OTHER_FRAMES
    rule = module(one.provenance.view).no_difference
    return str(resolve(rule)(one, other, look) or "") if rule else ""


# --------------------------------------------------------------------------------------------- predictions


@dataclass(frozen=True)
class LabelChange:
    """One label in two predictions."""

    label: str
    """Name of the class."""
    probabilities: tuple[float, float]
    """Of both sides."""
    logits: tuple[float, float]
    """Of both sides."""

    @property
    def change(self) -> float:
        """Probability of the other side minus that of the one, in -1..1."""
        return self.probabilities[1] - self.probabilities[0]


def label_changes(one: Prediction, other: Prediction, *, top: int = 5) -> tuple[LabelChange, ...]:
    """The most probable labels of two predictions, each with both probabilities; by the larger of them.

    Args:
        one: a prediction.
        other: another one over the same labels.
        top: labels taken of each.

    Raises:
        SettingError: the predictions have other labels.
    """
    if one.labels != other.labels:
        raise SettingError("The two predictions are over other labels, so there is nothing to subtract.", code="labels")
    chosen = {row.index for found in (one, other) for row in found.top(top)}
    both = (one.probabilities, other.probabilities)
    rows = [
        LabelChange(
            one.labels[index],
            (float(both[0][index]), float(both[1][index])),
            (float(one.logits[index]), float(other.logits[index])),
        )
        for index in sorted(chosen)
    ]
    return tuple(sorted(rows, key=lambda row: -max(row.probabilities)))


def tabulate_changes(rows: tuple[LabelChange, ...], *, names: tuple[str, str] = ("A", "B")) -> Table:
    """The labels as a table: both probabilities and their difference in percentage points, both logits and theirs."""
    a, b = names
    columns = ("label", f"{a}_percent", f"{b}_percent", "change_points", f"{a}_logit", f"{b}_logit", "change_logit")
    return Table(
        columns,
        tuple(
            (row.label, *(100 * part for part in row.probabilities), 100 * row.change, *row.logits, row.logits[1] - row.logits[0])
            for row in rows
        ),
    )
