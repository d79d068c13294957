"""What a network is, in plain values: size, cost, stages, blocks, views. Shapes only, nothing is computed.

Half a minute for all that ships; so what is found of these stands in ``models.json`` beside this file, written by ``make tables``. A test
finds it again. Any other network is looked at when it is asked for.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vizkit.atomic import write_atomically
from vizkit.catalog import VIEWS, architecture, architectures
from vizkit.checkpoint import Checkpoint, checkpoints
from vizkit.contracts import Sampling, Stage
from vizkit.digest import digest_settings
from vizkit.net.architecture import Architecture
from vizkit.net.count import count_network, count_parameters, gmacs_as_published, parameters_as_published
from vizkit.net.network import Network
from vizkit.net.probe import one_clip
from vizkit.pipeline import available

if TYPE_CHECKING:
    from torch import nn

MODEL_COLUMNS = (
    "name",
    "paper",
    "clip",
    "classes",
    "params",
    "gmacs",
    "published",
    "ours so counted",
    "difference",
    "blocks",
    "weights",
    "top1",
)
"""What a table of models says of each; see :func:`model_row`."""

TOP1 = (("test", "world.accuracy_112"), ("folds", "scores", "in_order", "class"), ("videos", "videos.class"))
"""Where a card says how often the network is right, best first."""


FOUND = Path(__file__).with_name("models.json")
"""What :func:`look` found of the networks that ship, by :func:`question`."""


def describe_architecture(entry: Architecture) -> dict[str, Any]:
    """Describe a named architecture at its own size and number of classes."""
    return {
        "name": entry.name,
        "kind": "architecture",
        **_found(_asked_of(entry)),
        "weights": [f"{entry.name}:{weights.name}" for weights in entry.weights],
        "checkpoint": None,
    }


def describe_checkpoint(entry: Checkpoint) -> dict[str, Any]:
    """Describe a checkpoint by its card; papers publish nothing about these small networks."""
    card = entry.card
    top1: Mapping[str, Any] = next(filter(None, (_inside(card, path) for path in TOP1)), {})
    return {
        "name": entry.name,
        "kind": "checkpoint",
        **_found(_asked_of(entry)),
        "weights": [],
        "checkpoint": {
            "digest": card["digest"],
            "origin": card["origin"],
            "twin": card.get("twin"),
            "top1": top1.get("value"),
            "interval": top1.get("interval"),
        },
    }


def _inside(card: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    for key in path:
        card = card.get(key, {})
    return card


def _asked_of(entry: Architecture | Checkpoint) -> dict[str, Any]:
    """What has to be known of a network to look at its shapes."""
    if isinstance(entry, Architecture):
        built = {"architecture": entry.name, "classes": entry.classes, "options": {}}
        return {**built, "frames": entry.frames, "size_px": entry.size_px, "paper": entry.published is not None}
    sampling, labels = Sampling.parse(**entry.card["sampling"]), entry.card["labels"]
    built = {"architecture": entry.card["architecture"], "classes": len(labels), "options": dict(entry.card["options"])}
    return {**built, "frames": sampling.total_frames, "size_px": sampling.crop_px or sampling.short_side_px, "paper": False}


def _found(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    known = _known().get(question(asked))
    return look(asked) if known is None else known


@cache
def _known() -> Mapping[str, Any]:
    return json.loads(FOUND.read_text(encoding="utf-8"))


def question(asked: Mapping[str, Any]) -> str:
    """The key of what was asked of a network; another one wherever there are other views or other figures of its paper."""
    published = architecture(asked["architecture"]).published if asked["paper"] else None
    return digest_settings({**asked, "published": repr(published), "views": [view.key for view in VIEWS]})


def look(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Build a network without memory and look at its shapes.

    Args:
        asked: ``architecture``, ``classes``, ``options``, ``frames``, ``size_px`` and ``paper``, whether its paper's figures are compared.

    Returns:
        Plain values, as JSON has them.
    """
    entry, frames, size_px = architecture(asked["architecture"]), asked["frames"], asked["size_px"]
    with torch.device("meta"):
        module = entry.build(asked["classes"], **asked["options"])
    against = _against_paper(module, entry if asked["paper"] else None)
    return json.loads(json.dumps({**_network_facts(entry, module, asked["classes"], frames, size_px), **against}))


def look_at_all() -> dict[str, Any]:
    """Look at every network that ships, by :func:`question`: what :data:`FOUND` holds."""
    asked = [*map(_asked_of, architectures()), *map(_asked_of, checkpoints())]
    return {question(one): look(one) for one in asked}


