"""The order in which the shipped checkpoints are trained, for ``make checkpoints``.

Those first that others start from, and those last that need data which does not ship.
"""

from __future__ import annotations

import sys
from graphlib import TopologicalSorter
from pathlib import Path

from vizkit.checkpoint import CONFIG, checkpoint_folder
from vizkit.learn.config import load_config


def training_order(folder: Path) -> list[str]:
    """Names of the folders that hold a config, each after the one that it starts from, those with videos after all others.

    Args:
        folder: of all checkpoints.

    Raises:
        SettingError: a config that cannot be read.
    """
    configs = {path.parent.name: load_config(path) for path in sorted(folder.glob(f"*/{CONFIG}"))}
    starts = {name: [config.start] if config.start in configs else [] for name, config in configs.items()}
    return sorted(TopologicalSorter(starts).static_order(), key=lambda name: configs[name].videos is not None)


if __name__ == "__main__":
    sys.stdout.write(" ".join(training_order(checkpoint_folder())) + "\n")
