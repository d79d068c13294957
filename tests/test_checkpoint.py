"""Checkpoints: what ships is whole, and what does not fit is refused without a trace."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vizkit.catalog import architectures
from vizkit.checkpoint import Checkpoint, checkpoints, inspect_checkpoint, load_network, read_checkpoint, write_checkpoint
from vizkit.digest import digest_file, digest_tensors
from vizkit.errors import CheckpointError, SettingError
from vizkit.net.probe import predict
from vizkit.weightfile.load import CARD, WEIGHTS, load_weights
from vizkit.world import LABELS, clip

SHIPPED = checkpoints()

# ------------------------------------------------------------------------------------------------ what ships


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_a_shipped_checkpoint_is_whole_small_and_can_be_run(entry: Checkpoint) -> None:
    assert entry.digest_ok
    assert digest_file(entry.folder / WEIGHTS) == entry.card["digest"]
    assert (entry.folder / WEIGHTS).stat().st_size <= 4 << 20
    network = load_network(entry.name)
    assert network.name == entry.name == entry.card["name"]
    assert network.origin == "trained"
    if entry.card["data"]["source"] != "videos":
        assert network.labels == LABELS
    assert network.card == entry.card
    assert predict(clip(0, split="demo").clip, network).logits.shape == (len(network.labels),)


@pytest.mark.parametrize("entry", [entry for entry in SHIPPED if entry.card.get("scores")], ids=lambda entry: entry.name)
def test_every_number_of_a_card_lies_in_its_interval_and_names_its_command(entry: Checkpoint) -> None:
    assert entry.card["test"].keys() >= entry.card["scores"].keys()
    for name, score in (*entry.card["test"].items(), *entry.card["scores"].items()):
        assert score["interval"][0] <= score["value"] <= score["interval"][1], name
        assert score["n"] >= 1
        assert score["command"].startswith(f"vizkit score {entry.name} --clips "), name


@pytest.mark.parametrize("entry", [entry for entry in SHIPPED if entry.card.get("twin")], ids=lambda entry: entry.name)
def test_a_twin_is_the_same_network_without_the_module(entry: Checkpoint) -> None:
    ours, twin = load_network(entry.name), load_network(entry.card["twin"])
    assert ours.blocks
    assert not twin.blocks
    inside = tuple(f"{block.path}." for block in ours.blocks)
    shared = {key: tensor.shape for key, tensor in ours.module.state_dict().items() if not key.startswith(inside)}
    others = {key: tensor.shape for key, tensor in twin.module.state_dict().items()}
    assert shared.keys() == others.keys()
    joined = {"fc.weight"} if any(block.path.startswith("beside.") for block in ours.blocks) else set()  # reads the module's vector too
    assert {key for key, shape in shared.items() if shape != others[key]} == joined


# ------------------------------------------------------------------------------------------------ names


def test_random_weights_come_from_the_seed() -> None:
    first, again, other = (load_network("c2d-18", num_classes=3, width=4, seed=seed) for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    assert first.origin == "random"
    assert first.labels == ("class 0", "class 1", "class 2")
    assert load_network("c2d-18", width=4).module.fc.out_features == 174  # type: ignore[union-attr]


def test_loading_does_not_touch_the_stream_of_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    load_network("c2d-18", num_classes=3, width=4, seed=5)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cpnet-18", {"width": 4, "num_classes": 3, "seed": 2, "metric": "joint", "position_weight": 0.0}),
        ("tsm-18", {"width": 4, "num_classes": 3, "shift": False}),
        ("cpnet-18", {"width": 4, "num_classes": 3, "blocks": ("res4.0",), "last_gain": 1.0, "feature_gain": 0}),
    ],
)
def test_the_arguments_of_a_network_make_it_again(name: str, options: dict[str, Any]) -> None:
    network = load_network(name, **options)
    again = load_network(name, **json.loads(json.dumps(network.arguments)))
    assert again.digest == network.digest
    for key, value in options.items():
        assert key == "seed" or network.arguments[key] == value
    frames = torch.rand(1, 3, 2, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.module(frames), network.module(frames))


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(SettingError) as told:
        load_network("cpnet-99")
    assert told.value.code == "unknown_name"
    assert all(entry.name in told.value.message for entry in (*architectures(), *SHIPPED))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depht": 34}, ["depht", "depth", "width", "stem"]),
        ({"depth": 19}, ["depth is 19", "18, 34, 50, 101"]),
        ({"blocks": ["res9.0"]}, ["res9"]),
        ({"blocks": ["layer2"]}, ["layer2", "res3.0"]),
        ({"metric": "cosine"}, ["semantic", "joint"]),
        ({"head": "middle"}, ["after_max", "before_max"]),
        ({"stem": "3x3"}, ["7x7/2+pool", "7x7/1+pool", "5x5/2"]),
        ({"weights": "laion"}, ["laion", "imagenet"]),
        ({"num_classes": -1}, ["num_classes"]),
        ({"num_classes": 0}, ["num_classes"]),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_a_sentence(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        load_network("cpnet-18", **{"width": 4, **options})
    assert all(word in told.value.message for word in words), told.value.message


@pytest.mark.skipif(not SHIPPED, reason="no checkpoint ships yet")
@pytest.mark.parametrize("options", [{"num_classes": 3}, {"width": 8}, {"weights": "imagenet"}])
def test_a_checkpoint_takes_no_options(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="fixed by its card"):
        load_network(SHIPPED[0].name, **options)


# ------------------------------------------------------------------------------------------------ own checkpoints

CARD_VALUES: dict[str, Any] = {
    "name": "mine", "architecture": "c2d-18", "options": {"width": 4, "stem": "5x5/2"}, "labels": ["a", "b"], "mean": [0.5, 0.4, 0.3],
    "std": [0.25, 0.2, 0.3], "sampling": {"segments": 4, "short_side_px": 32, "crop_px": 32}, "origin": "trained", "license": "Apache-2.0",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "mine", load_network("c2d-18", num_classes=2, width=4, stem="5x5/2").module, CARD_VALUES)
    return tmp_path / "mine"


def change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    card |= changes
    (folder / CARD).write_text(json.dumps({key: value for key, value in card.items() if value is not None}), encoding="utf-8")


def test_a_folder_with_a_card_is_a_network(folder: Path) -> None:
    network = load_network(folder)
    assert network.name == "mine"
    assert network.labels == ("a", "b")
    assert (network.mean, network.std) == ((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
    assert network.sampling.total_frames == 4
    assert {tensor.dtype for tensor in network.module.parameters()} == {torch.float32}


def test_weights_that_are_not_those_of_the_card_are_refused(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    assert not read_checkpoint(folder).digest_ok
    with pytest.raises(CheckpointError, match="not the file that its card describes") as told:
        load_network(folder)
    assert told.value.code == "checksum"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None}, {"digest": None}, {"labels": 2}, {"labels": ["a", 3]}, {"mean": [0.5, 0.5]}, {"mean": "bright"},
        {"std": [0, 0, 0]}, {"options": ["width", 4]}, {"sampling": "all"}, {"sampling": {"frames": 0}},
        {"architecture": "c2d-19"}, {"origin": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_card_that_is_none_is_refused_in_a_sentence(folder: Path, changes: dict[str, Any]) -> None:
    change_card(folder, **changes)
    with pytest.raises((CheckpointError, SettingError)) as told:
        load_network(folder)
    assert len(told.value.message) < 800  # all names of architectures


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\udcff"])
def test_a_card_that_is_not_json_is_refused(folder: Path, text: str) -> None:
    (folder / CARD).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"mine: card\.json") as told:
        read_checkpoint(folder)
    assert told.value.code == "card"


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no readable card\.json"):
        read_checkpoint(tmp_path)
    with pytest.raises(SettingError, match=r"is no checkpoint: name the folder that holds card\.json"):
        load_network(tmp_path)


def test_other_labels_than_outputs_are_refused(folder: Path) -> None:
    change_card(folder, labels=["a", "b", "c"])
    with pytest.raises(CheckpointError, match="2 classes, but 3") as told:
        load_network(folder)
    assert told.value.code == "classes"


def test_the_folder_of_checkpoints_is_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(folder.parent))
    assert [entry.name for entry in checkpoints()] == ["mine"]
    assert load_network("mine").digest == load_network(folder).digest


def test_writing_halves_the_weights_and_keeps_whole_numbers(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    module(torch.randn(4, 3, 2, 2))
    write_checkpoint(tmp_path, module, {"name": "a"})
    card = json.loads((tmp_path / CARD).read_text(encoding="utf-8"))
    assert card == {"name": "a", "digest": digest_file(tmp_path / WEIGHTS)}
    again = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    report = load_weights(tmp_path / WEIGHTS, again)
    assert (report.verdict, report.code) == ("warn", "dtype")
    assert int(again[1].num_batches_tracked) == 1  # type: ignore[arg-type]
    assert torch.equal(again[0].weight, module[0].weight.half().float())  # type: ignore[arg-type, operator, union-attr]


# ------------------------------------------------------------------------------------------------ all or nothing


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 6 * 6, 5))


def changed(**changes: Any) -> dict[str, torch.Tensor]:
    """Weights of another seed; None takes a key away."""
    torch.manual_seed(1)
    tensors = {key: torch.randn_like(value) if value.is_floating_point() else value.clone() for key, value in net().state_dict().items()}
    tensors |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in tensors.items() if value is not None}


def filled(shape: tuple[int, ...], value: float) -> torch.Tensor:
    tensor = torch.zeros(shape)
    tensor.view(-1)[-1] = value
    return tensor


WHOLE = changed()
LAST, FIRST = (5, 288), (8, 3, 3, 3)

REFUSED: dict[str, tuple[dict[str, torch.Tensor], str, str]] = {
    "missing": (changed(**{"1.running_var": None}), "keys", r"1 missing \(1\.running_var\)"),
    "unexpected": (changed(**{"5.weight": torch.zeros(2)}), "keys", r"1 unexpected \(5\.weight\)"),
    "both": (changed(**{"0.bias": None, "0.scale": torch.zeros(2)}), "keys", r"missing \(0\.bias\) and 1 unexpected \(0\.scale\)"),
    "empty": ({}, "keys", "missing"),
    "shape": (changed(**{"0.weight": torch.zeros(8, 3, 3, 1)}), "shape", r"0\.weight has shape \[8, 3, 3, 1\], expected \[8, 3, 3, 3\]"),
    "classes": (changed(**{"3.weight": torch.zeros(7, 288), "3.bias": torch.zeros(7)}), "classes", "7 classes, but 5"),
    "nan": (changed(**{"0.weight": filled(FIRST, float("nan"))}), "not_finite", r"0\.weight holds NaN"),
    "inf": (changed(**{"3.weight": filled(LAST, float("inf"))}), "not_finite", r"3\.weight holds NaN or infinite"),
    "whole numbers": (changed(**{"0.weight": torch.zeros(FIRST, dtype=torch.int64)}), "dtype", r"0\.weight holds torch\.int64"),
    "complex": (changed(**{"0.weight": torch.zeros(FIRST, dtype=torch.complex64)}), "dtype", r"0\.weight holds torch\.complex64"),
    "fractions": (changed(**{"1.num_batches_tracked": torch.tensor(1.5)}), "dtype", "num_batches_tracked"),
    "one number": (changed(**{"3.weight": torch.tensor(1.0)}), "shape", r"3\.weight has shape \[\]"),
    "some prefixed": ({f"module.{key}" if key == "0.weight" else key: value for key, value in WHOLE.items()}, "keys", "missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_leave_the_module_as_it_was(tmp_path: Path, case: str) -> None:
    tensors, code, words = REFUSED[case]
    module = net()
    before = digest_tensors(module.state_dict())
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=words) as told:
        load_weights(tmp_path / "w.safetensors", module)
    assert told.value.code == code
    assert told.value.message.startswith("w.safetensors: ")
    assert digest_tensors(module.state_dict()) == before


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def safetensors(tensors: dict[str, torch.Tensor], path: Path) -> bytes:
    save_file(tensors, path)
    return path.read_bytes()


FILES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "a pickled module": ("w.pt", lambda _: pickled(nn.ReLU()), "unsafe"),
    "pickled under another name": ("w.safetensors", lambda _: pickled(WHOLE), "unreadable"),
    "cut short": ("w.safetensors", lambda folder: safetensors(WHOLE, folder / "whole")[:-100], "unreadable"),
    "cut in the header": ("w.safetensors", lambda folder: safetensors(WHOLE, folder / "whole")[:100], "unreadable"),
    "nothing": ("w.safetensors", lambda _: b"", "unreadable"),
    "text": ("w.safetensors", lambda _: b"hello " * 50, "unreadable"),
    "a huge header": ("w.safetensors", lambda _: (1 << 62).to_bytes(8, "little") + b"{}", "unreadable"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_weights_are_refused(tmp_path: Path, case: str) -> None:
    name, make, code = FILES[case]
    (tmp_path / name).write_bytes(make(tmp_path))
    module = net()
    before = digest_tensors(module.state_dict())
    with pytest.raises(CheckpointError) as told:
        load_weights(tmp_path / name, module)
    assert told.value.code == code
    assert "\n" not in told.value.message
    assert digest_tensors(module.state_dict()) == before


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(safetensors(WHOLE, tmp_path / "whole"))
    assert load_weights(tmp_path / "weights", net()).verdict == "ok"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match="no such file") as told:
            load_weights(path, net())
        assert told.value.code == "missing"


def test_long_lists_of_keys_are_cut(tmp_path: Path) -> None:
    save_file(WHOLE | {f"extra.{number:04}": torch.zeros(1) for number in range(1000)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as told:
        load_weights(tmp_path / "w.safetensors", net())
    assert "1000 unexpected" in told.value.message
    assert len(told.value.message) < 400


@pytest.mark.parametrize("labels", [["a"] * 4, ["a"] * 6])
def test_the_number_of_classes_must_be_that_of_the_labels(tmp_path: Path, labels: list[str]) -> None:
    save_file(WHOLE, tmp_path / "w.safetensors")
    module = net()
    before = digest_tensors(module.state_dict())
    with pytest.raises(CheckpointError, match=f"5 classes, but {len(labels)}"):
        load_weights(tmp_path / "w.safetensors", module, labels=labels)
    assert digest_tensors(module.state_dict()) == before


def test_weights_that_fit_are_loaded_whole(tmp_path: Path) -> None:
    save_file(WHOLE, tmp_path / "w.safetensors")
    module = net()
    report = load_weights(tmp_path / "w.safetensors", module, labels=["a"] * 5)
    assert (report.verdict, report.code, report.missing, report.unexpected, report.mismatched) == ("ok", "", (), (), ())
    assert digest_tensors(module.state_dict()) == digest_tensors(WHOLE)


def test_the_prefix_of_a_parallel_wrapper_is_removed(tmp_path: Path) -> None:
    save_file({f"module.{key}": value for key, value in WHOLE.items()}, tmp_path / "w.safetensors")
    module = net()
    assert load_weights(tmp_path / "w.safetensors", module).verdict == "ok"
    assert digest_tensors(module.state_dict()) == digest_tensors(WHOLE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_told(tmp_path: Path, dtype: torch.dtype) -> None:
    converted = {key: value.to(dtype) if value.is_floating_point() else value for key, value in WHOLE.items()}
    save_file(converted, tmp_path / "w.safetensors")
    module = net()
    report = load_weights(tmp_path / "w.safetensors", module)
    assert (report.verdict, report.code) == ("warn", "dtype")
    assert str(dtype).removeprefix("torch.") in report.message
    assert module[0].weight.dtype == torch.float32
    assert torch.equal(module[0].weight, converted["0.weight"].float())


def test_a_module_without_weights_takes_an_empty_file(tmp_path: Path) -> None:
    save_file({}, tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors", nn.ReLU()).verdict == "ok"


# ------------------------------------------------------------------------------------------------ inspection


def test_inspection_says_what_a_file_is(tmp_path: Path, folder: Path) -> None:
    save_file(WHOLE, tmp_path / "w.safetensors")
    found = inspect_checkpoint(tmp_path / "w.safetensors")
    assert (found["kind"], found["verdict"], found["code"]) == ("checkpoint", "ok", "")
    assert found["facts"]["tensors"] == 9
    assert found["facts"]["parameters"] == sum(value.numel() for value in WHOLE.values())
    assert found["facts"]["dtypes"] == ["float32", "int64"]
    assert found["facts"]["sha256"] == digest_file(tmp_path / "w.safetensors")
    fitting = inspect_checkpoint(folder / WEIGHTS, str(folder))
    assert (fitting["verdict"], fitting["code"]) == ("warn", "dtype")


def test_inspection_refuses_without_raising(tmp_path: Path, folder: Path) -> None:
    save_file(WHOLE, tmp_path / "w.safetensors")
    assert inspect_checkpoint(tmp_path / "w.safetensors", str(folder))["code"] == "keys"
    refused = inspect_checkpoint(tmp_path / "none.safetensors")
    assert (refused["verdict"], refused["code"], refused["facts"]) == ("reject", "missing", {"name": "none.safetensors"})
    json.dumps(refused)
