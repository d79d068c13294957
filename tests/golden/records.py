"""Results built by hand: a square moves right by one cell a frame, and every module has seen just that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vizkit.contracts import AttentionVolume, Grid, Provenance, SampledClip, Sampling, Window
from vizkit.motion.corrnet.analysis import FilterGrid, find_peaks, mean_direction
from vizkit.motion.corrnet.analysis import Params as FilterParams
from vizkit.motion.cpnet.analysis import Correspondences
from vizkit.motion.cpnet.analysis import Params as ProposalParams
from vizkit.motion.dcf.analysis import CorrelationFields
from vizkit.motion.dcf.analysis import Params as FieldParams
from vizkit.motion.dcf.decode import inside_map
from vizkit.motion.dcf.levels import CorrelationLevel
from vizkit.motion.gradcam.analysis import ClassAttention
from vizkit.motion.gradcam.analysis import Params as MapParams
from vizkit.motion.kpsem.analysis import KeyPointShifts
from vizkit.motion.kpsem.analysis import Params as PointParams
from vizkit.motion.pwtp.analysis import DynamicAppearance
from vizkit.motion.pwtp.analysis import Params as AppearanceParams

FRAMES, SIDE, STEP = 4, 32, 4
GRID = Grid("res3", 1.5, float(STEP), 1, (FRAMES, SIDE // STEP, SIDE // STEP))
START_XY, CELLS = (2, 3), 2
"""First cell of the square in frame 0, and its side in cells."""
SHAPES = (("frames", "4 x 32 x 32"), ("features", "8 x 4 x 8 x 8"))


def pixels() -> np.ndarray:
    """[T, SIDE, SIDE, 3] a red square over a slope from dark to light."""
    slope = np.linspace(60, 180, SIDE)[None, None, :, None] * np.ones((FRAMES, SIDE, 1, 3))
    for t in range(FRAMES):
        x, y = ((START_XY[0] + t) * STEP, START_XY[1] * STEP)
        slope[t, y : y + CELLS * STEP, x : x + CELLS * STEP] = (200, 40, 40)
    return slope.astype(np.uint8)


def clip() -> SampledClip:
    """The four frames, a tenth of a second apart."""
    window = Window((1.0, 1.0), (0.0, 0.0), (SIDE, SIDE))
    return SampledClip("square", "0" * 64, Sampling(), pixels(), np.arange(FRAMES), np.arange(FRAMES) / 10, window)


def provenance(view: str, origin: str = "trained") -> Provenance:
    """Where it comes from: made by hand."""
    return Provenance("square", "0" * 64, {}, "by-hand", "by-hand", "f" * 64, origin, view=view)


def on_square(value: float, other: float = 0.0) -> np.ndarray:
    """[T, 8, 8] a value on the square's cells."""
    cells = np.full(GRID.shape, other, np.float32)
    for t in range(FRAMES):
        x, y = START_XY[0] + t, START_XY[1]
        cells[t, y : y + CELLS, x : x + CELLS] = value
    return cells


def correspondences() -> Correspondences:
    """The square's upper left cell of frame 1: it finds itself in frames 0, 2 and 3, and once the background."""
    proposal = np.array([[[0, 3, 2], [2, 3, 4], [3, 3, 5], [2, 6, 1]]])
    won = np.array([[3, 2, 1, 0]], np.float32)
    return Correspondences(
        query=np.array([[1, 3, 3]]),
        proposal=proposal,
        distance_squared=np.array([[0.1, 0.2, 0.4, 0.9]], np.float32),
        active=won > 0,
        channels_won=won,
        live_channels=np.array([6]),
        change_share=won / 6,
        change=on_square(2.0, 0.25),
        grid=GRID,
        change_grid=GRID,
        strengths=(),
        removal=None,
        block="res3.0",
        decided=True,
        metric="own",
        clip=clip(),
        params=ProposalParams(),
        shapes=SHAPES,
        notes=("A square that moves right.",),
        provenance=provenance("cpnet"),
    )


def filters() -> FilterGrid:
    """Three channels: one looks left in all frames, one turns, one is flat."""
    weights = np.zeros((FRAMES, 3, 5, 5), np.float32)
    weights[:, 0, 2, 0] = 1
    for t, (y, x) in enumerate([(0, 2), (2, 4), (4, 2), (2, 0)]):
        weights[t, 1, y, x] = 0.75
    peaks = find_peaks(weights, 1)
    length, angle = mean_direction(peaks)
    match = np.zeros((*GRID.shape, 2), np.float32)
    match[on_square(1) > 0] = (-1, 0)
    return FilterGrid(
        weights=weights,
        peak_xy=peaks,
        activity=weights.std((0, 2, 3)),
        consistency=length,
        direction_deg=angle,
        shown=np.arange(3),
        channel=0,
        response=on_square(1.5, -0.1),
        match_xy=match,
        dilation_cells=1,
        initial=0.0,
        grid=GRID,
        block="res3.0",
        clip=clip(),
        params=FilterParams(channel=0),
        shapes=SHAPES,
        notes=(),
        provenance=provenance("corrnet", "random"),
    )


