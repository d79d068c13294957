"""The catalogue: which papers and which architectures there are. A sixth paper is one line in ``MODULES``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from vizkit.contracts import Claim, MotionModule, Settings
from vizkit.errors import unknown_name
from vizkit.motion import corrnet, cpnet, dcf, gradcam, kpsem, pwtp
from vizkit.net.architecture import Architecture
from vizkit.net.backbones import BACKBONES

MODULES: tuple[MotionModule, ...] = (cpnet.MODULE, corrnet.MODULE, dcf.MODULE, pwtp.MODULE, kpsem.MODULE)
"""One line for each paper."""

VIEWS: tuple[MotionModule, ...] = (*MODULES, gradcam.VIEW)
"""What can be looked at: the papers, and Grad-CAM, which belongs to none of them."""


def module(key: str) -> MotionModule:
    """A view by its name.

    Raises:
        SettingError: an unknown view; the message lists the known ones.
    """
    for entry in VIEWS:
        if entry.key == key:
            return entry
    raise unknown_name("view", key, [entry.key for entry in VIEWS])


def resolve(target: str) -> Any:
    """Import what ``"module.path:name"`` names."""
    path, _, name = target.partition(":")
    return getattr(import_module(path), name)


def step(entry: MotionModule, name: str) -> Callable[..., Any]:
    """One of a paper's functions (``analyze``, ``figure``, ``unavailable``, ``score``, ``judge``)."""
    found: Callable[..., Any] = resolve(getattr(entry, name))
    return found


def params_of(entry: MotionModule) -> type[Settings]:
    """The settings that a paper's view is computed with."""
    found: type[Settings] = resolve(entry.params)
    return found


def look_of(entry: MotionModule) -> type[Settings]:
    """The settings that a view is drawn with: the class ``Look`` beside its figure."""
    found: type[Settings] = resolve(f"{entry.figure.partition(':')[0]}:Look")
    return found


def architectures(module: str | None = None) -> tuple[Architecture, ...]:
    """The named architectures.

    Args:
        module: only those of one paper (``"cpnet"``); all when None.

    Raises:
        SettingError: an unknown paper.
    """
    if module is not None:
        return tuple(resolve(_entry(module).architectures))
    return BACKBONES + tuple(found for entry in MODULES for found in resolve(entry.architectures))


_entry = module


def architecture(name: str) -> Architecture:
    """An architecture by name.

    Raises:
        SettingError: an unknown name; the message lists the known ones.
    """
    for entry in architectures():
        if entry.name == name:
            return entry
    raise unknown_name("architecture", name, [entry.name for entry in architectures()])


def claims() -> tuple[Claim, ...]:
    """What of the papers can be checked in minutes."""
    return tuple(found for entry in MODULES for found in entry.claims)


def claim(name: str) -> Claim:
    """A claim by name.

    Raises:
        SettingError: an unknown name; the message lists the known ones.
    """
    for entry in claims():
        if entry.name == name:
            return entry
    raise unknown_name("claim", name, [entry.name for entry in claims()])
