"""The records that cross layers: where computing and drawing meet.

Conventions, said once and kept everywhere:

* arrays are indexed (t, y, x); points and displacements are stored (x, y), x right, y down;
* a displacement at (t, i) with frame offset o points to the match in frame t + o;
* cell i of a grid has its centre at pixel index ``origin_px + i * stride_px``; pixel indices name pixel centres;
* pictures are RGB uint8.

Records are frozen, check their shapes when made and print shapes, never contents.
"""

from __future__ import annotations

from vizkit.contracts.base import Record, Settings
from vizkit.contracts.clips import (
    COPIES,
    FAR_APART_S,
    PREVIEW_FRAMES,
    PREVIEW_SHORT_SIDE_PX,
    ClipWarning,
    LabelledClips,
    Resize,
    SampledClip,
    Sampling,
    VideoClip,
    Window,
)
from vizkit.contracts.networks import AttentionVolume, Axes, Block, Grid, LabelScore, Prediction, Provenance, ReceptiveField, Stage, Tap
from vizkit.contracts.papers import Citation, Claim, ClaimSettings, Measured, MotionModule, Score, Verdict, ViewResult

__all__ = [
    "COPIES", "FAR_APART_S", "PREVIEW_FRAMES", "PREVIEW_SHORT_SIDE_PX", "AttentionVolume", "Axes", "Block", "Citation", "Claim",
    "ClaimSettings", "ClipWarning", "Grid", "LabelScore", "LabelledClips", "Measured", "MotionModule", "Prediction", "Provenance",
    "ReceptiveField", "Record", "Resize", "SampledClip", "Sampling", "Score", "Settings", "Stage", "Tap", "Verdict", "VideoClip",
    "ViewResult", "Window",
]  # fmt: skip
