"""95 broken, odd and hostile clips, and what must be said of each."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.hostile import boxes
from tests.hostile.films import FRAMES, X264, Film, encode, fast_start, jpeg, jpegs_in_avi, plain, png_picture, remuxed, turned, with_sound

NO_SERVER = "http://127.0.0.1:38765"
"""The address that hostile clips name; a test listens there."""

FFV1: dict[str, Any] = {"codec": "ffv1", "options": {}}
MJPEG: dict[str, Any] = {"format": "avi", "codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"q": "3"}, "setup": {"bit_rate": 4_000_000}}
MKV = Film("matroska")
HEVC = Film(
    codec="libx265", pix_fmt="yuv420p10le", count=32, options={"crf": "20", "x265-params": "log-level=error:pools=1:frame-threads=1"}
)
WOVEN = {"flags": "+ilme+ildct"}


@dataclass(frozen=True)
class Case:
    """A clip and what must be said of it."""

    name: str
    make: Callable[[Path], bytes]
    """Gives the file's bytes; the folder holds the canaries."""
    verdict: str = "ok"
    code: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts of the inspection."""
    bars: Sequence[int] | None = None
    """Numbers that the frames must show, in order; None where they cannot be read or need not be."""


def film(name: str, made: Film, verdict: str = "ok", code: str = "", *, readable: bool = True, **facts: Any) -> Case:
    """A case of an encoded film: every frame must be there, in order."""
    told = {"frames": made.count, "size_wh": list(made.size_wh), **facts}
    bars = range(made.first, made.first + made.count) if readable else None
    return Case(name, lambda _: encode(made), verdict, code, told, bars)


def data(name: str, make: Callable[[], bytes], verdict: str, code: str, bars: Sequence[int] | None = None, **facts: Any) -> Case:
    """A case of bytes that need no folder."""
    return Case(name, lambda _: make(), verdict, code, facts, bars)


def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(65536)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")
    return buffer.getvalue()


def _pictures() -> tuple[int, int]:
    """Where the pictures lie in the film with the index in front."""
    return boxes.body(fast_start(), "mdat")


def _hole() -> bytes:
    start, end = _pictures()
    first, length = start + (end - start) * 2 // 5, (end - start) // 5
    return boxes.overwritten(fast_start(), first, bytes(length))


def _rot() -> bytes:
    start, end = _pictures()
    rotten, luck = bytearray(fast_start()), random.Random(11)
    for _ in range(40):
        rotten[start + 200 + luck.randrange(end - start - 200)] ^= 1 << luck.randrange(8)
    return bytes(rotten)


BROKEN = [
    data("zero_bytes.mp4", lambda: b"", "reject", "empty"),
    data("one_byte.mp4", lambda: b"\0", "reject", "unreadable"),
    data("text.mp4", lambda: b"this is no video\n" * 200, "reject", "unreadable"),
    data("html.mp4", lambda: b"<!doctype html><script>alert(1)</script>" * 20, "reject", "unreadable"),
    data("shell.mp4", lambda: b"#!/bin/sh\ntouch ran\n", "reject", "unreadable"),
    data("noise.mp4", lambda: _noise(7), "reject", "unreadable"),
    data("magic_then_noise.mp4", lambda: plain()[:32] + _noise(8), "reject", "unreadable"),
    data("zip.mp4", _zip, "reject", "unreadable"),
    data("index_cut_off.mp4", lambda: plain()[: len(plain()) * 6 // 10], "reject", "unreadable"),
    data("half.mp4", lambda: fast_start()[: sum(_pictures()) // 2], "warn", "short_read", declared=FRAMES),
    data("index_alone.mp4", lambda: fast_start()[: _pictures()[0]], "reject", "no_frames"),
    data("hole_of_zeros.mp4", _hole, "warn", "corrupt_frames"),
    data("flipped_bits.mp4", _rot, "warn", "corrupt_frames"),
]


def _two_streams() -> bytes:
    return remuxed([encode(Film(count=20, size_wh=(160, 120))), plain()], "matroska")


def _subtitles() -> bytes:
    return boxes.matroska(boxes.number("83", 17) + boxes.element("86", b"S_TEXT/UTF8"), [b"hello"])


STREAMS = [
    data("sound_alone.mp4", lambda: with_sound("mp4"), "reject", "no_video_stream"),
    data("cover_picture.mp4", lambda: with_sound("mp4", png_picture(), cover=True), "reject", "no_video_stream"),
    data("two_streams.mkv", _two_streams, "warn", "streams", range(20), streams=2, frames=20, size_wh=[160, 120]),
    data("with_sound.mp4", lambda: with_sound("mp4", plain()), "ok", "", range(FRAMES)),
    data("subtitles_alone.mkv", _subtitles, "reject", "no_video_stream"),
]


def _long_duration() -> bytes:
    return boxes.word(boxes.word(plain(), ["moov", "mvhd"], 16, 0x7FFFFFFF), ["moov", "trak", "tkhd"], 20, 0x7FFFFFFF)


def _avi_that_lies() -> bytes:
    made = encode(Film(**MJPEG))
    for name, offset in ((b"avih", 16), (b"strh", 32)):
        made = boxes.overwritten(made, made.index(name) + 8 + offset, struct.pack("<I", 0xFFFFFFF0))
    return made


LENGTH = [
    film("one_frame.mp4", Film(count=1), "warn", "too_short"),
    film("two_frames.mp4", Film(count=2), "warn", "too_short"),
    film("seven_frames.mp4", Film(count=7), "warn", "too_short"),
    film("ten_thousand.mp4", Film(count=10_000, size_wh=(32, 32)), "warn", "frame_budget", readable=False),
    data("two_thousand_million_declared.mp4", lambda: boxes.word(plain(), [*boxes.TABLE, "stts"], 8, 0x7FFFFFFF), "warn", "count_mismatch",
         range(FRAMES)),
    data("four_thousand_million_declared.avi", _avi_that_lies, "warn", "count_mismatch", range(FRAMES)),
    data("huge_size_table.mp4", lambda: boxes.word(plain(), [*boxes.TABLE, "stsz"], 8, 0x10000000), "reject", "unreadable"),
    data("24_days.mp4", _long_duration, "ok", "", range(FRAMES), fps=25.0),
]  # fmt: skip


def _size_change() -> bytes:
    first = Film("mpegts", count=20)
    return encode(first) + encode(replace(first, size_wh=(640, 480), first=20))


def _kinds(first: int | None, second: int | None) -> Callable[[], bytes]:
    return lambda: jpegs_in_avi([jpeg(number, first if number < 8 else second) for number in range(32)])


GEOMETRY = [
    film("tiny.mp4", Film(size_wh=(16, 16)), "warn", "small_picture", readable=False),
    film("two_pixels.avi", Film("avi", pix_fmt="bgr0", count=16, size_wh=(2, 2), **FFV1), "reject", "too_small", readable=False),
    film("odd_sides.mkv", replace(MKV, pix_fmt="yuv444p", size_wh=(321, 239))),
    film("odd_sides.avi", Film(**MJPEG, size_wh=(321, 239))),
    film("ribbon.mp4", Film(count=16, size_wh=(2048, 16)), "warn", "aspect", readable=False),
    film("wide_pixels.mp4", Film(setup={"sample_aspect_ratio": Fraction(2)}), pixel_aspect=2.0),
    data("size_change.ts", _size_change, "warn", "size_change", range(40), frames=40),
    data("kind_change_422_to_420.avi", _kinds(1, 2), "ok", "", range(32)),
    data("kind_change_420_to_grey.avi", _kinds(2, None), "ok", "", range(32)),
    data("kind_change_444_to_420.avi", _kinds(0, 2), "ok", "", range(32)),
]


def _turned(clockwise: int) -> Case:
    def make() -> bytes:
        return turned(plain(), clockwise, boxes.body(plain(), "moov", "trak", "tkhd")[0] + 40)

    size = [320, 240] if clockwise == 180 else [240, 320]
    return data(f"turned_{clockwise}.mp4", make, "ok", "", rotation=clockwise, size_wh=size)


def _timed(name: str, pts: Sequence[int], code: str, **how: Any) -> Case:
    return film(name, replace(MKV, pts=pts, time_base=Fraction(1, 1000), **how), "warn", code)


def _edit_list() -> bytes:
    """The film without its first second: 1560 of the movie's ticks, from 25 of its own frames on."""
    path = ["moov", "trak", "edts", "elst"]
    at = boxes.body(plain(), *path)[0] + 12
    start = int.from_bytes(plain()[at : at + 4], "big")
    return boxes.word(boxes.word(plain(), path, 8, 1560), path, 12, start + 25 * 512)


