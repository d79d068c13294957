"""PWTP's page: segments beside other pictures, display rules, the fit with its stop, and a shaken camera."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import TIMEOUT_S, components, open_page, words
from vizkit.ui import appearance, compute
from vizkit.ui.appearance import FITS, FITTING
from vizkit.ui.pace import Pace


def pwtp_page(**query: str) -> AppTest:
    return open_page("pwtp", **query).run()


def figures(page: AppTest) -> list[dict[str, Any]]:
    """The figures of all segments and of one."""
    assert not page.exception
    assert not page.error
    return [player["figure"] for player in components(page, "vizkit_player")]


def views(figure: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(panel["view"] for panel in figure["panels"]))


def finished(page: AppTest) -> AppTest:
    """The page once its fit has ended."""
    fitting, deadline = page.session_state[FITTING], time.monotonic() + TIMEOUT_S
    while fitting is not None and not fitting.ended:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return page if fitting is None else page.run()


def test_page_runs_alone_with_any_network_and_says_what_it_shows() -> None:
    page = pwtp_page()
    segments, inside = figures(page)
    assert views(segments) == ["frames", "mean", "static", "cosine", "dynamic", "size", "image", "exact image", "difference"]
    assert views(inside) == ["frames", "static", "residual", "weight"]
    assert "The projection is untrained" in words(page)
    assert "Trains the projection on this clip alone" in words(page)
    assert len(page.dataframe[0].value) == 1, "four frames are one segment"
    assert page.segmented_control(key="export-what").options == ["segments", "one segment"]


def test_slow_pictures_are_switched_on_and_rules_chosen() -> None:
    page = pwtp_page()
    page.toggle(key="pwtp_tvl1").set_value(True).run()
    page.toggle(key="pwtp_tvnet").set_value(True).run()
    assert views(figures(page)[0])[-2:] == ["flow_px", "flow_tvnet_px"]
    page.segmented_control(key="pwtp_rule").set_value("minmax").run()
    assert any("dynamic appearance (DA), minmax" in key.get("label", "") for key in figures(page)[0]["keys"])
    page.segmented_control(key="pwtp_scale").set_value("segment").run()
    assert any(panel["title"].startswith("DA ") and ".." in panel["title"] for panel in figures(page)[0]["panels"])


def test_segments_are_cut_and_one_of_them_is_shown_frame_by_frame() -> None:
    page = pwtp_page()
    page.number_input(key="pwtp_frames").set_value(2).run()
    segments, inside = figures(page)
    assert {panel["row"] for panel in segments["panels"]} == {0, 1, 2, 3}
    assert {panel["frame"] for panel in inside["panels"]} == {0, 1}
    page.segmented_control(key="pwtp_segment").set_value(1).run()
    assert {panel["frame"] for panel in figures(page)[1]["panels"]} == {2, 3}
    page.number_input(key="pwtp_frames").set_value(None).run()
    assert {panel["frame"] for panel in figures(page)[1]["panels"]} == {0, 1, 2, 3}, "the second segment is gone"


def test_a_rank_above_the_frames_is_one_sentence() -> None:
    page = pwtp_page()
    page.number_input(key="pwtp_rank").set_value(5).run()
    assert not page.exception
    assert len(page.error) == 1
    assert "rank is 5, but 1 to 4 is accepted for 4 frames (the paper: at most half)." in words(page)
    page.number_input(key="pwtp_rank").set_value(3).run()
    assert "rank is 3, above half" in words(page)


def test_a_fit_shows_progress_and_its_result_and_can_be_forgotten() -> None:
    page = pwtp_page()
    before = figures(page)[0]["digest"]
    page.number_input(key="pwtp_steps").set_value(5).run()
    page.button(key="pwtp_fit").click().run()
    page = finished(page)
    assert figures(page)[0]["digest"] != before
    assert "Fitted to this clip, 5 steps." in words(page)
    assert "trained on this clip alone, 5 steps" in words(page)
    page.button(key="pwtp_forget").click().run()
    assert figures(page)[0]["digest"] == before


def test_a_fit_says_how_long_it_takes_where_one_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearance, "PACE", Pace())
    page = pwtp_page()
    assert "without labels." in words(page)
    page.number_input(key="pwtp_steps").set_value(2).run()
    page.button(key="pwtp_fit").click().run()
    page = finished(page)
    assert appearance.PACE.seconds(("fit", "tiny"), 1) is not None
    appearance.PACE.note(("fit", "tiny"), 1, 1e-5)
    page.button(key="pwtp_forget").click().run()
    page.number_input(key="pwtp_steps").set_value(200).run()
    assert "without labels, in about 2 min." in words(page), "200 steps of 4 x 64 x 64 x 3 values"


def test_what_is_left_of_a_fit_is_told_by_the_steps_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = appearance.Fitting(("a fit",), 100, began_s=10.0)
    monkeypatch.setattr(appearance.time, "monotonic", lambda: 16.0)
    assert fitting.left_s is None
    fitting.report(25, 0.5)
    assert fitting.left_s == 18.0


def test_stop_keeps_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    gone_on = []

    def slow(fitting: appearance.Fitting, step: int, enopr: float) -> bool:
        fitting.step, fitting.enopr = step, enopr
        gone_on.append(step)
        fitting.stop.wait(TIMEOUT_S if step == 3 else 0)
        return not fitting.stop.is_set()

    monkeypatch.setattr(appearance.Fitting, "report", slow)
    page = pwtp_page(clip="A thing turns clockwise")
    page.button(key="pwtp_fit").click().run()
    deadline = time.monotonic() + TIMEOUT_S
    while page.session_state[FITTING].step < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    page.run()
    assert not [button for button in page.button if button.key == "pwtp_fit"], "one fit at a time"
    page.button(key="pwtp_stop").click().run()
    page = finished(page)
    assert gone_on == [1, 2, 3]
    assert "Fitted to this clip, 3 steps." in words(page)


def test_another_clip_stops_the_fit() -> None:
    page = pwtp_page()
    page.number_input(key="pwtp_steps").set_value(1000).run()
    page.button(key="pwtp_fit").click().run()
    fitting = page.session_state[FITTING]
    assert not fitting.stop.is_set()
    page.selectbox(key="clip").set_value(page.selectbox(key="clip").options[1]).run()
    assert fitting.stop.is_set()
    assert page.session_state[FITTING] is None
    assert page.session_state[FITS] == {}
    assert "Fitted" not in words(page)


def test_what_goes_wrong_in_a_fit_is_one_sentence() -> None:
    page = pwtp_page()
    page.number_input(key="pwtp_rank").set_value(6).run()
    page.button(key="pwtp_fit").click().run()
    page = finished(page)
    assert not page.exception
    assert words(page).count("rank is 6, but 1 to 4") == 2, "of the fit, and of the picture"


def test_the_camera_of_a_synthetic_clip_can_be_shaken() -> None:
    page = pwtp_page()
    still = figures(page)[0]
    page.slider(key="pwtp_shake").set_value(3).run()
    shaken = figures(page)[0]
    assert shaken["clip"] != still["clip"]
    assert "shake=3" in words(page)
    page.slider(key="pwtp_shake").set_value(0).run()
    assert figures(page)[0]["digest"] == still["digest"]


def test_an_upload_has_no_camera_to_shake(monkeypatch: pytest.MonkeyPatch) -> None:
    from vizkit.clip import clip_from_frames
    from vizkit.contracts import VideoClip
    from vizkit.ui import page as frame

    pixels = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3)).astype(np.uint8)
    video: VideoClip = clip_from_frames(pixels, name="mine", times_s=np.arange(8) / 8)
    monkeypatch.setattr(frame, "gallery_clip", lambda _name: video)
    page = pwtp_page()
    assert not [slider for slider in page.slider if slider.key == "pwtp_shake"]
    figures(page)


def test_equal_settings_share_their_results() -> None:
    pwtp_page()
    kept = len(compute.RESULTS._kept)
    pwtp_page()
    assert len(compute.RESULTS._kept) == kept


def test_longer_sequences_are_shown_when_asked_for():
    page = pwtp_page(segments="8")
    count = len(components(page, "vizkit_player"))
    page.toggle(key="pwtp_longer").set_value(True).run()
    assert not page.exception
    found = components(page, "vizkit_player")
    assert len(found) == count + 1
    assert {panel["name"] for panel in found[-1]["figure"]["panels"]} >= {"dynamic 4", "dynamic 8", "size 8"}
    assert "untrained projection of its own" in words(page)
    assert "T = 4, 8 sampled frames" in words(page)
