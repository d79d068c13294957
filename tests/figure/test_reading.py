"""The values at a point, of results built by hand: a red square at cell (3, 3) of frame 1, cells of 4 px."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.golden import records
from vizkit.figure.reading import read_at
from vizkit.pipeline import draw

ON, OFF = (1, 15.0, 15.0), (1, 28.0, 4.0)


@pytest.mark.parametrize(
    ("result", "look", "point", "row"),
    [
        (records.correspondences, {}, ON, ("frame 1", "feature change", "2 L1")),
        (records.correspondences, {}, OFF, ("frame 1", "feature change", "0.25 L1")),
        (records.correspondences, {}, (0, 9.0, 13.0), ("frame 0", "feature change", "2 L1")),
        (records.filters, {"layout": "response"}, ON, ("frame 1", "response", "1.5")),
        (records.filters, {"layout": "response"}, OFF, ("frame 1", "response", "-0.1")),
        (records.fields, {}, ON, ("res3 1", "motion", "4, 0 px per frame, confidence 1.00")),
        (records.fields, {}, OFF, ("res3 1", "motion", "0, 0 px per frame, confidence 0.05")),
        (records.fields, {"layout": "patch"}, ON, ("cell 0 res3 +1", "correlation at res3", "largest 1")),
        (records.appearance, {}, (3, 12.0, 13.0), ("flow_px 0", "TV-L1", "4, 0 px per frame, confidence 1.00")),
        (records.key_points, {}, (1, 5.5, 5.5), ("frame 1", "top left", "0.0 px away")),
    ],
)
def test_the_value_is_that_of_the_cell_under_the_point(
    result: Callable[[], object], look: dict[str, str], point: tuple[int, float, float], row: tuple[str, str, str]
) -> None:
    found = read_at(draw(result(), **look), *point)
    assert found.columns == ("panel", "layer", "value")
    said = {cells[:2]: cells[2] for cells in found.rows}
    assert row[:2] in said, sorted(said)
    assert str(said[row[:2]]).endswith(row[2])


def test_a_dynamic_appearance_frame_says_its_colour() -> None:
    rows = read_at(draw(records.appearance()), 2, 0.0, 0.0).rows
    assert any(panel == "mean 0" and str(value).startswith("drawn as RGB 60, 60, 60") for panel, _, value in rows)


def test_other_frames_and_what_lies_outside_say_nothing_more() -> None:
    spec = draw(records.correspondences())
    assert {row[0] for row in read_at(spec, *ON).rows} == {"frame 1"}
    assert read_at(spec, 1, -50.0, 500.0).rows[0][2] == read_at(spec, 1, 0.0, 31.0).rows[0][2], "the nearest cell"
