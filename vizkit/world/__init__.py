"""The motion world: synthetic clips whose motion is known exactly. Needs torch only when a clip is rendered."""

from __future__ import annotations

from vizkit.world.dataset import DEMOS, WorldBatch, WorldClip, clip, clip_at, label_at, render
from vizkit.world.labels import LABELS, PAIR_NAMES, relabel
from vizkit.world.truth import Truth

__all__ = ["DEMOS", "LABELS", "PAIR_NAMES", "Truth", "WorldBatch", "WorldClip", "clip", "clip_at", "label_at", "relabel", "render"]
