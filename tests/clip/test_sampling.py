"""Which frames are taken, and where their pixels come from."""

from __future__ import annotations

import numpy as np
import pytest

from tests.clip.bars import all_bars, bar_frame, write_video
from vizkit.clip import clip_from_frames, motion_energy, open_clip, sample
from vizkit.clip.frames import fit_short_side, resize
from vizkit.clip.sampling import sampled_index
from vizkit.contracts import Sampling, VideoClip
from vizkit.errors import SettingError


def _index(count: int, *, fps: float = 25.0, **settings) -> list[int]:
    return sampled_index(np.arange(count) / fps, Sampling(**settings)).tolist()


@pytest.mark.parametrize(
    ("count", "settings", "index"),
    [
        (8, {"segments": 8}, [0, 1, 2, 3, 4, 5, 6, 7]),
        (300, {"segments": 8}, [18, 56, 93, 131, 168, 206, 243, 281]),
        (16, {"segments": 4}, [2, 6, 10, 14]),
        (16, {"segments": 2, "frames_per_segment": 4}, [2, 3, 4, 5, 10, 11, 12, 13]),
        (16, {"segments": 2, "frames_per_segment": 3, "interval": 2}, [2, 4, 6, 10, 12, 14]),
        (16, {"segments": 2, "frames_per_segment": 8}, list(range(16))),
        (8, {"segments": 1, "frames_per_segment": 8}, list(range(8))),
        (5, {"segments": 1, "frames_per_segment": 8}, [0, 1, 2, 3, 4, 4, 4, 4]),
        (10, {"segments": 2, "frames_per_segment": 7}, [0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7, 8, 9]),
        (4, {"segments": 8}, [0, 0, 1, 1, 2, 2, 3, 3]),
        (1, {"segments": 3}, [0, 0, 0]),
        (10, {"scheme": "dense", "frames": 4, "interval": 3}, [0, 3, 6, 9]),
        (10, {"scheme": "dense", "frames": 4, "interval": 4}, [0, 4, 8, 9]),
        (100, {"segments": 4, "start_s": 1.0, "end_s": 2.0}, [28, 34, 40, 46]),
        (100, {"scheme": "dense", "frames": 3, "interval": 2, "start_s": 1.0}, [25, 27, 29]),
        (100, {"scheme": "dense", "frames": 3, "interval": 2, "start_s": 1.0, "end_s": 1.08}, [25, 26, 26]),
        (100, {"segments": 2, "start_s": 3.96}, [99, 99]),
        (100, {"segments": 2, "start_s": 1.01, "end_s": 1.02}, [25, 25]),
        (100, {"segments": 2, "start_s": 3.97, "end_s": 9.0}, [99, 99]),
    ],
)
def test_frames_at_a_steady_rate(count, settings, index):
    assert _index(count, **settings) == index


@pytest.mark.parametrize("fps", [23.976, 29.97, 30, 59.94, 0.1])
def test_steady_rates_do_not_depend_on_rounding(fps):
    """Whole numbers decide: time stamps rounded to milliseconds give the frames of exact ones."""
    for count in (7, 16, 64, 301):
        for segments in (1, 3, 8):
            exact = [(count * (2 * part + 1)) // (2 * segments) for part in range(segments)]
            assert _index(count, fps=fps, segments=segments) == exact
            rounded = np.round(np.arange(count) / fps, 3)
            assert sampled_index(rounded, Sampling(segments=segments)).tolist() == exact


def test_frames_at_a_varying_rate_follow_their_times():
    times_s = np.array([0.0, 1.0, 1.1, 1.2, 1.3, 1.4, 3.0, 3.1])
    # the last frame stays for the median step, 0.1 s: four parts of 0.8 s, with middles at 0.4, 1.2, 2.0 and 2.8 s
    assert sampled_index(times_s, Sampling(segments=4)).tolist() == [0, 3, 5, 5]
    assert sampled_index(times_s, Sampling(segments=2, frames_per_segment=2)).tolist() == [0, 1, 5, 6]
    assert sampled_index(times_s, Sampling(segments=3, start_s=1.0, end_s=1.4)).tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    ("fps", "settings", "index"),
    [
        (30, {}, [0, 2, 4, 6]),
        (25, {}, [0, 2, 3, 5]),
        (29.97, {}, [0, 2, 4, 6]),
        (10, {}, [0, 1, 1, 2]),
        (15, {}, [0, 1, 2, 3]),
        (30, {"interval": 3}, [0, 6, 12, 18]),
        (30, {"start_s": 1.0}, [30, 32, 34, 36]),
        (30, {"start_s": 1.0, "end_s": 1.1}, [30, 32, 32, 32]),
        (5, {"frames_per_second": 7.5, "interval": 2}, [0, 1, 3, 4]),
    ],
)
def test_frames_by_a_clock_are_the_nearest_in_time(fps, settings, index):
    assert _index(100, fps=fps, **{"scheme": "dense", "frames": 4, "frames_per_second": 15, **settings}) == index


