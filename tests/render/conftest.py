from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from vizkit.contracts import Provenance
from vizkit.figure.place import grid_positions
from vizkit.figure.spec import (
    ArrowLayer,
    ColorBarKey,
    FigureSpec,
    HeatLayer,
    ImageLayer,
    LegendKey,
    LinkLayer,
    Marker,
    Panel,
    PointLayer,
    Table,
    WheelKey,
)

SIDE = 56
QUERY_XY = (20.0, 28.0)
ENDS = {"filtered": ((0, (40.0, 12.0)),), "active": ((2, (24.0, 32.0)), (3, (44.0, 20.0)))}
"""Per role: (panel, x and y in its pixels); all arrows start at ``QUERY_XY`` of panel 1."""


def frame_pixels(number):
    """A picture that differs from frame to frame: a gradient with a bright square that moves."""
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.stack([x * 4, y * 4, np.full_like(x, 30 * number)], axis=-1).astype(np.uint8)
    pixels[20:30, 6 * number : 6 * number + 10] = 240
    return pixels


def link_layer(role, ends):
    count = len(ends)
    return LinkLayer(
        start_panel=np.full(count, 1, np.int64),
        start_xy_px=np.tile(np.array(QUERY_XY), (count, 1)),
        end_panel=np.array([panel for panel, _ in ends], np.int64),
        end_xy_px=np.array([xy for _, xy in ends], np.float64).reshape(-1, 2),
        role=role,
        weight=np.linspace(0.6, 1, count, dtype=np.float32),
        group=np.zeros(count, np.int64),
        label=tuple(f"rank {rank} <{role}>" for rank in range(count)),
        name=role,
    )


def film_panel(number, position):
    values = np.full((14, 14), 0.2 * number, np.float32)
    layers = [ImageLayer(frame_pixels(number)), HeatLayer(values, 0.0, 4.0, (0.0, 1.0), "feature change")]
    if number == 1:
        layers.append(PointLayer(np.array([QUERY_XY]), "query", ("query 0",)))
    return Panel(f"frame {number}", f"t = {number}", (SIDE, SIDE), *position, tuple(layers), frame=number)


@pytest.fixture
def strip():
    """A film strip of four frames with three arrows from frame 1, all kinds of keys, a table, arrays and a recipe."""
    return FigureSpec(
        title="Correspondences",
        caption="Arrows from one cell of frame 1.",
        alt="Four frames with arrows.",
        panels=tuple(film_panel(number, position) for number, position in enumerate(grid_positions(4, 4))),
        links=tuple(link_layer(role, ends) for role, ends in ENDS.items()),
        keys=(
            ColorBarKey("feature change", (0.0, 1.0), "inferno", "shared"),
            WheelKey("motion", 8.0),
            LegendKey((("active", "in the active set"), ("filtered", "filtered"))),
            LegendKey((("query", "query"),), "point"),
        ),
        notes=("A note.",),
        provenance=Provenance("cups.mp4", "c" * 64, {}, "cpnet-18", "cpnet-18", "d" * 64, "random"),
        arrays={"query": np.array([[1, 7, 5]]), "change": np.zeros((4, 14, 14), np.float32)},
        table=Table(("query", "rank", "active"), ((0, 1, True), (0, 2, False))),
        recipe={"view": "cpnet", "params": {"neighbors": 3}},
    )


@pytest.fixture
def plain():
    """One panel without a frame, with arrows inside it and every kind of mark; nothing else."""
    points = np.array([[10.0, 10.0], [30.0, 30.0]])
    marks = tuple(PointLayer(points + 4 * place, "truth", (), mark) for place, mark in enumerate(get_args(Marker)))
    arrows = ArrowLayer(points, points + [[12.0, 0.0], [0.0, 40.0]], "active", np.array([1.0, 0.5], np.float32))
    panel = Panel("flow", "", (SIDE, SIDE), 0, 0, (ImageLayer(frame_pixels(0)), arrows, *marks))
    return FigureSpec("", "", "", (panel,))


@pytest.fixture
def without_arrows(strip):
    """The film strip with link layers that hold no arrow."""
    return replace(strip, links=tuple(link_layer(role, ()) for role in ENDS))
