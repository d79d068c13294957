"""The pictures say what the record says: weights, arrows, limits, words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.figure.spec import ArrowLayer, ColorBarKey, FigureSpec, HeatLayer, ImageLayer, LegendKey, Panel, PointLayer, PolygonLayer
from vizkit.motion.corrnet.analysis import FilterGrid, Params, analyze, find_peaks, mean_direction
from vizkit.motion.corrnet.figure import draw, tabulate
from vizkit.motion.corrnet.polar import chance_shares, sector_counts
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip

Load = Callable[..., Network]


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> FilterGrid:
    """Eight channels, four frames, 7 x 7, dilation 2, stride 2 px; channels by activity."""
    return analyze(run, Params(sort="activity", channels_shown=5))


@pytest.fixture(scope="module")
def planted(result: FilterGrid) -> FilterGrid:
    """Filters set by hand: channel 0 looks two up and three right, channel 1 at the centre, channel 2 is flat, channel 3 one down."""
    weights = np.ones((4, 8, 7, 7), np.float32)
    weights[:, 0, 1, 6], weights[:, 1, 3, 3], weights[:, 3, 4, 3] = 2, 3, 1.5
    weights[1, 3, 4, 3], weights[1, 3, 0, 3] = 1, 1.75
    return with_weights(replace(result, shown=np.arange(4)), weights)


def with_weights(result: FilterGrid, weights: np.ndarray) -> FilterGrid:
    peaks = find_peaks(weights, 2)
    length, angle = mean_direction(peaks)
    spread = weights.std((0, 2, 3))
    return replace(result, weights=weights, peak_xy=peaks, consistency=length, direction_deg=angle, activity=spread)


def heat(panel: Panel) -> HeatLayer:
    return next(layer for layer in panel.layers if isinstance(layer, HeatLayer))


def bar(spec: FigureSpec) -> ColorBarKey:
    (found,) = (key for key in spec.keys if isinstance(key, ColorBarKey))
    return found


# ------------------------------------------------------------------------------------------------ the grid of filters


def test_rows_are_frames_and_columns_are_channels(result: FilterGrid) -> None:
    spec = draw(result)
    assert len(spec.panels) == 4 * 5
    for number, panel in enumerate(spec.panels):
        frame, column = divmod(number, 5)
        channel = result.shown[column]
        assert (panel.row, panel.column, panel.frame, panel.view) == (frame, column, frame, "filters")
        assert panel.name == f"channel {channel}, frame {frame}"
        assert panel.title == (f"c = {channel}" if frame == 0 else "")
        assert panel.row_title == (f"t = {frame}" if column == 0 else "")
        assert panel.size_wh == (56, 56)
        assert np.array_equal(heat(panel).values, result.weights[frame, channel])


def test_a_filter_is_shown_weight_by_weight_in_rows_downward(planted: FilterGrid) -> None:
    shown = heat(draw(planted).panels[0])
    assert (shown.origin_px, shown.stride_px, shown.smooth, shown.opacity) == (3.5, 8, False, 1)
    assert np.unravel_index(shown.values.argmax(), (7, 7)) == (1, 6)


def test_arrows_run_from_the_centre_to_the_largest_weight(planted: FilterGrid) -> None:
    """Centre (27.5, 27.5); a weight is 8 px: row 1, column 6 lies at (51.5, 11.5), row 4, column 3 at (27.5, 35.5)."""
    panels = {panel.name: panel for panel in draw(planted).panels}
    ends = {}
    for name, panel in panels.items():
        for layer in panel.layers:
            if isinstance(layer, ArrowLayer):
                assert layer.role == "peak"
                assert layer.start_xy_px.tolist() == [[27.5, 27.5]]
                (ends[name],) = layer.end_xy_px.tolist()
    right_up = {f"channel 0, frame {t}": [51.5, 11.5] for t in range(4)}
    down = {f"channel 3, frame {t}": [27.5, 35.5] for t in (0, 2, 3)}
    assert ends == right_up | down | {"channel 3, frame 1": [27.5, 3.5]}


def test_a_peak_at_the_centre_is_a_dot_and_a_flat_filter_has_no_mark(planted: FilterGrid) -> None:
    marks = {panel.name: [type(layer) for layer in panel.layers if not isinstance(layer, HeatLayer)] for panel in draw(planted).panels}
    assert all(marks[f"channel 1, frame {t}"] == [PointLayer] for t in range(4))
    assert all(marks[f"channel 2, frame {t}"] == [] for t in range(4))
    (dot,) = (layer for layer in draw(planted).panels[1].layers if isinstance(layer, PointLayer))
    assert (dot.role, dot.marker, dot.xy_px.tolist()) == ("peak", "dot", [[27.5, 27.5]])
    assert not any(len(panel.layers) > 1 for panel in draw(planted, arrows=False).panels)


def test_labels_give_the_displacement_in_cells_and_pixels(planted: FilterGrid) -> None:
    (label,) = next(layer for layer in draw(planted).panels[0].layers if isinstance(layer, ArrowLayer)).label
    assert label == "channel 0, frame 0: largest weight 2 at (6, -4) cells = (12, -8) px"


def test_all_filters_shown_have_one_scale_from_the_smallest_to_the_largest_weight(result: FilterGrid) -> None:
    for look, frames in (({}, slice(0, 4)), ({"rows": 2}, slice(0, 2)), ({"rows": 2, "first_row": 1}, slice(1, 3))):
        spec = draw(result, **look)
        shown = result.weights[frames][:, result.shown]
        limits = (float(shown.min()), float(shown.max()))
        assert {heat(panel).limits for panel in spec.panels} == {limits} == {bar(spec).limits}
        assert {heat(panel).colors for panel in spec.panels} == {"viridis"} == {bar(spec).colors}
        assert sorted({panel.frame for panel in spec.panels}) == list(range(4))[frames]
        assert f"colours from {limits[0]:.4g} to {limits[1]:.4g}" in spec.caption


def test_the_diverging_scale_is_symmetric_around_the_start(planted: FilterGrid) -> None:
    spec = draw(planted, colors="diverging")
    assert bar(spec).limits == (-1, 3)  # weights 1 .. 3, started from 1
    assert bar(spec).colors == "diverging"
    assert "symmetric around 1" in bar(spec).note
    assert bar(draw(replace(planted, initial=0.0), colors="diverging")).limits == (-3, 3)


@pytest.mark.parametrize("colors", ["viridis", "diverging"])
def test_flat_filters_have_a_scale_no_arrow_and_a_note(small: Load, world: WorldClip, colors: str) -> None:
    spec = draw(analyze(probe(small(learned=False), world.clip), Params()), colors=colors)
    assert bar(spec).limits == pytest.approx((0.9, 1.1))
    assert not any(isinstance(layer, ArrowLayer | PointLayer) for panel in spec.panels for layer in panel.layers)
    assert not any(isinstance(key, LegendKey) for key in spec.keys)
    assert any("flat" in note for note in spec.notes)
    assert "Arrows" not in spec.caption


def test_a_coarser_block_names_the_sampled_frames(run: ProbedRun) -> None:
    spec = draw(analyze(run, Params(block="res4.1", channels_shown=2)))
    assert [panel.frame for panel in spec.panels] == [0, 0, 2, 2]
    assert [panel.row_title for panel in spec.panels] == ["t = 0", "", "t = 2", ""]
    assert "every 2 sampled frames" in spec.caption
    assert "2 cells x 8 px = 16 px" in spec.caption


def test_a_first_row_beyond_the_frames_is_told(result: FilterGrid) -> None:
    with pytest.raises(SettingError, match=r"first_row is 4, .* frames 0\.\.3"):
        draw(result, first_row=4)


def test_the_caption_says_what_was_drawn(result: FilterGrid) -> None:
    caption = draw(result).caption
    channels = ", ".join(map(str, result.shown))
    for words in (
        "res2.1 of corrnet-26 (random weights)", "frames 0 to 3 of 4", f"channels {channels} of 8", "by falling standard deviation",
        "2 cells x 2 px = 4 px", "motion goes against the arrow", "previous frame", "Frame 0 is matched with itself",
        "Source frames 0, 1, 2, 3",
    ):  # fmt: skip
        assert words in caption, words


# ------------------------------------------------------------------------------------------------ the response


def test_the_response_lies_over_grey_frames_on_one_scale(result: FilterGrid) -> None:
    spec = draw(result, layout="response", columns=3, heat_opacity=0.3)
    assert [(panel.frame, panel.row, panel.column, panel.view) for panel in spec.panels] == [
        (0, 0, 0, "frames"), (1, 0, 1, "frames"), (2, 0, 2, "frames"), (3, 1, 0, "frames")
    ]  # fmt: skip
    limits = (0.0, float(result.response.max()))
    assert bar(spec).limits == limits
    assert f"response of channel {result.channel}" in f"{bar(spec).label} {bar(spec).note}", "whose response it is"
    for frame, panel in enumerate(spec.panels):
        image, values = panel.layers[0], heat(panel)
        assert isinstance(image, ImageLayer)
        assert (np.ptp(image.pixels, axis=-1) == 0).all()
        grey = result.clip.frames[frame] @ np.array([0.299, 0.587, 0.114])
        assert np.abs(image.pixels[..., 0] - grey).max() <= 0.5 + 1e-9
        assert np.array_equal(values.values, result.response[frame])
        assert (values.origin_px, values.stride_px, values.limits, values.opacity) == (0, 2, limits, 0.3)
        x, y = result.peak_xy[frame, result.channel] * 2
        assert panel.title == f"t = {frame}   looks at ({x:g}, {y:g}) px"


def test_a_response_below_zero_has_a_symmetric_scale(run: ProbedRun) -> None:
    learned = analyze(run, Params(response="learned"))
    spec = draw(learned, layout="response")
    reach = float(np.abs(learned.response).max())
    assert bar(spec).limits == (-reach, reach)
    assert {heat(panel).colors for panel in spec.panels} == {"diverging"}
    assert "learned response" in bar(spec).label
    assert "beyond a flat filter" in spec.caption


def test_no_response_at_all_is_said(result: FilterGrid) -> None:
    spec = draw(replace(result, response=np.zeros_like(result.response)), layout="response")
    assert not any(isinstance(layer, HeatLayer) for panel in spec.panels for layer in panel.layers)
    assert spec.keys == ()
    assert "zero everywhere" in spec.caption


def test_frames_of_a_coarser_block_share_its_steps(run: ProbedRun) -> None:
    deep = analyze(run, Params(block="res4.1"))
    shown = [heat(panel).values for panel in draw(deep, layout="response").panels]
    assert [np.array_equal(values, deep.response[step]) for values, step in zip(shown, (0, 0, 1, 1), strict=True)] == [True] * 4


# ------------------------------------------------------------------------------------------------ the polar histogram


def test_sectors_go_clockwise_from_the_right() -> None:
    counts = sector_counts(np.array([[3, 0], [1, 0], [0, 2], [-1, 0], [0, -5], [2, 2], [6, 4], [6, -4]]))
    assert counts.tolist() == [2, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]


def test_chance_is_even_over_the_sectors_of_seven_by_seven_places() -> None:
    assert chance_shares(7).tolist() == [1 / 16] * 16
    assert chance_shares(3).tolist() == [1 / 8, 0] * 8
    assert chance_shares(1).tolist() == [0] * 16


def test_petals_have_areas_of_their_counts(planted: FilterGrid) -> None:
    """Four arrows to the right and up (angle -33.7: sector 15), three down (sector 4), one up (sector 12)."""
    every, *channels = draw(planted, layout="polar").panels
    assert [panel.name for panel in (every, *channels)] == ["all channels", "c = 0", "c = 1", "c = 2", "c = 3"]
    assert {panel.view for panel in (every, *channels)} == {"polar"}
    (petals,) = (layer for layer in every.layers if isinstance(layer, PolygonLayer) and layer.filled)
    assert petals.label == (
        "3 arrows, 90 degrees clockwise from right",
        "1 arrows, 270 degrees clockwise from right",
        "4 arrows, 337.5 degrees clockwise from right",
    )
    radii = [float(np.linalg.norm(outline - 55.5, axis=-1).max()) for outline in petals.outlines]
    assert radii == pytest.approx([52 * 0.75**0.5, 26, 52])
    middle = [outline[1:].mean(0) - 55.5 for outline in petals.outlines]
    assert [np.degrees(np.arctan2(y, x)) for x, y in middle] == pytest.approx([90, -90, -22.5])
    assert "n = 8" in every.title
    assert "n = 4   R = 1.00" in channels[0].title
    assert "n = 0" in channels[1].title
    assert "R" not in channels[1].title
    assert "n = 4   R = 0.50" in channels[3].title


def test_the_mean_arrow_has_the_mean_resultant_length(planted: FilterGrid) -> None:
    panel = draw(planted, layout="polar").panels[-1]
    (arrow,) = (layer for layer in panel.layers if isinstance(layer, ArrowLayer))
    assert arrow.start_xy_px.tolist() == [[55.5, 55.5]]
    assert arrow.end_xy_px[0] == pytest.approx([55.5, 55.5 + 26])


def test_a_polar_histogram_of_flat_filters_is_empty(small: Load, world: WorldClip) -> None:
    spec = draw(analyze(probe(small(learned=False), world.clip), Params()), layout="polar")
    assert spec.keys == ()
    assert all("n = 0" in panel.title for panel in spec.panels)
    assert not any(layer.outlines for panel in spec.panels for layer in panel.layers if isinstance(layer, PolygonLayer) and layer.filled)


# ------------------------------------------------------------------------------------------------ words and files


def test_the_table_has_a_row_for_every_filter_of_the_channels_shown(planted: FilterGrid) -> None:
    table = tabulate(planted)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["channel"], row["frame"]) for row in rows] == [(channel, frame) for channel in range(4) for frame in range(4)]
    first = rows[0]
    assert (first["peak_dx_cells"], first["peak_dy_cells"], first["peak_dx_px"], first["peak_dy_px"]) == (6, -4, 12, -8)
    assert (first["weight_max"], first["weight_min"], first["weight_centre"], first["flat"], first["consistency"]) == (2, 1, 1, False, 1)
    assert rows[8]["flat"] is True
    assert (rows[8]["peak_dx_cells"], rows[8]["peak_dy_px"], rows[8]["consistency"]) == ("", "", "")


def test_the_text_alternative_counts_arrows_dots_and_flat_filters(planted: FilterGrid) -> None:
    assert "8 have their largest weight off the centre" in draw(planted).alt
    assert "4 at the centre (a dot), 20 are flat" in draw(planted).alt


@pytest.mark.parametrize("layout", ["filters", "response", "polar"])
def test_every_layout_carries_the_record(result: FilterGrid, layout: str) -> None:
    spec = draw(result, layout=layout)
    assert all(np.array_equal(spec.arrays[name], array, equal_nan=True) for name, array in result.arrays().items())
    assert spec.provenance is result.provenance
    assert spec.notes == result.notes
    assert spec.table == tabulate(result)
    assert all(word in spec.title for word in ("res2.1",))


@pytest.mark.parametrize("look", [{"colour": "red"}, {"rows": 0}, {"layout": "wheel"}, {"heat_opacity": 1.5}])
def test_an_unknown_look_lists_the_known_ones(result: FilterGrid, look: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"Known: layout \(filters \| response \| polar\); rows \(integer 1\.\.128\)"):
        draw(result, **look)
