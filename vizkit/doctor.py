"""What this installation can do, and what is wrong with it: found by doing, not by asking."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Literal

import av.codec
import numpy as np
import torch
from PIL import features

import vizkit
from vizkit.checkpoint import checkpoint_folder, checkpoints
from vizkit.clip import Limits, open_clip
from vizkit.clip.child.video import DECODERS
from vizkit.errors import CheckpointError, ClipError, FigureError
from vizkit.net.network import fix_threads
from vizkit.render.animation import webm

ENCODERS = ("libvpx-vp9", "gif", "webp")
PACKAGES = (
    "av", "click", "grad-cam", "matplotlib", "numpy", "opencv-python", "opencv-python-headless", "pillow", "plotly", "pydantic",
    "safetensors", "starlette", "streamlit", "torch", "torchvision", "tqdm",
)  # fmt: skip
"""What pyproject.toml asks for."""
TEST_FRAMES, TEST_SIDE_PX = 4, 64

Problem = dict[str, str]


def examine() -> dict[str, Any]:
    """Look at versions, codecs, limits and checkpoints, and send a small clip through encoder and decoder.

    Returns:
        ``{version, python, packages, device, threads, codecs: {decode, encode}, limits, checkpoints: [{name, digest_ok}],
        problems: [{what, way_out}]}``.
    """
    packages = {name: _version(name) for name in PACKAGES}
    stock, problems = _stock()
    return {
        "version": vizkit.__version__,
        "python": platform.python_version(),
        "packages": packages,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu ({os.cpu_count()} cores)",
        "threads": fix_threads(),
        "codecs": {
            "decode": [name for name in DECODERS if _has_codec(name, "r")],
            "encode": [name for name in ENCODERS if _can_encode(name)],
        },
        "limits": Limits().model_dump(),
        "checkpoints": stock,
        "problems": [*_wrong_packages(packages), *problems, *_film_problems()],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.codec.Codec(name, mode)
    except ValueError:
        return False
    return True


def _can_encode(name: str) -> bool:
    """GIF and WebP are written by Pillow, WebM by PyAV."""
    return name == "gif" or (bool(features.check("webp")) if name == "webp" else _has_codec(name, "w"))


def _wrong_packages(packages: dict[str, str | None]) -> Iterator[Problem]:
    """Packages that are missing or of another version than this vizkit was installed with."""
    try:
        wanted = dict(re.findall(r"^([\w-]+)==([\w.]+)$", "\n".join(requires("vizkit") or []), re.MULTILINE))
    except PackageNotFoundError:
        wanted = {}
    for name, found in packages.items():
        if found is None or found != wanted.get(name, found):
            has = "is not installed" if found is None else f"is {found} instead of {wanted[name]}"
            yield {"what": f"{name} {has}.", "way_out": "Run: make install"}


def _stock() -> tuple[list[dict[str, Any]], list[Problem]]:
    """The checkpoints with whether their weights are those of the card, and what is wrong with them."""
    try:
        stock = [{"name": entry.name, "digest_ok": entry.digest_ok} for entry in checkpoints()]
    except CheckpointError as error:
        return [], [{"what": error.message, "way_out": f"Mend or remove its folder in {checkpoint_folder()}."}]
    if not stock:
        return [], [
            {
                "what": f"There are no checkpoints in {checkpoint_folder()}.",
                "way_out": "Set VIZKIT_CHECKPOINTS to the folder that holds them.",
            }
        ]
    wrong = [entry["name"] for entry in stock if not entry["digest_ok"]]
    return stock, [{"what": f"{name}: the weights are not those of its card.", "way_out": "Fetch this checkpoint again."} for name in wrong]


def _film_problems() -> Iterator[Problem]:
    """Encode a few frames as WebM and decode them in the guarded child."""
    ramp = np.linspace(0, 255, TEST_SIDE_PX, dtype=np.uint8)
    pictures = np.stack(
        [np.broadcast_to(np.roll(ramp, step)[:, None, None], (TEST_SIDE_PX, TEST_SIDE_PX, 3)) for step in range(TEST_FRAMES)]
    )
    try:
        clip = open_clip(webm(pictures, 8.0), name="self-test.webm")
    except (ClipError, FigureError, OSError) as error:
        yield {
            "what": f"A small test clip could not be written and read: {error}",
            "way_out": "Check the temporary folder's room and rights.",
        }
        return
    if clip.frames != TEST_FRAMES:
        yield {"what": f"A test clip of {TEST_FRAMES} frames was read as {clip.frames}.", "way_out": "Run: make install"}
