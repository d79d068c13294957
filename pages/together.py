"""All modules at one point: click a frame, and see what each of them makes of that place."""

from __future__ import annotations

from vizkit.ui import page, together
from vizkit.ui.clip_bar import clip_bar

scene = page.setup(
    "All at once", about="**Click a frame to pick a point.** Every module shows what it makes of that place; one cursor runs over all."
)
clip_bar(scene)
together.pick(scene)
together.pictures(scene)
