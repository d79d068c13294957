"""Digests see every byte, every shape and every name, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from vizkit.clip.frames import FramesDigest
from vizkit.digest import CHUNK_BYTES, digest_arrays, digest_bytes, digest_file, digest_settings, digest_tensors


def test_bytes_are_plain_sha256() -> None:
    assert digest_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 7])
def test_a_file_is_read_to_its_last_byte(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    (tmp_path / "file").write_bytes(content)
    assert digest_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_every_byte_of_an_array_counts() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    whole = digest_arrays({"frames": frames})
    seen = {whole}
    for place in range(frames.size):
        changed = frames.copy()
        changed.flat[place] ^= 1
        seen.add(digest_arrays({"frames": changed}))
    assert len(seen) == frames.size + 1


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros((2, 3), np.float32)},
        {"b": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((3, 2), np.int32)},
        {"a": np.zeros((3, 2), ">f4")},
        {"a": np.zeros((3, 2), np.float32), "b": np.zeros(0, np.float32)},
        {},
    ],
    ids=["shape", "name", "dtype", "byte order", "one more", "none"],
)
def test_same_bytes_under_another_description_differ(other: dict[str, np.ndarray]) -> None:
    assert digest_arrays(other) != digest_arrays({"a": np.zeros((3, 2), np.float32)})


def test_order_of_names_and_layout_in_memory_do_not_count() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    swapped = np.ascontiguousarray(values.transpose(2, 1, 0)).transpose(2, 1, 0)
    assert not swapped.flags.c_contiguous
    assert digest_arrays({"a": values, "b": values[0]}) == digest_arrays({"b": swapped[0], "a": swapped})


def test_frame_by_frame_digest_is_the_digest_of_the_arrays() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 5, 7, 3), np.uint8)
    times_s = np.array([0.0, 0.04, 0.09])
    running = FramesDigest(3, (7, 5))
    for frame in frames:
        running.add(frame)
    assert running.finish(times_s) == digest_arrays({"frames": frames, "times_s": times_s})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_every_byte_of_a_tensor_counts(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[1, 0, 1], [0, 1, 1]]).to(dtype)
    changed = tensor.clone()
    changed[1, 2] = 0
    assert digest_tensors({"w": tensor}) == digest_tensors({"w": tensor.clone()})
    assert digest_tensors({"w": tensor}) != digest_tensors({"w": changed})
    assert digest_tensors({"w": tensor}) != digest_tensors({"w": tensor.view(3, 2)})
    assert digest_tensors({"w": tensor}) != digest_tensors({"v": tensor})


def test_tensors_of_one_value_and_of_none_have_digests() -> None:
    scalar, empty = torch.tensor(3), torch.empty(0, 4)
    assert len({digest_tensors({"a": scalar}), digest_tensors({"a": empty}), digest_tensors({"a": scalar[None]})}) == 3


def test_memory_format_and_gradients_of_a_tensor_do_not_count() -> None:
    weights = torch.randn(4, 3, 2, 2)
    last = weights.clone().to(memory_format=torch.channels_last).requires_grad_()
    assert digest_tensors({"w": weights}) == digest_tensors({"w": last})


def test_settings_count_by_value() -> None:
    assert digest_settings({"a": 1, "b": [2, 3]}) == digest_settings({"b": (2, 3), "a": 1})
    assert digest_settings({"a": 1, "b": [2, 3]}) != digest_settings({"a": 1, "b": [3, 2]})
    assert digest_settings({"a": 1}) != digest_settings({"a": "1"})
