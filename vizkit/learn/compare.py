"""Measured runs of a plan as one document: scores of every row over its seeds, and what a module adds to its twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vizkit.contracts import Score
from vizkit.net.confusion import Confusion
from vizkit.statistics import wilson
from vizkit.world.labels import LABELS, ORDERED, PAIR_NAMES

BAR = 0.10
"""What a network must be better than its twin by, on the classes that need the order of the frames, with disjoint intervals."""

MEASURES: Mapping[str, Callable[[Confusion], Score]] = {
    "accuracy": lambda table: table.accuracy(),
    "ordered_accuracy": lambda table: table.accuracy(ORDERED),
    "in_pair": lambda table: table.in_pair(ORDERED),
}
"""Share of right labels; the same among the classes that need the order of the frames; right members of those pairs."""


def compare_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the runs of all rows together.

    A row's value is the mean over its seeds. Its interval is the 95 % Wilson interval of that mean for the number of distinct test
    clips: seeds share the clips, so that three seeds do not make three times as many. How far seeds differ is told beside it.

    Args:
        rows: of each ``module``, ``row``, ``architecture`` and ``runs`` (by seed: ``params``, ``gmacs``, ``seconds``, ``confusion`` by
            order of the frames).

    Returns:
        ``rows`` with their scores and ``modules`` with what each module adds.
    """
    told = [_row(entry) for entry in rows]
    modules: dict[str, dict[str, Any]] = {}
    for row in told:
        modules.setdefault(row["module"], {})[row["row"]] = row
    return {"rows": told, "modules": {name: _gain(found) for name, found in modules.items() if {"twin", "network"} <= found.keys()}}


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    runs: Mapping[int, Mapping[str, Any]] = entry["runs"]
    first = next(iter(runs.values()))
    tables = {order: [Confusion(np.array(run["confusion"][order])) for run in runs.values()] for order in first["confusion"]}
    in_order = tables["in_order"]
    pairs = {name: [2 * place, 2 * place + 1] for place, name in enumerate(PAIR_NAMES)}
    return {
        **{name: entry[name] for name in ("module", "row", "architecture")},
        **{name: first[name] for name in ("params", "gmacs")},
        "seeds": list(runs),
        "runs": [run["name"] for run in runs.values()],
        "seconds": [run["seconds"] for run in runs.values()],
        "scores": {order: {name: _over_seeds(found, measure) for name, measure in MEASURES.items()} for order, found in tables.items()},
        "pairs": {
            name: {
                "accuracy": _over_seeds(in_order, lambda table, of=labels: table.accuracy(of)),  # type: ignore[misc]
                "in_pair": _over_seeds(in_order, lambda table, of=labels: table.in_pair(of)),  # type: ignore[misc]
            }
            for name, labels in pairs.items()
        },
        "confusion": sum(table.counts for table in in_order).tolist(),  # type: ignore[union-attr]
    }


def _over_seeds(tables: Sequence[Confusion], measure: Callable[[Confusion], Score]) -> dict[str, Any] | None:
    """Mean over the seeds that counted anything, and its interval for as many things as one seed counts on average."""
    scores = [measure(table) for table in tables]
    total, right = sum(score.n for score in scores), sum(score.value * score.n for score in scores if score.n)
    if not total:
        return None
    clips = round(total / len(scores))
    found = wilson(clips * right / total, clips)
    return {
        "value": round(found.value, 4),
        "interval": [round(side, 4) for side in found.interval],
        "n": found.n,
        "seeds": [round(score.value, 4) if score.n else None for score in scores],
    }


def _gain(rows: Mapping[str, Any]) -> dict[str, Any]:
    """What the network adds to its twin and to the temporal twin, and in which pairs."""
    twin, network = rows["twin"], rows["network"]
    told: dict[str, Any] = {"over_twin": _difference(network, twin)}
    told["holds"] = told["over_twin"]["points"] >= 100 * BAR and told["over_twin"]["disjoint"]
    if "temporal" in rows:
        told["over_temporal"] = _difference(network, rows["temporal"])
        told["temporal_cost_percent"] = round(100 * (rows["temporal"]["gmacs"] / network["gmacs"] - 1), 2)
    told["resolves"] = [name for name in PAIR_NAMES[: len(ORDERED) // 2] if _resolves(network["pairs"][name], twin["pairs"][name])]
    told["taken_for"] = {LABELS[label]: _taken_for(network["confusion"], label) for label in range(len(LABELS))}
    return told


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    one, other = (row["scores"]["in_order"]["ordered_accuracy"] for row in (ours, theirs))
    both = zip(one["seeds"], other["seeds"], strict=False)
    return {
        "points": round(100 * (one["value"] - other["value"]), 1),
        "disjoint": one["interval"][0] > other["interval"][1] or other["interval"][0] > one["interval"][1],
        "seeds": [round(100 * (mine - other_value), 1) for mine, other_value in both],
    }


def _resolves(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """More clips of the pair get their label than by the twin, and the right member more often than not; both beyond the intervals."""
    return bool(ours["accuracy"]["interval"][0] > theirs["accuracy"]["interval"][1] and ours["in_pair"]["interval"][0] > 0.5)


def _taken_for(confusion: Sequence[Sequence[int]], label: int) -> str:
    """The label that clips of a label are most often mistaken for; empty where there is no mistake."""
    others = [0 if place == label else count for place, count in enumerate(confusion[label])]
    return LABELS[int(np.argmax(others))] if any(others) else ""