def test_a_clock_follows_the_frames_own_times():
    times_s = np.array([0.0, 0.5, 0.6, 0.7, 2.0, 2.1])
    by_clock = Sampling(scheme="dense", frames=5, frames_per_second=2)
    # ticks at 0, 0.5, 1.0, 1.5, 2.0 s: 1.0 s is nearer to 0.7 than to 2.0, and so is not 1.5
    assert sampled_index(times_s, by_clock).tolist() == [0, 1, 3, 4, 4]
    assert sampled_index(times_s, by_clock.model_copy(update={"start_s": 0.55})).tolist() == [2, 3, 4, 5, 5]
    assert (
        sampled_index(times_s, Sampling(segments=3, frames_per_second=2)).tolist() == sampled_index(times_s, Sampling(segments=3)).tolist()
    )


def test_what_came_later_is_written_only_where_it_says_something():
    """Recipes and figures of networks that need none of it keep their bytes."""
    assert not {"resize", "resize_hw", "frames_per_second"} & set(Sampling().model_dump())
    later = Sampling(scheme="dense", resize="torchvision", resize_hw=(128, 171), frames_per_second=7.5)
    assert later.model_dump(mode="json").items() >= {"resize": "torchvision", "resize_hw": [128, 171], "frames_per_second": 7.5}.items()
    assert Sampling.parse(**later.model_dump(mode="json")) == later
    assert Sampling.parse(resize_hw="128,171").resize_hw == (128, 171)


def test_a_crop_must_lie_inside_the_resized_frame():
    Sampling(short_side_px=64, resize_hw=(224, 300), crop_px=224)
    with pytest.raises(SettingError, match=r"crop_px \(112\) must not be larger than resize_hw \(100\)"):
        Sampling.parse(short_side_px=256, resize_hw=(300, 100))
    with pytest.raises(SettingError, match="resize_hw"):
        Sampling.parse(resize_hw="128")


def test_a_window_behind_the_clip_is_an_error():
    with pytest.raises(SettingError, match=r"start_s.*Known: 0\.\.4\.000"):
        _index(100, start_s=4.0)
    with pytest.raises(SettingError):
        _index(1, start_s=0.5)


@pytest.mark.parametrize(
    ("size_wh", "short_px", "fitted"),
    [((1280, 720), 112, (199, 112)), ((720, 1280), 112, (112, 199)), ((64, 64), 112, (112, 112)), ((321, 239), 120, (161, 120))],
)
def test_sizes_are_rounded_half_up(size_wh, short_px, fitted):
    assert fit_short_side(size_wh, short_px) == fitted


def test_sampled_frames_are_those_of_the_file(bar_clip):
    clip = open_clip(bar_clip)
    sampling = Sampling(segments=8, short_side_px=60, crop_px=None)
    sampled = sample(clip, sampling)
    assert sampled.frames.shape == (8, 60, 80, 3)
    assert all_bars(sampled.frames) == sampled.index.tolist() == [2, 7, 12, 17, 22, 27, 32, 37]
    np.testing.assert_allclose(sampled.times_s, sampled.index / 25)
    assert (sampled.name, sampled.digest, sampled.sampling, sampled.warnings) == (clip.name, clip.digest, sampling, ())


def test_files_arrays_and_foreign_readers_give_the_same_pixels(bar_clip):
    clip = open_clip(bar_clip)
    whole = clip.read(range(clip.frames))
    array = clip_from_frames(whole)
    foreign = VideoClip("foreign", "0" * 64, clip.size_wh, clip.times_s, clip.preview, clip.preview_index, lambda index: whole[list(index)])
    sampling = Sampling(segments=4, short_side_px=64, crop_px=48)
    expected = sample(clip, sampling).frames
    np.testing.assert_array_equal(sample(array, sampling).frames, expected)
    np.testing.assert_array_equal(sample(foreign, sampling).frames, expected)
    bilinear = sampling.model_copy(update={"resize": "torchvision", "resize_hw": (60, 51)})
    expected = sample(clip, bilinear).frames
    assert not np.array_equal(expected, sample(clip, sampling.model_copy(update={"resize_hw": (60, 51)})).frames)
    np.testing.assert_array_equal(sample(array, bilinear).frames, expected)
    np.testing.assert_array_equal(sample(foreign, bilinear).frames, expected)


def test_repeated_frames_are_told(bar_clip):
    sampled = sample(open_clip(bar_clip), Sampling(segments=64, short_side_px=32, crop_px=32))
    assert [entry.code for entry in sampled.warnings] == ["repeated_frames"]
    assert "64 frames are wanted" in sampled.warnings[0].message


