"""70 files of weights, sound, odd and hostile, for one small network, and what must be said of each.

The code in them only touches a file, named by ``canary``: where that file exists, something was run.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

LABELS = tuple("abcde")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def network() -> nn.Sequential:
    """The network that the weights are for: clips of 3x8x8, five classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 5))


@dataclass(frozen=True)
class Case:
    """A file and what must be said of it when it is loaded into the network."""

    name: str
    make: Callable[[Path], bytes]
    """Gives the bytes; its argument is the canary."""
    verdict: str
    code: str
    alone: tuple[str, str]
    """Verdict and code of an inspection without a network."""


def case(name: str, make: Callable[[], bytes], verdict: str = "ok", code: str = "", alone: tuple[str, str] | None = None) -> Case:
    """A case without code in it."""
    return Case(name, lambda _: make(), verdict, code, alone or (verdict, code))


def attack(name: str, make: Callable[[Any], bytes]) -> Case:
    """A case that runs a command where it is unpickled freely."""
    return Case(name, lambda canary: make(Payload(canary)), "reject", "unsafe", ("reject", "unsafe"))


class Payload:
    """Unpickles to a call that touches the canary.

    Args:
        canary: the file.
    """

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


@cache
def _weights() -> dict[str, torch.Tensor]:
    return dict(network().state_dict())


def _changed(**changes: Any) -> dict[str, Any]:
    """The weights with some entries replaced (``_`` for the dot); None takes one away."""
    entries = _weights() | {key.lstrip("w").replace("_", "."): value for key, value in changes.items()}
    return {key: value for key, value in entries.items() if value is not None}


def _mapped(change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: change(value) for key, value in _weights().items()}


def saved(value: Any, *, zipped: bool = True) -> bytes:
    """What torch writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def archive(
    pickled: bytes | None, storages: Mapping[str, bytes] | None = None, *, method: int = zipfile.ZIP_STORED, stray: str = ""
) -> bytes:
    """A zip file as torch lays it out, written by hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in ({"data.pkl": pickled} if pickled is not None else {}).items():
            target.writestr(f"archive/{name}", content)
        for name, content in (storages or {}).items():
            target.writestr(f"archive/data/{name}", content)
        target.writestr("archive/version", b"3\n")
        if stray:
            target.writestr(stray, b"x")
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------ pickles, opcode by opcode


def text(value: str) -> bytes:
    """Push a string."""
    return pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    """Push a number."""
    return pickle.BININT + struct.pack("<i", value) if -(2**31) <= value < 2**31 else pickle.LONG1 + b"\x08" + struct.pack("<q", value)


def row(*items: bytes) -> bytes:
    """Push a tuple of what the items push."""
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def name_of(module: str, name: str) -> bytes:
    """Push a function by its name."""
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def program(*steps: bytes) -> bytes:
    """A whole pickle of protocol 2."""
    return pickle.PROTO + b"\x02" + b"".join(steps) + pickle.STOP


def view(numbers: int, size: Sequence[int], stride: Sequence[int], *, offset: int = 0, place: str = "cpu") -> bytes:
    """A table whose only tensor is a free view of a storage that claims some length."""
    storage = row(text("storage"), name_of("torch", "FloatStorage"), text("0"), text(place), whole(numbers)) + pickle.BINPERSID
    hooks = name_of("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    shape = row(*map(whole, size)), row(*map(whole, stride))
    tensor = name_of("torch._utils", "_rebuild_tensor_v2") + row(storage, whole(offset), *shape, pickle.NEWFALSE, hooks) + pickle.REDUCE
    return program(pickle.EMPTY_DICT, pickle.MARK, text("0.weight"), tensor, pickle.SETITEMS)


def views(numbers: int, size: Sequence[int], stride: Sequence[int], held: int = 64, **how: Any) -> Callable[[], bytes]:
    """The same as a file that holds some bytes."""
    return lambda: archive(view(numbers, size, stride, **how), {"0": bytes(held)})


def calls(module: str, name: str) -> Callable[[], bytes]:
    """A file that calls a function with a string."""
    return lambda: archive(program(name_of(module, name), row(text("1")), pickle.REDUCE))


def _legacy_attack(payload: Payload) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    return b"".join(pickle.dumps(part, 2) for part in (LEGACY_MAGIC, 1001, system, payload))


def _tar(**parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as target:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _tar_attack(payload: Payload) -> bytes:
    zero = pickle.dumps(0, 2)
    return _tar(sys_info=pickle.dumps({"protocol_version": 1000}, 2), pickle=pickle.dumps(payload, 2), storages=zero, tensors=zero)


def _tar_storage_attack(payload: Payload) -> bytes:
    return _tar(storages=pickle.dumps(1, 2) + pickle.dumps(payload, 2), tensors=pickle.dumps(0, 2), pickle=pickle.dumps({}, 2))


def _torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network().eval(), torch.zeros(1, 3, 8, 8)), buffer)
    return buffer.getvalue()


