"""One picture for each module, of its trained network and of the same network with random weights. ``make pictures`` draws them.

``checkpoints/pictures.toml`` says what is drawn, and what is to be seen in it.
"""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

from PIL import Image

from vizkit.atomic import write_atomically
from vizkit.checkpoint import checkpoint_folder, load_network
from vizkit.contracts import Settings

LISTING = "pictures.toml"
TRAINED, UNTRAINED = "trained.png", "untrained.png"
COLOURS = 128
VENUE = "cvpr-column"
"""Two of them fit side by side on a page."""


class Picture(Settings):
    """A picture of a checkpoint and of its untrained network."""

    model: str
    """Name of the checkpoint."""
    view: str
    """What is shown of it."""
    clip: str
    """A clip of the motion world, which anyone can render again."""
    params: dict[str, Any] = {}
    """What is computed."""
    look: dict[str, Any] = {}
    """How it is drawn."""
    seen: str
    """What a reader sees on this clip."""
    real: str
    """What a reader sees on a real clip, which is not shipped."""


def load_pictures(folder: Path) -> tuple[Picture, ...]:
    """Read what is drawn.

    Args:
        folder: of all checkpoints.

    Raises:
        SettingError: an entry is not what it should be.
    """
    listed: dict[str, Any] = tomllib.loads((folder / LISTING).read_text(encoding="utf-8"))
    return tuple(Picture.parse(model=model, **entry) for model, entry in listed.items())


def draw_pictures(folder: Path) -> list[Path]:
    """Draw all pictures beside the weights that they show.

    Args:
        folder: of all checkpoints.

    Returns:
        The files: two for each checkpoint.
    """
    from vizkit.net.probe import probe
    from vizkit.pipeline import analyze, draw, open_source
    from vizkit.render.write import encode
    from vizkit.scores import untrained

    written: list[Path] = []
    for picture in load_pictures(folder):
        clip, _ = open_source(picture.clip)
        network = load_network(picture.model)
        for name, shown in ((TRAINED, network), (UNTRAINED, untrained(network))):
            result = analyze(picture.view, probe(shown, clip), **picture.params)
            target = folder / picture.model / name
            write_atomically(target, _in_few_colours(encode(draw(result, **picture.look), "png", VENUE)))
            written.append(target)
    return written


def _in_few_colours(png: bytes) -> bytes:
    """A quarter of the bytes, for a page that shows many."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    draw_pictures(checkpoint_folder())
