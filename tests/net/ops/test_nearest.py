"""Nearest cells: the spec's vectors, a brute force in float64, memory, edge cases."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vizkit import interruption
from vizkit.errors import SettingError
from vizkit.net.ops import nearest
from vizkit.net.ops.nearest import FOLD, nearest_cells


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def brute_force(maps: torch.Tensor, neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """All distances at once, in float64: index and squared distance [B, N, k]."""
    batch, channels, frames = maps.shape[:3]
    cells = maps.shape[3] * maps.shape[4]
    points = maps.double().reshape(batch, channels, -1).transpose(1, 2).numpy()
    distance = ((points[:, :, None] - points[:, None]) ** 2).sum(-1)
    frame = np.arange(frames * cells) // cells
    distance[:, frame[:, None] == frame] = np.inf
    index = np.argsort(distance, axis=2, kind="stable")[..., :neighbors]
    return index, np.take_along_axis(distance, index, 2)


# ------------------------------------------------------------------------------------------------ vectors of cpnet.md section 9


def test_vector_v1() -> None:
    maps = torch.tensor([0.0, 3.0, 1.0, 2.5]).view(1, 1, 2, 1, 2)
    index, distance = nearest_cells(maps, 2)
    assert index[0].tolist() == [[2, 3], [3, 2], [0, 1], [1, 0]]
    assert distance[0].tolist() == [[1, 6.25], [0.25, 4], [1, 4], [0.25, 6.25]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vector_v2(dtype: torch.dtype) -> None:
    number = torch.arange(12, dtype=dtype)
    maps = torch.stack([number.sin(), (2 * number).cos()]).view(1, 2, 3, 2, 2)
    index, distance = nearest_cells(maps, 3)
    rows = "6,9,10 | 8,7,9 | 8,7,9 | 9,6,10 | 10,11,0 | 11,10,1 | 0,3,10 | 9,1,2 | 2,1,7 | 3,0,7 | 6,4,0 | 5,4,1"
    assert index[0].tolist() == [[int(cell) for cell in row.split(",")] for row in rows.split("|")]
    assert distance[0, 0].tolist() == pytest.approx([0.1025, 0.2852, 0.6463], abs=1e-4)


# ------------------------------------------------------------------------------------------------ brute force


@pytest.mark.parametrize("shape", [(2, 8, 3, 5, 7), (1, 3, 2, 1, 1), (1, 5, 4, 16, 31), (1, 5, 3, 23, 30)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nearest_are_found_exactly(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    maps = features(*shape, dtype=dtype)
    neighbors = min(8, (shape[2] - 1) * shape[3] * shape[4])
    index, distance = nearest_cells(maps, neighbors)
    expected, expected_distance = brute_force(maps, neighbors)
    assert np.array_equal(index.numpy(), expected)
    assert np.allclose(distance.numpy(), expected_distance, rtol=1e-5, atol=1e-5)
    assert distance.dtype == dtype
    assert index.dtype == torch.int64


@pytest.mark.parametrize("rows", ["clip", "less", 320, 60, 1])
@pytest.mark.parametrize("fold", [2, FOLD, 10_000])  # folded many times, once or twice, never
@pytest.mark.parametrize("ties", ["any", "lowest"])
@pytest.mark.parametrize("shape", [(1, 6, 5, 9, 11), (2, 6, 2, 16, 20), (1, 6, 9, 1, 1)])
def test_every_way_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, rows: int | str, fold: int, ties: Literal["any", "lowest"], shape: tuple[int, ...]
) -> None:
    """The clip whole, frame by frame, in parts of frames or row by row; however often the columns are folded."""
    monkeypatch.setattr(nearest, "FOLD", fold)
    cells, total = shape[3] * shape[4], shape[2] * shape[3] * shape[4]
    numbers = nearest._padded(total - cells, 3) * {"clip": total, "less": total - 1}.get(rows, rows)
    monkeypatch.setattr(nearest, "BUFFER", numbers)
    monkeypatch.setattr(nearest, "SLAB", 3 * 8 * 50 if fold == 2 else nearest.SLAB)
    compared = count_calls(monkeypatch, "_compare_whole")
    maps = features(*shape)
    index, distance = nearest_cells(maps, 3, ties=ties)
    expected, expected_distance = brute_force(maps, 3)
    assert np.array_equal(index.numpy(), expected)
    assert np.allclose(distance.numpy(), expected_distance, rtol=1e-5, atol=1e-5)
    assert len(compared) == (shape[0] if rows == "clip" or (isinstance(rows, int) and rows >= total) else 0)


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let a function of the module note its calls."""
    calls: list[str] = []
    own = getattr(nearest, name)
    monkeypatch.setattr(nearest, name, lambda *given: (calls.append(name), own(*given))[1])
    return calls


