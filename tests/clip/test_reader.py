"""Reading frames again: the same frames, whichever way they are found."""

from __future__ import annotations

import gc
import io
import os
import tempfile
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clip.bars import all_bars, bar_frame, write_video
from vizkit.clip import Limits, guard, open_clip
from vizkit.clip.child import seek
from vizkit.clip.reader import SEEK_COST_FRAMES, FileReader, Timeline
from vizkit.errors import ClipError

COUNT = 96
IRREGULAR = np.cumsum([0] + [3 if number % 5 else 11 for number in range(1, COUNT)]).tolist()
SEEKABLE = {
    "bframes.mp4": ("libx264", {"bf": "3", "g": "12", "x264-params": "b-pyramid=normal"}, None),
    "opengop.mkv": ("libx264", {"bf": "5", "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0"}, None),
    "refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}, None),
    "vfr.mp4": ("libx264", {"bf": "3", "g": "12"}, IRREGULAR),
    "mpeg4.avi": ("mpeg4", {"q": "4", "g": "12"}, None),
    "mpeg4.mov": ("mpeg4", {"q": "4", "g": "12", "bf": "2"}, None),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "8"}, None),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=error:pools=1:keyint=12:bframes=3"}, None),
}


@pytest.fixture(scope="module", params=SEEKABLE)
def seekable(request, tmp_path_factory) -> Path:
    codec, options, pts = SEEKABLE[request.param]
    frames = [bar_frame(number) for number in range(COUNT)]
    path = tmp_path_factory.mktemp("seek") / request.param
    return write_video(path, frames, codec, "yuv420p", options, pts=pts, time_base=Fraction(1, 100) if pts else None)


def _read_here(path: Path, index: list[int], seeks: list) -> tuple[np.ndarray, bool]:
    """Run the child's task in this process."""
    with tempfile.TemporaryFile() as pixels, path.open("rb") as source:
        job = {"limits": Limits().model_dump(), "index": index, "size_wh": (160, 120), "out_wh": (160, 120), "how": "area", "seeks": seeks}
        answer = seek.read(source, job | {"pixels": pixels.fileno()})
        pixels.seek(0)
        return np.fromfile(pixels, np.uint8).reshape(len(index), 120, 160, 3), answer["sought"]


def test_seeking_and_counting_give_the_same_pixels(seekable):
    clip = open_clip(seekable)
    timeline = clip.reader._timeline
    assert len(timeline.ticks) == COUNT
    counted, sought = _read_here(seekable, list(range(COUNT)), [])
    assert not sought
    assert all_bars(counted) == list(range(COUNT))
    plans = 0
    for index in ([95], [60, 61], [13, 14, 90], [50, 95], list(range(80, 96)), [0, 95]):
        plan = timeline.seeks(index)
        plans += bool(plan)
        found, _ = _read_here(seekable, index, plan)
        np.testing.assert_array_equal(found, counted[index])
    # a clip that is refreshed bit by bit has no second frame to start from
    assert bool(plans) == (seekable.name != "refresh.mp4")


@pytest.mark.parametrize("name", ["bframes.mp4", "mpeg4.avi", "vfr.mp4"])
def test_seeks_are_really_used(name, tmp_path):
    codec, options, pts = SEEKABLE[name]
    frames = [bar_frame(number) for number in range(COUNT)]
    path = write_video(tmp_path / name, frames, codec, "yuv420p", options, pts=pts, time_base=Fraction(1, 100) if pts else None)
    index = [40, 41, 90]
    plan = open_clip(path).reader._timeline.seeks(index)
    frames, sought = _read_here(path, index, plan)
    assert sought
    assert all_bars(frames) == index


def test_a_wrong_checksum_falls_back_to_counting(bar_clip):
    plan = open_clip(bar_clip).reader._timeline.seeks([35, 36])
    tick, run = plan[-1]
    damaged = [(tick, [(stamp, number, check ^ 1) for stamp, number, check in run])]
    frames, sought = _read_here(bar_clip, [35, 36], damaged)
    assert not sought
    assert all_bars(frames) == [35, 36]


