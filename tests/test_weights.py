"""Published weights: fetched from a stand-in server on this machine, checked, kept, and put into networks whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import vizkit
from vizkit import checkpoint
from vizkit import weights as store
from vizkit.catalog import architecture, architectures
from vizkit.checkpoint import load_network
from vizkit.cli import main
from vizkit.contracts import Sampling
from vizkit.errors import CheckpointError, SettingError
from vizkit.net.architecture import Architecture, PublishedWeights
from vizkit.net.published import IMAGENET, TORCHVISION
from vizkit.pipeline import analyze, draw
from vizkit.recipe import load_recipe
from vizkit.render.write import encode
from vizkit.ui import compute
from vizkit.weights import fetch, put_in, read_published, weights_folder, weights_url
from vizkit.world import clip

SMALL = IMAGENET[18][0]

# ------------------------------------------------------------------------------------------------ a server


@dataclass
class Stand:
    """Serves bytes by name, and remembers what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    """After how many bytes the next answers end."""
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture(autouse=True)
def no_internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a stand-in nothing can be fetched, and nothing is kept in the home folder."""
    monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", "http://127.0.0.1:9/nothing")
    monkeypatch.setenv("VIZKIT_HOME", str(tmp_path / "home"))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    told = Stand()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.removeprefix("/models/"), self.headers.get("Range")
            told.asked.append((name, wanted))
            whole = told.files.get(name)
            if whole is None:
                self.send_error(404, "Not Found")
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and told.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(whole) - start))
            self.end_headers()
            self.wfile.write(whole[start:][: told.cut.pop(0) if told.cut else None])

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    told.address = f"http://127.0.0.1:{server.server_port}/models"
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", told.address)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def packed(tensors: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, **settings)
    return buffer.getvalue()


def offer(stand: Stand, like: PublishedWeights, content: bytes, *, name: str = "net") -> PublishedWeights:
    """Put a file on the server under a name that ends with its digest."""
    file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    stand.files[file] = content
    return replace(like, file=file)


BYTES = np.random.default_rng(0).bytes(700_000)


# ------------------------------------------------------------------------------------------------ the download


def test_a_file_is_fetched_once(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    told: list[tuple[int, int | None]] = []
    path = fetch(weights, progress=lambda done, total: told.append((done, total)))
    assert path == weights_folder() / weights.file
    assert path.read_bytes() == BYTES
    assert fetch(weights) == path
    assert stand.asked == [(weights.file, None)]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(BYTES), len(BYTES))
    assert list(path.parent.iterdir()) == [path]


def test_a_file_put_there_by_hand_is_taken(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    weights_folder().mkdir(parents=True)
    (weights_folder() / weights.file).write_bytes(BYTES)
    assert fetch(weights).read_bytes() == BYTES
    assert stand.asked == []


def test_a_broken_connection_is_taken_up_where_it_ended(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    stand.cut = [300_000, 100_000]
    assert fetch(weights).read_bytes() == BYTES
    assert stand.asked == [(weights.file, None), (weights.file, "bytes=300000-"), (weights.file, "bytes=400000-")]


def test_a_server_that_knows_no_ranges_sends_it_anew(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    stand.cut, stand.ranges = [300_000], False
    assert fetch(weights).read_bytes() == BYTES


def test_a_connection_that_keeps_breaking_is_given_up(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    stand.cut = [50_000] * 99
    with pytest.raises(CheckpointError, match=r"cannot be fetched: the connection ended after 250000 of 700000 bytes; download") as told:
        fetch(weights)
    assert told.value.code == "offline"
    assert list(weights_folder().iterdir()) == []


def test_a_file_that_is_not_the_published_one_is_deleted(stand: Stand) -> None:
    weights = replace(SMALL, file="net-01234567.pth")
    stand.files[weights.file] = BYTES
    with pytest.raises(CheckpointError) as told:
        fetch(weights)
    assert told.value.code == "checksum"
    digest = hashlib.sha256(BYTES).hexdigest()
    assert all(word in told.value.message for word in (digest[:8], "01234567", "deleted", weights.file))
    assert list(weights_folder().iterdir()) == []


def test_a_file_that_went_bad_is_deleted_and_comes_again(stand: Stand) -> None:
    weights = offer(stand, SMALL, BYTES)
    path = fetch(weights)
    path.write_bytes(BYTES[:-1])
    with pytest.raises(CheckpointError, match="deleted"):
        fetch(weights)
    assert not path.exists()
    assert fetch(weights).read_bytes() == BYTES


def test_a_missing_file_says_where_to_put_it_by_hand(stand: Stand) -> None:
    with pytest.raises(CheckpointError) as told:
        fetch(SMALL)
    assert told.value.message == (
        f"{SMALL.file} cannot be fetched: the server answers 404 Not Found; "
        f"download {stand.address}/{SMALL.file} by hand to {weights_folder() / SMALL.file}."
    )
    assert len(stand.asked) == 1


def test_without_a_network_there_is_one_sentence(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    free = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = free.server_port
    free.server_close()
    monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", f"http://127.0.0.1:{port}")
    with pytest.raises(
        CheckpointError, match=r"cannot be fetched: .*refused.*; download http://127.0.0.1:\d+/resnet18.* by hand to"
    ) as told:
        fetch(SMALL)
    assert told.value.code == "offline"
    assert "\n" not in told.value.message


def test_a_server_that_does_not_answer_is_not_waited_for_long(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(store, "TIMEOUT_S", 0.2)
        with pytest.raises(CheckpointError, match="timed out"):
            fetch(SMALL)


def test_an_endless_answer_is_cut(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = offer(stand, SMALL, BYTES)
    monkeypatch.setattr(store, "LARGEST_BYTES", 400_000)
    with pytest.raises(CheckpointError) as told:
        fetch(weights)
    assert told.value.code == "size"
    assert list(weights_folder().iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, no folder")
    with pytest.raises(CheckpointError, match=r"cannot be written: .*Set VIZKIT_HOME") as told:
        fetch(SMALL)
    assert told.value.code == "unwritable"


def test_a_full_disk_is_said(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = offer(stand, SMALL, BYTES)
    target = Path("/dev/full")
    if not target.exists() or not stat.S_ISCHR(target.stat().st_mode):
        pytest.skip("there is no /dev/full here")
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *rest: opened(target if mode == "w+b" else self, mode, 0, *rest[1:]))
    monkeypatch.setattr(store, "_receive", lambda _url, file, *_rest: file.write(b"x" * 10))
    with pytest.raises(CheckpointError, match="No space left") as told:
        fetch(weights)
    assert told.value.code == "unwritable"


@pytest.mark.parametrize(
    ("set_to", "url"),
    [
        (None, "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        ("", "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        ("https://mirror.example/torch/", "https://mirror.example/torch/resnet18-f37072fd.pth"),
    ],
)
def test_the_address_and_its_mirror(monkeypatch: pytest.MonkeyPatch, set_to: str | None, url: str) -> None:
    monkeypatch.delenv("VIZKIT_WEIGHTS_MIRROR", raising=False)
    if set_to is not None:
        monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", set_to)
    assert weights_url(SMALL) == url


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://mirror.example", "mirror.example/models", "http://["])
def test_a_mirror_must_be_a_web_address(monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", mirror)
    with pytest.raises(SettingError, match=re.escape(repr(mirror))):
        weights_url(SMALL)


def test_where_weights_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VIZKIT_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / ".cache" / "vizkit" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights_folder() == tmp_path / "cache" / "vizkit" / "weights"
    monkeypatch.setenv("VIZKIT_HOME", str(tmp_path / "home"))
    assert weights_folder() == tmp_path / "home" / "weights"


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_both_formats_are_read(tmp_path: Path, zipped: bool) -> None:
    tensors = {"a.weight": torch.randn(3, 2), "b.running_mean": torch.randn(3)}
    path = tmp_path / "net.pth"
    path.write_bytes(packed(tensors, _use_new_zipfile_serialization=zipped))
    found = read_published(path)
    assert {key: found[key].tolist() for key in tensors} == {key: tensor.tolist() for key, tensor in tensors.items()}
    assert set(found) == {*tensors, "b.num_batches_tracked"}


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<html>not found</html>", "unreadable"),
        (b"", "unreadable"),
        (packed({"a": torch.zeros(2)})[:-40], "unreadable"),
        (packed([torch.zeros(2)]), "unreadable"),
        (packed({}), "unreadable"),
        (packed({"a": 3}), "unreadable"),
        (packed({"a": Harm()}), "unreadable"),
        (packed({"a": torch.tensor([0.0, float("nan")])}), "not_finite"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, code: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^net\.pth: ") as told:
        read_published(tmp_path / "net.pth")
    assert told.value.code == code
    assert not (tmp_path / "harmed").exists()


# ------------------------------------------------------------------------------------------------ networks


@pytest.fixture
def published(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``published("c2d-18", tensors)``: from now on these are what is published for an architecture."""

    def publish(name: str, tensors: dict[str, torch.Tensor], **settings: Any) -> PublishedWeights:
        entry = architecture(name)
        weights = offer(stand, entry.weights[0], packed(tensors), name=name)
        made = replace(entry, weights=(replace(weights, **settings),))
        monkeypatch.setattr(checkpoint, "architecture", lambda asked: made if asked == name else architecture(asked))
        return made.weights[0]

    return publish


