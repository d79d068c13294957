"""One more map over a figure's frames, and what a reader sets on its layers: worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ui.figures import figure, filters, motion
from vizkit.contracts import Grid
from vizkit.errors import SettingError
from vizkit.figure.layers import LayerLook, dress, lay_map
from vizkit.figure.place import heat_on_pixels
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
    WheelKey,
)
from vizkit.render.write import encode

WIDE, HIGH = 24, 16
KEY = ColorBarKey("Grad-CAM", (0.0, 1.0), "viridis", "", "map")
MAPS = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6) / 72
GRID = Grid("res3", 1.5, 4.0, 1, (3, 4, 6))


def panel(frame: int | None, *layers: object, size: tuple[int, int] = (WIDE, HIGH)) -> Panel:
    return Panel(f"frame {frame}", "", size, 0, frame or 0, layers, frame)  # type: ignore[arg-type]


def image(side: tuple[int, int] = (HIGH, WIDE), name: str = "frame") -> ImageLayer:
    return ImageLayer(np.full((*side, 3), 100, np.uint8), name)


def spec_of(*panels: Panel, **fields: object) -> FigureSpec:
    return FigureSpec("A figure", "A caption.", "An alt.", panels, **fields)  # type: ignore[arg-type]


def heats(spec: FigureSpec, place: int = 0) -> list[HeatLayer]:
    return [layer for layer in spec.panels[place].layers if isinstance(layer, HeatLayer)]


# ------------------------------------------------------------------------------------------------ one more map


def test_a_map_lies_over_each_frame_by_its_number_and_below_the_marks() -> None:
    spec = spec_of(panel(2, image()), panel(0, *figure().panels[0].layers))
    laid = lay_map(spec, MAPS, GRID, (WIDE, HIGH), KEY)
    assert np.array_equal(heats(laid)[0].values, MAPS[2])
    first = laid.panels[1].layers
    assert [type(layer) for layer in first] == [ImageLayer, HeatLayer, HeatLayer, PointLayer, ArrowLayer]
    assert (first[2].name, first[2].limits, first[2].colors) == ("map", (0.0, 1.0), "viridis")  # type: ignore[union-attr]
    assert np.array_equal(first[2].values, MAPS[0])  # type: ignore[union-attr]
    assert laid.keys[-1] == KEY


def test_only_panels_that_show_a_frame_get_it() -> None:
    others = [
        panel(None, image()),
        panel(0, image(name="picture")),
        panel(3, image()),
        panel(0, image(), motion("res3", 32)),
        filters(1, 1).panels[0],
    ]
    spec = spec_of(*others)
    assert lay_map(spec, MAPS, GRID, (WIDE, HIGH), KEY) is spec, "no frame, another picture, beyond the clip, under motion, a filter"
    laid = lay_map(spec_of(*others, panel(1, image())), MAPS, GRID, (WIDE, HIGH), KEY)
    assert [sum(layer.name == "map" for layer in one.layers) for one in laid.panels] == [0] * 5 + [1]


def test_a_map_is_resized_with_its_panel() -> None:
    """Twice as large a panel: cell centres at 1.5 and 5.5 px of the frame lie at 3.5 and 11.5 px of the panel."""
    small, large = (spec_of(panel(1, image((HIGH * by, WIDE * by)), size=(WIDE * by, HIGH * by))) for by in (1, 2))
    ours = heats(lay_map(large, MAPS, GRID, (WIDE, HIGH), KEY))[0]
    assert (ours.origin_px, ours.stride_px) == (3.5, 8.0)
    theirs = heats(lay_map(small, MAPS, GRID, (WIDE, HIGH), KEY))[0]
    assert np.allclose(heat_on_pixels(ours, (2 * WIDE, 2 * HIGH), (WIDE, HIGH)), heat_on_pixels(theirs, (WIDE, HIGH)), atol=1e-6)


def test_two_maps_never_mix_their_colours_unless_asked_for() -> None:
    laid = lay_map(figure(), MAPS, GRID, (WIDE, HIGH), KEY)
    assert [(heat.name, heat.shown) for heat in heats(laid)] == [("change", False), ("map", True)]
    exported = dress(laid, {})
    assert [heat.name for heat in heats(exported)] == ["map"]
    assert [key.label for key in exported.keys if isinstance(key, ColorBarKey)] == ["Grad-CAM"]
    assert exported.caption.endswith("Layers: change hidden.")
    assert encode(laid, "png") == encode(exported, "png"), "left out of every file"
    both = dress(laid, {"change": LayerLook(visible=True, opacity=0.2)})
    assert [(heat.name, heat.shown, heat.opacity) for heat in heats(both)] == [("change", True, 0.2), ("map", True, 0.5)]


# ------------------------------------------------------------------------------------------------ what a reader sets


def test_nothing_set_changes_nothing() -> None:
    spec = figure()
    assert dress(spec, {}) is spec
    assert dress(spec, {"change": LayerLook(), "not there": LayerLook(visible=False)}) is spec


def test_hidden_layers_go_with_their_keys() -> None:
    spec = figure()
    gone = dress(spec, {name: LayerLook(visible=False) for name in ("change", "frame", "active")})
    assert [layer.name for layer in gone.panels[0].layers] == ["queries", "truth"]
    assert gone.panels[1].layers == ()
    assert [link.name for link in gone.links] == ["filtered"]
    assert [type(key) for key in gone.keys] == [WheelKey], "the bar of the hidden map and the legend of the hidden arrows go"
    half = dress(replace(spec, keys=(LegendKey((("active", "won"), ("filtered", "lost"))),)), {"active": LayerLook(visible=False)})
    assert half.keys == (LegendKey((("filtered", "lost"),)),)


def test_opacity_limits_and_colours_are_those_of_the_list() -> None:
    looks = {
        "change": LayerLook(opacity=0.25, limits=(1.0, 3.0), colors="cividis"),
        "frame": LayerLook(opacity=0.5),
        "truth": LayerLook(opacity=0.5),
        "active": LayerLook(opacity=0.1),
    }
    spec = figure()
    dressed = dress(spec, looks)
    heat = heats(dressed)[0]
    assert (heat.opacity, heat.limits, heat.colors) == (0.25, (1.0, 3.0), "cividis")
    bar = dressed.keys[0]
    assert isinstance(bar, ColorBarKey)
    assert (bar.limits, bar.colors) == ((1.0, 3.0), "cividis")
    frame, arrow = dressed.panels[0].layers[0], dressed.panels[0].layers[3]
    assert isinstance(frame, ImageLayer)
    assert frame.pixels[0, 0].tolist() == [172] * 3, "90 half way to white, 172.5, rounded to even"
    assert isinstance(arrow, ArrowLayer)
    assert arrow.weight.tolist() == [0.25]
    assert np.allclose(dressed.links[1].weight, 0.075)
    assert np.allclose(dressed.links[0].weight, 0.75)
    assert "change 25% opaque, colours from 1 to 3, cividis" in dressed.caption


def test_motion_gets_another_length_of_full_colour_on_its_panels_and_its_wheel() -> None:
    spec = spec_of(panel(0, image(), motion("res3", 32)), keys=(WheelKey("res3", 16.0, "motion"), WheelKey("other", 4.0)))
    dressed = dress(spec, {"motion": LayerLook(reach=0.5)})
    layer = dressed.panels[0].layers[1]
    assert isinstance(layer, MotionLayer)
    assert layer.max_magnitude == 8.0
    assert [key.max_px for key in dressed.keys if isinstance(key, WheelKey)] == [8.0, 4.0]


def test_the_recipe_says_what_was_set_and_only_where_there_is_one() -> None:
    looks = {"change": LayerLook(limits=(1.0, 3.0)), "not there": LayerLook(opacity=0.5)}
    assert dress(figure(), looks).recipe == {}
    assert dress(replace(figure(), recipe={"view": "x"}), looks).recipe == {"view": "x", "layers": {"change": {"limits": [1.0, 3.0]}}}


@pytest.mark.parametrize(
    "fields",
    [{"opacity": 1.2}, {"limits": [2, 1]}, {"limits": [0, float("inf")]}, {"limits": "x"}, {"colors": "jet"}, {"reach": 0}, {"size": 3}],
)
def test_what_is_no_look_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        LayerLook.parse(**fields)
