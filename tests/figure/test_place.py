from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from vizkit.figure.place import (
    ARMS,
    Box,
    Strokes,
    arrow_strokes,
    dashes,
    grid_positions,
    heat_on_pixels,
    lay_out,
    link_strokes,
    mark_outline,
    motion_on_pixels,
)
from vizkit.figure.spec import ArrowLayer, HeatLayer, LinkLayer, Marker, MotionLayer, Panel


def heat(values, origin_px=0.0, stride_px=4.0, smooth=True):
    return HeatLayer(np.asarray(values, np.float32), origin_px, stride_px, (0.0, 1.0), "heat", smooth=smooth)


def panel(row=0, column=0, size_wh=(100, 100), title=""):
    return Panel(f"{row},{column}", title, size_wh, row, column, ())


def link(starts, ends, start_panels, end_panels, head_px=4.0):
    count = len(starts)
    return LinkLayer(
        np.array(start_panels),
        np.array(starts, np.float64).reshape(-1, 2),
        np.array(end_panels),
        np.array(ends, np.float64).reshape(-1, 2),
        "active",
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        head_px=head_px,
    )


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(("origin_px", "stride_px"), [(0.0, 4.0), (3.5, 8.0), (1.0, 16.0), (0.0, 1.0)])
def test_an_impulse_lands_on_its_cell_centre(smooth, origin_px, stride_px):
    values = np.zeros((7, 7))
    values[4, 2] = 1
    size = int(8 * stride_px) + 4
    pixels = heat_on_pixels(heat(values, origin_px, stride_px, smooth), (size, size))
    y, x = (np.average(np.arange(size), weights=pixels.sum(axis=axis)) for axis in (1, 0))
    assert x == pytest.approx(origin_px + 2 * stride_px, abs=0.5)
    assert y == pytest.approx(origin_px + 4 * stride_px, abs=0.5)


def test_pixels_at_centres_have_the_cells_values_and_between_them_the_mean():
    pixels = heat_on_pixels(heat([[0.0, 1.0], [2.0, 3.0]]), (8, 8))
    assert (pixels[::4, ::4] == [[0, 1], [2, 3]]).all()
    assert pixels[2, 2] == 1.5
    assert pixels[0, 1] == 0.25


def test_values_stay_constant_beyond_the_outermost_centres():
    pixels = heat_on_pixels(heat([[1.0, 2.0]], origin_px=6.0), (20, 20))
    assert (pixels[:, :7] == 1).all()
    assert (pixels[:, 10:] == 2).all()


def test_cells_are_squares_of_equal_size_around_their_centres():
    pixels = heat_on_pixels(heat([[0.0, 1.0, 2.0]], origin_px=1.5, smooth=False), (12, 4))
    assert pixels[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_unknown_cells_stay_unknown_and_do_not_spread():
    pixels = heat_on_pixels(heat([[1.0, np.nan, 3.0]]), (9, 1))
    assert np.isnan(pixels[0, 3:6]).all()
    assert pixels[0, [0, 1, 7, 8]].tolist() == [1, 1, 3, 3]


def motion(vectors, confidence=None, origin_px=0.0, stride_px=4.0, smooth=True):
    vectors = np.asarray(vectors, np.float32)
    sure = np.ones(vectors.shape[:2]) if confidence is None else confidence
    return MotionLayer(vectors, np.asarray(sure, np.float32), origin_px, stride_px, 8.0, smooth=smooth)


def test_vectors_and_confidence_are_interpolated_at_the_cells_places():
    vectors, confidence = motion_on_pixels(motion([[[0, 8], [4, 0]]], [[0.0, 1.0]], origin_px=1.0), (9, 2))
    assert vectors[0, 1].tolist() == [0, 8]
    assert vectors[0, 5].tolist() == [4, 0]
    assert vectors[0, 3].tolist() == [2, 4]
    assert confidence[0].tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_opposite_vectors_meet_in_zero_and_not_in_a_mixed_colour():
    vectors, _ = motion_on_pixels(motion([[[4, 0], [-4, 0]]]), (5, 1))
    assert vectors[0, 2].tolist() == [0, 0]


@pytest.mark.parametrize("unknown", ["vector", "confidence"])
def test_unknown_vectors_do_not_spread_and_weights_are_shared_by_the_known(unknown):
    vectors, sure = np.full((2, 2, 2), 3.0), np.full((2, 2), 0.5)
    if unknown == "vector":
        vectors[0, 0, 1] = np.nan
    else:
        sure[0, 0] = np.nan
    shown, confidence = motion_on_pixels(motion(vectors, sure), (5, 5))
    assert np.isnan(shown[:2, :2]).all()
    assert np.isnan(confidence[:2, :2]).all()
    assert shown[2, 2].tolist() == [3, 3]
    assert confidence[1, 3] == 0.5


def test_cells_of_motion_can_be_shown():
    vectors, _ = motion_on_pixels(motion([[[0, 0], [8, 0]]], origin_px=1.5, smooth=False), (8, 1))
    assert vectors[0, :, 0].tolist() == [0] * 4 + [8] * 4


def test_finer_output_covers_the_same_area():
    layer = heat(np.random.default_rng(0).random((4, 4)), origin_px=1.5)
    coarse, fine = heat_on_pixels(layer, (16, 16)), heat_on_pixels(layer, (16, 16), (48, 48))
    assert fine.shape == (48, 48)
    assert np.allclose(fine[1::3, 1::3], coarse, atol=1e-6)


def test_points_name_pixel_centres():
    box = Box(10.0, 20.0, 50.0, 100.0)
    assert box.at(np.array([[0, 0], [99, 49]]), panel(size_wh=(100, 50))).tolist() == [[10.25, 21.0], [59.75, 119.0]]


def test_grid_positions_fill_rows():
    assert grid_positions(5, 3) == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))


