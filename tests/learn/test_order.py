"""Who is trained before whom."""

from __future__ import annotations

from pathlib import Path

from vizkit.checkpoint import checkpoint_folder
from vizkit.learn.config import load_config
from vizkit.learn.order import training_order


def test_a_start_comes_before_those_that_start_from_it(tmp_path: Path) -> None:
    for name, start in (("a", "c"), ("b", "elsewhere"), ("c", "d"), ("d", "")):
        (tmp_path / name).mkdir()
        text = f'name = "{name}"\narchitecture = "c2d-18"\nstart = "{start}"\n[[phases]]\nclips = 16\n'
        (tmp_path / name / "config.toml").write_text(text, encoding="utf-8")
    found = training_order(tmp_path)
    assert sorted(found) == ["a", "b", "c", "d"]
    assert found.index("d") < found.index("c") < found.index("a")


def test_what_needs_videos_comes_last(tmp_path: Path) -> None:
    for name, more in (("a", '[videos]\nfolder = "x"\n'), ("b", ""), ("c", "")):
        (tmp_path / name).mkdir()
        text = f'name = "{name}"\narchitecture = "c2d-18"\n{more}[[phases]]\nclips = 16\n'
        (tmp_path / name / "config.toml").write_text(text, encoding="utf-8")
    assert training_order(tmp_path)[-1] == "a"


def test_every_shipped_checkpoint_has_a_place() -> None:
    found = training_order(checkpoint_folder())
    configs = {path.parent.name: load_config(path) for path in checkpoint_folder().glob("*/config.toml")}
    assert sorted(found) == sorted(configs)
    assert all(found.index(config.start) < found.index(name) for name, config in configs.items() if config.start)