@cache
def image_weights(depth: int, classes: int) -> dict[str, torch.Tensor]:
    """What an image network of width 4 would publish: torchvision's names, without counters."""
    torch.manual_seed(1)
    state = architecture(f"c2d-{depth}").build(classes, width=4).state_dict()
    return {key: tensor + 0.01 * torch.randn_like(tensor) for key, tensor in state.items() if "num_batches" not in key}


def test_the_names_of_a_frame_wise_resnet_are_torchvisions() -> None:
    from torchvision.models import get_model

    for depth in (18, 50):  # basic and bottleneck blocks
        with torch.device("meta"):
            ours, theirs = architecture(f"c2d-{depth}").build(1000), get_model(f"resnet{depth}")
        shapes = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
        assert {key: tensor.shape for key, tensor in ours.state_dict().items()} == shapes


def test_an_image_network_on_every_frame(published: Any) -> None:
    weights = published("c2d-18", image_weights(18, 1000))
    network = load_network("c2d-18", weights="imagenet", width=4)
    assert (network.name, network.architecture, network.origin) == ("c2d-18:imagenet", "c2d-18", "published")
    assert len(network.labels) == 1000
    assert network.labels[:2] == ("tench", "goldfish")
    for key, tensor in image_weights(18, 1000).items():
        assert torch.equal(network.module.state_dict()[key], tensor), key
    assert network.sampling == Sampling(segments=8, frames=8, short_side_px=256, crop_px=224)
    assert network.notes == (f"The weights are of an image network ({weights.source}): nothing in them was trained on motion.",)
    assert load_network("c2d-18:imagenet", width=4).digest == network.digest


