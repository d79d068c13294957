"""R3D-50 of 1 x k x k kernels: costs, and the weights of an image network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from vizkit.catalog import architecture
from vizkit.net.backbones.depthwise import load_image_weights
from vizkit.net.backbones.r3d import build_r3d
from vizkit.net.count import count_architecture, count_parameters

SHORT = (1, 1, 1, 1)


class Own(nn.Module):
    def __init__(self, channels: int, _frames: int) -> None:
        super().__init__()
        self.out_features = 2
        self.weight = nn.Parameter(torch.randn(channels))

    def neutral(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(len(x), 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((3, 4))[:, :2].sum(2) * self.weight[:2]


def image_network(classes: int) -> models.ResNet:
    torch.manual_seed(1)
    return models.ResNet(models.resnet.Bottleneck, list(SHORT), num_classes=classes).eval()


def test_costs() -> None:
    entry = architecture("r3d-50")
    cost = count_architecture(entry)
    assert (cost.params, cost.frames, cost.size_px, entry.classes) == (23_612_531, 8, 224, 51)
    with torch.device("meta"):
        assert count_parameters(entry.build(1000)) == count_parameters(models.resnet50(weights=None)) == 25_557_032
    assert cost.gmacs == pytest.approx(8 * 4.0871, abs=1e-2)  # eight times a ResNet-50


def test_the_weights_of_an_image_network_give_the_mean_of_its_logits() -> None:
    reference, network = image_network(7), build_r3d(7, layout=SHORT).eval()
    load_image_weights(network, reference.state_dict())
    clip = torch.randn(2, 3, 3, 65, 96)
    with torch.no_grad():
        expected = torch.stack([reference(clip[:, :, t]) for t in range(3)]).mean(0)
        assert torch.allclose(network(clip), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_modules_beside_it_keep_their_start_when_image_weights_come_in() -> None:
    network = build_r3d(3, layout=SHORT, beside={"res3": Own})
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    load_image_weights(network, image_network(1000).state_dict(), classifier=False)
    now = network.state_dict()
    assert torch.equal(now["beside.res3.weight"], before["beside.res3.weight"])
    assert torch.equal(now["head.fc.weight"], before["head.fc.weight"])
    assert torch.equal(now["stem.conv.weight"][:, :, 0], image_network(1000).conv1.weight)
