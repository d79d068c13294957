"""Named architectures, as records that load no torch until one is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vizkit.contracts import Record, Sampling
from vizkit.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
X3D_MEAN, X3D_STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
MFNET_MEAN, MFNET_STD = (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3


@dataclass(frozen=True)
class Published:
    """What a paper (or the place where its weights are published) says about a network, and how it counted."""

    params: float | None
    """In ``unit``, if published."""
    gmacs: float | None
    """Multiply-adds in 1e9, if published."""
    convention: str
    """How it was counted, as found by re-counting."""
    unit: float = 2.0**20
    """Parameters per unit of ``params``."""
    every_parameter: bool = False
    """Whether biases and norms are counted too, beside the weights of convolutions and linear layers."""
    frames: int | None = None
    """Frames of the clip that ``gmacs`` was counted on, where these differ from the architecture's."""
    size_px: int | None = None
    """Side of that clip, where it differs."""
    norm_macs: float = 0.0
    """Multiply-adds that the counting gives to every element of a batch norm's output (0 in the papers, 5 in old counters)."""
    flops: float = 1.0
    """What the counting gives to one multiply-add: 2 where multiplications and additions are counted apart."""
    params_left_out: int = 0
    """Parameters that the counting leaves out."""
    products: bool = True
    """Whether products of activations with each other (attention, correlation) are counted beside those with weights."""


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that torchvision publishes, with the preprocessing and the sampling that they were measured with."""

    name: str
    """What they are asked for by: ``"kinetics"``, ``"imagenet"``."""
    source: str
    """Name in torchvision, e.g. ``"R3D_18_Weights.KINETICS400_V1"``: its labels are read there."""
    file: str
    """Name of the file, which ends with the first digits of its SHA-256."""
    classes: int
    """Number of classes."""
    mean: tuple[float, float, float]
    """Mean of the input, RGB in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of the input."""
    short_side_px: int = 256
    """Short side of the resized frames."""
    crop_px: int = 224
    """Side of the crop."""
    resize_hw: tuple[int, int] | None = None
    """Height and width of the resized frames, where their shape is not kept."""
    frames_per_second: float | None = None
    """Rate of the frames of a video network's clips; None for an image network, which has none."""

    @property
    def digest_start(self) -> str:
        """The first digits of the file's SHA-256."""
        return self.file.removesuffix(".pth").rpartition("-")[2]

    def sampling(self, entry: Architecture) -> Sampling:
        """How clips are sampled for these weights in an architecture; image weights see the middle frames of equal segments."""
        sizes = {"short_side_px": self.short_side_px, "crop_px": self.crop_px, "resize_hw": self.resize_hw}
        if self.frames_per_second is None:
            return Sampling(segments=entry.frames, frames=entry.frames, **sizes)
        return Sampling(scheme="dense", frames=entry.frames, frames_per_second=self.frames_per_second, resize="torchvision", **sizes)


@dataclass(frozen=True, repr=False)
class Architecture(Record):
    """A network that can be built by name."""

    name: str
    """E.g. ``"cpnet-18"``."""
    module: str
    """The view it belongs to (``"cpnet"``), or ``""`` for a plain backbone."""
    backbone: str
    """In words, e.g. ``"ResNet-18 on every frame"``."""
    builder: str
    """``"module.path:function"``, called with the number of classes and the options."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the builder."""
    classes: int = 400
    """Default number of classes (the paper's data set)."""
    frames: int = 8
    """Frames of a clip."""
    size_px: int = 224
    """Side of the frames."""
    published: Published | None = None
    """The paper's own figures."""
    weights: tuple[PublishedWeights, ...] = ()
    """Published weights that fit: of the whole network, or of its backbone where modules are inserted into it."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of the input that the architecture's public weights expect, RGB in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of that input."""
    frames_per_segment: int = 1
    """Length of the runs of consecutive frames that a clip consists of."""

    @property
    def sampling(self) -> Sampling:
        """The sampling that the architecture is described with; a published video network's is that of its weights."""
        if self.weights and self.weights[0].frames_per_second is not None:
            return self.weights[0].sampling(self)
        runs = {"segments": self.frames // self.frames_per_segment, "frames_per_segment": self.frames_per_segment}
        return Sampling(**runs, frames=self.frames, short_side_px=self.size_px, crop_px=self.size_px)

    def published_weights(self, name: str) -> PublishedWeights:
        """Published weights by name.

        Raises:
            SettingError: there are none of this name; the message lists those there are.
        """
        for entry in self.weights:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.weights) or "none"
        raise SettingError(f"{self.name} has no published weights {name!r}. Published for it: {known}.", code="weights")

    def build(self, num_classes: int | None = None, **options: Any) -> nn.Module:
        """Build the module.

        Args:
            num_classes: outputs; the paper's number when None.
            options: arguments of the builder that differ from this architecture's.

        Raises:
            SettingError: an option that the builder does not have; the message lists those it has.
        """
        path, _, name = self.builder.partition(":")
        build = getattr(import_module(path), name)
        known = list(inspect.signature(build).parameters)[1:]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise SettingError(f"{self.name} has no option {unknown[0]!r}. Known: {', '.join(known)}.", code="unknown_name")
        if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 1):
            raise SettingError(f"num_classes is {num_classes!r}, a whole number of at least 1 is needed.")
        try:
            return build(self.classes if num_classes is None else num_classes, **{**self.options, **options})
        except ValueError as error:
            raise SettingError(f"{self.name} cannot be built: {error}") from error
