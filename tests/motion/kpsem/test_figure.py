"""The picture says what the record says: crosses, arrows, borders, legends, words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.motion.kpsem.planted import EXAMPLE_SHIFT_XY, EXAMPLE_WEIGHT, dots, example, kpsem_run, planted
from vizkit.errors import SettingError
from vizkit.figure.spec import ArrowLayer, FigureSpec, LegendKey, PointLayer
from vizkit.motion.kpsem.analysis import KeyPointShifts, Params, analyze
from vizkit.motion.kpsem.figure import draw, region_mark

COLOURS = ["region_1", "region_2", "region_3", "region_4"]


@pytest.fixture(scope="module")
def result() -> KeyPointShifts:
    """The worked example at res4: cells of 8 px."""
    return analyze(planted(example()), Params(block="res4"))


def crosses(spec: FigureSpec, panel: int = 0) -> dict[str, list[list[float]]]:
    return {layer.role: layer.xy_px.tolist() for layer in spec.panels[panel].layers if isinstance(layer, PointLayer)}


def arrows(spec: FigureSpec, panel: int = 0) -> dict[str, ArrowLayer]:
    layers = spec.panels[panel].layers
    return {layer.role: layer for layer in layers if isinstance(layer, ArrowLayer) and layer.role != "border" and len(layer.weight)}


def borders(spec: FigureSpec, panel: int = 0) -> list[ArrowLayer]:
    return [layer for layer in spec.panels[panel].layers if isinstance(layer, ArrowLayer) and layer.role == "border"]


# ------------------------------------------------------------------------------------------------ marks


def test_crosses_stand_on_the_centres_of_their_cells_in_their_region_s_colour(result: KeyPointShifts) -> None:
    origin, stride = result.grid.origin_px, result.grid.stride_px
    wanted = [[1, 0], [3, 1], [0, 3], [2, 2]]
    found = crosses(draw(result))
    assert list(found) == COLOURS
    assert list(found.values()) == [[[origin + stride * x, origin + stride * y]] for x, y in wanted]


@pytest.mark.parametrize("regions", [1, 4, 9, 16])
def test_no_two_regions_look_alike(regions: int) -> None:
    marks = [region_mark(region, regions) for region in range(regions)]
    assert len(set(marks)) == regions
    if regions == 4:
        assert len({marker for _, marker in marks}) == len({role for role, _ in marks}) == 4
    if regions == 9:
        assert [role for role, _ in marks] == 3 * COLOURS[:3], "colours are columns"
        assert len({marker for _, marker in marks[:3]}) == 1, "shapes are rows"


def test_arrows_run_along_the_weighted_shift(result: KeyPointShifts) -> None:
    found = arrows(draw(result))
    assert list(found) == COLOURS
    for region, arrow in enumerate(found.values()):
        start = result.grid.centre_px(result.point_cells[0, region, [0], 0])
        assert np.allclose(arrow.start_xy_px, start)
        assert np.allclose(arrow.end_xy_px - start, result.grid.stride_px * np.array(EXAMPLE_SHIFT_XY[region]), atol=1e-3)


def test_hard_arrows_run_to_the_best_match(result: KeyPointShifts) -> None:
    found = arrows(draw(result, arrows="hard"))
    ends = [((arrow.end_xy_px[0] - result.grid.origin_px) / result.grid.stride_px).tolist() for arrow in found.values()]
    assert ends == [[1, 1], [2, 0], [3, 3], [2, 0]]


def test_opacity_is_the_match_or_the_region_s_weight(result: KeyPointShifts) -> None:
    match = [float(arrow.weight[0]) for arrow in arrows(draw(result)).values()]
    assert match == pytest.approx([0.92536, 0.79266, 0.91598, 0.48242], abs=1e-4)
    weight = [float(arrow.weight[0]) for arrow in arrows(draw(result, opacity="region")).values()]
    assert weight == pytest.approx([min(4 * part, 1) for part in EXAMPLE_WEIGHT], abs=1e-4)


def test_words_of_an_arrow_tell_its_match(result: KeyPointShifts) -> None:
    (words,) = arrows(draw(result))["region_3"].label
    told = "bottom left, channel 0: weighted shift (+2.84, -0.18) cells; best match 0.92 with bottom right; region weight 0.24"
    assert words.startswith(told)
    (hard,) = arrows(draw(result, arrows="hard"))["region_3"].label
    assert hard.startswith("bottom left, channel 0: hard shift (+3.00, +0.00) cells")


def test_short_shifts_and_none_are_not_drawn(result: KeyPointShifts) -> None:
    still = {(2, 3): 4.0, (3, 10): 3.0, (10, 2): 2.0, (11, 12): 1.0}
    assert not arrows(draw(analyze(planted(dots([still, still])), Params(block="res4"))))
    assert not arrows(draw(result, arrows="none"))
    assert "Arrows" not in draw(result, arrows="none").caption


def test_the_last_step_has_crosses_and_no_arrows(result: KeyPointShifts) -> None:
    spec = draw(result)
    assert len(spec.panels) == 2
    assert len(crosses(spec, 1)) == 4
    assert not arrows(spec, 1)


def test_flat_regions_have_no_mark() -> None:
    maps = example()
    maps[0, 0, :2, :2] = 0
    spec = draw(analyze(planted(maps), Params(block="res4")))
    assert crosses(spec)["region_1"] == []
    assert "region_1" not in arrows(spec)


def test_borders_part_the_cells_of_the_regions(result: KeyPointShifts) -> None:
    (lines,) = borders(draw(result))
    origin, stride = result.grid.origin_px, result.grid.stride_px
    assert lines.head_px == 0
    assert lines.start_xy_px.tolist() == [[origin + 1.5 * stride, -0.5], [-0.5, origin + 1.5 * stride]]
    assert lines.end_xy_px.tolist() == [[origin + 1.5 * stride, 63.5], [63.5, origin + 1.5 * stride]]
    moved = replace(result, boundary_cells=np.full((1, 2, 1, 2), [0.9, 2.0], np.float32))
    (lines,) = borders(draw(moved))
    assert (lines.start_xy_px[0, 0], lines.start_xy_px[1, 1]) == (origin + 0.5 * stride, origin + 2.5 * stride)
    assert not borders(draw(result, borders=False))


# ------------------------------------------------------------------------------------------------ frames and layouts


def test_steps_stand_on_their_frames() -> None:
    result = analyze(kpsem_run(), Params())
    spec = draw(result)
    assert result.grid.stride_frames == 2
    assert [panel.frame for panel in spec.panels] == [0, 2, 4, 6]
    assert np.array_equal(spec.panels[1].layers[0].pixels, result.clip.frames[2])  # type: ignore[union-attr]
    assert "one for every 2 that the network sees" in spec.caption


def test_every_channel_has_a_row() -> None:
    result = analyze(planted(example(4)), Params(block="res4"))
    spec = draw(result, layout="channels")
    assert [(panel.row, panel.column, panel.row_title) for panel in spec.panels[:3]] == [(0, 0, "c = 3"), (0, 1, ""), (1, 0, "c = 2")]
    assert all(len(xy) == 1 for panel in range(6) for xy in crosses(spec, panel).values())
    assert all(len(xy) == 3 for xy in crosses(draw(result)).values())


def test_centres_of_all_sets_are_shown() -> None:
    result = analyze(kpsem_run(), Params(set_shown=1))
    spec = draw(result, layout="centres")
    layers = [layer for layer in spec.panels[2].layers if isinstance(layer, PointLayer)]
    assert [(layer.name, len(layer.xy_px)) for layer in layers] == [("other sets", 2), ("set 1", 1)]
    assert np.allclose(layers[1].xy_px, result.grid.centre_px(result.centre_cells[1, 2]))
    assert "3 sets" in spec.caption


def test_one_region_has_no_centre_to_show() -> None:
    result = analyze(planted(example()), Params(block="res4", regions=1))
    assert not borders(draw(result))
    with pytest.raises(SettingError, match="one region has no separation centre"):
        draw(result, layout="centres")


# ------------------------------------------------------------------------------------------------ words


def test_legend_has_every_region_with_its_shape(result: KeyPointShifts) -> None:
    regions, arrow, line = (key for key in draw(result).keys if isinstance(key, LegendKey))
    assert [text for _, text in regions.entries] == ["top left", "top right", "bottom left", "bottom right"]
    assert len(set(regions.markers)) == 4
    assert (arrow.kind, line.kind) == ("arrow", "line")
    nine = draw(analyze(planted(dots([{(5, 5): 1.0}, {(6, 6): 1.0}])), Params(block="res4", regions=9))).keys[0]
    assert isinstance(nine, LegendKey)
    assert len(nine.entries) == len(nine.markers) == 9


def test_caption_counts_the_moves_between_regions(result: KeyPointShifts) -> None:
    spec = draw(result)
    assert "The best match of 2 of 4 key points lies in another region." in spec.caption
    assert "largest mean of region weight x value" in spec.caption
    assert "2 lead into another region" in spec.alt


def test_table_has_a_row_for_every_key_point(result: KeyPointShifts) -> None:
    table = draw(result).table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 4 * 2
    third = next(row for row in rows if row["region"] == "bottom left" and row["step"] == 0)
    assert (third["x_cells"], third["y_cells"], third["best_region"], third["cross_region"]) == (0, 3, "bottom right", True)
    assert third["shift_x_px"] == pytest.approx(result.grid.stride_px * EXAMPLE_SHIFT_XY[2][0], abs=1e-3)
    assert {row["best_match"] for row in rows if row["step"] == 1} == {""}
