"""The picture says what the record says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.figure.spec import ColorBarKey, HeatLayer, ImageLayer, LegendKey, PointLayer
from vizkit.motion.cpnet.analysis import Correspondences, Params, analyze
from vizkit.motion.cpnet.figure import draw, tabulate
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip

Load = Callable[..., Network]


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> Correspondences:
    """Three points in different frames, matched on the shrunk grid (origin 2, stride 8)."""
    return analyze(run, Params(block="res3.0", points=((0, 10.0, 50.0), (2, 42.0, 10.0), (2, 58.0, 26.0))))


@pytest.fixture(scope="module")
def plain(run: ProbedRun) -> Correspondences:
    """A stage without a module."""
    return analyze(run, Params(block="res4", points=((1, 40.0, 8.0),)))


def drawn(result: Correspondences, **look: object) -> set[tuple[str, int, tuple[int, float, float], tuple[int, float, float]]]:
    """Every arrow as (role, query, (panel, x, y) of its start, (panel, x, y) of its end)."""
    found = set()
    for link in draw(result, **look).links:
        for number in range(len(link.group)):
            start = (int(link.start_panel[number]), *(float(value) for value in link.start_xy_px[number]))
            end = (int(link.end_panel[number]), *(float(value) for value in link.end_xy_px[number]))
            found.add((link.role, int(link.group[number]), start, end))
    return found


def expected(result: Correspondences, first: int = 64) -> set[tuple[str, int, tuple[int, float, float], tuple[int, float, float]]]:
    """The same from the record, cell by cell: centre = 2 + 8 i."""
    found = set()
    for query, (t, y, x) in enumerate(result.query.tolist()):
        for rank, (to_t, to_y, to_x) in enumerate(result.proposal[query].tolist()[:first]):
            role = "active" if result.active[query, rank] else "filtered"
            found.add((role, query, (t, 2 + 8.0 * x, 2 + 8.0 * y), (to_t, 2 + 8.0 * to_x, 2 + 8.0 * to_y)))
    return found


# ------------------------------------------------------------------------------------------------ arrows


def test_arrows_run_between_the_centres_of_the_cells_of_their_frames(result: Correspondences) -> None:
    assert result.grid.origin_px == 2
    assert result.grid.stride_px == 8
    assert drawn(result) == expected(result)
    assert 0 < result.active.sum() < result.active.size


def test_filtered_arrows_are_drawn_first(result: Correspondences) -> None:
    assert [link.role for link in draw(result).links] == ["filtered", "active"]


def test_fewer_arrows_are_the_nearest(result: Correspondences) -> None:
    assert drawn(result, shown=2) == expected(result, first=2)
    assert "The 2 nearest are drawn." in draw(result, shown=2).caption
    assert "nearest are drawn" not in draw(result).caption


def test_an_active_arrow_is_as_opaque_as_its_share_of_the_channels(result: Correspondences) -> None:
    active = next(link for link in draw(result).links if link.role == "active")
    share = result.win_share[result.active]
    order = np.argsort(share, kind="stable")
    assert (np.diff(active.weight[order]) >= 0).all()
    assert active.weight.max() == pytest.approx(1.0)
    assert active.weight.min() > 0.4


def test_where_no_module_decides_arrows_are_neither_red_nor_blue(plain: Correspondences) -> None:
    spec = draw(plain)
    assert [link.role for link in spec.links] == ["proposal"]
    assert len(spec.links[0].group) == plain.proposal.shape[1]
    assert not any(isinstance(key, ColorBarKey) for key in spec.keys)
    assert "Red" not in spec.caption
    assert "active set" not in spec.alt


def test_labels_name_cell_rank_distance_and_channels(result: Correspondences) -> None:
    for link in draw(result).links:
        chosen = result.active if link.role == "active" else ~result.active
        for text, (query, rank) in zip(link.label, np.argwhere(chosen).tolist(), strict=True):
            t, y, x = result.proposal[query, rank].tolist()
            assert text.startswith(f"query {query}, rank {rank + 1} -> cell (t {t}, y {y}, x {x}); squared distance ")
            assert f"of {result.live_channels[query]} live channels" in text


def test_arrows_can_be_left_out(result: Correspondences) -> None:
    spec = draw(result, arrows=False)
    assert spec.links == ()
    assert not any(isinstance(key, LegendKey) for key in spec.keys)


# ------------------------------------------------------------------------------------------------ panels


def test_every_sampled_frame_has_a_panel_in_reading_order(result: Correspondences) -> None:
    spec = draw(result, columns=3)
    assert [(panel.frame, panel.row, panel.column) for panel in spec.panels] == [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 1, 0)]
    for frame, panel in enumerate(spec.panels):
        image = panel.layers[0]
        assert isinstance(image, ImageLayer)
        assert np.array_equal(image.pixels, result.clip.frames[frame])
        assert panel.size_wh == (64, 64)
        assert f"t = {frame}" in panel.title
        assert f"frame {result.clip.index[frame]}" in panel.title


def test_heat_has_one_scale_for_all_frames_and_lies_on_its_own_grid(result: Correspondences) -> None:
    spec = draw(result)
    heats = [layer for panel in spec.panels for layer in panel.layers if isinstance(layer, HeatLayer)]
    largest = float(result.change.max())
    assert len(heats) == 4
    assert {heat.limits for heat in heats} == {(0.0, largest)}
    assert {(heat.origin_px, heat.stride_px) for heat in heats} == {(0.0, 4.0)}
    for frame, heat in enumerate(heats):
        assert np.array_equal(heat.values, result.change[frame])
    bar = next(key for key in spec.keys if isinstance(key, ColorBarKey))
    assert bar.limits == (0.0, largest)
    assert bar.colors == heats[0].colors


def test_heat_can_be_left_out_and_made_fainter(result: Correspondences) -> None:
    assert not any(isinstance(layer, HeatLayer) for panel in draw(result, heat=False).panels for layer in panel.layers)
    faint = draw(result, heat_opacity=0.2)
    assert {layer.opacity for panel in faint.panels for layer in panel.layers if isinstance(layer, HeatLayer)} == {0.2}


def test_an_identity_module_has_no_heat_and_says_so(small: Load, world: WorldClip) -> None:
    spec = draw(analyze(probe(small(last_gain=0.0), world.clip), Params()))
    assert not any(isinstance(layer, HeatLayer) for panel in spec.panels for layer in panel.layers)
    assert not any(isinstance(key, ColorBarKey) for key in spec.keys)
    assert any("Identity module" in note for note in spec.notes)


def test_queries_are_marked_in_their_frames(result: Correspondences) -> None:
    marked = {
        (panel.frame, *point)
        for panel in draw(result).panels
        for layer in panel.layers
        if isinstance(layer, PointLayer)
        for point in layer.xy_px.tolist()
    }
    assert marked == {(t, 2 + 8.0 * x, 2 + 8.0 * y) for t, y, x in result.query.tolist()}


# ------------------------------------------------------------------------------------------------ words and files


def test_the_legend_names_the_roles_that_are_drawn(result: Correspondences, plain: Correspondences) -> None:
    for spec in (draw(result), draw(plain)):
        legend = next(key for key in spec.keys if isinstance(key, LegendKey))
        assert {role for role, _ in legend.entries} == {link.role for link in spec.links}


def test_the_caption_says_what_was_drawn(result: Correspondences) -> None:
    caption = draw(result).caption
    for words in ("cpnet-18", "random weights", "res3.0", "3 picked cells", "8 nearest", "semantic metric", "8-px cells", result.clip.name):
        assert words in caption, words
    assert f"0 to {result.change.max():.3g}" in caption
    assert "Source frames 0, 1, 2, 3" in caption


def test_the_text_alternative_counts_the_active_set(result: Correspondences) -> None:
    assert f"{result.active.sum()} of {result.active.size} are in the active set" in draw(result).alt


def test_the_table_has_a_row_for_every_arrow(result: Correspondences) -> None:
    table = tabulate(result)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == result.active.size
    for row in rows:
        query, rank = int(row["query"]), int(row["rank"]) - 1
        start, end = result.query[query].tolist(), result.proposal[query, rank].tolist()
        assert [row["from_t"], row["from_y"], row["from_x"]] == start
        assert [row["to_t"], row["to_y"], row["to_x"]] == end
        assert (row["from_x_px"], row["from_y_px"]) == (2 + 8.0 * start[2], 2 + 8.0 * start[1])
        assert (row["dx_px"], row["dy_px"]) == (8.0 * (end[2] - start[2]), 8.0 * (end[1] - start[1]))
        assert (row["to_x_px"], row["to_y_px"]) == (2 + 8.0 * end[2], 2 + 8.0 * end[1])
        assert row["frames_apart"] == end[0] - start[0]
        assert row["distance_squared"] == pytest.approx(float(result.distance_squared[query, rank]))
        assert row["active"] == bool(result.active[query, rank])
        assert row["channels_won"] == pytest.approx(float(result.channels_won[query, rank]))
        assert row["win_share"] == pytest.approx(float(result.win_share[query, rank]))
    assert [(row["query"], row["rank"]) for row in rows] == [(query, rank + 1) for query in range(3) for rank in range(8)]


def test_the_figure_carries_the_record(result: Correspondences) -> None:
    spec = draw(result)
    assert all(np.array_equal(spec.arrays[name], array) for name, array in result.arrays().items())
    assert spec.provenance is result.provenance
    assert spec.notes == result.notes
    assert spec.table == tabulate(result)


def test_frames_of_a_coarser_grid_in_time_keep_their_panels(result: Correspondences) -> None:
    """A stage that keeps every second frame: step 1 of the grid is sampled frame 2."""
    grid = replace(result.grid, stride_frames=2, shape=(2, 8, 8))
    change_grid = replace(result.change_grid, stride_frames=2, shape=(2, 16, 16))
    query, proposal = result.query.copy(), result.proposal.copy()
    query[:, 0], proposal[..., 0] = 0, 1
    halved = replace(result, grid=grid, change_grid=change_grid, query=query, proposal=proposal, change=result.change[:2])
    spec = draw(halved)
    assert {int(panel) for link in spec.links for panel in link.start_panel} == {0}
    assert {int(panel) for link in spec.links for panel in link.end_panel} == {2}
    heat = [next(layer for layer in panel.layers if isinstance(layer, HeatLayer)) for panel in spec.panels]
    assert [np.array_equal(layer.values, result.change[step]) for layer, step in zip(heat, (0, 0, 1, 1), strict=True)] == [True] * 4
    assert {row[table_column(spec, "frames_apart")] for row in spec.table.rows} == {2}  # type: ignore[union-attr]


def table_column(spec: object, name: str) -> int:
    return spec.table.columns.index(name)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("look", [{"colour": "red"}, {"shown": 0}, {"heat_opacity": 1.5}, {"columns": 0}])
def test_an_unknown_look_lists_the_known_ones(result: Correspondences, look: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"Known: layout \(arrows \| blocks\).*columns \(integer 1\.\.16\)"):
        draw(result, **look)


def test_a_look_changes_no_number(result: Correspondences) -> None:
    plain, other = draw(result), draw(result, heat=False, shown=1, columns=2)
    assert plain.table == other.table
    assert all(np.array_equal(plain.arrays[name], other.arrays[name]) for name in plain.arrays)
