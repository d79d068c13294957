"""CorrNet's page: the filter grid, one channel's response, and where a network without filters leads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.pages.parts import components, open_page, words
from vizkit.catalog import architecture
from vizkit.checkpoint import write_checkpoint


@pytest.fixture
def filters(tiny_checkpoints: Path) -> str:
    """A small CorrNet whose filters are not flat, beside the other tiny checkpoint."""
    options = {"width": 8, "stem": "5x5/2", "frames": 4, "initial": "kaiming", "layout": [1, 1, 1, 1]}
    torch.manual_seed(0)
    module = architecture("corrnet-26").build(5, **options)
    card = {
        "name": "filters", "architecture": "corrnet-26", "options": options, "labels": list("abcde"), "mean": [0.5] * 3, "std": [0.25] * 3,
        "sampling": {"segments": 4, "short_side_px": 64, "crop_px": 64}, "origin": "random", "license": "Apache-2.0",
    }  # fmt: skip
    write_checkpoint(tiny_checkpoints / "filters", module, card)
    return "filters"


def test_grid_response_and_directions_are_shown(filters: str):
    page = open_page("corrnet", model=filters).run()

    assert not page.exception
    assert not page.error
    grid, response, polar = components(page, "vizkit_player")
    assert len(grid["figure"]["panels"]) == 4 * 8
    assert grid["figure"]["panels"][0]["name"].startswith("channel 0")
    assert {panel["frame"] for panel in response["figure"]["panels"]} == {0, 1, 2, 3}
    assert any(layer["kind"] == "polygons" for panel in polar["figure"]["panels"] for layer in panel["layers"])


def test_a_network_without_filters_names_those_that_have_some():
    page = open_page("corrnet", model="tiny").run()
    assert not page.exception
    assert "corrnet-26" in words(page)
