"""What a network is, in plain values: size, cost, stages, blocks, views. Shapes only, nothing is computed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from vizkit.catalog import architecture
from vizkit.checkpoint import Checkpoint
from vizkit.contracts import Sampling, Stage
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

TOP1 = {"test": "world.accuracy_112", "videos": "videos.class"}


def describe_architecture(entry: Architecture) -> dict[str, Any]:
    """Describe a named architecture at its own size and number of classes."""
    with torch.device("meta"):
        module = entry.build()
    return {
        "name": entry.name,
        "kind": "architecture",
        **_network_facts(entry, module, entry.classes, entry.frames, entry.size_px),
        **_against_paper(module, entry),
        "weights": [f"{entry.name}:{weights.name}" for weights in entry.weights],
        "checkpoint": None,
    }


def describe_checkpoint(entry: Checkpoint) -> dict[str, Any]:
    """Describe a checkpoint by its card; papers publish nothing about these small networks."""
    card = entry.card
    named = architecture(card["architecture"])
    sampling = Sampling.parse(**card["sampling"])
    with torch.device("meta"):
        module = named.build(len(card["labels"]), **card["options"])
    top1: Mapping[str, Any] = next((card[part][key] for part, key in TOP1.items() if key in card.get(part, {})), {})
    return {
        "name": entry.name,
        "kind": "checkpoint",
        **_network_facts(named, module, len(card["labels"]), sampling.total_frames, sampling.crop_px or sampling.short_side_px),
        **_against_paper(module, None),
        "weights": [],
        "checkpoint": {
            "digest": card["digest"],
            "origin": card["origin"],
            "twin": card.get("twin"),
            "top1": top1.get("value"),
            "interval": top1.get("interval"),
        },
    }


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
