"""Published weights: fetched once, checked by their digest, kept in a folder of one's own, put into a module whole or not at all."""

from __future__ import annotations

import errno
import os
import pickle
import secrets
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from vizkit.atomic import FULL, settle
from vizkit.digest import digest_file
from vizkit.errors import CheckpointError, SettingError
from vizkit.net.architecture import PublishedWeights

if TYPE_CHECKING:
    import torch
    from torch import nn

PUBLISHER = "https://download.pytorch.org/models"
"""Where torchvision publishes its weights."""

TIMEOUT_S = 20.0
RESUMES = 4
CHUNK_BYTES = 1 << 18
LARGEST_BYTES = 1 << 30
SHOWN_KEYS = 5
STALE_S = 3600.0

Progress = Callable[[int, int | None], None]
"""Takes the bytes that are there and the bytes that there will be (None: unknown)."""


def weights_folder() -> Path:
    """Where published weights are kept: ``VIZKIT_HOME``/weights, or ``vizkit/weights`` in the user's cache folder."""
    home = os.environ.get("VIZKIT_HOME")
    if home:
        return Path(home) / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vizkit" / "weights"


def weights_url(weights: PublishedWeights) -> str:
    """The address of a file; ``VIZKIT_WEIGHTS_MIRROR`` names another server than torchvision's.

    Raises:
        SettingError: the mirror is no http or https address.
    """
    base = os.environ.get("VIZKIT_WEIGHTS_MIRROR") or PUBLISHER
    if not _is_web(base):
        raise SettingError(f"VIZKIT_WEIGHTS_MIRROR is {base!r}; give an address that starts with http:// or https://.", code="mirror")
    return f"{base.rstrip('/')}/{weights.file}"


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:  # brackets that do not match
        return False


def fetch(weights: PublishedWeights, *, progress: Progress | None = None) -> Path:
    """Fetch a file of weights unless it is there already, and check its digest either way.

    It is written under another name until it is whole. A connection that ends early is taken up again where it ended.

    Args:
        weights: what is wanted.
        progress: told how far the download is; a bar on standard error (where that is a terminal) when None.

    Returns:
        Where the file lies.

    Raises:
        CheckpointError: it cannot be fetched or written (the message says where to put it by hand), or it is not the published
            one: then it is deleted.
        SettingError: an impossible mirror.
    """
    path = weights_folder() / weights.file
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        _forget_stale(path)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            _download(weights, path, part, progress)
            _check_digest(weights, part)
            with part.open("ab") as file:
                settle(file, part, path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            part.unlink(missing_ok=True)
    else:
        _check_digest(weights, path)
    return path


def _forget_stale(path: Path) -> None:
    """Delete what downloads of this file left behind that were killed; one that still runs has written lately."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_S:
                part.unlink()


def _check_digest(weights: PublishedWeights, path: Path) -> None:
    """Delete a file that is not the published one.

    Raises:
        CheckpointError: it was not.
    """
    digest = digest_file(path)
    if not digest.startswith(weights.digest_start):
        path.unlink()
        raise CheckpointError(
            f"{weights.file}: its SHA-256 starts with {digest[:8]}, that of the published file with {weights.digest_start}; the file was "
            "deleted, fetch it again.",
            code="checksum",
        )


def _unwritable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be written: {error.strerror}. Set VIZKIT_HOME to a writable folder with room.", code="unwritable"
    )


# ------------------------------------------------------------------------------------------------ the download


def _download(weights: PublishedWeights, path: Path, part: Path, progress: Progress | None) -> None:
    url, reason, got = weights_url(weights), "", 0
    with ExitStack() as closing:
        report = progress or _bar(weights.file, closing)
        try:
            file = closing.enter_context(part.open("w+b"))
        except OSError as error:
            raise _unwritable(path, error) from error
        for _ in range(RESUMES + 1):
            before = got
            try:
                total = _receive(url, file, before, report)
                got = file.tell()
                if total is None or got == total:
                    return
                reason = f"the connection ended after {got} of {total} bytes"
            except HTTPError as error:
                reason = f"the server answers {error.code} {error.reason}"
                break
            except (OSError, HTTPException) as error:
                if isinstance(error, OSError) and error.errno in (*FULL, errno.EIO):
                    raise _unwritable(path, error) from error
                got, reason = file.tell(), str(getattr(error, "reason", "") or error) or type(error).__name__
            if got == before:
                break
    raise CheckpointError(f"{weights.file} cannot be fetched: {reason}; download {url} by hand to {path}.", code="offline")


def _receive(url: str, file: BinaryIO, start: int, report: Progress) -> int | None:
    """Append what the server sends from ``start`` on, or all of it if it starts anew; the size of the whole, if it says so."""
    request = Request(url, headers={"User-Agent": "vizkit", **({"Range": f"bytes={start}-"} if start else {})})
    answer: HTTPResponse
    with urlopen(request, timeout=TIMEOUT_S) as answer:
        if answer.status != 206:
            start = 0
        file.truncate(start)
        file.seek(start)
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            if file.tell() > LARGEST_BYTES:
                raise CheckpointError(f"{url}: the server sends more than {LARGEST_BYTES >> 20} MiB.", code="size")
            report(file.tell(), total)
    file.flush()
    return total


def _bar(name: str, closing: ExitStack) -> Progress:
    """A bar on standard error; nothing where that is no terminal."""
    from tqdm import tqdm

    bar = closing.enter_context(tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None))

    def report(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return report


# ------------------------------------------------------------------------------------------------ into a module


def labels_of(weights: PublishedWeights) -> tuple[str, ...]:
    """Names of the classes, as torchvision lists them."""
    from torchvision.models import get_weight

    return tuple(get_weight(weights.source).meta["categories"])


def put_published(weights: PublishedWeights, module: nn.Module, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fetch published weights and put them into a module.

    Args:
        weights: what is wanted.
        module: a network of an architecture that they fit.
        classes: its number of classes; another one than the weights' keeps the module's own last layer.

    Returns:
        Names of the classes, and sentences about what else than these weights is in the module.

    Raises:
        CheckpointError: see :func:`fetch`, :func:`read_published` and :func:`put_in`.
    """
    head = classes == weights.classes
    put_in(read_published(fetch(weights)), module, weights.file, head=head)
    labels = labels_of(weights) if head else tuple(f"class {number}" for number in range(classes))
    untrained = [*(f"block {block.name}" for block in module.blocks), *(() if head else ("the last layer",))]  # type: ignore[union-attr]
    notes = [f"Untrained beside published weights of the backbone ({weights.source}): {', '.join(untrained)}."] if untrained else []
    if weights.frames_per_second is None:
        notes.append(f"The weights are of an image network ({weights.source}): nothing in them was trained on motion.")
    return labels, tuple(notes)


def read_published(path: Path) -> dict[str, torch.Tensor]:
    """Read a fetched file: tensors only, nothing in it is run.

    Counters of batches that older files lack are added: nothing is computed from them.

    Raises:
        CheckpointError: it holds something else, or a value that is not finite.
    """
    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path.name}: not a readable file of weights; delete {path} and fetch it again.", code="unreadable"
        ) from error
    if not isinstance(found, dict) or not found or not all(isinstance(entry, torch.Tensor) for entry in found.values()):
        raise CheckpointError(f"{path.name}: holds no table of weights; delete {path} and fetch it again.", code="unreadable")
    wrong = next((key for key, tensor in found.items() if not bool(tensor.isfinite().all())), None)
    if wrong is not None:
        raise CheckpointError(f"{path.name}: {wrong} holds NaN or infinite values.", code="not_finite")
    counted = (key.removesuffix("running_mean") + "num_batches_tracked" for key in found if key.endswith(".running_mean"))
    return {key: torch.tensor(0) for key in counted} | dict(found)


