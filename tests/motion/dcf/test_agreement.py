"""Optical flow beside the correlations: cells, steps, cosines in worked numbers, and a thing that is known to move right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import vizkit
from vizkit.contracts import Grid, Sampling
from vizkit.figure.spec import MotionLayer, WheelKey
from vizkit.motion.dcf import analysis
from vizkit.motion.dcf.agreement import Agreement, agree, flow_at_cells, said
from vizkit.motion.dcf.analysis import Params, analyze
from vizkit.motion.dcf.figure import draw
from vizkit.motion.dcf.levels import CorrelationLevel
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import clip

Moving = Callable[..., ProbedRun]


def test_flow_at_cells_is_the_mean_over_each_cell_and_over_the_frames_of_a_step() -> None:
    """Cells of 4 px around pixels 0, 4, 8: columns 0..1, 2..5, 6..9; steps of two frames."""
    flow = np.zeros((4, 6, 10, 2), np.float32)
    flow[..., 0] = np.arange(10)
    flow[..., 1] = np.arange(6)[:, None]
    flow[2:] *= 10
    flow[3] = 0
    cells = flow_at_cells(flow, Grid("res2", 0.0, 4.0, 2, (3, 2, 3)))
    assert cells.shape == (2, 2, 3, 2)
    assert np.allclose(cells[0, :, :, 0], [[0.5, 3.5, 7.5]] * 2)
    assert np.allclose(cells[0, :, :, 1], [[0.5] * 3, [3.5] * 3])
    assert np.allclose(cells[1], cells[0] * 5), "the mean of a frame of ten times the flow and one without any"


def test_cells_around_half_pixels_have_pixels_of_their_own() -> None:
    flow = np.zeros((1, 4, 4, 2), np.float32)
    flow[0, :, :, 0] = [0, 1, 2, 3]
    cells = flow_at_cells(flow, Grid("res2", 0.5, 2.0, 1, (2, 2, 2)))
    assert np.allclose(cells[0, :, :, 0], [[0.5, 2.5]] * 2)


def level(motion_px: np.ndarray, confidence: np.ndarray) -> CorrelationLevel:
    """A stage of one row of cells of 1 px with this motion to the next step, and the opposite to the one before."""
    steps, cells = confidence.shape
    both = np.stack([-motion_px, motion_px])[:, :, None].astype(np.float32)
    return CorrelationLevel(
        volume=np.zeros((2, steps, 3, 3, 1, cells), np.float32), frame_offset=np.array([-1, 1]), dilation_cells=np.array([1, 1]),
        displacement_px=both, confidence=np.stack([confidence] * 2)[:, :, None].astype(np.float32),
        complete=np.ones((2, 1, cells), bool), valid_time=np.ones((2, steps), bool), grid=Grid("res2", 0.0, 1.0, 1, (steps, 1, cells)),
        step_px=1.0, source="cosine", block="",
    )  # fmt: skip


def test_cosines_are_of_the_cells_with_a_clear_match_and_long_vectors() -> None:
    """Cells: same way, at a right angle, opposite, too short here, too short there, no clear match."""
    own = np.array([[(2, 0), (0, 3), (-1, 0), (0.9, 0), (2, 0), (-2, 0)], [(2, 0)] * 6], np.float64)
    flow = np.array([(5, 0), (1, 0), (1, 0), (2, 0), (0.9, 0), (2, 0)], np.float32)[None, None]
    sure = np.array([[1, 0.5, 1, 1, 1, 0.49], [1] * 6])
    found = agree(level(own, sure), flow)
    assert found.cells.tolist() == [3, 0], "the last step has no next one"
    assert found.cosine[0] == pytest.approx((1 + 0 - 1) / 3)
    assert np.isnan(found.cosine[1])
    diagonal = agree(level(np.array([[(1, 1)], [(1, 1)]]), np.ones((2, 1))), np.array([(2, 0)], np.float32)[None, None])
    assert diagonal.mean == pytest.approx(np.sqrt(0.5))


def test_the_mean_is_over_cells_and_not_over_steps() -> None:
    found = Agreement("res2", np.array([1.0, 0.0, np.nan]), np.array([3, 1, 0]))
    assert found.mean == 0.75
    assert found.words() == "0.75 at res2 (4 cells)"
    none = Agreement("res3", np.array([np.nan]), np.array([0]))
    assert np.isnan(none.mean)
    assert "0.75 at res2 (4 cells), no such cell at res3; over the cells with a clear match" in said([found, none])


@pytest.fixture(scope="module")
def sliding() -> ProbedRun:
    """Texture that slides right by 3 px a frame, and the features of a random network."""
    canvas = F.interpolate(torch.rand(1, 3, 20, 40, generator=torch.Generator().manual_seed(0)), scale_factor=4, mode="bilinear")
    frames = [canvas[0, :, 8:72, 60 - 3 * t : 124 - 3 * t] for t in range(4)]
    pixels = (torch.stack(frames).permute(0, 2, 3, 1) * 255).byte().numpy()
    network = vizkit.load_network("dcf-r2plus1d-50", num_classes=5, width=8, stem="5x5/2", layout=(1, 1, 1, 1))
    sampling = Sampling(scheme="dense", frames=4, short_side_px=64, crop_px=64)
    return probe(network, vizkit.open_clip(pixels), sampling=sampling)


def test_what_slides_right_agrees_with_its_flow(sliding: ProbedRun) -> None:
    result = analyze(sliding, Params(tvl1=True, stages=("res2",)))
    assert result.flow_px is not None
    assert result.flow_px.shape == (3, 64, 64, 2)
    inner = result.flow_px[:, 12:-12, 12:-12]
    assert np.abs(inner - [3, 0]).mean() < 0.3
    (found,) = result.agreements
    assert found.cells[:3].min() > 100
    assert found.mean > 0.95
    backwards = replace(result.levels[0], displacement_px=-result.levels[0].displacement_px)
    assert agree(backwards, result.flow_px).mean < -0.95
    summary, arrays = result.summary(), result.arrays()
    assert summary["res2_tvl1_cosine"] == found.mean
    assert summary["res2_tvl1_cells"] == found.cells.sum()
    assert np.array_equal(arrays["tvl1_cosine_res2"], found.cosine, equal_nan=True)
    assert np.array_equal(arrays["flow_px"], result.flow_px)
    assert any(
        note.startswith(f"TV-L1 and the best matches in the next time step: mean cosine of the angle {found.mean:.2f} at res2")
        for note in result.notes
    )


def test_flow_is_drawn_beside_the_stages_on_the_scale_of_the_first(sliding: ProbedRun) -> None:
    result = analyze(sliding, Params(tvl1=True, stages=("res2", "res3")))
    spec = draw(result)
    panels = {panel.name: panel for panel in spec.panels}
    layer = panels["TV-L1 1"].layers[-1]
    assert isinstance(layer, MotionLayer)
    assert result.flow_px is not None
    assert np.array_equal(layer.vectors, result.flow_px[1])
    assert not isinstance(panels["TV-L1 3"].layers[-1], MotionLayer), "no next frame"
    assert panels["TV-L1 1"].column == 3
    full = {key.label: key.max_px for key in spec.keys if isinstance(key, WheelKey)}
    assert layer.max_magnitude == full["TV-L1"] == full["res2"]
    assert "TV-L1: motion to the next frame, full colour at 4 px." in spec.caption
    assert spec.table is not None
    rows = [dict(zip(spec.table.columns, row, strict=True)) for row in spec.table.rows]
    held = [row for row in rows if row["tvl1_cells"] != ""]
    assert {row["frame_offset"] for row in held} == {1}
    assert [row["tvl1_cells"] for row in held if row["stage"] == "res2"] == result.agreements[0].cells.tolist()
    assert {key.label: key.max_px for key in draw(result, limits={"TV-L1": (0, 9)}).keys if isinstance(key, WheelKey)}["TV-L1"] == 9  # type: ignore[union-attr]


def test_flow_is_computed_once_for_a_run_and_only_if_asked_for(sliding: ProbedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = analyze(sliding, Params(stages=("res2",)))
    assert plain.flow_px is None
    assert plain.agreements == ()
    assert "flow_px" not in plain.arrays()
    assert not any("TV-L1" in panel.name for panel in draw(plain).panels)
    table = draw(plain).table
    assert table is not None
    assert "tvl1_cosine" not in table.columns
    analyze(sliding, Params(tvl1=True, stages=("res2",)))
    monkeypatch.setattr(analysis, "tvl1_flow", lambda _clip: pytest.fail("computed again"))
    assert analyze(sliding, Params(tvl1=True, stages=("res3",))).agreements[0].stage == "res3"


# ------------------------------------------------------------------------------------------------ a thing that moves right


def test_a_thing_that_moves_right_is_red_inside() -> None:
    """At res2, cells well inside the thing: at least 95 % of the directions drawn lie within 22.5 degrees of right, which is red."""
    world = clip(3, label="moving right", side_px=112, frames=8, nuisances=False)
    run = probe(vizkit.load_network("dcf-world"), world.clip, sampling=Sampling(scheme="dense", frames=8, short_side_px=112, crop_px=112))
    result = analyze(run, Params(stages=("res2",)))
    spec, grid = draw(result), result.grid
    thing = (world.truth.object_id[:7] > 0) & world.truth.moving[:7] & ~world.truth.occluded
    around = 2 * INSIDE_PX + 1
    inside = -F.max_pool2d(-torch.from_numpy(thing).float(), around, 1, INSIDE_PX).numpy() > 0
    rows, columns = (np.rint(grid.origin_px + np.arange(side) * grid.stride_px).astype(int) for side in grid.shape[1:])
    right, cells = 0, 0
    for frame in range(7):
        layer = next(panel for panel in spec.panels if panel.name == f"res2 {frame}").layers[-1]
        assert isinstance(layer, MotionLayer)
        here = inside[frame][rows][:, columns] & result.complete[result.frame_offset.tolist().index(1)]
        angle_deg = np.degrees(np.arctan2(layer.vectors[here][:, 1], layer.vectors[here][:, 0]))
        right, cells = right + int((np.abs(angle_deg) <= 22.5).sum()), cells + int(here.sum())
    assert cells > 100
    assert right / cells >= 0.95, (right, cells)


INSIDE_PX = 4
"""So far around a cell's centre everything belongs to the thing: the cell's neighbourhood of 5 x 5 cells of 2 px."""
