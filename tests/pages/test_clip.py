"""The first page: everything is there without a click, and a bad upload costs one sentence."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.pages.parts import arrows, components, open_page, words
from vizkit.ui.words import SYNTHETIC_MODEL


def real_clip() -> bytes:
    """A square that moves, as an array file: no codec needed."""
    frames = np.zeros((12, 48, 64, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[16:32, 3 * number : 3 * number + 16] = 200
    buffer = io.BytesIO()
    np.savez(buffer, frames=frames)
    return buffer.getvalue()


def test_first_visit_shows_clip_prediction_and_picture_without_a_click():
    page = open_page("clip").run()

    assert not page.exception
    assert not page.error
    film, first = components(page, "vizkit_player")
    assert film["options"]["playing"]
    assert len(film["figure"]["panels"]) == 4
    assert arrows(first) == 3 * 4  # three cells of largest change, k = 4
    assert not first["options"]["busy"]
    assert len(components(page, "vizkit_timeline")) == 1
    assert "vz-bars" in "".join(found.proto.body for found in page.get("html"))
    assert SYNTHETIC_MODEL not in words(page), "a built-in clip belongs to the model's world"


def test_built_in_clip_needs_no_torch():
    code = "import sys; from vizkit.ui.gallery import *; gallery_clip(gallery_names()[0]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_upload_is_shown_with_a_word_about_its_labels():
    page = open_page("clip").run()
    page.file_uploader[0].set_value(("moving <b>square.npz", real_clip(), "application/octet-stream")).run()

    assert not page.exception
    assert page.selectbox(key="clip").value.startswith("moving <b>square")
    film, first = components(page, "vizkit_player")
    assert arrows(first) == 3 * 4
    assert SYNTHETIC_MODEL in words(page)
    markup = [element.value for element in page.markdown if "moving" in str(element.value)]
    assert markup
    assert all("<b>" not in text for text in markup), "names are escaped"


def test_bad_upload_is_one_sentence_and_the_session_goes_on():
    page = open_page("clip").run()
    page.file_uploader[0].set_value(("good.npz", real_clip(), "application/octet-stream")).run()
    good = page.selectbox(key="clip").value
    page.file_uploader[0].set_value(("bad.mp4", b"no video at all", "video/mp4")).run()

    assert not page.exception
    assert [error.value.count("\n") for error in page.error] == [0]
    assert "bad.mp4" in words(page)
    assert page.selectbox(key="clip").value == good
    assert arrows(components(page, "vizkit_player")[1]) > 0


def test_removed_upload_goes_back_to_the_gallery():
    page = open_page("clip").run()
    first = page.selectbox(key="clip").value
    page.file_uploader[0].set_value(("gone.npz", real_clip(), "application/octet-stream")).run()
    page.button[0].click().run()

    assert not page.exception
    assert page.selectbox(key="clip").value == first
    assert not page.session_state["box"].clips


def test_bug_is_an_error_id_for_the_visitor_and_a_traceback_in_the_log(monkeypatch, caplog):
    from vizkit.ui import clip_bar

    def broken(*arguments: object, **settings: object) -> None:
        raise ZeroDivisionError("secret path /etc")

    monkeypatch.setattr(clip_bar, "timeline_payload", broken)
    page = open_page("clip").run()

    assert not page.exception
    assert len(page.error) == 1
    assert "error id" in page.error[0].value
    assert "secret" not in words(page)
    assert "ZeroDivisionError: secret path /etc" in caplog.text
    assert len(components(page, "vizkit_player")) == 2, "the other panels stand"


def test_weights_that_do_not_match_their_card_are_one_sentence_and_the_clip_still_plays(tiny_checkpoints, tmp_path, monkeypatch):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_checkpoints / "tiny", folder)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "digest": "0" * 64}))
    monkeypatch.setenv("VIZKIT_CHECKPOINTS", str(tmp_path))
    page = open_page("clip").run()

    assert not page.exception
    assert page.selectbox(key="model").value == "broken"
    assert all("not the file that its card describes" in error.value for error in page.error)
    assert len(page.error) == 2, "once for the prediction, once for the picture"
    film, first = components(page, "vizkit_player")
    assert film["options"]["playing"]
    assert not first["options"]["busy"]


def test_a_window_samples_other_frames_and_is_in_the_address():
    page = open_page("clip", w="0.4-0.9").run()

    (line,) = components(page, "vizkit_timeline")
    assert line["start_s"] == pytest.approx(0.4)
    assert line["end_s"] == pytest.approx(0.9)
    assert all(0.4 <= time < 0.9 for time in line["marks_s"])
