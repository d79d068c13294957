"""The page that compares: two models, settings, clips, modules on and off; what toggles cost; what cannot be compared."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.parts import components, open_page, words
from vizkit.ui.words import SYNTHETIC_MODEL

SWITCHES = {"compare_kind": "modules on and off"}


def compare_page(**query: str) -> AppTest:
    return open_page("compare", **query).run()


def player(page: AppTest) -> dict[str, Any]:
    """The player of both sides, on a page without an error."""
    assert not page.exception
    assert not page.error, [e.value for e in page.error]
    (found,) = components(page, "vizkit_player")
    return found


def figure(page: AppTest) -> dict[str, Any]:
    return player(page)["figure"]


def maps(found: dict[str, Any], side: str, kind: str = "heat") -> list[np.ndarray]:
    """The first plane of every map of one side."""
    plane = {"heat": "values", "motion": "dx"}[kind]
    panels = [panel for panel in found["panels"] if panel["name"].startswith(f"{side} ")]
    layers = [layer for panel in panels for layer in panel["layers"] if layer["kind"] == kind]
    return [np.frombuffer(base64.b64decode(layer[plane]), "<f4").reshape(layer["h"], layer["w"]) for layer in layers]


def bars(found: dict[str, Any]) -> list[str]:
    return [key["label"] for key in found["keys"] if key["kind"] == "bar"]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by a network's name with every forward pass."""
    from vizkit.net import probe

    counted: list[str] = []
    forward = probe._forward

    def count(network: Any, tree: Any, clip: Any) -> Any:
        counted.append(network.name)
        return forward(network, tree, clip)

    monkeypatch.setattr(probe, "_forward", count)
    return counted


def test_two_models_stand_on_the_same_frames_with_their_difference():
    page = compare_page(model="tiny-fields", compare_model="tiny")
    found = figure(page)
    assert page.selectbox(key="compare_view").value == "dcf", "the model's own view"
    assert {panel["pair"] for panel in found["panels"]} == {"", "res2", "res3", "res4"}
    assert [panel["name"] for panel in found["panels"] if not panel["pair"]] == [f"frame {t}" for t in range(4)], "frames are shown once"
    ours, theirs, apart = (maps(found, side, kind) for side, kind in (("A", "motion"), ("B", "motion"), ("B − A", "heat")))
    assert len(ours) == len(theirs) == len(apart) == 3 * 3
    assert not np.array_equal(ours[0], theirs[0])
    assert min(np.nanmin(values) for values in apart if not np.isnan(values).all()) >= 0, "lengths of differences"
    said = words(page)
    assert "A tiny-fields" in said.replace("*", "")
    assert "B tiny" in said.replace("*", "")
    offered = {button.proto.label for button in page.get("download_button")}
    assert {"PDF", "SVG", "PNG", "GIF", "WebM", "NPZ", "CSV"} <= offered
    assert "Recipe" not in offered, "two pictures have two recipes"
    copied = [code.value for code in page.code]
    assert copied[0].startswith("?") or "model=tiny-fields" in copied[0], "a link to both"
    assert any("@software{vizkit," in text for text in copied)
    assert not any(text.startswith("vizkit render") for text in copied)
    assert "A command and a script draw one picture: choose A or B for those." in words(page)
    page.segmented_control(key="export-what").set_value("B").run()
    assert "Recipe" in [button.proto.label for button in page.get("download_button")], "a side alone can be made again"
    assert any(code.value.startswith("vizkit render") for code in page.code)


def test_each_side_reads_its_own_cells_and_what_they_look_at():
    found = figure(compare_page(model="tiny-fields", compare_model="tiny"))
    one, other = found["sides"]["A"], found["sides"]["B"]
    assert list(one["fields"]) == list(other["fields"]) == ["res2", "res3", "res4"]
    assert one["fields"]["res2"] != other["fields"]["res2"], "two backbones"
    assert found["fields"] == one["fields"], "what both show is told of the first"
    assert {panel["side"] for panel in found["panels"]} == {"", "A", "B", "B − A"}
    clips = figure(compare_page(model="tiny", compare_kind="two clips", compare_view="cpnet"))["sides"]
    assert clips["A"]["clip"] != clips["B"]["clip"], "the way to the source is that of the side's own clip"


