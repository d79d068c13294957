"""The clip bar: it stands on every page; order of the frames, prediction over time, true label."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words
from vizkit.ui import compute
from vizkit.ui.page import PAGES


def long_clip(seed: int = 0) -> bytes:
    """Two seconds of a square that moves: long enough for a window to slide over it."""
    frames = np.random.default_rng(seed).integers(0, 40, (60, 48, 64, 3)).astype(np.uint8)
    for number, frame in enumerate(frames):
        frame[16:32, number // 2 : number // 2 + 16] = 200
    buffer = io.BytesIO()
    np.savez(buffer, frames=frames, fps=30.0)
    return buffer.getvalue()


def uploaded(name: str, seed: int = 0, **query: str) -> AppTest:
    page = open_page(name, **query).run()
    return page.file_uploader[0].set_value(("long.npz", long_clip(seed), "application/octet-stream")).run()


@pytest.mark.parametrize("path", [path for path in PAGES if path != "pages/models.py"])
def test_every_page_with_a_clip_has_the_bar(path):
    page = open_page(path.removeprefix("pages/").removesuffix(".py")).run()
    assert not page.exception
    assert len(components(page, "vizkit_timeline")) == 1


def test_frames_run_backwards_by_a_switch_and_by_the_address():
    page = open_page("clip", order="reversed").run()
    assert page.selectbox(key="clip").value
    (timeline,) = components(page, "vizkit_timeline")
    assert timeline["index"] == sorted(timeline["index"], reverse=True)
    assert "The frames run backwards." in words(page)


def test_prediction_over_time_comes_window_by_window_and_stops_with_its_switch():
    page = uploaded("clip")
    assert not components(page, "vizkit_timeline")[0]["windows"], "not before it is asked for"
    page.toggle(key="over_time").set_value(True)
    for _ in range(20):
        page.run()
        (timeline,) = components(page, "vizkit_timeline")
        if timeline["lines"] and None not in timeline["lines"][0]["probability"]:
            break
        time.sleep(0.01)

    assert not page.exception
    assert len(timeline["windows"]) == 12
    assert len(timeline["lines"]) == 3
    assert all(0 <= share <= 1 for line in timeline["lines"] for share in line["probability"])
    page.toggle(key="over_time").set_value(False).run()
    assert not components(page, "vizkit_timeline")[0]["windows"]


def test_prediction_over_time_says_beforehand_how_long_it_takes_where_passes_were_measured(monkeypatch):
    monkeypatch.setattr(compute, "pass_seconds", lambda _name, _frames, passes=1: None)
    page = uploaded("clip", seed=2)
    assert "that are not known yet" not in words(page)
    monkeypatch.setattr(compute, "pass_seconds", lambda _name, _frames, passes=1: 3.0 * passes)
    assert "About 35 s for the 12 that are not known yet." in words(page.run())


def test_model_that_cannot_look_at_a_window_says_so_once(monkeypatch):
    from vizkit.errors import SettingError

    def refuse(*_args: object) -> None:
        raise SettingError("No such window.")

    page = uploaded("clip", seed=1)
    monkeypatch.setattr(compute, "prediction", refuse)
    page.toggle(key="over_time").set_value(True).run()
    page.run()
    assert [error.value for error in page.error] == ["No such window\\."]
    assert len(components(page, "vizkit_timeline")) == 1


def test_clip_that_is_too_short_for_windows_offers_none():
    page = open_page("clip").run()
    assert not [toggle for toggle in page.toggle if toggle.key == "over_time"]


def test_world_clip_knows_its_label_and_a_visitor_says_that_of_an_upload():
    assert "true label" in words(open_page("clip").run())
    page = uploaded("clip")
    assert "true label" not in words(page)
    choice = next(box for box in page.selectbox if box.label == "True label")
    choice.select(choice.options[0]).run()
    assert not page.exception
    assert f"true label *{choice.options[0]}*" in words(page)
