"""Values to colours, without a plotting library: the same colours on the screen, in print and in animations."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vizkit.errors import SettingError, unknown_name
from vizkit.figure import tables
from vizkit.figure.place import heat_on_pixels, motion_on_pixels
from vizkit.figure.spec import ColorMap, HeatLayer, MotionLayer

WHEEL_STEPS = (("R", "Y", 15), ("Y", "G", 6), ("G", "C", 4), ("C", "B", 11), ("B", "M", 13), ("M", "R", 6))
"""Number of colours from one named hue of the Middlebury wheel to the next: red, yellow, green, cyan, blue, magenta and red again."""


@cache
def wheel_hues() -> NDArray[np.float64]:
    """[55, 3] the fully saturated colours of the Middlebury wheel, whole numbers in 0..255: right, down, left, up."""
    corners = {"R": (255, 0, 0), "Y": (255, 255, 0), "G": (0, 255, 0), "C": (0, 255, 255), "B": (0, 0, 255), "M": (255, 0, 255)}
    rows = []
    for first, last, steps in WHEEL_STEPS:
        start, end = np.array(corners[first], np.float64), np.array(corners[last], np.float64)
        # The reference rounds the moving channel down before it is added or subtracted.
        rows.append(start + np.sign(end - start) * np.floor(255 * np.arange(steps) / steps)[:, None])
    hues = np.concatenate(rows)
    hues.flags.writeable = False
    return hues


def wheel_colors(vectors: NDArray[Any], max_magnitude: float) -> NDArray[np.uint8]:
    """Colour directions by the Middlebury wheel: hue from direction, saturation from length, white at zero.

    In image axes (y down) right is red, down yellow, left cyan and up violet. The scale is fixed by ``max_magnitude`` and never
    taken from the data, so that two pictures can be compared; longer vectors have the full colour too.

    Args:
        vectors: ``[..., 2]`` (x, y), x right, y down; a vector with NaN is white.
        max_magnitude: length of full colour, in the unit of ``vectors``.

    Returns:
        uint8 ``[..., 3]`` RGB.

    Raises:
        SettingError: ``max_magnitude`` is not a positive number.
    """
    if not (np.isfinite(max_magnitude) and max_magnitude > 0):
        raise SettingError(f"max_magnitude must be a positive number, got {max_magnitude}.")
    # Adding +0.0 turns -0.0 into +0.0, which would land on the other branch of atan2.
    scaled = np.nan_to_num(np.asarray(vectors, np.float64) / max_magnitude, nan=0.0, posinf=1.0, neginf=-1.0) + 0.0
    radius = np.minimum(np.hypot(scaled[..., 0], scaled[..., 1]), 1.0)[..., None]
    wheel = wheel_hues()
    turn = (np.arctan2(-scaled[..., 1], -scaled[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(turn).astype(np.int64)
    share = (turn - below)[..., None]
    hue = (1 - share) * wheel[below] + share * wheel[(below + 1) % len(wheel)]
    return np.floor(255 - radius * (255 - hue)).astype(np.uint8)


@cache
def color_table(colors: ColorMap) -> NDArray[np.uint8]:
    """Look a colour map up.

    ``"wheel"`` is cyclic: its ends are the directions -180 and 180 degrees, clockwise on the screen, 0 is right.

    Args:
        colors: name of the colour map.

    Returns:
        uint8 [256, 3] RGB, from the lower to the upper limit; read-only.

    Raises:
        SettingError: an unknown name; the message lists the known ones.
    """
    if colors == "gray":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    elif colors == "wheel":
        angle = np.linspace(-np.pi, np.pi, 256)
        table = wheel_colors(np.stack([np.cos(angle), np.sin(angle)], axis=-1), 1.0)
    elif colors in get_args(ColorMap):
        table = np.frombuffer(bytes.fromhex(getattr(tables, colors.upper())), np.uint8).reshape(256, 3).copy()
    else:
        raise unknown_name("colour map", colors, get_args(ColorMap))
    table.flags.writeable = False
    return table


def heat_colors(values: NDArray[Any], limits: tuple[float, float], colors: ColorMap) -> NDArray[np.uint8]:
    """Colour values between explicit limits.

    Args:
        values: ``[...]``; NaN where nothing is known.
        limits: values of the first and of the last colour; values beyond them have the colour of the limit.
        colors: name of the colour map.

    Returns:
        uint8 ``[..., 4]`` RGBA; alpha is 0 where the value is NaN, 255 elsewhere.
    """
    low, high = limits
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    place = np.clip((np.where(known, values, low) - low) / (high - low), 0.0, 1.0)
    index = np.minimum((place * 256).astype(np.int64), 255)  # 256 equal bins, as the colour bar shows them
    return np.concatenate([color_table(colors)[index], np.where(known, 255, 0).astype(np.uint8)[..., None]], axis=-1)


def motion_colors(
    vectors: NDArray[Any], confidence: NDArray[Any], max_magnitude: float, backdrop: Literal["white", "picture"]
) -> NDArray[np.uint8]:
    """Colour displacements by :func:`wheel_colors` and fade them by their confidence.

    Args:
        vectors: ``[..., 2]`` (x, y); NaN where nothing is known.
        confidence: ``[...]`` in 0..1; NaN where nothing is known.
        max_magnitude: length of full colour, in the unit of ``vectors``.
        backdrop: what is mixed with the wheel's colour where the confidence is low: white, or what lies below.

    Returns:
        uint8 ``[..., 4]`` RGBA: opaque on white paper, the confidence as alpha over a picture; unknown is all backdrop.
    """
    share = np.clip(np.nan_to_num(np.asarray(confidence, np.float64), nan=0.0), 0.0, 1.0)[..., None]
    colors = wheel_colors(vectors, max_magnitude)
    if backdrop == "picture":
        return np.concatenate([colors, np.rint(255 * share).astype(np.uint8)], axis=-1)
    mixed = np.rint(255 + share * (colors - 255.0)).astype(np.uint8)
    return np.concatenate([mixed, np.full_like(mixed[..., :1], 255)], axis=-1)


def cell_colors(layer: HeatLayer | MotionLayer, size_wh: tuple[int, int], out_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Colour a layer of cells on the pixels of its panel: interpolated first, coloured after that.

    Args:
        layer: the cells; its opacity is left to the renderer.
        size_wh: the panel's size in panel pixels.
        out_wh: size of the result in its own pixels; both cover the same area.

    Returns:
        uint8 [height, width, 4] RGBA.
    """
    if isinstance(layer, HeatLayer):
        return heat_colors(heat_on_pixels(layer, size_wh, out_wh), layer.limits, layer.colors)
    return motion_colors(*motion_on_pixels(layer, size_wh, out_wh), layer.max_magnitude, layer.backdrop)
