"""Figures as pictures, films and files.

The package can be called: ``vizkit.render(figure, target, *, venue=None)`` is :func:`vizkit.render.write.render`.
"""

from __future__ import annotations

from vizkit._callable import make_callable

make_callable(__name__, "vizkit.render.write:render")