def test_grad_cam_lies_over_both_sides_without_a_further_run(forwards: list[str]):
    page = compare_page(model="tiny", compare_kind="two clips", compare_view="cpnet")
    before = len(forwards)
    page.toggle(key="cam").set_value(True).run()
    page.selectbox(key="cam_target").set_value("moving left").run()
    assert len(forwards) == before
    found = figure(page)
    laid = {
        panel["side"]: layer["limits"] for panel in found["panels"] for layer in panel["layers"] if layer["name"] == "Grad-CAM: moving left"
    }
    assert laid["A"] == laid["B"], "one scale"
    assert "The class map over the frames of B, by its time steps:" in words(page)
    assert "raw values from 0 to" in words(page)
    page.segmented_control(key="export-what").set_value("B").run()
    assert "Recipe" in [button.proto.label for button in page.get("download_button")]
    page.selectbox(key="compare_view").set_value("gradcam").run()
    assert not [toggle for toggle in page.toggle if toggle.key == "cam"], "that view is the map itself"


def test_a_link_with_the_name_of_a_view_keeps_it_in_the_address():
    page = compare_page(model="tiny-fields", compare_view="cpnet")
    assert page.selectbox(key="compare_view").value == "cpnet"
    assert page.query_params["compare_view"] in ("Correspondence proposals", ["Correspondence proposals"])


def test_one_scale_can_be_unlocked():
    page = compare_page(model="tiny", compare_kind="two clips", compare_view="cpnet")
    found = figure(page)
    assert bars(found) == ["feature change, L1 over channels"]
    (limits,) = {tuple(layer["limits"]) for panel in found["panels"] for layer in panel["layers"] if layer["kind"] == "heat"}
    tops = [max(values.max() for values in maps(found, side)) for side in ("A", "B")]
    assert limits[1] == pytest.approx(max(tops))
    assert "show different frames" in words(page), "no difference of two clips"
    page.toggle(key="compare_locked").set_value(False).run()
    assert bars(figure(page)) == ["A: feature change, L1 over channels", "B: feature change, L1 over channels"]
    assert "scales of their own" in words(page)


def test_two_settings_are_one_run(forwards: list[str]):
    page = compare_page(model="tiny", compare_kind="two settings")
    found = figure(page)
    assert len(forwards) <= 1
    assert "Both sides are one run" in words(page)
    assert page.selectbox(key="compare_cpnet_A_metric").value == "own"
    assert page.selectbox(key="compare_cpnet_B_metric").value == "spatiotemporal"
    assert "equal in every cell" in words(page), "the metric of a picture changes no feature"
    page.selectbox(key="compare_cpnet_B_block").set_value("res4.0").run()
    assert "res3.1 and res4.0 have none in common" in words(page)
    assert figure(page)["digest"] != found["digest"]
    assert len(forwards) <= 1


def test_toggles_never_run_a_network_again(forwards: list[str]):
    page = compare_page(model="tiny", compare_cpnet_block="res3.1", **SWITCHES, **{"on_cpnet-18_res4.0": "false"})
    figure(page)
    before = list(forwards)
    seen = set()
    toggles = ("compare_difference", "compare_locked", "compare_cpnet_heat", "compare_cpnet_arrows", "compare_difference")
    for number, key in enumerate(toggles):
        toggle = page.toggle(key=key)
        toggle.set_value(not toggle.value).run()
        page.segmented_control(key="compare_show").set_value(("wipe", "side by side")[number % 2]).run()
        shown = player(page)
        seen.add((shown["figure"]["digest"], shown["options"]["wipe"]))
    assert forwards == before
    assert len(seen) >= 4


