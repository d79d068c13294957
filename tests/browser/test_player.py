"""The player alone, on figures made by hand: the same colours as in print, layout of grids, readout, clicks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ui.figures import filters, motion, polar, pyramid
from vizkit.figure.encode import cell_colors
from vizkit.figure.spec import FigureSpec, HeatLayer, ImageLayer, Layer, Panel
from vizkit.ui.player.payload import figure_payload

pytestmark = pytest.mark.browser

SIDE = 380
"""The largest tile of a strip, so that canvas pixels are panel pixels."""


def canvas_pixels(page: Any, name: str = "strip") -> np.ndarray:
    """[H, W, 4] of one canvas."""
    uri = page.evaluate("(name) => window.player.querySelector(`canvas.${name}`).toDataURL('image/png')", name)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def one_panel(*layers: Layer) -> FigureSpec:
    return FigureSpec("One", "A caption.", "One panel.", (Panel("frame 0", "", (SIDE, SIDE), 0, 0, layers, 0),))


def in_print(spec: FigureSpec) -> np.ndarray:
    """[SIDE, SIDE, 3] the panel as NumPy composes it."""
    pixels = np.full((SIDE, SIDE, 3), 255.0)
    for layer in spec.panels[0].layers:
        if isinstance(layer, ImageLayer):
            pixels = layer.pixels.astype(float)
        else:
            colors = cell_colors(layer, (SIDE, SIDE), (SIDE, SIDE)).astype(float)
            share = colors[..., 3:] / 255 * layer.opacity
            pixels = pixels * (1 - share) + colors[..., :3] * share
    return pixels


GREY = ImageLayer(np.full((SIDE, SIDE, 3), 120, np.uint8))
VALUES = np.random.default_rng(0).random((12, 12)).astype(np.float32)
VALUES[3, 4] = np.nan


@pytest.mark.parametrize(
    "layers",
    [
        (motion("res3", SIDE),),
        (motion("res3", SIDE, smooth=False),),
        (motion("res2", SIDE, 1.0),),
        (GREY, motion("res3", SIDE, backdrop="picture")),
        (GREY, motion("res3", SIDE, opacity=0.4)),
        (GREY, HeatLayer(VALUES, 15.5, 32.0, (0.0, 1.0), "heat", opacity=0.6)),
        (GREY, HeatLayer(VALUES, 15.5, 32.0, (0.0, 1.0), "heat", colors="viridis", opacity=1.0, smooth=False)),
    ],
    ids=["motion", "motion cells", "fine motion", "motion over picture", "half motion", "heat", "heat cells"],
)
def test_colours_are_those_of_the_print(mounted: Callable[..., Any], layers: tuple[Layer, ...]):
    spec = one_panel(*layers)
    pixels = canvas_pixels(mounted(figure_payload(spec)))[19 : 19 + SIDE, :SIDE, :3].astype(float)
    inside = slice(4, -4)  # within the line around the current frame
    difference = np.abs(pixels - in_print(spec))[inside, inside].max(axis=-1)
    assert (difference <= 2).mean() > 0.999, "one bin or one rounding step more where 32 and 64 bits part"
    assert np.quantile(difference, 0.999) <= 2


def test_a_grid_keeps_rows_and_columns_with_its_headings_in_one_view(mounted: Callable[..., Any]):
    spec = filters(8, 8)
    page = mounted(figure_payload(spec), wide=914)
    assert page.evaluate("() => window.player.dataset.layout") == "grid"
    pixels = canvas_pixels(page)
    assert pixels.shape[0] <= 720
    assert pixels.shape[1] <= 914 - 300
    drawn = pixels[..., 3] > 0
    columns = drawn[60:].all(axis=0)  # full columns are tiles only where gaps between rows are not counted
    assert not columns.any(), "thin gaps between the rows"
    tile = (pixels.shape[1] - 40) // 8
    assert tile >= 60, "readable at 1280 px with the side bar"


def centre_of(page: Any, spec: FigureSpec, name: str) -> dict[str, float]:
    """Where a panel of a full grid lies on the strip, found from the canvas' size."""
    box = page.evaluate("() => { const c = window.player.querySelector('canvas.strip'); return [c.clientWidth, c.clientHeight]; }")
    panel = next(panel for panel in spec.panels if panel.name == name)
    rows, columns = (len({getattr(one, side) for one in spec.panels}) for side in ("row", "column"))
    tile = (box[1] - 19) / rows
    return {"x": box[0] - (columns - panel.column - 0.5) * tile, "y": 19 + (panel.row + 0.5) * tile}


def test_a_click_names_its_panel_and_shows_it_in_large(mounted: Callable[..., Any]):
    spec = filters(4, 7)
    page = mounted(figure_payload(spec), wide=914)
    before = canvas_pixels(page, "large")
    page.locator("canvas.strip").click(position=centre_of(page, spec, "t 2, c 5"))
    (pick,) = page.evaluate("() => window.picks")
    assert (pick["panel"], pick["view"], pick["frame"]) == ("t 2, c 5", "c 5", 2)
    assert abs(pick["x"] - 27.5) < 6
    assert abs(pick["y"] - 27.5) < 6
    assert page.evaluate("() => [window.player.dataset.focus, window.player.dataset.frame]") == ["t 2, c 5", "2"]
    after = canvas_pixels(page, "large")
    assert not np.array_equal(before, after)
    wanted = cell_colors(spec.panels[2 * 7 + 5].layers[0], (56, 56), (56, 56))
    side = after.shape[0]
    corner = after[round(side * 4.5 / 56), round(side * 4.5 / 56), :3].astype(int)
    assert np.abs(corner - wanted[4, 4, :3]).max() <= 3


