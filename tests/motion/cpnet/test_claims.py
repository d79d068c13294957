"""CPNet's claims: the toy experiment's clips and networks, what decides, and (slow) that it holds."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vizkit.contracts import ClaimSettings, Measured
from vizkit.errors import SettingError
from vizkit.motion.cpnet import claims
from vizkit.motion.cpnet.claims import NETWORKS, PAPER, SMALL, ToySettings, check_identity, check_size, check_toy, judge_toy, train_toy
from vizkit.motion.cpnet.toy import CPStart, NonLocal, TemporalRelation, build_toy, jumping_squares
from vizkit.net.fit import accuracy

LEFT, RIGHT, UP, DOWN = range(4)


def silent(_: str) -> None:
    pass


# ------------------------------------------------------------------------------------------------ clips


@pytest.fixture(scope="module", params=[SMALL, PAPER], ids=["small", "paper"])
def squares(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    size = request.param
    return *jumping_squares(200, np.random.default_rng(0), side_px=size.side_px, jump_px=size.jump_px), size.jump_px


def corners_xy(clips: torch.Tensor) -> torch.Tensor:
    """[N, T, 2] upper left corners of the squares."""
    y, x = (clips[:, 0].amax(axis).argmax(-1) for axis in (3, 2))
    return torch.stack([x, y], -1)


def test_every_frame_holds_one_square_inside(squares: tuple[torch.Tensor, torch.Tensor, tuple[int, int]]) -> None:
    clips, _, _ = squares
    assert clips.unique().tolist() == [0, 1]
    again = torch.zeros_like(clips)
    for clip, corners in zip(again, corners_xy(clips), strict=True):
        for t, (x, y) in enumerate(corners.tolist()):
            clip[0, t, y : y + 2, x : x + 2] = 1
    assert torch.equal(again, clips)


def test_labels_are_balanced_and_say_the_direction(squares: tuple[torch.Tensor, torch.Tensor, tuple[int, int]]) -> None:
    clips, labels, (shortest, longest) = squares
    assert torch.bincount(labels).tolist() == [50] * 4
    steps = corners_xy(clips).diff(dim=1)  # [N, 3, 2]
    signs = {LEFT: (-1, 0), RIGHT: (1, 0), UP: (0, -1), DOWN: (0, 1)}
    for label, sign in signs.items():
        assert (steps[labels == label].sign() == torch.tensor(sign)).all()
    jumps = steps.abs().sum(-1)
    assert (jumps.min(), jumps.max()) == (shortest, longest)


def test_starts_fill_all_places(squares: tuple[torch.Tensor, torch.Tensor, tuple[int, int]]) -> None:
    clips, labels, _ = squares
    corners, places = corners_xy(clips), clips.shape[-1] - 1
    rightward = corners[labels == RIGHT]
    assert rightward[:, 0, 0].min() == 0
    assert rightward[:, -1, 0].max() == places - 1
    assert rightward[:, 0, 1].float().std() > places / 5  # uniform: places / sqrt(12)


def test_jumps_are_drawn_for_each_step() -> None:
    clips, _ = jumping_squares(40, np.random.default_rng(0), side_px=32, jump_px=(7, 9))
    jumps = corners_xy(clips).diff(dim=1).abs().sum(-1)
    assert (jumps != jumps[:, :1]).any(1).float().mean() > 0.7  # 8 of 9 tracks


# ------------------------------------------------------------------------------------------------ networks


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return jumping_squares(4, np.random.default_rng(1), side_px=16, jump_px=(3, 3))[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_map_clips_to_four_classes(name: str, clip: torch.Tensor) -> None:
    assert build_toy(name).eval()(clip).shape == (4, 4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "CPNet"])
def test_circular_padding_hides_the_place_and_zero_padding_shows_it(name: str, clip: torch.Tensor) -> None:
    torch.manual_seed(0)
    for padding, same in (("circular", True), ("zero", False)):
        network = build_toy(name, padding).eval()  # type: ignore[arg-type]
        with torch.no_grad():
            assert torch.allclose(network(clip.roll((5, 7), (3, 4))), network(clip), atol=1e-6) == same


@pytest.mark.parametrize(("name", "sees_order"), [("C2D", False), ("TRN", True), ("ART", True)])
def test_which_networks_see_the_order_of_frames(name: str, sees_order: bool) -> None:
    torch.manual_seed(0)
    network, noise = build_toy(name).eval(), torch.rand(2, 1, 4, 16, 16)
    with torch.no_grad():
        assert torch.allclose(network(noise.flip(2)), network(noise), atol=1e-6) != sees_order


def test_temporal_relation_sums_all_ordered_subsets() -> None:
    torch.manual_seed(0)
    head = TemporalRelation(hidden=3)
    frames = torch.randn(2, 4, 16)
    two, three, four = head.scales
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    triples = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    expected = sum(two(frames[:, list(pair)].flatten(1)) for pair in pairs) + sum(three(frames[:, list(t)].flatten(1)) for t in triples)
    torch.testing.assert_close(head(frames), expected + four(frames.flatten(1)))


def test_non_local_is_a_softmax_over_all_cells_of_the_clip() -> None:
    torch.manual_seed(0)
    block, x = NonLocal(16).eval(), torch.randn(2, 16, 2, 3, 3)
    query, key, value = (part(x).flatten(2) for part in (block.query, block.key, block.value))  # [B, 8, N]
    mixed = value @ (query.transpose(1, 2) @ key).softmax(2).transpose(1, 2)
    torch.testing.assert_close(block(x), block.norm(block.out(mixed.unflatten(2, (2, 3, 3)))), atol=1e-5, rtol=1e-5)


def test_the_cp_module_starts_as_the_paper_has_it_unless_told() -> None:
    torch.manual_seed(0)
    plain = build_toy("CPNet")
    torch.manual_seed(0)
    told = build_toy("CPNet", "circular", CPStart(last_gain=1.0, position_gain=6.0))
    assert (plain.motion.last_norm.weight == 0).all()
    assert (told.motion.last_norm.weight == 1).all()
    torch.testing.assert_close(told.motion.layers[0].weight[:, 1:3], 6 * plain.motion.layers[0].weight[:, 1:3])
    torch.testing.assert_close(told.motion.layers[0].weight[:, [0, 3, 34]], plain.motion.layers[0].weight[:, [0, 3, 34]])


# ------------------------------------------------------------------------------------------------ verdicts


def outcome(**values: float) -> tuple[Measured, ...]:
    return tuple(Measured(name, 0, value) for name, value in {**dict.fromkeys(NETWORKS, 0.25), "CPNet": 1.0, **values}.items())


def test_the_bars_themselves_are_met() -> None:
    found = judge_toy(outcome(CPNet=0.95, NL=0.32), "circular")
    assert found.reproduced
    assert found.reason == "CPNet has 95.0% or more with every seed; the other networks guess, 32.0% at most (NL)."


@pytest.mark.parametrize(
    ("values", "said"),
    [({"CPNet": 0.945}, "CPNet has only 94.5% with seed 0, below 95%"), ({"ART": 0.325}, "ART has 32.5% with seed 0, above 32%")],
)
def test_a_missed_bar_is_named(values: dict[str, float], said: str) -> None:
    found = judge_toy(outcome(**values), "circular")
    assert not found.reproduced
    assert said in found.reason
    assert "leaks" not in found.reason


def test_every_seed_counts() -> None:
    worse = tuple(Measured(entry.network, 1, 0.9 if entry.network == "CPNet" else 0.25) for entry in outcome())
    assert "seed 1" in judge_toy((*outcome(), *worse), "circular").reason
    assert not judge_toy((*outcome(), *worse), "circular").reproduced


def test_zero_padding_says_what_leaks() -> None:
    found = judge_toy(outcome(TRN=0.9), "zero")
    assert not found.reproduced
    assert "TRN has 90.0% with seed 0, above 32%; the label leaks" in found.reason


def test_the_toy_is_trained_for_every_network_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SMALL._replace(side_px=12, jump_px=(2, 2), clips=8, epochs=dict.fromkeys(NETWORKS, 1))
    monkeypatch.setattr(claims, "SMALL", tiny)
    monkeypatch.setattr(claims, "VALIDATION_CLIPS", 8)
    lines: list[str] = []
    first = check_toy(ToySettings(seeds=2), lines.append)
    assert [(entry.network, entry.seed) for entry in first.ours] == [(name, seed) for seed in (0, 1) for name in NETWORKS]
    assert lines[0].startswith("CPNet, seed 0: step 1 of 2, loss ")
    assert check_toy(ToySettings(seeds=2), silent).ours == first.ours


def test_settings_of_the_toy() -> None:
    assert ToySettings().model_dump() == {"full": False, "seeds": 3, "padding": "circular"}
    with pytest.raises(SettingError, match="padding"):
        ToySettings.parse(padding="reflect")
    assert (PAPER.side_px, PAPER.jump_px, PAPER.clips, PAPER.start) == (32, (7, 9), 1000, CPStart(0.0, 1.0))


def narrow(monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """Build both networks of the identity claim four channels wide, the CPNet with further options."""
    monkeypatch.setattr(claims, "build_frame_resnet", partial(claims.build_frame_resnet, width=4, stem="5x5/2"))
    monkeypatch.setattr(claims, "build_cpnet", partial(claims.build_cpnet, width=4, stem="5x5/2", **options))


def test_a_fresh_cpnet_is_its_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    found = check_identity(ClaimSettings(seeds=2), silent)
    assert found.reproduced
    assert [(entry.seed, entry.value) for entry in found.ours] == [(0, 0.0), (1, 0.0)]


def test_a_cpnet_that_does_something_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, last_gain=1.0)
    found = check_identity(ClaimSettings(), silent)
    assert not found.reproduced
    assert found.ours[0].value > 0
    assert found.reason.startswith("A logit differs by ")


def test_sizes_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SIZED", ("c2d-18", "cpnet-18-paper"))
    found = check_size(ClaimSettings(), silent)
    assert found.reproduced
    assert {entry.network: round(entry.value, 3) for entry in found.ours} == {"c2d-18": 10.735, "cpnet-18-paper": 11.346}


def test_a_size_off_by_more_than_a_percent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SIZED", ("c2d-18", "cpnet-18"))
    found = check_size(ClaimSettings(), silent)
    assert not found.reproduced
    assert found.reason.startswith("cpnet-18 differs by -3.4%")


# ------------------------------------------------------------------------------------------------ the experiment itself


@pytest.mark.slow
def test_without_the_module_direction_cannot_be_learnt() -> None:
    network, validation = train_toy("C2D", 0, SMALL, "circular", silent)
    assert accuracy(network, *validation) <= claims.GUESSED


@pytest.mark.slow
def test_with_the_module_direction_is_learnt_and_the_change_lies_on_the_square() -> None:
    network, (clips, labels) = train_toy("CPNet", 0, SMALL, "circular", silent)
    assert accuracy(network, clips, labels) >= claims.LEARNT
    with torch.no_grad():
        change = network.motion(network.first(clips[:20])).abs().sum(1)  # [B, T, S, S]
    square = clips[:20, 0] > 0
    near = F.max_pool2d(square.float(), 5, 1, 2).bool()
    assert float(change[square].mean()) >= 5 * float(change[~near].mean())


@pytest.mark.slow
def test_zero_padding_leaks_the_label() -> None:
    network, validation = train_toy("TRN", 0, SMALL, "zero", silent)
    assert accuracy(network, *validation) > claims.GUESSED
