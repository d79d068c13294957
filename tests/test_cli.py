"""The command line: keys of every JSON answer, exit statuses, one-line errors, files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vizkit.cli import main
from vizkit.cli.output import plain, table
from vizkit.contracts import Sampling
from vizkit.pipeline import parse_sampling
from vizkit.world.labels import LABELS

ROOT = Path(__file__).resolve().parent.parent
CLIP = "world:test:0:side_px=64"
LOOK = ("--model", "tiny", "--view", "cpnet")
MODEL_KEYS = {
    *("name", "kind", "module", "backbone", "frames", "size_px", "classes", "params", "gmacs", "published", "ours_in_convention"),
    *("difference_percent", "stages", "blocks", "block_params", "checkpoint", "views", "weights"),
}
STAGE_KEYS = {"name", "channels", "stride_px", "stride_frames", "origin_px", "grid"}


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Said:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small checkpoint of random weights."""
    import torch

    from vizkit.catalog import architecture
    from vizkit.checkpoint import write_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints")
    options = {"width": 8, "stem": "5x5/2", "blocks": ["res3.0"], "shrink": 1, "last_gain": 1.0, "dropout": 0.0}
    torch.manual_seed(0)
    module = architecture("cpnet-18").build(len(LABELS), **options)
    card = {
        "name": "tiny", "architecture": "cpnet-18", "options": options, "labels": list(LABELS), "mean": [0.5] * 3, "std": [0.25] * 3,
        "sampling": {"segments": 8, "short_side_px": 64, "crop_px": 64}, "origin": "random", "license": "Apache-2.0",
        "test": {"world.accuracy_112": {"value": 0.0625, "interval": [0.03, 0.12], "n": 100, "command": "none"}},
    }  # fmt: skip
    write_checkpoint(folder / "tiny", module, card)
    return folder


@pytest.fixture(autouse=True)
def _stock(stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(stock))


# ------------------------------------------------------------------------------------------------ predict, analyze, render


def test_predict() -> None:
    said = run("predict", CLIP, "--model", "tiny", "--top", 3, "--json")
    assert said.status == 0
    found = said.json
    assert found.keys() == {"clip", "sampling", "model", "top", "threads"}
    assert found["clip"].keys() == {"name", "digest", "frames", "duration_s", "size_wh", "codec", "verdict", "warnings"}
    assert found["clip"]["size_wh"] == [64, 64]
    assert found["sampling"]["index"] == list(range(8))
    assert found["sampling"]["times_s"] == [number / 8 for number in range(8)]
    assert {"scheme", "segments", "short_side_px", "crop_px"} <= found["sampling"].keys()
    assert found["model"].keys() == {"name", "architecture", "digest", "origin"}
    assert found["model"]["name"] == "tiny"
    assert [row.keys() for row in found["top"]] == [{"label", "index", "probability", "logit"}] * 3
    assert [LABELS[row["index"]] for row in found["top"]] == [row["label"] for row in found["top"]]
    assert sorted((row["probability"] for row in found["top"]), reverse=True) == [row["probability"] for row in found["top"]]


def test_predict_samples_as_told() -> None:
    found = run("predict", CLIP, "--model", "tiny", "--sampling", "segments=4", "--sampling", "start_s=0.5", "--json").json
    assert found["sampling"]["index"] == [4, 5, 6, 7]


def test_predict_for_people_names_clip_model_and_labels() -> None:
    said = run("predict", CLIP, "--model", "tiny", "--top", 2)
    lines = said.out.splitlines()
    assert lines[0] == f"{CLIP}: 8 frames, 1.00 s, 64x64, world"
    assert lines[1] == "tiny (cpnet-18, random weights)"
    assert lines[2].split() == ["label", "probability"]
    assert len(lines) == 5


