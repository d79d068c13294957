from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vizkit.figure.encode import color_table
from vizkit.figure.place import Box, Strokes
from vizkit.figure.spec import HeatLayer, ImageLayer, MotionLayer, Panel
from vizkit.render.compose import blank, draw_points, draw_polygons, draw_strokes, measure, paint_panel, pixel_box, write
from vizkit.render.theme import FILL_OPACITY, THEMES, Style, rgb

LIGHT = THEMES["light"]


def painted(*layers, size_wh=(8, 8), out_wh=(32, 32)):
    return paint_panel(Panel("p", "", size_wh, 0, 0, layers), out_wh, "#ffffff").astype(int)


def ink(canvas):
    """[N, 2] (x, y) of the pixel centres that were drawn on, in page pixels."""
    y, x = np.nonzero((canvas != 255).any(axis=-1))
    return np.stack([x, y], axis=1) + 0.5


def test_heat_is_blended_by_its_opacity_between_its_limits():
    image = ImageLayer(np.full((8, 8, 3), 100, np.uint8))
    heat = HeatLayer(np.full((2, 2), 9.0, np.float32), 2.0, 4.0, (0.0, 1.0), "h", colors="viridis", opacity=0.25)
    expected = 0.75 * 100 + 0.25 * color_table("viridis")[255].astype(int)
    assert np.abs(painted(image, heat) - expected).max() <= 0.51


def test_unknown_cells_show_the_picture():
    image = ImageLayer(np.full((8, 8, 3), 100, np.uint8))
    heat = HeatLayer(np.array([[np.nan, 1.0]], np.float32), 1.5, 4.0, (0.0, 1.0), "h", colors="gray", opacity=1.0, smooth=False)
    pixels = painted(image, heat)
    assert (pixels[:, :16] == 100).all()
    assert (pixels[:, 16:] == 255).all()


def test_motion_is_blended_over_the_picture_by_confidence_and_opacity():
    image = ImageLayer(np.full((8, 8, 3), 100, np.uint8))
    vectors = np.tile(np.float32([-4, 0]), (2, 2, 1))
    motion = MotionLayer(vectors, np.full((2, 2), 0.5, np.float32), 2.0, 4.0, 4.0, backdrop="picture", opacity=0.5)
    expected = 0.75 * 100 + 0.25 * np.array([0, 209, 255])
    assert np.abs(painted(image, motion) - expected).max() <= 1


def test_motion_on_white_hides_the_picture_until_its_opacity_is_lowered():
    image = ImageLayer(np.zeros((8, 8, 3), np.uint8))
    motion = MotionLayer(np.full((2, 2, 2), np.nan, np.float32), np.ones((2, 2), np.float32), 2.0, 4.0, 4.0)
    assert (painted(image, motion) == 255).all()
    assert (painted(image, replace(motion, opacity=0.0)) == 0).all()


def test_outlines_are_closed_and_filled_inside():
    corners = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 50.0], [10.0, 50.0]])
    style = LIGHT.roles["region"]
    for filled in (True, False):
        canvas = blank(60, 60, LIGHT)
        draw_polygons(canvas, [corners], style, filled=filled)
        middle = np.array(rgb(style.color)) * FILL_OPACITY + 255 * (1 - FILL_OPACITY) if filled else np.full(3, 255)
        assert np.abs(canvas[30, 30] - middle).max() <= 1
        assert np.abs(canvas[30, 10].astype(int) - rgb(style.color)).max() <= 60, "the side that closes it"
        assert (canvas[4, 4] == 255).all()


def test_a_panel_without_a_picture_shows_the_page():
    assert (painted() == 255).all()
    panel = Panel("p", "", (8, 8), 0, 0, ())
    assert (paint_panel(panel, (4, 4), THEMES["dark"].background) == rgb(THEMES["dark"].background)).all()


def test_small_pictures_keep_their_cells_and_large_ones_are_smoothed():
    checks = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert set(np.unique(painted(ImageLayer(np.repeat(checks[..., None], 3, axis=2))))) == {0, 255}
    large = (np.indices((40, 40)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert len(np.unique(painted(ImageLayer(np.repeat(large[..., None], 3, axis=2)), size_wh=(40, 40), out_wh=(100, 100)))) > 10


def test_marks_are_centred_on_their_points():
    canvas = blank(60, 60, LIGHT)
    draw_points(canvas, np.array([[30.5, 20.5]]), 12, "circle", LIGHT.roles["active"])
    assert ink(canvas).mean(axis=0) == pytest.approx([30.5, 20.5], abs=0.2)


def test_strokes_reach_from_start_to_tip():
    canvas = blank(60, 100, LIGHT)
    draw_strokes(
        canvas, Strokes.between(np.array([[10.0, 30.0]]), np.array([[90.0, 30.0]]), 12.0), np.ones(1, np.float32), Style("#000000")
    )
    dark = np.stack(np.nonzero(canvas.max(axis=-1) < 60)[::-1], axis=1) + 0.5
    assert dark[:, 0].min() == pytest.approx(10, abs=2)
    assert dark[:, 0].max() == pytest.approx(90, abs=3)
    assert dark[:, 1].mean() == pytest.approx(30, abs=0.5)


def test_weight_is_opacity():
    for weight in (0.0, 0.5, 1.0):
        canvas = blank(40, 100, LIGHT)
        strokes = Strokes.between(np.array([[10.0, 20.0]]), np.array([[90.0, 20.0]]), 20.0)
        draw_strokes(canvas, strokes, np.array([weight], np.float32), Style("#000000"))
        assert canvas[20, 80, 0] == pytest.approx(255 * (1 - weight), abs=2)  # inside the head


def test_marks_beyond_the_page_are_cut_off():
    canvas = blank(20, 20, LIGHT)
    draw_points(canvas, np.array([[-100.0, 5.0], [0.0, 10.0]]), 8, "dot", LIGHT.roles["truth"])
    assert ink(canvas)[:, 0].max() < 8


def test_words_are_as_wide_as_measured():
    canvas = blank(40, 300, LIGHT)
    write(canvas, 150, 20, "measured words × — …", "#000000", centred=True)
    x = ink(canvas)[:, 0]
    assert x.max() - x.min() == pytest.approx(measure("measured words × — …"), abs=4)
    assert (x.max() + x.min()) / 2 == pytest.approx(150, abs=2)


def test_boxes_are_rounded_to_pixels_and_never_empty():
    assert pixel_box(Box(0.4, 1.6, 10.4, 0.1)) == Box(0, 2, 11, 1)


def test_the_page_has_its_colour():
    assert tuple(blank(1, 1, THEMES["dark"])[0, 0]) == rgb(THEMES["dark"].background)
