from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from tests.ui.figures import filters, polar, pyramid
from vizkit.errors import FigureError, SettingError
from vizkit.figure.spec import ImageLayer, Panel
from vizkit.render import animation
from vizkit.render.animation import MARGIN_PX, PANEL_PX
from vizkit.render.compose import LINE_PX, measure, paint_panel
from vizkit.render.theme import THEMES, rgb

TOP = 2 * MARGIN_PX + 2 * LINE_PX
"""Where the panels begin: under the figure's and the panel's title."""


def panel_of(picture):
    return picture[TOP : TOP + PANEL_PX, MARGIN_PX : MARGIN_PX + PANEL_PX].astype(int)


def changed_xy(with_marks, without):
    """Bounding box (left, top, right, bottom) in panel pixels of what the marks changed."""
    y, x = np.nonzero(np.abs(panel_of(with_marks) - panel_of(without)).max(axis=-1) > 30)
    scale = PANEL_PX / 56
    return x.min() / scale - 0.5, y.min() / scale - 0.5, x.max() / scale - 0.5, y.max() / scale - 0.5


def film_images(data):
    image = Image.open(io.BytesIO(data))
    pictures = []
    for number in range(image.n_frames):
        image.seek(number)
        pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def video_images(data):
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_one_picture_per_sampled_frame(strip):
    pictures = animation.frames(strip)
    assert pictures.dtype == np.uint8
    assert pictures.shape[0] == 4
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
    middle = panel_of(pictures[3])[260:320, 20:60].mean(axis=(0, 1))
    assert middle[2] > panel_of(pictures[0])[260:320, 20:60].mean(axis=(0, 1))[2]  # the frames' blue grows with time


def test_arrows_appear_where_they_start_or_end(strip):
    without = animation.frames(replace(strip, links=()))
    pictures = animation.frames(strip)
    left, top, right, bottom = changed_xy(pictures[3], without[3])
    assert (left, right) == (pytest.approx(20, abs=2), pytest.approx(44, abs=2))  # from the query's place to the match in frame 3
    assert (top, bottom) == (pytest.approx(20, abs=2), pytest.approx(28, abs=2))
    left, top, right, bottom = changed_xy(pictures[1], without[1])
    assert (left, right) == (pytest.approx(20, abs=4), pytest.approx(44, abs=2))  # the query's frame: all three arrows
    assert (top, bottom) == (pytest.approx(12, abs=2), pytest.approx(32, abs=2))


def test_roles_have_their_colours(strip):
    reds, blues = (np.array(rgb(THEMES["light"].roles[role].color)) for role in ("active", "filtered"))
    opaque = tuple(replace(link, weight=np.ones_like(link.weight)) for link in strip.links)
    pictures = animation.frames(replace(strip, links=opaque))
    near = [[(np.abs(panel_of(picture) - color).max(axis=-1) < 40).sum() for color in (reds, blues)] for picture in pictures]
    assert near[0][0] == 0 < near[0][1]  # frame 0 holds the match of the filtered arrow
    assert near[3][1] == 0 < near[3][0]


def test_a_link_between_two_panels_in_sight_is_drawn_across_them(strip):
    side = replace(strip.panels[1], name="copy", view="other", column=9, layers=strip.panels[1].layers[:1])
    link = replace(strip.links[0], end_panel=np.array([4]), end_xy_px=np.array([[20.0, 28.0]]))
    pictures = [animation.frames(replace(strip, panels=(*strip.panels, side), links=links))[1] for links in ((link,), ())]
    changed = np.nonzero(np.abs(pictures[0].astype(int) - pictures[1]).max(axis=(0, 2)) > 30)[0]
    first = MARGIN_PX + 20.5 / 56 * PANEL_PX
    assert changed.min() == pytest.approx(first, abs=24)
    assert changed.max() == pytest.approx(first + PANEL_PX + MARGIN_PX, abs=12)


def test_views_stand_side_by_side_and_static_panels_stay(strip):
    still = Panel("still", "still", (56, 56), 5, 5, (ImageLayer(np.full((56, 56, 3), 7, np.uint8)),))
    pictures = animation.frames(replace(strip, panels=(*strip.panels, still)))
    assert len(pictures) == 4
    column = MARGIN_PX + PANEL_PX + MARGIN_PX
    assert (pictures[:, TOP : TOP + PANEL_PX, column : column + PANEL_PX] == 7).all()