def test_inserted_modules_and_another_last_layer_keep_their_start(published: Any) -> None:
    published("cpnet-18", image_weights(18, 1000))
    network = load_network("cpnet-18", weights="imagenet", num_classes=7, width=4, widths=[4], seed=3)
    start = load_network("cpnet-18", num_classes=7, width=4, widths=[4], seed=3).module.state_dict()
    for key, tensor in network.module.state_dict().items():
        ours = ".motion." in key or key.startswith("fc.") or key.endswith("num_batches_tracked")
        assert torch.equal(tensor, start[key] if ours else image_weights(18, 1000)[key]), key
    assert network.labels == tuple(f"class {number}" for number in range(7))
    assert network.origin == "published"
    assert network.notes[0] == (
        "Untrained beside published weights of the backbone (ResNet18_Weights.IMAGENET1K_V1): "
        "block res3.0, block res3.1, block res4.0, block res4.1, the last layer."
    )
    assert network.arguments == {"num_classes": 7, "seed": 3, "width": 4, "widths": [4]}


def test_notes_about_weights_stand_under_the_figure_and_a_recipe_makes_it_again(published: Any, tmp_path: Path) -> None:
    published("cpnet-18", image_weights(18, 1000))
    network = load_network("cpnet-18:imagenet", width=4, widths=[4], stem="7x7/1+pool")
    video = clip(0, side_px=64, frames=4).clip
    run = vizkit.probe(network, video, sampling=Sampling(segments=4, frames=4, short_side_px=64, crop_px=64))
    spec = draw(analyze("cpnet", run, queries=1))
    assert set(network.notes) <= set(spec.notes)
    (tmp_path / "recipe.json").write_bytes(encode(spec, "json"))
    recipe = load_recipe(tmp_path / "recipe.json")
    assert recipe.model == "cpnet-18:imagenet"
    assert encode(recipe.run(), "npz") == encode(spec, "npz")


