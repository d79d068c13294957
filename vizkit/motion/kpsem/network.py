"""Where KPSEM stands: beside a stage of MFNet-3D or of R3D-50, its vector joined with the pooled features (figures 2 and 6a).

The small networks that are shipped have it beside a ResNet on every frame.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from torch import nn

from vizkit.motion.kpsem.module import KPSEM, CentreInput, Gradient, Separation
from vizkit.net.backbones.clips import check_name
from vizkit.net.backbones.mfnet import build_mfnet
from vizkit.net.backbones.r3d import build_r3d
from vizkit.net.backbones.resnet import STAGE_NAMES, FrameResNet

Backbone = Literal["mfnet", "r3d", "resnet"]
Stem = Literal["5x5/2+pool", "7x7/2+pool", "5x5/2"]

PLACES = {"mfnet": "res4", "r3d": "res3", "resnet": "res3"}  # sections 4.1 and 4.4; the last is ours
DEEPEST_CELLS, MAP_CELLS = 7, 14  # sides of the map that the centres see: all of res5, elsewhere 14
"""The paper's maps are 14 x 14 at its place in MFNet."""


def build_kpsem(
    num_classes: int,
    *,
    backbone: Backbone = "mfnet",
    stage: str | None = None,
    sets: int = 8,
    regions: int = 4,
    embedding: int = 24,
    separation: Separation = "adaptive",
    gradient: Gradient = "ste",
    centre_input: CentreInput = "map",
    map_cells: int | None = None,
    hidden: int | None = None,
    width: int | None = None,
    stem: Stem | None = None,
    frames: int | None = None,
    depth: int = 18,
    dropout: float = 0.5,
) -> nn.Module:
    """Build a backbone with KPSEM beside one of its stages.

    Args:
        num_classes: outputs.
        backbone: ``"mfnet"``, ``"r3d"`` or ``"resnet"`` (a ResNet on every frame).
        stage: where the key points are taken (figure 5a); res4 of MFNet (its conv4), res3 of the others when None.
        sets: G (figure 5c), see :class:`KPSEM`, as for all down to ``hidden``.
        regions: K (figure 5b); 1 for a single key point.
        embedding: d_e (figure 5d).
        separation: ``"adaptive"`` or ``"fixed"``.
        gradient: ``"ste"`` or ``"none"``.
        centre_input: ``"map"`` or ``"gap"``.
        map_cells: side of the map that the centres see; 14, but 7 at res5, when None.
        hidden: width of a hidden layer of the centres.
        width: of the backbone; its default when None.
        stem: of the backbone; its default when None.
        frames: of a clip; 16 of MFNet and 8 of the others when None.
        depth: layers of the ResNet (``"resnet"`` only).
        dropout: before the last layer.

    Raises:
        ValueError: a name or a size that cannot be.
    """
    check_name("backbone", backbone, get_args(Backbone))
    place = PLACES[backbone] if stage is None else stage
    check_name("stage", place, STAGE_NAMES)
    cells = map_cells if map_cells is not None else DEEPEST_CELLS if place == STAGE_NAMES[-1] else MAP_CELLS
    module = partial(
        _module, sets=sets, regions=regions, embedding=embedding, separation=separation, gradient=gradient, centre_input=centre_input,
        map_cells=cells, hidden=hidden,
    )  # fmt: skip
    given = {"width": width, "stem": stem, "frames": frames}
    options = {name: value for name, value in given.items() if value is not None}
    if backbone == "resnet":
        return FrameResNet(depth, num_classes, beside={place: module}, beside_name="kpsem", dropout=dropout, **options)  # type: ignore[arg-type]
    build = build_mfnet if backbone == "mfnet" else build_r3d
    return build(num_classes, beside={place: module}, beside_name="kpsem", dropout=dropout, **options)  # type: ignore[arg-type]


def _module(channels: int, frames: int, **settings: object) -> nn.Module:
    return KPSEM(channels, frames, **settings)  # type: ignore[arg-type]
