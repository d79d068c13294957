"""Figures as data, without a plotting library.

The package can be called: ``vizkit.figure(result)`` turns a result into a :class:`~vizkit.figure.spec.FigureSpec`.
"""

from __future__ import annotations

from vizkit._callable import make_callable
from vizkit.figure.encode import wheel_colors

__all__ = ["wheel_colors"]

make_callable(__name__, "vizkit.pipeline:draw")
