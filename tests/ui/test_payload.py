"""What the player is given: every number of the figure, and nothing that could act as markup."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ui.figures import FRAME, HEAT, figure, filters, polar, pyramid
from vizkit.contracts import Grid
from vizkit.figure.encode import color_table, wheel_hues
from vizkit.figure.place import ARMS
from vizkit.figure.spec import ArrowLayer, LegendKey
from vizkit.render.theme import THEMES
from vizkit.ui.player import payload as payload_module
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
    assert set(payload["luts"]) == {"inferno", "viridis", "cividis", "gray", "diverging"}, "those that a reader can choose"
    for theme, roles in payload["themes"].items():
        assert roles["filtered"]["dash"]
        assert not roles["active"]["dash"]
        assert roles["active"]["color"] == THEMES[theme].roles["active"].color
    assert base64.b64decode(payload["wheel"]) == wheel_hues().astype(np.uint8).tobytes()


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
    assert wheel["lines"] == ["direction", "full colour = 4 px/frame"]
    assert payload["grid"] == {"origin": 3.5, "stride": 8.0, "rows": 2, "columns": 3, "place": "res3", "strideFrames": 1}


def test_motion_keeps_its_vectors_confidence_and_scale():
    spec = pyramid(2, 64, backdrop="picture")
    panel = figure_payload(spec)["panels"][5]
    motion, layer = spec.panels[5].layers[1], panel["layers"][1]
    shape = motion.confidence.shape
    assert np.array_equal(floats(layer["dx"]).reshape(shape), motion.vectors[..., 0], equal_nan=True)
    assert np.array_equal(floats(layer["dy"]).reshape(shape), motion.vectors[..., 1], equal_nan=True)
    assert np.array_equal(floats(layer["confidence"]).reshape(shape), motion.confidence)
    assert (layer["origin"], layer["stride"], layer["longest"], layer["backdrop"]) == (2.0, 8.0, 16.0, "picture")
    assert (panel["name"], panel["view"], panel["row"], panel["column"], panel["frame"]) == ("res3 1", "res3", 1, 2, 1)


def test_equal_pictures_are_sent_once():
    payload = figure_payload(pyramid(3, 64, backdrop="picture"))
    tiles = {tuple(layer["tile"]) for panel in payload["panels"] for layer in panel["layers"] if layer["kind"] == "image"}
    assert len(tiles) == 3


def test_wheels_share_a_disc_that_says_every_scale():
    (wheel,) = figure_payload(pyramid(1, 64))["keys"]
    assert wheel["lines"] == ["res2: full colour = 8 px/frame", "res3: full colour = 16 px/frame"]


def test_outlines_keep_corners_words_and_headings():
    rings, petals = figure_payload(polar())["panels"][0]["layers"]
    assert (rings["filled"], petals["filled"]) == (False, True)
    assert petals["label"] == ["right: 50 %", "30 %", "15 %"]
    assert petals["outlines"][0][:2] == [60.0, 60.0]
    assert figure_payload(filters(1, 1))["panels"][0]["rowTitle"] == "t = 0"


def test_words_of_others_stay_words():
    title = "</script><img src=x onerror=alert(1)>"
    assert figure_payload(figure(title))["title"] == title, "text is shown by textContent, so it is not altered"


def test_marks_of_the_player_are_those_of_the_print():
    text = (Path(payload_module.__file__).parent / "draw.js").read_text(encoding="utf-8")
    table = re.search(r"const ARMS = \{(.*?)\};", text, re.DOTALL)
    assert table is not None
    found = {name: json.loads(ends) for name, ends in re.findall(r"(\w+): (\[\[.*?\]\])", table[1])}
    assert found == {name: [list(end) for end in ends] for name, ends in ARMS.items()}


def test_legends_keep_their_marks_and_lines_have_no_heads():
    spec = figure()
    line = ArrowLayer(np.array([[0.0, 0.0]]), np.array([[9.0, 0.0]]), "border", np.ones(1, np.float32), head_px=0.0)
    panel = replace(spec.panels[0], layers=(*spec.panels[0].layers, line))
    keys = (LegendKey((("region_1", "upper"),), "point", ("star",)), LegendKey((("border", "borders"),), "line"))
    payload = figure_payload(replace(spec, panels=(panel, *spec.panels[1:]), keys=keys))
    assert [(key["sample"], key["markers"]) for key in payload["keys"]] == [("point", ["star"]), ("line", [])]
    assert payload["panels"][0]["layers"][-1]["head"] == 0
