"""A tiny checkpoint and a private upload folder, so that the pages run in seconds and touch nothing of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SIDE_PX = 64


TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": (
        "cpnet-18",
        {"width": 8, "stem": "5x5/2", "dropout": 0.0, "blocks": ["res3.1", "res4.0"], "neighbors": 4, "last_gain": 1.0, "shrink": 1},
    ),
    "tiny-filters": (
        "corrnet-26",
        {"width": 16, "stem": "5x5/2", "frames": 4, "initial": "kaiming", "other_length": "interpolate", "group_size": 4, "dropout": 0.0},
    ),
    "tiny-fields": ("dcf-r2plus1d-50", {"width": 8, "stem": "5x5/2", "layout": [1, 1, 1, 1], "dropout": 0.0}),
    "tiny-points": ("mf-kpsem", {"width": 8, "stem": "5x5/2", "frames": 4, "sets": 2, "dropout": 0.0}),
}
"""Name -> architecture and options; the first one is what the pages start with."""


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small untrained networks that know the motion world's labels, one for each paper."""
    import torch

    from vizkit.catalog import architecture
    from vizkit.checkpoint import write_checkpoint
    from vizkit.world import LABELS

    folder = tmp_path_factory.mktemp("checkpoints")
    for name, (kind, options) in TINY.items():
        torch.manual_seed(0)
        module = architecture(kind).build(len(LABELS), **options)
        card = {
            "name": name, "architecture": kind, "options": options, "labels": list(LABELS), "mean": [0.5] * 3, "std": [0.25] * 3,
            "sampling": {"segments": 4, "short_side_px": SIDE_PX, "crop_px": SIDE_PX}, "origin": "trained", "license": "Apache-2.0",
        }  # fmt: skip
        write_checkpoint(folder / name, module, card)
    return folder


@pytest.fixture(scope="module", autouse=True)
def app_environment(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point the app to the tiny checkpoint and to a private upload folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIZKIT_CHECKPOINTS", str(tiny_checkpoints))
        patch.setenv("VIZKIT_UPLOADS", str(tmp_path_factory.mktemp("home") / "uploads"))
        patch.chdir(ROOT)
        yield
