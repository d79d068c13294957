"""X3D: costs, worked numbers, and weights in the two public layouts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vizkit import load_weights
from vizkit.catalog import architecture
from vizkit.digest import digest_tensors
from vizkit.errors import CheckpointError
from vizkit.net.architecture import Published
from vizkit.net.backbones.x3d import X3D, Squeeze, X3DBlock, build_x3d, squeezed
from vizkit.net.count import count_architecture, count_network, count_parameters, gmacs_as_published

LENGTHS, CHANNELS, CLASSES = (3, 5, 11, 7), (24, 48, 96, 192), 400

# ------------------------------------------------------------------------------------------------ costs


@cache
def shapes(*, num_classes: int = CLASSES, stage2_shortcut_bn: bool = True) -> X3D:
    with torch.device("meta"):
        return build_x3d(num_classes, stage2_shortcut_bn=stage2_shortcut_bn)


@pytest.mark.parametrize(
    ("name", "frames", "size_px", "zoo", "ours", "tolerance"),
    [("x3d-xs", 4, 160, 0.60, 0.605, 0.01), ("x3d-s", 13, 160, 1.96, 1.963, 0.005), ("x3d-m", 16, 224, 4.73, 4.732, 0.005)],
)
def test_costs_are_those_of_the_zoo(name: str, frames: int, size_px: int, zoo: float, ours: float, tolerance: float) -> None:
    entry = architecture(name)
    cost = count_architecture(entry)
    assert (cost.frames, cost.size_px, cost.params) == (frames, size_px, 3_794_322)
    assert cost.gmacs == pytest.approx(ours, abs=6e-4)
    assert entry.published is not None
    assert (entry.published.params, entry.published.gmacs) == (3.8, zoo)
    assert cost.gmacs == pytest.approx(zoo, rel=tolerance)


@pytest.mark.parametrize(("frames", "size_px", "zoo", "with_norm"), [(13, 182, 2.96, 2.955), (16, 256, 6.72, 6.723)])
def test_costs_in_the_counting_of_pytorchvideo(frames: int, size_px: int, zoo: float, with_norm: float) -> None:
    counting = Published(3.79, zoo, "", norm_macs=5)
    norm, plain = (shapes(stage2_shortcut_bn=variant) for variant in (True, False))
    assert gmacs_as_published(norm, counting, frames, size_px) == pytest.approx(with_norm, abs=6e-4)
    assert gmacs_as_published(plain, counting, frames, size_px) == pytest.approx(zoo, rel=5e-3)
    assert count_parameters(plain) == 3_794_274 == count_parameters(norm) - 48


def test_a_network_for_another_data_set() -> None:
    cost = count_network(shapes(num_classes=174), 13, 160)
    assert cost.params == 3_331_248
    assert cost.gmacs == pytest.approx(1.962, abs=6e-4)


# ------------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize(("channels", "width"), [(54, 8), (108, 8), (216, 16), (432, 32), (9, 8), (1024, 64)])
def test_the_width_of_a_squeeze(channels: int, width: int) -> None:
    assert squeezed(channels) == width


def test_squeezing_weighs_channels_by_their_means_over_frames_and_places() -> None:
    layer = Squeeze(2).double()
    with torch.no_grad():
        for part in (layer.reduce, layer.expand):
            part.weight.zero_()
            part.bias.zero_()  # type: ignore[union-attr]
        layer.reduce.weight[0, :, 0, 0, 0] = torch.tensor([1.0, -2.0])
        layer.reduce.bias[0] = 0.5  # type: ignore[index]
        layer.expand.weight[:, 0, 0, 0, 0] = torch.tensor([1.0, -1.0])
        layer.expand.bias[1] = 3  # type: ignore[index]
        maps = torch.tensor([[1.0, 5.0], [0.5, 0.5]], dtype=torch.float64).view(1, 2, 2, 1, 1)  # means 3 and 0.5 -> 3 - 1 + 0.5 = 2.5
        found = layer(maps)[0, :, :, 0, 0]
        gates = torch.sigmoid(torch.tensor([2.5, 0.5], dtype=torch.float64))
    assert torch.allclose(found, torch.stack([gates[0] * maps[0, 0, :, 0, 0], gates[1] * maps[0, 1, :, 0, 0]]))


def test_every_other_block_squeezes_and_the_first_strides() -> None:
    network = build_x3d(5, width=4)
    for number, length in zip(range(2, 6), LENGTHS, strict=True):
        blocks = [network.get_submodule(f"res{number}.blocks.{position}") for position in range(length)]
        assert all(isinstance(block, X3DBlock) for block in blocks)
        assert [isinstance(block.squeeze, Squeeze) for block in blocks] == [position % 2 == 0 for position in range(length)]
        assert [block.b.conv.stride for block in blocks] == [(1, 2, 2)] + [(1, 1, 1)] * (length - 1)  # type: ignore[union-attr]


def test_no_stage_drops_frames_and_frames_are_told_apart_by_their_order() -> None:
    torch.manual_seed(0)
    network = build_x3d(5, width=4, head_width=16).eval()
    clip = torch.randn(1, 3, 5, 40, 72)
    with torch.no_grad():
        maps = network.features(clip)
        assert [tuple(found.shape[1:]) for found in maps.values()] == [(4, 5, 10, 18), (8, 5, 5, 9), (16, 5, 3, 5), (32, 5, 2, 3)]
        flipped = network.features(clip.flip(2))
    assert not torch.allclose(maps["res2"], flipped["res2"].flip(2), rtol=1e-3)


# ------------------------------------------------------------------------------------------------ weights in public layouts

NORM = ("weight", "bias", "running_mean", "running_var")
NETWORK = [
    # what PySlowFast calls it, what pytorchvideo calls it, shape of the weight (None: a norm), whether there is a bias
    ("s1.pathway0_stem.conv_xy", "blocks.0.conv.conv_t", (24, 3, 1, 3, 3), False),  # pytorchvideo's conv_t is the spatial one
    ("s1.pathway0_stem.conv", "blocks.0.conv.conv_xy", (24, 1, 5, 1, 1), False),
    ("s1.pathway0_stem.bn", "blocks.0.norm", None, True),
    ("head.conv_5", "blocks.5.pool.pre_conv", (432, 192, 1, 1, 1), False),
    ("head.conv_5_bn", "blocks.5.pool.pre_norm", None, True),
    ("head.lin_5", "blocks.5.pool.post_conv", (2048, 432, 1, 1, 1), False),
    ("head.projection", "blocks.5.proj", (CLASSES, 2048), True),
]
NETWORK_NORMS = {"s1.pathway0_stem.bn": 24, "head.conv_5_bn": 432}


def block_rows(inputs: int, outputs: int, *, stride: bool, squeeze: bool, shortcut_norm: bool) -> list[tuple]:
    """Rows of one residual block: both names, shape (an int for a norm), bias."""
    inner = outputs * 9 // 4
    middle = {54: 8, 108: 8, 216: 16, 432: 32}[inner]
    rows: list[tuple] = [("branch1", "branch1_conv", (outputs, inputs, 1, 1, 1), False)] if stride else []
    rows += [("branch1_bn", "branch1_norm", outputs, True)] if stride and shortcut_norm else []
    rows += [
        ("branch2.a", "branch2.conv_a", (inner, inputs, 1, 1, 1), False),
        ("branch2.a_bn", "branch2.norm_a", inner, True),
        ("branch2.b", "branch2.conv_b", (inner, 1, 3, 3, 3), False),
        ("branch2.b_bn", "branch2.norm_b.0", inner, True),
    ]
    if squeeze:
        rows += [
            ("branch2.se.fc1", "branch2.norm_b.1.block.0", (middle, inner, 1, 1, 1), True),
            ("branch2.se.fc2", "branch2.norm_b.1.block.2", (inner, middle, 1, 1, 1), True),
        ]
    return [*rows, ("branch2.c", "branch2.conv_c", (outputs, inner, 1, 1, 1), False), ("branch2.c_bn", "branch2.norm_c", outputs, True)]


def layer_rows(*, shortcut_norm: bool) -> list[tuple]:
    """Rows of the whole network."""
    rows = [(theirs, other, NETWORK_NORMS[theirs] if shape is None else shape, bias) for theirs, other, shape, bias in NETWORK]
    inputs = 24
    for level, (outputs, length) in enumerate(zip(CHANNELS, LENGTHS, strict=True)):
        for position in range(length):
            first = position == 0
            for slow, video, shape, bias in block_rows(
                inputs if first else outputs, outputs, stride=first, squeeze=position % 2 == 0, shortcut_norm=level > 0 or shortcut_norm
            ):
                prefixes = f"s{level + 2}.pathway0_res{position}.", f"blocks.{level + 1}.res_blocks.{position}."
                rows.append((prefixes[0] + slow, prefixes[1] + video, shape, bias))
        inputs = outputs
    return rows


def public_weights(layout: int, *, shortcut_norm: bool, counters: bool = True, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of PySlowFast (0) or pytorchvideo (1); the same seed gives the same values in both."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for row in layer_rows(shortcut_norm=shortcut_norm):
        name, shape, bias = row[layout], row[2], row[3]
        if isinstance(shape, int):
            for leaf in NORM:
                around = {"weight": 1.0, "running_var": 1.0}.get(leaf, 0.0)
                weights[f"{name}.{leaf}"] = around + 0.2 * torch.rand(shape, generator=generator)
            if counters:
                weights[f"{name}.num_batches_tracked"] = torch.tensor(123)
        else:
            fan = torch.Size(shape[1:]).numel()
            weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
            if bias:
                weights[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return weights


def logits_of(weights: dict[str, torch.Tensor], clip: torch.Tensor) -> torch.Tensor:
    """X3D written out as functions of PySlowFast's weights."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scale, shift, mean, variance = (weights[f"{name}.{leaf}"].view(1, -1, 1, 1, 1) for leaf in NORM)
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        padding = [side // 2 for side in kernel.shape[2:]]
        groups = x.shape[1] // kernel.shape[1]
        return F.conv3d(x, kernel, weights.get(f"{name}.bias"), (1, stride, stride), padding, groups=groups)

    def block(x: torch.Tensor, name: str, stride: int, *, squeeze: bool) -> torch.Tensor:
        out = norm(conv(x, f"{name}.branch2.a"), f"{name}.branch2.a_bn").relu()
        out = norm(conv(out, f"{name}.branch2.b", stride), f"{name}.branch2.b_bn")
        if squeeze:
            gate = conv(conv(out.mean((2, 3, 4), keepdim=True), f"{name}.branch2.se.fc1").relu(), f"{name}.branch2.se.fc2")
            out = out * gate.sigmoid()
        out = norm(conv(out * out.sigmoid(), f"{name}.branch2.c"), f"{name}.branch2.c_bn")
        if stride == 2:
            x = conv(x, f"{name}.branch1", 2)
            x = norm(x, f"{name}.branch1_bn") if f"{name}.branch1_bn.weight" in weights else x
        return (out + x).relu()

    stem = "s1.pathway0_stem"
    x = norm(conv(conv(clip, f"{stem}.conv_xy", 2), f"{stem}.conv"), f"{stem}.bn").relu()
    for level, length in enumerate(LENGTHS):
        for position in range(length):
            x = block(x, f"s{level + 2}.pathway0_res{position}", 1 if position else 2, squeeze=position % 2 == 0)
    x = norm(conv(x, "head.conv_5"), "head.conv_5_bn").relu().mean((2, 3, 4), keepdim=True)
    return F.linear(conv(x, "head.lin_5").relu().flatten(1), weights["head.projection.weight"], weights["head.projection.bias"])


SAMPLE = {
    0: {
        "s1.pathway0_stem.conv_xy.weight": (24, 3, 1, 3, 3),
        "s1.pathway0_stem.conv.weight": (24, 1, 5, 1, 1),
        "s1.pathway0_stem.bn.running_var": (24,),
        "s2.pathway0_res0.branch1.weight": (24, 24, 1, 1, 1),
        "s2.pathway0_res0.branch2.a.weight": (54, 24, 1, 1, 1),
        "s2.pathway0_res0.branch2.b_bn.num_batches_tracked": (),
        "s3.pathway0_res0.branch1_bn.weight": (48,),
        "s4.pathway0_res10.branch2.se.fc1.weight": (16, 216, 1, 1, 1),
        "s5.pathway0_res6.branch2.se.fc2.bias": (432,),
        "s5.pathway0_res6.branch2.c_bn.running_mean": (192,),
        "head.conv_5.weight": (432, 192, 1, 1, 1),
        "head.lin_5.weight": (2048, 432, 1, 1, 1),
        "head.projection.bias": (400,),
    },
    1: {
        "blocks.0.conv.conv_t.weight": (24, 3, 1, 3, 3),
        "blocks.0.conv.conv_xy.weight": (24, 1, 5, 1, 1),
        "blocks.0.norm.bias": (24,),
        "blocks.1.res_blocks.0.branch1_conv.weight": (24, 24, 1, 1, 1),
        "blocks.1.res_blocks.0.branch2.norm_b.0.weight": (54,),
        "blocks.1.res_blocks.0.branch2.norm_b.1.block.0.weight": (8, 54, 1, 1, 1),
        "blocks.2.res_blocks.0.branch1_norm.running_mean": (48,),
        "blocks.3.res_blocks.10.branch2.norm_b.1.block.2.bias": (216,),
        "blocks.4.res_blocks.6.branch2.conv_b.weight": (432, 1, 3, 3, 3),
        "blocks.5.pool.pre_norm.num_batches_tracked": (),
        "blocks.5.pool.post_conv.weight": (2048, 432, 1, 1, 1),
        "blocks.5.proj.weight": (400, 2048),
    },
}
VARIANTS = [(0, True), (0, False), (1, True), (1, False)]
CLIP = torch.randn(1, 3, 4, 64, 48, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(("layout", "shortcut_norm"), VARIANTS)
def test_the_tables_of_this_test_are_the_public_networks(layout: int, shortcut_norm: bool) -> None:
    weights = public_weights(layout, shortcut_norm=shortcut_norm)
    assert all(tuple(weights[key].shape) == shape for key, shape in SAMPLE[layout].items())
    counted = sum(tensor.numel() for key, tensor in weights.items() if "running" not in key and "num_batches" not in key)
    assert counted == (3_794_322 if shortcut_norm else 3_794_274)
    assert len(weights) == len(build_x3d(CLASSES, stage2_shortcut_bn=shortcut_norm).state_dict()) == (568 if shortcut_norm else 563)


@pytest.mark.parametrize(("layout", "shortcut_norm"), VARIANTS)
def test_weights_in_either_layout_give_the_logits_they_were_made_for(tmp_path: Path, layout: int, shortcut_norm: bool) -> None:
    network = build_x3d(CLASSES, stage2_shortcut_bn=shortcut_norm).eval()
    save_file(public_weights(layout, shortcut_norm=shortcut_norm), tmp_path / "w.safetensors")
    report = load_weights(tmp_path / "w.safetensors", network)
    assert (report.verdict, report.code, report.missing, report.unexpected) == ("ok", "", (), ())
    assert int(network.res3.blocks[4].b.norm.num_batches_tracked) == 123
    with torch.no_grad():
        expected, found = logits_of(public_weights(0, shortcut_norm=shortcut_norm), CLIP), network(CLIP)
    assert float(expected.std()) > 0.01 * float(expected.abs().max())
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def loaded(folder: Path, weights: dict[str, torch.Tensor]) -> X3D:
    network = build_x3d(CLASSES)
    save_file(weights, folder / "w.safetensors")
    load_weights(folder / "w.safetensors", network)
    return network.eval()


def test_both_layouts_and_ones_own_give_identical_networks(tmp_path: Path) -> None:
    slow, video = (loaded(tmp_path, public_weights(layout, shortcut_norm=True)) for layout in (0, 1))
    own = loaded(tmp_path, slow.state_dict())
    assert digest_tensors(slow.state_dict()) == digest_tensors(video.state_dict()) == digest_tensors(own.state_dict())
    with torch.no_grad():
        assert torch.equal(slow(CLIP), video(CLIP))


def test_counters_of_batches_may_be_left_out_and_a_parallel_wrapper_kept(tmp_path: Path) -> None:
    weights = public_weights(0, shortcut_norm=True, counters=False)
    network = build_x3d(CLASSES)
    save_file({f"module.{key}": tensor for key, tensor in weights.items()}, tmp_path / "w.safetensors")
    report = load_weights(tmp_path / "w.safetensors", network)
    assert report.verdict == "ok"
    assert len(report.missing) == 84
    assert all(key.endswith(".num_batches_tracked") for key in report.missing)
    assert f"{len(weights)} tensors" in report.message
    half = {key: tensor.half() for key, tensor in weights.items()}
    save_file(half, tmp_path / "w.safetensors")
    report = load_weights(tmp_path / "w.safetensors", network)
    assert (report.verdict, report.code, len(report.missing)) == ("warn", "dtype", 84)


def test_modules_of_a_plan_take_no_part_in_a_public_layout() -> None:
    class Own(torch.nn.Linear):
        def __init__(self, channels: int) -> None:
            super().__init__(channels, 2)

    keys = public_weights(1, shortcut_norm=True).keys()
    names = build_x3d(CLASSES, after={"res2": Own}).translate_keys(keys)
    assert names is not None
    assert names.keys() == keys
    assert not [own for own in names.values() if own.startswith("after.")]


PUBLIC = public_weights(0, shortcut_norm=True)
STEM, LAST = "s1.pathway0_stem.conv_xy.weight", "head.projection"
REFUSED = {
    # changes to PySlowFast's weights (None takes a key away), code, words
    "a key too many": ({"s5.pathway0_res7.branch2.a.weight": torch.zeros(1)}, "keys", "1 keys have no counterpart.*res7"),
    "two names": ({"stem.norm.bias": torch.zeros(24)}, "keys", r"no counterpart.*stem\.norm\.bias"),
    "a key too few": ({"head.lin_5.weight": None}, "keys", r"1 missing \(head\.hidden\.weight\)"),
    "statistics too few": ({key: None for key in PUBLIC if "a_bn.running_var" in key}, "keys", r"26 missing \(res2\.blocks\.0\.a\.norm"),
    "another shape": ({STEM: torch.zeros(24, 1, 5, 1, 1)}, "shape", r"stem\.spatial\.weight"),
    "other classes": ({f"{LAST}.weight": torch.zeros(7, 2048), f"{LAST}.bias": torch.zeros(7)}, "classes", "7 classes, but 400"),
    "no stem": ({STEM: None}, "keys", r"568 missing \(head.* and 567 unexpected \(head\.conv_5\.weight"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_leave_the_network_as_it_was(tmp_path: Path, case: str) -> None:
    changes, code, words = REFUSED[case]
    refuse(tmp_path, {key: tensor for key, tensor in (PUBLIC | changes).items() if tensor is not None}, True, code, words)


@pytest.mark.parametrize(("layout", "in_file"), VARIANTS)
def test_the_other_variant_of_the_shortcut_is_told(tmp_path: Path, layout: int, in_file: bool) -> None:
    words = f"{'a' if in_file else 'no'} norm on the shortcut of res2; build the network with stage2_shortcut_bn={in_file}"
    refuse(tmp_path, public_weights(layout, shortcut_norm=in_file), not in_file, "keys", words)


def refuse(folder: Path, weights: dict[str, torch.Tensor], shortcut_norm: bool, code: str, words: str) -> None:
    network = build_x3d(CLASSES, stage2_shortcut_bn=shortcut_norm)
    before = digest_tensors(network.state_dict())
    save_file(weights, folder / "w.safetensors")
    with pytest.raises(CheckpointError, match=words) as told:
        load_weights(folder / "w.safetensors", network)
    assert told.value.code == code
    assert told.value.message.startswith("w.safetensors: ")
    assert digest_tensors(network.state_dict()) == before