def test_an_image_network_becomes_a_depthwise_video_network(published: Any) -> None:
    published("r2plus1d-dw-50", image_weights(50, 1000))
    network = load_network("r2plus1d-dw-50", weights="imagenet", width=4)
    frames = torch.rand(1, 3, 3, 64, 64)
    image = architecture("c2d-50").build(1000, width=4).eval()
    image.load_state_dict(image_weights(50, 1000), strict=False)
    with torch.no_grad():
        assert torch.allclose(network.module(frames), image(frames), rtol=1e-4, atol=1e-5)


def test_blocks_between_the_stages_of_a_depthwise_network_are_untrained(published: Any) -> None:
    published("dcf-r2plus1d-50", image_weights(50, 1000))
    network = load_network("dcf-r2plus1d-50:imagenet", num_classes=4, width=4)
    assert "block res2.dcf, block res3.dcf, block res4.dcf, the last layer" in network.notes[0]


def test_a_video_network_with_its_labels_sampling_and_preprocessing(published: Any) -> None:
    torch.manual_seed(2)
    theirs = architecture("swin3d_t").build(400, width=12, depths=(1, 1, 1, 1))
    weights = published("swin3d_t", theirs.net.state_dict())  # type: ignore[union-attr]
    network = load_network("swin3d_t", weights="kinetics", width=12, depths=(1, 1, 1, 1))
    assert network.labels[0] == "abseiling"
    assert len(network.labels) == 400
    assert (network.mean, network.std, network.notes) == (weights.mean, weights.std, ())
    assert network.sampling == Sampling(
        scheme="dense", frames=32, frames_per_second=15, short_side_px=256, crop_px=224, resize="torchvision"
    )
    frames = torch.rand(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.module(frames), theirs.eval()(frames))
    other = load_network("swin3d_t:kinetics", num_classes=3, width=12, depths=(1, 1, 1, 1))
    assert other.labels == ("class 0", "class 1", "class 2")
    assert torch.equal(other.module.state_dict()["net.norm.weight"], theirs.state_dict()["net.norm.weight"])
    assert other.notes[0].endswith("the last layer.")


def test_weights_that_do_not_fit_leave_the_module_as_it_is() -> None:
    module = architecture("c2d-18").build(5, width=4)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    right = dict(module.state_dict())
    wrong = {
        "keys": {key: tensor for key, tensor in right.items() if key != "bn1.weight"} | {"bn9.weight": torch.zeros(4)},
        "shape": {**right, "layer1.0.conv1.weight": torch.zeros(4, 4, 1, 1)},
    }
    for code, found in wrong.items():
        with pytest.raises(CheckpointError, match=r"net\.pth") as told:
            put_in({key: tensor + 1 for key, tensor in found.items()}, module, "net.pth", head=True)
        assert told.value.code == code
        assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())


