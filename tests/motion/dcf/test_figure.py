"""The picture says what the record says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.figure.encode import cell_colors
from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    FigureSpec,
    HeatLayer,
    ImageLayer,
    LegendKey,
    MotionLayer,
    Panel,
    PointLayer,
    PolygonLayer,
    WheelKey,
)
from vizkit.motion.dcf.analysis import CorrelationFields, Params, analyze
from vizkit.motion.dcf.decode import inside_map
from vizkit.motion.dcf.figure import draw, tabulate
from vizkit.motion.dcf.levels import pool_levels
from vizkit.net.probe import ProbedRun

Moving = Callable[..., ProbedRun]


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> CorrelationFields:
    return analyze(run, Params())


@pytest.fixture(scope="module")
def picked(run: ProbedRun) -> CorrelationFields:
    """Two picked cells: one on the thing that moves, one in the upper left corner of the first frame."""
    return analyze(run, Params(points=((2, 16.0, 40.0), (0, 1.0, 0.0)), stages=("res2", "res4")))


def layer_of(panel: Panel, kind: type) -> MotionLayer:
    found = [layer for layer in panel.layers if isinstance(layer, kind)]
    assert len(found) == 1
    return found[0]  # type: ignore[return-value]


def named(spec: FigureSpec, name: str) -> Panel:
    return next(panel for panel in spec.panels if panel.name == name)


# ------------------------------------------------------------------------------------------------ the pyramid


def test_rows_are_frames_and_columns_are_stages(result: CorrelationFields) -> None:
    spec = draw(result)
    assert [(panel.name, panel.row, panel.column, panel.frame, panel.view) for panel in spec.panels] == [
        (f"{view if view != 'frames' else 'frame'} {frame}", frame, column, frame, view)
        for frame in range(4)
        for column, view in enumerate(("frames", "res2", "res3", "res4"))
    ]
    for frame in range(4):
        image = named(spec, f"frame {frame}").layers[0]
        assert isinstance(image, ImageLayer)
        assert np.array_equal(image.pixels, result.clip.frames[frame])
        assert named(spec, f"frame {frame}").row_title == f"t = {frame}"
    assert [panel.title for panel in spec.panels[:4]] == ["frames", "res2, 2-px cells", "res3, 4-px cells", "res4, 8-px cells"]


@pytest.mark.parametrize("offset", [1, -1, 2, -2])
def test_vectors_are_the_motion_per_frame(result: CorrelationFields, offset: int) -> None:
    spec = draw(result, offset=offset)
    for level in result.levels[: 3 if abs(offset) == 1 else 2]:
        index = level.frame_offset.tolist().index(offset)
        for frame in (frame for frame in range(4) if 0 <= frame + offset < 4):
            layer = layer_of(named(spec, f"{level.grid.stage} {frame}"), MotionLayer)
            assert np.allclose(layer.vectors, level.displacement_px[index, frame] / offset)
            assert np.array_equal(layer.confidence, level.confidence[index, frame])
            assert (layer.origin_px, layer.stride_px, layer.max_magnitude) == (0.0, level.grid.stride_px, 2 * level.grid.stride_px)


def test_raw_displacements_of_earlier_frames_point_backwards(result: CorrelationFields) -> None:
    motion, raw = (layer_of(named(draw(result, offset=-1, raw=value), "res2 2"), MotionLayer).vectors for value in (False, True))
    assert np.array_equal(raw, -motion)
    assert np.any(motion)
    ahead = [layer_of(named(draw(result, raw=value), "res2 2"), MotionLayer).vectors for value in (False, True)]
    assert np.array_equal(*ahead)


@pytest.mark.parametrize(
    ("velocity_xy", "color"),
    [((2, 0), (255, 0, 0)), ((0, 2), (255, 229, 0)), ((-2, 0), (0, 209, 255)), ((0, -2), (88, 0, 255)), ((2, 2), (255, 114, 0))],
)
def test_a_known_motion_has_its_colour_in_every_offset(moving: Moving, velocity_xy: tuple[int, int], color: tuple[int, ...]) -> None:
    """Right is red, down yellow, left cyan, up violet; the wheel itself jumps by 43 in blue just above right."""
    result = analyze(moving(velocity_xy), Params())
    for offset in (1, -1, 2, -2):
        layer = layer_of(named(draw(result, offset=offset, cells=True), "res2 2"), MotionLayer)
        assert layer.confidence[4:-4, 4:-4].mean() > 0.9
        shown = cell_colors(layer, (80, 64), (80, 64))[16:-16, 16:-16, :3].mean((0, 1))
        assert np.abs(shown - color).max() < 40


def test_where_there_is_no_other_frame_the_frame_is_faded(result: CorrelationFields) -> None:
    for offset, lone in ((1, {3}), (-1, {0}), (2, {2, 3})):
        spec = draw(result, offset=offset)
        for panel in (panel for panel in spec.panels if panel.view == "res2"):
            kinds = [type(layer) for layer in panel.layers]
            assert kinds == ([ImageLayer] if panel.frame in lone else [ImageLayer, MotionLayer])
            if panel.frame in lone:
                pixels = panel.layers[0].pixels  # type: ignore[union-attr]
                assert pixels.min() >= 165  # two thirds of the way to white
                assert (pixels[..., 0] == pixels[..., 2]).all()
        assert any("Faded frames" in note for note in spec.notes)


def test_every_stage_has_its_wheel_at_its_reach(result: CorrelationFields) -> None:
    keys = draw(result).keys
    assert [(key.label, key.max_px) for key in keys if isinstance(key, WheelKey)] == [("res2", 4.0), ("res3", 8.0), ("res4", 16.0)]


def test_cells_and_backdrop_are_looks(result: CorrelationFields) -> None:
    plain, other = draw(result), draw(result, cells=True, backdrop="frame")
    first, second = (layer_of(named(spec, "res3 1"), MotionLayer) for spec in (plain, other))
    assert (first.smooth, first.backdrop) == (True, "white")
    assert (second.smooth, second.backdrop) == (False, "picture")
    assert np.array_equal(first.vectors, second.vectors)
    assert plain.table == other.table
    grey = named(other, "res3 1").layers[0].pixels  # type: ignore[union-attr]
    assert (grey[..., 0] == grey[..., 1]).all()


def test_stages_without_the_offset_are_left_out_and_named(result: CorrelationFields) -> None:
    spec = draw(result, offset=2)
    assert {panel.view for panel in spec.panels} == {"frames", "res2", "res3"}
    assert any(note.startswith("res4 is not compared") for note in spec.notes)
    assert [key.label for key in spec.keys if isinstance(key, WheelKey)] == ["res2", "res3"]


@pytest.mark.parametrize(("offset", "says"), [(3, r"offset is 3.*-2, -1, 1, 2"), (0, "offset is 0"), (9, "offset")])
def test_an_offset_that_nothing_was_compared_at_is_refused(result: CorrelationFields, offset: int, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        draw(result, offset=offset)


def test_a_coarser_grid_in_time_keeps_its_panels(moving: Moving) -> None:
    """Five time steps of two frames each: frames 2 and 3 show step 1."""
    result = analyze(moving((1, 0), stride_frames=2), Params())
    spec = draw(result)
    level = result.levels[0]
    for frame in range(8):
        layer = layer_of(named(spec, f"res2 {frame}"), MotionLayer)
        assert np.allclose(layer.vectors, level.displacement_px[2, frame // 2] / 2)
        assert layer.max_magnitude == 4.0
    assert [type(layer) for layer in named(spec, "res2 9").layers] == [ImageLayer]
    columns = spec.table.columns  # type: ignore[union-attr]
    rows = [dict(zip(columns, row, strict=True)) for row in spec.table.rows]  # type: ignore[union-attr]
    assert {(row["t"], row["frame_offset"], row["to_t"]) for row in rows if row["t"] == 4} == {(4, o, 4 + o) for o in (-4, -2, 2, 4)}


def test_picked_cells_are_marked_in_their_frames(picked: CorrelationFields, result: CorrelationFields) -> None:
    marked = {
        (panel.frame, *point)
        for panel in draw(picked).panels
        for layer in panel.layers
        if isinstance(layer, PointLayer)
        for point in layer.xy_px.tolist()
    }
    assert marked == {(2, 16.0, 40.0), (0, 1.0, 0.0)}
    assert not any(isinstance(layer, PointLayer) for panel in draw(result).panels for layer in panel.layers)


def test_the_common_layout_shows_pooled_volumes(result: CorrelationFields) -> None:
    spec = draw(result, layout="common")
    pooled = pool_levels(result.levels)
    for level, origin in zip(pooled, (3.0, 2.0, 0.0), strict=True):
        layer = layer_of(named(spec, f"{level.grid.stage} 1"), MotionLayer)
        index = level.frame_offset.tolist().index(1)
        assert layer.vectors.shape == (8, 8, 2)
        assert np.array_equal(layer.vectors, level.motion_px[index, 1])
        assert (layer.origin_px, layer.stride_px) == (origin, 8.0)
    assert [key.max_px for key in spec.keys if isinstance(key, WheelKey)] == [4.0, 8.0, 16.0]
    assert "pooled to the resolution of res4" in spec.caption
    assert spec.table == tabulate(pooled)
    assert np.array_equal(spec.arrays["volume"], result.volume)


# ------------------------------------------------------------------------------------------------ patches


def test_patches_are_stages_by_offsets(picked: CorrelationFields) -> None:
    spec = draw(picked, layout="patch")
    names = [
        f"cell {cell} {stage}{end}"
        for cell in (0, 1)
        for stage, offsets in (("res2", (-2, -1, 1, 2)), ("res4", (-1, 1)))
        for end in ("", *(f" {offset:+d}" for offset in offsets))
    ]
    assert [panel.name for panel in spec.panels] == names
    places = {panel.name: (panel.row, panel.column) for panel in spec.panels}
    assert places["cell 0 res2 -2"] == (0, 1)
    assert places["cell 0 res4 -1"] == (1, 2)
    assert places["cell 1 res4 +1"] == (3, 3)
    assert [named(spec, f"cell {cell} res2").frame for cell in (0, 1)] == [2, 0]


def test_a_patch_is_the_cells_neighbourhood(picked: CorrelationFields) -> None:
    """Cell (y 20, x 8) of res2 at stride 2, (y 5, x 2) of res4 at stride 8; rows are dy."""
    spec = draw(picked, layout="patch")
    for stage, (level, row, column) in {"res2": (picked.levels[0], 20, 8), "res4": (picked.levels[1], 5, 2)}.items():
        for index, offset in enumerate(level.frame_offset.tolist()):
            heat = next(layer for layer in named(spec, f"cell 0 {stage} {offset:+d}").layers if isinstance(layer, HeatLayer))
            if level.valid_time[index, 2]:
                assert np.array_equal(heat.values, level.volume[index, 2, :, :, row, column])
            else:
                assert np.isnan(heat.values).all()
            assert not heat.smooth
            assert heat.opacity == 1


def test_what_lies_outside_the_image_is_open(picked: CorrelationFields) -> None:
    level = picked.levels[0]
    for offset in level.frame_offset.tolist():
        heat = next(
            layer for layer in named(draw(picked, layout="patch"), f"cell 1 res2 {offset:+d}").layers if isinstance(layer, HeatLayer)
        )
        inside = inside_map(32, 32, 5, abs(offset))[:, 0, 0].reshape(5, 5).numpy()
        assert inside.sum() == 9
        assert np.array_equal(~np.isnan(heat.values), inside if offset > 0 else np.zeros((5, 5), bool))


def test_all_patches_of_a_stage_share_one_scale(picked: CorrelationFields) -> None:
    spec = draw(picked, layout="patch")
    bars = {key.label: key for key in spec.keys if isinstance(key, ColorBarKey)}
    for stage in ("res2", "res4"):
        heats = [layer for panel in spec.panels if panel.view == stage for layer in panel.layers if isinstance(layer, HeatLayer)]
        values = np.concatenate([heat.values.ravel() for heat in heats])
        limits = {heat.limits for heat in heats}
        assert limits == {(float(np.nanmin(values)), float(np.nanmax(values)))}
        assert bars[f"correlation at {stage}"].limits == next(iter(limits))
        assert bars[f"correlation at {stage}"].note == "one scale for all its panels"


def test_the_arrow_runs_from_the_centre_to_the_largest(picked: CorrelationFields) -> None:
    spec = draw(picked, layout="patch")
    seen = 0
    for panel in (panel for panel in spec.panels if panel.view != "frames"):
        heat = next(layer for layer in panel.layers if isinstance(layer, HeatLayer))
        marks = [layer for layer in panel.layers if not isinstance(layer, HeatLayer)]
        if np.isnan(heat.values).all():
            assert not marks
            continue
        row, column = np.unravel_index(int(np.nanargmax(heat.values)), heat.values.shape)
        mark = marks[0]
        assert mark.role == "peak"  # type: ignore[union-attr]
        centre = [heat.origin_px + 2 * heat.stride_px] * 2
        if (row, column) == (2, 2):
            assert isinstance(mark, PointLayer)
            assert mark.xy_px.tolist() == [centre]
        else:
            assert isinstance(mark, ArrowLayer)
            assert mark.start_xy_px.tolist() == [centre]
            assert mark.end_xy_px.tolist() == [[heat.origin_px + column * heat.stride_px, heat.origin_px + row * heat.stride_px]]
            seen += 1
    assert seen > 2


def test_a_match_in_the_centre_is_a_dot(moving: Moving) -> None:
    spec = draw(analyze(moving((0, 0)), Params(points=((2, 40.0, 24.0),))), layout="patch")
    for offset in (-2, -1, 1, 2):
        marks = [layer for layer in named(spec, f"cell 0 res2 {offset:+d}").layers if not isinstance(layer, HeatLayer)]
        assert [type(mark) for mark in marks] == [PointLayer]


def test_the_frame_shows_the_cell_and_how_far_it_is_compared(picked: CorrelationFields) -> None:
    layers = named(draw(picked, layout="patch"), "cell 0 res4").layers
    image, outlines, point = layers
    assert isinstance(image, ImageLayer)
    assert np.array_equal(image.pixels, picked.clip.frames[2])
    assert isinstance(outlines, PolygonLayer)
    assert isinstance(point, PointLayer)
    assert point.xy_px.tolist() == [[16.0, 40.0]]
    assert [outline.tolist() for outline in outlines.outlines] == [[[-4.0, 20.0], [36.0, 20.0], [36.0, 60.0], [-4.0, 60.0]]]


def test_the_clearest_cell_stands_in_where_none_was_picked(result: CorrelationFields) -> None:
    spec = draw(result, layout="patch")
    assert named(spec, "cell 0 res2").frame == int(result.picked_txy[0, 0])
    assert "the clearest that moves" in spec.caption
    assert [len(key.entries) for key in spec.keys if isinstance(key, LegendKey)] == [2, 1]


def test_patches_of_a_coarser_grid_in_time_are_told_in_frames(moving: Moving) -> None:
    """Time step 1 of two frames each is frame 2; its neighbours are two and four frames away."""
    run = moving((1, 0), stride_frames=2)
    spec = draw(analyze(run, Params(points=((3, 40.0, 24.0),))), layout="patch")
    assert spec.table is not None
    rows = [dict(zip(spec.table.columns, row, strict=True)) for row in spec.table.rows]
    assert [(row["t"], row["frame_offset"], row["valid"]) for row in rows] == [(2, -4, False), (2, -2, True), (2, 2, True), (2, 4, True)]
    arrow = next(layer for panel in spec.panels for layer in panel.layers if isinstance(layer, ArrowLayer))
    assert "px to t -2," in arrow.label[0]


def test_the_table_of_patches_has_a_row_for_each_cell_stage_and_offset(picked: CorrelationFields) -> None:
    table = draw(picked, layout="patch").table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 2 * (4 + 2)
    for row in rows:
        level = picked.levels[0 if row["stage"] == "res2" else 1]
        index = level.frame_offset.tolist().index(row["frame_offset"])
        where = (index, row["t"], row["y"], row["x"])
        assert [row["displacement_x_px"], row["displacement_y_px"]] == pytest.approx(level.displacement_px[where].tolist())
        assert row["confidence"] == pytest.approx(float(level.confidence[where]))
        assert row["complete"] == bool(level.complete[index, row["y"], row["x"]])
        assert row["valid"] == bool(level.valid_time[index, row["t"]])
        if row["valid"] and row["complete"]:
            values = level.volume[index, row["t"], :, :, row["y"], row["x"]]
            dy, dx = (np.array(np.unravel_index(int(values.argmax()), (5, 5))) - 2) * abs(int(row["frame_offset"]))
            assert (row["peak_dx_cells"], row["peak_dy_cells"]) == (dx, dy)
    assert [(row["y"], row["x"]) for row in rows[:6]] == [(20, 8)] * 4 + [(5, 2)] * 2


# ------------------------------------------------------------------------------------------------ words and table


def test_the_caption_says_what_was_drawn(result: CorrelationFields, run: ProbedRun) -> None:
    caption = draw(result).caption
    for words in (
        "dcf-r2plus1d-50", "random weights", "res2, res3 and res4", "one time step later", "centred cosine", "5 x 5", "dilation 1",
        "4 px per frame (res2)", "16 px per frame (res4)", "white: no clear match", "Source frames 0, 1, 2, 3", result.clip.name,
    ):  # fmt: skip
        assert words in caption, words
    backward = draw(result, offset=-2, backdrop="frame", raw=True).caption
    for words in ("2 time steps earlier", "dilation 2", "grey: no clear match", "where the best match lies"):
        assert words in backward, words
    assert "volumes of its DCF blocks" in draw(analyze(run, Params(source="model"))).caption
    patch = draw(result, layout="patch").caption
    for words in ("Centred cosine", "5 x 5", "edge: 4 px per frame (res2)", "Source frames"):
        assert words in patch, words


def test_the_table_counts_and_averages_the_cells_with_a_clear_match(result: CorrelationFields) -> None:
    table = draw(result).table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 4 * (4 + 4 + 2)
    for row in rows:
        level = next(level for level in result.levels if level.grid.stage == row["stage"])
        index, t = level.frame_offset.tolist().index(row["frame_offset"]), int(row["t"])
        sure = level.confidence[index, t] >= 0.5
        assert row["to_t"] == t + int(row["frame_offset"])
        assert row["valid"] == (0 <= int(row["to_t"]) < 4)
        assert row["cells"] == sure.size
        assert row["confident_share"] == pytest.approx(sure.mean())
        mean = level.displacement_px[index, t][sure].mean(0) / row["frame_offset"] if sure.any() else (0, 0)
        assert [row["mean_motion_x_px"], row["mean_motion_y_px"]] == pytest.approx(list(mean), abs=1e-4)
    assert any(row["confident_share"] for row in rows)


def test_the_text_alternative_tells_the_motion(moving: Moving) -> None:
    alt = draw(analyze(moving((2, 0)), Params())).alt
    assert "mean motion x +7.9, y -0.0 px per frame" in alt


def test_the_figure_carries_the_record(result: CorrelationFields) -> None:
    for layout in ("pyramid", "common", "patch"):
        spec = draw(result, layout=layout)
        assert all(np.array_equal(spec.arrays[name], array) for name, array in result.arrays().items())
        assert spec.provenance is result.provenance
        assert set(result.notes) <= set(spec.notes)


@pytest.mark.parametrize("look", [{"colour": "red"}, {"layout": "grid"}, {"backdrop": "black"}])
def test_an_unknown_look_lists_the_known_ones(result: CorrelationFields, look: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"Known: layout \(pyramid \| common \| patch\).*backdrop \(white \| frame\)"):
        draw(result, **look)


def test_a_constant_volume_has_limits_all_the_same(moving: Moving) -> None:
    result = analyze(moving((0, 0)), Params(points=((2, 40.0, 24.0),)))
    level = result.levels[0]
    flat = replace(result, levels=(replace(level, volume=np.zeros_like(level.volume)),))
    bar = next(key for key in draw(flat, layout="patch").keys if isinstance(key, ColorBarKey))
    assert bar.limits[0] < 0 < bar.limits[1]


def test_the_common_resolution_is_named_after_the_deepest_stage_even_where_it_is_not_shown(result: CorrelationFields) -> None:
    spec = draw(result, layout="common", offset=2)
    assert {panel.view for panel in spec.panels} == {"frames", "res2", "res3"}
    assert "pooled to the resolution of res4" in spec.title
