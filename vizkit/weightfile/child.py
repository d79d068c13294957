"""The throw-away process that unpickles: it looks first, loads tensors only, and hands them over as safetensors."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizkit import fenced
from vizkit.weightfile.look import CHUNK_BYTES, Refused, look_into_legacy, look_into_zip

if TYPE_CHECKING:
    import torch

HANDED_OVER = "tensors.safetensors"
"""In the private empty folder that this process runs in."""

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "module", "weights", "params")
"""Keys under which training scripts keep the weights."""


def table_of(found: Any, limits: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The table of tensors in what was unpickled; one that holds it under a usual key is opened.

    Raises:
        Refused: there is none.
    """
    import torch

    def holds_tensors(table: Any) -> bool:
        return isinstance(table, dict) and any(isinstance(value, torch.Tensor) for value in table.values())

    if isinstance(found, dict) and not holds_tensors(found):
        found = next((found[key] for key in WRAPPERS if holds_tensors(found.get(key))), found)
    if not isinstance(found, dict):
        raise Refused("not_a_state_dict")
    if len(found) > limits["tensors"]:
        raise Refused("too_many")
    if not holds_tensors(found):
        raise Refused("no_tensors")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise Refused("not_a_state_dict", f": {key if isinstance(key, str) else type(key).__name__} is no tensor")
    return found


def check_tensors(tensors: Mapping[str, torch.Tensor], limits: Mapping[str, Any]) -> None:
    """Check where and how the numbers lie, before any of them is touched.

    Raises:
        Refused: not plain numbers in memory, fewer numbers than are shown, or too many.
    """
    import torch

    total = 0
    for tensor in tensors.values():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise Refused("layout")
        size = tensor.numel() * tensor.element_size()
        total += size
        if size > tensor.untyped_storage().nbytes() or total > limits["tensor_bytes"]:
            raise Refused("declares")


def unpickle(job: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Look at the file, then load it.

    Args:
        job: ``source`` (descriptor), ``size_bytes``, ``format`` ("zip" or "pickle"), ``limits``.

    Raises:
        Refused: the file is not taken.
    """
    limits, zipped = job["limits"], job["format"] == "zip"
    with os.fdopen(os.dup(job["source"]), "rb") as file:
        file.seek(0)
        if zipped:
            look_into_zip(file, job["size_bytes"], limits)
        else:
            look_into_legacy(file, limits)
    import torch

    warnings.simplefilter("ignore")
    try:
        found = torch.load(f"/proc/self/fd/{job['source']}", map_location="cpu", weights_only=True, mmap=zipped)
    except MemoryError:
        raise
    # whatever a loader raises on foreign bytes says the same, and its own text would advise to switch the fence off
    except Exception as error:
        raise Refused("declares" if "allocate memory" in str(error) else "unreadable") from error
    tensors = table_of(found, limits)
    check_tensors(tensors, limits)
    return tensors


def hand_over(tensors: Mapping[str, torch.Tensor], descriptor: int) -> None:
    """Write the tensors as safetensors; those that share memory or show a part of it are copied first.

    Raises:
        Refused: numbers of a kind that the format does not know.
    """
    from safetensors.torch import save_file

    seen: set[int] = set()
    own: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        shared = tensor.untyped_storage().data_ptr() in seen
        seen.add(tensor.untyped_storage().data_ptr())
        own[key] = tensor.detach() if whole and not shared else tensor.detach().clone().contiguous()
    try:
        save_file(own, HANDED_OVER)  # it replaces the file of that name, so a descriptor will not do
    except (KeyError, ValueError) as error:
        raise Refused("unreadable") from error
    with Path(HANDED_OVER).open("rb") as written, os.fdopen(os.dup(descriptor), "wb") as given:
        shutil.copyfileobj(written, given, CHUNK_BYTES)


def answer_to(job: Mapping[str, Any]) -> dict[str, str]:
    """Do the task; what is wrong with the file becomes a reason, bugs go on as they are."""
    try:
        hand_over(unpickle(job), job["tensors"])
    except Refused as refused:
        return {"reason": refused.reason, "what": refused.what[:200]}
    except MemoryError:
        return {"reason": "declares"}
    return {"reason": ""}


def main() -> None:
    """Read the job from standard input, write the answer, leave."""
    job = json.load(sys.stdin)
    limits = job["limits"]
    fenced.confine(
        {
            resource.RLIMIT_DATA: limits["memory_bytes"] + 3 * job["size_bytes"],
            resource.RLIMIT_CPU: limits["cpu_s"],
            resource.RLIMIT_FSIZE: limits["tensor_bytes"] + limits["header_bytes"],
        }
    )
    os.pwrite(job["answer"], json.dumps(answer_to(job)).encode(), 0)
    os._exit(0)
