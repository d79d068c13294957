"""The records: what they check, what they show, and the geometry that all layers agree on."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from vizkit.contracts import (
    Citation,
    ClipWarning,
    Grid,
    Prediction,
    Provenance,
    SampledClip,
    Sampling,
    Settings,
    Stage,
    Tap,
    VideoClip,
    Window,
)
from vizkit.errors import SettingError


def video(**changes: Any) -> VideoClip:
    frames = np.arange(4 * 6 * 8 * 3, dtype=np.uint8).reshape(4, 6, 8, 3)
    values: dict[str, Any] = {
        "name": "a", "digest": "0", "size_wh": (8, 6), "times_s": np.array([0.0, 0.5, 1.0, 2.0]), "preview": frames,
        "preview_index": np.arange(4), "reader": lambda index: frames[list(index)],
    }  # fmt: skip
    return VideoClip(**{**values, **changes})


def sampled(frames: np.ndarray, **changes: Any) -> SampledClip:
    count, height, width, _ = frames.shape
    values: dict[str, Any] = {
        "name": "a", "digest": "0", "sampling": Sampling(), "frames": frames, "index": np.arange(count), "times_s": np.arange(count) / 8,
        "window": Window((1.0, 1.0), (0.0, 0.0), (width, height)),
    }  # fmt: skip
    return SampledClip(**{**values, **changes})


# ------------------------------------------------------------------------------------------------ records


def test_repr_shows_shapes_and_never_contents() -> None:
    shown = repr(video(times_s=np.array([0.0, 0.123456, 1.0, 2.0])))
    assert "times_s=float64[4]" in shown
    assert "preview=uint8[4, 6, 8, 3]" in shown
    assert "0.123456" not in shown
    assert len(shown) < 500


def test_repr_of_tensors_mappings_and_long_texts_is_short() -> None:
    tap = Tap(Stage("res2", "layer1", 3, 4.0, 1, 0.0), torch.zeros(3, 2, 4, 5), torch.zeros(3, 2, 4, 5))
    assert "before=float32[3, 2, 4, 5]" in repr(tap)
    source = Provenance("c", "0", {"pixels": np.zeros((2, 3))}, "m" * 300, "a", "0", "random")
    assert "{pixels: float64[2, 3]}" in repr(source)
    assert len(repr(source)) < 600


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("times_s", np.zeros((4, 1)), ["VideoClip.times_s", "[N]", "[4, 1]"]),
        ("times_s", np.zeros(4, np.float32), ["VideoClip.times_s", "float64", "float32"]),
        ("preview", np.zeros((4, 6, 8, 4), np.uint8), ["VideoClip.preview", "[M, h, w, 3]", "[4, 6, 8, 4]"]),
        ("preview_index", np.arange(3), ["VideoClip.preview_index", "M=4", "[3]"]),
        ("times_s", np.zeros(0), ["VideoClip.times_s", "at least one frame"]),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(field: str, value: np.ndarray, words: list[str]) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        video(**{field: value})
    assert all(word in str(told.value) for word in words), str(told.value)


@pytest.mark.parametrize("field", ["index", "times_s"])
def test_a_sampled_clip_has_a_number_and_a_time_for_every_frame(field: str) -> None:
    frames = np.zeros((3, 4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"SampledClip\.{field}.*T=3"):
        sampled(frames, **{field: np.arange(4, dtype=np.int64 if field == "index" else np.float64)})


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        video().name = "b"  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ settings


class Example(Settings):
    count: int = Field(3, ge=1, le=9)
    share: float | None = Field(None, gt=0)
    kind: Literal["plain", "fancy"] = "plain"
    points: tuple[tuple[int, float], ...] = ()


def test_settings_read_texts_as_the_fields_types() -> None:
    assert Example.parse(count="8", share="0.5", points=[["1", 2]]) == Example(count=8, share=0.5, points=((1, 2.0),))


def test_the_word_none_is_taken_where_it_is_offered() -> None:
    assert Example.parse(share="none").share is None
    assert Example.parse(share=" None").share is None
    assert Sampling.parse(crop_px="none", end_s="none", resize_hw="none") == Sampling(crop_px=None)
    for refused in ({"count": "none"}, {"kind": "none"}):
        with pytest.raises(SettingError):
            Example.parse(**refused)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cuont": 3}, ["'cuont'", "is not known"]),
        ({"count": 10}, ["'count'", "less than or equal to 9"]),
        ({"count": "many"}, ["'count'", "integer"]),
        ({"kind": "odd"}, ["'kind'", "plain"]),
        ({"points": [[1, 2], [1, "x"]]}, ["'points.1.1'"]),
    ],
)
def test_a_wrong_setting_is_named_and_the_known_ones_are_listed(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        Example.parse(**values)
    known = (
        "Known: count (integer 1..9); share (number 0.. or none); kind (plain | fancy); points (list; --point t,x,y on the command line)."
    )
    assert all(word in told.value.message for word in [*words, known]), told.value.message
    assert told.value.code == "setting"


def test_settings_survive_json() -> None:
    sampling = Sampling(scheme="dense", frames=5, interval=3, start_s=0.25, crop_px=None)
    assert Sampling.parse(**json.loads(json.dumps(sampling.model_dump(mode="json")))) == sampling


@pytest.mark.parametrize(("start_s", "end_s", "fine"), [(1.0, 1.0, False), (1.0, 0.5, False), (1.0, 1.5, True), (1.0, None, True)])
def test_a_window_ends_after_it_starts(start_s: float, end_s: float | None, fine: bool) -> None:
    if fine:
        assert Sampling.parse(start_s=start_s, end_s=end_s).end_s == end_s
    else:
        with pytest.raises(SettingError, match="must lie after start_s"):
            Sampling.parse(start_s=start_s, end_s=end_s)


def test_a_crop_is_not_larger_than_the_frame() -> None:
    with pytest.raises(SettingError, match="crop_px"):
        Sampling.parse(short_side_px=64, crop_px=65)
    assert Sampling.parse(short_side_px=64, crop_px=64).crop_px == 64


def test_the_number_of_frames_follows_the_scheme() -> None:
    assert Sampling(segments=4, frames_per_segment=3, frames=7).total_frames == 12
    assert Sampling(scheme="dense", segments=4, frames_per_segment=3, frames=7).total_frames == 7


# ------------------------------------------------------------------------------------------------ clips


def test_duration_counts_the_last_frame_as_long_as_the_median_one() -> None:
    clip = video()
    assert clip.frames == 4
    assert clip.duration_s == pytest.approx(2.5)  # steps 0.5, 0.5, 1.0: median 0.5
    assert clip.fps == pytest.approx(1.6)


def test_one_frame_has_no_duration() -> None:
    one = video(times_s=np.zeros(1))
    assert (one.duration_s, one.fps) == (0.0, 0.0)


def test_reading_outside_the_clip_is_refused() -> None:
    clip = video()
    assert clip.read([3, 0, 3]).shape == (3, 6, 8, 3)
    assert np.array_equal(clip.read([2])[0], clip.preview[2])
    for number in (4, -1):
        with pytest.raises(IndexError, match=rf"Frame {number} .*0\.\.3"):
            clip.read([0, number])


def test_a_warning_makes_the_verdict_warn() -> None:
    assert video().verdict == "ok"
    assert video(warnings=(ClipWarning("vfr", "odd"),)).verdict == "warn"


def test_the_tensor_keeps_colours_rows_and_columns_apart() -> None:
    frames = np.zeros((2, 3, 5, 3), np.uint8)
    frames[1, 2, 4] = 255, 51, 0
    tensor = sampled(frames).tensor
    assert tensor.shape == (1, 3, 2, 3, 5)
    assert tensor.dtype == torch.float32
    assert tensor[0, :, 1, 2, 4].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert float(tensor.sum()) == pytest.approx(1.2)


def test_window_maps_model_pixels_to_source_pixels_and_back() -> None:
    window = Window((2.0, 3.0), (10.0, -1.0), (8, 6))
    assert window.to_source(np.array([[0, 0], [4, 5]])).tolist() == [[10.0, -1.0], [18.0, 14.0]]
    assert window.to_model(np.array([18.0, 14.0])).tolist() == [4.0, 5.0]


# ------------------------------------------------------------------------------------------------ grids


GRID = Grid("res3", 2.0, 8.0, 1, (4, 6, 10))


def test_cells_lie_at_origin_plus_index_times_stride_in_x_and_y() -> None:
    assert GRID.centre_px(np.array([3, 1])).tolist() == [26.0, 10.0]
    cells = np.stack(np.meshgrid(np.arange(10), np.arange(6)), -1)
    assert np.array_equal(GRID.cell_at(GRID.centre_px(cells)), cells)


@pytest.mark.parametrize(
    ("xy", "cell"), [((0, 0), (0, 0)), ((5.9, 6.1), (0, 1)), ((1000, 0), (9, 0)), ((0, 1000), (0, 5)), ((-50, -50), (0, 0))]
)
def test_the_nearest_cell_is_found_and_clipped_to_the_grid(xy: tuple[float, float], cell: tuple[int, int]) -> None:
    assert tuple(GRID.cell_at(np.array(xy))) == cell


def test_a_stage_lends_its_geometry_to_a_map() -> None:
    stage = Stage("res3", "layer2", 128, 8.0, 2, 0.5)
    assert stage.grid(torch.Size([4, 6, 10])) == Grid("res3", 0.5, 8.0, 2, (4, 6, 10))


# ------------------------------------------------------------------------------------------------ predictions


def test_a_prediction_has_a_name_for_every_logit() -> None:
    with pytest.raises(ValueError, match=r"Prediction\.logits"):
        Prediction(np.zeros(3, np.float32), ("a", "b"))


def test_top_is_sorted_and_ties_keep_the_order_of_the_labels() -> None:
    prediction = Prediction(np.array([1.0, 3.0, 1.0, 2.0], np.float32), ("a", "b", "c", "d"))
    top = prediction.top(4)
    assert [row.label for row in top] == ["b", "d", "a", "c"]
    assert [row.index for row in top] == [1, 3, 0, 2]
    expected = np.exp([3.0, 2.0, 1.0, 1.0]) / np.exp([1.0, 3.0, 1.0, 2.0]).sum()
    assert [row.probability for row in top] == pytest.approx(expected)
    assert [row.logit for row in top] == [3.0, 2.0, 1.0, 1.0]
    assert len(prediction.top(2)) == 2


def test_probabilities_of_huge_logits_are_finite() -> None:
    assert Prediction(np.array([1e4, 1e4 - 1], np.float32), ("a", "b")).probabilities == pytest.approx([0.73106, 0.26894], abs=1e-5)


# ------------------------------------------------------------------------------------------------ provenance


def test_provenance_is_one_line_of_sorted_json() -> None:
    source = Provenance(
        "c", "0", {"b": 1, "a": (1, 2)}, "m", "arch", "1", "random", without=("res3.0",), params={"points": ((0, 1.5, 2.0),)}
    )
    text = source.json()
    assert "\n" not in text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert json.loads(text)["params"] == {"points": [[0, 1.5, 2.0]]}
    assert text == replace(source, sampling={"a": (1, 2), "b": 1}).json()
    assert text != replace(source, without=()).json()


def test_a_citation_is_a_bibtex_entry() -> None:
    entry = Citation("A Title", "Doe, Jane", "CVPR", 2019).bibtex("doe")
    assert entry.startswith("@inproceedings{doe,\n")
    assert entry.count("{") == entry.count("}") == 5
    assert "year = {2019}" in entry