META = [
    *(_turned(clockwise) for clockwise in (90, 180, 270)),
    film("thousand_fps.mkv", replace(MKV, rate=1000), "warn", "odd_fps", fps=1000.0),
    film("tenth_fps.mp4", Film(count=8, rate=Fraction(1, 10)), "warn", "odd_fps", fps=0.1),
    data("frames_last_nothing.mp4", lambda: boxes.word(plain(), [*boxes.TABLE, "stts"], 12, 0), "warn", "odd_fps", range(FRAMES)),
    data("no_ticks.mp4", lambda: boxes.word(plain(), ["moov", "trak", "mdia", "mdhd"], 12, 0), "warn", "odd_fps", range(FRAMES)),
    _timed("vfr.mkv", [number * 40 + 15 * (number % 7 > 0) + number // 20 * 500 for number in range(FRAMES)], "vfr"),
    _timed("stamps_twice.mkv", [number // 2 * 80 for number in range(FRAMES)], "timestamps", **FFV1),
    _timed("gap_of_an_hour.mkv", [number * 40 + 3_600_000 * (number >= 32) for number in range(FRAMES)], "timestamps"),
    data("negative_times.mp4", lambda: remuxed([plain()], "mp4", {"avoid_negative_ts": "disabled"}, -12800), "warn", "count_mismatch",
         range(25, FRAMES)),
    data("edit_list.mp4", _edit_list, "warn", "count_mismatch", range(25, FRAMES), frames=39),
]  # fmt: skip

VP9 = {"cpu-used": "8", "auto-alt-ref": "0", "deadline": "realtime"}
PQ = "log-level=error:pools=1:frame-threads=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"

CODECS = [
    film("h264.mp4", Film(), fps=25.0),
    film("alpha.webm", Film("webm", "libvpx-vp9", "yuva420p", 32, options=VP9, setup={"bit_rate": 800_000})),
    film("prores_4444.mov", Film("mov", "prores_ks", "yuva444p10le", 32, options={"profile": "4444"})),
    film("grey.mp4", Film(pix_fmt="gray", grey=True)),
    film("hevc_10_bits.mp4", HEVC),
    film("h264_10_bits_422.mkv", replace(MKV, pix_fmt="yuv422p10le", count=32)),
    film("woven_h264.mp4", Film(options=X264 | WOVEN | {"x264-params": "tff=1:threads=1"})),
    film("woven_mpeg2.mpg", Film("vob", "mpeg2video", options=WOVEN, setup={"bit_rate": 4_000_000})),
    film("woven_mpeg4.avi", Film("avi", "mpeg4", options=WOVEN, setup={"bit_rate": 4_000_000})),
    film("dv.avi", Film("avi", "dvvideo", count=16, size_wh=(720, 576), options={})),
    film("loop.gif", Film("gif", "gif", "rgb8", 32, options={})),
    film("loop.apng", Film("apng", "apng", "rgb24", 20, options={})),
    film("av1.webm", Film("webm", "libsvtav1", count=24, options={"preset": "10", "crf": "30", "svtav1-params": "lp=1"})),
    film("vp8.webm", Film("webm", "libvpx", count=32, options=VP9, setup={"bit_rate": 800_000})),
    film("h264.mkv", MKV),
    film("b_frames.mp4", Film(options=X264 | {"bf": "8", "x264-params": "open-gop=1:keyint=16:b-pyramid=normal:threads=1"})),
    film("jpegs.avi", Film(**MJPEG)),
    film("mpeg2.mpg", Film("vob", "mpeg2video", options={}, setup={"bit_rate": 4_000_000})),
    film("mpeg4.avi", Film("avi", "mpeg4", options={}, setup={"bit_rate": 4_000_000})),
    film("raw.avi", Film("avi", "rawvideo", "bgr24", 20, options={})),
    film("quicktime_rle.mov", Film("mov", "qtrle", "rgb24", 16, options={})),
    film("hdr.mp4", replace(HEVC, count=16, options={"crf": "20", "x265-params": PQ}), "warn", "hdr"),
    film("full_range.mp4", Film(setup={"color_range": 2})),
]

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
END = "#EXT-X-ENDLIST\n"
KEY = f'#EXT-X-KEY:METHOD=AES-128,URI="{NO_SERVER}/key.bin",IV=0x{"0" * 32}\n'
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 45678 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
DASH = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"><Period>'
    f'<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{NO_SERVER}/dash.mp4</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>\n"
)
SCRIPTS = {
    "hls_file.mp4": HLS + "#EXTINF:1.0,\nfile://{folder}/canary.ts\n" + END,
    "hls_absolute.mp4": HLS + "#EXTINF:1.0,\n{folder}/canary.ts\n" + END,
    "hls_relative.mp4": HLS + "#EXTINF:1.0,\ncanary.ts\n" + END,
    "hls_http.mp4": HLS + f"#EXTINF:1.0,\n{NO_SERVER}/hls.ts\n" + END,
    "hls_concat.mp4": HLS + "#EXTINF:1.0,\nconcat:{folder}/canary.ts|{folder}/secret.txt\n" + END,
    "hls_key.mp4": HLS + KEY + "#EXTINF:1.0,\n{folder}/canary.ts\n" + END,
    "ffconcat.mp4": "ffconcat version 1.0\nfile 'canary.mp4'\nduration 1\n",
    "ffconcat_absolute.mp4": "ffconcat version 1.0\nfile '{folder}/canary.mp4'\n",
    "ffconcat_http.mp4": f"ffconcat version 1.0\nfile '{NO_SERVER}/concat.mp4'\n",
    "sdp.mp4": SDP,
    "dash.mp4": DASH,
    "asx.mp4": f'<asx version="3.0"><entry><ref href="{NO_SERVER}/asx.mp4"/></entry></asx>\n',
    "imf.mp4": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>\n',
    "reference.mp4": f"[Reference]\nRef1={NO_SERVER}/ref.mp4\n",
    "hls.m3u8": HLS + "#EXTINF:1.0,\ncanary.ts\n" + END,
    "script.ffconcat": "ffconcat version 1.0\nfile 'canary.mp4'\n",
}


def _script(name: str, text: str) -> Case:
    def make(folder: Path) -> bytes:
        return text.replace("{folder}", str(folder)).encode()

    return Case(name, make, "reject", "unreadable" if name.endswith(".mp4") else "type_not_allowed")


def _data_reference(folder: Path) -> bytes:
    """A film whose index says that its pictures lie in another file."""
    url = f"file://{folder}/canary.mp4".encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url
    return boxes.exchanged(plain(), ["moov", "trak", "mdia", "minf", "dinf", "dref"], struct.pack(">II", 0, 1) + entry)


def _playlist_as_subtitle(folder: Path) -> bytes:
    """An AVI whose only stream is a subtitle track that holds a playlist."""
    playlist = SCRIPTS["hls_file.mp4"].replace("{folder}", str(folder)).encode()
    track = b"GAB2\0\2\0" + struct.pack("<I", 2) + b"x\0" + struct.pack("<HI", 4, len(playlist)) + playlist
    stream = boxes.chunk(b"LIST", b"strl" + boxes.chunk(b"strh", b"txts" + bytes(52)) + boxes.chunk(b"strf", bytes(40)))
    header = boxes.chunk(b"avih", struct.pack("<14I", 125000, 0, 0, 16, 1, 0, 1, 0, 224, 160, 0, 0, 0, 0))
    lists = boxes.chunk(b"LIST", b"hdrl" + header + stream) + boxes.chunk(b"LIST", b"movi" + boxes.chunk(b"00tx", track))
    return boxes.chunk(b"RIFF", b"AVI " + lists)


EXTERNAL = [
    *(_script(name, text) for name, text in SCRIPTS.items()),
    Case("data_reference.mov", _data_reference, "ok", "", {"frames": FRAMES}, range(FRAMES)),
    Case("playlist_as_subtitle.avi", _playlist_as_subtitle, "reject", "no_video_stream"),
    data("img_00.png", png_picture, "reject", "type_not_allowed"),
]


def _bomb(claimed: int, count: int) -> Callable[[], bytes]:
    return lambda: boxes.matroska(boxes.png_track(claimed, claimed), [boxes.black_png(16000, 16000)] * count)


UHD = Film(size_wh=(7680, 4320), flat=True, options={"preset": "ultrafast", "x264-params": "threads=1"})

BOMBS = [
    data("16k.mkv", _bomb(16000, 1), "reject", "too_large"),
    data("16k_often.mkv", _bomb(16000, 300), "reject", "too_large"),
    data("16k_that_lies.mkv", _bomb(320, 4), "reject", "too_large"),
    film("8k_once.mp4", replace(UHD, count=1), "warn", "too_short", readable=False),
    film("8k.mp4", replace(UHD, count=8), "warn", "downscaled", readable=False),
]

CASES = (*BROKEN, *STREAMS, *LENGTH, *GEOMETRY, *META, *CODECS, *EXTERNAL, *BOMBS)

FAST = frozenset(
    {
        "zero_bytes.mp4", "noise.mp4", "half.mp4", "index_alone.mp4", "flipped_bits.mp4", "sound_alone.mp4", "two_streams.mkv",
        "two_frames.mp4", "two_thousand_million_declared.mp4", "two_pixels.avi", "tiny.mp4", "size_change.ts", "turned_90.mp4",
        "frames_last_nothing.mp4", "vfr.mkv", "gap_of_an_hour.mkv", "h264.mp4", "woven_mpeg2.mpg", "ffconcat.mp4", "hls_absolute.mp4",
        "sdp.mp4", "script.ffconcat", "data_reference.mov", "16k_that_lies.mkv",
    }
)  # fmt: skip
"""One of every kind of answer, for the tests of every day."""
