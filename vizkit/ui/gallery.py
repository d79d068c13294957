"""The built-in clips, ready on disk: the first page shows one before torch, which renders the motion world, is loaded.

``python -m vizkit.ui.gallery`` writes the files again from the motion world; a test compares the two.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np

from vizkit.atomic import write_atomically
from vizkit.contracts import VideoClip
from vizkit.digest import digest_arrays

FOLDER = Path(__file__).parent / "gallery"


def gallery_names() -> tuple[str, ...]:
    """Names of the built-in clips, the first one is shown at the start."""
    return tuple(str(name) for name in np.load(FOLDER / "names.npy"))


@cache
def gallery_clip(name: str) -> VideoClip:
    """One built-in clip, equal to the motion world's in pixels, times and digest."""
    with np.load(FOLDER / f"{gallery_names().index(name)}.npz") as stored:
        frames, times_s, address = stored["frames"], stored["times_s"], str(stored["name"])
    return VideoClip(
        name=address,
        digest=digest_arrays({"frames": frames, "times_s": times_s}),
        size_wh=(frames.shape[2], frames.shape[1]),
        times_s=times_s,
        preview=frames,
        preview_index=np.arange(len(frames)),
        reader=lambda wanted: frames[list(wanted)],
        codec="world",
    )


def write_gallery() -> None:
    """Render the motion world's demo clips into the package."""
    from vizkit import world

    FOLDER.mkdir(exist_ok=True)
    names = io.BytesIO()
    np.save(names, np.array(list(world.DEMOS)))
    write_atomically(FOLDER / "names.npy", names.getvalue())
    for number, index in enumerate(world.DEMOS.values()):
        clip, packed = world.clip(index, split="demo").clip, io.BytesIO()
        np.savez_compressed(packed, frames=clip.read(range(clip.frames)), times_s=clip.times_s, name=np.array(clip.name))
        write_atomically(FOLDER / f"{number}.npz", packed.getvalue())


if __name__ == "__main__":
    write_gallery()