def test_views_of_the_current_frame_stand_side_by_side_and_scrubbing_moves_them(mounted: Callable[..., Any]):
    spec = pyramid(4, 64)
    page = mounted(figure_payload(spec), wide=914)
    page.locator("canvas.strip").focus()
    shown = []
    for _ in range(3):
        large = canvas_pixels(page, "large")
        shown.append(large)
        page.keyboard.press("ArrowRight")
    assert not np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[1], shown[2])
    high, wide = shown[2].shape[:2]
    tile = (wide - 2 * 8) / 3 if wide > 2.5 * high else (wide - 8) / 2
    layer = spec.panels[2 * 3 + 1].layers[0]
    wanted = cell_colors(layer, (64, 64), (64, 64))[40, 20, :3].astype(int)
    found = shown[2][round(19 + 40.5 / 64 * tile), round(tile + 8 + 20.5 / 64 * tile), :3]
    assert np.abs(found.astype(int) - wanted).max() <= 10, "the second view of the third frame"


def test_the_tip_reads_motion_and_confidence(mounted: Callable[..., Any]):
    spec = pyramid(2, 64)
    page = mounted(figure_payload(spec), wide=914)
    strip = page.locator("canvas.strip")
    layer = spec.panels[1].layers[0]
    place = centre_of(page, spec, "res2 0")
    strip.hover(position=place)
    tip = page.evaluate("() => window.player.querySelector('.tip').textContent")
    row, column = (int(part) for part in tip.split("cell y ")[1].split("\n")[0].replace("x ", "").split(", "))
    dx, dy = layer.vectors[row, column]
    assert f"dx {'−' if dx < 0 else '+'}{abs(dx):.1f}, dy {'−' if dy < 0 else '+'}{abs(dy):.1f} px per frame" in tip
    assert f"confidence {layer.confidence[row, column]:.2f}" in tip
    assert tip.startswith("res2 · t = 0 · x ")


def test_the_tip_says_the_words_of_an_outline(mounted: Callable[..., Any]):
    page = mounted(figure_payload(polar()), wide=600, layout="still")
    side = page.evaluate("() => window.player.querySelector('canvas.strip').clientWidth")
    assert page.evaluate("() => window.player.querySelector('.large').checkVisibility()") is False
    strip = page.locator("canvas.strip")
    strip.hover(position={"x": 95 / 120 * side, "y": 19 + 60.5 / 120 * side})
    assert "right: 50 %" in page.evaluate("() => window.player.querySelector('.tip').textContent")
    strip.hover(position={"x": 60 / 120 * side, "y": 19 + 100 / 120 * side})
    assert "right: 50 %" not in page.evaluate("() => window.player.querySelector('.tip').textContent")


@pytest.mark.parametrize("dark", [False, True])
def test_outlines_and_empty_panels_have_the_page_s_theme(mounted: Callable[..., Any], dark: bool):
    page = mounted(figure_payload(polar()), wide=600, layout="still", dark=dark)
    pixels = canvas_pixels(page)
    side = pixels.shape[1]
    assert pixels[19 + side // 20, side // 20, 3] == 0, "nothing is painted where there is no picture: the page shows"
    ring = pixels[19 + round(60.5 / 120 * side), : side // 4].astype(int)
    brightest = ring[ring[:, 3] > 200][:, :3].mean(axis=1)
    assert brightest.max() > 180 if dark else brightest.min() < 90


def test_opacity_of_motion_uncovers_the_picture(mounted: Callable[..., Any]):
    spec = one_panel(GREY, motion("res3", SIDE))
    page = mounted(figure_payload(spec))
    page.get_by_role("slider", name="Opacity of motion").fill("0")
    pixels = canvas_pixels(page)[40 : SIDE - 20, 20 : SIDE - 20, :3]
    assert (np.abs(pixels.astype(int) - 120) <= 2).all()


def test_another_player_of_the_clip_follows_when_time_is_set_and_not_while_it_plays(mounted: Callable[..., Any]):
    payload = figure_payload(pyramid(4, 64), times_s=[0.0, 0.1, 0.2, 0.3], clip_digest="abc")
    page = mounted(payload)
    tick = "(detail) => window.dispatchEvent(new CustomEvent('vizkit-time', {detail: {player: {}, clip: 'abc', ...detail}}))"
    frame = "() => window.player.dataset.frame"
    for detail, expected in (
        ({"frame": 2, "time": 0.2, "playing": False}, "2"),
        ({"frame": 3, "time": 0.3, "playing": True}, "2"),
        ({"frame": 3, "time": 0.3, "playing": False, "clip": "other"}, "2"),
        ({"frame": 9, "time": 0.9, "playing": False}, "2"),
        ({"frame": 1, "time": 0.1, "playing": False}, "1"),
    ):
        page.evaluate(tick, detail)
        assert page.evaluate(frame) == expected


def test_a_new_figure_keeps_the_panel_in_focus(mounted: Callable[..., Any]):
    spec = filters(4, 7)
    page = mounted(figure_payload(spec), wide=914)
    page.locator("canvas.strip").click(position=centre_of(page, spec, "t 1, c 3"))
    page.evaluate("(figure) => window.show(figure)", figure_payload(replace(spec, title="Another")))
    assert page.evaluate("() => window.player.dataset.focus") == "t 1, c 3"
