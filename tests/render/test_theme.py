from __future__ import annotations

import numpy as np
import pytest

from vizkit.errors import SettingError
from vizkit.figure.spec import Role
from vizkit.render.theme import THEMES, page_width, rgb, theme_named

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(color):
    share = np.array(rgb(color)) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2 contrast ratio."""
    dark, light = sorted(float(TO_XYZ[1] @ linear(color)) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(linear_rgb):
    xyz = TO_XYZ @ np.clip(linear_rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_can_be_read(theme):
    assert contrast(theme.text, theme.background) >= 4.5
    assert contrast(theme.muted, theme.background) >= 4.5


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_every_role_has_a_style_that_stands_out_from_page_and_casing(theme):
    assert set(theme.roles) == set(Role.__args__)
    for style in theme.roles.values():
        assert max(contrast(style.color, theme.background), contrast(style.casing, theme.background)) >= 3
        assert contrast(style.color, style.casing) >= 3


# Distances in CIELAB (a just noticeable difference is about 2.3):
# light 124 normal, 99 protan, 124 deutan; dark 104, 71, 98.
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_active_and_filtered_differ_for_colour_blind_readers(theme, vision):
    active, filtered = (lab(VISION[vision] @ linear(theme.roles[role].color)) for role in ("active", "filtered"))
    assert np.linalg.norm(active - filtered) > 65


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_active_and_filtered_differ_without_colour(theme):
    assert theme.roles["active"].dash is None
    assert theme.roles["filtered"].dash is not None


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_peaks_are_white_on_dark(theme):
    assert (theme.roles["peak"].color, theme.roles["peak"].casing) == ("#ffffff", "#000000")


def test_unknown_names_list_the_known_ones():
    with pytest.raises(SettingError, match="dark, light"):
        theme_named("sepia")
    with pytest.raises(SettingError, match="neurips"):
        page_width("arxiv")


# Smallest distance of two in CIELAB: 41 normal, 22 protan, 22 deutan; each region has a shape of its own besides.
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_regions_differ_for_colour_blind_readers_and_have_black_edges(theme, vision):
    styles = [theme.roles[f"region_{number}"] for number in range(1, 5)]
    shades = [lab(VISION[vision] @ linear(style.color)) for style in styles]
    apart = [float(np.linalg.norm(one - other)) for place, one in enumerate(shades) for other in shades[:place]]
    assert min(apart) > 20
    assert {style.casing for style in styles} == {"#000000"}
    assert theme.roles["border"].dash is not None
