"""Compare: two models, two settings or two clips on one scale, with a wipe and their difference; modules switched on and off."""

from __future__ import annotations

from vizkit.ui import page
from vizkit.ui.clip_bar import clip_bar
from vizkit.ui.compare import account, comparison, exports, said_by_both

scene = page.setup(
    "Compare", about="**A** is what the side bar chooses, **B** what it is held against. Colours mean the same on both sides."
)
clip_bar(scene)

shown = comparison(scene)
if shown:
    said_by_both(scene, shown)
    exports(shown)
    account(shown)
