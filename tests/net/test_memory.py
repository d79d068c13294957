"""Memory of a pass, told before it is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from vizkit.contracts import SampledClip
from vizkit.errors import SettingError
from vizkit.net import memory
from vizkit.net.network import Network
from vizkit.ui import compute


def test_stages_are_kept_and_the_largest_layer_works(small: Callable[..., Network]) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Conv3d(3, 8, 1, bias=False), nn.Conv3d(8, 2, 1, stride=(1, 2, 2), bias=False)

        def forward(self, clip):
            return self.narrow(self.wide(clip)).mean((2, 3, 4))

    network = small("cpnet-18")
    stage = replace(network.stages[0], path="narrow")
    network = replace(network, module=Two(), stages=(stage,), blocks=())
    pixels = 4 * 6 * 10
    given, wide, narrow = 3 * pixels * 4, 8 * pixels * 4, 2 * (pixels // 4) * 4
    assert memory.needed_bytes(network, 4, 6, 10) == given + narrow + 3 * wide


MEASURE = """
import vizkit, vizkit.pipeline
from vizkit.net.memory import needed_bytes
from vizkit.contracts import Sampling
network = vizkit.load_network("r2plus1d-50", num_classes=5)
sampling = Sampling(scheme="dense", frames=16, interval=1, short_side_px=224, crop_px=224)
clip = vizkit.sample(vizkit.pipeline.open_source("world:demo:12")[0], sampling)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
open("/proc/self/clear_refs", "w").write("5")
vizkit.probe(network, clip)
most = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print((most - before) / needed_bytes(network, *clip.frames.shape[:3]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_estimate_is_of_the_right_size() -> None:
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    assert 0.4 < float(told) < 2.5


def test_what_is_free_is_read_from_the_machine_and_its_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 24 kB\nMemAvailable:   1024 kB\n")
    assert memory._meminfo(tmp_path / "meminfo") == 1 << 20
    assert memory._meminfo(tmp_path / "none") is None
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._container(tmp_path) == 700


@pytest.fixture
def asked(small: Callable[..., Network], monkeypatch: pytest.MonkeyPatch) -> Network:
    """The network of a page that has computed nothing yet, and that asks before every pass whether there are time and memory for it."""
    network = small("cpnet-18")
    monkeypatch.setattr(compute, "network", lambda name: network)
    monkeypatch.setattr(compute, "RESULTS", compute.Results())
    monkeypatch.setattr(compute, "MANY_PIXELS", 1)
    return network


def test_a_pass_without_memory_is_refused_in_one_sentence_before_it_starts(
    asked: Network, noise: Callable[..., SampledClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute.vizkit, "probe", lambda *_: pytest.fail("has started"))
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    with pytest.raises(
        SettingError, match=r"^cpnet-18 on 4 frames of 48 x 48 px needs about .* GB .*\(memory\)\. Choose fewer or smaller"
    ) as told:
        compute.run(asked.name, noise())
    assert told.value.code == "memory"
    monkeypatch.setattr(compute.vizkit, "probe", lambda *_: "ran")
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert compute.run(asked.name, noise()) == "ran"


def test_a_pass_without_the_time_is_refused_in_one_sentence_before_it_starts(
    asked: Network, noise: Callable[..., SampledClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    monkeypatch.setattr(compute.vizkit, "probe", lambda *_: "ran")
    needed = compute.gmacs(asked.name, noise())
    monkeypatch.setattr(compute, "MOST_GMACS", needed)
    assert compute.run(asked.name, noise()) == "ran"
    monkeypatch.setattr(compute, "RESULTS", compute.Results())
    monkeypatch.setattr(compute, "MOST_GMACS", 0.99 * needed)
    monkeypatch.setattr(compute.vizkit, "probe", lambda *_: pytest.fail("has started"))
    with pytest.raises(
        SettingError, match=r"^cpnet-18 on 4 frames of 48 x 48 px takes .* billion multiply-adds.* \(too_slow\)\. Choose fewer or smaller"
    ) as told:
        compute.run(asked.name, noise())
    assert told.value.code == "too_slow"
