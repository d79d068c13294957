"""CorrNet's claims: cost relations, arrows on known motion, the toy's networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizkit.contracts import ClaimSettings
from vizkit.motion.corrnet import claims
from vizkit.motion.corrnet.claims import (
    DECISIVE,
    PLAIN,
    STEPS_XY,
    SUMS,
    ArrowSettings,
    build_toy,
    check_arrows,
    check_cost,
    moving_features,
    operator_relations,
    right_arrows,
)
from vizkit.motion.corrnet.module import CorrelationOperator, CorrelationSum


def silent(_: str) -> None:
    pass


# ------------------------------------------------------------------------------------------------ arrows


@pytest.mark.parametrize("step_xy", STEPS_XY)
def test_features_move_as_told(step_xy: tuple[int, int]) -> None:
    features = moving_features(step_xy, 0)[0]
    assert features.shape == (8, 8, 20, 20)
    x, y = step_xy
    rows, columns = slice(max(y, 0), 20 + min(y, 0)), slice(max(x, 0), 20 + min(x, 0))
    for t in range(7):
        back = features[:, t].roll((y, x), (1, 2))
        assert torch.equal(features[:, t + 1, rows, columns], back[:, rows, columns])
    assert not torch.equal(features[:, 0], features[:, 1])
    assert float(features.mean()) == pytest.approx(0, abs=0.05)


def test_arrows_point_back_along_the_motion() -> None:
    assert right_arrows((2, -4), 0, rectified=False) == 1.0


def test_a_motion_beyond_reach_has_no_arrow() -> None:
    """Only the first frame's arrows, which stay at the centre, are right: 1 of 8."""
    assert right_arrows((8, 0), 0, rectified=False) == pytest.approx(1 / 8)


@pytest.mark.parametrize("plant", [lambda x: torch.cat([x[:, :, 1:], x[:, :, -1:]], 2), lambda x: torch.zeros_like(x), lambda x: x])
def test_an_operator_that_searches_elsewhere_is_caught(monkeypatch: pytest.MonkeyPatch, plant: object) -> None:
    """The next frame instead of the previous one, nothing, the frame itself."""
    monkeypatch.setattr(CorrelationOperator, "search", staticmethod(plant))
    assert right_arrows((2, -4), 0, rectified=False) <= 1 / 8


def test_the_arrows_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "STEPS_XY", ((2, 0),))
    found = check_arrows(ArrowSettings(seeds=1), silent)
    assert found.reproduced
    assert found.reason == "All arrows are right with features of mean 0, and 100.0% with features after a ReLU."
    monkeypatch.setattr(claims, "STEPS_XY", ((2, 0), (8, 0)))
    found = check_arrows(ArrowSettings(seeds=1), silent)
    assert not found.reproduced
    assert found.reason.startswith("Only 56.2% of the arrows are right")


# ------------------------------------------------------------------------------------------------ cost


def test_relations_of_table_1() -> None:
    found = {name: value for name, value, _ in operator_relations()}
    assert list(found.values()) == [64, 2, 1, 4, 9, 1]
    assert all(value == expected for _, value, expected in operator_relations())


def test_the_cost_verdict_names_what_differs_and_what_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "ROWS", (("r2d-26", 16, 28.0), ("corrnet-26", 16, 37.4)))
    found = check_cost(ClaimSettings(), silent)
    assert not found.reproduced
    assert found.reason.startswith("r2d-26 with 16 frames differs by -1.9%. CorrNet-26 lies 2.2% below the published figure")
    monkeypatch.setattr(claims, "ROWS", (("r2d-26", 16, 27.5), ("corrnet-26", 16, 37.4)))
    assert check_cost(ClaimSettings(), silent).reproduced


@pytest.mark.slow
def test_all_rows_are_met() -> None:
    found = check_cost(ClaimSettings(), silent)
    assert found.reproduced
    values = {entry.network: entry.value for entry in found.ours}
    assert values["corrnet-50, 32 frames, GMAC"] == pytest.approx(115.05, abs=0.01)
    assert values["corrnet-101, 32 frames, GMAC"] == pytest.approx(187.05, abs=0.01)


# ------------------------------------------------------------------------------------------------ toy


def test_the_plain_network_is_frame_wise_and_the_others_are_not() -> None:
    clip = torch.randn(1, 3, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in (PLAIN, *SUMS):
        torch.manual_seed(0)
        network = build_toy(name).eval()
        with torch.no_grad():
            assert torch.allclose(network(clip.flip(2)), network(clip), atol=1e-5) == (name == PLAIN)


def test_ablations_leave_out_what_they_say() -> None:
    blocks = {name: [part for part in build_toy(name).modules() if isinstance(part, CorrelationSum)] for name in (PLAIN, *SUMS)}
    assert [len(found) for found in blocks.values()] == [0, 3, 3, 3]
    full, unfiltered, ungrouped = (blocks[name][0].operator for name in SUMS)
    assert isinstance(full.filters, nn.Parameter)
    assert (full.groups, full.patch, full.frames) == (2, 7, 6)
    assert not isinstance(unfiltered.filters, nn.Parameter)
    assert unfiltered.groups == 2
    assert isinstance(ungrouped.filters, nn.Parameter)
    assert ungrouped.groups == 1
    assert next(iter(SUMS)) == DECISIVE
