"""Each control on foreign weights, one by one: what happens where the loading process breaks down, lies, or asks for too much."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.hostile.weights import LABELS, archive, network, program, row, saved, text, view, whole
from vizkit import load_weights
from vizkit.checkpoint import inspect_checkpoint, write_checkpoint
from vizkit.digest import digest_tensors
from vizkit.errors import CheckpointError
from vizkit.weightfile import look, read
from vizkit.weightfile.child import check_tensors
from vizkit.weightfile.limits import WeightLimits
from vizkit.weightfile.look import Refused, look_into_pickle, look_into_zip

AS_CHILD = f"import sys; sys.path.insert(0, {str(Path(read.__file__).resolve().parents[2])!r}); import json, os; "
AS_CHILD += "from vizkit.weightfile import child; "
"""Start of a script that stands in for the loading process."""

LIMITS = WeightLimits().model_dump()


def _code(path: Path) -> str:
    """Code of the refusal; the network stays as it was."""
    module = network()
    before = digest_tensors(module.state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_weights(path, module, labels=LABELS)
    assert digest_tensors(module.state_dict()) == before
    assert caught.value.message.isprintable()
    return caught.value.code


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pt"
    path.write_bytes(saved(dict(network().state_dict())))
    return path


# ------------------------------------------------------------------------------------------------ the process


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "unreadable"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "size"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "too_slow"),
        ("raise RuntimeError('a bug')", "unreadable"),
        ("pass", "unreadable"),
        (AS_CHILD + "job = json.load(sys.stdin); os.pwrite(job['answer'], b'{\"reason\": \"<script>\"}', 0)", "unreadable"),
        (AS_CHILD + "job = json.load(sys.stdin); os.pwrite(job['answer'], b'{\"reason\": \"\"}', 0)", "unreadable"),
        (AS_CHILD + "child.unpickle = lambda job: bytearray(1 << 33); child.main()", "size"),
    ],
)
def test_whatever_happens_to_the_loading_process_is_one_sentence(
    script: str, code: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "command", lambda: [sys.executable, "-I", "-c", script])
    assert _code(good) == code


def test_a_loading_process_that_hangs_is_killed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "command", lambda: [sys.executable, "-I", "-c", "import time; time.sleep(60)"])
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="longer than 1 s") as caught:
        read.read_weight_file(good, WeightLimits(wall_s=1))
    assert caught.value.code == "too_slow"
    assert time.monotonic() - start < 6


def test_nothing_is_unpickled_in_the_caller(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("unpickled here")

    monkeypatch.setattr(torch, "load", never)
    monkeypatch.setattr("pickle.Unpickler", never)
    assert load_weights(good, network(), labels=LABELS).verdict == "ok"


# ------------------------------------------------------------------------------------------------ the look before


def _look(pickled: bytes, **limits: int) -> str:
    try:
        look_into_pickle(io.BytesIO(pickled), LIMITS | limits)
    except Refused as refused:
        return refused.reason
    return ""


def test_a_pickle_is_judged_by_the_names_it_asks_for() -> None:
    def asks(line: str) -> bytes:
        return program(b"c" + line.replace(" ", "\n").encode() + b"\n")

    for known in ("torch FloatStorage", "torch bfloat16", "torch._utils _rebuild_tensor_v2", "collections OrderedDict", "builtins dict"):
        assert _look(asks(known)) == "", known
    for strange in ("torch load", "torch.storage _load_from_bytes", "builtins getattr", "collections abc", "torch._utils _rebuild_tensorx"):
        assert _look(asks(strange)) == "unsafe", strange
    assert _look(asks("torch._utils _rebuild_sparse_tensor")) == "layout"
    for opcodes in (text("os") + text("system") + b"\x93", b"ios\nsystem\n", b"\x82\x01", b"(o"):
        assert _look(program(opcodes)) == "unsafe", opcodes


def test_a_pickle_is_judged_by_what_it_declares() -> None:
    assert _look(view(100, (100,), (1,))) == ""
    assert _look(view(100, (100,), (1,)), tensor_bytes=99) == "declares"
    assert _look(program(row(*[whole(number) for number in range(20)])), opcodes=20) == "too_many"
    assert _look(b"\x80\x02(") == "unreadable"


def _look_into(content: bytes, **limits: float) -> str:
    try:
        look_into_zip(io.BytesIO(content), len(content), LIMITS | limits)
    except Refused as refused:
        return refused.reason
    return ""


def test_an_archive_is_judged_by_its_directory() -> None:
    table = view(16, (16,), (1,))
    assert _look_into(archive(table, {"0": bytes(64)})) == ""
    assert _look_into(archive(table, {"0": bytes(64)}, method=zipfile.ZIP_DEFLATED)) == "unpacks"
    assert _look_into(archive(table, {"0": bytes(64)}), unpack_ratio=0.1) == "unpacks"
    assert _look_into(archive(table, {"0": bytes(64)}), tensors=1) == "too_many"
    for stray in ("../escaped", "/escaped", "other/file", "archive/../../escaped", "\\"):
        assert _look_into(archive(table, {"0": bytes(64)}, stray=stray)) == "foreign", stray
    assert _look_into(archive(table + b"more", {"0": bytes(64)})) == "foreign"
    assert _look_into(archive(table, {"0": bytes(64)}, stray="archive/code/net.py")) == "unsafe"


def test_every_byte_of_an_archive_counts() -> None:
    content = archive(view(16, (16,), (1,)), {"0": b"0123456789abcdef" * 4})
    at = content.index(b"0123456789abcdef")
    for place in (at, at + 63):
        flipped = bytearray(content)
        flipped[place] ^= 1
        assert _look_into(bytes(flipped)) == "checksum"


def test_the_look_does_not_run_what_it_looks_at(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    look_at = b"\x80\x02cposix\nsystem\n" + row(text(f"touch {canary}")) + b"R."
    assert _look(look_at) == "unsafe"
    assert not canary.exists()
    assert "pickletools" in vars(look)
    assert "pickle" not in vars(look)


def test_tensors_show_no_more_numbers_than_they_hold() -> None:
    check_tensors({"a": torch.zeros(10)}, LIMITS)
    for tensors, limits in (({"a": torch.zeros(1).expand(10)}, LIMITS), ({"a": torch.zeros(10)}, LIMITS | {"tensor_bytes": 39})):
        with pytest.raises(Refused, match="declares"):
            check_tensors(tensors, limits)
    for tensor in (torch.eye(2).to_sparse(), torch.empty(2, device="meta")):
        with pytest.raises(Refused, match="layout"):
            check_tensors({"a": tensor}, LIMITS)


# ------------------------------------------------------------------------------------------------ limits and digests


def test_files_and_tables_have_limits(tmp_path: Path, good: Path) -> None:
    save_file({f"{number}": torch.zeros(1) for number in range(11)}, tmp_path / "many.safetensors")
    for path, limits, code in (
        (good, WeightLimits(file_bytes=100), "size"),
        (tmp_path / "many.safetensors", WeightLimits(tensors=10), "too_many"),
        (tmp_path / "many.safetensors", WeightLimits(header_bytes=100), "unreadable"),
    ):
        with pytest.raises(CheckpointError) as caught:
            read.read_weight_file(path, limits)
        assert caught.value.code == code


def test_a_flipped_bit_is_told_by_the_digest_of_the_card(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, network(), {"name": "mine"})
    path = tmp_path / "weights.safetensors"
    assert load_weights(path, network(), labels=LABELS).verdict == "warn"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert _code(path) == "checksum"
    assert inspect_checkpoint(path)["code"] == "checksum"
    (tmp_path / "card.json").unlink()
    assert load_weights(path, network(), labels=LABELS).verdict == "warn"


def test_weights_that_overflow_when_they_are_converted_are_not_finite(tmp_path: Path) -> None:
    save_file({key: value.double() * 1e300 for key, value in network().state_dict().items()}, tmp_path / "w.safetensors")
    assert _code(tmp_path / "w.safetensors") == "not_finite"


@pytest.mark.parametrize("labels", [LABELS[:4], (*LABELS, "f")])
def test_a_label_file_of_another_length_is_refused(labels: tuple[str, ...], tmp_path: Path) -> None:
    save_file(dict(network().state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="Give the label file") as caught:
        load_weights(tmp_path / "w.safetensors", network(), labels=labels)
    assert caught.value.code == "classes"


def test_keys_are_shown_as_plain_text(tmp_path: Path) -> None:
    save_file({"a\x1b[31m\n<b>" + "k" * 200: torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path / "w.safetensors", network())
    assert caught.value.message.isprintable()
    assert len(caught.value.message) <= 160
    assert json.dumps(inspect_checkpoint(tmp_path / "w.safetensors")["facts"]["keys"]).count("k") < 50
