"""The list of layers and the one cursor of the player, on figures made by hand: what is seen is what is exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.browser.test_player import GREY, SIDE, VALUES, canvas_pixels, in_print, one_panel
from tests.ui.figures import figure, motion
from vizkit.contracts import Grid, ReceptiveField, SampledClip, Sampling, Window
from vizkit.figure.layers import LayerLook, dress
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Panel, WheelKey
from vizkit.ui.player.payload import Cells, figure_payload

pytestmark = pytest.mark.browser

HEAT = HeatLayer(VALUES, 15.5, 32.0, (0.0, 1.0), "heat", opacity=0.6)
SIGNED = HeatLayer(VALUES - np.float32(0.5), 15.5, 32.0, (-0.5, 0.5), "signed", colors="diverging", opacity=0.6)


def shown(page: Any) -> np.ndarray:
    """[SIDE, SIDE, 3] the only panel of the strip."""
    return canvas_pixels(page)[19 : 19 + SIDE, :SIDE, :3].astype(float)


def agree(page: Any, spec: FigureSpec) -> bool:
    """Whether the player shows what is printed."""
    inside = slice(4, -4)
    return bool((np.abs(shown(page) - in_print(spec))[inside, inside].max(-1) <= 2).mean() > 0.999)


def unfold(page: Any, name: str) -> None:
    page.get_by_role("button", name=f"Limits and colours of {name}", exact=True).click()


def sent(page: Any) -> list[Any]:
    return list(page.evaluate("() => window.picks"))


def leave(page: Any) -> None:
    """Go from the list to the strip."""
    page.locator("canvas.strip").hover(position={"x": 5, "y": 5})


def looks(page: Any) -> dict[str, LayerLook]:
    """What the page is told, read as the app reads it."""
    (chosen,) = sent(page)
    return {name: LayerLook.parse(**fields) for name, fields in chosen.items()}


def test_what_is_set_in_the_list_is_what_is_exported_and_is_told_once(mounted: Callable[..., Any]):
    spec = replace(one_panel(GREY, HEAT), keys=(ColorBarKey("what it is", (0.0, 1.0), "inferno", "", "heat"),))
    page = mounted(figure_payload(spec))
    for name in ("heat", "frame", "heat", "frame"):
        page.get_by_role("checkbox", name=name).locator("xpath=..").click()
    unfold(page, "heat")
    page.get_by_role("combobox", name="Colour map of heat").select_option("cividis")
    for end, value in (("Lowest", "0.25"), ("Highest", "0.75")):
        field = page.get_by_role("spinbutton", name=f"{end} value of heat")
        field.fill(value)
        field.press("Enter")
    page.get_by_role("slider", name="Opacity of heat").fill("90")
    assert page.locator(".ends").inner_text().split() == ["0.25", "0.75"], "the bar has the limits"
    assert sent(page) == [], "nothing is told while the list is used"
    leave(page)
    wanted = {"heat": LayerLook(opacity=0.9, limits=(0.25, 0.75), colors="cividis")}
    assert looks(page) == wanted
    assert agree(page, dress(spec, wanted))
    assert not agree(page, spec)
    page.get_by_role("button", name="Limits and colours of heat as drawn").click()
    page.get_by_role("slider", name="Opacity of heat").fill("60")
    leave(page)
    assert sent(page)[1:] == [{}]
    assert agree(page, spec)


def test_a_diverging_map_stays_symmetric_and_a_wrong_limit_is_refused(mounted: Callable[..., Any]):
    spec = one_panel(GREY, SIGNED)
    page = mounted(figure_payload(spec))
    unfold(page, "signed")
    choices = page.get_by_role("combobox", name="Colour map of signed").locator("option").all_inner_texts()
    assert choices == ["diverging", "viridis", "cividis", "gray"]
    highest = page.get_by_role("spinbutton", name="Highest value of signed")
    highest.fill("0.2")
    highest.press("Enter")
    assert page.get_by_role("spinbutton", name="Lowest value of signed").input_value() == "-0.2"
    highest.fill("-0.3")
    highest.press("Enter")
    assert highest.get_attribute("aria-invalid") == "true"
    leave(page)
    assert looks(page) == {"signed": LayerLook(limits=(-0.2, 0.2))}
    assert agree(page, dress(spec, looks(page)))


def test_motion_gets_another_length_of_full_colour(mounted: Callable[..., Any]):
    spec = replace(one_panel(GREY, motion("res3", SIDE)), keys=(WheelKey("res3", 16.0, "motion"),))
    page = mounted(figure_payload(spec))
    unfold(page, "motion")
    page.get_by_role("combobox", name="Full colour of motion").select_option("0.5")
    leave(page)
    assert looks(page) == {"motion": LayerLook(reach=0.5)}
    assert agree(page, dress(spec, looks(page)))
    assert "full colour = 16 px/frame × 0.5" in page.locator(".wheels").inner_text()


def test_keys_alone_hide_fold_and_set(mounted: Callable[..., Any]):
    spec = one_panel(GREY, HEAT)
    page = mounted(figure_payload(spec))
    page.locator("canvas.strip").focus()
    page.keyboard.press("2")
    assert (np.abs(shown(page)[4:-4, 4:-4] - 120) <= 2).all(), "the second layer is hidden"
    assert sent(page) == [{"heat": {"visible": False}}]
    eye = page.get_by_role("checkbox", name="heat")
    assert not eye.is_checked()
    eye.focus()
    page.keyboard.press("Space")
    assert eye.is_checked()
    fold = page.get_by_role("button", name="Limits and colours of heat", exact=True)
    assert fold.get_attribute("aria-expanded") == "false"
    fold.focus()
    page.keyboard.press("Enter")
    assert fold.get_attribute("aria-expanded") == "true"
    page.get_by_role("combobox", name="Colour map of heat").focus()
    page.keyboard.press("g")
    page.keyboard.press("Tab")
    assert agree(page, dress(spec, {"heat": LayerLook(colors="gray")}))
    whole = page.get_by_role("button", name="Layers", exact=True)
    whole.press("Enter")
    assert whole.get_attribute("aria-expanded") == "false"
    assert not eye.is_visible()


def test_a_map_that_waits_for_its_reader_is_not_drawn_until_then(mounted: Callable[..., Any]):
    spec = one_panel(GREY, replace(HEAT, shown=False))
    page = mounted(figure_payload(spec))
    assert agree(page, dress(spec, {}))
    page.get_by_role("checkbox", name="heat").check(force=True)
    leave(page)
    assert looks(page) == {"heat": LayerLook(visible=True)}
    assert agree(page, dress(spec, looks(page)))


def test_marks_have_an_eye_alone_as_print_cannot_fade_them(mounted: Callable[..., Any]):
    page = mounted(figure_payload(figure()))
    sliders = page.locator(".layer input[type=range]")
    assert sliders.evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))") == [
        f"Opacity of {name}" for name in ("frame", "change", "truth", "filtered", "active")
    ]
    assert page.get_by_role("checkbox").count() == 6


# ------------------------------------------------------------------------------------------------ one cursor

FRAMES, HIGH, WIDE = 4, 40, 48


def clip(scale: float = 2.0, frames: int = FRAMES) -> SampledClip:
    """Grey frames; source pixel = 10 + scale * pixel, source frames 0, 5, 10 ..."""
    grey = np.full((frames, HIGH, WIDE, 3), 120, np.uint8)
    times = np.arange(frames) * (FRAMES / frames) / 10
    return SampledClip("a", "d", Sampling(), grey, np.arange(frames) * 5, times, Window((scale, scale), (10.0, 20.0), (WIDE, HIGH)))


GRID = Grid("res3", 1.5, 4.0, 2, (FRAMES // 2, HIGH // 4, WIDE // 4))
FIELD = ReceptiveField("res3.1", (-3.0, -3.0), (6.0, 6.0), 4.0, np.array([[0, 1], [1, 3]]))


def film(frames: SampledClip, **more: Any) -> dict[str, Any]:
    panels = tuple(Panel(f"frame {t}", f"t = {t}", (WIDE, HIGH), 0, t, (ImageLayer(pixels),), t) for t, pixels in enumerate(frames.frames))
    spec = FigureSpec("Film", "A caption.", "Frames.", panels)
    return figure_payload(spec, times_s=frames.times_s.tolist(), clip_digest="d", grid=GRID, frames=frames, fields={"res3": FIELD}, **more)


TILE, ROW = 269, 269 * HIGH // WIDE + 27
"""Of four frames on 824 px: three beside each other, in canvas pixels."""


def corner(frame: int) -> tuple[int, int]:
    """Left and top of a frame on the strip."""
    return frame % 3 * (TILE + 8), frame // 3 * ROW + 19


def place(frame: int, x: float, y: float) -> dict[str, float]:
    """Where a pixel of a frame lies on the strip."""
    left, top = corner(frame)
    return {"x": left + (x + 0.5) * TILE / WIDE, "y": top + (y + 0.5) * TILE / WIDE}


def tile(pixels: np.ndarray, frame: int) -> np.ndarray:
    """One frame of the strip, without the line around it."""
    left, top = corner(frame)
    return pixels[top + 5 : top + TILE * HIGH // WIDE - 5, left + 5 : left + TILE - 5]


HEARD = "() => { window.heard = []; window.addEventListener('vizkit-cursor', ({detail: {player, ...said}}) => window.heard.push(said)); }"


def test_the_tip_says_cell_source_and_what_the_cell_sees(mounted: Callable[..., Any]):
    page = mounted(film(clip()), wide=824)
    page.locator("canvas.strip").hover(position=place(2, 20, 8))
    lines = page.locator(".tip").inner_text().split("\n")
    assert lines == ["t = 2 · x 20, y 8 px", "cell t 1, y 2, x 5", "source x 50, y 36 px, frame 10", "sees 10 × 10 px of frames 1 to 3"]


OTHER = Grid("res4", 3.5, 8.0, 1, (FRAMES, HIGH // 8, WIDE // 8))
SEES = ReceptiveField("res4", (-8.0, -8.0), (15.0, 15.0), 8.0, np.array([[t, t] for t in range(FRAMES)]))


def two_sides() -> dict[str, Any]:
    """One frame of both, a panel of each side, and their difference; B sees another clip through larger cells."""
    frames, others = clip(frames=1), clip(frames=1, scale=4.0)
    picture = (ImageLayer(frames.frames[0]),)
    unknown = HeatLayer(np.full((HIGH // 16, WIDE // 16), np.nan, np.float32), 7.5, 16.0, (0.0, 1.0), "difference", "px")
    drawn = (("", picture), ("A", picture), ("B", picture), ("B - A", (*picture, unknown)))
    panels = tuple(
        Panel(f"frame {side}", side, (WIDE, HIGH), 0, at, layers, 0, side, pair="res3" if side else "", side=side)
        for at, (side, layers) in enumerate(drawn)
    )
    spec = FigureSpec("Two", "A caption.", "Two.", panels)
    one, other = Cells(frames, GRID, {"res3": FIELD}), Cells(others, OTHER, {"res4": SEES})
    return figure_payload(spec, clip_digest="d", grid=GRID, frames=frames, fields=one.fields, sides={"A": one, "B": other})


def test_of_two_results_each_reads_its_own_cells_source_and_box(mounted: Callable[..., Any]):
    page = mounted(two_sides(), wide=824, layout="still")
    tip, strip = page.locator(".tip"), page.locator("canvas.strip")
    box = strip.bounding_box()
    told = []
    for column in range(4):
        strip.hover(position={"x": (column + 0.5) * box["width"] / 4, "y": box["height"] * 0.5})
        told.append(tip.inner_text().split("\n"))
    both, one, other, apart = told
    assert both[1].startswith("A: cell t 0")
    assert both[3] == "A: sees 10 × 10 px of frames 0 to 1"
    assert one[1].startswith("cell t 0")
    assert one[3] == "sees 10 × 10 px of frames 0 to 1"
    assert other[1].startswith("cell t 0")
    assert other[3] == "sees 24 × 24 px of frame 0"
    assert other[2] != one[2], "B's way to the source is that of its own clip"
    assert apart[1] == "A: cell y 1, x 1", "a difference is told in its own cells"
    assert apart[2] == "difference unknown"


def test_the_box_lies_on_the_frames_that_the_cell_sees_and_on_no_other(mounted: Callable[..., Any]):
    """Cell (5, 2) of step 1 sees columns 17 to 26 and rows 5 to 14 of frames 1 to 3."""
    page = mounted(film(clip()), wide=824)
    before = canvas_pixels(page)[..., :3].astype(int)
    spot = place(2, 20, 8)
    page.locator("canvas.strip").hover(position=spot)
    changed = np.abs(canvas_pixels(page)[..., :3].astype(int) - before).max(-1) > 20
    for frame in range(FRAMES):
        rows, columns = np.nonzero(tile(changed, frame))
        left, right, top, bottom = ((side + 5) * WIDE / TILE for side in (columns.min(), columns.max(), rows.min(), rows.max()))
        if frame == 0:
            assert right - left < 4, "the cross alone"
        else:
            assert (left, top, right, bottom) == pytest.approx((17, 5, 27, 15), abs=0.8)


def test_other_players_are_told_the_place_in_the_source_and_its_time(mounted: Callable[..., Any]):
    page = mounted(film(clip()), wide=824)
    page.evaluate(HEARD)
    page.locator("canvas.strip").hover(position=place(3, 20, 8))
    said = page.evaluate("() => window.heard.at(-1)")
    assert said["clip"] == "d"
    assert (said["place"]["frame"], said["place"]["time"]) == (3, pytest.approx(0.3))
    assert (said["place"]["x"], said["place"]["y"]) == (pytest.approx(50, abs=0.5), pytest.approx(36, abs=0.5))
    page.mouse.move(5, 500)
    assert page.evaluate("() => window.heard.at(-1).place") is None


TELL = """(place) => window.dispatchEvent(
    new CustomEvent('vizkit-cursor', {detail: {player: {}, clip: 'd', place, ...(place || {}).other}}))"""


def test_a_player_follows_to_the_frame_and_marks_the_same_source_place(mounted: Callable[..., Any]):
    """The other player's frames are half as large: source (50, 36) is pixel (10, 4) of this one."""
    page = mounted(film(clip(scale=4.0)), wide=824)
    before = canvas_pixels(page)[..., :3].astype(int)
    page.evaluate(TELL, {"x": 50, "y": 36, "frame": 3, "time": 0.3})
    assert page.evaluate("() => window.player.dataset.frame") == "3"
    changed = np.abs(canvas_pixels(page)[..., :3].astype(int) - before).max(-1) > 60
    spot = place(0, 10, 4)
    y, x = np.nonzero(changed[round(spot["y"]) - 12 : round(spot["y"]) + 12, round(spot["x"]) - 12 : round(spot["x"]) + 12])
    assert (x.mean(), y.mean()) == (pytest.approx(12, abs=1.5), pytest.approx(12, abs=1.5))
    page.evaluate(TELL, None)
    page.evaluate(TELL, {"x": 50, "y": 36, "frame": 0, "time": 0.0, "other": {"clip": "another"}})
    assert page.evaluate("() => window.player.dataset.frame") == "3", "another clip moves nothing"
    page.evaluate(TELL, {"x": 2000, "y": 36, "frame": 1, "time": 0.1})
    assert page.evaluate("() => window.player.dataset.frame") == "3", "a place that these frames do not show"


