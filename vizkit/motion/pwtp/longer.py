"""PWTP's third picture: dynamic appearance of longer and longer sequences with one start (the paper's figure 9)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vizkit.errors import NotAvailableError
from vizkit.figure.spec import ColorBarKey, FigureSpec, ImageLayer, Key, Panel, Table
from vizkit.motion.pwtp.analysis import DynamicAppearance
from vizkit.motion.pwtp.display import RULES, SHARE, Rule, Spread, displayed, ends_of, full_range, range_words, visible

ROWS = (("dynamic", "DA", "dynamic appearance (DA)"), ("size", "|DA|", "|DA|"), ("dynamic_image", "DI", "dynamic image (DI)"))
"""View, heading of its row, what is written on its key."""


def draw_longer(result: DynamicAppearance, *, rule: Rule, limits: Mapping[str, tuple[float, float]]) -> FigureSpec:
    """Describe the picture of sequences of different lengths: a column for each, one locked range for each row.

    Args:
        result: from :func:`vizkit.motion.pwtp.analysis.analyze`, with ``lengths``.
        rule: of dynamic appearance and dynamic images; sizes are always shown by ``abs``.
        limits: ends of a key's scale, by what is written on it; that of all lengths together where none are given.

    Raises:
        NotAvailableError: the result has no sequences of different lengths.
    """
    if not result.longer:
        raise NotAvailableError(
            "This result has one length of segments only; compute it with lengths, e.g. lengths=4,8,16.", code="lengths"
        )
    spreads = {view: _spread(result, view, label, rule, limits) for view, _, label in ROWS}
    keys: list[Key] = []
    for view, _, label in ROWS:
        own = _rule(view, rule)
        extent = full_range(_values(result, view))[1]
        if visible(own, *spreads[view]):
            said = label if own == "abs" else f"{label}, {own}"
            keys.append(ColorBarKey(said, ends_of(own, *spreads[view]), "gray", f"each channel, all lengths; raw {range_words(extent)}"))
    return FigureSpec(
        title="Dynamic appearance of longer sequences",
        caption=_caption(result, rule),
        alt=_alt(result),
        panels=tuple(_panels(result, rule, spreads)),
        keys=tuple(keys),
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate_longer(result),
    )


def _rule(view: str, rule: Rule) -> Rule:
    return "abs" if view == "size" else rule


def _values(result: DynamicAppearance, view: str) -> np.ndarray:
    """[lengths, H, W, 3] dynamic appearance, or dynamic images."""
    return np.stack([one.dynamic_image if view == "dynamic_image" else one.dynamic for one in result.longer])


def _spread(result: DynamicAppearance, view: str, label: str, rule: Rule, limits: Mapping[str, tuple[float, float]]) -> Spread:
    given = limits.get(label if _rule(view, rule) == "abs" else f"{label}, {rule}")
    return full_range(_values(result, view)) if given is None else (given[1], given)


def _panels(result: DynamicAppearance, rule: Rule, spreads: Mapping[str, Spread]) -> list[Panel]:
    height, width = result.clip.frames.shape[1:3]
    panels = []
    for column, one in enumerate(result.longer):
        mean = np.rint(result.clip.frames[: one.frames].mean(0)).astype(np.uint8)
        last = result.clip.times_s[one.frames - 1] - result.clip.times_s[0]
        title, heading = f"T = {one.frames}   {last:.2f} s", "mean frame" if column == 0 else ""
        panels.append(Panel(f"mean {one.frames}", title, (width, height), 0, column, (ImageLayer(mean, "picture"),), None, "mean", heading))
        for row, (view, name, _) in enumerate(ROWS, 1):
            pixels = displayed(_values(result, view)[column], _rule(view, rule), *spreads[view])
            said = "" if view == "size" else f"raw {range_words(full_range(_values(result, view)[column])[1])}"
            layers = (ImageLayer(pixels, "picture"),)
            panels.append(Panel(f"{view} {one.frames}", said, (width, height), row, column, layers, None, view, "" if column else name))
    return panels


def _caption(result: DynamicAppearance, rule: Rule) -> str:
    lengths = ", ".join(str(one.frames) for one in result.longer)
    steps = result.params.fit_steps
    made = f"trained on its own frames for {steps} steps" if steps else "untrained, from the start by cosines"
    first, last = result.clip.index[0], result.clip.index[result.longer[-1].frames - 1]
    return (
        f"Dynamic appearance of the first T = {lengths} sampled frames (after figure 9 of the paper), each by a projection of its own, "
        f"{made}; dynamic images of the same frames: {RULES[rule]}; |DA|: {RULES['abs']}; a in normalised RGB, q the {SHARE:g}th "
        f"percentile of |a| over all lengths, one range for each row. Source frames {first} to {last} of {result.provenance.clip}."
    )


def _alt(result: DynamicAppearance) -> str:
    told = (f"T = {one.frames}: residual {one.enopr:.3f}, mean |DA| {np.abs(one.dynamic).mean():.3g}" for one in result.longer)
    return f"Dynamic appearance of {len(result.longer)} lengths with one start. {'; '.join(told)}."


def tabulate_longer(result: DynamicAppearance) -> Table:
    """One row for each length: what the projection leaves, and the raw range of its pictures."""
    columns = ["frames", "duration_s", "enopr_rms", "enopr_rms_of_temporal_mean"]
    columns += [f"{name}_{part}" for name in ("dynamic", "dynamic_image") for part in ("min", "max", "mean_abs")]
    rows = []
    for one in result.longer:
        row = [one.frames, float(result.clip.times_s[one.frames - 1] - result.clip.times_s[0]), one.enopr, one.enopr_of_mean]
        for values in (one.dynamic, one.dynamic_image):
            row += [float(values.min()), float(values.max()), float(np.abs(values).mean())]
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))
