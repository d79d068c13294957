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
    weights_only: bool = True
    """Convolution and linear weights only; biases and norms left out."""
    frames: int | None = None
    """Frames of the clip that ``gmacs`` was counted on, where these differ from the architecture's."""
    size_px: int | None = None
    """Side of that clip, where it differs."""
    norm_macs: float = 0.0
    """Multiply-adds that the counting gives to every element of a batch norm's output (0 in the papers, 5 in old counters)."""


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

    @property
    def sampling(self) -> Sampling:
        """The sampling that the architecture is described with."""
        return Sampling(segments=self.frames, frames=self.frames, short_side_px=self.size_px, crop_px=self.size_px)

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
