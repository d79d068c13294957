"""What commands write: JSON for programs, short tables for people, whole files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from vizkit.atomic import write_atomically
from vizkit.errors import VizkitError
from vizkit.harmless import visible

as_json: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output and nothing else."
)
"""Option ``--json``."""


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: records become objects, arrays lists, numbers that are not finite null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def echo(text: str) -> None:
    """Write lines for people; names of clips and labels that hold control characters cannot act on the terminal."""
    click.echo(visible(text))


def echo_json(document: Any) -> None:
    """Write one JSON document."""
    click.echo(json.dumps(plain(document), allow_nan=False, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows under column names; numbers to the right."""
    cells = [[*map(str, columns)], *([_shown(value) for value in row] for row in rows)]
    numeric = [all(_is_number(row[place]) for row in cells[1:]) and len(cells) > 1 for place in range(len(columns))]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    lines = (
        "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def facts(values: Mapping[str, object]) -> str:
    """One line for each name and value; the entries of a nested object under ``name.entry``."""
    flat: dict[str, object] = {}
    for name, value in plain(values).items():
        flat |= {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
    width = max(map(len, flat), default=0)
    return "\n".join(f"{name.ljust(width)}  {_shown(value)}" for name, value in flat.items())


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(entry) for entry in value) or "-"
    if isinstance(value, dict):
        return " ".join(_shown(entry) for entry in value.values())
    return "-" if value is None else str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace(",", "").removeprefix("-").isdigit()


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file.

    Raises:
        VizkitError: it cannot be written there.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise VizkitError(f"Cannot write {path}: {error.strerror}. Choose a writable folder with room.", code="unwritable") from error
