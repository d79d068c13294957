"""Checkpoints: weights in safetensors beside a card that says what they are. Weights are checked before they are loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat, ValidationError

from vizkit.atomic import write_atomically
from vizkit.catalog import architecture, architectures
from vizkit.contracts import Record, Sampling, Settings
from vizkit.digest import digest_file
from vizkit.errors import CheckpointError, SettingError, unknown_name
from vizkit.weightfile.load import CARD, WEIGHTS, facts_of, load_weights
from vizkit.weightfile.messages import shown_key

if TYPE_CHECKING:
    import torch
    from torch import nn

    from vizkit.net.architecture import Architecture
    from vizkit.net.network import Network

CONFIG = "config.toml"


def checkpoint_folder() -> Path:
    """Where the shipped checkpoints lie: ``VIZKIT_CHECKPOINTS``, or ``checkpoints`` beside the package."""
    return Path(os.environ.get("VIZKIT_CHECKPOINTS") or Path(__file__).resolve().parent.parent / "checkpoints")


class Card(Settings):
    """What every card must say; it may say more."""

    model_config = ConfigDict(extra="allow")

    name: str
    """Name of the checkpoint."""
    architecture: str
    """A named architecture."""
    options: dict[str, Any]
    """Arguments of its builder."""
    labels: tuple[str, ...] = Field(min_length=1)
    """Names of the classes."""
    mean: tuple[float, float, float]
    """Mean of the input, RGB in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Standard deviation of the input."""
    sampling: Sampling
    """The sampling that it was trained and measured with."""
    origin: Literal["trained", "converted", "published", "random"]
    """Where the weights come from."""
    digest: str
    """SHA-256 of the weights' file."""
    license: str
    """Terms of the weights."""


CARD_FIELDS = tuple(Card.model_fields)


@dataclass(frozen=True, repr=False)
class Checkpoint(Record):
    """One checkpoint on disk."""

    name: str
    """Name of its folder."""
    folder: Path
    """Where it lies."""
    card: Mapping[str, Any]
    """What ``card.json`` says."""

    @property
    def digest_ok(self) -> bool:
        """Whether the weights are the ones that the card was written for."""
        weights = self.folder / WEIGHTS
        return weights.is_file() and digest_file(weights) == self.card["digest"]


def checkpoints() -> tuple[Checkpoint, ...]:
    """The checkpoints that ship with the product, by name."""
    folder = checkpoint_folder()
    return tuple(read_checkpoint(card.parent) for card in sorted(folder.glob(f"*/{CARD}")))


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the card of a checkpoint.

    Raises:
        CheckpointError: no card, or a card that is not what a card should be.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{folder.name}: there is no readable {CARD} in this folder.", code="card") from error
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: {CARD} is not valid JSON ({error}).", code="card") from error
    try:
        Card.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointError(f"{folder.name}: {CARD} is not a card, {place}: {first['msg']}.", code="card") from error
    return Checkpoint(folder.name, folder, card)


def load_network(name: str | Path, *, num_classes: int | None = None, weights: str | None = None, seed: int = 0, **options: Any) -> Network:
    """Load a network.

    Args:
        name: a shipped checkpoint (``"cpnet-world"``), a folder with ``card.json``, or an architecture (``"cpnet-18"``), which
            gets random weights from ``seed``. ``"r2plus1d_18:kinetics"`` is short for ``weights="kinetics"``, wherever a model is named.
        num_classes: outputs of an architecture; the paper's number when None, with published weights theirs.
        weights: published weights for an architecture (``"kinetics"``, ``"imagenet"``); they are fetched once, see
            :func:`vizkit.weights.fetch`. Inserted modules, and a last layer for another number of classes, keep their random start.
        seed: of the random weights.
        options: arguments of the architecture's builder (``width=16``).

    Returns:
        A :class:`Network`; ``.origin`` says whether the weights are trained, published or random.

    Raises:
        SettingError: an unknown name, option or name of weights; the message lists the known ones; a path without a card.
        CheckpointError: weights that do not belong to their card, or cannot be fetched.
    """
    shipped = {entry.name: entry for entry in checkpoints()}
    folder = Path(name)
    if str(name) in shipped or (folder / CARD).is_file():
        if num_classes is not None or weights is not None or options:
            raise SettingError(f"{name} is a checkpoint: its classes, weights and options are fixed by its card.")
        return _load_checkpoint(shipped.get(str(name)) or read_checkpoint(folder))
    plain, _, short = str(name).partition(":")
    known = [entry.name for entry in architectures()]
    if plain not in known and folder.exists():
        raise SettingError(f"{name} is no checkpoint: name the folder that holds {CARD} beside the weights.", code="no_card")
    if plain not in known:
        raise unknown_name("model", name, [*shipped, *known])
    if short and weights not in (None, short):
        raise SettingError(f"{name} asks for other weights than weights={weights!r}; give one of them.", code="weights")
    return _build_network(architecture(plain), num_classes, short or weights, seed, options)


