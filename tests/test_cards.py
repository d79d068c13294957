"""The numbers of the cards, counted again: one of each card on a few clips; slowly, all that fifty clips give."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizkit.checkpoint import Checkpoint, checkpoints, load_network
from vizkit.learn.video_scores import video_scores, videos_of_card
from vizkit.net.confusion import confusions
from vizkit.scores import score, untrained
from vizkit.world import LABELS, render

CLIPS = 16
ALIKE = 1e-3
"""Scores of one machine differ from another's in the last bits of what goes into them."""
ROUNDED = 5e-5
"""Cards hold four digits."""
ONE_CLIP = 1.5 / 50
"""A label that hangs on these last bits changes a share of fifty clips by so much."""

MEASURED = [entry for entry in checkpoints() if "world.accuracy_64" in entry.card["test"]]


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.name)
def test_a_few_clips_give_what_the_card_says_within_the_intervals(entry: Checkpoint) -> None:
    network = load_network(entry.name)
    batch = render(range(CLIPS), split="test", frames=network.sampling.total_frames, side_px=64)
    found = confusions(network, [batch], control_clips=0)["in_order"].accuracy()
    said = entry.card["test"]["world.accuracy_64"]
    assert found.n == CLIPS
    assert found.interval[0] <= said["interval"][1]
    assert said["interval"][0] <= found.interval[1]


@pytest.mark.media
@pytest.mark.slow
@pytest.mark.parametrize("entry", [entry for entry in checkpoints() if "folds" in entry.card], ids=lambda entry: entry.name)
def test_the_fold_that_shipped_weights_did_not_see_gives_what_the_folds_say(entry: Checkpoint, media: Path, tmp_path: Path) -> None:
    videos = videos_of_card(entry.card, media / "data" / "ut_interaction")
    found = video_scores(load_network(entry.name), videos, tmp_path)
    said = entry.card["folds"]["scores"]["in_order"]
    for name in ("class", "direction"):
        value = found[f"videos.{name}"]
        assert value.n == entry.card["data"]["test_clips"]
        assert value.interval[0] <= said[name]["interval"][1], name
        assert said[name]["interval"][0] <= value.interval[1], name


@pytest.mark.slow
@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.name)
def test_fifty_clips_give_the_scores_of_the_card_again(entry: Checkpoint) -> None:
    said = entry.card["scores"]
    found = score(load_network(entry.name), clips=50)
    assert found.keys() == said.keys()
    assert said["world.accuracy_64"]["command"] == f"vizkit score {entry.name} --clips 50 --json"
    for name, value in found.items():
        assert value.value == pytest.approx(said[name]["value"], rel=ALIKE, abs=ONE_CLIP), name
        assert said[name]["interval"][0] - ONE_CLIP <= value.value <= said[name]["interval"][1] + ONE_CLIP, name


@pytest.mark.slow
@pytest.mark.parametrize("entry", [entry for entry in MEASURED if entry.card.get("untrained")], ids=lambda entry: entry.name)
def test_a_few_clips_give_what_the_card_says_of_random_weights(entry: Checkpoint) -> None:
    network = untrained(load_network(entry.name))
    assert network.labels != LABELS
    said = entry.card["untrained"]
    for name, value in score(network, clips=CLIPS).items():
        if not any(map(str.isdigit, name)):
            assert value.interval[0] <= said[name]["interval"][1] + ROUNDED, name
            assert said[name]["interval"][0] - ROUNDED <= value.interval[1], name
