"""Printed pictures of results built by hand against pictures that were looked at and kept.

VIZKIT_GOLDEN=write keeps what is drawn now: look at every picture before it is committed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.golden import records
from vizkit.figure.beside import beside
from vizkit.figure.difference import Difference, difference
from vizkit.figure.spec import FigureSpec
from vizkit.motion.gradcam.overlay import lay_over
from vizkit.pipeline import draw
from vizkit.render.write import encode

KEPT = Path(__file__).parent
VENUE = "cvpr-column"
FAR, MOST_FAR = 24, 0.002
"""Another processor may round a colour or an edge differently: this share of pixels may differ by so much."""


def side_by_side() -> FigureSpec:
    """Trained beside untrained, with what differs."""
    one, other = draw(records.correspondences()), draw(records.of_random_weights(records.correspondences()))
    apart = difference(one, other)
    return beside(one, other, names=("trained", "random"), apart=apart if isinstance(apart, Difference) else None)


PICTURES: dict[str, Callable[[], FigureSpec]] = {
    "cpnet": lambda: draw(records.correspondences()),
    "corrnet": lambda: draw(records.filters()),
    "corrnet-response": lambda: draw(records.filters(), layout="response"),
    "corrnet-polar": lambda: draw(records.filters(), layout="polar"),
    "dcf": lambda: draw(records.fields()),
    "dcf-patch": lambda: draw(records.fields(), layout="patch"),
    "kpsem": lambda: draw(records.key_points()),
    "kpsem-tracks": lambda: draw(records.key_points(), layout="tracks"),
    "pwtp": lambda: draw(records.appearance()),
    "gradcam": lambda: draw(records.attention(), values="signed"),
    "over": lambda: lay_over(draw(records.correspondences(), heat=False), records.attention()),
    "beside": side_by_side,
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_the_one_that_was_looked_at(name: str) -> None:
    path = KEPT / f"{name}.png"
    drawn = Image.open(io.BytesIO(encode(PICTURES[name](), "png", VENUE))).convert("RGB")
    if os.environ.get("VIZKIT_GOLDEN") == "write":
        drawn.save(path, optimize=True)
    kept = Image.open(path).convert("RGB")
    assert drawn.size == kept.size
    apart = np.abs(np.asarray(drawn, np.int16) - np.asarray(kept, np.int16)).max(-1)
    assert (apart > FAR).mean() <= MOST_FAR, f"{(apart > FAR).mean():.2%} of the pixels differ; VIZKIT_GOLDEN=write keeps the new picture"


def test_another_picture_is_told_from_the_one_that_was_looked_at() -> None:
    """The bound is not so wide that a wrong arrow would pass."""
    kept = np.asarray(Image.open(KEPT / "cpnet.png").convert("RGB"), np.int16)
    result = records.correspondences()
    result.proposal[0, 0] = (0, 3, 6)
    drawn = np.asarray(Image.open(io.BytesIO(encode(draw(result), "png", VENUE))).convert("RGB"), np.int16)
    assert drawn.shape != kept.shape or (np.abs(drawn - kept).max(-1) > FAR).mean() > MOST_FAR


def test_there_are_at_most_twelve_pictures_and_none_without_a_test() -> None:
    assert sorted(path.stem for path in KEPT.glob("*.png")) == sorted(PICTURES)
    assert len(PICTURES) <= 12
