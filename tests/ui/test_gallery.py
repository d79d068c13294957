"""The built-in clips are the motion world's."""

from __future__ import annotations

import numpy as np
import pytest

from vizkit.ui.gallery import gallery_clip, gallery_names


def test_names_are_the_motion_world_s():
    from vizkit.world import DEMOS

    assert gallery_names() == tuple(DEMOS)


@pytest.mark.parametrize("number", range(len(gallery_names())))
def test_clips_are_the_motion_world_s(number: int):
    """Run ``python -m vizkit.ui.gallery`` after a change of the motion world."""
    from vizkit import world

    name = gallery_names()[number]
    stored, rendered = gallery_clip(name), world.clip(world.DEMOS[name], split="demo").clip
    assert stored.digest == rendered.digest
    assert stored.name == rendered.name
    assert np.array_equal(stored.read(range(stored.frames)), rendered.read(range(rendered.frames)))