def test_seeks_are_planned_only_where_they_pay():
    timeline = Timeline(ticks=list(range(0, 480, 10)), checks=list(range(48)), keys=[0, 12, 24, 36])
    assert timeline.seeks([13, 14, 37]) == [(120, [(130, 13, 13), (140, 14, 14)]), (360, [(370, 37, 37)])]
    assert timeline.seeks([2]) == []
    assert timeline.seeks(list(range(48))) == []
    dear = 12 + SEEK_COST_FRAMES
    assert timeline.seeks([dear - 1]) == [(120, [(150, 15, 15)])]
    assert Timeline(ticks=list(range(48)), checks=list(range(48)), keys=[]).seeks([40]) == []
    assert Timeline(ticks=list(range(48)), checks=list(range(48)), keys=[30]).seeks([20]) == []


def test_latest_reads_are_kept_within_their_bound(bar_clip, monkeypatch):
    runs = []
    real = guard.command
    monkeypatch.setattr(guard, "command", lambda: runs.append(1) or real())
    one_frame_bytes = 160 * 120 * 3
    clip = open_clip(bar_clip, limits=Limits(cache_bytes=3 * one_frame_bytes))
    first = clip.read([3, 7])
    first[:] = 0
    assert all_bars(clip.read([7, 3, 3])) == [7, 3, 3]
    assert len(runs) == 2
    clip.read([1, 2])
    assert all_bars(clip.read([3, 7])) == [3, 7]
    assert len(runs) == 4
    clip.reader.read([3, 7], (80, 60))
    assert len(runs) == 5


def test_reading_nothing_gives_nothing(bar_clip):
    assert open_clip(bar_clip).read([]).shape == (0, 120, 160, 3)


def test_a_read_is_bounded_in_bytes(bar_clip):
    clip = open_clip(bar_clip, limits=Limits(read_bytes=10 * 160 * 120 * 3))
    assert len(clip.read(range(10))) == 10
    with pytest.raises(ClipError, match="Read fewer at a time") as caught:
        clip.read(range(11))
    assert caught.value.code == "too_large"
    assert clip.reader.read(range(11), (80, 60)).shape == (11, 60, 80, 3)


def test_frames_are_scaled_before_they_are_handed_over(bar_clip):
    clip = open_clip(bar_clip)
    small = clip.reader.read([4, 9], (80, 60))
    exact = clip.read([4, 9]).reshape(2, 60, 2, 80, 2, 3).mean((2, 4))
    assert np.abs(small - exact).max() <= 0.51


def test_a_file_that_changes_or_goes_is_named(bar_clip, tmp_path):
    path = tmp_path / "moving.mp4"
    path.write_bytes(bar_clip.read_bytes())
    clip = open_clip(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ClipError) as caught:
        clip.read([0])
    assert caught.value.code == "changed"
    path.unlink()
    with pytest.raises(ClipError) as caught:
        clip.read([0])
    assert caught.value.code == "missing"


def test_bytes_and_file_objects_are_read_from_their_start_and_leave_nothing(bar_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = bar_clip.read_bytes()
    digest = open_clip(bar_clip).digest
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    at_its_end = io.BytesIO(data)
    at_its_end.seek(0, io.SEEK_END)
    for source in (data, bytearray(data), memoryview(data), at_its_end, bar_clip.open("rb")):
        clip = open_clip(source, name="upload.mp4")
        assert clip.digest == digest
        assert all_bars(clip.read([39])) == [39]
        if hasattr(source, "close"):
            source.close()
        del clip, source
    del at_its_end
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(tmp_path.iterdir()) == []


def test_many_threads_may_read_one_upload(bar_clip):
    clip = open_clip(bar_clip.read_bytes(), limits=Limits(cache_bytes=0))
    assert isinstance(clip.reader, FileReader)
    results: dict[int, list[int | None]] = {}

    def read(number: int) -> None:
        results[number] = all_bars(clip.read([number, 39 - number]))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [number, 39 - number] for number in range(4)}


def test_a_frame_outside_the_clip_is_an_index_error(bar_clip):
    with pytest.raises(IndexError, match="40"):
        open_clip(bar_clip).read([40])