def test_it_can_be_stopped_between_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stop_at_the_third() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(nearest, "BUFFER", 1)
    monkeypatch.setattr(interruption, "LOOK_UPS", [stop_at_the_third])
    with pytest.raises(KeyboardInterrupt):
        nearest_cells(features(1, 2, 2, 3, 3), 1)
    assert len(asked) == 3


def test_a_clip_of_any_length_stays_within_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "BUFFER", 4_000)
    sizes: list[int] = []
    largest = nearest._largest
    monkeypatch.setattr(nearest, "_largest", lambda scores, count: (sizes.append(scores.numel()), largest(scores, count))[1])
    for frames in (2, 8, 30):
        nearest_cells(features(1, 4, frames, 6, 6), 3)
    assert 3_000 < max(sizes) <= 4_000


@pytest.mark.parametrize("columns", [1, 127, 128, 1_372, 21_952])
def test_columns_are_padded_by_little_and_the_padding_is_never_chosen(columns: int) -> None:
    padded = nearest._padded(columns, 8)
    assert 0 <= padded - columns <= columns / 16
    scores = torch.full((3, padded), -torch.inf)
    scores[:, :columns] = -1e30 * features(3, columns).abs()
    chosen = nearest._largest(scores, min(8, columns))
    assert chosen.max() < columns


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_are_found_wherever_they_lie(seed: int) -> None:
    """Equal scores, scores of one fold, all of them infinitely small but ``count``."""
    scores = torch.full((40, 2 * FOLD * 6 * FOLD), -torch.inf)
    places = torch.rand(40, scores.shape[1], generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :6]
    places[20:] = places[20:, :1] % (scores.shape[1] // FOLD) + scores.shape[1] // FOLD * torch.arange(6)  # one fold
    scores.scatter_(1, places, (places % 3).float())
    assert torch.equal(nearest._largest(scores, 6).sort(1).values, places.sort(1).values)


def test_more_neighbours_than_folds_of_columns() -> None:
    maps = features(1, 4, 3, 25, 28)
    index, _ = nearest_cells(maps, 64)
    assert np.array_equal(index.numpy(), brute_force(maps, 64)[0])
    everything, _ = nearest_cells(maps[..., :3, :3], 18)
    assert np.array_equal(everything.numpy(), brute_force(maps[..., :3, :3], 18)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_compared_in_float32(dtype: torch.dtype) -> None:
    maps = features(1, 16, 3, 6, 7, dtype=dtype)
    index, distance = nearest_cells(maps, 5)
    expected = nearest_cells(maps.float(), 5)
    assert torch.equal(index, expected.index)
    assert torch.equal(distance, expected.distance_squared.to(dtype))


def test_autocast_changes_nothing() -> None:
    maps = features(1, 16, 3, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        inside = nearest_cells(maps, 5)
    assert torch.equal(inside.index, nearest_cells(maps, 5).index)


def test_the_own_frame_is_left_out_even_where_it_is_nearest() -> None:
    maps = torch.zeros(1, 2, 3, 4, 4)
    maps[:, :, 1], maps[:, :, 2] = 5.0, -7.0
    maps += 1e-3 * features(1, 2, 3, 4, 4)
    index, _ = nearest_cells(maps, 16)
    frame = index[0] // 16
    assert (frame[:16] == 1).all()
    assert (frame[16:32] == 0).all()
    assert (frame[32:] == 0).all()


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    maps = features(3, 4, 3, 5, 5)
    together = nearest_cells(maps, 4)
    for row in range(3):
        alone = nearest_cells(maps[row : row + 1], 4)
        assert torch.equal(together.index[row], alone.index[0])
        assert torch.equal(together.distance_squared[row], alone.distance_squared[0])


def test_a_common_offset_costs_no_precision() -> None:
    """At offset 100 float32 loses 1 % of the neighbours unless the mean is taken out first (cpnet.md section 3)."""
    maps = features(1, 64, 4, 12, 12) + 100
    found = nearest_cells(maps, 8).index
    exact = nearest_cells(maps.double(), 8).index
    assert torch.equal(found.sort(-1).values, exact.sort(-1).values)


def test_no_gradient_flows_through_the_choice() -> None:
    maps = features(1, 4, 2, 3, 3).requires_grad_()
    assert not nearest_cells(maps, 2).distance_squared.requires_grad


# ------------------------------------------------------------------------------------------------ queries


@pytest.mark.parametrize("shape", [(2, 4, 3, 5, 6), (1, 4, 4, 24, 24)])
def test_chosen_queries_are_rows_of_the_whole_result(shape: tuple[int, ...]) -> None:
    maps = features(*shape)
    query = torch.randperm(shape[2] * shape[3] * shape[4], generator=torch.Generator().manual_seed(1))[:40]
    whole, chosen = nearest_cells(maps, 6), nearest_cells(maps, 6, query=query)
    assert torch.equal(chosen.index, whole.index[:, query])
    assert torch.allclose(chosen.distance_squared, whole.distance_squared[:, query])


def test_a_cell_may_be_asked_for_twice() -> None:
    maps = features(1, 4, 3, 5, 6)
    query = torch.tensor([7, 70, 7, 7, 31])
    whole, chosen = nearest_cells(maps, 6), nearest_cells(maps, 6, query=query)
    assert torch.equal(chosen.index, whole.index[:, query])
    assert torch.allclose(chosen.distance_squared, whole.distance_squared[:, query])


@pytest.mark.parametrize("query", [[0, 90], [5, -1]])
def test_a_cell_outside_the_clip_is_refused(query: list[int]) -> None:
    with pytest.raises(SettingError, match=r"A query lies outside the cells 0\.\.89\."):
        nearest_cells(features(1, 4, 3, 5, 6), 6, query=torch.tensor(query))


def test_no_queries_give_no_rows() -> None:
    index, distance = nearest_cells(features(1, 4, 3, 5, 6), 6, query=torch.empty(0, dtype=torch.int64))
    assert index.shape == distance.shape == (1, 0, 6)


# ------------------------------------------------------------------------------------------------ ties


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 5, 7), (6, 5, 5), (2, 33, 31), (5, 6, 6)])
def test_exact_ties_go_to_the_lowest_cell(shape: tuple[int, int, int]) -> None:
    """Whole-numbered places (t, 2y, 2x): most distances are shared by several cells."""
    places = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), -1) * np.array([1, 2, 2])
    distance = ((places[:, None] - places) ** 2).sum(-1)
    distance[places[:, None, 0] == places[:, 0]] = np.iinfo(np.int64).max
    maps = torch.from_numpy(places.T.reshape(1, 3, *shape)).float()
    found = nearest_cells(maps, 8, ties="lowest")
    expected = np.argsort(distance, axis=1, kind="stable")[:, :8]
    assert np.array_equal(found.index[0].numpy(), expected)
    assert np.array_equal(found.distance_squared[0].numpy(), np.take_along_axis(distance, expected, 1))


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (1, 1, 4, 2, 3, 3)])
def test_features_need_five_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"features has shape .*, but 5 axes \[B, C, T, H, W\] are accepted"):
        nearest_cells(torch.zeros(shape), 1)