def put_in(found: Mapping[str, torch.Tensor], module: nn.Module, file: str, *, head: bool) -> None:
    """Put published weights into a module: all of them or none.

    What the file cannot hold keeps its start: inserted modules, and the temporal convolutions of a network that was made of an
    image network.

    Args:
        found: from :func:`read_published`.
        module: with ``blocks``; it may know the file's names by ``translate_keys``, else they are its own.
        file: what messages call the weights.
        head: whether the last layer is taken too; without, the module keeps its own.

    Raises:
        CheckpointError: keys or shapes differ.
    """
    from vizkit.net.backbones.clips import ClipNetwork
    from vizkit.net.backbones.depthwise import load_image_weights

    if isinstance(module, ClipNetwork):
        return load_image_weights(module, found, classifier=head)
    own = module.state_dict()
    translate = getattr(module, "translate_keys", None)
    names = (translate(found) if translate else None) or {}
    last = [key for key, tensor in found.items() if tensor.ndim > 1][-1].rpartition(".")[0]
    dropped = {names.get(key, key) for key in found if not head and key.rpartition(".")[0] == last}
    put = {names.get(key, key): tensor for key, tensor in found.items() if names.get(key, key) not in dropped}
    inserted = tuple(f"{block.path}." for block in module.blocks)  # type: ignore[union-attr]
    missing = sorted(key for key in own.keys() - put.keys() - dropped if not key.startswith(inserted))
    unexpected = sorted(put.keys() - own.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{file}: the keys are not this network's: missing {missing[:SHOWN_KEYS]}, unexpected {unexpected[:SHOWN_KEYS]}. "
            "Leave out the options that change its layers.",
            code="keys",
        )
    for key, tensor in put.items():
        if tensor.shape != own[key].shape:
            raise CheckpointError(f"{file}: {key} has shape {list(tensor.shape)}, expected {list(own[key].shape)}.", code="shape")
    module.load_state_dict({**own, **put})
    return None
