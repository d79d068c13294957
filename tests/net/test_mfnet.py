"""MFNet-3D: costs, the unit written out, and weights under the names of the public code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vizkit import load_weights
from vizkit.catalog import architecture
from vizkit.checkpoint import load_network
from vizkit.errors import CheckpointError
from vizkit.net.backbones.mfnet import MFNet, MultiFibreUnit, build_mfnet, public_key
from vizkit.net.count import count_network, count_parameters, gmacs_as_published, parameters_as_published

LENGTHS, CLASSES = (3, 4, 6, 3), 400
SHORT = {"layout": (2, 1, 1, 2), "width": 32}
CLIP = torch.randn(1, 3, 6, 64, 48, generator=torch.Generator().manual_seed(4))


def shapes(classes: int = CLASSES) -> MFNet:
    with torch.device("meta"):
        return build_mfnet(classes)


# ------------------------------------------------------------------------------------------------ costs


def test_costs_are_those_of_the_paper() -> None:
    entry, network = architecture("mfnet"), shapes()
    assert (entry.frames, entry.size_px, entry.classes, entry.sampling.total_frames) == (16, 224, CLASSES, 16)
    cost = count_network(network, 16, 224)
    assert cost.params == 7_996_368
    assert cost.params - CLASSES * 769 == 7_688_768
    assert cost.gmacs == pytest.approx(11.0454, abs=6e-5)
    assert entry.published is not None
    assert (entry.published.params, entry.published.gmacs) == (8.0, 11.1)
    assert parameters_as_published(network, entry.published) == pytest.approx(8.0, rel=1e-3)
    assert gmacs_as_published(network, entry.published, 16, 224) == pytest.approx(11.1110, abs=6e-5)


def test_the_input_is_that_of_the_public_code() -> None:
    network = load_network("mfnet", num_classes=3, **SHORT)
    grey = torch.tensor([124.0, 117.0, 104.0]).view(1, 3, 1, 1, 1) / 255
    assert torch.allclose(network.normalized(grey + 0.1 / 0.0167 / 255), torch.full((1, 3, 1, 1, 1), 0.1), atol=1e-6)


# ------------------------------------------------------------------------------------------------ public names

SAMPLE = {
    "conv1.conv.weight": (16, 3, 3, 5, 5),
    "conv1.bn.running_var": (16,),
    "conv2.B01.conv_i1.conv.weight": (24, 16, 1, 1, 1),
    "conv2.B01.conv_i2.conv.weight": (16, 24, 1, 1, 1),
    "conv2.B01.conv_m1.conv.weight": (96, 1, 3, 3, 3),
    "conv2.B01.conv_m2.conv.weight": (96, 96, 1, 1, 1),
    "conv2.B01.conv_w1.bn.weight": (16,),
    "conv2.B01.conv_w1.conv.weight": (96, 16, 1, 1, 1),
    "conv3.B04.conv_i1.bn.bias": (192,),
    "conv4.B06.conv_m1.conv.weight": (384, 24, 3, 3, 3),
    "conv4.B06.conv_m2.conv.weight": (384, 24, 1, 3, 3),
    "conv5.B03.conv_m2.bn.num_batches_tracked": (),
    "tail.bn.running_mean": (768,),
    "classifier.weight": (CLASSES, 768),
}


def test_names_and_shapes_are_those_of_the_public_code() -> None:
    named = {public_key(key): tuple(tensor.shape) for key, tensor in shapes().state_dict().items()}
    assert {key: named[key] for key in SAMPLE} == SAMPLE
    assert [
        sum(key.startswith(f"conv{number}.B") and key.endswith("conv_m1.conv.weight") for key in named) for number in range(2, 6)
    ] == list(LENGTHS)
    assert sum(key.endswith("conv_w1.conv.weight") for key in named) == 4


def random_weights(network: MFNet) -> dict[str, torch.Tensor]:
    """Weights with norms that do something, under the public names."""
    generator = torch.Generator().manual_seed(2)
    weights = {}
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            weights[public_key(key)] = torch.tensor(7)
        elif tensor.ndim > 1:
            weights[public_key(key)] = torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
        else:
            offset = 1.0 if key.endswith(("norm.weight", "running_var")) else 0.0
            weights[public_key(key)] = offset + 0.2 * torch.rand(tensor.shape, generator=generator)
    return weights


def logits_of(weights: dict[str, torch.Tensor], clip: torch.Tensor) -> torch.Tensor:
    """MFNet written out as functions of the public code's weights."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        leaves = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (weights[f"{name}.{leaf}"].view(1, -1, 1, 1, 1) for leaf in leaves)
        return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).relu()

    def conv(x: torch.Tensor, name: str, stride: tuple[int, ...] = (1, 1, 1)) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        return F.conv3d(x, kernel, None, stride, [side // 2 for side in kernel.shape[2:]], groups=x.shape[1] // kernel.shape[1])

    def layer(x: torch.Tensor, name: str, stride: tuple[int, ...] = (1, 1, 1)) -> torch.Tensor:
        return conv(norm(x, f"{name}.bn"), f"{name}.conv", stride)

    x = F.max_pool3d(norm(conv(clip, "conv1.conv", (1, 2, 2)), "conv1.bn"), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for number in range(2, 6):
        position = 1
        while f"conv{number}.B{position:02}.conv_m1.conv.weight" in weights:
            name = f"conv{number}.B{position:02}"
            stride = ((2, 1, 1) if number == 2 else (1, 2, 2)) if position == 1 else (1, 1, 1)
            mixed = x + layer(layer(x, f"{name}.conv_i1"), f"{name}.conv_i2")
            out = layer(layer(mixed, f"{name}.conv_m1", stride), f"{name}.conv_m2")
            x = out + (layer(x, f"{name}.conv_w1", stride) if position == 1 else x)
            position += 1
    return F.linear(norm(x, "tail.bn").mean((2, 3, 4)), weights["classifier.weight"], weights["classifier.bias"])


@pytest.mark.parametrize("counters", [True, False])
def test_public_weights_give_the_logits_they_were_made_for(tmp_path: Path, counters: bool) -> None:
    network = build_mfnet(5, **SHORT).eval()  # type: ignore[arg-type]
    weights = random_weights(network)
    kept = {key: tensor for key, tensor in weights.items() if counters or not key.endswith("num_batches_tracked")}
    save_file({f"module.{key}": tensor for key, tensor in kept.items()}, tmp_path / "w.safetensors")
    report = load_weights(tmp_path / "w.safetensors", network)
    assert (report.verdict, bool(report.missing)) == ("ok", not counters)
    with torch.no_grad():
        expected, found = logits_of(weights, CLIP), network(CLIP)
    assert float(expected.std()) > 0.1 * float(expected.abs().max())
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    network = build_mfnet(5, **SHORT)  # type: ignore[arg-type]
    weights = random_weights(network)
    save_file({**weights, "conv5.B03.conv_m1.conv.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"1 keys have no counterpart.*B03"):
        load_weights(tmp_path / "w.safetensors", network)
    save_file({key: tensor for key, tensor in weights.items() if key != "tail.bn.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(head\.norm\.bias"):
        load_weights(tmp_path / "w.safetensors", network)
    assert network.translate_keys({"conv1.weight"}) is None


# ------------------------------------------------------------------------------------------------ layers


def test_a_unit_adds_what_its_fibres_exchange_to_them_and_not_to_its_output() -> None:
    """The multiplexer takes part in what the fibres see; the shortcut is the input itself."""
    unit = MultiFibreUnit(16, 16, stride=(1, 1, 1), first=False).double().eval()
    x = torch.randn(1, 16, 3, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        unit.b.conv.weight.zero_()  # type: ignore[operator, union-attr]
        assert torch.equal(unit(x), x)
        assert not torch.equal(unit.mix(x), torch.zeros_like(x))


def test_fibres_see_their_own_channels_only() -> None:
    unit = MultiFibreUnit(32, 32, stride=(1, 1, 1), first=False).eval()
    x = torch.zeros(1, 32, 1, 3, 3)
    x[0, 4] = 1.0  # channel 4 belongs to fibre 2 of 16
    with torch.no_grad():
        found = (unit.a(x) - unit.a(torch.zeros_like(x))).abs().sum((0, 2, 3, 4))
    assert found.nonzero().flatten().tolist() == [4, 5]


def test_narrow_networks_have_fewer_fibres() -> None:
    network = build_mfnet(5, width=4, stem="5x5/2", layout=(1, 1, 1, 1))
    assert [network.get_submodule(f"res{number}.blocks.0.a.conv").groups for number in range(2, 6)] == [1, 4, 8, 16]
    assert count_parameters(network) < 200_000


def test_time_is_halved_once_and_frames_are_told_apart_by_their_order() -> None:
    torch.manual_seed(0)
    network = build_mfnet(5, **SHORT).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        maps = network.features(CLIP)
        assert [tuple(found.shape[1:]) for found in maps.values()] == [(32, 3, 16, 12), (64, 3, 8, 6), (128, 3, 4, 3), (256, 3, 2, 2)]
        backwards = network(CLIP.flip(2))
        assert not torch.allclose(network(CLIP), backwards, rtol=1e-3)