def test_analyze_lists_the_whole_record(tmp_path: Path) -> None:
    out = tmp_path / "record.npz"
    said = run("analyze", CLIP, *LOOK, "--point", "3,32,24", "--set", "neighbors=5", "--out", out, "--json")
    assert said.status == 0
    found = said.json
    assert found.keys() == {"view", "params", "grid", "record", "summary", "score", "provenance"}
    assert found["params"]["neighbors"] == 5
    assert found["grid"] == {"stage": "res3", "origin_px": 0.0, "stride_px": 4.0, "stride_frames": 1, "shape": [8, 16, 16]}
    record = found["record"]
    assert {"query", "proposal", "distance_squared", "active", "channels_won", "change"} <= record.keys()
    assert record["query"] == [[3, 6, 8]]
    assert np.shape(record["proposal"]) == (1, 5, 3)
    assert all(t != 3 for t, _, _ in record["proposal"][0])
    assert np.shape(record["change"]) == (8, 16, 16)
    assert found["score"]["hit_rate"] >= 0
    assert found["provenance"]["params"]["neighbors"] == 5
    with np.load(out) as arrays:
        assert {
            name: np.array_equal(arrays[name], np.array(values, arrays[name].dtype)) for name, values in record.items()
        } == dict.fromkeys(record, True)
        assert json.loads(str(arrays["provenance"])) == found["provenance"]


def test_analyze_without_a_block() -> None:
    said = run("analyze", CLIP, *LOOK, "--without", "res3.0", "--set", "block=res4", "--json")
    assert said.json["provenance"]["without"] == ["res3.0"]
    assert not np.any(said.json["record"]["active"])
    said = run("analyze", CLIP, *LOOK, "--without", "res3.0", "--set", "block=res3.0", "--json")
    assert (said.status, said.json["error"]["code"]) == (2, "switched_off")


def test_settings_that_no_weight_depends_on_are_changed_for_a_run() -> None:
    usual, fewer = (run("predict", CLIP, "--model", "tiny", *more, "--json").json for more in ((), ("--adjust", "res3.0.neighbors=1")))
    assert usual["model"]["digest"] == fewer["model"]["digest"], "the weights are as they were"
    assert usual["top"][0]["logit"] != fewer["top"][0]["logit"]
    said = run("analyze", CLIP, *LOOK, "--adjust", "res3.0.neighbors=1", "--json")
    assert said.json["provenance"]["arguments"]["adjust"] == {"res3.0": {"neighbors": 1}}


def test_large_arrays_are_described() -> None:
    from vizkit.cli.views import LISTED_NUMBERS, listed

    large = np.zeros(LISTED_NUMBERS + 1, np.float32)
    large[:2] = 3, np.nan
    described = plain(listed(large))
    assert described == {
        "shape": [LISTED_NUMBERS + 1],
        "dtype": "float32",
        "min": 0.0,
        "max": 3.0,
        "mean": pytest.approx(3 / LISTED_NUMBERS),
    }
    assert plain(listed(np.array([1.0, np.nan]))) == [1.0, None]


