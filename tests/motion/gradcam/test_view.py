"""Grad-CAM's record and picture: what was found, on one scale, with what each frame shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import vizkit
from vizkit.contracts import Grid, Sampling
from vizkit.errors import NotAvailableError, SettingError
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer
from vizkit.motion.gradcam import analysis
from vizkit.motion.gradcam.analysis import ClassAttention, Params, analyze, unavailable
from vizkit.motion.gradcam.figure import draw, tabulate
from vizkit.net.attention import attend
from vizkit.net.network import Network
from vizkit.net.probe import ProbedRun, probe
from vizkit.pipeline import analyze as analyze_view
from vizkit.pipeline import draw as draw_view
from vizkit.recipe import Recipe
from vizkit.render.write import encode


@pytest.fixture(scope="module")
def network() -> Network:
    found = vizkit.load_network("r2plus1d-26", num_classes=5, width=4, frames=8)
    return replace(found, sampling=Sampling(segments=8, frames=8, short_side_px=64, crop_px=64))


@pytest.fixture(scope="module")
def run(network: Network) -> ProbedRun:
    return probe(network, vizkit.world.clip(0, frames=8, side_px=64).clip)


@pytest.fixture(scope="module")
def result(run: ProbedRun) -> ClassAttention:
    return analyze(run, Params(stage="res4", target="3"))


def planted(result: ClassAttention, values: list[float]) -> ClassAttention:
    """The record with a map that is the same over the whole frame: one value for each time step."""
    signed = np.broadcast_to(np.array(values, np.float32)[:, None, None], (len(values), 4, 4)).copy()
    grid = Grid("res4", 0.0, 16.0, 2, signed.shape)  # type: ignore[arg-type]
    volume = replace(result.volume, signed=signed, values=np.maximum(signed, 0), grid=grid)
    return replace(result, volume=volume)


def heat(spec: FigureSpec) -> list[HeatLayer]:
    return [layer for panel in spec.panels for layer in panel.layers if isinstance(layer, HeatLayer)]


# ------------------------------------------------------------------------------------------------ the record


def test_the_record_is_what_the_stage_says_about_the_label(run: ProbedRun, result: ClassAttention) -> None:
    expected = attend(run, stage="res4", target=3)
    assert np.array_equal(result.values, expected.values)
    assert np.array_equal(result.signed, expected.signed)
    assert (result.volume.target, result.volume.label, result.grid.stage) == (3, run.network.labels[3], "res4")
    assert result.probability == pytest.approx(float(run.prediction.probabilities[3]))
    assert result.logit == float(run.prediction.logits[3])
    assert result.grid.stride_frames == 2
    assert result.frames_covered.tolist() == [[0, 7]] * 4
    assert result.covers_known
    assert result.summary()["value_max"] == float(expected.values.max())
    assert analyze(run, Params()).volume.stage == "res5"
    assert analyze(run, Params()).volume.target == int(run.prediction.logits.argmax())


def test_random_weights_are_called_meaningless(run: ProbedRun, result: ClassAttention) -> None:
    assert any("meaningless" in note for note in result.notes)
    trained = replace(run, network=replace(run.network, origin="trained"))
    assert not any("meaningless" in note for note in analyze(trained, Params(target="3")).notes)


def test_a_map_that_is_bright_on_its_own_scale_alone_is_said_to_be_weak(run: ProbedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    found = attend(run, stage=None, target=2, method="gradcam")
    for above, weak in ((0.04, True), (0.06, False), (0.0, False)):
        signed = np.full_like(found.signed, -1.0)
        signed[0, 0, 0] = above
        volume = replace(found, signed=signed, values=np.maximum(signed, 0))
        monkeypatch.setattr(analysis, "attend", lambda *_, volume=volume, **__: volume)
        told = " ".join(analyze(run, Params(target=2)).notes)
        assert ("values above zero reach 0.04, those below -1." in told) is weak


def test_methods_that_need_no_label_or_have_no_sign_say_so(run: ProbedRun) -> None:
    notes = " ".join(analyze(run, Params(method="eigencam")).notes)
    assert "does not depend on the label" in notes
    assert "sign" in notes
    assert "Grad-CAM" not in notes


def test_settings_are_checked(run: ProbedRun) -> None:
    assert Params.parse(target=3).target == "3"
    with pytest.raises(SettingError, match="'method': ablationcam cannot be had of a clip: it repeats the input"):
        Params.parse(method="ablationcam")
    with pytest.raises(SettingError, match="'method'.*gradcam"):
        Params.parse(method="cam")
    with pytest.raises(SettingError, match="stage 'res9'.*res2, res3, res4, res5"):
        analyze(run, Params(stage="res9"))
    bare = replace(run.network, stages=())
    assert "no stages" in str(unavailable(bare))
    with pytest.raises(NotAvailableError):
        analyze_view("gradcam", replace(run, network=bare))


# ------------------------------------------------------------------------------------------------ the picture


def test_each_frame_shows_its_time_step_on_one_scale(result: ClassAttention) -> None:
    spec = draw(planted(result, [0.1, 0.4, -0.3, 0.2]))
    layers = heat(spec)
    assert [layer.values[0, 0] for layer in layers] == pytest.approx([0.1, 0.1, 0.4, 0.4, 0, 0, 0.2, 0.2])
    assert {layer.limits for layer in layers} == {(0.0, float(np.float32(0.4)))}
    assert [panel.frame for panel in spec.panels] == list(range(8))
    (bar,) = spec.keys
    assert isinstance(bar, ColorBarKey)
    assert bar.limits == layers[0].limits
    assert "from -0.3 to 0.4, not rescaled" in spec.caption


def test_frames_between_steps_may_be_interpolated(result: ClassAttention) -> None:
    spec = draw(planted(result, [0.0, 0.4, 0.8, 0.2]), time="linear")
    assert [layer.values[1, 2] for layer in heat(spec)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.5, 0.2, 0.2])
    assert "interpolated" in spec.caption


def test_what_speaks_against_the_label(result: ClassAttention) -> None:
    layers = heat(draw(planted(result, [0.1, 0.4, -0.5, 0.2]), values="signed"))
    assert layers[4].values[0, 0] == pytest.approx(-0.5)
    assert {(layer.limits, layer.colors) for layer in layers} == {((-0.5, 0.5), "diverging")}


def test_two_pictures_share_a_given_scale(result: ClassAttention) -> None:
    first, second = (draw(planted(result, values), limit=2.0) for values in ([1.0, 0, 0, 0], [0, 2.0, 0, 0]))
    assert {layer.limits for layer in (*heat(first), *heat(second))} == {(0.0, 2.0)}
    assert "given" in first.keys[0].note  # type: ignore[union-attr]


def test_chosen_frames(result: ClassAttention) -> None:
    spec = draw(result, frames="2,5", columns=1)
    assert [(panel.frame, panel.row, panel.column) for panel in spec.panels] == [(2, 0, 0), (5, 1, 0)]
    image = spec.panels[1].layers[0]
    assert isinstance(image, ImageLayer)
    luma = result.clip.frames[5] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(image.pixels - luma[..., None]).max() <= 0.5
    with pytest.raises(SettingError, match=r"frames has 8, but the clip has sampled frames 0\.\.7"):
        draw(result, frames=(8,))


def test_a_map_of_zeros_shows_frames_and_says_why(result: ClassAttention) -> None:
    zero = planted(result, [0.0, -0.1, -0.2, 0.0])
    zero = replace(zero, volume=replace(zero.volume, zero_because="The map is zero because."), notes=("The map is zero because.",))
    spec = draw(zero)
    assert heat(spec) == []
    assert spec.keys == ()
    assert spec.alt == "The map is zero because."
    assert "The map is zero because." in spec.notes
    assert heat(draw(zero, values="signed"))


def test_the_caption_says_what_the_steps_look_at(run: ProbedRun, result: ClassAttention) -> None:
    assert "4 time steps, 2 frames apart" in draw(result).caption
    assert "every step looks at all frames" in draw(result).caption
    assert "step 4 (frame 4) looks at frames 2 to 6" in draw(replace(analyze(run, Params(stage="res2")), params=Params())).caption
    assert "Each frame has a time step of its own" in draw(analyze(run, Params(stage="res2"))).caption


def test_the_table_has_a_row_for_each_step(result: ClassAttention) -> None:
    record = planted(result, [0.1, 0.4, -0.3, 0.2])
    record.volume.values[1, 2, 3] = 0.9
    rows = [dict(zip(tabulate(record).columns, row, strict=True)) for row in tabulate(record).rows]
    assert [row["frame"] for row in rows] == [0, 2, 4, 6]
    assert (rows[1]["peak_x_px"], rows[1]["peak_y_px"]) == (48.0, 32.0)
    assert rows[2]["peak_x_px"] == ""
    assert rows[2]["signed_min"] == pytest.approx(-0.3)


def test_a_recipe_makes_the_same_bytes(run: ProbedRun) -> None:
    spec = draw_view(analyze_view("gradcam", run, stage="res4", target="2", method="layercam"), limit=0.5)
    again = Recipe.parse(**spec.recipe).run(network=run.network)
    assert encode(again, "npz") == encode(spec, "npz")
    assert heat(again)[0].limits == (0.0, 0.5)