def test_a_switched_off_block_changes_what_comes_after_it_and_the_prediction(forwards: list[str]):
    page = compare_page(model="tiny", clip="Two things close in", **SWITCHES)
    assert "Nothing is changed yet" in words(page)
    assert "one thing" in words(page)
    assert np.array_equal(maps(figure(page), "A")[0], maps(figure(page), "B")[0])
    runs = len(forwards)
    page.toggle(key="on_cpnet-18_res3.1").set_value(False).run()
    found = figure(page)
    assert len(forwards) == runs + 1, "side A is at hand"
    assert page.selectbox(key="compare_cpnet_block").value == "res4.0", "what is off cannot be shown"
    ours, theirs, apart = (maps(found, side) for side in ("A", "B", "B − A"))
    assert np.allclose(apart[0], theirs[0] - ours[0])
    assert np.abs(apart[0]).max() > 0
    assert "Switched off in this run: res3.1." in words(page)
    (table,) = (frame.value for frame in page.dataframe if "change_points" in frame.value)
    assert np.allclose(table["change_points"], table["B_percent"] - table["A_percent"])
    assert np.abs(table["change_logit"]).max() > 0


def test_settings_that_no_weight_depends_on_can_be_changed():
    page = compare_page(model="tiny", **SWITCHES)
    assert "the last linear layer stands after max" in words(page)
    page.slider(key="at_cpnet-18_res3.1_neighbors").set_value(1).run()
    found = figure(page)
    assert "res3.1 has neighbors 1 instead of 4" in words(page)
    ends = [found["panels"][number]["name"][0] for layer in found["links"] for number in layer["to"]]
    assert ends.count("B") < ends.count("A")


@pytest.mark.parametrize(
    ("model", "reason"),
    [("tiny-fields", "a learned weight for each of the 2 x 2 offsets x 5 x 5 = 100 correlations"), ("tiny-points", "2 learned embeddings")],
)
def test_settings_that_weights_were_made_for_say_why_they_stay(model: str, reason: str):
    assert reason in words(compare_page(model=model, **SWITCHES))


def test_a_network_without_the_view_says_so():
    page = compare_page(model="tiny", compare_model="tiny-filters", compare_view="corrnet")
    assert "Not available for A: tiny has no correlation block" in words(page)
    assert not page.exception
    assert not components(page, "vizkit_player")


def test_a_network_without_blocks_offers_others(monkeypatch: pytest.MonkeyPatch):
    from vizkit.ui import compute

    network = compute.network
    monkeypatch.setattr(compute, "network", lambda name: replace(network(name), blocks=()) if name == "tiny" else network(name))
    page = compare_page(model="tiny", **SWITCHES)
    assert "tiny has no inserted block" in words(page)
    page.button(key="use-tiny-fields").click().run()
    assert page.toggle(key="on_dcf-r2plus1d-50_res2.dcf").value


def test_what_a_model_refuses_is_one_sentence_and_the_page_stays():
    page = compare_page(model="tiny", compare_model="tiny-points", compare_view="dcf", segments="6")
    assert not page.exception
    (said,) = page.error
    assert "3 steps in time where key point shifts of 2 are embedded" in said.value
    assert components(page, "vizkit_player")[0]["figure"]["panels"], "the frames are there"
    assert "made for 4" in words(page)


def other_clip() -> bytes:
    """Five frames of noise, wider than high."""
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.random.default_rng(0).integers(0, 255, (5, 48, 80, 3), dtype=np.uint8), fps=np.array(5.0))
    return buffer.getvalue()


def test_an_upload_is_compared_with_a_built_in_clip():
    page = compare_page(model="tiny", compare_kind="two clips", compare_view="kpsem")
    page.file_uploader[0].set_value(("noise.npz", other_clip(), "application/octet-stream")).run()
    found = figure(page)
    assert {panel["pair"] for panel in found["panels"]} == {"frames"}
    assert "B world" in words(page).replace("*", "")
    assert "apart in A" in words(page)
    assert SYNTHETIC_MODEL in words(page), "labels of the motion world on another clip"
    assert "Key points are places" not in words(page), "other frames are the stronger reason"


def test_an_address_that_means_nothing_here_is_left_out():
    page = compare_page(clip="gone.mp4 · 12345678", compare_kind="three things", compare_model="none", compare_view="dcf", model="tiny")
    assert "upload that clip" in words(page)
    assert figure(page)["panels"]