@pytest.mark.parametrize("suffix", ["pdf", "npz", "json"])
def test_render_writes_the_same_bytes_again(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    said = run("render", CLIP, *LOOK, "--point", "3,32,24", "--out", first, "--json")
    assert said.status == 0
    assert said.json.keys() == {"file", "bytes", "sha256", "recipe"}
    assert said.json["file"] == str(first)
    assert said.json["bytes"] == first.stat().st_size
    assert said.json["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert run("render", CLIP, *LOOK, "--point", "3,32,24", "--out", second).status == 0
    assert first.read_bytes() == second.read_bytes()


def test_render_a_recipe_gives_the_same_figure(tmp_path: Path) -> None:
    picture, recipe, again = tmp_path / "a.svg", tmp_path / "a.json", tmp_path / "b.svg"
    arguments = (CLIP, *LOOK, "--set", "neighbors=3", "--look", "heat=false")
    run("render", *arguments, "--out", picture)
    run("render", *arguments, "--out", recipe)
    said = run("render", recipe, "--out", again, "--json")
    assert said.json["recipe"] == json.loads(recipe.read_text())
    assert said.json["recipe"]["look"] == {"heat": "false"} or said.json["recipe"]["look"] == {"heat": False}
    assert picture.read_bytes() == again.read_bytes()


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("frobnicate",), "usage", "frobnicate"),
        (("predict", CLIP), "usage", "--model"),
        (("predict", CLIP, "--model", "nosuch"), "unknown_name", "tiny"),
        (("predict", "nosuch.mp4", "--model", "tiny"), "missing", "nosuch.mp4"),
        (("predict", CLIP, "--model", "tiny", "--sampling", "segments"), "usage", "key=value"),
        (("predict", CLIP, "--model", "tiny", "--sampling", "crop=9"), "setting", "crop_px"),
        (("analyze", CLIP, "--model", "tiny", "--view", "nosuch"), "unknown_name", "cpnet"),
        (("analyze", CLIP, *LOOK, "--set", "neighbours=3"), "setting", "neighbors (integer 1..64"),
        (("analyze", CLIP, *LOOK, "--point", "3,4"), "usage", "3,56,40"),
        (("analyze", CLIP, *LOOK, "--point", "99,4,4"), "point", "t 0..7"),
        (("analyze", CLIP, *LOOK, "--without", "res9.9"), "unknown_name", "res3.0"),
        (("analyze", CLIP, *LOOK, "--adjust", "res3.0.neighbors=0"), "setting", "neighbors (integer 1..64"),
        (("predict", CLIP, "--model", "tiny", "--adjust", "res3.0.head=before_max"), "fixed", "cannot be changed at run time"),
        (("predict", CLIP, "--model", "tiny", "--adjust", "neighbors=2"), "usage", "res3.1.neighbors=2"),
        (("analyze", CLIP, *LOOK, "--out", "record.txt"), "unknown_suffix", ".npz"),
        (("render", CLIP, *LOOK, "--out", "figure.xyz"), "unknown_suffix", ".pdf"),
        (("render", CLIP, *LOOK, "--out", "no/such/folder/figure.json"), "unwritable", "no/such/folder"),
        (("render", CLIP, *LOOK, "--venue", "nosuch", "--out", "figure.pdf"), "unknown_name", "nosuch"),
        (("render", CLIP, *LOOK, "--clip", CLIP, "--out", "figure.pdf"), "usage", "recipe"),
        (("render", CLIP, "--out", "figure.pdf"), "usage", "--view"),
        (("render", "nosuch.json", "--out", "figure.pdf"), "missing", "nosuch.json"),
        (("render", "recipe.json", "--view", "cpnet", "--out", "figure.pdf"), "usage", "view"),
        (("models", "nosuch"), "unknown_name", "cpnet-34"),
        (("inspect", "nosuch.mp4"), "missing", "nosuch.mp4"),
        (("world", "sideways", "--out", "clip.npz"), "unknown_name", "moving left"),
        (("world", "--out", "clip.avi"), "unknown_suffix", ".webm"),
        (("world", "--size", 33, "--out", "clip.webm"), "odd_size", "even"),
        (("world", "--out", "no/such/folder/clip.npz"), "unwritable", "no/such/folder"),
        (("score", "nosuch"), "unknown_name", "tiny"),
        (("train", "nosuch.toml", "--out", "run"), "missing", "nosuch.toml"),
    ],
)
def test_what_the_caller_can_mend_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], code: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run(*arguments, "--json")
    assert said.status == 2
    assert said.json["error"].keys() == {"code", "message"}
    assert said.json["error"]["code"] == code
    assert says in said.json["error"]["message"]
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.json["error"]["message"].split() == said.err.removeprefix("error: ").split()
    people = run(*arguments)
    assert (people.status, people.out, people.err) == (2, "", said.err)