def test_a_player_with_other_frames_of_the_clip_goes_to_the_nearest_in_time(mounted: Callable[..., Any]):
    page = mounted(film(clip(frames=2)), wide=824)
    page.evaluate(TELL, {"x": 50, "y": 36, "frame": 3, "time": 0.28})
    assert page.evaluate("() => window.player.dataset.frame") == "1"
    page.evaluate(TELL, {"x": 50, "y": 36, "frame": 1, "time": 0.02})
    assert page.evaluate("() => window.player.dataset.frame") == "0"


def test_the_keyboard_s_cross_reads_out_too(mounted: Callable[..., Any]):
    page = mounted(film(clip()), wide=824)
    page.evaluate(HEARD)
    page.locator("canvas.strip").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    tip = page.locator(".tip")
    assert tip.get_attribute("role") == "status"
    assert "cell t 0, y 6, x 6" in tip.inner_text()
    assert page.evaluate("() => window.heard.at(-1).place.frame") == 1


def test_points_have_a_colour_and_a_number_each_on_their_own_frame(mounted: Callable[..., Any], page: Any):
    payload = film(clip())
    mounted(payload, wide=824)
    before = canvas_pixels(page)[..., :3].astype(int)
    page.evaluate("([figure, points]) => window.show(figure, {points})", [payload, [[1, 12, 20], [3, 30, 10], [3, 10, 30]]])
    now = canvas_pixels(page)[..., :3].astype(int)
    changed = [int((np.abs(tile(now, t) - tile(before, t)).max(-1) > 40).sum()) for t in range(FRAMES)]
    assert changed[0] == changed[2] == 0
    assert changed[3] > 1.5 * changed[1] > 0
    badges = []
    for frame, x, y in ((1, 12, 20), (3, 30, 10), (3, 10, 30)):
        spot = place(frame, x, y)
        around = now[round(spot["y"]) - 19 : round(spot["y"]) - 13, round(spot["x"]) + 9 : round(spot["x"]) + 19]
        badges.append(tuple(np.median(around.reshape(-1, 3)[around.reshape(-1, 3).max(-1) > 150], axis=0).astype(int).tolist()))
    assert len(set(badges)) == 3, "three colours"
    page.locator("canvas.strip").hover(position=place(3, 10, 30))
    assert page.locator(".tip").inner_text().startswith("point 3\n")
