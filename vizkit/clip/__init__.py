"""Clips: any file, folder or array becomes a :class:`~vizkit.contracts.VideoClip`, and that a :class:`~vizkit.contracts.SampledClip`.

Names are loaded on first use: the decoder's child process imports this package and must start quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vizkit.clip.arrays import clip_from_frames
    from vizkit.clip.decode import inspect_clip, open_clip
    from vizkit.clip.limits import Limits
    from vizkit.clip.sampling import motion_energy, sample, sampled_index, slide

__all__ = ["Limits", "clip_from_frames", "inspect_clip", "motion_energy", "open_clip", "sample", "sampled_index", "slide"]

_HOME = {
    "Limits": "limits",
    "clip_from_frames": "arrays",
    "inspect_clip": "decode",
    "motion_energy": "sampling",
    "open_clip": "decode",
    "sample": "sampling",
    "sampled_index": "sampling",
    "slide": "sampling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
