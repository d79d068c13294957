"""What the player is given: every number of the figure, and nothing that could act as markup."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.ui.figures import FRAME, HEAT, figure
from vizkit.contracts import Grid
from vizkit.figure.encode import color_table
from vizkit.ui.player.payload import FASTEST_FPS, SLOWEST_FPS, figure_payload


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_payload_is_plain_json():
    payload = figure_payload(figure(), times_s=[0.0, 0.5], clip_digest="abc")
    assert json.loads(json.dumps(payload)) == payload
    assert payload["frames"] == [0, 1]
    assert payload["clip"] == "abc"


def test_sprite_holds_each_frame_at_its_tile():
    payload = figure_payload(figure())
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(payload["sprite"].partition(",")[2]))).convert("RGB")).astype(int)
    for panel, wanted in zip(payload["panels"], (FRAME, FRAME + 60), strict=True):
        x, y, width, height = next(layer["tile"] for layer in panel["layers"] if layer["kind"] == "image")
        assert (width, height) == (24, 16)
        assert np.abs(sheet[y : y + height, x : x + width] - wanted).max() <= 4


def test_heat_keeps_its_values_and_what_is_unknown():
    layer = figure_payload(figure())["panels"][0]["layers"][1]
    assert np.array_equal(floats(layer["values"]).reshape(layer["h"], layer["w"]), HEAT, equal_nan=True)
    assert (layer["origin"], layer["stride"], layer["limits"]) == (3.5, 8.0, [0.0, 5.0])


def test_colours_are_those_of_the_print():
    payload = figure_payload(figure())
    assert base64.b64decode(payload["luts"]["inferno"]) == color_table("inferno").tobytes()
    assert set(payload["luts"]) == {"inferno"}
    assert payload["roles"]["filtered"]["dash"]
    assert not payload["roles"]["active"]["dash"]


def test_links_keep_order_ends_groups_and_words():
    filtered, active = figure_payload(figure())["links"]
    assert [filtered["role"], active["role"]] == ["filtered", "active"]
    assert active["from"] == [0, 0]
    assert active["to"] == [1, 1]
    assert active["start"] == [4.0, 5.0, 4.0, 5.0]
    assert active["weight"] == [0.75, 0.75]
    assert active["label"] == ["a", "a"]


def test_layers_without_words_have_empty_ones():
    spec = figure()
    plain = type(spec.links[0])(**{**vars(spec.links[0]), "label": ()})
    payload = figure_payload(type(spec)(**{**vars(spec), "links": (plain,)}))
    assert payload["links"][0]["label"] == [""]


def test_digest_changes_with_the_figure_and_only_then():
    same = figure_payload(figure())["digest"]
    assert figure_payload(figure())["digest"] == same
    assert figure_payload(figure("Another"))["digest"] != same
    assert figure_payload(figure(), times_s=[0, 1])["digest"] != same


@pytest.mark.parametrize(
    ("times_s", "fps"),
    [
        ([], SLOWEST_FPS),
        ([0.0], SLOWEST_FPS),
        ([0.0, 0.2, 0.4], 5.0),
        ([0.0, 5.0, 10.0], SLOWEST_FPS),
        ([0.0, 0.001, 0.002], FASTEST_FPS),
        ([1.0, 1.0, 1.0], FASTEST_FPS),
    ],
)
def test_pace_is_the_clip_s_own_within_what_an_eye_can_follow(times_s: list[float], fps: float):
    assert figure_payload(figure(), times_s=times_s)["fps"] == pytest.approx(fps)


def test_keys_and_grid():
    payload = figure_payload(figure(), grid=Grid("res3", 3.5, 8.0, 1, (2, 2, 3)))
    bar, wheel, legend = payload["keys"]
    assert (bar["kind"], bar["note"]) == ("bar", "one scale")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(wheel["src"].partition(",")[2]))))
    assert np.abs(picture[48, -1].astype(int) - (255, 0, 0)).max() <= 4, "right is red"
    assert legend["entries"] == [["active", "won"]]
    assert payload["grid"] == {"origin": 3.5, "stride": 8.0, "shape": [2, 2, 3]}


def test_words_of_others_stay_words():
    title = "</script><img src=x onerror=alert(1)>"
    assert figure_payload(figure(title))["title"] == title, "text is shown by textContent, so it is not altered"
