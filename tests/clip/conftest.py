"""A short H.264 clip that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clip.bars import bar_frame, write_video


@pytest.fixture(scope="session")
def bar_clip(tmp_path_factory) -> Path:
    """40 bar-coded frames of 160x120 at 25 frames per second, B-frames, a key frame at least every 10."""
    path = tmp_path_factory.mktemp("clips") / "bars.mp4"
    return write_video(path, [bar_frame(number) for number in range(40)], "libx264", "yuv420p", {"bf": "3", "g": "10", "crf": "18"})
