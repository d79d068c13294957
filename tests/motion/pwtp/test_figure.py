"""The picture says what the record says, under the rule that it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.motion.pwtp.conftest import SIDE_PX
from vizkit.errors import SettingError
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, MotionLayer, Panel, WheelKey
from vizkit.motion.pwtp.analysis import DynamicAppearance, Params, analyze
from vizkit.motion.pwtp.figure import displayed, draw, full_range
from vizkit.net.probe import ProbedRun

VIEWS = ["mean", "static", "cosine", "dynamic", "size", "image", "exact image", "difference", "flow_px", "flow_tvnet_px"]


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> DynamicAppearance:
    return analyze(run, Params(frames=4, fit_steps=10))


def named(spec: FigureSpec, name: str) -> Panel:
    return next(panel for panel in spec.panels if panel.name == name)


def pixels(spec: FigureSpec, name: str) -> np.ndarray:
    (layer,) = named(spec, name).layers
    assert isinstance(layer, ImageLayer)
    return layer.pixels


def bars(spec: FigureSpec) -> dict[str, ColorBarKey]:
    return {key.label: key for key in spec.keys if isinstance(key, ColorBarKey)}


# ------------------------------------------------------------------------------------------------ display rules


def test_rules_in_numbers() -> None:
    values, extent = np.array([-2.0, -1.0, 0.0, 0.5, 3.0]), (-2.0, 3.0)
    assert displayed(values, "signed", 2.0, extent).tolist() == [0, 64, 128, 159, 255]
    assert displayed(values, "abs", 2.0, extent).tolist() == [255, 128, 0, 64, 255]
    assert displayed(values, "minmax", 2.0, extent).tolist() == [0, 51, 102, 128, 255]
    assert full_range(np.arange(-1000, 1001.0))[0] == pytest.approx(995, abs=1)
    assert full_range(np.arange(-7, 5.0))[1] == (-7, 4)


@pytest.mark.parametrize("rule", ["signed", "abs", "minmax"])
def test_what_has_no_residual_is_flat_grey(rule: Any) -> None:
    assert displayed(np.full((2, 2, 3), 1e-9), rule, 1e-9, (0.0, 1e-9)).tolist() == [[[128] * 3] * 2] * 2


# ------------------------------------------------------------------------------------------------ the comparison


def test_each_segment_has_its_frames_and_below_them_its_pictures(result: DynamicAppearance) -> None:
    spec = draw(result)
    places = [(panel.row, panel.column, panel.view, panel.frame) for panel in spec.panels]
    assert places == [
        place
        for segment, first in enumerate((0, 4))
        for place in (
            [(2 * segment, column, "frames", first + column) for column in range(4)]
            + [(2 * segment + 1, column, view, first) for column, view in enumerate(VIEWS)]
        )
    ]
    assert all(panel.size_wh == (SIDE_PX, SIDE_PX) for panel in spec.panels)
    for number in range(8):
        assert np.array_equal(pixels(spec, f"frame {number}"), result.clip.frames[number])
    titles = [panel.title for panel in spec.panels if panel.row == 1]
    assert titles == ["mean frame", "static part", "cosine", "DA", "|DA|", "DI", "exact DI", "RGB diff.", "TV-L1", "TVNet"]


def test_pictures_follow_their_rules_with_one_range_for_the_clip(result: DynamicAppearance) -> None:
    spec = draw(result)
    for view, values, name in (
        ("dynamic", result.dynamic, "dynamic appearance (DA)"),
        ("image", result.dynamic_image, "dynamic image (DI)"),
        ("exact image", result.dynamic_image_exact, "exact dynamic image"),
    ):
        limit = float(np.percentile(np.abs(values), 99.5))
        for segment in range(2):
            wanted = np.rint(255 * np.clip(0.5 + 0.5 * values[segment] / limit, 0, 1))
            assert np.array_equal(pixels(spec, f"{view} {segment}"), wanted)
        key = bars(spec)[f"{name}, signed"]
        assert key.limits == pytest.approx((-limit, limit))
        assert key.note == f"each channel; raw {values.min():.3g} .. {values.max():.3g}"
    difference = np.abs(result.rgb_difference).mean(1)
    limit = float(np.percentile(difference, 99.5))
    assert np.array_equal(pixels(spec, "difference 1"), np.rint(255 * np.clip(difference[1] / limit, 0, 1)))
    assert bars(spec)["mean |RGB difference|"].limits == pytest.approx((0, limit))
    assert np.array_equal(
        pixels(spec, "size 0"), displayed(result.dynamic[0], "abs", float(np.percentile(np.abs(result.dynamic), 99.5)), (0, 0))
    )


def test_zero_is_grey_in_signed_pictures(result: DynamicAppearance) -> None:
    still = ~result.rgb_difference.any((1, 4))[0]
    assert (np.abs(pixels(draw(result), "image 0")[still].astype(int) - 128) <= 1).all()


def test_another_rule_and_a_range_for_each_segment(result: DynamicAppearance) -> None:
    spec = draw(result, rule="minmax", scale="segment")
    for segment in range(2):
        values = result.dynamic[segment]
        wanted = np.rint(255 * (values - values.min()) / (values.max() - values.min()))
        assert np.array_equal(pixels(spec, f"dynamic {segment}"), wanted)
        assert named(spec, f"dynamic {segment}").title == f"DA {values.min():.3g} .. {values.max():.3g}"
    assert set(bars(spec)) == {"cosine to a constant"}, "ranges stand above their pictures"
    assert "a range for each segment" in spec.caption
    assert "minmax" in " ".join(bars(draw(result, rule="minmax")))


def test_mean_and_static_are_in_the_frames_colours(result: DynamicAppearance) -> None:
    spec, frames = draw(result), result.clip.frames[4:8].astype(float)
    assert np.array_equal(pixels(spec, "mean 1"), np.rint(frames.mean(0)))
    std = np.array(result.std)
    assert np.allclose(pixels(spec, "static 1"), np.clip(frames.mean(0) - 255 * std * result.dynamic[1], 0, 255), atol=1)


def test_flows_share_one_wheel_and_show_the_middle_pair(result: DynamicAppearance) -> None:
    spec = draw(result)
    assert result.flow_px is not None
    assert result.flow_tvnet_px is not None
    longest = max(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99) for flow in (result.flow_px, result.flow_tvnet_px))
    wheels = [key for key in spec.keys if isinstance(key, WheelKey)]
    assert [wheel.label for wheel in wheels] == ["TV-L1", "TVNet"]
    assert [wheel.max_px for wheel in wheels] == pytest.approx([max(longest, 0.5)] * 2)
    (layer,) = named(spec, "flow_px 1").layers
    assert isinstance(layer, MotionLayer)
    assert np.array_equal(layer.vectors, result.flow_px[1, 1])
    bare = draw(replace(result, flow_px=None, flow_tvnet_px=None))
    assert not any(isinstance(key, WheelKey) for key in bare.keys)
    assert not any(panel.view.startswith("flow") for panel in bare.panels)


def test_the_cosine_has_explicit_limits_that_hold_it(result: DynamicAppearance) -> None:
    spec = draw(result)
    (layer,) = named(spec, "cosine 0").layers
    assert isinstance(layer, HeatLayer)
    assert np.array_equal(layer.values, result.cosine[0])
    assert layer.limits == bars(spec)["cosine to a constant"].limits
    assert layer.limits[0] <= result.cosine.min()
    assert layer.limits[1] == 1


def test_without_a_residual_flat_grey_is_said(result: DynamicAppearance) -> None:
    nothing = {name: np.zeros_like(getattr(result, name)) for name in ("dynamic", "dynamic_image", "dynamic_image_exact", "rgb_difference")}
    spec = draw(replace(result, **nothing))
    assert (pixels(spec, "dynamic 0") == 128).all()
    assert any(note.startswith("Nothing to show in dynamic appearance (DA), |DA|, dynamic image (DI)") for note in spec.notes)
    assert not any("noise" in note for note in spec.notes), "what is flat shows nothing"
    assert set(bars(spec)) == {"cosine to a constant"}


def test_a_clip_in_which_next_to_nothing_changes_is_said_to_show_noise(result: DynamicAppearance) -> None:
    assert not any("noise" in note for note in draw(result).notes)
    faint = draw(replace(result, dynamic=result.dynamic * np.float32(1e-3)))
    assert any("below one step of 8-bit colours" in note for note in faint.notes)
    still = {name: np.zeros_like(getattr(result, name)) for name in ("dynamic_image", "dynamic_image_exact", "rgb_difference")}
    notes = draw(replace(result, dynamic=result.dynamic * np.float32(1e-3), **still)).notes
    assert any("below one step of 8-bit colours" in note for note in notes), "a still clip whose other pictures are flat"
    assert any(note.startswith("Nothing to show in dynamic image (DI)") for note in notes)


# ------------------------------------------------------------------------------------------------ one segment


def test_one_segment_frame_by_frame(result: DynamicAppearance) -> None:
    spec = draw(result, layout="segment", segment=1)
    rows = {panel.row: panel.frame for panel in spec.panels}
    assert rows == {0: 4, 1: 5, 2: 6, 3: 7}
    views = ["frames", "static", "residual", "weight", "flow_px", "flow_tvnet_px"]
    assert [panel.view for panel in spec.panels] == [*views * 3, *views[:4]], "the last frame has no next one"
    limit = float(np.percentile(np.abs(result.residual[1]), 99.5))
    assert np.array_equal(pixels(spec, "residual 6"), displayed(result.residual[1, 2], "signed", limit, (0, 0)))
    (weight,) = named(spec, "weight 5").layers
    assert isinstance(weight, HeatLayer)
    assert np.array_equal(weight.values, result.weight[1, 1])
    assert weight.limits[0] == -weight.limits[1]
    assert weight.limits[1] == pytest.approx(np.abs(result.weight[1]).max())
    std = np.array(result.std)
    wanted = np.clip(result.clip.frames[6] - 255 * std * result.residual[1, 2], 0, 255)
    assert np.allclose(pixels(spec, "static 6"), wanted, atol=1)
    assert "Segment 1, frame by frame" in spec.title


def test_a_segment_that_is_not_there_is_refused(result: DynamicAppearance) -> None:
    with pytest.raises(SettingError, match="segment is 2, but 0 to 1 are accepted for this clip"):
        draw(result, layout="segment", segment=2)


# ------------------------------------------------------------------------------------------------ words


def test_captions_say_where_the_projection_comes_from(result: DynamicAppearance, own: ProbedRun, run: ProbedRun) -> None:
    assert "trained on this clip for 10 steps" in draw(result).caption
    quick = {"tvl1": False, "tvnet": False}
    mine, start = draw(analyze(own, Params(**quick))), draw(analyze(run, Params(**quick)))  # type: ignore[arg-type]
    assert "the projection of pwtp-x3d-xs (random weights)" in mine.caption
    assert any("random weights" in note for note in mine.notes)
    assert "an untrained projection" in start.caption
    assert "Source frames 0, 1, 2, 3, 4, 5, 6, 7 of made." in start.caption


def test_the_table_has_a_row_for_each_segment_with_the_raw_ranges(result: DynamicAppearance) -> None:
    table = draw(result).table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["segment"], row["first_frame"], row["frames"]) for row in rows] == [(0, 0, 4), (1, 4, 4)]
    assert rows[1]["enopr_rms"] == pytest.approx(float(result.enopr[1]))
    assert rows[1]["dynamic_min"] == pytest.approx(float(result.dynamic[1].min()))
    assert rows[0]["dynamic_image_max"] == pytest.approx(float(result.dynamic_image[0].max()))
    assert result.flow_px is not None
    assert rows[0]["flow_mean_px"] == pytest.approx(float(np.hypot(result.flow_px[0, ..., 0], result.flow_px[0, ..., 1]).mean()), rel=1e-5)
