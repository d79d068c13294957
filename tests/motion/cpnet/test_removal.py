"""Who won: shares of the change in worked numbers, and removals against whole passes of a network that lacks the proposal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vizkit.contracts import Prediction
from vizkit.errors import NotAvailableError, SettingError
from vizkit.motion.cpnet.analysis import Correspondences, Params, analyze, without_each
from vizkit.motion.cpnet.figure import draw, tabulate_winners
from vizkit.motion.cpnet.module import CPModule
from vizkit.motion.cpnet.removal import change_share
from vizkit.motion.cpnet.strength import strengths
from vizkit.net.network import Network
from vizkit.net.ops import NearestCells
from vizkit.net.probe import ProbedRun, probe
from vizkit.world import WorldClip

Load = Callable[..., Network]
ROUNDING = {"res4.1": 2e-4, "res3.1": 5e-3}  # of logits of about 50; behind res3.1 neighbours are sought twice more


# ------------------------------------------------------------------------------------------------ shares


def test_shares_are_what_the_won_channels_become() -> None:
    """Maximum (3, 4): channel 0 is shared by proposals 0 and 2, channel 1 is won by 1.

    The norm doubles output 0 and halves output 1, so (1.5, 0) becomes (3, 0) and (0, 4) becomes (16, -2): 3, 18 and 3 of 24. Bias,
    mean and shift belong to no proposal.
    """
    module = CPModule(2, neighbors=3, widths=(2,)).double().eval()
    assert module.last is not None
    assert module.last_norm is not None
    module.last_norm.eps = 0.0
    with torch.no_grad():
        module.last.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        module.last.bias.fill_(7.0)
        module.last_norm.weight.copy_(torch.tensor([2.0, 1.0]))
        module.last_norm.bias.fill_(5.0)
        module.last_norm.running_mean.fill_(-3.0)  # type: ignore[union-attr]
        module.last_norm.running_var.copy_(torch.tensor([1.0, 4.0]))  # type: ignore[union-attr]
        embedded = torch.tensor([[[3.0, 0.0], [1.0, 4.0], [3.0, 2.0]]], dtype=torch.float64)
        assert change_share(module, embedded)[0].tolist() == pytest.approx([3 / 24, 18 / 24, 3 / 24])


def test_before_the_maximum_shares_are_of_the_output_itself() -> None:
    """Maximum (-2, -1): |-2| from proposal 1, |-1| from proposal 0."""
    module = CPModule(2, neighbors=2, widths=(2,), head="before_max").double().eval()
    embedded = torch.tensor([[[-3.0, -1.0], [-2.0, -5.0]]], dtype=torch.float64)
    assert change_share(module, embedded)[0].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_where_all_is_zero_nobody_has_a_share() -> None:
    module = CPModule(2, neighbors=2, widths=(2,)).eval()
    with torch.no_grad():
        assert change_share(module, torch.zeros(1, 2, 2)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("head", ["after_max", "before_max"])
def test_shares_of_a_record_belong_to_its_winners(small: Load, world: WorldClip, head: str) -> None:
    result = analyze(probe(small(head=head), world.clip), Params(block="res4.0", queries=4))
    assert np.allclose(result.change_share.sum(1), 1)
    assert ((result.change_share > 0) <= result.active).all()
    assert np.array_equal(result.arrays()["change_share"], result.change_share)


def test_without_a_module_nobody_has_a_share(run: ProbedRun) -> None:
    assert not analyze(run, Params(block="res4", queries=2)).change_share.any()


# ------------------------------------------------------------------------------------------------ removals


@pytest.fixture(scope="module", params=list(ROUNDING))
def removed(request: pytest.FixtureRequest, run: ProbedRun) -> Correspondences:
    """Two points, each of 5 proposals of one block left out in turn."""
    return analyze(run, Params(block=request.param, neighbors=5, points=((1, 30.0, 26.0), (2, 42.0, 10.0)), removed=True))


def whole_pass(run: ProbedRun, result: Correspondences, query: int | None = None, rank: int = 0) -> np.ndarray:
    """Logits of a whole pass in which one proposal is a copy of another one: the maximum does without it."""
    tree = run.network.tree()
    module: Any = tree.get_submodule(run.network.block(result.block).path)
    match = module.match

    def other(features: torch.Tensor) -> NearestCells:
        found = match(features, neighbors=5)
        if query is None:
            return found
        index = found.index.clone()
        cell = int(np.ravel_multi_index(tuple(result.query[query]), result.grid.shape))
        index[0, cell, rank] = index[0, cell, (rank + 1) % 5]
        return NearestCells(index, found.distance_squared)

    module.match = other
    with torch.no_grad():
        return tree(run.network.normalized(run.clip.tensor))[0].numpy()


def test_a_removal_is_a_pass_without_the_proposal(run: ProbedRun, removed: Correspondences) -> None:
    removal = removed.removal
    assert removal is not None
    near, moved = ROUNDING[removed.block], 0.0
    assert np.allclose(removal.logits_all, whole_pass(run, removed), atol=near)
    for query in range(2):
        for rank in range(5):
            logits = whole_pass(run, removed, query, rank)
            assert np.allclose(removal.logits_without[query, rank], logits, atol=near)
            assert removal.top_without[query, rank] == logits.argmax()
            moved = max(moved, float(np.abs(logits - removal.logits_all).max()))
            label = int(removal.logits_all.argmax())
            share = [Prediction(values, removal.labels).probabilities[label] for values in (logits, removal.logits_all)]
            assert removal.probability_change[query, rank] == pytest.approx(share[0] - share[1], abs=1e-4)
    assert moved > 5 * near, "some proposal counts"


def test_who_wins_nothing_is_not_run_and_changes_nothing(removed: Correspondences) -> None:
    removal = removed.removal
    assert removal is not None
    assert removal.passes <= int(removed.active.sum())
    assert 0 < removed.active.sum() < removed.active.size
    assert np.array_equal(removal.logits_without[~removed.active], np.broadcast_to(removal.logits_all, (int((~removed.active).sum()), 5)))


def test_the_record_of_removals_is_complete(removed: Correspondences) -> None:
    arrays, summary, removal = removed.arrays(), removed.summary(), removed.removal
    assert removal is not None
    assert arrays["logits_without"].shape == (2, 5, 5)
    assert arrays["probability_change"].shape == arrays["top_without"].shape == (2, 5)
    assert summary["label"] == removal.labels[int(removal.logits_all.argmax())]
    assert summary["largest_probability_change"] == pytest.approx(np.abs(removal.probability_change).max())
    assert summary["passes"] == removal.passes
    plain = not_removed(removed)
    assert "logits_all" not in plain.arrays()
    assert "passes" not in plain.summary()


def not_removed(removed: Correspondences) -> Correspondences:
    return replace(removed, removal=None)


def test_the_table_says_what_the_network_says_without_each(removed: Correspondences) -> None:
    table, removal = draw(removed).table, removed.removal
    assert table is not None
    assert removal is not None
    for row in table.rows:
        named = dict(zip(table.columns, row, strict=True))
        at = (named["query"], named["rank"] - 1)  # type: ignore[operator]
        assert named["label_without"] == removal.labels[removal.top_without[at]]
        assert named["probability_change"] == pytest.approx(removal.probability_change[at])
        assert named["probability_without"] - named["probability"] == pytest.approx(named["probability_change"])  # type: ignore[operator]
        assert named["change_share"] == pytest.approx(removed.change_share[at])
    winners = tabulate_winners(removed, 1)
    assert len(winners.rows) == 5
    assert winners.columns[0] == "rank"
    assert {"channels_won", "change_share", "probability_change"} <= set(winners.columns)
    place = winners.columns.index("change_share")
    assert [row[place] for row in winners.rows] == pytest.approx(removed.change_share[1].tolist())
    assert "Each proposal left out in turn moves" in draw(removed).caption
    assert "label_without" not in (draw(not_removed(removed)).table or table).columns


@pytest.mark.parametrize("points", [(), ((2, 42.0, 10.0), (1, 30.0, 26.0))])
def test_one_query_alone_is_asked_for_by_its_place(run: ProbedRun, points: tuple[tuple[int, float, float], ...]) -> None:
    several = analyze(run, Params(block="res3.1", points=points, neighbors=4))
    for query in range(2):
        params = without_each(several, query)
        assert params.removed
        alone = analyze(run, params.model_copy(update={"removed": False}))
        assert alone.query.tolist() == [several.query[query].tolist()]
        assert np.array_equal(alone.proposal[0], several.proposal[query])


def test_removals_that_cannot_be_had_say_why(run: ProbedRun) -> None:
    with pytest.raises(SettingError, match=r"neighbors is 1.*at least 2"):
        analyze(run, Params(neighbors=1, removed=True))
    with pytest.raises(SettingError, match=r"640 passes, at most 512"):
        analyze(run, Params(neighbors=64, points=tuple((0, float(x), 9.0) for x in range(10)), removed=True))
    with pytest.raises(NotAvailableError, match="res4 is a stage without a CP module"):
        analyze(run, Params(block="res4", removed=True))


# ------------------------------------------------------------------------------------------------ before and after


def test_strengths_are_means_over_channels_of_what_goes_in_and_comes_out(run: ProbedRun) -> None:
    found = {strength.block: strength for strength in strengths(run)}
    assert list(found) == ["res3.0", "res3.1", "res4.0", "res4.1"]
    for block, strength in found.items():
        tap = run.taps[block]
        before, added = tap.before.numpy(), tap.after.numpy()
        assert np.allclose(strength.before, np.abs(before).mean(0), atol=1e-6)
        assert np.allclose(strength.after, np.abs(before + added).mean(0), atol=1e-6)
        assert np.allclose(strength.change, np.abs(added).mean(0), atol=1e-6)
        assert strength.grid.stride_px == (4 if block.startswith("res3") else 8)


def test_a_block_that_is_off_has_no_strength(small: Load, world: WorldClip) -> None:
    off = probe(small(), world.clip, without=["res3.0"])
    assert [strength.block for strength in strengths(off)] == ["res3.1", "res4.0", "res4.1"]


def test_all_blocks_share_their_scales(run: ProbedRun) -> None:
    result = analyze(run, Params())
    spec = draw(result, layout="blocks", columns=2)
    heats = {panel.name: panel.layers[0] for panel in spec.panels if panel.row}
    assert [panel.row_title for panel in spec.panels if panel.column == 0] == [
        "frames", *(f"{block} {what}" for block in ("res3.0", "res3.1", "res4.0", "res4.1") for what in ("before", "after", "change")),
    ]  # fmt: skip
    assert {panel.frame for panel in spec.panels} == {1, 3}
    limits: dict[bool, set[Any]] = {True: set(), False: set()}
    for name, layer in heats.items():
        limits["change" in name].add(layer.limits)  # type: ignore[union-attr]
    assert limits[True] == {(0.0, max(float(one.change.max()) for one in result.strengths))}
    assert limits[False] == {(0.0, max(float(max(one.before.max(), one.after.max())) for one in result.strengths))}
    block = result.strengths[1]
    assert np.array_equal(heats["res3.1 change 3"].values, block.change[3])  # type: ignore[union-attr]
    assert spec.table is not None
    row = dict(zip(spec.table.columns, spec.table.rows[4 + 3], strict=True))
    assert (row["block"], row["t"]) == ("res3.1", 3)
    assert row["change_over_before"] == pytest.approx(block.change[3].mean() / block.before[3].mean())
    y, x = np.unravel_index(int(block.change[3].argmax()), block.change[3].shape)
    assert (row["largest_change_x_px"], row["largest_change_y_px"]) == (4.0 * x, 4.0 * y)


def test_a_given_scale_is_kept(run: ProbedRun) -> None:
    spec = draw(analyze(run, Params()), layout="blocks", limits={"mean |change|": (0.0, 9.0)})
    assert {key.label: key.limits for key in spec.keys}["mean |change|"] == (0.0, 9.0)  # type: ignore[union-attr]


def test_without_modules_there_are_no_blocks(small: Load, world: WorldClip) -> None:
    result = analyze(probe(small("c2d-18"), world.clip), Params())
    with pytest.raises(NotAvailableError, match="no CP module at work"):
        draw(result, layout="blocks")