def test_columns_are_equally_wide_and_fill_the_page():
    layout = lay_out([panel(0, column) for column in range(4)], 10.0, gap=0.2)
    assert [box.left for box in layout.boxes] == pytest.approx([0, 2.55, 5.1, 7.65])
    assert {round(box.width, 9) for box in layout.boxes} == {2.35}
    assert layout.boxes[-1].right == pytest.approx(10.0)
    assert layout.size_wh == pytest.approx((10.0, 2.35))
    assert layout.gap == 0.2


def test_gaps_of_many_columns_are_thin():
    layout = lay_out([panel(row, column) for row in range(2) for column in range(16)], 3.2, gap=0.04)
    assert layout.gap == pytest.approx(0.02)  # a tenth of a column
    assert layout.boxes[1].left - layout.boxes[0].right == pytest.approx(0.02)
    assert layout.boxes[16].top - layout.boxes[0].bottom == pytest.approx(0.02)
    assert layout.boxes[15].right == pytest.approx(3.2)


def test_row_titles_have_their_room_at_the_left():
    layout = lay_out([panel(0, column) for column in range(2)], 2.5, gap=0.1, indent=0.4)
    assert [box.left for box in layout.boxes] == pytest.approx([0.4, 1.5])
    assert layout.boxes[1].right == pytest.approx(2.5)


def test_rows_leave_room_for_titles_only_where_there_are_some():
    layout = lay_out([panel(0, 0, title="a"), panel(1, 0)], 2.0, gap=0.1, title_height=0.5)
    assert [box.top for box in layout.boxes] == pytest.approx([0.5, 2.6])
    assert layout.size_wh[1] == pytest.approx(4.6)


def test_missing_rows_take_no_room_and_shapes_are_kept():
    layout = lay_out([panel(0, 3, (200, 100)), panel(7, 9, (50, 100))], 2.1, gap=0.1)
    assert [(box.left, box.top, box.width, box.height) for box in layout.boxes] == [
        pytest.approx((0, 0, 1, 0.5)),
        pytest.approx((1.1, 0.6, 1, 2)),
    ]


def test_panels_shrink_to_a_height_and_stay_centred():
    layout = lay_out([panel(row, 0) for row in range(4)], 6.0, gap=0.0, max_height=4.0)
    assert layout.size_wh == pytest.approx((6.0, 4.0))
    assert layout.boxes[0].left == pytest.approx(2.5)


def test_links_start_and_end_at_their_points():
    panels = [panel(0, 0), panel(0, 1)]
    boxes = lay_out(panels, 2.0, gap=0.0).boxes
    strokes = link_strokes(link([(9.5, 49.5)], [(89.5, 19.5)], [0], [1]), panels, boxes, 1, 1.0)
    assert strokes.start[0].tolist() == pytest.approx([0.1, 0.5])
    assert strokes.end[0].tolist() == pytest.approx([1.9, 0.2])
    assert strokes.head[0] == pytest.approx(0.04)


def test_arcs_bend_to_their_side_and_long_ones_pass_over_short_ones():
    panels = [panel(0, column) for column in range(5)]
    boxes = lay_out(panels, 5.0, gap=0.0).boxes
    layer = link([(50, 50)] * 3, [(50, 50)] * 3, [0, 0, 4], [1, 4, 0])
    up, down = (link_strokes(layer, panels, boxes, side, 1.0).points(9)[:, :, 1] for side in (1, -1))
    middle = 0.505
    assert (up[:, 1:-1] < middle).all()
    assert (down[:, 1:-1] > middle).all()
    assert up[1].min() < up[0].min()
    assert np.allclose(up[1], up[2][::-1])  # there and back along the same side


