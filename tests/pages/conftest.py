"""A tiny checkpoint and a private upload folder, so that the pages run in seconds and touch nothing of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDE_PX = 64


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small untrained CPNet that knows the motion world's labels."""
    import torch

    from vizkit.catalog import architecture
    from vizkit.checkpoint import write_checkpoint
    from vizkit.world import LABELS

    options = {"width": 8, "stem": "5x5/2", "dropout": 0.0, "blocks": ["res3.1", "res4.0"], "neighbors": 4, "last_gain": 1.0, "shrink": 1}
    torch.manual_seed(0)
    module = architecture("cpnet-18").build(len(LABELS), **options)
    card = {
        "name": "tiny", "architecture": "cpnet-18", "options": options, "labels": list(LABELS), "mean": [0.5] * 3, "std": [0.25] * 3,
        "sampling": {"segments": 4, "short_side_px": SIDE_PX, "crop_px": SIDE_PX}, "origin": "trained", "license": "Apache-2.0",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoint(folder / "tiny", module, card)
    return folder


@pytest.fixture(scope="module", autouse=True)
def app_environment(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point the app to the tiny checkpoint and to a private upload folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIZKIT_CHECKPOINTS", str(tiny_checkpoints))
        patch.setenv("VIZKIT_UPLOADS", str(tmp_path_factory.mktemp("home") / "uploads"))
        patch.chdir(ROOT)
        yield