def _network_facts(entry: Architecture, module: nn.Module, classes: int, frames: int, size_px: int) -> dict[str, Any]:
    cost = count_network(module, frames, size_px)
    network = Network(
        entry.name, entry.name, module, module.stages, module.blocks, tuple(map(str, range(classes))),  # type: ignore[arg-type]
        entry.sampling, entry.mean, entry.std, "random",
    )  # fmt: skip
    return {
        "module": entry.module,
        "backbone": entry.backbone,
        "frames": frames,
        "size_px": size_px,
        "classes": classes,
        "params": cost.params,
        "gmacs": cost.gmacs,
        "stages": stage_facts(module, network.stages, frames, size_px),
        "blocks": [block.name for block in network.blocks],
        "block_params": {block.name: count_parameters(module.get_submodule(block.path)) for block in network.blocks},
        "views": available(network),
    }


def stage_facts(module: nn.Module, stages: Sequence[Stage], frames: int, size_px: int) -> list[dict[str, Any]]:
    """Geometry of every stage, with the grid [T, H, W] of its map for a clip of the given size."""
    shapes: dict[str, tuple[int, ...]] = {}
    tree = copy.deepcopy(module).to("meta").eval()
    for stage in stages:
        tree.get_submodule(stage.path).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: shapes.__setitem__(stage.name, tuple(one_clip(output, stage.axes).shape[1:]))
        )
    with torch.no_grad():
        tree(torch.empty(1, 3, frames, size_px, size_px, device="meta"))
    return [
        {
            "name": stage.name,
            "channels": stage.channels,
            "stride_px": stage.stride_px,
            "stride_frames": stage.stride_frames,
            "origin_px": stage.origin_px,
            "grid": shapes[stage.name],
        }
        for stage in stages
    ]


def _against_paper(module: nn.Module, entry: Architecture | None) -> dict[str, Any]:
    """The paper's numbers beside ours in the paper's own way of counting; the difference is that of the multiply-adds, if published."""
    if entry is None or entry.published is None:
        return {"published": None, "ours_in_convention": None, "difference_percent": None}
    published = entry.published
    ours = {
        "params": None if published.params is None else parameters_as_published(module, published),
        "gmacs": None if published.gmacs is None else gmacs_as_published(module, published, entry.frames, entry.size_px),
    }
    told = {"params": published.params, "gmacs": published.gmacs}
    compared = next((key for key in ("gmacs", "params") if told[key] is not None), None)
    return {
        "published": {**told, "convention": published.convention},
        "ours_in_convention": ours,
        "difference_percent": None if compared is None else 100 * (ours[compared] - told[compared]) / told[compared],  # type: ignore[operator]
    }


def model_row(entry: Mapping[str, Any]) -> list[Any]:
    """A model's row of a table with :data:`MODEL_COLUMNS`.

    Args:
        entry: from :func:`describe_architecture` or :func:`describe_checkpoint`.
    """
    return [_cell(entry, column) for column in MODEL_COLUMNS]


def _cell(entry: Mapping[str, Any], column: str) -> object:
    if column == "params":
        return f"{entry['params']:,}"
    if column == "gmacs":
        return f"{entry['gmacs']:.3f}"
    if column == "paper":
        return entry["module"] or "-"
    if column == "clip":
        return f"{entry['frames']} x {entry['size_px']} px"
    if column in ("published", "ours so counted"):
        return counted(entry["published" if column == "published" else "ours_in_convention"])
    if column == "difference":
        return "-" if entry["difference_percent"] is None else f"{entry['difference_percent']:+.1f} %"
    if column == "blocks":
        return len(entry["blocks"])
    if column == "weights":
        return ", ".join(name.partition(":")[2] for name in entry["weights"]) or "-"
    if column == "top1":
        return (entry["checkpoint"] or {}).get("top1")
    return entry[column] or "-"


def counted(figures: Mapping[str, Any] | None) -> str:
    """Parameters and multiply-adds as they are published: ``"11.3 M, 4.7 G"``."""
    told = [f"{figures[key]:.4g} {unit}" for key, unit in (("params", "M"), ("gmacs", "G")) if figures[key] is not None] if figures else []
    return ", ".join(told) or "-"


if __name__ == "__main__":
    write_atomically(FOUND, (json.dumps(dict(sorted(look_at_all().items())), indent=1) + "\n").encode())
