"""Key points followed over time: by region, by best match, in the picture and in the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.motion.kpsem.planted import example, kpsem_run, planted
from vizkit.figure.spec import ArrowLayer, PointLayer
from vizkit.motion.kpsem.analysis import KeyPointShifts, Params, analyze
from vizkit.motion.kpsem.figure import draw, region_mark
from vizkit.motion.kpsem.tracks import FAINTEST, follow_points


@pytest.fixture(scope="module")
def result() -> KeyPointShifts:
    """The worked example at res4: cells of 8 px, two steps."""
    return analyze(planted(example()), Params(block="res4"))


@pytest.fixture(scope="module")
def learned() -> KeyPointShifts:
    """Four steps of a KPSEM block, its second set, two channels."""
    return analyze(kpsem_run(), Params(set_shown=1, channels=(5, 2)))


def test_a_region_keeps_its_own_key_point(result: KeyPointShifts) -> None:
    """(x, y) of the two maps' largest values in each quarter."""
    tracks = follow_points(result)
    assert tracks.region[:, 0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert tracks.point_cells[:, 0].tolist() == [[[1, 0], [1, 1]], [[3, 1], [2, 0]], [[0, 3], [0, 2]], [[2, 2], [3, 3]]]
    assert tracks.value[0, 0].tolist() == pytest.approx([1.0, 0.95])


def test_a_match_leads_to_another_region(result: KeyPointShifts) -> None:
    """Top left and top right stay (0.925, 0.793), bottom left goes to the bottom right (0.916), bottom right to one of two equals."""
    tracks = follow_points(result, "match")
    assert tracks.region[:3, 0].tolist() == [[0, 0], [1, 1], [2, 3]]
    assert tracks.region[3, 0, 0] == 3
    assert tracks.region[3, 0, 1] == result.best_region[0, 3, 0, 0]
    assert tracks.point_cells[2, 0].tolist() == [[0, 3], [3, 3]]


def test_matches_are_followed_step_by_step_in_the_set_that_is_shown(learned: KeyPointShifts) -> None:
    tracks = follow_points(learned, "match")
    for start in range(4):
        for place, channel in enumerate((5, 2)):
            region = start
            for step in range(learned.grid.shape[0]):
                assert tracks.region[start, place, step] == region
                at = (1, region, channel, step)
                assert tracks.point_cells[start, place, step].tolist() == learned.point_cells[at].tolist()
                assert tracks.value[start, place, step] == learned.value[at]
                assert tracks.known[start, place, step] == ~learned.flat[at]
                if step < learned.grid.shape[0] - 1:
                    region = int(learned.match[1, region, :, channel, step].argmax())


def test_arrows_lead_forward_and_later_crosses_are_larger(learned: KeyPointShifts) -> None:
    spec = draw(learned, layout="tracks", columns=1)
    assert [(panel.name, panel.row) for panel in spec.panels] == [("channel 5", 0), ("channel 2", 1)]
    tracks = follow_points(learned)
    for place, panel in enumerate(spec.panels):
        for start in range(4):
            name = learned.region_name(start)
            crosses = [layer for layer in panel.layers if isinstance(layer, PointLayer) and layer.name == name]
            (arrows,) = [layer for layer in panel.layers if isinstance(layer, ArrowLayer) and layer.name == name]
            known = tracks.known[start, place]
            xy_px = learned.grid.centre_px(tracks.point_cells[start, place])
            assert np.array_equal(np.concatenate([layer.xy_px for layer in crosses]), xy_px[known])
            assert {(layer.role, layer.marker) for layer in crosses} == {region_mark(start, 4)}
            assert (np.diff([layer.size_px for layer in crosses]) > 0).all()
            moves = [step for step in range(3) if known[step] and known[step + 1] and (xy_px[step] != xy_px[step + 1]).any()]
            assert np.array_equal(arrows.start_xy_px, xy_px[moves])
            assert np.array_equal(arrows.end_xy_px, xy_px[np.array(moves, int) + 1])
            assert arrows.weight.tolist() == pytest.approx([FAINTEST + (1 - FAINTEST) * (step + 1) / 3 for step in moves])
    assert "later crosses are larger" in spec.caption
    assert "the key point of one region in every step" in spec.caption
    assert "most similar value" in draw(learned, layout="tracks", follow="match").caption


def test_the_cross_is_that_of_the_region_it_lies_in(result: KeyPointShifts) -> None:
    spec = draw(result, layout="tracks", follow="match")
    crosses = [layer for layer in spec.panels[0].layers if isinstance(layer, PointLayer) and layer.name == "bottom left"]
    assert [(layer.role, layer.marker) for layer in crosses] == [region_mark(2, 4), region_mark(3, 4)]


def test_a_flat_region_has_no_cross_and_no_way() -> None:
    """A dot in one region only: the three others are flat."""
    maps = np.zeros((1, 2, 4, 4), np.float32)
    maps[0, :, 1, 1] = 1
    flat = analyze(planted(maps), Params(block="res4"))
    spec = draw(flat, layout="tracks")
    assert {layer.name for layer in spec.panels[0].layers if isinstance(layer, PointLayer)} == {"top left"}
    assert spec.table is not None
    empty = [row for row in spec.table.rows if row[spec.table.columns.index("x_px")] == ""]
    assert empty
    assert all(row[spec.table.columns.index("way_px")] == "" for row in empty)


def test_the_table_has_every_step_of_every_track(result: KeyPointShifts) -> None:
    table = draw(result, layout="tracks").table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == len(result.channels) * 4 * 2
    second = rows[1]
    assert (second["track"], second["step"], second["x_px"], second["y_px"]) == ("top left", 1, 8.0, 8.0)
    assert second["way_px"] == pytest.approx(8.0)
    assert rows[3]["way_px"] == pytest.approx(8 * np.sqrt(2))
    assert rows[0]["way_px"] == ""
    assert second["time_s"] == result.clip.times_s[second["frame"]]  # type: ignore[index]


def test_one_channel_more_is_one_panel_more(learned: KeyPointShifts) -> None:
    assert len(draw(replace(learned, channels=np.array([5])), layout="tracks").panels) == 1