def test_another_short_side_replaces_a_fixed_height_and_width() -> None:
    """torchvision's networks see 128 x 171 px; a crop of that instead of a frame of 64 px would be a small part of the picture."""
    network = SimpleNamespace(sampling=Sampling(short_side_px=128, crop_px=112, resize_hw=(128, 171)))
    asked = [("short_side_px", "64"), ("crop_px", "64")]
    assert parse_sampling(network, asked) == Sampling(short_side_px=64, crop_px=64)  # type: ignore[arg-type]
    assert parse_sampling(network, [*asked, ("resize_hw", "70,90")]).resize_hw == (70, 90)  # type: ignore[arg-type]
    assert parse_sampling(network, [("frames", "4")]).resize_hw == (128, 171)  # type: ignore[arg-type]


def test_a_network_that_no_view_measures_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizkit.scores.VIEWS", ())
    said = run("score", "c2d-18", "--clips", 1, "--json")
    assert (said.status, said.json["error"]["code"]) == (2, "nothing_to_measure")
    assert "c2d-18" in said.json["error"]["message"]
    assert "1 test clips" in said.json["error"]["message"]


def test_bugs_stay_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizkit.pipeline.open_source", lambda _source: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("predict", CLIP, "--model", "tiny", "--json")


def test_the_program_ends_with_the_status_and_no_traceback() -> None:
    command = [sys.executable, "-m", "vizkit", "predict", "nosuch.mp4", "--model", "tiny"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: nosuch.mp4: ")


# ------------------------------------------------------------------------------------------------ models, inspect, doctor


@pytest.mark.parametrize(
    ("name", "params", "published"), [("c2d-34", 21_373_934, 20.3), ("cpnet-18", 11_454_702, 11.3), ("cpnet-34", 21_638_126, 21.0)]
)
def test_models_counts_an_architecture(name: str, params: int, published: float) -> None:
    said = run("models", name, "--json")
    assert said.status == 0
    (found,) = said.json
    assert found.keys() == MODEL_KEYS
    assert (found["kind"], found["classes"], found["params"]) == ("architecture", 174, params)
    assert found["published"].keys() == {"params", "gmacs", "convention"}
    assert found["published"]["params"] == published
    assert found["ours_in_convention"].keys() == {"params", "gmacs"}
    assert found["difference_percent"] == pytest.approx(100 * (found["ours_in_convention"]["params"] / published - 1))
    assert [stage.keys() for stage in found["stages"]] == [STAGE_KEYS] * 4
    assert [stage["grid"] for stage in found["stages"]] == [[8, side, side] for side in (56, 28, 14, 7)]
    assert found["checkpoint"] is None
    assert found["views"]["cpnet"] is True


def test_models_describes_a_checkpoint() -> None:
    (found,) = run("models", "tiny", "--json").json
    assert found.keys() == MODEL_KEYS
    assert (found["kind"], found["frames"], found["size_px"], found["blocks"]) == ("checkpoint", 8, 64, ["res3.0"])
    assert found["checkpoint"].keys() == {"digest", "origin", "twin", "top1", "interval"}
    assert (found["checkpoint"]["top1"], found["checkpoint"]["interval"]) == (0.0625, [0.03, 0.12])
    assert found["published"] is None


def test_multiply_adds_of_one_convolution_are_counted_by_hand() -> None:
    """3 -> 4 channels, 3 x 3 kernel, 8 x 8 outputs, 2 frames: 2 * 64 * 4 * 27 multiply-adds."""
    from torch import nn

    from vizkit.net.count import count_network

    cost = count_network(nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1)), frames=2, size_px=8)
    assert cost.gmacs * 1e9 == pytest.approx(2 * 64 * 4 * 27)
    assert cost.params == 4 * 27 + 4


@pytest.mark.slow
def test_models_lists_all_architectures_and_checkpoints() -> None:
    from vizkit.catalog import architectures

    said = run("models", "--json")
    assert [entry["name"] for entry in said.json] == [*(entry.name for entry in architectures()), "tiny"]
    assert all(entry.keys() == MODEL_KEYS for entry in said.json)
    (largest,) = [entry for entry in said.json if entry["name"] == "cpnet-101"]
    assert (largest["classes"], largest["params"]) == (400, 44_368_848)


