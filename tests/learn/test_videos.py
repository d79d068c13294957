"""Batches of real videos: decoded once, shown forwards and backwards, a function of the config and the step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vizkit.clip import open_clip, sample
from vizkit.contracts import Sampling
from vizkit.errors import ClipError, SettingError
from vizkit.learn import videos as module
from vizkit.learn.config import TrainingConfig
from vizkit.learn.listing import VideoEntry
from vizkit.learn.source import source_of
from vizkit.learn.videos import VideoSource, keep_frames, labels_of, shown_batches

Tiny = Callable[..., TrainingConfig]
SMALL = Sampling(segments=6, short_side_px=16, crop_px=None, resize_hw=(16, 16))


def rising(path: Path, *, first: int = 20, frames: int = 12, side: tuple[int, int] = (24, 40)) -> Path:
    """A clip that grows brighter from frame to frame; its right half is brighter than its left one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = np.empty((frames, *side, 3), np.uint8)
    clip[:] = (first + 8 * np.arange(frames))[:, None, None, None]
    clip[:, :, side[1] // 2 :] += 60
    np.save(path, clip)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six training clips and two test clips of two classes."""
    for number, (split, label) in enumerate([("train", "push")] * 3 + [("train", "wave")] * 3 + [("test", "push"), ("test", "wave")]):
        rising(tmp_path / "data" / split / label / f"{number}.npy", first=20 + number)
    return tmp_path / "data"


def config_of(tiny: Tiny, folder: Path, *, frames: int = 4, batch: int = 4, seed: int = 0, **videos: Any) -> TrainingConfig:
    data = {"folder": str(folder), "kept_frames": 6, "kept_px": 32, **videos}
    return tiny(videos=data, frames=frames, batch=batch, seed=seed, phases=[{"clips": 48, "sides_px": [32]}])


def brightness(clips: torch.Tensor) -> np.ndarray:
    """Mean of every frame, [B, T]."""
    return clips.float().mean((2, 3, 4)).numpy()


# ------------------------------------------------------------------------------------------------ kept frames


def test_frames_are_kept_as_they_are_sampled_and_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [VideoEntry(rising(tmp_path / "a.npy"), "push", "a"), VideoEntry(tmp_path / "a.npy", "push", "a", start_s=0.2, end_s=0.4)]
    kept = keep_frames(entries, SMALL, tmp_path / "kept")
    for place, window in enumerate([(0.0, None), (0.2, 0.4)]):
        sampling = SMALL.model_copy(update={"start_s": window[0], "end_s": window[1]})
        assert np.array_equal(kept.frames(place), sample(open_clip(tmp_path / "a.npy"), sampling).frames)
    assert not np.array_equal(kept.frames(0), kept.frames(1))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(module, "open_clip", refuse)
    assert keep_frames(entries, SMALL, tmp_path / "kept").files == kept.files
    rising(tmp_path / "a.npy", first=21)
    with pytest.raises(AssertionError, match="decoded again"):
        keep_frames(entries, SMALL, tmp_path / "kept")


def test_folders_of_pictures_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(6):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((20, 20, 3), 10 * number, np.uint8))
    entries = [VideoEntry(tmp_path / name, "push", name) for name in ("one", "two")]
    kept = keep_frames(entries, SMALL, tmp_path / "kept")
    assert kept.files[0] == kept.files[1]
    assert kept.frames(0)[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    cv2.imwrite(str(tmp_path / "two" / "3.png"), np.full((20, 20, 3), 200, np.uint8))
    again = keep_frames(entries, SMALL, tmp_path / "kept")
    assert again.files[0] == kept.files[0] != again.files[1]


def test_a_bad_clip_is_named_and_refused_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film" * 100)
    entries = [VideoEntry(rising(tmp_path / "good.npy"), "push", "a")] + [
        VideoEntry(tmp_path / name, "push", name) for name in ("bad.mp4", "gone.mp4")
    ]
    with pytest.raises(ClipError, match=r"bad\.mp4: .*2 of 3 clips cannot be read"):
        keep_frames(entries, SMALL, tmp_path / "kept")
    kept = keep_frames(entries, SMALL, tmp_path / "kept", skip_bad=True)
    assert [entry.path.name for entry in kept.entries] == ["good.npy"]
    assert ["bad.mp4" in kept.refused[0], "gone.mp4" in kept.refused[1]] == [True, True]


# ------------------------------------------------------------------------------------------------ batches


def test_labels_come_in_pairs_where_the_direction_is_asked_for() -> None:
    assert labels_of(("hug", "kick"), direction=False) == ("hug", "kick")
    assert labels_of(("hug", "kick"), direction=True) == ("hug", "hug, backwards", "kick", "kick, backwards")


def test_every_clip_is_shown_forwards_and_backwards(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    source = source_of(config_of(tiny, folder, direction=True), tmp_path / "kept")
    assert source.labels == ("push", "push, backwards", "wave", "wave, backwards")
    for step in range(6):
        batch = source[step]
        assert batch.frames.shape == (4, 4, 3, 32, 32)
        assert batch.labels.tolist() in ([a, a + 1, b, b + 1] for a in (0, 2) for b in (0, 2))
        risen = np.diff(brightness(batch.frames), axis=1)
        assert (risen[::2] >= 0).all()  # 0 where two frames of the network are drawn from one that is kept
        assert (risen[1::2] <= 0).all()
        assert (np.abs(risen).sum(1) > 0).all()


def test_an_epoch_shows_every_training_clip_once_and_no_test_clip(tiny: Tiny, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    source = VideoSource(config_of(tiny, folder, batch=3), tmp_path / "kept")
    monkeypatch.setattr(source, "_drawn", lambda kept, rng, side: np.array(kept[:4]))
    epochs = [[float(clip[0].min()) for step in (2 * epoch, 2 * epoch + 1) for clip in source[step].frames] for epoch in range(4)]
    assert all(sorted(epoch) == [28, 29, 30, 31, 32, 33] for epoch in epochs)  # the second frame of each is the first that is kept
    assert len({tuple(epoch) for epoch in epochs}) > 1
    labels = [source[step].labels.tolist() for step in (0, 1)]
    assert sorted(sum(labels, [])) == [0, 0, 0, 1, 1, 1]
    assert [label for part in labels for label in part] == [int(first > 30) for first in epochs[0]]


def test_a_step_is_a_function_of_config_and_step(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    config = config_of(tiny, folder, direction=True)
    source, other = (VideoSource(config, tmp_path / "kept") for _ in range(2))
    steps = [source[step].frames for step in range(4)]
    assert torch.equal(other[3].frames, steps[3])  # the steps before it were never asked for
    assert len({step.numpy().tobytes() for step in steps}) == 4
    assert not torch.equal(VideoSource(config_of(tiny, folder, direction=True, seed=1), tmp_path / "kept")[3].frames, steps[3])


@pytest.mark.parametrize("mirror", [True, False])
def test_half_of_the_clips_are_mirrored_and_none_where_that_is_off(tiny: Tiny, folder: Path, tmp_path: Path, mirror: bool) -> None:
    source = VideoSource(config_of(tiny, folder, batch=40, mirror=mirror, frames=2), tmp_path / "kept")
    frames = source[0].frames.float()
    mirrored = (frames[..., :8].mean((1, 2, 3, 4)) > frames[..., -8:].mean((1, 2, 3, 4))).tolist()
    assert 10 <= sum(mirrored) <= 30 if mirror else not any(mirrored)
    assert set(source[0].labels.tolist()) == {0, 1}


def test_frames_are_drawn_from_all_of_a_clip(tiny: Tiny, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One from each of as many parts: no frame comes before its part, none is passed over for good."""
    monkeypatch.setattr(module, "_recoloured", lambda frames, _rng: frames)
    source = VideoSource(config_of(tiny, folder, frames=3, batch=48, mirror=False), tmp_path / "kept")
    drawn = Counter[tuple[int, int]]()
    for clip in source[0].frames.numpy():
        index = np.rint((clip[:, 0, 0, 0].astype(int) - 20) / 8 / 2).astype(int)  # kept frame k is frame 2k + 1 of the clip
        drawn.update(enumerate(index.tolist()))
    ranges = [sorted({kept for part, kept in drawn if part == number}) for number in range(3)]
    assert [1 <= max(values) - min(values) <= 3 for values in ranges] == [True] * 3
    assert [min(values) for values in ranges] == sorted(min(values) for values in ranges)
    assert min(ranges[0]) == 0
    assert max(ranges[2]) >= 5


def test_test_clips_are_shown_as_they_are(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    source = VideoSource(config_of(tiny, folder, direction=True), tmp_path / "kept")
    kept = keep_frames(source.test, SMALL, tmp_path / "kept")
    batch = next(iter(shown_batches(kept, source.listing.labels, direction=True)))
    assert batch.labels.tolist() == [0, 1, 2, 3]
    expected = torch.from_numpy(sample(open_clip(source.test[1].path), SMALL).frames).permute(0, 3, 1, 2)
    assert torch.equal(batch.frames[2], expected)
    assert torch.equal(batch.frames[3], expected.flip(0))
    assert next(iter(shown_batches(kept, source.listing.labels, direction=False))).labels.tolist() == [0, 1]


# ------------------------------------------------------------------------------------------------ configs


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objective": "follow"}, "needs the known motion"),
        ({"objective": "dense"}, "needs the known motion"),
        ({"augment": ["reverse"]}, "belong to the motion world"),
        ({"batch": 3}, "batch is 3"),
        ({"frames": 8}, r"kept_frames \(6\)"),
    ],
)
def test_what_videos_cannot_do_is_refused(tiny: Tiny, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        tiny(**{"videos": {"folder": "x", "direction": True, "kept_frames": 6}, **changes})
