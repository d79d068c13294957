"""Arrays, folders and archives of pictures as clips."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clip.bars import all_bars, bar_frame
from vizkit.clip import Limits, clip_from_frames, open_clip, sample
from vizkit.contracts import Sampling
from vizkit.errors import ClipError


@pytest.fixture
def frames() -> np.ndarray:
    return np.stack([bar_frame(number) for number in range(12)])


def _code(source, **how) -> str:
    with pytest.raises(ClipError) as caught:
        open_clip(source, **how)
    assert len(caught.value.message) <= 160
    return caught.value.code


def test_an_array_is_a_clip_of_its_own(frames):
    clip = open_clip(frames)
    assert (clip.name, clip.codec, clip.frames, clip.size_wh, clip.warnings) == ("array", "array", 12, (160, 120), ())
    np.testing.assert_array_equal(clip.times_s, np.arange(12) / 25)
    assert all_bars(clip.preview) == clip.preview_index.tolist() == list(range(12))
    np.testing.assert_array_equal(clip.read([5, 5, 0]), frames[[5, 5, 0]])
    digest = clip.digest
    frames[:] = 0
    assert all_bars(clip.read([11])) == [11]
    assert open_clip(frames).digest != digest


def test_times_of_an_array_count_from_its_first_frame(frames):
    clip = clip_from_frames(frames[:3], times_s=np.array([2.0, 2.5, 4.0]), name="three")
    np.testing.assert_array_equal(clip.times_s, [0, 0.5, 2.0])
    for times in ([0.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 1.0], ["a", "b", "c"]):
        with pytest.raises(ClipError, match="times_s"):
            clip_from_frames(frames[:3], times_s=np.array(times))


def test_large_arrays_get_a_small_preview():
    clip = open_clip(np.zeros((3, 600, 900, 3), np.uint8))
    assert clip.preview.shape == (3, 256, 384, 3)
    clip = open_clip(np.zeros((1100, 16, 16, 3), np.uint8))
    assert clip.preview_index.tolist() == list(range(0, 1100, 4))
    clip = open_clip(np.zeros((100, 64, 64, 3), np.uint8), limits=Limits(preview_bytes=30 * 64 * 64 * 3))
    assert clip.preview_index.tolist() == list(range(0, 100, 4))


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((2, 32, 32, 3)), "unreadable"),
        (np.zeros((2, 32, 32, 3), np.int8), "unreadable"),
        (np.zeros((2, 3, 32, 32), np.uint8), "unreadable"),
        (np.zeros((2, 32, 32), np.uint8), "unreadable"),
        (np.zeros((32, 32, 3), np.uint8), "unreadable"),
        (np.zeros((2, 32, 32, 4), np.uint8), "unreadable"),
        (np.empty((2, 32, 32, 3), object), "unreadable"),
        (np.zeros((0, 32, 32, 3), np.uint8), "no_frames"),
        (np.zeros((2, 32, 15, 3), np.uint8), "too_small"),
        (np.zeros((1, 16, 8193, 3), np.uint8), "too_large"),
        (np.broadcast_to(np.zeros(3, np.uint8), (1000, 512, 512, 3)), "too_large"),
        (np.broadcast_to(np.zeros(3, np.uint8), (20001, 16, 16, 3)), "too_large"),
    ],
    ids=str,
)
def test_other_arrays_are_refused(array, code):
    assert _code(array) == code


def _saved(save, *arrays, **named) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


def test_saved_arrays_are_the_same_clip(frames, tmp_path):
    times_s = np.arange(12) / 8
    (tmp_path / "a.npz").write_bytes(_saved(np.savez_compressed, frames=frames, times_s=times_s, label="a label"))
    (tmp_path / "a.npy").write_bytes(_saved(np.save, frames))
    timed, plain = open_clip(tmp_path / "a.npz"), open_clip(tmp_path / "a.npy")
    assert timed.digest == clip_from_frames(frames, times_s=times_s).digest
    assert plain.digest == open_clip(frames).digest == open_clip((tmp_path / "a.npy").read_bytes()).digest
    assert open_clip((tmp_path / "a.npz").read_bytes()).digest == timed.digest
    assert timed.warnings == ()
    assert [entry.code for entry in plain.warnings] == ["times_assumed"]
    np.testing.assert_array_equal(timed.read(range(12)), frames)
    assert open_clip(_saved(np.save, np.asfortranarray(frames)), name="f.npy").digest == plain.digest


def test_saved_arrays_are_looked_at_before_they_are_read(frames):
    class Marker:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    objects = np.empty((2, 32, 32, 3), object)
    objects[:] = Marker()
    assert _code(_saved(np.save, objects, allow_pickle=True), name="a.npy") == "unreadable"
    assert _code(_saved(np.savez, frames=objects, allow_pickle=True), name="a.npz") == "unreadable"
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"shape": (10**6, 4096, 4096, 3), "fortran_order": False, "descr": "|u1"})
    assert _code(huge.getvalue(), name="a.npy") == "too_large"
    assert _code(_saved(np.save, frames)[:-1], name="a.npy") == "unreadable"
    assert _code(_saved(np.save, frames) + b"x", name="a.npy") == "unreadable"
    assert _code(_saved(np.savez, other=frames), name="a.npz") == "unreadable"
    assert _code(_saved(np.savez, frames=frames, times_s=np.zeros(3)), name="a.npz") == "unreadable"
    bomb = _saved(np.savez_compressed, frames=np.zeros((1500, 300, 300, 3), np.uint8))
    assert len(bomb) < 1_000_000
    assert _code(bomb, name="bomb.npz") == "too_large"


def _folder(path: Path, frames: np.ndarray) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame_{number}.png")
    return path


def test_folders_and_archives_come_in_natural_order(frames, tmp_path):
    folder = _folder(tmp_path / "frames", frames)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"")
    packed = tmp_path / "frames.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"inside/{path.name}")
        archive.writestr("__MACOSX/inside/._frame_0.png", b"")
    for source in (folder, packed, packed.read_bytes()):
        clip = open_clip(source)
        assert (clip.frames, clip.codec, clip.size_wh) == (12, "images", (160, 120))
        assert [entry.code for entry in clip.warnings] == ["times_assumed"]
        assert clip.digest == open_clip(frames).digest
        assert all_bars(clip.preview) == list(range(12))
        np.testing.assert_array_equal(clip.read([11, 2, 2]), frames[[11, 2, 2]])


def test_pictures_of_another_size_are_scaled_and_turned_ones_stand_upright(frames, tmp_path):
    folder = _folder(tmp_path / "frames", frames[:3])
    Image.fromarray(bar_frame(3, 320, 240)).save(folder / "frame_3.jpg", quality=95)
    turned = Image.fromarray(np.rot90(bar_frame(4)))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "frame_4.png", exif=exif)
    Image.fromarray(frames[5, :, :, 0].astype(np.uint16) << 8).save(folder / "frame_5.png")
    Image.fromarray(frames[6]).convert("RGBA").save(folder / "frame_6.webp", lossless=True)
    clip = open_clip(folder)
    assert clip.size_wh == (160, 120)
    assert {"size_change", "too_short"} <= {entry.code for entry in clip.warnings}
    assert all_bars(clip.read(range(7))) == list(range(7))
    assert all_bars(sample(clip, Sampling(segments=7, short_side_px=60, crop_px=None)).frames) == list(range(7))


def test_a_folder_that_changes_is_named(frames, tmp_path):
    folder = _folder(tmp_path / "frames", frames)
    clip = open_clip(folder)
    Image.fromarray(frames[0]).save(folder / "frame_5.png")
    with pytest.raises(ClipError) as caught:
        clip.read([0])
    assert caught.value.code == "changed"


def test_folders_without_good_pictures_are_refused(frames, tmp_path):
    (tmp_path / "empty").mkdir()
    assert _code(tmp_path / "empty") == "no_frames"
    folder = _folder(tmp_path / "frames", frames[:3])
    (folder / "frame_1.png").write_bytes(b"no picture")
    with pytest.raises(ClipError, match="picture 2 cannot be decoded"):
        open_clip(folder)
    assert _code(folder, limits=Limits(file_bytes=100)) == "too_large"


def test_long_folders_are_cut(frames, tmp_path):
    clip = open_clip(_folder(tmp_path / "frames", frames), limits=Limits(frames=5))
    assert clip.frames == 5
    assert "frame_budget" in [entry.code for entry in clip.warnings]
