"""Weights into a module: all of them or nothing, and what is wrong or odd about them by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vizkit.digest import digest_file
from vizkit.errors import CheckpointError
from vizkit.weightfile.messages import SHOWN_KEYS, keys_refusal, refusal, shown_key, shown_keys, warning_line
from vizkit.weightfile.read import read_weight_file

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS, CARD = "weights.safetensors", "card.json"
LARGEST_VALUE = 1e12
"""No trained weight, and no running variance, comes near."""


@dataclass(frozen=True)
class WeightReport:
    """What happened when weights were put into a module."""

    verdict: Literal["ok", "warn"]
    """``"warn"`` when something about the file is odd."""
    code: str
    """A short word for the oddity, empty for none."""
    message: str
    """One sentence."""
    missing: tuple[str, ...] = ()
    """Keys of the module that the file lacks."""
    unexpected: tuple[str, ...] = ()
    """Keys of the file that the module lacks."""
    mismatched: tuple[str, ...] = ()
    """Keys with another shape."""


def load_weights(path: str | Path, module: nn.Module, *, labels: Sequence[str] | None = None) -> WeightReport:
    """Load a file of weights into a module: all of it or nothing.

    Read are ``.safetensors`` files, and pickled tables of tensors (``.pt``, ``.pth``) of both of torch's formats, also under
    ``"state_dict"`` and the like; these are loaded in a throw-away process by ``torch.load(weights_only=True)``, after a look at
    what they ask for. One prefix ``"module."`` on every key is removed. Half and double weights are converted to the module's
    dtype. A module may know other layouts of its weights: it offers ``translate_keys(keys) -> {key of the file: own key}``, None
    for an unknown layout; a file in a known one may leave out the norms' counters of batches, which nothing is computed from.

    Args:
        path: the file.
        module: takes the weights; untouched when the file is refused.
        labels: names of the classes; their number must be the number of outputs.

    Returns:
        A report; its ``verdict`` is "warn" when weights were converted (``dtype``), are so large that results overflow
        (``overflow``) or all alike (``constant``); its ``missing`` lists counters that were left out.

    Raises:
        CheckpointError: ``code`` is one of missing, size, too_slow, unreadable, checksum (of the file, or of the card beside it),
            unsafe, layout, too_many, not_a_state_dict, keys, classes, shape, dtype, not_finite. The message is one line.
    """
    path = Path(path)
    _check_card(path)
    return _put(path.name, read_weight_file(path).tensors, module, labels)


def _put(name: str, found: dict[str, torch.Tensor], module: nn.Module, labels: Sequence[str] | None) -> WeightReport:
    wanted = module.state_dict()
    if found and all(key.startswith("module.") for key in found):
        found = {key.removeprefix("module."): tensor for key, tensor in found.items()}
    found, missing = _own_names(name, found, wanted, module)
    _check_keys(name, found, wanted)
    _check_kinds(name, found, wanted, labels)
    converted = {key: found[key].to(tensor.dtype) for key, tensor in wanted.items()}
    _check_finite(name, converted)
    code, message = _oddity(name, converted) or _conversion(name, found, wanted) or ("", "")
    module.load_state_dict(converted)
    if code:
        return WeightReport("warn", code, message, missing)
    return WeightReport("ok", "", f"{shown_key(name)}: {len(found) - len(missing)} tensors loaded.", missing)


def _check_card(path: Path) -> None:
    """Refuse the weights of a checkpoint whose card was written for other bytes."""
    card = path.with_name(CARD)
    if path.name != WEIGHTS or not card.is_file() or not path.is_file():
        return
    try:
        digest = json.loads(card.read_text(encoding="utf-8"))["digest"]
    except (ValueError, KeyError, TypeError):
        return
    if digest != digest_file(path):
        raise refusal(path.name, "card")


def _own_names(
    name: str, found: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], module: nn.Module
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Tensors of a layout that the module knows under its own keys, and the counters that the file leaves out; others as they are."""
    translate = getattr(module, "translate_keys", None)
    if translate is None or found.keys() == wanted.keys():
        return found, ()
    try:
        names: Mapping[str, str] | None = translate(found.keys())
    except CheckpointError as error:
        raise CheckpointError(f"{shown_key(name)}: {error.message}", code=error.code) from error
    if names is None:
        return found, ()
    stray = sorted(found.keys() - names.keys())
    if stray:
        told = f"{len(stray)} keys have no counterpart in this network ({shown_keys(stray)})"
        raise refusal(name, "strange_keys", what=told)
    renamed = {names[key]: tensor for key, tensor in found.items()}
    counters = {key: tensor for key, tensor in wanted.items() if key.endswith(".num_batches_tracked") and key not in renamed}
    return renamed | counters, tuple(counters)


