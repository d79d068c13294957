"""Broken, odd and hostile sources: a refusal or a warning in one line, never another file, never a crash."""

from __future__ import annotations

import io
import json
import random
import stat
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.clip.bars import bar_frame, write_video
from vizkit.clip import Limits, inspect_clip, open_clip
from vizkit.clip.guard import numbers
from vizkit.clip.messages import REFUSALS, WARNINGS, refusal, shown_name, warning, warning_line
from vizkit.errors import ClipError


def _refused(source, **how) -> str:
    """The code of a refusal; the line is checked."""
    with pytest.raises(ClipError) as caught:
        open_clip(source, **how)
    line = caught.value.message
    assert f"({caught.value.code})" in line
    assert len(line) <= 160
    assert line.count("\n") == 0
    assert "/" not in line.replace("MP4/", "")
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.mp4", b"", "empty"),
        ("a.mp4", b"\0", "unreadable"),
        ("a.mp4", b"this is no video\n" * 200, "unreadable"),
        ("a.mp4", b"<!doctype html><script>alert(1)</script>", "unreadable"),
        ("a.mp4", random.Random(7).randbytes(65536), "unreadable"),
        ("a.mp4", b"\0\0\0\x18ftypmp42" + random.Random(8).randbytes(65536), "unreadable"),
        ("a.webm", b"\x1a\x45\xdf\xa3" + random.Random(9).randbytes(65536), "unreadable"),
        ("a.gif", b"GIF89a" + random.Random(10).randbytes(65536), "no_frames"),
        ("a.avi", b"RIFF\0\0\1\0AVI " + random.Random(11).randbytes(65536), "no_video_stream"),
        ("a.zip", b"PK\3\4" + random.Random(12).randbytes(65536), "unreadable"),
        ("a.npy", b"\x93NUMPY\1\0" + random.Random(13).randbytes(65536), "unreadable"),
        ("a.npz", b"PK\3\4" + random.Random(14).randbytes(65536), "unreadable"),
        ("a.txt", b"\0", "type_not_allowed"),
        ("a.m3u8", b"#EXTM3U\n", "type_not_allowed"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "type_not_allowed"),
        ("a.mp4.exe", b"\0", "type_not_allowed"),
        ("no suffix", b"\0", "unreadable"),
    ],
)
def test_what_is_no_clip_is_refused(name, data, code):
    assert _refused(data, name=name) == code


def test_what_cannot_be_opened_is_refused(tmp_path):
    assert _refused(tmp_path / "no.mp4") == "missing"
    assert _refused("no\0.mp4") == "missing"
    assert _refused("n" * 300 + ".mp4") == "missing"
    assert _refused(Path("/dev/zero")) == "unreadable"
    assert _refused(io.StringIO("text"), name="a.mp4") == "unreadable"
    assert _refused(3.5) == "type_not_allowed"
    assert _refused(b"\0" * 100, name="a.mp4", limits=Limits(file_bytes=99)) == "too_large"
    (tmp_path / "file.mp4").write_bytes(b"\0" * 100)
    assert _refused(tmp_path / "file.mp4", limits=Limits(file_bytes=99)) == "too_large"


@pytest.fixture(scope="module")
def canary(tmp_path_factory) -> Path:
    """A folder with a magenta clip that nothing may show."""
    folder = tmp_path_factory.mktemp("canary")
    magenta = np.full((64, 64, 3), (255, 0, 255), np.uint8)
    write_video(folder / "canary.mp4", [magenta] * 10, "libx264", "yuv420p")
    write_video(folder / "canary.ts", [magenta] * 10, "libx264", "yuv420p")
    return folder


@pytest.mark.parametrize("by_path", [True, False])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'canary.mp4'\nduration 1\n",
        "ffconcat version 1.0\nfile '{folder}/canary.mp4'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{folder}/canary.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 45678 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>\n',
    ],
    ids=["ffconcat", "ffconcat-absolute", "hls", "sdp", "dash"],
)
def test_a_text_never_becomes_the_file_it_names(text, suffix, by_path, canary):
    script = canary / f"script.{suffix}"
    script.write_text(text.format(folder=canary))
    source = script if by_path else script.read_bytes()
    assert _refused(source, name=script.name) == "unreadable"


