"""R(2+1)D with depthwise temporal convolutions: an image network on every frame until it is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from vizkit.catalog import architecture
from vizkit.digest import digest_tensors
from vizkit.errors import CheckpointError
from vizkit.net.backbones.clips import ClipNetwork
from vizkit.net.backbones.depthwise import DepthwiseTemporal, build_depthwise, image_key, load_image_weights
from vizkit.net.count import count_network, count_parameters

SHORT = (2, 1, 1, 2)


def image_network(depth: str = "short", *, classes: int = 7) -> models.ResNet:
    """A ResNet of bottlenecks whose norms are not the identity."""
    torch.manual_seed(0)
    if depth == "short":
        network = models.ResNet(models.resnet.Bottleneck, list(SHORT), num_classes=classes)
    else:
        network = models.resnet50(weights=None, num_classes=classes)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
                module.running_var.uniform_(0.8, 1.25)  # type: ignore[union-attr]
    return network.eval()


def mean_over_frames(network: models.ResNet, clip: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits = network(clip.transpose(1, 2).flatten(0, 1))
    return logits.unflatten(0, (len(clip), -1)).mean(1)


# ------------------------------------------------------------------------------------------------ costs

TABLE = [
    # name, frames, classes, multiply-adds in 1e9 at 224 px, parameters
    ("r2plus1d-dw-50", 8, 174, 32.743, 23_875_886),
    ("r2plus1d-dw-50", 16, 174, 65.486, 23_875_886),
    ("r2plus1d-dw-50", 8, 1000, 32.745, 25_568_360),
    ("r2plus1d-dw-101", 8, 174, 62.461, 42_881_070),
]


@pytest.mark.parametrize(("name", "frames", "classes", "gmacs", "parameters"), TABLE)
def test_costs(name: str, frames: int, classes: int, gmacs: float, parameters: int) -> None:
    entry = architecture(name)
    assert (entry.frames, entry.size_px, entry.classes) == (8, 224, 174)
    with torch.device("meta"):
        cost = count_network(entry.build(classes), frames, 224)
    assert cost.params == parameters
    assert cost.gmacs == pytest.approx(gmacs, abs=6e-4)


def test_the_temporal_convolutions_are_all_that_an_image_network_lacks() -> None:
    with torch.device("meta"):
        ours, image = architecture("r2plus1d-dw-50").build(1000), models.resnet50(weights=None)
    kernels = sum(3 * 64 * 2**level * blocks for level, blocks in enumerate((3, 4, 6, 3)))
    assert kernels == 11_328
    assert count_parameters(ours) == count_parameters(image) + kernels == 25_557_032 + kernels


# ------------------------------------------------------------------------------------------------ image weights


@pytest.mark.parametrize(("depth", "classes", "frames", "size"), [("50", 1000, 3, (96, 96)), ("short", 7, 2, (97, 65))])
def test_logits_are_the_mean_over_frames_of_the_image_networks(depth: str, classes: int, frames: int, size: tuple[int, int]) -> None:
    reference = image_network(depth, classes=classes)
    network = build_depthwise(classes, layout=SHORT if depth == "short" else (3, 4, 6, 3)).eval()
    load_image_weights(network, reference.state_dict())
    clip = torch.randn(2 if depth == "short" else 1, 3, frames, *size)
    expected = mean_over_frames(reference, clip)
    with torch.no_grad():
        found = network(clip)
    assert float(expected.std()) > 0.1
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_stride_on_the_first_layer_is_another_network() -> None:
    reference = image_network()
    network = build_depthwise(7, layout=SHORT, stride_on="1x1").eval()
    load_image_weights(network, reference.state_dict())
    clip = torch.randn(1, 3, 2, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(network(clip), mean_over_frames(reference, clip), rtol=1e-2)
    block = network.get_submodule("res3.blocks.0")
    strides = [block.get_submodule(f"{name}.conv").stride for name in ("a", "b", "c", "shortcut")]
    assert strides == [(1, 2, 2), (1, 1, 1), (1, 1, 1), (1, 2, 2)]


@pytest.mark.parametrize("stem", ["7x7/2+pool", "5x5/2"])
def test_an_untrained_network_treats_every_frame_alone(stem: str) -> None:
    torch.manual_seed(0)
    network = build_depthwise(5, width=4, layout=SHORT, stem=stem).eval()  # type: ignore[arg-type]
    clip = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        together = network.features(clip)
        for name, maps in together.items():
            alone = torch.cat([network.features(clip[:, :, t : t + 1])[name] for t in range(4)], 2)
            assert maps.shape[2] == 4
            assert torch.allclose(maps, alone, rtol=1e-4, atol=1e-5 * float(alone.max()))


def test_a_temporal_kernel_weighs_the_frame_before_this_one_and_the_next_of_its_own_channel() -> None:
    layer = DepthwiseTemporal(2).double()
    assert layer.weight[:, 0, :, 0, 0].tolist() == [[0, 1, 0]] * 2
    with torch.no_grad():
        layer.weight[:, 0, :, 0, 0] = torch.tensor([[1.0, 10.0, 100.0], [2.0, 0.0, 0.0]])
        clip = torch.tensor([[1.0, 5.0, 2.0], [7.0, 8.0, 9.0]], dtype=torch.float64).view(1, 2, 3, 1, 1)
        found = layer(clip)[0, :, :, 0, 0].tolist()
    assert found == [[510, 251, 25], [0, 14, 16]]


def test_image_weights_keep_temporal_kernels_modules_and_if_asked_the_classifier() -> None:
    class Own(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(channels))

    torch.manual_seed(5)
    network = build_depthwise(3, layout=SHORT, after={"res2": Own})
    with torch.no_grad():
        network.get_submodule("res3.blocks.0.temporal").weight.uniform_()  # type: ignore[operator, union-attr]
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    load_image_weights(network, image_network(classes=1000).state_dict(), classifier=False)
    now = network.state_dict()
    kept = {key for key in now if torch.equal(now[key], before[key]) and not key.endswith(("bias", "norm.weight", "batches_tracked"))}
    assert kept == {key for key in now if ".temporal." in key or key in ("after.res2.weight", "head.fc.weight")}


CHANGED = {
    "a tensor too few": ({"bn1.bias": None}, r"missing \['bn1.bias'\], unexpected \[\]"),
    "a tensor too many": ({"layer9.0.conv1.weight": torch.zeros(1)}, r"missing \[\], unexpected \['layer9.0.conv1.weight'\]"),
    "other classes": ({"fc.weight": torch.zeros(9, 2048)}, r"head.fc.weight have shape \[9, 2048\], expected \[7, 2048\]"),
    "another kernel": ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"stem.conv.weight have shape \[64, 3, 1, 3, 3\]"),
    "another depth": (models.resnet34(num_classes=7).state_dict(), r"missing \['layer1.0.bn3.bias', .*ResNet of the same depth"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_weights_of_another_image_network_are_refused_whole(case: str) -> None:
    changes, words = CHANGED[case]
    whole = image_network().state_dict() | changes if case != "another depth" else changes
    network = build_depthwise(7, layout=SHORT)
    before = digest_tensors(network.state_dict())
    with pytest.raises(CheckpointError, match=words):
        load_image_weights(network, {key: tensor for key, tensor in whole.items() if tensor is not None})
    assert digest_tensors(network.state_dict()) == before


@pytest.mark.parametrize(("depth", "layout"), [("resnet50", (3, 4, 6, 3)), ("resnet101", (3, 4, 23, 3))])
def test_every_tensor_of_an_image_network_has_one_name(depth: str, layout: tuple[int, ...]) -> None:
    with torch.device("meta"):
        theirs = getattr(models, depth)(weights=None).state_dict()
        ours = build_depthwise(1000, layout=layout).state_dict()
    named = {image_key(key): tensor for key, tensor in ours.items() if ".temporal." not in key}
    assert named.keys() == theirs.keys()
    assert all(tensor.squeeze(2).shape == theirs[key].shape if tensor.ndim == 5 else True for key, tensor in named.items())
    assert image_key("res3.blocks.0.a.conv.weight") == "layer2.0.conv1.weight"
    assert image_key("res5.blocks.2.c.norm.running_var") == "layer4.2.bn3.running_var"
    assert image_key("stem.conv.weight") == "conv1.weight"


def test_an_unknown_place_of_the_stride_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="stride_on is 3x1, known: 3x3, 1x1"):
        build_depthwise(7, stride_on="3x1")  # type: ignore[arg-type]
    assert isinstance(build_depthwise(7, width=2), ClipNetwork)
