"""What a pickled file says about itself, found out without running or unpacking any of it."""

from __future__ import annotations

import io
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 20
PICKLE = "data.pkl"
LEGACY_PICKLES = 5
"""Magic number, protocol, system, the table itself, keys of the storages."""

ALLOWED = re.compile(
    r"torch (\w+Storage|Size|device|b?float\d*\w*|half|double|u?int\d*|short|long|bool|complex\d+)"
    r"|torch\.storage (Untyped|Typed)Storage"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)"
    r"|collections (OrderedDict|defaultdict|Counter)"
    r"|(builtins|__builtin__) (set|dict|list|int|float)"
)
"""The only names, as "module name", that a pickle may ask for: a subset of what ``weights_only=True`` lets through."""

LAYOUTS = re.compile(r"torch\._utils _rebuild_(sparse|nested|meta|q|wrapper|device)\w*|torch\.serialization _get_layout")
"""Names of tensors whose memory is not simply their numbers."""

CALLS = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
"""Opcodes that ask for names in ways that no writer of weights uses."""

BROKEN = (OSError, ValueError, EOFError, LookupError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)
"""What zipfile and pickletools raise on damaged input."""


class Refused(Exception):
    """The file is not taken.

    Args:
        reason: a key of :data:`vizkit.weightfile.messages.REFUSALS`.
        what: name of the culprit, where that matters.
    """

    def __init__(self, reason: str, what: str = "") -> None:
        super().__init__(reason)
        self.reason, self.what = reason, what


def look_into_pickle(file: BinaryIO, limits: Mapping[str, Any]) -> None:
    """Walk through one pickle without running it.

    Raises:
        Refused: damaged, too long, a name that weights never need, or a tensor larger than can be.
    """
    number = 0
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > limits["opcodes"]:
                raise Refused("too_many")
            if opcode.name in CALLS:
                raise Refused("unsafe", f"a call by {opcode.name}")
            if opcode.name == "GLOBAL":
                _check_name(str(argument))
            # the last number before a storage is asked for is the count of its elements
            if opcode.name == "BINPERSID" and number > limits["tensor_bytes"]:
                raise Refused("declares")
            number = argument if isinstance(argument, int) and "PUT" not in opcode.name and "GET" not in opcode.name else number
    except BROKEN as error:
        raise Refused("unreadable") from error


def _check_name(name: str) -> None:
    if LAYOUTS.fullmatch(name):
        raise Refused("layout")
    if not ALLOWED.fullmatch(name):
        raise Refused("unsafe", name.replace(" ", "."))


def look_into_legacy(file: BinaryIO, limits: Mapping[str, Any]) -> None:
    """Walk through the pickles of the format from before torch 1.6.

    Raises:
        Refused: see :func:`look_into_pickle`.
    """
    for _ in range(LEGACY_PICKLES):
        look_into_pickle(file, limits)
    file.seek(0)


def look_into_zip(file: BinaryIO, size_bytes: int, limits: Mapping[str, Any]) -> None:
    """Check a zip file of torch: its directory, the checksum of every entry, its pickle.

    Raises:
        Refused: damaged, packed, larger inside than outside, a pickle that is not taken, or more than weights.
    """
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except BROKEN as error:
        raise Refused("unreadable") from error
    if len(entries) > 2 * limits["tensors"]:
        raise Refused("too_many")
    paths = {entry.filename: PurePosixPath(entry.filename) for entry in entries}
    if any(path.parts[1:2] in (("code",), ("constants.pkl",)) for path in paths.values()):
        raise Refused("unsafe", "a TorchScript program")
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > limits["unpack_ratio"] * size_bytes:
        raise Refused("unpacks")
    for entry in entries:
        _check_sum(archive, entry)
    pickles = [name for name, path in paths.items() if path.name == PICKLE and len(path.parts) == 2]
    if len(pickles) != 1:
        raise Refused("unreadable")
    with archive.open(pickles[0]) as opened:
        content = io.BytesIO(opened.read())
    look_into_pickle(content, limits)
    folder = paths[pickles[0]].parts[0]
    stray = next((name for name, path in paths.items() if path.parts[:1] != (folder,) or ".." in path.parts), "")
    if stray or content.read(1):
        raise Refused("foreign", stray or "data behind the pickle")


def _check_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end: zipfile compares the checksum there."""
    try:
        opened = archive.open(entry)
    except BROKEN as error:
        raise Refused("unreadable") from error
    with opened:
        try:
            while opened.read(CHUNK_BYTES):
                pass
        except BROKEN as error:
            raise Refused("checksum", entry.filename) from error
