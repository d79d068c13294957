"""Videos: PyAV, and every rule about which files, streams and codecs it gets to see."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

import av
import av.logging
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vizkit.clip.child.refused import Refused, check_size

FORMATS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "gif", "apng", "mpegts", "mpeg")
"""Containers; everything that names other files (playlists, scripts, descriptions) is left out."""

DECODERS = (
    *("h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "mpeg4", "mjpeg", "mpeg2video", "mpeg1video"),
    *("gif", "apng", "png", "prores", "rawvideo", "qtrle", "ffv1", "dvvideo"),
)
"""The closed list of decoders."""

HARMLESS = ("not on whitelist", "m3u8/hls", "mdhd time scale")
"""Parts of error lines about what was left alone or is told otherwise, not about damage."""

DAMAGE = ("undecodable", "concealing")
"""Parts of mere warnings that say that something is damaged."""

LIMITS_MET = {"max pixel count": "too_large_picture", "get_buffer() failed": "too_large_memory", "allocate memory": "too_large_memory"}
"""Parts of error lines that say that a limit was met."""

HEAD_BYTES = 1024
BUFFER_BYTES = 1 << 18
TS_PACKET_BYTES = 188


def sniff(head: bytes) -> str | None:
    """Name the container that a file's first bytes announce; None for everything else."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    starts = {b"\x1a\x45\xdf\xa3": "matroska", b"GIF87a": "gif", b"GIF89a": "gif", b"\x89PNG\r\n\x1a\n": "apng", b"\0\0\1\xba": "mpeg"}
    for start, name in starts.items():
        if head.startswith(start):
            return name
    packets = head[::TS_PACKET_BYTES]
    return "mpegts" if len(packets) > 3 and set(packets[:4]) == {0x47} else None


def ticking(stream: VideoStream) -> bool:
    """Whether the clock of a stream's index moves on from frame to frame."""
    return stream.frames < 2 or (stream.base_rate is not None and (stream.duration is None or stream.duration >= stream.frames))


def _open_no_other_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Refuse whatever else a clip wants to open."""
    raise PermissionError("a clip names another file")


class Complaints(logging.Handler):
    """Counts what FFmpeg complains about; the lines themselves are not kept, a hostile file makes millions."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line, unless it is about something that was left alone; note the first limit that was met."""
        line = record.getMessage()
        told = record.levelno >= logging.ERROR or any(part in line for part in DAMAGE)
        self.count += told and not any(part in line for part in HARMLESS)
        self.reason = self.reason or next((reason for part, reason in LIMITS_MET.items() if part in line), "")

    def listen(self) -> None:
        """Take PyAV's lines from now on."""
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)
        logger = logging.getLogger("libav")
        logger.handlers, logger.propagate = [self], False


class Video:
    """The first video stream of a file, checked against the lists before anything is decoded.

    Args:
        source: the file.
        limits: fields of :class:`vizkit.clip.limits.Limits`.

    Raises:
        Refused: no video, another container or codec, a picture outside the limits.
    """

    def __init__(self, source: BinaryIO, limits: dict[str, Any]) -> None:
        self.limits = limits
        self.complaints = Complaints()
        self.complaints.listen()
        source.seek(0)
        self.format = sniff(source.read(HEAD_BYTES))
        if self.format is None:
            raise Refused("unreadable")
        self.container = self._open(source, self.format)
        self.stream, self.streams = self._choose()
        self.clock = self.format != "mov" or ticking(self.stream)
        if not self.clock:
            # an edit list counts in ticks: where none pass, it would hide frames at random
            self.container = self._open(source, self.format, {"advanced_editlist": "0"})
            self.stream, self.streams = self._choose()

    def _open(self, source: BinaryIO, name: str, more: dict[str, str] | None = None) -> InputContainer:
        source.seek(0)
        options = (more or {}) | {
            "format_whitelist": ",".join(FORMATS),
            "codec_whitelist": ",".join(DECODERS),
            "protocol_whitelist": "none",
            "max_pixels": str(self.limits["frame_px"]),
        }
        try:
            return av.open(source, "r", name, options, metadata_errors="replace", buffer_size=BUFFER_BYTES, io_open=_open_no_other_file)
        except MemoryError:
            raise
        except (av.FFmpegError, PermissionError, ValueError) as error:
            raise Refused(self.complaints.reason or "unreadable") from error

    def _choose(self) -> tuple[VideoStream, int]:
        moving = [stream for stream in self.container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not moving:
            raise Refused("no_video_stream")
        chosen = moving[0]
        context = chosen.codec_context
        if context is not None and context.width and context.height:
            check_size(context.width, context.height, self.limits)
        if context is None or context.codec.name not in DECODERS:
            raise Refused("codec_not_allowed")
        for stream in self.container.streams:
            stream.discard = Discard.default if stream is chosen else Discard.all
        # checksums that a few formats have (PNG, HEVC with picture hashes) are compared only where that is asked for
        context.options = {"max_pixels": str(self.limits["frame_px"]), "err_detect": "crccheck"}
        context.thread_count = 1
        return chosen, len(moving)

    def frames(self) -> Iterator[VideoFrame]:
        """Decode from the current position in order of showing; damaged packets are counted, not raised.

        Raises:
            Refused: a frame outside the limits.
        """
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except av.FFmpegError:
                self.complaints.count += 1
                packet = None
            for frame in self._decoded(packet):
                check_size(frame.width, frame.height, self.limits)
                yield frame
            if packet is None:
                return

    def _decoded(self, packet: Any) -> list[VideoFrame]:
        try:
            return self.stream.decode(packet)
        except MemoryError:
            raise
        except av.EOFError:
            return []
        except av.FFmpegError as error:
            if self.complaints.reason:
                raise Refused(self.complaints.reason) from error
            self.complaints.count += 1
            return []