def _flipped() -> bytes:
    content = bytearray(saved(_weights()))
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def _two_gigabytes() -> bytes:
    numbers = (1 << 29) - (1 << 18)
    return archive(view(numbers, (numbers,), (1,)), {"0": bytes(4 * numbers)}, method=zipfile.ZIP_DEFLATED)


def _many_references() -> bytes:
    doubled = b"".join(pickle.EMPTY_LIST + pickle.MARK + (pickle.BINGET + bytes([k])) * 2 + pickle.APPENDS + pickle.BINPUT + bytes([k + 1])
                       for k in range(60))  # fmt: skip
    return archive(program(pickle.EMPTY_LIST, pickle.BINPUT + b"\0", doubled))


def _infinite() -> torch.Tensor:
    tensor = _weights()["2.weight"].clone()
    tensor[0, 0] = float("inf")
    return tensor


def _sparse_lie() -> torch.Tensor:
    parts = torch.tensor([0, 2**20]), torch.tensor([0]), torch.tensor([1.0])
    return torch.sparse_csr_tensor(*parts, size=(1, 4), check_invariants=False)


# ------------------------------------------------------------------------------------------------ safetensors


def safetensors(header: Any, content: bytes, length: int | None = None) -> bytes:
    """A safetensors file, written by hand."""
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(told) if length is None else length) + told + content


