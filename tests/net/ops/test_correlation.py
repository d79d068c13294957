"""Correlation: hand-worked vectors, a plain loop over every index, the forms against each other, gradients, edge cases, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vizkit.errors import SettingError
from vizkit.net.ops import correlate, correlation, correlation_setting

ALWAYS_TILES, NEVER_TILES = 1, 1000
FORMS = pytest.mark.parametrize("tiles_from", [ALWAYS_TILES, NEVER_TILES], ids=["tiles", "rows"])

CASES = [  # [B, C, T, H, W], patch, dilation, groups
    ((2, 8, 2, 6, 5), 3, 1, 1),
    ((2, 8, 2, 7, 9), 5, 2, 2),
    ((2, 4, 1, 3, 3), 7, 2, 1),  # a map smaller than the reach
    ((1, 6, 3, 11, 30), 5, 1, 3),  # several tiles, the last ones not full
    ((1, 3, 2, 4, 5), 1, 1, 1),
    ((1, 2, 2, 1, 1), 3, 4, 2),
    ((1, 2, 1, 9, 2), 9, 3, 1),
]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return noise(*shape, seed=1, dtype=dtype), noise(*shape, seed=2, dtype=dtype)


def by_loop(
    query: torch.Tensor, search: torch.Tensor, patch: int, dilation: int = 1, groups: int = 1, filters: torch.Tensor | None = None
) -> torch.Tensor:
    """The definition, index by index, with the mean over the channels of a group."""
    batch, channels, frames, height, width = query.shape
    q, s = query.double().tolist(), search.double().tolist()
    w = torch.ones(frames, channels, patch, patch).tolist() if filters is None else filters.double().tolist()
    of_a_group, out = channels // groups, np.zeros((batch, groups * patch**2, frames, height, width))
    for b, c, t, y, x, k in itertools.product(range(batch), range(channels), range(frames), range(height), range(width), range(patch**2)):
        row, column = divmod(k, patch)
        to_y, to_x = y + (row - patch // 2) * dilation, x + (column - patch // 2) * dilation
        if 0 <= to_y < height and 0 <= to_x < width:
            value = w[t][c][row][column] * q[b][c][t][y][x] * s[b][c][t][to_y][to_x]
            out[b, c // of_a_group * patch**2 + k, t, y, x] += value / of_a_group
    return torch.from_numpy(out)


# ------------------------------------------------------------------------------------------------ vectors

ONE_HOT = [  # patch, dilation, cell (y, x) of the match, channel
    (5, 1, (6, 3), 21),
    (7, 1, (6, 3), 37),
    (5, 2, (0, 6), 3),
    (7, 2, (0, 6), 11),
]


@FORMS
@pytest.mark.parametrize(("patch", "dilation", "cell", "channel"), ONE_HOT)
def test_one_match_is_one_channel(
    monkeypatch: pytest.MonkeyPatch, tiles_from: int, patch: int, dilation: int, cell: tuple[int, int], channel: int
) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = torch.zeros(2, 1, 3, 1, 9, 9)
    query[0, 1, 0, 4, 4], search[0, 1, 0, *cell] = 2, 3
    for scale, value in (("sqrt", 3.4641016), ("mean", 2.0), ("sum", 6.0)):
        volume = correlate(query, search, patch=patch, dilation=dilation, scale=scale)
        assert volume.nonzero().tolist() == [[0, channel, 0, 4, 4]]
        assert volume.max().item() == pytest.approx(value)


RAMP = """0 0 0 0 108 111 0 111 108  0 0 0 94.5 98.5 100.5 100.5 98.5 94.5  0 0 0 86 89 0 89 86 0
0 67.5 73.5 0 79.5 79.5 0 73.5 67.5  54 61 66 69 70 69 66 61 54  48.5 54.5 0 60.5 60.5 0 54.5 48.5 0
0 48 51 0 51 48 0 0 0  37.5 41.5 43.5 43.5 41.5 37.5 0 0 0  32 35 0 35 32 0 0 0 0"""


@FORMS
def test_ramp(monkeypatch: pytest.MonkeyPatch, tiles_from: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = torch.arange(1.0, 19).view(1, 2, 1, 3, 3), torch.arange(18.0, 0, -1).view(1, 2, 1, 3, 3)
    assert correlate(query, search, patch=3).flatten().tolist() == pytest.approx([float(value) for value in RAMP.split()])
    sums = correlate(query, search, patch=3, groups=2).sum((3, 4)).flatten().tolist()
    assert sums == pytest.approx([438, 587, 350, 441, 570, 327, 198, 245, 134] * 2)
    filters = torch.arange(18.0).view(1, 2, 3, 3) / 10
    sums = correlate(query, search, patch=3, filters=filters).sum((3, 4)).flatten().tolist()
    assert sums == pytest.approx([197.1, 322.85, 227.5, 330.75, 484.5, 310.65, 207.9, 281.75, 167.5])
    sums = correlate(query, search, patch=3, scale="sqrt").sum((3, 4)).flatten().tolist()
    expected = [619.4255, 830.1434, 494.9747, 623.6682, 806.1017, 462.4478, 280.0143, 346.4823, 189.5046]
    assert sums == pytest.approx(expected, rel=1e-6)


@FORMS
@pytest.mark.parametrize(("shape", "patch", "dilation", "groups"), CASES)
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_the_loop_over_every_index(
    monkeypatch: pytest.MonkeyPatch,
    tiles_from: int,
    shape: tuple[int, ...],
    patch: int,
    dilation: int,
    groups: int,
    filtered: bool,
    dtype: torch.dtype,
    most: float,
) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = pair(shape, dtype)
    filters = noise(shape[2], shape[1], patch, patch, dtype=dtype) if filtered else None
    volume = correlate(query, search, patch=patch, dilation=dilation, groups=groups, filters=filters)
    assert volume.dtype == dtype
    assert volume.shape == (shape[0], groups * patch**2, *shape[2:])
    assert (volume - by_loop(query, search, patch, dilation, groups, filters)).abs().max() < most


@FORMS
@pytest.mark.parametrize("dilation", [1, 2])
def test_exchanging_the_maps_reverses_the_displacements(monkeypatch: pytest.MonkeyPatch, tiles_from: int, dilation: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = pair((1, 4, 2, 8, 9))
    there, back = (correlate(*maps, patch=3, dilation=dilation) for maps in ((query, search), (search, query)))
    for k, (row, column) in enumerate(itertools.product((-dilation, 0, dilation), repeat=2)):
        moved = torch.roll(back[:, 8 - k], (-row, -column), (2, 3))
        inside = [slice(max(0, -step), side - max(0, step)) for step, side in ((row, 8), (column, 9))]
        assert torch.allclose(there[:, k, :, *inside], moved[:, :, *inside], atol=1e-12)


@FORMS
def test_groups_add_up_to_the_ungrouped_result(monkeypatch: pytest.MonkeyPatch, tiles_from: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = pair((1, 12, 2, 6, 7))
    grouped = correlate(query, search, patch=5, groups=3).view(1, 3, 25, 2, 6, 7)
    assert torch.allclose((grouped * 4).sum(1) / 12, correlate(query, search, patch=5), atol=1e-12)
    alone = correlate(query[:, 4:8], search[:, 4:8], patch=5)
    assert torch.allclose(grouped[:, 1], alone, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_frame_against_itself_has_its_mean_square_in_the_middle(frames: int) -> None:
    maps = noise(1, 5, frames, 6, 7)
    volume = correlate(maps, maps, patch=7, dilation=2)
    assert torch.allclose(volume[:, 24], (maps**2).mean(1), atol=1e-12)
    assert torch.equal(volume[:, 24].argmax(), (maps**2).mean(1).argmax())


@FORMS
@pytest.mark.parametrize(("step", "peak"), [((0, 2), 23), ((2, 0), 17), ((-4, 6), 35)])
def test_known_motion_is_found(monkeypatch: pytest.MonkeyPatch, tiles_from: int, step: tuple[int, int], peak: int) -> None:
    """Content that moved by ``step`` since the previous frame is found at minus ``step`` there; the first frame meets itself."""
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    still = torch.nn.functional.normalize(noise(1, 64, 22, 23), dim=1)
    clip = torch.stack([torch.roll(still, (step[0] * t, step[1] * t), (2, 3)) for t in range(4)], 2)
    volume = correlate(clip, torch.cat([clip[:, :, :1], clip[:, :, :-1]], 2), patch=7, dilation=2)
    found = volume[0, :, :, 6:-6, 6:-6].argmax(0)
    assert (found[0] == 24).all()
    assert (found[1:] == peak).all()


def test_gradient_of_the_filters_is_the_sum_of_the_products() -> None:
    query, search = pair((1, 6, 2, 7, 8))
    filters = torch.ones(2, 6, 5, 5, dtype=torch.float64, requires_grad=True)
    volume = correlate(query, search, patch=5, groups=3, filters=filters)
    volume.mean().backward()
    products = correlate(query, search, patch=5, groups=6, scale="sum").view(6, 5, 5, 2, 56).sum(-1).permute(3, 0, 1, 2)
    assert filters.grad is not None
    assert torch.allclose(filters.grad, products / (2 * volume.numel()), atol=1e-9)


@FORMS
def test_filters_of_ones_change_nothing(monkeypatch: pytest.MonkeyPatch, tiles_from: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = pair((2, 4, 2, 6, 7))
    plain = correlate(query, search, patch=3, dilation=2, groups=2)
    ones = torch.ones(2, 4, 3, 3, dtype=torch.float64)
    assert torch.equal(correlate(query, search, patch=3, dilation=2, groups=2, filters=ones), plain)
    learned = correlate(query, search, patch=3, dilation=2, groups=2, filters=ones.requires_grad_())
    assert learned.requires_grad
    assert torch.allclose(learned, plain, atol=1e-12)


# ------------------------------------------------------------------------------------------------ gradients


@FORMS
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(
    ("shape", "patch", "dilation", "groups"), [((2, 4, 2, 3, 4), 3, 1, 2), ((1, 2, 2, 5, 3), 5, 2, 1), ((1, 2, 1, 2, 8), 3, 1, 2)]
)
def test_gradients(
    monkeypatch: pytest.MonkeyPatch, tiles_from: int, filtered: bool, shape: tuple[int, ...], patch: int, dilation: int, groups: int
) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    inputs = [*pair(shape), *([noise(shape[2], shape[1], patch, patch)] if filtered else [])]

    def volume(query: torch.Tensor, search: torch.Tensor, filters: torch.Tensor | None = None) -> torch.Tensor:
        return correlate(query, search, patch=patch, dilation=dilation, groups=groups, filters=filters)

    inputs = [value.requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(volume, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(volume, inputs, fast_mode=True)


@FORMS
@pytest.mark.parametrize("filtered", [False, True])
def test_gradients_of_several_chunks_are_those_of_one(monkeypatch: pytest.MonkeyPatch, tiles_from: int, filtered: bool) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    inputs = [value.requires_grad_() for value in (*pair((2, 4, 5, 9, 10)), noise(5, 4, 5, 5))]
    weights = noise(2, 50, 5, 9, 10)
    results = []
    for most in (1, 40_000, 1 << 40):  # one frame, some (not all chunks of one length), all
        monkeypatch.setattr(correlation_setting, "CHUNK_BYTES", most)
        volume = correlate(*inputs[:2], patch=5, groups=2, filters=inputs[2] if filtered else None)
        results.append([volume, *torch.autograd.grad(volume, inputs if filtered else inputs[:2], weights)])
    for parts in zip(*results, strict=True):
        assert all(torch.allclose(part, parts[0], atol=1e-12) for part in parts)


@FORMS
def test_a_map_against_itself_gathers_both_gradients(monkeypatch: pytest.MonkeyPatch, tiles_from: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    maps = noise(1, 2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: correlate(x, x, patch=3), maps, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: correlate(x, x, patch=3), maps, fast_mode=True)
    once, again = (torch.autograd.grad(correlate(maps, maps, patch=3).sum(), maps, create_graph=kept)[0] for kept in (False, True))
    assert again.requires_grad
    assert torch.allclose(once, again, atol=1e-12)


def test_only_the_asked_gradients_are_given() -> None:
    query, search = pair((1, 2, 2, 4, 4))
    filters = noise(2, 2, 3, 3).requires_grad_()
    correlate(query, search, patch=3, filters=filters).sum().backward()
    assert query.grad is search.grad is None
    assert filters.grad is not None
    correlate(query.requires_grad_(), search, patch=3).sum().backward()
    assert query.grad is not None
    assert search.grad is None


# ------------------------------------------------------------------------------------------------ types and layouts


@FORMS
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_summed_in_float32(monkeypatch: pytest.MonkeyPatch, tiles_from: int, filtered: bool, dtype: torch.dtype) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    inputs = [*pair((1, 256, 2, 6, 7), dtype), noise(2, 256, 5, 5, dtype=dtype)]
    halves, floats = ([value.detach().to(kind).requires_grad_() for value in inputs] for kind in (dtype, torch.float32))
    volumes = [correlate(*values[:2], patch=5, filters=values[2] if filtered else None) for values in (halves, floats)]
    assert volumes[0].dtype == dtype
    assert torch.equal(volumes[0], volumes[1].to(dtype))
    for volume in volumes:
        volume.sum().backward()
    for half, full in list(zip(halves, floats, strict=True))[: 2 + filtered]:
        assert half.grad is not None
        assert full.grad is not None
        assert half.grad.dtype == dtype
        assert torch.allclose(half.grad.float(), full.grad, rtol=0.01, atol=0.01 * float(full.grad.abs().max()))


@FORMS
@pytest.mark.parametrize("filtered", [False, True])
def test_autocast_changes_nothing(monkeypatch: pytest.MonkeyPatch, tiles_from: int, filtered: bool) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    inputs = [value.requires_grad_() for value in (*pair((1, 32, 2, 6, 7), torch.float32), noise(2, 32, 5, 5, dtype=torch.float32))]
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            volume = correlate(*inputs[:2], patch=5, filters=inputs[2] if filtered else None)
            results.append([volume, *torch.autograd.grad(volume.square().sum(), inputs[: 2 + filtered])])
    assert all(torch.equal(without, within) for without, within in zip(*results, strict=True))


@FORMS
@pytest.mark.parametrize("filtered", [False, True])
def test_layout_in_memory_does_not_matter(monkeypatch: pytest.MonkeyPatch, tiles_from: int, filtered: bool) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    query, search = pair((2, 4, 3, 6, 7))
    filters = noise(3, 4, 5, 5) if filtered else None
    expected = correlate(query, search, patch=5, filters=filters)
    scattered = torch.empty(2, 8, 3, 7, 12, dtype=torch.float64).transpose(3, 4)[:, ::2, :, ::2]
    scattered.copy_(query)
    assert not scattered.is_contiguous()
    last = search.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(correlate(scattered, last, patch=5, filters=filters), expected)
    one_frame = search[:, :, :1].expand(-1, -1, 3, -1, -1)
    repeated = correlate(query, one_frame, patch=5, filters=filters)
    assert torch.equal(repeated, correlate(query, one_frame.contiguous(), patch=5, filters=filters))


@FORMS
def test_the_same_inputs_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tiles_from: int) -> None:
    monkeypatch.setattr(correlation, "TILES_FROM_PATCH", tiles_from)
    inputs = [value.requires_grad_() for value in pair((1, 32, 3, 17, 19), torch.float32)]
    results = []
    for _ in range(3):
        volume = correlate(*inputs, patch=5, dilation=2)
        results.append([volume, *torch.autograd.grad(volume.square().sum(), inputs)])
    assert all(torch.equal(first, again) for result in results[1:] for first, again in zip(results[0], result, strict=True))


def test_inputs_are_left_alone() -> None:
    query, search = pair((1, 4, 2, 5, 6))
    filters = noise(2, 4, 3, 3)
    kept = [value.clone() for value in (query, search, filters)]
    correlate(query, search, patch=3, filters=filters)
    correlate(query, search, patch=5)
    assert all(torch.equal(value, copy) for value, copy in zip((query, search, filters), kept, strict=True))


@pytest.mark.parametrize("filtered", [False, True])
def test_shape_and_cost_are_known_without_computing(filtered: bool) -> None:
    maps = torch.empty(2, 12, 3, 5, 6, device="meta", dtype=torch.bfloat16)
    filters = torch.empty(3, 12, 7, 7, device="meta") if filtered else None
    with FlopCounterMode(display=False) as counter:
        volume = correlate(maps, maps, patch=7, dilation=2, groups=4, filters=filters)
    assert volume.shape == (2, 4 * 49, 3, 5, 6)
    assert volume.is_meta
    assert volume.dtype == torch.bfloat16
    assert counter.get_total_flops() == 2 * (2 * 3 * 5 * 6 * 12 * 49)


# ------------------------------------------------------------------------------------------------ what is refused

GOOD = (1, 4, 2, 5, 6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patch": 4}, "patch is 4.*odd"),
        ({"patch": 0}, "patch is 0.*odd"),
        ({"patch": -3}, "patch is -3.*from 1"),
        ({"patch": 3, "dilation": 0}, "dilation is 0.*from 1"),
        ({"patch": 3, "groups": 3}, "groups is 3.*channels, 4,"),
        ({"patch": 3, "groups": 0}, "groups is 0"),
        ({"patch": 3, "groups": 8}, "groups is 8.*channels, 4,"),
        ({"patch": 3, "scale": "median"}, "Unknown scale 'median'. Known: mean, sqrt, sum"),
        ({"patch": 3, "filters": torch.ones(3, 4, 3, 3)}, "another clip length, 3 instead of 2 frames"),
        ({"patch": 3, "filters": torch.ones(2, 5, 3, 3)}, "5 instead of 4 channels"),
        ({"patch": 3, "filters": torch.ones(2, 4, 5, 5)}, "another patch, 5 x 5 instead of 3 x 3"),
        ({"patch": 3, "filters": torch.ones(2, 4, 9)}, r"3 axes.*\(2, 4, 3, 3\)"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_settings_outside_what_is_accepted(settings: dict, words: str, device: str) -> None:
    maps = torch.ones(GOOD, device=device)
    with pytest.raises(SettingError, match=words) as caught:
        correlate(maps, maps, **settings)
    assert caught.value.message.endswith((".", "sum."))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("query", "search", "words"),
    [
        (torch.ones(4, 2, 5, 6), torch.ones(4, 2, 5, 6), r"query has shape \(4, 2, 5, 6\).*5 axes"),
        (torch.ones(GOOD), torch.ones(GOOD)[0], r"search has shape \(4, 2, 5, 6\).*5 axes"),
        (torch.ones(GOOD), torch.ones(1, 4, 2, 6, 5), r"query has shape \(1, 4, 2, 5, 6\) and search \(1, 4, 2, 6, 5\)"),
        (torch.ones(1, 4, 0, 5, 6), torch.ones(1, 4, 0, 5, 6), "none of length 0"),
        (torch.ones(GOOD).long(), torch.ones(GOOD).long(), r"query is of type torch.int64.*floating-point"),
    ],
)
def test_maps_that_cannot_be_correlated(query: torch.Tensor, search: torch.Tensor, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        correlate(query, search, patch=3)
