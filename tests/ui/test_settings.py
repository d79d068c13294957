"""The shipped Streamlit settings: local by default, and readable in both themes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
LEAST_CONTRAST = 4.5


def luminance(color: str) -> float:
    parts = [part / 255 for part in bytes.fromhex(color.removeprefix("#"))]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_measured_right():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("front", ["textColor", "linkColor", "primaryColor"])
@pytest.mark.parametrize("back", ["backgroundColor", "secondaryBackgroundColor"])
def test_themes_can_be_read(theme: str, front: str, back: str):
    colors = CONFIG["theme"][theme]
    assert contrast(colors[front], colors[back]) >= LEAST_CONTRAST


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fainter_words_can_be_read(theme: str):
    """The components mix 72 % of the text's colour with 28 % of the background's."""
    colors = CONFIG["theme"][theme]
    text, back = (bytes.fromhex(colors[name].removeprefix("#")) for name in ("textColor", "backgroundColor"))
    mixed = "#" + bytes(round(0.72 * front + 0.28 * behind) for front, behind in zip(text, back, strict=True)).hex()
    assert contrast(mixed, colors["backgroundColor"]) >= LEAST_CONTRAST


def test_local_by_default():
    assert CONFIG["server"] == {
        "address": "127.0.0.1",
        "allowedHosts": ["localhost", "127.0.0.1"],
        "maxUploadSize": 100,
        "disconnectedSessionTTL": 30,
        "enableXsrfProtection": True,
        "enableCORS": True,
        "enableStaticServing": False,
        "fileWatcherType": "none",
    }
    assert CONFIG["client"]["showErrorDetails"] == "none"
    assert CONFIG["browser"] == {"gatherUsageStats": False}