def test_weights_of_another_width_are_refused_in_a_sentence(published: Any) -> None:
    published("c2d-18", image_weights(18, 1000))
    with pytest.raises(CheckpointError, match=r"c2d-18-.*\.pth: .* has shape \[4, 3, 7, 7\], expected \[8, 3, 7, 7\]"):
        load_network("c2d-18:imagenet", width=8)
    with pytest.raises(CheckpointError, match=r"keys are not this network's"):
        load_network("c2d-18:imagenet", width=4, depth=34)


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("c2d-18", "kinetics", ["c2d-18", "'kinetics'", "imagenet"]),
        ("r3d_18:imagenet", None, ["r3d_18", "'imagenet'", "kinetics"]),
        ("swin3d_b", "imagenet22k", ["kinetics, kinetics-imagenet22k"]),
        ("x3d-m", "kinetics", ["x3d-m", "none"]),
        ("r3d_18:kinetics", "imagenet", ["r3d_18:kinetics", "'imagenet'", "one of them"]),
    ],
)
def test_unknown_weights_list_what_is_published(name: str, weights: str | None, words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        load_network(name, weights=weights)
    assert told.value.code == "weights"
    assert all(word in told.value.message for word in words)


def test_a_stride_that_image_weights_were_not_trained_with_is_refused() -> None:
    with pytest.raises(SettingError, match=r"stride_on"):
        load_network("r2plus1d-dw-50:imagenet", stride_on="1x1", width=4)


# ------------------------------------------------------------------------------------------------ where they are offered


def test_listing_what_is_published_fetches_nothing(stand: Stand) -> None:
    told = json.loads(CliRunner().invoke(main, ["models", "r2plus1d_18", "--json"]).output)
    assert told[0]["weights"] == ["r2plus1d_18:kinetics"]
    assert "r2plus1d_18:kinetics" in CliRunner().invoke(main, ["models", "r2plus1d_18"]).output
    names = compute.model_names()
    for entry in (*TORCHVISION, architecture("cpnet-18"), architecture("c2d-50")):
        assert f"{entry.name}:{entry.weights[0].name}" in names
        assert compute.model_sampling(f"{entry.name}:{entry.weights[0].name}") == entry.weights[0].sampling(entry)
    assert stand.asked == []


def every_weights() -> list[tuple[Architecture, PublishedWeights]]:
    return [(entry, weights) for entry in architectures() for weights in entry.weights]


def test_weights_of_an_architecture_have_names_of_their_own() -> None:
    assert every_weights()
    for entry in architectures():
        assert len({weights.name for weights in entry.weights}) == len(entry.weights)
        assert ":" not in entry.name


def test_the_command_line_says_in_one_line_what_cannot_be_fetched(stand: Stand) -> None:
    told = CliRunner().invoke(main, ["predict", "world:demo:0", "--model", "s3d:kinetics", "--json"])
    assert told.exit_code == 2
    assert json.loads(told.stdout)["error"]["code"] == "offline"
    assert stand.address in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_published_weights_on_the_command_line(stand: Stand, published: Any) -> None:
    torch.manual_seed(0)
    theirs = architecture("s3d").build(400).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_var.fill_(0.5)  # type: ignore[union-attr]
    published("s3d", theirs.net.state_dict())  # type: ignore[union-attr]
    words = ["predict", "world:demo:0", "--model", "s3d:kinetics", "--sampling", "frames=16", "--json"]
    told = json.loads(CliRunner().invoke(main, words).stdout)
    assert told["model"]["origin"] == "published"
    assert told["sampling"]["frames_per_second"] == 15
    assert told["top"][0]["label"] in load_network("s3d:kinetics").labels
