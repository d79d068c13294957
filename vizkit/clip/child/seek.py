"""Later passes over a video: only the wanted frames, the very ones of the first pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import av
from av.video.frame import VideoFrame

from vizkit.clip.child.picture import Painter, checksum
from vizkit.clip.child.pixels import PixelFile
from vizkit.clip.child.refused import Refused
from vizkit.clip.child.video import Video
from vizkit.clip.frames import resize

if TYPE_CHECKING:
    from vizkit.contracts import Resize


class Wanted:
    """The frames that a job asks for, and where and how they are written.

    Args:
        job: ``index`` (ascending frame numbers), ``size_wh`` of the clip, ``out_wh`` of the pixels, ``how`` they are
            resized, ``pixels``.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.place = {index: place for place, index in enumerate(job["index"])}
        self.out_wh: tuple[int, int] = tuple(job["out_wh"])
        self.how: Resize = job["how"]
        self.painter = Painter(tuple(job["size_wh"]))
        self.pixels = PixelFile(job["pixels"], self.out_wh)

    def put(self, index: int, frame: VideoFrame) -> None:
        """Write one frame at its place."""
        self.pixels.put(self.place[index], resize(self.painter.paint(frame), self.out_wh, self.how))


def read(source: BinaryIO, job: dict[str, Any]) -> dict[str, Any]:
    """Decode the wanted frames of a scanned clip into the pixel file.

    They are found from the nearest key frame by time stamp and checksum, if the job says how; where one of these does not
    agree with the scan, and without such hints, they are counted from the start.

    Raises:
        Refused: the file no longer holds the frames.
    """
    wanted = Wanted(job)
    video = Video(source, job["limits"])
    sought = bool(job["seeks"])
    for key_tick, run in job["seeks"]:
        sought = sought and _seek(video, wanted, key_tick, {tick: (index, check) for tick, index, check in run})
    if not sought:
        _count(Video(source, job["limits"]), wanted)
    return {"sought": sought}


def _count(video: Video, wanted: Wanted) -> None:
    last = max(wanted.place)
    for index, frame in enumerate(video.frames()):
        if index in wanted.place:
            wanted.put(index, frame)
        if index == last:
            return
    raise Refused("changed")


def _seek(video: Video, wanted: Wanted, key_tick: int, run: dict[int, tuple[int, int]]) -> bool:
    """Find one run of frames behind a key frame; False when what is found differs from the scan."""
    try:
        video.container.seek(key_tick, stream=video.stream)
    except av.FFmpegError:
        return False
    missing, last = set(run), max(run)
    for frame in video.frames():
        if frame.pts in missing:
            index, check = run[frame.pts]
            if checksum(frame) != check:
                return False
            wanted.put(index, frame)
            missing.remove(frame.pts)
        if not missing:
            return True
        if frame.pts is None or frame.pts > last:
            return False
    return False
