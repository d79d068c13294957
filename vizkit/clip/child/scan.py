"""The first pass over a video: every frame is decoded once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, BinaryIO

from av.video.frame import VideoFrame

from vizkit.clip.child.lzw import damaged_pictures
from vizkit.clip.child.picture import Painter, checksum, upright_size
from vizkit.clip.child.pixels import PixelFile
from vizkit.clip.child.refused import Refused
from vizkit.clip.child.video import Video
from vizkit.clip.frames import ASSUMED_FPS, Preview, shrink_short_side

HALF_TURN = 180


class Scan:
    """What is kept of the frames as they go by.

    Args:
        first: the first frame; it sets the size of the clip.
        job: limits and bounds of the preview.
    """

    def __init__(self, first: VideoFrame, job: dict[str, Any]) -> None:
        bounds = job["preview"]
        self.size_wh, self.transfer = upright_size(first), int(first.color_trc)
        # a matrix that turns nothing into anything gives the smallest integer
        self.twisted = abs(first.rotation) > HALF_TURN
        self.rotation = 0 if self.twisted else first.rotation
        preview_wh = shrink_short_side(self.size_wh, bounds["short_side_px"])
        self.preview = Preview(preview_wh, bounds["frames"], job["limits"]["preview_bytes"])
        self.painter = Painter(preview_wh)
        self.shown: list[int | None] = []
        self.sent: list[int | None] = []
        self.keys: list[int] = []
        self.checks: list[int] = []
        self.sizes: set[tuple[int, int]] = set()
        self.corrupt = 0
        self.interlaced = 0

    def take(self, frame: VideoFrame) -> None:
        """Note the next frame."""
        index = len(self.shown)
        self.shown.append(frame.pts)
        before = self.sent[-1] if self.sent else None
        # frames that the decoder still held at the end carry no packet's time
        self.sent.append(before + max(frame.duration, 1) if frame.dts is None and before is not None else frame.dts)
        self.checks.append(checksum(frame))
        self.sizes.add((frame.width, frame.height))
        if frame.key_frame:
            self.keys.append(index)
        self.corrupt += frame.is_corrupt
        self.interlaced += frame.interlaced_frame
        if self.preview.wants(index):
            self.preview.add(index, self.painter.paint(frame))

    def ticks(self) -> tuple[list[int | None], bool]:
        """Time stamps of the frames, and whether they are the presentation times as the file has them.

        Where those are missing or disordered (MPEG-4 with B-frames in AVI) the times of the packets that completed the
        frames tell better.
        """
        own = _faults(self.shown) <= _faults(self.sent)
        return (self.shown, True) if own else (self.sent, False)

    def write_preview(self, pixels: PixelFile) -> None:
        """Hand the preview over."""
        for place, picture in enumerate(self.preview.frames):
            pixels.put(place, picture)


def _faults(ticks: list[int | None]) -> int:
    """How many stamps are missing or do not come after the one before."""
    return sum(later is None or (earlier is not None and later <= earlier) for earlier, later in pairwise([None, *ticks]))


def scan(source: BinaryIO, job: dict[str, Any]) -> dict[str, Any]:
    """Decode a whole clip once: ticks, key frames and checksum of every frame, a preview, and what is odd.

    Raises:
        Refused: the clip is not taken.
    """
    video = Video(source, job["limits"])
    seen: Scan | None = None
    cut = False
    for frame in video.frames():
        seen = seen or Scan(frame, job)
        cut = len(seen.shown) == job["limits"]["frames"]
        if cut:
            break
        seen.take(frame)
    if seen is None:
        raise Refused("no_frames")
    seen.write_preview(PixelFile(job["pixels"], seen.preview.size_wh))
    if video.format == "gif":
        video.complaints.count += damaged_pictures(source, job["limits"]["frames"])
    return _answer(video, seen) | {"cut": cut}


def _answer(video: Video, seen: Scan) -> dict[str, Any]:
    stream = video.stream
    base, rate, aspect = stream.time_base, stream.average_rate, stream.sample_aspect_ratio
    ticks, presented = seen.ticks()
    counted = {"clock": False, "ticks": list(range(len(ticks))), "presented": False, "tick_s": (1, int(ASSUMED_FPS)), "rate": ASSUMED_FPS}
    return {
        "codec": stream.codec_context.codec.canonical_name,
        "container": video.format,
        "size_wh": seen.size_wh,
        "ticks": ticks,
        "presented": presented,
        "tick_s": (base.numerator, base.denominator) if base else (0, 1),
        "rate": float(rate or 0),
        "keys": seen.keys,
        "checks": seen.checks,
        "corrupt": seen.corrupt,
        "interlaced": seen.interlaced,
        "complaints": video.complaints.count + seen.twisted,
        "declared": max(0, stream.frames),
        "declared_s": max(0.0, float((stream.duration or 0) * (base or 0))),
        "streams": video.streams,
        "sizes": len(seen.sizes),
        "rotation": seen.rotation,
        "transfer": seen.transfer,
        "pixel_aspect": float(aspect or 1),
        "preview_wh": seen.preview.size_wh,
        "preview_index": seen.preview.index,
        **({} if video.clock else counted),
    }