def _check_keys(name: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or unexpected:
        raise keys_refusal(name, missing, unexpected)


def _check_kinds(name: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], labels: Sequence[str] | None) -> None:
    """The number of classes, shapes, and kinds of numbers."""
    layers = [key for key in wanted if key.endswith("weight") and wanted[key].ndim > 1]
    if layers and found[layers[-1]].ndim:
        classes, expected = len(found[layers[-1]]), len(wanted[layers[-1]]) if labels is None else len(labels)
        if classes != expected:
            raise refusal(name, "classes", found=classes, expected=expected)
    for key, tensor in wanted.items():
        if found[key].shape != tensor.shape:
            raise refusal(name, "shape", what=shown_key(key), found=list(found[key].shape), expected=list(tensor.shape))
        if found[key].dtype.is_floating_point != tensor.dtype.is_floating_point or found[key].is_complex():
            raise refusal(name, "dtype", what=shown_key(key), found=found[key].dtype, expected=tensor.dtype)


def _check_finite(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise refusal(name, "not_finite", what=shown_key(key))


def _oddity(name: str, tensors: Mapping[str, torch.Tensor]) -> tuple[str, str] | None:
    """Code and sentence for finite weights from which nothing can be seen, None for sound ones."""
    weights = {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    for key, tensor in weights.items():
        largest = max(abs(value.item()) for value in tensor.aminmax())
        if largest > LARGEST_VALUE:
            return "overflow", warning_line(name, "overflow", what=shown_key(key), largest=largest)
    layers = [tensor for key, tensor in weights.items() if tensor.ndim > 1 and tensor.numel() > 1]
    if layers and all(bool(tensor.min() == tensor.max()) for tensor in layers):
        return "constant", warning_line(name, "constant")
    return None


def _conversion(name: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> tuple[str, str] | None:
    kinds = sorted({str(found[key].dtype).removeprefix("torch.") for key in wanted if found[key].dtype != wanted[key].dtype})
    return ("dtype", warning_line(name, "dtype", what=" and ".join(kinds))) if kinds else None


def facts_of(path: Path, labels: Sequence[str] | None, module: nn.Module | None) -> tuple[WeightReport, dict[str, object]]:
    """What :func:`load_weights` says of a file, and its plain facts; without a module, what can be said of the file alone.

    Raises:
        CheckpointError: see :func:`load_weights`.
    """
    _check_card(path)
    file = read_weight_file(path)
    facts: dict[str, object] = {
        "name": shown_key(path.name),
        "format": file.format,
        "bytes": path.stat().st_size,
        "tensors": len(file.tensors),
        "parameters": sum(tensor.numel() for tensor in file.tensors.values()),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in file.tensors.values()}),
        "sha256": digest_file(path),
        "keys": [shown_key(key) for key in sorted(file.tensors)[:SHOWN_KEYS]],
    }
    if module is not None:
        return _put(path.name, file.tensors, module, labels), facts
    for key, tensor in file.tensors.items():
        if tensor.is_complex() or (key.endswith("weight") and not tensor.is_floating_point()):
            raise refusal(path.name, "dtype", what=shown_key(key), found=tensor.dtype, expected="floating point")
    _check_finite(path.name, file.tensors)
    code, message = _oddity(path.name, file.tensors) or ("", f"{shown_key(path.name)}: readable.")
    return WeightReport("warn" if code else "ok", code, message), facts
