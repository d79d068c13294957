"""What is true and what is odd about a scanned clip: times, warnings, facts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizkit.clip.frames import ASSUMED_FPS
from vizkit.clip.guard import ScanAnswer
from vizkit.clip.limits import Limits
from vizkit.clip.messages import warning
from vizkit.contracts import ClipWarning, VideoClip

SHORT_FRAMES = 8
SMALL_PX = 64
LONG_FRAMES = 5000
"""More frames than this and a sampled handful says little about the clip."""
LONGEST_ASPECT = 8
WHOLE_FRAMES = 16
"""Fewer whole frames than this in one read are worth a warning."""
FPS_RANGE = (1.0, 240.0)
UNSTEADY_SHARE, UNSTEADY_STEP = 0.02, 0.25
"""A clip has a variable frame rate when more than 2 % of its steps differ from the median step by more than a quarter."""
GAP_STEPS = 100
BROKEN_OFF_STEPS = 3
HOLE_STEPS = 1.75
"""A step that is longer, in median steps, has room for a frame more."""
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def presentation_times(scan: ScanAnswer) -> tuple[NDArray[np.float64], bool]:
    """Times of all frames in seconds from the first, never descending.

    A frame without a time stamp follows the one before it by one nominal step; one that goes back is shown with the one
    before it. Where the clock starts anew in mid-clip, it is carried on from there. Useless stamps give way to the nominal
    rate (25 where the file names none).

    Returns:
        times [N], and whether they are the file's own.
    """
    step_s = 1 / scan.rate if scan.rate > 0 else 1 / ASSUMED_FPS
    stamps_s = _stamps(scan, step_s)
    held = np.maximum.accumulate(stamps_s) - stamps_s[0]
    steps_s = np.diff(stamps_s)
    carried = np.concatenate([[0.0], np.cumsum(np.where(steps_s < 0, step_s, steps_s))])
    for times_s, share in ((held, 0.75), (carried, 0.25)):
        if (np.diff(times_s) > 0).sum() >= share * (len(times_s) - 1):
            return times_s, True
    return np.arange(len(stamps_s), dtype=np.float64) * step_s, False


def _stamps(scan: ScanAnswer, step_s: float) -> NDArray[np.float64]:
    """Time stamps [N] in seconds from the first one, gaps filled."""
    numerator, denominator = scan.tick_s
    first = next((tick for tick in scan.ticks if tick is not None), 0)
    stamps_s: list[float] = []
    for tick in scan.ticks:
        # Python's integers: the difference of two stamps need not fit into 64 bits
        stamps_s.append((stamps_s[-1] + step_s if stamps_s else 0.0) if tick is None else (tick - first) * numerator / denominator)
    return np.asarray(stamps_s, np.float64)


def is_unsteady(times_s: NDArray[np.float64]) -> bool:
    """Whether the frame rate varies."""
    steps = np.diff(times_s)
    if not len(steps):
        return False
    median = max(float(np.median(steps)), 1e-6)
    return bool((np.abs(steps - median) > UNSTEADY_STEP * median).mean() > UNSTEADY_SHARE)


def picture_warnings(frames: int, size_wh: tuple[int, int], limits: Limits) -> list[ClipWarning]:
    """What is odd about the number and the size of the frames."""
    found: list[ClipWarning] = []
    width, height = size_wh
    if frames < SHORT_FRAMES:
        found.append(warning("too_short", what="a single frame" if frames == 1 else f"only {frames} frames"))
    if min(size_wh) < SMALL_PX:
        found.append(warning("small_picture", width=width, height=height))
    if max(size_wh) > LONGEST_ASPECT * min(size_wh):
        found.append(warning("aspect", width=width, height=height))
    whole = limits.read_bytes // (3 * width * height)
    if whole < WHOLE_FRAMES:
        found.append(warning("downscaled", whole=whole))
    return found


def _time_warnings(scan: ScanAnswer, times_s: NDArray[np.float64], own: bool, fps: float) -> list[ClipWarning]:
    found: list[ClipWarning] = []
    steps = np.diff(times_s)
    if not scan.clock:
        return [warning("odd_fps", what=f"the clock of the file stands still, {fps:g} frames per second are assumed")]
    if not own or scan.codec == "images":
        return [warning("times_assumed", fps=fps)]
    missing = None in scan.ticks
    far = len(steps) > 0 and steps.max() > GAP_STEPS * max(float(np.median(steps)), 1e-6)
    if missing or far or bool((steps <= 0).any()):
        found.append(warning("timestamps"))
    if is_unsteady(times_s):
        found.append(warning("vfr"))
    if len(times_s) > 1 and not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        found.append(warning("odd_fps", what=f"{fps:g} frames per second is unusual"))
    return found


def _stream_warnings(scan: ScanAnswer, times_s: NDArray[np.float64], limits: Limits) -> list[ClipWarning]:
    found: list[ClipWarning] = []
    frames = len(scan.ticks)
    if scan.complaints or scan.corrupt:
        found.append(warning("corrupt_frames", errors=scan.complaints, corrupt=scan.corrupt, frames=frames))
    if scan.cut or frames > LONG_FRAMES:
        found.append(warning("frame_budget", what=f"the clip {'is cut after' if scan.cut else 'has'} {frames} frames"))
    if not scan.cut and scan.declared and (abs(scan.declared - frames) > 1 or _lost_inside(scan, times_s)):
        believable = scan.rate > 0 and scan.declared <= limits.frames
        broken_off = believable and (scan.declared_s - times_s[-1]) * scan.rate > BROKEN_OFF_STEPS
        found.append(warning("short_read" if broken_off else "count_mismatch", declared=scan.declared, frames=frames))
    if scan.streams > 1:
        found.append(warning("streams", streams=scan.streams))
    if scan.sizes > 1:
        found.append(warning("size_change"))
    if scan.rotation % 90:
        found.append(warning("rotation", rotation=scan.rotation))
    if scan.transfer in HDR_TRANSFERS:
        found.append(warning("hdr", transfer=HDR_TRANSFERS[scan.transfer]))
    return found


def _lost_inside(scan: ScanAnswer, times_s: NDArray[np.float64]) -> bool:
    """Whether the one frame that is missing left a hole in the times: a last one that is not counted is common and harmless."""
    steps = np.diff(times_s)
    return scan.declared == len(times_s) + 1 and len(steps) > 0 and bool(steps.max() > HOLE_STEPS * np.median(steps))


def scan_warnings(scan: ScanAnswer, times_s: NDArray[np.float64], own: bool, fps: float, limits: Limits) -> list[ClipWarning]:
    """Everything odd about a scanned clip."""
    size_wh = (scan.size_wh[0], scan.size_wh[1])
    return (
        _stream_warnings(scan, times_s, limits)
        + _time_warnings(scan, times_s, own, fps)
        + picture_warnings(len(scan.ticks), size_wh, limits)
    )


def clip_facts(clip: VideoClip, scan: ScanAnswer | None) -> dict[str, Any]:
    """The facts of a clip as plain values; those of the file are left out for arrays. ``rotation`` is clockwise, 0..359 degrees."""
    facts: dict[str, Any] = {
        "name": clip.name,
        "digest": clip.digest,
        "frames": clip.frames,
        "duration_s": clip.duration_s,
        "size_wh": list(clip.size_wh),
        "codec": clip.codec,
        "fps": clip.fps or (scan.rate if scan else 0.0),
        "vfr": is_unsteady(clip.times_s),
        "rotation": 0,
        "warnings": [{"code": entry.code, "message": entry.message} for entry in clip.warnings],
    }
    if scan is not None:
        kept = ("container", "corrupt", "interlaced", "complaints", "declared", "streams", "pixel_aspect", "cut")
        facts |= {name: getattr(scan, name) for name in kept} | {"rotation": -scan.rotation % 360}
    return facts