def test_inspect_a_clip(tmp_path: Path) -> None:
    out = tmp_path / "clip.webm"
    run("world", "--size", 64, "--out", out)
    said = run("inspect", out, "--model", "tiny", "--json")
    assert said.status == 0
    assert said.json.keys() == {"kind", "verdict", "code", "message", "facts"}
    assert (said.json["kind"], said.json["verdict"]) == ("clip", "ok")
    assert said.json["facts"]["sampling"]["index"] == list(range(8))
    out.write_bytes(b"not a video")
    said = run("inspect", out, "--json")
    assert (said.status, said.json["kind"], said.json["verdict"]) == (1, "clip", "reject")


def test_inspect_a_checkpoint(stock: Path, tmp_path: Path) -> None:
    said = run("inspect", stock / "tiny", "--json")
    assert said.status == 0
    assert said.json.keys() == {"kind", "verdict", "code", "message", "facts"}
    assert said.json["kind"] == "checkpoint"
    said = run("inspect", stock / "tiny" / "weights.safetensors", "--model", "c2d-18", "--json")
    assert (said.status, said.json["verdict"], said.json["code"]) == (1, "reject", "keys")
    pickled = tmp_path / "weights.pth"
    pickled.write_bytes(b"\x80\x02cposix\nsystem\n.")
    said = run("inspect", pickled, "--json")
    assert (said.status, said.json["verdict"], said.json["code"]) == (1, "reject", "unsafe")


def test_doctor_finds_nothing_wrong_here() -> None:
    said = run("doctor", "--json")
    found = said.json
    assert found.keys() == {"version", "python", "packages", "device", "threads", "codecs", "limits", "checkpoints", "problems"}
    assert found["codecs"].keys() == {"decode", "encode"}
    assert {"h264", "hevc", "vp8", "vp9", "mjpeg", "mpeg4"} <= set(found["codecs"]["decode"])
    assert "libvpx-vp9" in found["codecs"]["encode"]
    assert found["checkpoints"] == [{"name": "tiny", "digest_ok": True}]
    assert found["problems"] == []
    assert said.status == 0


def test_doctor_names_a_checkpoint_whose_weights_were_changed(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "tiny"
    changed.mkdir()
    (changed / "card.json").write_bytes((stock / "tiny" / "card.json").read_bytes())
    (changed / "weights.safetensors").write_bytes((stock / "tiny" / "weights.safetensors").read_bytes()[:-1] + b"\x01")
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(tmp_path))
    said = run("doctor", "--json")
    assert said.status == 1
    assert said.json["checkpoints"] == [{"name": "tiny", "digest_ok": False}]
    assert [problem.keys() for problem in said.json["problems"]] == [{"what", "way_out"}]
    assert "tiny" in said.json["problems"][0]["what"]