def test_a_pyramid_shows_the_stages_of_a_frame_side_by_side():
    spec = pyramid(3, 64, backdrop="picture")
    pictures = animation.frames(spec)
    assert len(pictures) == 3
    indent = round(measure("t = 0")) + MARGIN_PX
    side = (pictures.shape[2] - 2 * MARGIN_PX - indent - 2 * MARGIN_PX) / 3
    for t, picture in enumerate(pictures):
        for column, name in ((0, "frame"), (2, "res3")):
            panel = next(panel for panel in spec.panels if panel.name == f"{name} {t}")
            wanted = paint_panel(panel, (64, 64), "#ffffff")[32, 40].astype(int)
            x = MARGIN_PX + indent + column * (side + MARGIN_PX) + 40.5 / 64 * side
            assert np.abs(picture[round(TOP + 32.5 / 64 * side), round(x)] - wanted).max() <= 12


def test_headings_stay_in_sight_after_the_first_row():
    spec = filters(3, 2)
    bare = replace(spec, panels=tuple(replace(panel, title="") for panel in spec.panels))
    with_titles, without = animation.frames(spec), animation.frames(bare)
    assert with_titles.shape[1] == without.shape[1] + LINE_PX
    assert (with_titles[2][TOP - LINE_PX : TOP] != 255).any()


def test_outlines_are_drawn_in_a_still_picture():
    (picture,) = animation.frames(polar())
    region = np.array(rgb(THEMES["light"].roles["region"].color))
    assert (np.abs(picture.astype(int) - (0.7 * region + 0.3 * 255)).max(axis=-1) <= 2).sum() > 1000


def test_a_figure_without_frames_has_one_picture(plain):
    assert len(animation.frames(plain)) == 1


def test_figures_without_arrows_or_panels_are_composed(without_arrows, strip):
    assert (animation.frames(without_arrows) == animation.frames(replace(strip, links=()))).all()
    assert len(animation.frames(replace(strip, panels=(), links=()))) == 1


def test_the_dark_theme_has_a_dark_page(strip):
    assert tuple(animation.frames(strip, theme="dark")[0, 0, 0]) == rgb(THEMES["dark"].background)
    with pytest.raises(SettingError, match="dark, light"):
        animation.frames(strip, theme="sepia")


@pytest.mark.parametrize(("form", "error"), [("gif", 12), ("webp", 6)])
def test_films_open_again_with_all_pictures(strip, form, error):
    wanted, pictures = animation.frames(strip), film_images(animation.save(strip, form))
    assert len(pictures) == 4
    for one, other in zip(wanted, pictures, strict=True):
        assert np.abs(one.astype(int) - other).mean() < error


def test_webm_opens_again_with_all_pictures_and_colours(strip):
    wanted, data = animation.frames(strip), animation.save(strip, "webm")
    pictures = video_images(data)
    assert len(pictures) == 4
    for one, other in zip(wanted, pictures, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 6
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert "vp9" in stream.codec_context.name
        assert float(stream.average_rate) == pytest.approx(8)


@pytest.mark.parametrize("form", ["gif", "webp", "webm"])
def test_the_same_figure_gives_the_same_bytes_in_another_process(strip, form, tmp_path):
    (tmp_path / "figure").write_bytes(pickle.dumps(strip))
    code = (
        "import hashlib, pathlib, pickle, sys; from vizkit.render import animation;"
        f"spec = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); print(hashlib.sha256(animation.save(spec, '{form}')).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "figure")], check=True, capture_output=True, text=True)
    assert other.stdout.strip() == hashlib.sha256(animation.save(strip, form)).hexdigest()


def test_fps_sets_the_time_of_a_picture(strip):
    assert Image.open(io.BytesIO(animation.save(strip, "gif", fps=4))).info["duration"] == 250
    with av.open(io.BytesIO(animation.save(strip, "webm", fps=12.5))) as container:
        assert float(container.streams.video[0].average_rate) == 12.5


@pytest.mark.parametrize("fps", [0, -1, 1000, float("nan")])
def test_an_impossible_fps_is_refused(strip, fps):
    with pytest.raises(FigureError, match="fps"):
        animation.save(strip, "gif", fps=fps)
