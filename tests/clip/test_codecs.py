"""Every codec and container: each frame comes back under its own number and time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clip.bars import all_bars, bar_frame, write_video
from vizkit.clip import inspect_clip, open_clip, sample
from vizkit.contracts import Sampling

COUNT = 40
CASES = {
    "h264.mp4": ("libx264", "yuv420p", (160, 120), {"bf": "8", "g": "16", "x264-params": "open-gop=1:b-pyramid=normal"}, "h264"),
    "h264.mkv": ("libx264", "yuv444p", (161, 121), {"bf": "3"}, "h264"),
    "h264_10bit.mov": ("libx264", "yuv420p10le", (160, 120), {}, "h264"),
    "hevc.mp4": ("libx265", "yuv420p", (160, 120), {"x265-params": "log-level=error:pools=1"}, "hevc"),
    "hevc_10bit.mkv": ("libx265", "yuv420p10le", (160, 120), {"x265-params": "log-level=error:pools=1"}, "hevc"),
    "mpeg4.avi": ("mpeg4", "yuv420p", (160, 120), {"q": "3", "g": "12"}, "mpeg4"),
    "mpeg4_bframes.mp4": ("mpeg4", "yuv420p", (160, 120), {"q": "3", "bf": "2", "g": "12"}, "mpeg4"),
    "mjpeg.avi": ("mjpeg", "yuvj420p", (161, 121), {"qmin": "2", "qmax": "4"}, "mjpeg"),
    "mjpeg.mov": ("mjpeg", "yuvj422p", (160, 120), {"qmin": "2", "qmax": "4"}, "mjpeg"),
    "vp8.webm": ("libvpx", "yuv420p", (161, 121), {"deadline": "realtime", "b": "800k"}, "vp8"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", (160, 120), {"deadline": "realtime", "b": "800k"}, "vp9"),
    "av1.webm": ("libsvtav1", "yuv420p", (160, 120), {"preset": "12", "svtav1-params": "lp=1"}, "av1"),
    "moving.gif": ("gif", "rgb8", (160, 120), {}, "gif"),
    "moving.apng": ("apng", "rgb24", (160, 120), {}, "apng"),
    "ffv1.mkv": ("ffv1", "yuv420p", (161, 121), {}, "ffv1"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", (160, 120), {"qmin": "2", "qmax": "4", "bf": "2"}, "mpeg2video"),
    "h264.ts": ("libx264", "yuv420p", (160, 120), {"bf": "3"}, "h264"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_frame_has_its_number_and_time(name, tmp_path):
    codec, pix_fmt, (width, height), options, expected = CASES[name]
    path = write_video(tmp_path / name, [bar_frame(number, width, height) for number in range(COUNT)], codec, pix_fmt, options)

    clip = open_clip(path)

    assert (clip.codec, clip.frames, clip.size_wh, clip.name) == (expected, COUNT, (width, height), name)
    assert clip.verdict == "ok", clip.warnings
    np.testing.assert_allclose(clip.times_s, np.arange(COUNT) / 25, atol=1e-9)
    assert all_bars(clip.preview) == clip.preview_index.tolist() == list(range(COUNT))
    wanted = [39, 0, 17, 17, 38, 21]
    frames = clip.read(wanted)
    assert frames.shape == (6, height, width, 3)
    assert all_bars(frames) == wanted


def test_variable_frame_rate_is_read_off_the_time_stamps(tmp_path):
    milliseconds = np.cumsum([0] + [40 if number % 7 else 165 for number in range(1, COUNT)]).tolist()
    frames = [bar_frame(number) for number in range(COUNT)]
    options = {"bf": "3", "g": "12"}
    for name in ("vfr.mkv", "vfr.mp4"):
        path = write_video(tmp_path / name, frames, "libx264", "yuv420p", options, pts=milliseconds, time_base=Fraction(1, 1000))
        clip = open_clip(path)
        np.testing.assert_allclose(clip.times_s, np.asarray(milliseconds) / 1000, atol=1e-9)
        assert [entry.code for entry in clip.warnings] == ["vfr"]
        assert all_bars(clip.read(range(COUNT))) == list(range(COUNT))


def test_gif_delays_are_real(tmp_path):
    hundredths = [0, 5, 7, 30, 34, 90, 91 + 3]
    frames = [bar_frame(number) for number in range(7)]
    path = write_video(tmp_path / "delays.gif", frames, "gif", "rgb8", pts=hundredths, time_base=Fraction(1, 100))
    clip = open_clip(path)
    np.testing.assert_allclose(clip.times_s, np.asarray(hundredths) / 100, atol=1e-9)
    assert [entry.code for entry in clip.warnings] == ["vfr", "too_short"]


def _with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a QuickTime track matrix (a, b, c, d): x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("clockwise", "matrix"), [(1, (0, 1, -1, 0)), (2, (-1, 0, 0, -1)), (3, (0, -1, 1, 0))])
def test_rotation_is_honoured_everywhere(clockwise, matrix, tmp_path):
    upright = [bar_frame(number, 120, 160) for number in range(12)]
    stored = [np.rot90(frame, clockwise) for frame in upright]
    path = _with_matrix(write_video(tmp_path / "phone.mp4", stored, "libx264", "yuv420p", {"crf": "10"}), matrix)

    clip = open_clip(path)
    sampled = sample(clip, Sampling(segments=4, short_side_px=60, crop_px=None))

    assert clip.size_wh == (120, 160)
    assert clip.preview.shape[1:] == (160, 120, 3)
    assert all_bars(clip.preview) == all_bars(clip.read(range(12))) == list(range(12))
    assert sampled.frames.shape == (4, 80, 60, 3)
    assert all_bars(sampled.frames) == sampled.index.tolist()
    assert inspect_clip(path)["facts"]["rotation"] == 90 * clockwise


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_interlaced_clips_show_their_own_frames(codec, tmp_path):
    name = {"libx264": "i.mp4", "mpeg4": "i.avi", "mpeg2video": "i.mpg"}[codec]
    options = {"flags": "+ilme+ildct"} | ({"x264-params": "tff=1"} if codec == "libx264" else {"qmin": "2", "qmax": "4"})
    path = write_video(tmp_path / name, [bar_frame(number) for number in range(16)], codec, "yuv420p", options)
    found = inspect_clip(path)
    assert found["facts"]["interlaced"] == 16
    assert all_bars(open_clip(path).read(range(16))) == list(range(16))


def test_one_frame_is_a_clip(tmp_path):
    path = write_video(tmp_path / "one.mp4", [bar_frame(5)], "libx264", "yuv420p")
    clip = open_clip(path)
    assert (clip.frames, clip.duration_s, clip.fps) == (1, 0.0, 0.0)
    assert [entry.code for entry in clip.warnings] == ["too_short"]
    sampled = sample(clip, Sampling(segments=4, short_side_px=64, crop_px=64))
    assert sampled.index.tolist() == [0, 0, 0, 0]
    assert [entry.code for entry in sampled.warnings] == ["too_short", "repeated_frames"]


def test_size_change_is_scaled_to_the_first_size(tmp_path):
    parts = []
    for start, size in ((0, (160, 120)), (10, (320, 240))):
        frames = [bar_frame(start + number, *size) for number in range(10)]
        parts.append(write_video(tmp_path / f"{start}.ts", frames, "libx264", "yuv420p", {"g": "5"}).read_bytes())
    clip = open_clip(b"".join(parts), name="joined.ts")
    assert (clip.frames, clip.size_wh) == (20, (160, 120))
    assert "size_change" in [entry.code for entry in clip.warnings]
    assert (np.diff(clip.times_s) > 0).all()
    assert all_bars(clip.read(range(20))) == list(range(20))


def test_preview_of_a_long_clip_is_thinned_evenly(tmp_path):
    frames = [bar_frame(number % 256, 64, 48) for number in range(700)]
    clip = open_clip(write_video(tmp_path / "long.mp4", frames, "libx264", "yuv420p", {"preset": "ultrafast"}))
    assert clip.frames == 700
    assert clip.preview_index.tolist() == list(range(0, 700, 2))
    assert all_bars(clip.preview) == [number % 256 for number in range(0, 700, 2)]