def entry(shape: Sequence[int], first: int, last: int, dtype: str = "F32") -> dict[str, Any]:
    """One line of the header."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


@cache
def _plain() -> tuple[dict[str, Any], bytes]:
    header, content = {}, b""
    for key, tensor in _weights().items():
        numbers = tensor.numpy().tobytes()
        header[key] = entry(tensor.shape, len(content), len(content) + len(numbers))
        content += numbers
    return header, content


def _with_nan() -> bytes:
    header, content = _plain()
    return safetensors(header, struct.pack("<f", float("nan")) + content[4:])


TWICE = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}}'
READABLE = ("ok", "")
"""What can be said without a network."""

SOUND = [
    case("good.pt", lambda: saved(_weights())),
    case("older_format.pt", lambda: saved(_weights(), zipped=False)),
    case("wrapped.pth", lambda: saved({"state_dict": {f"module.{key}": value for key, value in _weights().items()}, "epoch": 3})),
    case("half.pt", lambda: saved(_mapped(torch.Tensor.half)), "warn", "dtype", READABLE),
    case("double.pt", lambda: saved(_mapped(torch.Tensor.double)), "warn", "dtype", READABLE),
    case("good.safetensors", lambda: safetensors(*_plain())),
]

WRONG = [
    case("shape.pt", lambda: saved(_changed(w0_weight=_weights()["0.weight"][:4])), "reject", "shape", READABLE),
    case("classes.pt", lambda: saved(_changed(w2_weight=torch.ones(7, 288), w2_bias=torch.ones(7))), "reject", "classes", READABLE),
    case("missing.pt", lambda: saved(_changed(w2_bias=None)), "reject", "keys", READABLE),
    case("unexpected.pt", lambda: saved(_changed(w9_weight=torch.zeros(3))), "reject", "keys", READABLE),
    case("unrelated.pt", lambda: saved({"fc.weight": torch.eye(10)}), "reject", "keys", READABLE),
    case("nan.pt", lambda: saved(_changed(w0_weight=_weights()["0.weight"] * float("nan"))), "reject", "not_finite"),
    case("infinite.pt", lambda: saved(_changed(w2_weight=_infinite())), "reject", "not_finite"),
    case("huge.pt", lambda: saved(_mapped(lambda tensor: tensor * 1e30)), "warn", "overflow"),
    case("zero.pt", lambda: saved(_mapped(torch.zeros_like)), "warn", "constant"),
    case("complex.pt", lambda: saved(_changed(w0_weight=_weights()["0.weight"].to(torch.complex64))), "reject", "dtype"),
    case("whole_numbers.pt", lambda: saved(_changed(w0_weight=torch.ones(8, 3, 3, 3).long())), "reject", "dtype"),
    case("list.pt", lambda: saved([1, 2, 3]), "reject", "not_a_state_dict"),
    case("nothing.pt", lambda: saved({}), "reject", "keys"),
    case("string.pt", lambda: saved(_changed(w0_weight="hello")), "reject", "not_a_state_dict"),
    case("html.pt", lambda: saved(_weights() | {"<img src=x onerror=alert(1)>": torch.zeros(1)}), "reject", "keys", READABLE),
    case("million.pt", lambda: saved({f"k{number}": 0 for number in range(1_000_000)}), "reject", "too_many"),
    case("from_a_gpu.pt", views(216, (8, 3, 3, 3), (27, 9, 3, 1), 864, place="cuda:0"), "reject", "keys", ("warn", "constant")),
]

CODE = [
    attack("pickle.pt", lambda payload: pickle.dumps(payload, 2)),
    attack("pickle_4.pt", lambda payload: pickle.dumps({"a": payload}, 4)),
    attack("zipped.pt", lambda payload: archive(pickle.dumps({"0.weight": payload}, 2))),
    attack("legacy.pt", _legacy_attack),
    attack("tar.pt", _tar_attack),
    attack("tar_storages.pt", _tar_storage_attack),
    *(
        case(f"{module}.{name}.pt", calls(module, name), "reject", "unsafe")
        for module, name in (
            ("builtins", "eval"), ("torch.hub", "load"), ("torch.serialization", "load"), ("torch.storage", "_load_from_bytes"),
            ("pkgutil", "resolve_name"), ("pip", "main"), ("runpy", "_run_code"), ("numpy.core.multiarray", "scalar"),
        )
    ),
    case("module.pt", lambda: saved(network()), "reject", "unsafe"),
    Case("behind_the_end.pt", lambda canary: archive(pickle.dumps({"0.weight": 1}, 2) + pickle.dumps(Payload(canary), 2)), "reject", "keys",
         ("reject", "keys")),
    case("torchscript.pt", _torchscript, "reject", "unsafe"),
    Case("pickle.safetensors", lambda canary: pickle.dumps(Payload(canary), 2), "reject", "unreadable", ("reject", "unreadable")),
]  # fmt: skip

BROKEN = [
    case("empty.pt", lambda: b"", "reject", "unreadable"),
    case("text.pt", lambda: b"hello world\n" * 100, "reject", "unreadable"),
    case("cut.pt", lambda: saved(_weights())[:3500], "reject", "unreadable"),
    case("cut_older_format.pt", lambda: saved(_weights(), zipped=False)[:5000], "reject", "unreadable"),
    case("flipped.pt", _flipped, "reject", "checksum"),
    case("no_pickle.pt", lambda: archive(None), "reject", "unreadable"),
    case("stray.pt", lambda: archive(pickle.dumps({}, 2), stray="../../escaped"), "reject", "keys"),
]

BOMBS = [
    case("terabyte.pt", views(2**38, (2**38,), (1,)), "reject", "size"),
    case("one_number_seen_often.pt", views(1, (2**20, 2**20), (0, 0), 4), "reject", "size"),
    case("view_outside.pt", views(16, (1024, 1024), (1024, 1)), "reject", "unreadable"),
    case("offset_outside.pt", views(16, (4,), (1,), offset=2**40), "reject", "unreadable"),
    case("negative.pt", views(16, (-4,), (1,)), "reject", "unreadable"),
    case("storage_too_short.pt", views(1024, (1024,), (1,)), "reject", "unreadable"),
    case("two_gigabytes.pt", _two_gigabytes, "reject", "size"),
    case("deep.pt", lambda: archive(program(b"]" * 100_000, b"a" * 99_999)), "reject", "not_a_state_dict"),
    case("many_references.pt", _many_references, "reject", "not_a_state_dict"),
    case("sparse_lie.pt", lambda: saved(_changed(w0_weight=_sparse_lie())), "reject", "layout"),
    case("sparse.pt", lambda: saved(_changed(w0_weight=torch.eye(4).to_sparse())), "reject", "layout"),
    case("without_numbers.pt", lambda: saved(_changed(w0_weight=torch.empty(8, 3, 3, 3, device="meta"))), "reject", "layout"),
]

SAFETENSORS = [
    case(f"{name}.safetensors", make, "reject", code)
    for name, make, code in (
        ("length", lambda: safetensors(*_plain(), length=2**63), "unreadable"),
        ("long_header", lambda: safetensors(b"{" + b" " * (101 << 20) + b"}", b""), "unreadable"),
        ("bad_json", lambda: safetensors(b'{"a":', b""), "unreadable"),
        ("overlap", lambda: safetensors({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)), "unreadable"),
        ("hole", lambda: safetensors({"a": entry([4], 0, 16)}, bytes(64)), "unreadable"),
        ("short", lambda: safetensors(_plain()[0], _plain()[1][:-100]), "unreadable"),
        ("overflow", lambda: safetensors({"a": entry([2**62, 4], 0, 16)}, bytes(16)), "unreadable"),
        ("kind", lambda: safetensors({"a": entry([4], 0, 16, "F99")}, bytes(16)), "unreadable"),
        ("twice", lambda: safetensors(TWICE, bytes(32)), "unreadable"),
        ("nan", _with_nan, "not_finite"),
    )
]

CASES = (*SOUND, *WRONG, *CODE, *BROKEN, *BOMBS, *SAFETENSORS)

FAST = frozenset(
    {
        "good.pt", "good.safetensors", "pickle.pt", "zipped.pt", "legacy.pt", "tar.pt", "module.pt", "torchscript.pt", "behind_the_end.pt",
        "empty.pt", "text.pt", "flipped.pt", "stray.pt", "terabyte.pt", "sparse.pt", "length.safetensors", "hole.safetensors",
        "nan.safetensors",
    }
)  # fmt: skip
"""One of every kind of answer that needs no loading process, and one that does."""