def fields() -> CorrelationFields:
    """One stage, one frame on: the square moves right by a cell, nothing else has a clear match."""
    offsets = np.array([-1, 1])
    side = GRID.shape[1]
    motion = np.zeros((2, *GRID.shape, 2), np.float32)
    volume = np.zeros((2, FRAMES, 5, 5, side, side), np.float32)
    for number, offset in enumerate(offsets):
        motion[number, on_square(1) > 0] = (offset * STEP, 0)
        volume[number, :, 2, 2 + offset] = on_square(1)
    level = CorrelationLevel(
        volume=volume,
        frame_offset=offsets,
        dilation_cells=np.abs(offsets),
        displacement_px=motion,
        confidence=np.repeat(on_square(1, 0.05)[None], 2, axis=0),
        complete=np.stack([inside_map(side, side, 5).all(0).numpy()] * 2),
        valid_time=np.array([[False, True, True, True], [True, True, True, False]]),
        grid=GRID,
        step_px=float(STEP),
        source="cosine",
        block="",
    )
    return CorrelationFields(
        levels=(level,),
        picked_txy=np.array([[1.0, 15.0, 15.0]]),
        flow_px=None,
        agreements=(),
        clip=clip(),
        params=FieldParams(points=((1, 15.0, 15.0),)),
        shapes=SHAPES,
        notes=(),
        provenance=provenance("dcf"),
    )


def key_points() -> KeyPointShifts:
    """Two channels: the square's cell in the upper left region moves right, the other regions' key points rest."""
    point = np.zeros((1, 4, 2, FRAMES, 2), np.int64)
    point[0, :, :, :] = np.array([[1, 1], [6, 1], [1, 6], [6, 6]])[:, None, None]
    point[0, 0, 1, :, 0] = [0, 1, 2, 3]
    shift = np.diff(point, axis=3).astype(np.float32)
    match = np.full((1, 4, 4, 2, FRAMES - 1), 0.05, np.float32)
    match[0, range(4), range(4)] = 0.85
    return KeyPointShifts(
        point_cells=point,
        value=np.ones((1, 4, 2, FRAMES), np.float32),
        flat=np.zeros((1, 4, 2, FRAMES), bool),
        boundary_cells=np.full((1, FRAMES, 1, 2), 3.5, np.float32),
        centre_cells=np.full((1, FRAMES, 2), 3.5, np.float32),
        shift_cells=shift,
        match=match,
        region_weight=np.full((1, 4, 2, FRAMES - 1), 0.25, np.float32),
        channels=np.array([1]),
        grid=GRID,
        block="res3.kpsem",
        learned=True,
        clip=clip(),
        params=PointParams(channels=(1,)),
        shapes=SHAPES,
        notes=(),
        provenance=provenance("kpsem"),
    )


def appearance() -> DynamicAppearance:
    """One segment of four frames; the static part is their mean."""
    values = pixels()[None].astype(np.float32) / 255
    mean = np.repeat(values.mean(1, keepdims=True), FRAMES, axis=1)
    residual = values - mean
    order = np.array([-3, -1, 1, 3], np.float32)[None, :, None, None, None]
    ranked = (values * order).mean(1)
    flow = np.zeros((1, FRAMES - 1, SIDE, SIDE, 2), np.float32)
    flow[0, (pixels()[:-1] == (200, 40, 40)).all(-1)] = (STEP, 0)
    return DynamicAppearance(
        static=mean,
        residual=residual,
        dynamic=residual[:, 0],
        weight=np.ones((1, FRAMES, SIDE, SIDE), np.float32),
        cosine=np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE),
        enopr=np.sqrt((residual**2).mean((1, 2, 3, 4))),
        enopr_of_mean=np.sqrt((residual**2).mean((1, 2, 3, 4))),
        dynamic_image=ranked,
        dynamic_image_exact=2 * ranked,
        rgb_difference=np.diff(values, axis=1),
        flow_px=flow,
        flow_tvnet_px=None,
        longer=(),
        frame_number=np.arange(FRAMES)[None],
        origin="fit",
        rank=1,
        std=(1.0, 1.0, 1.0),
        clip=clip(),
        grid=Grid("frames", 0.0, 1.0, FRAMES, (1, SIDE, SIDE)),
        params=AppearanceParams(tvnet=False),
        shapes=SHAPES,
        notes=(),
        provenance=provenance("pwtp"),
    )


def attention() -> ClassAttention:
    """A map that lies on the square and speaks against the label elsewhere."""
    signed = on_square(0.02, -0.005)
    volume = AttentionVolume(np.maximum(signed, 0), signed, 0, "moving right", "res3", "gradcam", GRID)
    return ClassAttention(
        volume=volume,
        probability=0.75,
        logit=2.0,
        frames_covered=np.stack([np.arange(FRAMES)] * 2, axis=1),
        covers_known=True,
        clip=clip(),
        params=MapParams(),
        shapes=SHAPES,
        notes=(),
        provenance=provenance("gradcam"),
    )


def of_random_weights(result: Correspondences) -> Correspondences:
    """The same result, from a network that was never trained."""
    return replace(result, provenance=provenance("cpnet", "random"))
