"""Sequences of different lengths with one start: right frames, one scale, honest words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import vizkit
from vizkit.contracts import Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.figure.spec import ColorBarKey, ImageLayer
from vizkit.motion.pwtp.analysis import DynamicAppearance, Params, analyze
from vizkit.motion.pwtp.display import displayed
from vizkit.motion.pwtp.figure import draw
from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.lengths import sequences, usual_lengths
from vizkit.motion.pwtp.module import project
from vizkit.net.probe import ProbedRun, probe

QUICK: dict[str, Any] = {"tvl1": False, "tvnet": False}


@pytest.fixture(scope="module")
def run() -> ProbedRun:
    """Nine frames of 32 x 32."""
    network = vizkit.load_network("c2d-18", num_classes=5, width=4, stem="5x5/2")
    sampling = Sampling(scheme="dense", frames=9, short_side_px=32, crop_px=32)
    return probe(network, vizkit.world.clip(2, frames=9, side_px=32).clip, sampling=sampling)


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> DynamicAppearance:
    return analyze(run, Params.parse(lengths="4,8", **QUICK))


@pytest.mark.parametrize("steps", [0, 3])
def test_each_length_has_a_projection_of_its_own_from_the_first_frame_on(run: ProbedRun, steps: int) -> None:
    clip = run.network.normalized(run.clip.tensor)[0]
    for one in sequences(clip, (4, 9), rank=2, steps=steps, seed=5):
        segment = clip[None, :, : one.frames]
        own = fit_to_clip(segment, rank=2, steps=steps, seed=5)
        with torch.no_grad():
            residual = project(segment, own.subspace(segment))[1]
        assert np.allclose(one.dynamic, residual.mean(2)[0].movedim(0, -1).numpy(), atol=1e-6)
        assert np.allclose(one.dynamic_image, vizkit.baseline.dynamic_image(segment)[0].movedim(0, -1).numpy(), atol=1e-5)
        assert one.enopr == pytest.approx(float(residual.square().mean().sqrt()), rel=1e-5)
        spread = segment - segment.mean(2, keepdim=True)
        assert one.enopr_of_mean == pytest.approx(float(spread.square().mean().sqrt()), rel=1e-5)
    assert one.frames == 9


def test_usual_lengths_double_up_to_the_clip() -> None:
    assert usual_lengths(3) == ()
    assert usual_lengths(8) == (4, 8)
    assert usual_lengths(40) == (4, 8, 16, 32)
    assert usual_lengths(1000) == (4, 8, 16, 32, 64)


def test_the_record_holds_them_only_when_asked_for(run: ProbedRun, result: DynamicAppearance) -> None:
    assert {"dynamic_4", "dynamic_8", "dynamic_image_8"} <= set(result.arrays())
    plain = analyze(run, Params(**QUICK))
    assert plain.longer == ()
    assert "dynamic_4" not in plain.arrays()
    with pytest.raises(NotAvailableError, match="lengths=4,8,16"):
        draw(plain, layout="lengths")


def test_all_lengths_are_drawn_on_one_scale(result: DynamicAppearance) -> None:
    spec = draw(result, layout="lengths")
    panels = {panel.name: panel for panel in spec.panels}
    assert [(panels[f"dynamic {length}"].column, panels[f"dynamic {length}"].row) for length in (4, 8)] == [(0, 1), (1, 1)]
    assert panels["mean 4"].title.startswith("T = 4")
    both = np.stack([one.dynamic for one in result.longer])
    q = float(np.percentile(np.abs(both), 99.5))
    for place, length in enumerate((4, 8)):
        layer = panels[f"dynamic {length}"].layers[0]
        assert isinstance(layer, ImageLayer)
        assert np.array_equal(layer.pixels, displayed(both[place], "signed", q, (0, 0)))
        assert panels[f"dynamic {length}"].title == f"raw {both[place].min():.3g} .. {both[place].max():.3g}"
        mean = panels[f"mean {length}"].layers[0]
        assert isinstance(mean, ImageLayer)
        assert np.array_equal(mean.pixels, np.rint(result.clip.frames[:length].mean(0)))
    limits = {key.label: key.limits for key in spec.keys if isinstance(key, ColorBarKey)}
    assert limits["dynamic appearance (DA), signed"] == (-q, q)
    assert limits["|DA|"] == (0.0, q)
    assert "T = 4, 8 sampled frames" in spec.caption
    assert "untrained, from the start by cosines" in spec.caption
    given = draw(result, layout="lengths", limits={"|DA|": (0.0, 7.0)})
    assert {key.label: key.limits for key in given.keys if isinstance(key, ColorBarKey)}["|DA|"] == (0.0, 7.0)


def test_the_table_has_a_row_for_each_length(result: DynamicAppearance) -> None:
    table = draw(result, layout="lengths", rule="minmax").table
    assert table is not None
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["frames"] for row in rows] == [4, 8]
    assert rows[1]["dynamic_max"] == pytest.approx(result.longer[1].dynamic.max())
    assert rows[1]["duration_s"] == pytest.approx(result.clip.times_s[7] - result.clip.times_s[0])


def test_frames_that_are_not_neighbours_are_said(run: ProbedRun) -> None:
    jumping = replace(run, clip=replace(run.clip, index=np.array([0, 1, 2, 3, 10, 11, 12, 13, 14])))
    said = "do not follow each other evenly"
    assert any(said in note for note in analyze(jumping, Params(lengths=(4, 8), **QUICK)).notes)
    assert not any(said in note for note in analyze(jumping, Params(lengths=(4,), **QUICK)).notes)
    assert not any(said in note for note in analyze(jumping, Params(**QUICK)).notes)


def test_more_frames_than_there_are_is_refused(run: ProbedRun) -> None:
    with pytest.raises(SettingError, match=r"lengths has 16, but the clip was sampled to 9 frames"):
        analyze(run, Params(lengths=(4, 16), **QUICK))
    with pytest.raises(SettingError, match="lengths"):
        Params.parse(lengths="2")
