"""Models with published weights in the app's list: nothing is fetched before one is chosen, and a failure is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.parts import components, open_page, words


@pytest.fixture(autouse=True)
def no_internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIZKIT_WEIGHTS_MIRROR", "http://127.0.0.1:9/nothing")
    monkeypatch.setenv("VIZKIT_HOME", str(tmp_path))


def test_weights_that_cannot_be_fetched_are_one_sentence_and_the_clip_still_plays(tmp_path: Path):
    page = open_page("clip", model="s3d:kinetics").run()

    assert not page.exception
    assert page.selectbox(key="model").value == "s3d:kinetics"
    assert page.error
    assert all("s3d-d76dad2f.pth cannot be fetched" in error.value.replace("\\", "") for error in page.error)
    film = components(page, "vizkit_player")[0]
    assert len(film["figure"]["panels"]) == 32, "the slider offers no more frames"
    assert not list(tmp_path.rglob("*.pth"))


def test_another_size_replaces_the_shape_that_the_weights_ask_for():
    page = open_page("clip", model="r3d_18:kinetics").run()
    assert components(page, "vizkit_player")[0]["figure"]["panels"][0]["w"] == 112
    page.slider(key="short_side_px").set_value(224).run()
    page.number_input(key="crop_px").set_value(200).run()

    assert not page.exception
    assert "must not be larger" not in words(page)
    assert components(page, "vizkit_player")[0]["figure"]["panels"][0]["w"] == 200