def test_a_data_reference_to_another_file_is_not_followed(bar_clip, canary):
    data = bar_clip.read_bytes()
    url = b"file://" + str(canary / "canary.mp4").encode() + b"\0"
    entry = (12 + len(url)).to_bytes(4, "big") + b"url \0\0\0\0" + url
    box = (16 + len(entry)).to_bytes(4, "big") + b"dref\0\0\0\0\0\0\0\1" + entry
    at = data.index(b"dref") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    changed = bytearray(data[:at] + box + data[at + size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = changed.index(name) - 4
        changed[place : place + 4] = (int.from_bytes(changed[place : place + 4], "big") + len(box) - size).to_bytes(4, "big")
    clip = open_clip(bytes(changed), name="reference.mov")
    assert clip.frames == 40
    assert clip.read([0])[0, 100:].std() > 5


def _fast_start(path: Path, folder: Path) -> bytes:
    """The same clip with its index in front."""
    with av.open(str(path)) as source, av.open(str(folder / "fast.mp4"), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return (folder / "fast.mp4").read_bytes()


def test_a_truncated_clip_is_named(bar_clip, tmp_path):
    data = _fast_start(bar_clip, tmp_path)
    assert _refused(bar_clip.read_bytes()[: bar_clip.stat().st_size // 2], name="a.mp4") == "unreadable"
    start = data.index(b"mdat")
    half = inspect_clip(data[: start + (len(data) - start) // 2], "half.mp4")
    assert half["verdict"] == "warn"
    assert half["code"] == "short_read"
    assert 5 < half["facts"]["frames"] < 35
    assert half["facts"]["declared"] == 40
    assert _refused(data[: start + 4], name="a.mp4") == "no_frames"


def test_flipped_bits_are_named(bar_clip, tmp_path):
    data = bytearray(_fast_start(bar_clip, tmp_path))
    start, luck = data.index(b"mdat") + 100, random.Random(3)
    for _ in range(40):
        data[start + luck.randrange(len(data) - start)] ^= 1 << luck.randrange(8)
    found = inspect_clip(bytes(data), "rot.mp4")
    assert found["verdict"] == "warn"
    assert "corrupt_frames" in [entry["code"] for entry in found["facts"]["warnings"]]
    assert found["facts"]["complaints"] > 0


def test_mutants_are_clips_or_refusals(bar_clip):
    luck, data = random.Random(1), bar_clip.read_bytes()
    for _ in range(10):
        mutant = bytearray(data)
        for _ in range(luck.randrange(1, 30)):
            mutant[luck.randrange(len(mutant))] = luck.randrange(256)
        assert inspect_clip(bytes(mutant), "mutant.mp4")["verdict"] in {"ok", "warn", "reject"}


def test_pictures_over_the_limits_are_refused_before_they_are_decoded(tmp_path):
    wide = write_video(tmp_path / "wide.mkv", [np.zeros((16, 8208, 3), np.uint8)], "ffv1", "yuv420p")
    assert _refused(wide) == "too_large"
    tiny = write_video(tmp_path / "tiny.avi", [np.zeros((8, 8, 3), np.uint8)] * 3, "ffv1", "bgr0")
    assert _refused(tiny) == "too_small"
    large = write_video(tmp_path / "large.mp4", [np.zeros((480, 640, 3), np.uint8)] * 3, "libx264", "yuv420p")
    assert _refused(large, limits=Limits(frame_px=300_000)) == "too_large"
    assert open_clip(large, limits=Limits(frame_px=307_200)).frames == 3


def test_a_header_that_lies_about_the_size_is_found_out(tmp_path):
    path = tmp_path / "lie.avi"
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480)).save(buffer, "JPEG")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for number in range(3):
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = True
            container.mux(packet)
    assert _refused(path, limits=Limits(frame_px=100_000)) == "too_large"


def test_other_codecs_and_streams_are_refused(tmp_path):
    flv = write_video(tmp_path / "flv1.avi", [bar_frame(number) for number in range(3)], "flv", "yuv420p")
    assert _refused(flv) == "codec_not_allowed"
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 16000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    assert _refused(path) == "no_video_stream"


def test_a_long_clip_is_cut_and_says_so(bar_clip):
    clip = open_clip(bar_clip, limits=Limits(frames=15))
    assert clip.frames == 15
    assert [entry.code for entry in clip.warnings] == ["frame_budget"]


@pytest.mark.slow
def test_a_decoder_without_memory_is_one_sentence(tmp_path):
    frames = [np.zeros((4320, 7680, 3), np.uint8)] * 3
    path = write_video(tmp_path / "uhd.mp4", frames, "libx264", "yuv420p", {"preset": "ultrafast", "refs": "3"})
    assert _refused(path, limits=Limits(memory_bytes=500_000_000)) == "too_large"
    assert "downscaled" in [entry.code for entry in open_clip(path).warnings]


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _png(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(bar_frame(number)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../../escape.png", "/tmp/escape.png", "..\\escape.png", "C:\\escape.png"])
def test_names_that_leave_the_archive_are_refused(name):
    assert _refused(_zip({"a.png": _png(), name: _png()}), name="frames.zip") == "unreadable"


def test_archives_that_blow_up_are_refused():
    bomb = _zip({"a.png": _png(), "b.png": bytes(30_000_000)})
    assert _refused(bomb, name="bomb.zip") == "too_large"
    assert _refused(_zip({"a.png": bytes(2000)}), name="a.zip", limits=Limits(file_bytes=1999)) == "too_large"
    assert _refused(_zip({"a.txt": b"text"}), name="a.zip") == "no_frames"
    assert _refused(_zip({"a.png": _png(), "b.png": _png()[:200]}), name="a.zip") == "unreadable"


def test_links_in_archives_lead_nowhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(_png())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", _png())
        link = zipfile.ZipInfo("b.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(tmp_path / "secret.png"))
    assert _refused(buffer.getvalue(), name="a.zip") == "unreadable"


def test_encrypted_archives_are_refused():
    data = bytearray(_zip({"a.png": _png()}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    assert _refused(bytes(data), name="a.zip") == "unreadable"


def test_pictures_in_archives_are_bounded_too():
    buffer = io.BytesIO()
    Image.new("1", (9000, 20)).save(buffer, "PNG")
    assert _refused(_zip({"a.png": buffer.getvalue()}), name="a.zip") == "too_large"


def test_inspection_is_one_json_document(bar_clip):
    found = inspect_clip(bar_clip)
    assert json.loads(json.dumps(found)) == found
    assert {"kind": "clip", "verdict": "ok", "code": "", "message": ""}.items() <= found.items()
    wanted = {
        "frames": 40,
        "duration_s": 1.6,
        "size_wh": [160, 120],
        "codec": "h264",
        "fps": 25.0,
        "vfr": False,
        "rotation": 0,
        "warnings": [],
    }
    assert wanted.items() <= found["facts"].items()
    refused = inspect_clip(b"", "nothing.mp4")
    assert (refused["verdict"], refused["code"], refused["facts"]) == ("reject", "empty", {"name": "nothing.mp4"})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../tmp/x.mp4", "x.mp4"),
        ("..\\..\\x.mp4", "x.mp4"),
        ("a\nb\x1b[31m.mp4", "ab[31m.mp4"),
        ("e\u202egpj\u200b.mp4", "egpj.mp4"),
        ("cafe\u0301.mp4", "caf\u00e9.mp4"),
        ("", "clip"),
        ("..", "clip"),
        ("n" * 300 + ".mp4", "n" * 72 + "…" + "nnn.mp4"),
    ],
)
def test_names_are_shown_as_plain_text(name, shown):
    assert shown_name(name) == shown


def test_every_line_fits():
    name = shown_name("n" * 300 + ".mp4")
    facts = numbers(Limits()) | {"number": 20000, "dtype": "float64", "shape": "[20000, 1080, 1920, 4]", "type": "frozenset"}
    for reason in REFUSALS:
        assert len(refusal(name, reason, **facts).message) <= 160, reason
    counts = dict.fromkeys(("errors", "corrupt", "frames", "declared", "streams", "wanted", "whole", "width", "height", "rotation"), 20000)
    longest = {"odd_fps": "the clock of the file stands still, 25 frames per second are assumed"}
    for code in WARNINGS:
        assert (
            len(
                warning_line(
                    name, warning(code, **counts, what=longest.get(code, "the clip is cut after 20000 frames"), fps=29.97, transfer="HLG")
                )
            )
            <= 160
        ), code
