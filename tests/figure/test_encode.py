from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.figure import wheel_colors
from vizkit.figure.encode import cell_colors, color_table, heat_colors, motion_colors
from vizkit.figure.spec import MotionLayer

HALF = 0.5**0.5
REFERENCE = {
    "right": ((1, 0), (255, 0, 0)),
    "right-down": ((HALF, HALF), (255, 114, 0)),
    "down": ((0, 1), (255, 229, 0)),
    "left-down": ((-HALF, HALF), (32, 255, 0)),
    "left": ((-1, 0), (0, 209, 255)),
    "left-up": ((-HALF, -HALF), (0, 52, 255)),
    "up": ((0, -1), (88, 0, 255)),
    "right-up": ((HALF, -HALF), (220, 0, 255)),
    "zero": ((0, 0), (255, 255, 255)),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_wheel_has_the_published_colours(name):
    vector, expected = REFERENCE[name]
    assert tuple(wheel_colors(np.array(vector, np.float64), 1.0)) == expected


def test_wheel_treats_negative_zero_as_zero():
    assert tuple(wheel_colors(np.array([1.0, -0.0]), 1.0)) == (255, 0, 0)
    assert tuple(wheel_colors(np.array([-0.0, -0.0]), 1.0)) == (255, 255, 255)


def test_wheel_scale_is_fixed_and_not_taken_from_the_data():
    slow, fast = wheel_colors(np.array([[1.0, 0.0]]), 4.0), wheel_colors(np.array([[1.0, 0.0], [4.0, 0.0]]), 4.0)
    assert (slow[0] == fast[0]).all()
    assert tuple(slow[0]) == (255, 191, 191)  # a quarter of full saturation: 255 - 255 / 4, rounded down
    assert tuple(fast[1]) == (255, 0, 0)


def test_wheel_clips_longer_vectors_to_the_full_colour():
    assert (wheel_colors(np.array([30.0, 40.0]), 5.0) == wheel_colors(np.array([3.0, 4.0]), 5.0)).all()


def test_wheel_shows_unknown_vectors_white():
    assert tuple(wheel_colors(np.array([np.nan, np.nan]), 1.0)) == (255, 255, 255)


def test_wheel_keeps_the_shape():
    assert wheel_colors(np.zeros((3, 5, 7, 2), np.float32), 1.0).shape == (3, 5, 7, 3)


@pytest.mark.parametrize("magnitude", [0.0, -1.0, float("nan"), float("inf")])
def test_wheel_refuses_a_scale_that_is_none(magnitude):
    with pytest.raises(SettingError, match="positive"):
        wheel_colors(np.zeros((1, 2)), magnitude)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("inferno", "inferno"), ("viridis", "viridis"), ("cividis", "cividis"), ("diverging", "RdBu_r")]
)
def test_tables_equal_those_of_matplotlib(ours, theirs):
    assert (color_table(ours) == matplotlib.colormaps[theirs](np.arange(256), bytes=True)[:, :3]).all()


def test_gray_is_the_ramp():
    assert (color_table("gray") == np.arange(256)[:, None]).all()


def test_wheel_table_runs_clockwise_from_left_to_left():
    table = color_table("wheel")
    assert (table[0] == table[255]).all()
    assert tuple(table[0]) == (0, 209, 255)
    down = wheel_colors(np.array([0.0, 1.0]), 1.0).astype(int)
    assert np.abs(table[191].astype(int) - down).max() < 6  # three quarters of the way: +90 degrees, y down


def test_tables_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        color_table("gray")[0] = 1


def test_unknown_table_lists_the_known_ones():
    with pytest.raises(SettingError, match="inferno"):
        color_table("jet")


def test_heat_respects_its_limits():
    table = color_table("inferno")
    colors = heat_colors(np.array([-5.0, 0.0, 5.0, 10.0, 99.0]), (0.0, 10.0), "inferno")
    assert (colors[:, :3] == table[[0, 0, 128, 255, 255]]).all()
    assert (colors[:, 3] == 255).all()


def test_heat_agrees_with_matplotlib_between_the_limits():
    values = np.linspace(-1.2, 3.2, 1001)
    theirs = matplotlib.colormaps["viridis"](matplotlib.colors.Normalize(-1, 3)(values), bytes=True)
    assert (heat_colors(values, (-1.0, 3.0), "viridis")[:, :3] == theirs[:, :3]).mean() > 0.995  # bin edges may round apart


def test_unknown_values_are_transparent():
    colors = heat_colors(np.array([[1.0, np.nan]], np.float32), (0.0, 1.0), "gray")
    assert colors.shape == (1, 2, 4)
    assert colors[0, 0, 3] == 255
    assert colors[0, 1, 3] == 0


RIGHT, LEFT = np.array([4.0, 0.0]), np.array([-4.0, 0.0])


def test_motion_on_white_is_faded_by_its_confidence():
    colors = motion_colors(np.stack([RIGHT, RIGHT, RIGHT]), np.array([1.0, 0.5, 0.0]), 4.0, "white")
    assert colors.tolist() == [[255, 0, 0, 255], [255, 128, 128, 255], [255, 255, 255, 255]]


def test_motion_over_a_picture_has_its_confidence_as_opacity():
    colors = motion_colors(np.stack([RIGHT, LEFT]), np.array([1.0, 0.4]), 4.0, "picture")
    assert colors.tolist() == [[255, 0, 0, 255], [0, 209, 255, 102]]


@pytest.mark.parametrize(("backdrop", "expected"), [("white", [255, 255, 255, 255]), ("picture", [255, 255, 255, 0])])
def test_unknown_motion_is_the_backdrop(backdrop, expected):
    assert motion_colors(np.full((1, 2), np.nan), np.array([np.nan]), 4.0, backdrop)[0].tolist() == expected


def test_motion_is_interpolated_before_it_is_coloured():
    layer = MotionLayer(np.stack([RIGHT, LEFT])[None].astype(np.float32), np.ones((1, 2), np.float32), 0.0, 4.0, 4.0)
    colors = cell_colors(layer, (5, 1), (5, 1))[0, :, :3]
    assert colors[0].tolist() == [255, 0, 0]
    assert colors[2].tolist() == [255, 255, 255]  # half way between right and left nothing moves; mixed colours would be grey
    assert colors[4].tolist() == [0, 209, 255]
