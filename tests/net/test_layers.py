"""The layer tree with shapes: those of a real pass, nothing computed, nothing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from vizkit.checkpoint import load_network
from vizkit.contracts import Sampling
from vizkit.net.layers import layer_shapes, tabulate_layers
from vizkit.net.network import Network

SMALL: dict[str, dict[str, Any]] = {
    "cpnet-18": {"width": 4, "stem": "5x5/2", "last_gain": 1.0, "shrink": 1},
    "mf-kpsem": {"width": 8, "stem": "5x5/2", "frames": 4, "sets": 2},
    "dcf-r2plus1d-50": {"width": 4, "stem": "5x5/2", "layout": (1, 1, 1, 1)},
}


def small(name: str) -> Network:
    return replace(load_network(name, num_classes=5, **SMALL[name]), sampling=Sampling(segments=4, frames=4, short_side_px=48, crop_px=48))


@pytest.mark.parametrize("name", SMALL)
def test_shapes_are_those_of_a_pass_with_values(name: str) -> None:
    network = small(name)
    found = {layer.path: layer for layer in layer_shapes(network, frames=4, size_hw=(48, 64))}
    tree, seen = network.tree(), {}

    def keep(path: str, output: Any) -> None:
        seen.setdefault(path, tuple((output[0] if isinstance(output, tuple) else output).shape))

    for path, module in tree.named_modules():
        if path:
            module.register_forward_hook(lambda _module, _inputs, output, path=path: keep(path, output))
    with torch.no_grad():
        tree(torch.rand(1, 3, 4, 48, 64))
    assert list(found) == [path for path, _ in network.module.named_modules() if path]
    assert {path: layer.shape for path, layer in found.items() if layer.calls} == seen
    assert all(layer.shape == () for layer in found.values() if not layer.calls)
    for path, layer in found.items():
        module = network.module.get_submodule(path)
        assert layer.params == sum(parameter.numel() for parameter in module.parameters())
        assert (layer.kind, layer.depth) == (type(module).__name__, path.count("."))
    for place in (*network.stages, *network.blocks):
        assert found[place.path].place.endswith(place.name)
    assert not any(module._forward_hooks for module in network.module.modules())
    assert not any(parameter.is_meta for parameter in network.module.parameters())


def test_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution gets and gives tensors without values."""
    network, kinds = small("cpnet-18"), []
    forward = torch.nn.Conv2d.forward

    def note(self: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        out = forward(self, x)
        kinds.append((x.is_meta, out.is_meta))
        return out

    monkeypatch.setattr(torch.nn.Conv2d, "forward", note)
    layer_shapes(network, frames=4, size_hw=(48, 48))
    assert set(kinds) == {(True, True)}


def test_the_table_is_a_tree() -> None:
    table = tabulate_layers(layer_shapes(small("cpnet-18"), frames=4, size_hw=(48, 48)))
    rows = {str(row[-1]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["layer2"]["layer"] == "layer2"
    assert rows["layer2"]["place"] == "stage res3"
    assert rows["layer2"]["output"] == "4 x 8 x 12 x 12"
    assert rows["layer2.0.conv1"]["layer"] == "\u2003\u2003conv1"
