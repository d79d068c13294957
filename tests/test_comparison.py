"""Two results beside each other: common scales, differences in numbers, places of panels, run-time settings, changes of predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import vizkit
from vizkit.comparison import compare, label_changes, tabulate_changes
from vizkit.contracts import Prediction
from vizkit.errors import SettingError
from vizkit.figure.beside import beside, common_limits
from vizkit.figure.difference import Difference, difference
from vizkit.figure.layers import dress
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, LegendKey, LinkLayer, MotionLayer, Panel, WheelKey
from vizkit.net.adjust import adjust, adjustable, fixed
from vizkit.net.network import Network
from vizkit.recipe import Recipe

SIDE = 16
FRAME = np.full((SIDE, SIDE, 3), 90, np.uint8)


def heat(values: Any, *, limits: tuple[float, float] = (0.0, 1.0), stride_px: float = 8.0) -> HeatLayer:
    return HeatLayer(np.array(values, np.float32), 3.5, stride_px, limits, "change", "L1")


def motion(vectors: Any, confidence: Any) -> MotionLayer:
    return MotionLayer(np.array(vectors, np.float32), np.array(confidence, np.float32), 3.5, 8.0, 4.0)


def strip(*layers: Any, key: Any = None) -> FigureSpec:
    """A film strip in rows of four, a layer for each frame."""

    def panel(t: int, layer: Any) -> Panel:
        return Panel(f"frame {t}", f"t = {t}   frame {t}", (SIDE, SIDE), t // 4, t % 4, (ImageLayer(FRAME), layer), t)

    panels = tuple(panel(t, layer) for t, layer in enumerate(layers))
    return FigureSpec("Strip", "A caption.", "A strip.", panels, keys=() if key is None else (key,))


def grid(views: dict[str, Any], frames: int = 2) -> FigureSpec:
    """The frames, and a column for each view."""
    panels = []
    for t in range(frames):
        panels.append(Panel(f"frame {t}", "frames" if t == 0 else "", (SIDE, SIDE), t, 0, (ImageLayer(FRAME),), t, "frames", f"t = {t}"))
        for column, (view, layer) in enumerate(views.items(), 1):
            panels.append(Panel(f"{view} {t}", view if t == 0 else "", (SIDE, SIDE), t, column, (layer,), t, view))
    return FigureSpec("Grid", "A caption.", "A grid.", tuple(panels))


# ------------------------------------------------------------------------------------------------ scales


def test_common_limits_hold_both_and_stay_symmetric_where_colours_diverge():
    one = replace(strip(heat([[0.0]])), keys=(ColorBarKey("a", (0.0, 2.0), "inferno"), ColorBarKey("b", (-1.0, 1.0), "diverging")))
    other = replace(one, keys=(ColorBarKey("a", (0.5, 3.0), "inferno"), ColorBarKey("b", (0.0, 4.0), "inferno"), WheelKey("res3", 8.0)))
    assert common_limits(one, other) == {"a": (0.0, 3.0), "b": (-4.0, 4.0), "res3": (0.0, 8.0)}
    around_one = replace(one, keys=(ColorBarKey("w", (0.5, 1.5), "diverging"),))
    wider = replace(one, keys=(ColorBarKey("w", (0.8, 1.7), "viridis"),))
    assert common_limits(around_one, wider)["w"] == pytest.approx((0.3, 1.7))


# ------------------------------------------------------------------------------------------------ differences


def test_maps_are_subtracted_the_first_from_the_second_on_one_symmetric_scale():
    one, other = strip(heat([[0, 1], [2, 3]]), heat([[0, 0], [0, 0]])), strip(heat([[1, 1], [0, 3]]), heat([[0, 5], [np.nan, 0]]))
    found = difference(one, other)
    assert isinstance(found, Difference)
    first, second = (panel.layers[1] for panel in found.panels)
    assert np.array_equal(first.values, [[1, 0], [-2, 0]])
    assert np.array_equal(second.values, [[0, 5], [np.nan, 0]], equal_nan=True)
    assert first.limits == second.limits == (-5.0, 5.0)
    assert first.colors == "diverging"
    (key,) = found.keys
    assert (key.label, key.limits) == ("change, B \u2212 A, L1", (-5.0, 5.0))
    assert "from -2 to 5 L1, mean 0.571" in found.words


def test_vectors_give_the_length_of_their_difference_where_both_are_sure():
    one = strip(motion([[[3, 0], [1, 1], [0, 0]]], [[1, 1, 0.4]]))
    other = strip(motion([[[0, 4], [1, 1], [9, 9]]], [[0.5, 0.9, 1]]))
    found = difference(one, other, names=("here", "there"))
    assert isinstance(found, Difference)
    assert np.array_equal(found.panels[0].layers[1].values, [[5, 0, np.nan]], equal_nan=True)
    assert found.panels[0].layers[1].limits == (0.0, 5.0)
    assert "in the 2 of 3 cells" in found.words


def test_motion_in_cells_of_several_sizes_has_a_scale_of_differences_for_each():
    """Coarse cells move further: on one scale the differences of fine ones would all look the same."""

    def pyramid(dx: tuple[float, float]) -> FigureSpec:
        panels = []
        for column, (view, stride, x) in enumerate(zip(("res3", "res4"), (4.0, 8.0), dx, strict=True)):
            layer = MotionLayer(np.full((2, 2, 2), x, np.float32), np.ones((2, 2), np.float32), 0.0, stride, 8.0)
            panels.append(Panel(f"{view} 0", view, (16, 16), 0, column, (layer,), 0, view))
        return FigureSpec("t", "c", "a", tuple(panels))

    found = difference(pyramid((0.0, 0.0)), pyramid((1.0, 10.0)))
    assert isinstance(found, Difference)
    ends = {key.label: key.limits[1] for key in found.keys}
    assert ends == {
        "end-point difference of motion at res3, px per frame": pytest.approx(np.sqrt(2)),
        "end-point difference of motion at res4, px per frame": pytest.approx(10 * np.sqrt(2)),
    }
    names = [panel.layers[-1].name for panel in found.panels]
    assert [key.layer for key in found.keys] == names, "the bar follows what a reader sets for its layer"


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (strip(heat([[1.0]])), strip(heat([[1.0]])), "equal in every cell"),
        (strip(heat([[1.0]])), strip(heat([[1.0, 2.0]])), "1 x 1 cells of 8 px in A and 1 x 2 of 8 px in B"),
        (strip(heat([[1.0]])), strip(heat([[2.0]], stride_px=4.0)), "no cell of the one is a cell of the other"),
        (strip(motion([[[1, 1]]], [[0.2]])), strip(motion([[[2, 1]]], [[1.0]])), "clear match in both"),
        (strip(heat([[1.0]])), strip(motion([[[2, 1]]], [[1.0]])), "drawn in A only"),
        (grid({}), grid({}), "Neither picture holds a map"),
    ],
)
def test_no_difference_has_a_reason(one: FigureSpec, other: FigureSpec, reason: str):
    assert reason in str(difference(one, other))


# ------------------------------------------------------------------------------------------------ places


def test_a_strip_becomes_a_row_for_each_frame():
    one, other = (strip(*(heat([[value + t]]) for t in range(6))) for value in (0.0, 1.0))
    apart = difference(one, other)
    assert isinstance(apart, Difference)
    joint = beside(one, other, apart=apart)
    assert [(panel.name, panel.row, panel.column) for panel in joint.panels if panel.frame == 5] == [
        ("A frame 5", 5, 0), ("B frame 5", 5, 1), ("B \u2212 A frame 5", 5, 2),
    ]  # fmt: skip
    assert [panel.title for panel in joint.panels if panel.row == 0] == ["A", "B", "B \u2212 A"]
    assert [panel.row_title for panel in joint.panels if panel.column == 0] == [f"t = {t}" for t in range(6)]
    assert {panel.pair for panel in joint.panels} == {"frames"}


def test_shared_pictures_stand_once_and_views_of_one_figure_have_places_of_their_own():
    one = grid({"res3": heat([[0.0]]), "res4": heat([[0.0]])})
    other = grid({"res2": heat([[1.0]]), "res3": heat([[1.0]])})
    joint = beside(one, other)
    at = {panel.name: (panel.row, panel.column) for panel in joint.panels}
    assert len(set(at.values())) == len(at), "no two at one place"
    assert {name for name in at if name.startswith("frame")} == {"frame 0", "frame 1"}
    headed = replace(one, panels=tuple(replace(panel, row_title="t" * (panel.column == 0)) for panel in one.panels))
    changed = replace(headed, panels=(replace(headed.panels[0], layers=(*headed.panels[0].layers, heat([[1.0]]))), *headed.panels[1:]))
    assert {panel.column for panel in beside(headed, changed).panels if panel.row_title} == {0}, "a heading stands left of its row alone"
    assert at["A res3 0"][1] + 1 == at["B res3 0"][1]
    assert {panel.pair for panel in joint.panels if "frame" in panel.name} == {""}


def test_many_columns_stand_below_each_other():
    views = {f"v{number}": heat([[0.0]]) for number in range(6)}
    joint = beside(grid(views), grid({name: heat([[1.0]]) for name in views}))
    at = {panel.name: (panel.row, panel.column) for panel in joint.panels}
    assert at["A v3 1"][1] == at["B v3 1"][1] == 4
    assert at["A v3 1"][0] + 1 == at["B v3 1"][0]


def test_links_keys_notes_and_tables_know_their_side():
    def linked(note: str) -> FigureSpec:
        link = LinkLayer(
            np.array([0]), np.zeros((1, 2)), np.array([1]), np.ones((1, 2)), "active", np.ones(1, np.float32), np.zeros(1, np.int64)
        )
        spec = strip(heat([[0.0]]), heat([[1.0]]), key=ColorBarKey("change", (0.0, 1.0), "inferno", note))
        return replace(spec, links=(link,), notes=("both", note), arrays={"x": np.ones(1)})

    one, other = linked("one"), linked("other")
    other = replace(other, keys=(*other.keys, LegendKey((("active", "wins"),))))
    joint = beside(one, other)
    ends = [[(joint.panels[link.start_panel[0]].name, joint.panels[link.end_panel[0]].name)] for link in joint.links]
    assert ends == [[("A frame 0", "A frame 1")], [("B frame 0", "B frame 1")]]
    assert joint.keys == (
        ColorBarKey("change", (0.0, 1.0), "inferno", "one scale for A and B; A: one; B: other"), LegendKey((("active", "wins"),)),
    )  # fmt: skip
    assert joint.notes == ("both", "A: one", "B: other")
    assert set(joint.arrays) == {"A_x", "B_x"}


# ------------------------------------------------------------------------------------------------ results


@pytest.fixture(scope="module")
def network() -> Network:
    return vizkit.load_network(
        "cpnet-18", num_classes=5, width=8, stem="5x5/2", dropout=0.0, blocks=["res3.1", "res4.0"], neighbors=4, last_gain=1.0, shrink=1
    )


@pytest.fixture(scope="module")
def frames(network: Network) -> Any:
    clip = vizkit.world.clip(3, side_px=48, frames=4).clip
    return vizkit.sample(clip, network.sampling.model_copy(update={"segments": 4, "short_side_px": 48, "crop_px": 48, "resize_hw": None}))


def test_results_are_drawn_on_one_scale_that_their_recipes_keep(network: Network, frames: Any):
    one, other = vizkit.probe(network, frames), vizkit.probe(network, frames, without="res3.1")
    first, second = (vizkit.analyze("cpnet", run, block="res4.0") for run in (one, other))
    found = compare(first, second, look={"arrows": False})
    top = max(float(first.change.max()), float(second.change.max()))
    bars = [key for spec in found.sides for key in spec.keys if isinstance(key, ColorBarKey)]
    assert [bar.limits for bar in bars] == [(0.0, top)] * 2
    assert found.one_scale
    assert not found.no_difference
    assert f"0 to {top:.3g}, one scale" in found.sides[0].caption
    apart = [panel.layers[1].values for panel in found.spec.panels if panel.name.startswith("B \u2212 A")]
    assert np.allclose(apart, second.change - first.change)
    again = Recipe.parse(**found.sides[1].recipe).run(vizkit.world.clip(3, side_px=48, frames=4).clip, network=network)
    assert vizkit.render(again, "csv") == vizkit.render(found.sides[1], "csv")
    assert again.keys == found.sides[1].keys

    free = compare(first, second, look={"arrows": False}, locked=False)
    assert not free.one_scale
    assert {key.label[:2] for key in free.spec.keys if isinstance(key, ColorBarKey)} == {"A:", "B:", "fe"}


def test_class_maps_lie_over_both_on_one_raw_scale_that_their_recipes_keep(network: Network, frames: Any):
    one, other = vizkit.probe(network, frames), vizkit.probe(network, frames, without="res3.1")
    first, second = (vizkit.analyze("cpnet", run, block="res4.0") for run in (one, other))
    over = tuple(vizkit.analyze("gradcam", run, target=2) for run in (one, other))
    tops = [float(result.values.max()) for result in over]
    assert min(tops) > 0
    assert tops[0] != tops[1]
    plain, found = compare(first, second), compare(first, second, over=over)
    bars = [[key for key in spec.keys if isinstance(key, ColorBarKey) and key.label.startswith("Grad-CAM")] for spec in found.sides]
    assert [[bar.limits for bar in side] for side in bars] == [[(0.0, max(tops))]] * 2
    (joint,) = (key for key in found.spec.keys if isinstance(key, ColorBarKey) and key.label.startswith("Grad-CAM"))
    assert joint.note == "one scale for A and B; raw values"
    for name, result in zip("AB", over, strict=True):
        laid = [layer.values for panel in found.spec.panels if panel.side == name for layer in panel.layers if layer.name == joint.label]
        assert max(float(values.max()) for values in laid) == pytest.approx(float(result.values.max()))
    apart = [[panel.layers[1].values for panel in made.spec.panels if panel.side.startswith("B ")] for made in (plain, found)]
    assert np.array_equal(*apart), "what is subtracted stays the picture's own"
    again = Recipe.parse(**found.sides[1].recipe).run(vizkit.world.clip(3, side_px=48, frames=4).clip, network=network)
    exported = dress(found.sides[1], {})
    assert (again.keys, again.caption) == (exported.keys, exported.caption)
    free = compare(first, second, locked=False, over=over)
    assert not free.one_scale
    own = {key.label: key.limits for key in free.spec.keys if isinstance(key, ColorBarKey)}
    assert [own[f"{name}: {joint.label}"] for name in "AB"] == [(0.0, top) for top in tops]


def test_two_views_are_no_comparison_and_other_weights_have_no_unit_in_common(network: Network, frames: Any):
    run = vizkit.probe(network, frames)
    with pytest.raises(SettingError, match="two views"):
        compare(vizkit.analyze("cpnet", run), vizkit.analyze("kpsem", run))
    options = {name: value for name, value in network.arguments.items() if name != "num_classes"}
    twin = vizkit.load_network("cpnet-18", num_classes=5, seed=1, **options)
    other = vizkit.analyze("cpnet", vizkit.probe(twin, frames))
    assert "two networks" in compare(vizkit.analyze("cpnet", run), other).no_difference


def test_flows_of_two_patches_are_compared_in_pixels(network: Network, frames: Any):
    run = vizkit.probe(network, frames)
    one, other = (vizkit.analyze("dcf", run, stages=["res3"], patch=patch) for patch in (3, 7))
    found = compare(one, other)
    wheels = {key.max_px for spec in found.sides for key in spec.keys if isinstance(key, WheelKey)}
    assert wheels == {max(level.reach_px for result in (one, other) for level in result.levels)}
    assert "a scale given for several pictures" in found.sides[0].caption
    assert "the reach of" in found.sides[1].caption


# ------------------------------------------------------------------------------------------------ run-time settings


def test_run_time_settings_change_the_run_and_not_the_network(network: Network, frames: Any):
    other = adjust(network, {"res3.1": {"neighbors": 1}})
    assert all(a is b for a, b in zip(network.module.parameters(), other.module.parameters(), strict=True)), "the same weights"
    before, after = vizkit.probe(network, frames), vizkit.probe(other, frames)
    assert not np.array_equal(before.prediction.logits, after.prediction.logits)
    assert torch.equal(before.taps["res3.1"].before, after.taps["res3.1"].before)
    assert network.module.get_submodule(network.block("res3.1").path).neighbors == 4
    assert vizkit.analyze("cpnet", after).proposal.shape[1] == 1, "pictures are made by the changed block"
    assert "res3.1 has neighbors 1 instead of 4" in other.notes[-1]
    assert adjust(network, {"res3.1": {"neighbors": 4}}) is network

    spec = vizkit.figure(vizkit.analyze("cpnet", after))
    again = Recipe.parse(**spec.recipe)._load_network()
    assert again.module.get_submodule(again.block("res3.1").path).neighbors == 1


def test_fixed_settings_are_refused_with_their_reason(network: Network):
    kind, own = adjustable(network, "res3.1") or pytest.fail("a CP block has settings")
    assert own == {"neighbors": 4, "metric": "semantic"}
    assert set(kind.model_fields) == set(own)
    with pytest.raises(SettingError, match="after max"):
        adjust(network, {"res3.1": {"head": "before_max"}})
    with pytest.raises(SettingError, match="neighbors"):
        adjust(network, {"res3.1": {"neighbors": 0}})
    fields = vizkit.load_network("dcf-r2plus1d-50", num_classes=5, width=8, stem="5x5/2", layout=[1, 1, 1, 1])
    assert adjustable(fields, "res2.dcf") is None
    assert set(fixed(fields, "res2.dcf")) == {"patch", "temporal_range"}
    with pytest.raises(SettingError, match="100 correlations"):
        adjust(fields, {"res2.dcf": {"patch": 3}})
    with pytest.raises(SettingError, match="no settings that can be changed"):
        adjust(fields, {"res2.dcf": {"speed": 3}})


# ------------------------------------------------------------------------------------------------ predictions


def test_changes_of_predictions_hold_the_top_labels_of_both():
    labels = ("a", "b", "c", "d")
    one, other = (Prediction(np.log(np.array(row, np.float32)), labels) for row in ((0.7, 0.1, 0.15, 0.05), (0.1, 0.8, 0.04, 0.06)))
    rows = label_changes(one, other, top=2)
    assert [row.label for row in rows] == ["b", "a", "c"]
    assert rows[0].change == pytest.approx(0.7)
    table = tabulate_changes(rows)
    assert table.columns[:4] == ("label", "A_percent", "B_percent", "change_points")
    assert table.rows[1][1:4] == pytest.approx((70, 10, -60))
    assert table.rows[1][6] == pytest.approx(np.log(0.1) - np.log(0.7), abs=1e-6)
    with pytest.raises(SettingError, match="other labels"):
        label_changes(one, replace(other, labels=("a", "b", "c", "e")))