def test_arcs_stay_inside_their_panels():
    rng = np.random.default_rng(3)
    panels = [panel(0, column) for column in range(8)]
    boxes = lay_out(panels, 8.0, gap=0.1).boxes
    layer = link(rng.uniform(0, 99, (200, 2)), rng.uniform(0, 99, (200, 2)), rng.integers(0, 8, 200), rng.integers(0, 8, 200))
    for side in (1, -1):
        points = link_strokes(layer, panels, boxes, side, 1.0).points(33)
        assert points[..., 1].min() > boxes[0].top - 0.002
        assert points[..., 1].max() < boxes[0].bottom + 0.002


def test_an_arc_without_room_takes_the_other_side():
    panels = [panel(0, 0), panel(0, 1)]
    boxes = lay_out(panels, 2.0, gap=0.0).boxes
    strokes = link_strokes(link([(50, 1)], [(50, 1)], [0], [1]), panels, boxes, 1, 1.0)
    assert strokes.points(3)[0, 1, 1] > strokes.start[0, 1] + 0.05


def test_arrow_heads_are_bounded_by_their_arrows_and_point_along_them():
    layer = ArrowLayer(
        np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([[50.0, 0.0], [0.0, 2.0]]), "active", np.ones(2, np.float32), head_px=10.0
    )
    strokes = arrow_strokes(layer, panel(), Box(0, 0, 100.0, 100.0), 50.0)
    assert strokes.head.tolist() == pytest.approx([10.0, 1.2])
    tip, left, right = strokes.heads()[0]
    assert tip.tolist() == [50.5, 0.5]
    assert ((left + right) / 2).tolist() == [40.5, 0.5]
    assert abs(left - right).tolist() == [0.0, 9.0]


def test_heads_have_a_longest_length():
    panels = [panel(0, 0), panel(0, 1)]
    boxes = lay_out(panels, 200.0, gap=0.0).boxes
    layer = link([(0, 50)], [(90, 50)], [0], [1], head_px=30.0)
    assert link_strokes(layer, panels, boxes, 1, 7.0).head.tolist() == [7.0]
    arrows = ArrowLayer(np.zeros((1, 2)), np.array([[90.0, 0.0]]), "active", np.ones(1, np.float32), head_px=30.0)
    assert arrow_strokes(arrows, panels[0], boxes[0], 7.0).head.tolist() == [7.0]


def test_shafts_end_inside_the_heads_on_the_same_curve():
    strokes = Strokes.between(np.array([[0.0, 0.0]]), np.array([[10.0, 0.0]]), 1.0, np.array([[5.0, 8.0]]))
    shaft = strokes.shafts()
    gap = np.linalg.norm(strokes.end[0] - shaft.end[0])
    assert 0.6 < gap < 1.0
    at = shaft.end[0, 0] / 10  # x runs linearly along this curve
    assert shaft.end[0, 1] == pytest.approx(2 * at * (1 - at) * 8)


def test_an_arrow_without_length_has_an_empty_head():
    strokes = Strokes.between(np.array([[3.0, 4.0]]), np.array([[3.0, 4.0]]), 2.0)
    assert (strokes.heads() == [3.0, 4.0]).all()
    assert (strokes.shafts().end == [3.0, 4.0]).all()


def test_dashes_have_their_lengths_along_a_bent_line():
    pieces = dashes(np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 6.0]]), 4.0, 1.0)
    lengths = [np.linalg.norm(np.diff(piece, axis=0), axis=1).sum() for piece in pieces]
    assert lengths == pytest.approx([4.0, 4.0, 1.0])
    assert pieces[1][0].tolist() == [5.0, 0.0]
    assert pieces[2][-1].tolist() == [5.0, 6.0]


def test_no_gap_gives_the_whole_line():
    line = np.array([[0.0, 0.0], [5.0, 0.0]])
    assert len(dashes(line, 0.0, 0.0)) == 1
    assert (dashes(line, 0.0, 0.0)[0] == line).all()


@pytest.mark.parametrize("marker", get_args(Marker))
def test_marks_lie_around_the_middle_within_their_side(marker):
    outline = mark_outline(marker, 4.0)
    assert np.abs(outline).max() <= 4.0
    assert np.abs(outline).max() >= (2.0 if marker == "dot" else 3.2)
    assert (marker in ARMS) == bool((outline == 0).all(axis=1).any()), "arms meet in the middle"


def test_marks_of_arms_differ_without_colour():
    directions = {marker: frozenset(round(np.degrees(np.arctan2(y, x)) % 360 / 5) for x, y in ends) for marker, ends in ARMS.items()}
    assert [len(found) for found in directions.values()] == [4, 4, 6, 3]
    assert not directions["cross"] & directions["plus"]
    assert len(set(directions.values())) == len(ARMS)


def test_a_mark_runs_from_arm_to_arm_through_the_middle():
    assert mark_outline("fork", 1.0).tolist() == [[-0.87, -0.5], [0, 0], [0.87, -0.5], [0, 0], [0, 1]]
