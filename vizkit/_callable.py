"""Packages that can be called: ``vizkit.figure(result)`` next to ``vizkit.figure.wheel_colors``."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, target: str) -> None:
    """Let an imported package be called like a function.

    Args:
        package: the package's ``__name__``.
        target: the function behind it as ``"module.path:function"``, imported on the first call.
    """
    path, _, function = target.partition(":")

    class CallablePackage(ModuleType):
        """A package whose call is the call of one function."""

        def __call__(self, *args: Any, **settings: Any) -> Any:
            """Call the function behind the package."""
            return getattr(import_module(path), function)(*args, **settings)

    sys.modules[package].__class__ = CallablePackage