def _blob(size_wh: tuple[int, int], centre_xy: tuple[float, float], sigma: float) -> np.ndarray:
    y, x = np.mgrid[0 : size_wh[1], 0 : size_wh[0]]
    level = 250 * np.exp(-((x - centre_xy[0]) ** 2 + (y - centre_xy[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(level).astype(np.uint8)[None, ..., None], 3, axis=3)


def _centroid(frame: np.ndarray) -> np.ndarray:
    weight = frame[..., 0].astype(np.float64)
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("size_wh", "centre_xy", "short_px", "crop_px"),
    [
        ((640, 360), (320.0, 180.0), 112, 112),
        ((640, 360), (271.3, 133.8), 112, 112),
        ((641, 359), (400.2, 201.7), 112, 111),
        ((360, 640), (170.4, 300.9), 64, None),
        ((90, 60), (44.7, 30.2), 112, 100),
        ((112, 112), (60.3, 41.8), 112, None),
    ],
)
def test_the_window_maps_a_spot_to_within_a_fraction_of_a_pixel(size_wh, centre_xy, short_px, crop_px):
    sigma = max(3.0, min(size_wh) / 20)
    clip = clip_from_frames(_blob(size_wh, centre_xy, sigma))
    sampled = sample(clip, Sampling(segments=1, short_side_px=short_px, crop_px=crop_px))
    found = sampled.window.to_source(_centroid(sampled.frames[0]))
    np.testing.assert_allclose(found, centre_xy, atol=0.05)
    np.testing.assert_allclose(sampled.window.to_model(np.array(centre_xy)), _centroid(sampled.frames[0]), atol=0.05)
    assert sampled.window.size_wh == (sampled.frames.shape[2], sampled.frames.shape[1])


@pytest.mark.parametrize("size_wh", [(340, 256), (641, 359), (90, 150)])
@pytest.mark.parametrize("sides", [{"short_side_px": 128, "resize_hw": (128, 171)}, {"short_side_px": 128}])
def test_the_window_of_a_torchvision_resize_maps_a_spot_too(size_wh, sides):
    centre_xy = (size_wh[0] * 0.52, size_wh[1] * 0.47)
    clip = clip_from_frames(_blob(size_wh, centre_xy, min(size_wh) / 20))
    sampled = sample(clip, Sampling(segments=1, crop_px=112, resize="torchvision", **sides))
    assert sampled.frames.shape == (1, 112, 112, 3)
    np.testing.assert_allclose(sampled.window.to_source(_centroid(sampled.frames[0])), centre_xy, atol=0.05)


@pytest.mark.parametrize("size_wh", [(340, 256), (500, 336), (201, 333), (60, 47)])
@pytest.mark.parametrize("sides", [(128, 171), (256,), (51,)])
def test_a_torchvision_resize_gives_its_pixels(size_wh, sides):
    """Within one grey level, where a value lies half-way: torchvision's own kernel for uint8 rounds its weights."""
    from torch import from_numpy
    from torchvision.transforms import functional as F

    noise = np.random.default_rng(0).integers(0, 256, (2, size_wh[1], size_wh[0], 3), np.uint8)
    crop = min(sides) - 13
    sampling = Sampling(
        scheme="dense", frames=2, resize="torchvision", short_side_px=min(sides), resize_hw=sides if len(sides) > 1 else None, crop_px=crop
    )
    found = sample(clip_from_frames(noise), sampling).frames
    theirs = F.center_crop(F.resize(from_numpy(noise).permute(0, 3, 1, 2), list(sides), antialias=False), [crop, crop])
    difference = np.abs(found.astype(int) - theirs.permute(0, 2, 3, 1).numpy())
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_the_window_holds_for_a_decoded_clip_too(tmp_path):
    frames = list(_blob((640, 360), (300.5, 170.25), 18.0)) * 8
    clip = open_clip(write_video(tmp_path / "spot.mp4", frames, "libx264", "yuv420p", {"crf": "5"}))
    sampled = sample(clip, Sampling(segments=2))
    bright = np.where(sampled.frames > 20, sampled.frames, 0)
    np.testing.assert_allclose(sampled.window.to_source(_centroid(bright[0])), (300.5, 170.25), atol=0.25)


def test_shrinking_averages_areas_exactly():
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    exact = noise.reshape(20, 3, 30, 3, 3).astype(np.float64).mean((1, 3))
    assert np.abs(resize(noise, (30, 20)) - exact).max() <= 0.51
    assert resize(noise, (90, 60)) is noise


def test_motion_energy_is_the_mean_grey_difference():
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    frames[1], frames[2], frames[3, :16] = 10, 10, 110
    clip = clip_from_frames(frames)
    times_s, energy = motion_energy(clip)
    np.testing.assert_array_equal(times_s, clip.times_s)
    np.testing.assert_allclose(energy, [0, 10, 0, 0.5 * 100 + 0.5 * 10])
    assert energy.dtype == np.float64
    moving, still = bar_frame(1), bar_frame(1)
    assert motion_energy(clip_from_frames(np.stack([moving, still])))[1].tolist() == [0, 0]