def test_equal_features_keep_the_order_of_the_cells() -> None:
    index, distance = nearest_cells(torch.zeros(1, 2, 3, 2, 2), 4, ties="lowest")
    assert index[0].tolist() == [[4, 5, 6, 7]] * 4 + [[0, 1, 2, 3]] * 8
    assert not distance.any()


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("shape", "neighbors", "words"),
    [
        ((1, 2, 1, 4, 4), 1, "1 frames"),
        ((1, 2, 3, 2, 2), 9, r"neighbors is 9.*1\.\.8"),
        ((1, 2, 3, 2, 2), 0, r"neighbors is 0.*1\.\.8"),
    ],
)
def test_too_few_candidates_are_refused(shape: tuple[int, ...], neighbors: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nearest_cells(features(*shape), neighbors)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    maps = features(1, 2, 3, 2, 2)
    maps[0, 1, 2, 1, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        nearest_cells(maps, 2)


# ------------------------------------------------------------------------------------------------ cost


def test_shapes_are_known_without_computing() -> None:
    maps = torch.empty(2, 64, 8, 56, 56, device="meta")
    index, distance = nearest_cells(maps, 8)
    assert index.shape == distance.shape == (2, 25_088, 8)
    assert index.dtype == torch.int64
    assert nearest_cells(maps, 8, query=torch.arange(5)).index.shape == (2, 5, 8)


def test_a_counter_sees_the_products_of_the_comparison() -> None:
    with FlopCounterMode(display=False) as counter:
        nearest_cells(torch.empty(1, 16, 4, 10, 10, device="meta"), 8)
    assert counter.get_total_flops() == 2 * 400 * 400 * 16


PEAK = """
import resource
import torch
from vizkit.net.ops import nearest_cells

torch.set_num_threads(1)
nearest_cells(torch.randn(1, 64, 2, 30, 40), 8, query=torch.arange(2400))  # libraries are loaded
maps = torch.randn(1, 64, 8, 56, 56)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = nearest_cells(maps, 8, query=torch.arange(8 * 56 * 56))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, found.index.shape[1])
"""


@pytest.mark.slow
def test_the_largest_map_of_the_papers_takes_at_most_96_mb() -> None:
    told = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout.split()
    assert int(told[1]) == 25_088
    assert float(told[0]) <= 96
