"""One call for every kind of file; libraries are loaded when their format is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast, get_args

from vizkit.atomic import write_atomically
from vizkit.errors import FigureError
from vizkit.figure.layers import dress
from vizkit.figure.spec import FigureSpec
from vizkit.render.theme import page_width

Format = Literal["png", "svg", "pdf", "gif", "webp", "webm", "npz", "csv", "json", "html"]
"""Names of the formats; each is also a suffix."""
FORMATS: tuple[str, ...] = get_args(Format)


def render(figure: FigureSpec, target: str | os.PathLike[str], *, venue: str | None = None) -> bytes | None:
    """Write a figure to a file, or give its bytes.

    Args:
        figure: the figure.
        target: a path whose suffix names the format, or the bare name of a format such as ``"png"``.
        venue: width of PNG, SVG and PDF, a name of :data:`vizkit.render.theme.VENUES`; the others have no printed width.

    Returns:
        The bytes for the bare name of a format, ``None`` for a path (the file is there whole or not at all).

    Raises:
        FigureError: an unknown suffix, a figure without what the format holds, or a path that cannot be written.
        SettingError: an unknown venue.
    """
    page_width(venue)
    if target in FORMATS:
        return encode(figure, cast(Format, target), venue)
    path = Path(target)
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise FigureError(f"Cannot tell the format of {path.name!r} from its suffix. Known: {known}.", code="unknown_suffix")
    data = encode(figure, cast(Format, form), venue)
    try:
        write_atomically(path, data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        way_out = f"Choose a writable folder with room for {len(data)} bytes."
        raise FigureError(f"Cannot write {path}: {reason}. {way_out}", code="unwritable") from error
    return None


def encode(figure: FigureSpec, form: Format, venue: str | None = None) -> bytes:
    """Give a figure's bytes in one format, without the layers that wait for a reader to ask for them; see :func:`render`."""
    figure = dress(figure, {})
    if form in ("png", "svg", "pdf"):
        from vizkit.render import paper

        return paper.save(figure, form, venue)
    if form in ("gif", "webp", "webm"):
        from vizkit.render import animation

        return animation.save(figure, form)
    if form == "html":
        from vizkit.render import screen

        return screen.html(figure)
    from vizkit.render import data

    return {"npz": data.npz, "csv": data.table, "json": data.recipe}[form](figure)
