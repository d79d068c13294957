"""Words on the pages: other people's text made harmless, and the sentences that several pages share."""

from __future__ import annotations

import re

from vizkit.contracts import VideoClip
from vizkit.harmless import visible

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")

SYNTHETIC_MODEL = "A model of synthetic motion on a real clip: read the picture, not the label."

ORIGINS = {
    "trained": "trained by this repository",
    "converted": "converted from published weights",
    "published": "published weights",
    "random": "random weights, not trained",
    "own": "weights of your own",
}
"""Origin of a network's weights -> words."""


def plain(text: str) -> str:
    """Escape text for Markdown, so that names and labels are shown as they are and never as markup."""
    return _MARKUP.sub(r"\\\1", visible(" ".join(text.split())))


def clip_line(clip: VideoClip) -> str:
    """Say in one line what a clip is: frames, seconds, rate, size, codec and the start of its digest."""
    width, height = clip.size_wh
    rate = f"{clip.frames} frames · {clip.duration_s:.2f} s · {clip.fps:.3g} fps" if clip.frames > 1 else "1 frame"
    kind = f"synthetic ({clip.name})" if clip.codec == "world" else clip.codec
    return f"{rate} · {width} × {height} px · {kind} · {clip.digest[:8]}"


def field_words(name: str) -> str:
    """Turn the name of a setting or a measure into a label: ``short_side_px`` -> ``Short side (px)``."""
    stem, _, unit = name.rpartition("_")
    text = f"{stem} ({unit})" if stem and unit in {"px", "s", "deg"} else name
    return text.replace("_", " ").capitalize()
