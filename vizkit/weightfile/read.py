"""Reading a file of weights: what it is, is told by its content; out come tensors or one sentence."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vizkit import fenced
from vizkit.weightfile.limits import WeightLimits
from vizkit.weightfile.messages import REFUSALS, refusal, shown_key

if TYPE_CHECKING:
    import torch

ANSWER_BYTES = 10_000
HEAD_BYTES = 512
HEADER_AT = 8
"""Where the header of a safetensors file starts, behind its length."""

logger = logging.getLogger(__name__)


class Answer(BaseModel):
    """What the child says; every field is checked."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str = Field(max_length=40)
    what: str = Field("", max_length=200)


@dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights."""

    format: str
    """``"safetensors"``, ``"zip"`` (torch 1.6 and newer) or ``"pickle"`` (older)."""
    tensors: dict[str, torch.Tensor]
    """Plain tensors on the CPU by their keys."""


def command() -> list[str]:
    """The loader's command line."""
    return fenced.command("vizkit.weightfile.child")


def read_weight_file(path: Path, limits: WeightLimits | None = None) -> WeightFile:
    """Read a file of weights.

    Args:
        path: the file; its content, not its suffix, says what it is (but ``.safetensors`` is never anything else).
        limits: what reading may cost.

    Raises:
        CheckpointError: it is missing, damaged, too large, or asks for more than tensors.
    """
    limits = limits or WeightLimits()
    if not path.is_file():
        raise refusal(path.name, "missing")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limits.file_bytes:
            raise refusal(path.name, "large_file", **numbers(limits))
        kind = _format_of(path, file.read(HEAD_BYTES))
        if kind == "safetensors":
            return WeightFile(kind, _read_safetensors(path.name, path, file, limits))
        with tempfile.TemporaryFile(prefix="vizkit-") as handed_over:
            job = {"source": file.fileno(), "size_bytes": size, "format": kind, "limits": limits.model_dump()}
            _unpickle(path.name, job, handed_over, limits)
            return WeightFile(kind, _read_safetensors(path.name, Path(f"/proc/self/fd/{handed_over.fileno()}"), handed_over, limits))


def _format_of(path: Path, head: bytes) -> str:
    """Name the format that a file's first bytes announce.

    Raises:
        CheckpointError: none that is read.
    """
    if path.suffix == ".safetensors" or head[HEADER_AT : HEADER_AT + 1] == b"{":
        return "safetensors"
    if head[257:262] == b"ustar":
        raise refusal(path.name, "unsafe", what="the tar format from before torch 0.1")
    if head.startswith(b"PK\3\4"):
        return "zip"
    if head.startswith(b"\x80"):
        return "pickle"
    raise refusal(path.name, "unreadable")


def _read_safetensors(name: str, path: Path, file: IO[bytes], limits: WeightLimits) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    file.seek(0)
    header_bytes = int.from_bytes(file.read(HEADER_AT), "little")
    if header_bytes > limits.header_bytes:
        raise refusal(name, "unreadable")
    try:
        with safe_open(path, "pt") as opened:
            keys = opened.keys()
            tensors = {key: opened.get_tensor(key) for key in keys} if len(keys) <= limits.tensors else None
    except (SafetensorError, ValueError, OSError) as error:
        raise refusal(name, "unreadable") from error
    if tensors is None:
        raise refusal(name, "too_many", **numbers(limits))
    return tensors


def _unpickle(name: str, job: Mapping[str, Any], handed_over: IO[bytes], limits: WeightLimits) -> None:
    """Let the child load the file and hand its tensors over.

    Raises:
        CheckpointError: it refuses, or breaks down.
    """
    with tempfile.TemporaryFile(prefix="vizkit-") as answer:
        told = {**job, "answer": answer.fileno(), "tensors": handed_over.fileno()}
        try:
            fenced.run(command(), told, [job["source"], answer.fileno(), handed_over.fileno()], limits.wall_s)
            said = Answer.model_validate_json(os.pread(answer.fileno(), ANSWER_BYTES, 0))
        except fenced.Broken as broken:
            raise refusal(name, broken.reason, **numbers(limits)) from None
        except ValidationError:
            logger.exception("loading child gave a strange answer")
            raise refusal(name, "crashed") from None
    if said.reason:
        reason = said.reason if said.reason in REFUSALS else "crashed"
        raise refusal(name, reason, what=shown_key(said.what), **numbers(limits))


def numbers(limits: WeightLimits) -> dict[str, float]:
    """The limits as messages mention them."""
    return {
        "wall_s": limits.wall_s,
        "file_mb": limits.file_bytes >> 20,
        "tensor_mb": limits.tensor_bytes >> 20,
        "tensors": limits.tensors,
    }
