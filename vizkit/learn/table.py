"""The numbers of all cards in one page: ``checkpoints/README.md``. Written by ``make tables``; a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vizkit.atomic import write_atomically
from vizkit.checkpoint import Checkpoint, checkpoint_folder, checkpoints

PAGE = "README.md"

INTRODUCTION = """# Checkpoints

Small networks, trained by this repository on its motion world: synthetic clips whose motion is known exactly. Every folder holds the
weights (half precision, safetensors), the config they were trained by, and a card with every number and the command that gives it.
`make checkpoint NAME=cpnet-world` trains one again. This page is written by `make tables` from the cards.

`in pair` is the share of the right member of a pair (left / right, falling / leaping, ...), given that the pair is right: 0.5 is chance and
what a network that sees frames one by one gets. `shuffled` gives the frames in random order, `one frame` one random frame again and again.
Brackets hold 95 % intervals. These are the numbers of a card's block `test`; the `clips` of each entry says on how many test clips it was
measured. The block `scores` holds the same measures on the first 50 clips, with the wider intervals of 50 clips: `vizkit score NAME
--clips 50` gives them again within about a minute. A sample of 50 may well lie outside the narrower intervals of `test`.
"""

COLUMNS = (
    ("accuracy, 112 px", "world.accuracy_112"),
    ("in pair, 112 px", "world.in_pair_112"),
    ("in pair, shuffled", "world.shuffled_in_pair_112"),
    ("accuracy, one frame", "world.one_frame_accuracy_112"),
    ("accuracy, 64 px", "world.accuracy_64"),
    ("in pair, 64 px", "world.in_pair_64"),
)

PICTURES = """
## What the pictures show, against known motion

A proposal is a hit if it lies within one cell of the true place of its query. The controls are a random cell of the same frame, the
query's own place, and the nearest cells in raw RGB. `change precision` is the average precision of the change map as a detector of what
moves; the share that moves is its chance level. Active proposals beat filtered ones in the paper's pictures; whether they do here is in
the table.

| measure | value |
| --- | --- |
"""


def write_page() -> str:
    """The page as Markdown."""
    entries = checkpoints()
    lines = [
        INTRODUCTION,
        _row("checkpoint", "architecture", "parameters", *(title for title, _ in COLUMNS)),
        _row(*["---"] * (3 + len(COLUMNS))),
    ]
    for entry in entries:
        card = entry.card
        params = f"{card['cost']['params']:,}"
        lines.append(_row(f"`{entry.name}`", f"`{card['architecture']}`", params, *(_value(card, key) for _, key in COLUMNS)))
    page = "\n".join(lines) + "\n"
    for entry in entries:
        pictures = {name: value for name, value in entry.card["test"].items() if not name.startswith("world.")}
        if pictures:
            page += PICTURES.replace("## What", f"## `{entry.name}`: what")
            page += "\n".join(_row(name, _value(entry.card, name)) for name in pictures) + "\n"
    return page + "\n" + "\n".join(_origin(entry) for entry in entries) + "\n"


def _origin(entry: Checkpoint) -> str:
    card = entry.card
    start = f"from `{card['start']}`" if card["start"] else "from random weights"
    seconds, threads = card["training"]["seconds"], card["training"]["threads"]
    learnt = f"objective `{card['training']['objective']}`, {start}, {card['data']['clips']:,} clips"
    return " ".join(
        [f"- `{entry.name}`: {learnt}, {seconds} s on {threads} thread{'s' * (threads > 1)} of a busy machine.", *card["notes"]]
    )


def _value(card: Mapping[str, Any], key: str) -> str:
    found = card["test"].get(key)
    return f"{found['value']:.3f} [{found['interval'][0]:.3f}, {found['interval'][1]:.3f}]" if found else "-"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    write_atomically(checkpoint_folder() / PAGE, write_page().encode())