def _build_network(entry: Architecture, num_classes: int | None, weights: str | None, seed: int, options: Mapping[str, Any]) -> Network:
    import torch

    from vizkit.net.network import Network
    from vizkit.weights import put_published

    published = None if weights is None else entry.published_weights(weights)
    stride_on = options.get("stride_on", "3x3")
    if published is not None and stride_on != "3x3":
        raise SettingError(f"stride_on is {stride_on!r}, but the published weights were trained with '3x3'; leave it out.", code="weights")
    classes = (published or entry).classes if num_classes is None else num_classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = entry.build(classes, **options)
    called = {"num_classes": num_classes, "seed": seed or None}
    arguments = {key: value for key, value in called.items() if value is not None} | dict(options)
    labels, notes = tuple(f"class {number}" for number in range(classes)), tuple[str, ...]()
    name, sampling, mean, std, origin = entry.name, entry.sampling, entry.mean, entry.std, "random"
    if published is not None:
        labels, notes = put_published(published, module, classes)
        name, sampling, mean, std, origin = f"{name}:{weights}", published.sampling(entry), published.mean, published.std, "published"
    return Network(
        name, entry.name, module, module.stages, module.blocks, labels, _for_clips(sampling, options), mean, std, origin,  # type: ignore[arg-type]
        arguments, notes=notes,
    )  # fmt: skip


def _for_clips(sampling: Sampling, options: Mapping[str, Any]) -> Sampling:
    """A sampling for the size of clips that a network was built for, where an option says it."""
    changes: dict[str, Any] = {}
    if isinstance(options.get("frames"), int):
        changes = {name: options["frames"] for name in ("frames", "segments") if name == "frames" or sampling.scheme == name}
    if isinstance(options.get("size_px"), int):
        changes |= {"short_side_px": options["size_px"], "crop_px": options["size_px"], "resize_hw": None}
    return Sampling.parse(**{**sampling.model_dump(), **changes})


def _load_checkpoint(entry: Checkpoint) -> Network:
    from vizkit.net.network import Network

    card, weights = entry.card, entry.folder / WEIGHTS
    if not entry.digest_ok:
        raise CheckpointError(
            f"{entry.name}: {WEIGHTS} is not the file that its card describes; fetch the checkpoint again.", code="checksum"
        )
    module = architecture(card["architecture"]).build(len(card["labels"]), **card["options"])
    load_weights(weights, module, labels=card["labels"])
    return Network(
        entry.name, card["architecture"], module, module.stages, module.blocks, tuple(card["labels"]),  # type: ignore[arg-type]
        Sampling.parse(**card["sampling"]), tuple(card["mean"]), tuple(card["std"]), card["origin"], card=card,
    )  # fmt: skip


def build_like(name: str, num_classes: int | None = None) -> Network:
    """Build a network for weights that are still to come.

    Args:
        name: a shipped checkpoint, whose options, input and (for as many classes) labels it gets, or an architecture at its defaults.
        num_classes: outputs; the checkpoint's or the paper's number when None.

    Returns:
        A :class:`Network` with random weights.

    Raises:
        SettingError: an unknown name.
    """
    entry = {entry.name: entry for entry in checkpoints()}.get(name)
    if entry is None:
        return load_network(name, num_classes=num_classes)
    card, labels = entry.card, tuple(entry.card["labels"])
    network = load_network(card["architecture"], num_classes=num_classes or len(labels), **card["options"])
    return replace(
        network,
        labels=labels if num_classes in (None, len(labels)) else network.labels,
        sampling=Sampling.parse(**card["sampling"]),
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
    )


# ------------------------------------------------------------------------------------------------ files


def write_checkpoint(folder: Path, module: nn.Module, card: Mapping[str, Any]) -> None:
    """Write half-precision weights and their card; the digest is worked out here."""
    import torch
    from safetensors.torch import save

    def stored(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().cpu().contiguous().to(torch.float16 if tensor.dtype == torch.float32 else tensor.dtype)

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, save({key: stored(tensor) for key, tensor in module.state_dict().items()}))
    write_card(folder, {**card, "digest": digest_file(folder / WEIGHTS)})


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write ``card.json``, keys in their order."""
    write_atomically(folder / CARD, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())


def inspect_checkpoint(path: str | Path, model: str | None = None) -> dict[str, Any]:
    """Say what a weights file is, without and with a network.

    Args:
        path: the file.
        model: a network that the weights should fit.

    Returns:
        ``{kind, verdict, code, message, facts}``; a refusal is an answer, not an error.
    """
    path = Path(path)
    try:
        network = load_network(model) if model else None
        report, facts = facts_of(path, network.labels if network else None, network.module if network else None)
    except CheckpointError as error:
        return {
            "kind": "checkpoint",
            "verdict": "reject",
            "code": error.code,
            "message": error.message,
            "facts": {"name": shown_key(path.name)},
        }
    return {"kind": "checkpoint", "verdict": report.verdict, "code": report.code, "message": report.message, "facts": facts}
