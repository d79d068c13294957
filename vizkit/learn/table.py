"""The numbers of all cards in one page: ``checkpoints/README.md``. Written by ``make tables``; a test compares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vizkit.atomic import write_atomically
from vizkit.checkpoint import Checkpoint, checkpoint_folder, checkpoints
from vizkit.learn.pictures import TRAINED, UNTRAINED, Picture, load_pictures
from vizkit.world.labels import LABELS, PAIR_NAMES

PAGE, WORTH = "README.md", "worth.json"

INTRODUCTION = """# Checkpoints

Small networks, trained by this repository on its motion world: synthetic clips whose motion is known exactly. Every folder holds the
weights (half precision, safetensors), the config they were trained by, and a card with every number and the command that gives it.
`make checkpoint NAME=cpnet-world` trains one again, `make checkpoints` all. This page is written by `make tables` from the cards.

`in pair` is the share of the right member of a pair (left / right, falling / leaping, ...), given that the pair is right: 0.5 is chance and
what a network that sees frames one by one gets. `shuffled` gives the frames in random order, `one frame` one random frame again and again.
Brackets hold 95 % intervals. These are the numbers of a card's block `test`; the `clips` of each entry says on how many test clips it was
measured. The block `scores` holds the same measures on the first 50 clips, with the wider intervals of 50 clips: `vizkit score NAME
--clips 50` gives them again within minutes. A sample of 50 may well lie outside the narrower intervals of `test`.
"""

COLUMNS = (
    ("accuracy, 112 px", "world.accuracy_112"),
    ("in pair, 112 px", "world.in_pair_112"),
    ("in pair, shuffled", "world.shuffled_in_pair_112"),
    ("accuracy, one frame", "world.one_frame_accuracy_112"),
    ("accuracy, 64 px", "world.accuracy_64"),
    ("in pair, 64 px", "world.in_pair_64"),
)

MODULES = """
## What each module adds

Three networks for each module: its twin without it; `temporal`, the twin with depthwise temporal convolutions in the module's places, as
wide as equal multiply-adds allow; and the network. The rows of a module have the same start, clips, steps and seeds; `make worth` trains
and measures them by `worth.toml`, {clips:,} test clips of {side} px each, the two controls on the first {controls}. They are trained more
briefly than the checkpoints above. A value is the mean over seeds {seeds}; its interval is that of one set of test clips, which all seeds
share; what the seeds gave one by one stands in the last column. `ordered` counts the 14 classes that cannot be told without the order of
frames, as does `in pair`. The bar: ten points over the twin among these, with disjoint intervals. PWTP stands before its backbone and not
in it, so there is no place in which a temporal convolution of equal cost could stand for it: `pwtp-world` and its twin above are all.
"""

PAIRS = """
Share of right labels, pair by pair. Bold: pairs that the module resolves, that is, more of their clips get the right label than from the
twin, and the right member of the pair more often than not, both beyond the intervals.
"""

VIDEOS = """
## On real people

Fine-tuned from the checkpoints above on UT-Interaction (two people who shake hands, hug, kick, point, punch or push; research use; the
clips do not ship, `vizkit data ut-interaction` says where they are found). Every clip is shown forwards and backwards: `class` is what is
done (6), `direction` which way the clip runs, which no single frame and no bag of frames knows (0.5 is chance). Every clip was tested once
for every seed, by a network that saw no clip of its recording; 95 % intervals over clips. The shipped weights were trained on all folds but
the one that the config names.
"""

FOLD_COLUMNS = (
    ("class", "in_order", "class"),
    ("direction", "in_order", "direction"),
    ("class, shuffled", "shuffled", "class"),
    ("direction, shuffled", "shuffled", "direction"),
    ("class, one frame", "one_frame", "class"),
    ("direction, one frame", "one_frame", "direction"),
)

VIEWS = """
## What the pictures show, against known motion

