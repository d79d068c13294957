"""Training of tiny networks: batches, steps, progress, accuracy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizkit.errors import TrainingError
from vizkit.net.fit import accuracy, fit, labelled, shuffled_batches


def numbered(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips whose one value is their number, labels likewise."""
    number = torch.arange(count)
    return number.float().view(count, 1, 1, 1, 1), number


class Linear(nn.Module):
    """Logits from the mean of a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.fc(clips.mean((2, 3, 4)))


def signs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(count) % 2
    return (2.0 * labels - 1).view(count, 1, 1, 1, 1), labels


def test_batches_hold_every_clip_once_an_epoch_in_a_new_order() -> None:
    batches = list(shuffled_batches(*numbered(8), size=4, epochs=3, generator=torch.Generator().manual_seed(0)))
    assert [len(labels) for _, labels in batches] == [4] * 6
    epochs = [torch.cat([batches[2 * epoch][1], batches[2 * epoch + 1][1]]).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(8)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 3
    assert all(torch.equal(clips.flatten(), labels.float()) for clips, labels in batches)


def test_an_incomplete_batch_is_left_out() -> None:
    batches = list(shuffled_batches(*numbered(10), size=4, epochs=1, generator=torch.Generator().manual_seed(0)))
    assert [len(labels) for _, labels in batches] == [4, 4]


def test_the_order_is_the_generators() -> None:
    first, again = (
        [labels.tolist() for _, labels in shuffled_batches(*numbered(8), size=4, epochs=2, generator=torch.Generator().manual_seed(3))]
        for _ in range(2)
    )
    assert first == again


def test_a_network_learns_and_ends_in_eval_mode() -> None:
    torch.manual_seed(0)
    network, lines = Linear(), []
    fit(network, [signs(16)] * 200, steps=80, peak_rate=0.1, report=lines.append)
    assert not network.training
    assert accuracy(network, *signs(50)) == 1.0
    assert [line.partition(",")[0] for line in lines] == [f"step {step} of 80" for step in range(10, 81, 10)]
    losses = [float(line.rpartition(" ")[2]) for line in lines]
    assert losses[-1] < 0.1 * losses[0]


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    clips, labels = signs(4)
    with pytest.raises(TrainingError, match=r"The loss is nan at step 1; peak_rate is 0\.1"):
        fit(Linear(), [(clips * float("nan"), labels)], steps=1, peak_rate=0.1, report=lambda _: None)


def test_accuracy_counts_clips_and_not_batches() -> None:
    clips, labels = signs(45)  # parts of 20, 20 and 5
    network = Linear().eval()
    with torch.no_grad():
        network.fc.weight[:] = torch.tensor([[-1.0], [1.0]])
        network.fc.bias[:] = 0
    wrong = labels.clone()
    wrong[-5:] = 1 - wrong[-5:]
    assert accuracy(network, clips, labels) == 1.0
    assert accuracy(network, clips, wrong) == pytest.approx(40 / 45)


def test_labels_stand_in_front() -> None:
    lines: list[str] = []
    labelled(lines.append, "CPNet, seed 0")("step 1")
    assert lines == ["CPNet, seed 0: step 1"]