def test_doctor_checks_packages_against_the_pins() -> None:
    from vizkit.doctor import PACKAGES

    pinned = [line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    assert list(PACKAGES) == pinned


# ------------------------------------------------------------------------------------------------ world, score, train


def test_world_writes_frames_and_truth(tmp_path: Path) -> None:
    out = tmp_path / "clip.npz"
    said = run("world", "moving left", "--index", 3, "--frames", 4, "--size", 32, "--out", out, "--json")
    assert said.status == 0
    assert said.json.keys() == {"label", "file", "truth"}
    assert said.json["label"] == "moving left"
    assert said.json["truth"]["flow_px"] == [3, 32, 32, 2]
    with np.load(out) as arrays:
        assert arrays["frames"].shape == (4, 32, 32, 3)
        assert arrays["frames"].dtype == np.uint8
        assert str(arrays["label"]) == "moving left"
        assert {name: list(arrays[name].shape) for name in said.json["truth"]} == said.json["truth"]
        moving = arrays["moving"][:-1] & (arrays["object_id"][:-1] > 0)
        assert arrays["flow_px"][moving][:, 0].mean() < 0


def test_world_shakes_its_camera(tmp_path: Path) -> None:
    arrays = []
    for shake in (0, 3):
        out = tmp_path / f"{shake}.npz"
        assert run("world", "--frames", 4, "--size", 32, "--shake", shake, "--out", out).status == 0
        with np.load(out) as found:
            arrays.append((found["frames"], found["camera"]))
    assert not np.array_equal(arrays[0][0], arrays[1][0])
    jumps = np.abs(arrays[1][1][..., 2] - arrays[0][1][..., 2])
    assert 0 < jumps.max() <= 6, "relative to the first frame, which jumps too"
    assert run("world", "--shake", 17, "--out", tmp_path / "x.npz").status == 2


def test_world_writes_a_film_that_opens_again(tmp_path: Path) -> None:
    from vizkit.clip import open_clip

    out = tmp_path / "clip.webm"
    assert run("world", "--frames", 6, "--size", 64, "--out", out).status == 0
    clip = open_clip(out)
    assert (clip.frames, clip.size_wh) == (6, (64, 64))


def test_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizkit.motion.gradcam.score.CURVE_CLIPS", 0)  # sixty passes a clip; tests/motion/gradcam has them
    said = run("score", "tiny", "--clips", 2, "--json")
    assert said.status == 0
    assert said.json.keys() == {"checkpoint", "digest", "clips", "seed", "scores"}
    assert (said.json["checkpoint"], said.json["clips"], said.json["seed"]) == ("tiny", 2, 0)
    assert {"world.accuracy_112", "cpnet.hit_rate_active"} <= said.json["scores"].keys()
    assert [entry.keys() for entry in said.json["scores"].values()] == [{"value", "interval", "n"}] * len(said.json["scores"])


def test_score_of_random_weights_and_what_goes_into_a_card(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizkit.motion.gradcam.score.CURVE_CLIPS", 0)
    folder = Path(shutil.copytree(stock / "tiny", tmp_path / "tiny"))
    fresh = run("score", folder, "--clips", 1, "--untrained", "--json").json
    assert fresh["digest"] != run("models", "tiny", "--json").json[0]["checkpoint"]["digest"]
    assert all(name.startswith("cpnet.") for name in fresh["scores"])
    said = run("score", folder, "--clips", 1, "--write", "--json").json
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert said["scores"] == card["test"]
    assert {name: entry["value"] for name, entry in card["untrained"].items()} == pytest.approx(
        {name: entry["value"] for name, entry in fresh["scores"].items()}, abs=1e-4
    )
    for wrong in (("--seed", 1), ("--untrained",)):
        assert run("score", folder, "--clips", 1, "--write", *wrong).status == 2
    assert "is no checkpoint" in run("score", "c2d-18", "--clips", 1, "--untrained").err


@pytest.mark.slow
def test_train_writes_a_checkpoint_and_refuses_to_overwrite_it(tmp_path: Path) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(
        'name = "small"\narchitecture = "c2d-18"\noptions = { width = 8, stem = "5x5/2", dropout = 0.0 }\n[[phases]]\nclips = 8\n'
    )
    said = run("train", config, "--out", out, "--set", "batch=4", "--test-clips", 0, "--json")
    assert said.status == 0
    assert said.json["name"] == "small"
    assert {"log.jsonl", "weights.safetensors", "card.json", "config.toml"} <= {path.name for path in out.iterdir()}
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"] == 2
    assert run("predict", CLIP, "--model", out, "--json").json["model"]["origin"] == "trained"
    assert run("train", config, "--out", out, "--set", "batch=4", "--json").json["error"]["code"] == "exists"


# ------------------------------------------------------------------------------------------------ what people see


def test_tables_put_numbers_to_the_right() -> None:
    assert table(("name", "value"), [("a", 1.5), ("long", None)]) == "name  value\na       1.5\nlong      -"