The measures of each network's views on test clips of 112 px, beside those of the same architecture with random weights on the same clips.
What is measured is said on the page of each module in `docs`. Names that end in `random`, `unmoved`, `rgb`, `uniform`, `flat` or `cosine`
are controls that use nothing learned.
"""


def write_page() -> str:
    """The page as Markdown."""
    folder, entries = checkpoint_folder(), checkpoints()
    known = [entry for entry in entries if tuple(entry.card["labels"]) == LABELS]
    rows = [
        (
            f"`{entry.name}`",
            f"`{entry.card['architecture']}`",
            f"{entry.card['cost']['params']:,}",
            *(_value(entry, key) for _, key in COLUMNS),
        )
        for entry in known
    ]
    parts = [
        f"{INTRODUCTION}\n",
        _table(("checkpoint", "architecture", "parameters", *(title for title, _ in COLUMNS)), rows),
        "\n".join(["", *map(_origin, known)]) + "\n",
        *_worth(folder / WORTH),
        *_videos([entry for entry in entries if entry.card.get("folds")]),
        *_views(known),
        *_pictures(load_pictures(folder)),
    ]
    return "".join(parts)


def _worth(path: Path) -> list[str]:
    """What each module adds, once it has been measured."""
    if not path.is_file():
        return []
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    plan = found["plan"]
    words = MODULES.format(
        clips=plan["test_clips"], side=plan["side_px"], controls=plan["control_clips"], seeds=", ".join(map(str, plan["seeds"]))
    )
    titles = (
        "parameters",
        "10⁹ multiply-adds",
        "accuracy",
        "ordered",
        "in pair",
        "in pair, shuffled",
        "accuracy, one frame",
        "ordered, by seed",
    )
    columns = ("module", "row", *titles)
    rows = [_worth_row(row) for row in found["rows"]]
    pairs = [
        (row["module"], row["row"], *(_pair(row, name, found["modules"].get(row["module"], {})) for name in PAIR_NAMES))
        for row in found["rows"]
    ]
    gains = [_gain(name, gain) for name, gain in found["modules"].items()]
    missing = [f"\nNot trained: {', '.join(found['missing'])}.\n"] if found["missing"] else []
    return [words, "\n", _table(columns, rows), "\n", *gains, *missing, PAIRS, "\n", _table(("module", "row", *PAIR_NAMES), pairs)]


def _worth_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    scores = row["scores"]
    ordered = scores["in_order"]["ordered_accuracy"]
    return (
        row["module"], row["row"], f"{row['params']:,}", f"{row['gmacs']:.3f}", *map(_entry, scores["in_order"].values()),
        _entry(scores["shuffled"]["in_pair"]), _entry(scores["one_frame"]["accuracy"]),
        ", ".join(f"{value:.3f}" for value in ordered["seeds"]),
    )  # fmt: skip


def _pair(row: Mapping[str, Any], name: str, gain: Mapping[str, Any]) -> str:
    value = f"{row['pairs'][name]['accuracy']['value']:.3f}"
    return f"**{value}**" if row["row"] == "network" and name in gain.get("resolves", ()) else value


def _gain(name: str, gain: Mapping[str, Any]) -> str:
    twin, temporal = gain["over_twin"], gain.get("over_temporal")
    met = "the bar is met" if gain["holds"] else "the bar is missed"
    told = f"- `{name}`: {twin['points']:+.1f} points over its twin ({_seeds(twin)}): {met}"
    if temporal:
        apart = "beyond" if temporal["disjoint"] else "within"
        told += (
            f"; {temporal['points']:+.1f} points over temporal convolutions ({_seeds(temporal)}), {apart} the intervals, which cost "
            f"{gain['temporal_cost_percent']:+.1f} % of its multiply-adds"
        )
    return f"{told}.\n"


def _seeds(difference: Mapping[str, Any]) -> str:
    return f"by seed {', '.join(f'{points:+.1f}' for points in difference['seeds'])}"


def _videos(entries: Sequence[Checkpoint]) -> list[str]:
    """What cross-validation on real videos gave."""
    if not entries:
        return []
    rows = [
        (
            f"`{entry.name}`",
            str(found["folds"]),
            str(found["seeds"]),
            entry.card["training"]["precision"],
            *(_entry(found["scores"][order][name]) for _, order, name in FOLD_COLUMNS),
        )
        for entry in entries
        for found in [entry.card["folds"]]
    ]
    commands = "".join(f"- `{entry.name}`: `{entry.card['folds']['command']}`\n" for entry in entries)
    columns = ("checkpoint", "folds", "seeds", "trained in", *(title for title, _, _ in FOLD_COLUMNS))
    return [VIDEOS, "\n", _table(columns, rows), "\n", commands]


def _views(entries: Sequence[Checkpoint]) -> list[str]:
    """The measures of the views, trained and untrained."""
    found = []
    for entry in entries:
        names = [name for name in entry.card["test"] if not name.startswith("world.")]
        if names:
            rows = [(name, _value(entry, name), _value(entry, name, "untrained")) for name in names]
            found.append(f"\n### `{entry.name}`\n\n" + _table(("measure", "trained", "random weights"), rows))
    return [VIEWS, *found] if found else []


def _pictures(pictures: Sequence[Picture]) -> list[str]:
    """One picture for each module, trained beside untrained."""
    if not pictures:
        return []
    told = ["\n## One picture of each module\n\nDrawn by `make pictures`, by `pictures.toml`.\n"]
    for picture in pictures:
        shown = [
            f"![{picture.view}, {words}]({picture.model}/{name})" for words, name in (("trained", TRAINED), ("random weights", UNTRAINED))
        ]
        both = _table(("trained", "random weights"), [shown])
        told.append(f"\n### `{picture.model}` on `{picture.clip}`\n\n{both}\n{picture.seen}\n\n{picture.real}\n")
    return told


def _origin(entry: Checkpoint) -> str:
    card = entry.card
    start = f"from `{card['start']}`" if card["start"] else "from random weights"
    seconds, threads = card["training"]["seconds"], card["training"]["threads"]
    learnt = f"objective `{card['training']['objective']}`, {start}, {card['data']['clips']:,} clips"
    return " ".join(
        [f"- `{entry.name}`: {learnt}, {seconds} s on {threads} thread{'s' * (threads > 1)} of a busy machine.", *card["notes"]]
    )


def _value(entry: Checkpoint, key: str, part: str = "test") -> str:
    return _entry(entry.card.get(part, {}).get(key))


def _entry(found: Mapping[str, Any] | None) -> str:
    return f"{found['value']:.3f} [{found['interval'][0]:.3f}, {found['interval'][1]:.3f}]" if found else "-"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, ["---"] * len(columns), *rows))


if __name__ == "__main__":
    write_atomically(checkpoint_folder() / PAGE, write_page().encode())
