"""Training configs: what is wrong is said, with what is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vizkit.catalog import architecture
from vizkit.checkpoint import CARD, CONFIG, checkpoint_folder
from vizkit.errors import SettingError
from vizkit.learn.config import TrainingConfig, load_config

TEXT = """
name = "mine"
architecture = "cpnet-18"
options = { width = 8 }

[[phases]]
clips = 320
sides_px = [64, 48]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "config.toml"


def test_a_config_is_read_with_its_defaults(path: Path) -> None:
    config = load_config(path)
    assert (config.name, config.architecture, config.options) == ("mine", "cpnet-18", {"width": 8})
    assert config.phases[0].sides_px == (64, 48)
    assert (config.batch, config.frames, config.objective, config.precision) == (16, 8, "classify", "auto")
    assert config.steps == 20


def test_overrides_are_toml_values_with_dotted_names(path: Path) -> None:
    config = load_config(path, ["batch=8", 'start="world-start"', "options.width=16", "options.blocks=['res3.0']", "twin=mine", "seed = 3"])
    assert (config.batch, config.start, config.twin, config.seed) == (8, "world-start", "mine", 3)
    assert config.options == {"width": 16, "blocks": ["res3.0"]}
    assert load_config(path, ["phases=[{clips=32}, {clips=16, peak_rate=1e-3}]"]).steps == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("bacth=8", ["'bacth'", "is not known", "batch (integer 1..256)", "save_every"]),
        ("batch=0", ["'batch'", "greater than or equal to 1"]),
        ("objective=guess", ["'objective'", "classify | follow | dense"]),
        ("phases=[{clips=0}]", ["'phases.0.clips'"]),
        ("phases=[{clips=32, side=64}]", ["'phases.0.side'", "is not known"]),
        ("phases=[]", ["phases"]),
        ("phases=[{clips=32, sides_px=[]}]", ["sides_px"]),
        ("phases=[{clips=32, sides_px=[8]}]", ["sides_px"]),
        ("phases=[{clips=15}]", ["clips", "batch"]),
        ("followed=into", ["followed belongs to objective 'follow'", "'classify'"]),
        ("batch", ["key=value", "'batch'"]),
        ("name.first=3", ["name"]),
        ("phases.0.clips=32", ["phases"]),
    ],
)
def test_what_is_wrong_is_said(path: Path, override: str, words: list[str]) -> None:
    with pytest.raises(SettingError) as told:
        load_config(path, [override])
    assert all(word in told.value.message for word in words), told.value.message


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no readable config") as told:
        load_config(tmp_path / "none.toml")
    assert told.value.code == "missing"
    for name, content in (("text.toml", b"name = "), ("binary.toml", b"\xff\xfe\x00\x01")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingError, match="not valid TOML") as told:
            load_config(tmp_path / name)
        assert told.value.code == "config"


def test_steps_belong_to_phases(tiny: Callable[..., TrainingConfig]) -> None:
    config = tiny(phases=[{"clips": 11, "peak_rate": 1e-3}, {"clips": 12, "peak_rate": 2e-3}])
    assert config.steps == 5  # 11 // 4 + 12 // 4: a part of a batch is not trained on
    assert [(config.phase_at(step)[0].clips, config.phase_at(step)[1]) for step in range(5)] == [
        (11, 0),
        (11, 1),
        (12, 0),
        (12, 1),
        (12, 2),
    ]
    with pytest.raises(IndexError):
        config.phase_at(5)


SHIPPED = sorted(checkpoint_folder().glob(f"*/{CONFIG}"))


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_configs_can_be_run(shipped: Path) -> None:
    config = load_config(shipped)
    assert config.name == shipped.parent.name
    with torch.device("meta"):
        architecture(config.architecture).build(16, **config.options)
    configs = {path.parent.name: load_config(path) for path in SHIPPED}
    for other in filter(None, (config.start, config.twin)):
        assert other in configs
    if config.twin:
        network, twin = _trained_alike(config), _trained_alike(configs[config.twin])
        if config.start in configs and configs[config.start].twin:  # fine-tuned: each from its own
            assert (network.pop("start"), twin.pop("start")) == (config.start, configs[config.start].twin)
        assert network == twin


def test_every_shipped_checkpoint_has_its_config() -> None:
    assert {path.parent for path in checkpoint_folder().glob(f"*/{CARD}")} <= {path.parent for path in SHIPPED}
    assert SHIPPED


def test_a_tie_between_background_and_label_is_not_augmented_away(path: Path) -> None:
    assert load_config(path, ["trap=0.6"]).trap == 0.6
    with pytest.raises(SettingError, match="take one of them"):
        load_config(path, ["trap=0.6", 'augment=["flip_x"]'])


def _trained_alike(config: TrainingConfig) -> dict[str, Any]:
    """What a network and its twin share: all but the module's own parts, and its own loss beside the labels'."""
    shared = config.model_dump(
        include={"start", "seed", "data_seed", "batch", "frames", "precision", "augment", "weight_decay", "followed"}
    )
    shared["phases"] = [phase.model_dump(exclude={"filters_rate", "projection_rate"}) for phase in config.phases]
    follows = config.joint is not None and config.joint.follow
    shared["objective"] = "follow" if follows else "classify" if config.joint is not None else config.objective
    return shared
