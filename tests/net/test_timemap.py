"""Which frames a time step looks at: worked out from kernels, and checked by changing one frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vizkit
from vizkit.contracts import SampledClip, Sampling
from vizkit.net.probe import ProbedRun, probe
from vizkit.net.timemap import frames_covered

FRAMES = 8
INPUT: dict[str, Any] = {
    "sampling": Sampling(segments=FRAMES, frames=FRAMES, short_side_px=16, crop_px=16), "mean": (0.5,) * 3, "std": (0.25,) * 3,
}  # fmt: skip
Noise = Callable[..., SampledClip]


class Times(nn.Module):
    """Windows of several kinds, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ahead = nn.Conv3d(3, 4, (2, 1, 1))  # frame t and t + 1, without padding
        self.wide = nn.Conv3d(4, 8, (3, 1, 1), stride=(2, 1, 1), padding=(2, 0, 0), dilation=(2, 1, 1))
        self.pool = nn.MaxPool3d((3, 2, 2), stride=(1, 2, 2), padding=(1, 0, 0))
        self.shift = Shift()
        self.mix = nn.Conv3d(8, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mix(self.shift(self.pool(self.wide(self.ahead(x)))))
        return self.head(x.mean((2, 3, 4)))


class Shift(nn.Module):
    """A quarter of the channels comes from the step before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moved = torch.zeros_like(x)
        moved[:, 2:] = x[:, 2:]
        moved[:, :2, 1:] = x[:, :2, :-1]
        return moved + x * x.mean((2, 3, 4), keepdim=True) * 0


def run_of(noise: Noise) -> ProbedRun:
    stages = {name: name for name in ("ahead", "wide", "pool", "shift", "mix")}
    return probe(vizkit.wrap(Times(), stages=stages, **INPUT), noise(0, FRAMES, 16, 16))


def test_windows_add_up(noise: Noise) -> None:
    run = run_of(noise)
    found = {stage.name: frames_covered(run, stage) for stage in run.network.stages}
    assert {name: None if rows is None else rows.tolist() for name, rows in found.items()} == {
        "ahead": [[t, t + 1] for t in range(7)],
        "wide": [[0, 3], [0, 5], [2, 7], [4, 7]],
        "pool": [[0, 5], [0, 7], [0, 7], [2, 7]],
        "shift": [[0, 5], [0, 7], [0, 7], [0, 7]],
        "mix": [[0, 5], [0, 7], [0, 7], [0, 7]],
    }


@pytest.mark.parametrize("name", ["ahead", "wide"])
def test_frames_outside_the_window_change_nothing_and_its_ends_do(name: str, noise: Noise) -> None:
    run = run_of(noise)
    stage = run.network.stage(name)
    covered = frames_covered(run, stage)
    assert covered is not None
    tree, clip = run.network.tree(), run.network.normalized(run.clip.tensor)
    maps: list[torch.Tensor] = []
    tree.get_submodule(stage.path).register_forward_hook(lambda _module, _inputs, output: maps.append(output.clone()))
    for frame in (None, *range(FRAMES)):
        changed = clip.clone()
        if frame is not None:
            changed[:, :, frame] += 1
        tree(changed)
    changes = np.array([(one != maps[0]).any(4).any(3).any(1)[0].tolist() for one in maps[1:]])  # [frame, step]
    for step, (low, high) in enumerate(covered):
        seen = np.flatnonzero(changes[:, step])
        assert (seen.min(), seen.max()) == (low, high)


def test_frames_one_by_one_and_pairs(noise: Noise) -> None:
    for name, expected in (("c2d-18", [[t, t] for t in range(4)]), ("swin3d_t", [[0, 1], [2, 3]])):
        network = vizkit.load_network(name, num_classes=3, **({"width": 4} if name == "c2d-18" else {}))
        run = probe(network, noise(0, 4, 64, 64))
        found = frames_covered(run, network.stages[0])
        assert found is not None
        assert found.tolist() == expected


class Hidden(nn.Module):
    """An operation that no one can follow on shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.stage, self.head = nn.Sequential(nn.Conv3d(3, 4, 1), Sorted()), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stage(x).mean((2, 3, 4)))


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.sum() > 0)


def test_what_cannot_be_followed_is_not_guessed(noise: Noise) -> None:
    network = vizkit.wrap(Hidden(), stages={"only": "stage"}, **INPUT)
    assert frames_covered(probe(network, noise(0, FRAMES, 16, 16)), network.stages[0]) is None


def test_it_is_followed_once(noise: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(noise)
    first = frames_covered(run, run.network.stages[0])
    monkeypatch.setattr(nn.Conv3d, "forward", lambda *_: 1 / 0)
    assert frames_covered(run, run.network.stages[0]) is first


def test_one_module_may_be_wrapped_twice_with_other_stages_of_the_same_name(noise: Noise) -> None:
    module, clip = Times(), noise(0, FRAMES, 16, 16)
    steps = []
    for path in ("wide", "pool"):
        run = probe(vizkit.wrap(module, stages={"looked_at": path}, **INPUT), clip)
        found = frames_covered(run, run.network.stages[0])
        assert found is not None
        steps.append(found.tolist())
    assert steps == [[[0, 3], [0, 5], [2, 7], [4, 7]], [[0, 5], [0, 7], [0, 7], [2, 7]]]
