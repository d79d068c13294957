"""Films whose frames carry their numbers, encoded by PyAV in whatever way a case needs."""

from __future__ import annotations

import functools
import io
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from numpy.typing import NDArray
from PIL import Image

from tests.clip.bars import bar_frame

FRAMES, SIZE_WH, RATE = 64, (320, 240), 25
X264 = {"preset": "veryfast", "crf": "18", "x264-params": "threads=1"}


@dataclass(frozen=True)
class Film:
    """How a film is made."""

    format: str = "mp4"
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    count: int = FRAMES
    size_wh: tuple[int, int] = SIZE_WH
    rate: Fraction | int = RATE
    first: int = 0
    grey: bool = False
    flat: bool = False
    """One grey picture again and again: no numbers, but made in no time."""
    options: dict[str, str] = field(default_factory=lambda: dict(X264))
    muxer: dict[str, str] = field(default_factory=dict)
    pts: Sequence[int] | None = None
    time_base: Fraction | None = None
    setup: dict[str, Any] = field(default_factory=dict)
    """Attributes of the codec's context."""


def encode(film: Film) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    base = film.time_base or 1 / Fraction(film.rate)
    with av.open(buffer, "w", film.format, options=film.muxer) as container:
        stream = container.add_stream(film.codec, rate=Fraction(film.rate), options=film.options)
        stream.width, stream.height, stream.pix_fmt = *film.size_wh, film.pix_fmt
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = base
        for name, value in film.setup.items():
            setattr(stream.codec_context, name, value)
        for place in range(film.count):
            pixels = _picture(film, place)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = place if film.pts is None else film.pts[place], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _picture(film: Film, place: int) -> NDArray[np.uint8]:
    """Frame ``place`` [H, W, 3] of a film."""
    if film.flat:
        return np.full((film.size_wh[1], film.size_wh[0], 3), 128, np.uint8)
    pixels = bar_frame((film.first + place) % 256, *film.size_wh)
    return np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2) if film.grey else pixels


@functools.cache
def plain() -> bytes:
    """64 frames of H.264 in MP4, the index behind the pictures."""
    return encode(Film())


@functools.cache
def fast_start() -> bytes:
    """The same film, the index in front."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fast.mp4"
        # the muxer reads the file again to move the index, so it needs a name
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
            copy_packets([av.open(io.BytesIO(plain()))], target)
        return path.read_bytes()


def remuxed(sources: Sequence[bytes], format: str, options: dict[str, str] | None = None, shift: int = 0) -> bytes:  # noqa: A002
    """The picture streams of some files side by side in one, their packets as they are, ``shift`` ticks later."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format, options=options or {}) as target:
        copy_packets([av.open(io.BytesIO(source)) for source in sources], target, shift)
    return buffer.getvalue()


def copy_packets(sources: Sequence[InputContainer], target: OutputContainer, shift: int = 0) -> None:
    """Copy the first picture stream of each source, packets as they are, ``shift`` ticks later."""
    streams = [target.add_stream_from_template(source.streams.video[0]) for source in sources]
    for source, stream in zip(sources, streams, strict=True):
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream, packet.pts, packet.dts = stream, packet.pts + shift, packet.dts + shift
                target.mux(packet)


def with_sound(format: str, picture: bytes | None = None, *, cover: bool = False) -> bytes:  # noqa: A002
    """Two seconds of a tone, alone, with the pictures of a file, or with a cover picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format) as target:
        source = av.open(io.BytesIO(picture)) if picture else None
        video = target.add_stream_from_template(source.streams.video[0]) if source else None
        if cover and video is not None:
            video.disposition = av.stream.Disposition.attached_pic
        sound = target.add_stream("aac", rate=16000)
        for place in range(32):
            wave = np.sin(np.arange(1024) * 0.17, dtype=np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, place * 1024
            target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
        for packet in source.demux(video=0) if source else ():
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    return buffer.getvalue()


def png_picture() -> bytes:
    """One frame as a PNG file."""
    return encode(Film("image2pipe", "png", "rgb24", 1, options={}))


def jpegs_in_avi(pictures: Sequence[bytes]) -> bytes:
    """JPEG pictures of 640x480 as one AVI track."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", "avi") as target:
        stream = target.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
        for place, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, place, place, Fraction(1, RATE)
            packet.is_keyframe = True
            target.mux(packet)
    return buffer.getvalue()


def jpeg(number: int, subsampling: int | None) -> bytes:
    """Frame ``number`` of 640x480 as JPEG: 4:4:4, 4:2:2 or 4:2:0 (0, 1, 2), grey for None."""
    buffer = io.BytesIO()
    picture = Image.fromarray(bar_frame(number, 640, 480))
    if subsampling is None:
        picture.convert("L").save(buffer, "JPEG")
    else:
        picture.save(buffer, "JPEG", subsampling=subsampling)
    return buffer.getvalue()


def turned(data: bytes, clockwise: int, at: int) -> bytes:
    """The same film tagged as a phone tags it; ``at`` is where the matrix of its track header lies."""
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[clockwise]
    one = 1 << 16
    return data[:at] + struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30) + data[at + 36 :]
