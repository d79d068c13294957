"""From a clip to the frames that a network sees, and how the clip moves over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vizkit.clip.frames import fit_short_side, resize
from vizkit.clip.messages import warning
from vizkit.clip.reader import FrameReader
from vizkit.contracts import ClipWarning, Resize, SampledClip, Sampling, VideoClip, Window
from vizkit.errors import SettingError

SAME_TIME_S = 1e-6


def sample(clip: VideoClip, sampling: Sampling) -> SampledClip:
    """Choose frames of a clip, resize and crop them.

    *Window.* The frames with ``start_s <= time < end_s``; if none starts in there, the one that is on screen then.

    *Segments.* The window is cut into ``segments`` parts of equal duration. From the middle of each a run of
    ``frames_per_segment`` frames, ``interval`` apart, is taken: with ``p`` the position of the part's middle in frames
    (frame i is on screen from i to i+1) and a run that spans ``L = (frames_per_segment - 1) * interval + 1`` frames, it starts
    at ``floor(p - (L - 1) / 2)``, moved into the window where it sticks out. At a steady frame rate this is
    ``(n * (2 * s + 1) - (L - 1) * segments) // (2 * segments)`` for part s of a window of n frames; where the rate varies,
    positions follow the frames' own times.

    ====================================  ==========================================
    n = 8,   segments 8                   0 1 2 3 4 5 6 7
    n = 300, segments 8                   18 56 93 131 168 206 243 281
    n = 16,  segments 4                   2 6 10 14
    n = 16,  segments 2, run of 4         2 3 4 5, 10 11 12 13
    n = 16,  segments 2, run of 3, step 2 2 4 6, 10 12 14
    n = 4,   segments 8                   0 0 1 1 2 2 3 3 (warning ``repeated_frames``)
    ====================================  ==========================================

    *Dense.* ``frames`` frames from the window's first one on, every ``interval``-th; past its last frame that one is
    repeated: n = 10, 4 frames, interval 3 give 0 3 6 9; interval 4 gives 0 4 8 9. With ``frames_per_second``, frame j is the one
    whose time is nearest to ``first + j * interval / frames_per_second`` (of two that are equally near the earlier one), as if the
    clip had that rate: 30 frames per second seen at 15 give 0 2 4 6, 25 seen at 15 give 0 2 3 5, 10 seen at 15 give 0 1 1 2.

    *Order.* The chosen frames stand as in the clip, or backwards (``reversed``), in one fixed random order that is the same for every
    clip of so many frames (``shuffled``), or the middle one (frame ``T // 2``) stands for all of them (``frozen``). A warning says so.

    *Pixels.* Frames are resized to a short side of ``short_side_px``, or to ``resize_hw``, then the centre is cropped. Model pixel x
    shows source position ``(x + left + 0.5) * source / resized - 0.5``. ``resize="torchvision"`` does as torchvision's video
    transforms: bilinear without smoothing, the long side rounded down, a crop that cannot be centred placed at the even offset.

    Args:
        clip: the clip.
        sampling: what to take.

    Returns:
        The frames, with their numbers, times and the map back to source pixels.

    Raises:
        SettingError: the window begins after the clip's end.
        ClipError: the frames can no longer be read, or are too large for one read.
    """
    index = sampled_index(clip.times_s, sampling)
    resized_wh = _resized(clip.size_wh, sampling)
    left, top, width, height = _crop(resized_wh, sampling)
    frames = _read(clip, index.tolist(), resized_wh, sampling.resize)[:, top : top + height, left : left + width]
    scale = (clip.size_wh[0] / resized_wh[0], clip.size_wh[1] / resized_wh[1])
    offset = ((left + 0.5) * scale[0] - 0.5, (top + 0.5) * scale[1] - 0.5)
    return SampledClip(
        name=clip.name,
        digest=clip.digest,
        sampling=sampling,
        frames=np.ascontiguousarray(frames),
        index=index,
        times_s=clip.times_s[index],
        window=Window(scale, offset, (width, height)),
        warnings=clip.warnings + _odd(clip.times_s, sampling),
    )


def sampled_index(times_s: NDArray[np.float64], sampling: Sampling) -> NDArray[np.int64]:
    """Frame numbers [T] that :func:`sample` takes of a clip whose frames have the times [N]."""
    index = _in_time(times_s, sampling)
    if sampling.order == "reversed":
        return index[::-1].copy()
    if sampling.order == "shuffled":
        return index[_mixed(len(index))]
    return np.full_like(index, index[len(index) // 2]) if sampling.order == "frozen" else index


def slide(clip: VideoClip, sampling: Sampling, *, windows: int = 12) -> tuple[Sampling, ...]:
    """Move the window of a sampling over the whole clip.

    Its length is that of the sampling's window; a quarter of the clip where the window is the whole clip. Windows are spread evenly,
    the first from the start, the last up to the end; those that take the same frames as another are left out.

    Args:
        clip: the clip.
        sampling: what is taken of every window.
        windows: how many at most.
    """
    length_s = min((sampling.end_s or clip.duration_s) - sampling.start_s, clip.duration_s)
    if length_s >= clip.duration_s - SAME_TIME_S:
        length_s = clip.duration_s / 4
    starts_s = np.linspace(0, clip.duration_s - length_s, windows)
    length_s = max(length_s, SAME_TIME_S)
    moved = [sampling.model_copy(update={"start_s": float(start), "end_s": float(start) + length_s}) for start in starts_s]
    different = {tuple(sampled_index(clip.times_s, window).tolist()): window for window in reversed(moved)}
    return tuple(sorted(different.values(), key=lambda window: window.start_s))


def _mixed(count: int) -> NDArray[np.int64]:
    """The order of shuffled frames; never that of time where there are two at least."""
    rng = np.random.default_rng(0)
    mixed = rng.permutation(count)
    while count > 1 and (mixed == np.arange(count)).all():
        mixed = rng.permutation(count)
    return mixed


def _odd(times_s: NDArray[np.float64], sampling: Sampling) -> tuple[ClipWarning, ...]:
    """What is to be said of the chosen frames."""
    index = _in_time(times_s, sampling)
    different = len(np.unique(index))
    repeated = () if different == len(index) else (warning("repeated_frames", wanted=len(index), frames=different),)
    return repeated if sampling.order == "forward" else (*repeated, warning(f"frames_{sampling.order}"))


def _in_time(times_s: NDArray[np.float64], sampling: Sampling) -> NDArray[np.int64]:
    """The chosen frames as they follow each other in the clip."""
    first, stop = _window(times_s, sampling)
    if sampling.scheme == "dense" and sampling.frames_per_second is not None:
        ticks_s = times_s[first] + np.arange(sampling.frames) * (sampling.interval / sampling.frames_per_second)
        wanted = first + np.searchsorted((times_s[first : stop - 1] + times_s[first + 1 : stop]) / 2, ticks_s - SAME_TIME_S)
    elif sampling.scheme == "dense":
        wanted = first + sampling.interval * np.arange(sampling.frames)
    else:
        starts = _run_starts(times_s, first, stop, sampling)
        wanted = (starts[:, None] + sampling.interval * np.arange(sampling.frames_per_segment)).reshape(-1)
    return np.minimum(wanted, stop - 1).astype(np.int64)


def _window(times_s: NDArray[np.float64], sampling: Sampling) -> tuple[int, int]:
    """First frame of the window and the one after its last."""
    ends_s = clip_end_s(times_s)
    if sampling.start_s > 0 and sampling.start_s >= ends_s:
        raise SettingError(f"Setting 'start_s': {sampling.start_s:g} s lies after the end of the clip. Known: 0..{ends_s:.3f}.")
    first = int(np.searchsorted(times_s, sampling.start_s - SAME_TIME_S))
    stop = len(times_s) if sampling.end_s is None else int(np.searchsorted(times_s, sampling.end_s - SAME_TIME_S))
    return (first, stop) if first < stop else (max(first - 1, 0), max(first, 1))


def clip_end_s(times_s: NDArray[np.float64]) -> float:
    """When the last frame leaves the screen; it stays as long as the median frame."""
    return float(times_s[-1] + np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def _run_starts(times_s: NDArray[np.float64], first: int, stop: int, sampling: Sampling) -> NDArray[np.int64]:
    """First frame [segments] of every segment's run; see :func:`sample`."""
    count, parts = stop - first, sampling.segments
    span = (sampling.frames_per_segment - 1) * sampling.interval + 1
    odd = 2 * np.arange(parts, dtype=np.int64) + 1
    if _is_steady(times_s[first:stop]):
        starts = first + (count * odd - (span - 1) * parts) // (2 * parts)
    else:
        edges_s = np.append(times_s[first:stop], times_s[stop] if stop < len(times_s) else clip_end_s(times_s))
        middles_s = edges_s[0] + (edges_s[-1] - edges_s[0]) * odd / (2 * parts)
        places = np.interp(middles_s, edges_s, np.arange(first, stop + 1))
        starts = np.floor(places - (span - 1) / 2).astype(np.int64)
    return np.clip(starts, first, max(first, stop - span))


def _is_steady(times_s: NDArray[np.float64]) -> bool:
    """Whether frame numbers tell the time to within half a frame."""
    straight = np.linspace(times_s[0], times_s[-1], len(times_s))
    half_step = (times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1) / 2
    return bool((np.abs(times_s - straight) <= half_step).all())


def _read(clip: VideoClip, index: list[int], size_wh: tuple[int, int], how: Resize) -> NDArray[np.uint8]:
    """Read frames at a size; our own readers scale before they hand over."""
    if isinstance(clip.reader, FrameReader):
        return clip.reader.read(index, size_wh, how)
    return np.stack([resize(frame, size_wh, how) for frame in clip.read(index)])


def _resized(size_wh: tuple[int, int], sampling: Sampling) -> tuple[int, int]:
    """Width and height of the resized frames."""
    if sampling.resize_hw is not None:
        return sampling.resize_hw[1], sampling.resize_hw[0]
    if sampling.resize == "torchvision":
        width, height = (side * sampling.short_side_px // min(size_wh) for side in size_wh)
        return width, height
    return fit_short_side(size_wh, sampling.short_side_px)


def _crop(resized_wh: tuple[int, int], sampling: Sampling) -> tuple[int, int, int, int]:
    """Left, top, width and height of the centred crop."""
    if sampling.crop_px is None:
        return 0, 0, *resized_wh
    spare_x, spare_y = (side - sampling.crop_px for side in resized_wh)
    left, top = (round(spare_x / 2), round(spare_y / 2)) if sampling.resize == "torchvision" else (spare_x // 2, spare_y // 2)
    return left, top, sampling.crop_px, sampling.crop_px


def motion_energy(clip: VideoClip) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much the picture changes, for a timeline.

    Returns:
        times in seconds [M] of the preview's frames, and the mean absolute difference [M] of each to the preview frame before
        it, in grey levels 0..255 (0 for the first).
    """
    import cv2

    energy = np.zeros(len(clip.preview), np.float64)
    before = None
    for place, frame in enumerate(clip.preview):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if before is not None:
            energy[place] = cv2.absdiff(grey, before).mean()
        before = grey
    return clip.times_s[clip.preview_index], energy
