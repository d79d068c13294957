"""What is behind a figure, as files: its arrays, its table and its recipe. Same figure, same bytes."""

from __future__ import annotations

import csv
import io

import numpy as np

from vizkit import harmless
from vizkit.errors import FigureError
from vizkit.figure.spec import FigureSpec
from vizkit.render.text import recipe_json


def npz(spec: FigureSpec) -> bytes:
    """Pack the record behind the figure: its arrays under their names and ``provenance`` as JSON text.

    Raises:
        FigureError: the figure has no arrays.
    """
    if not spec.arrays:
        raise FigureError("This figure has no arrays behind it, so there is no NPZ to write.", code="no_arrays")
    arrays = {name: np.asarray(spec.arrays[name]) for name in sorted(spec.arrays)}
    if spec.provenance is not None:
        arrays["provenance"] = np.array(spec.provenance.json())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def table(spec: FigureSpec) -> bytes:
    """Write what is drawn as CSV (UTF-8); text that a spreadsheet would run as a formula gets a leading apostrophe.

    Raises:
        FigureError: the figure has no table.
    """
    if spec.table is None:
        raise FigureError("This figure has no table, so there is no CSV to write.", code="no_table")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    for row in (spec.table.columns, *spec.table.rows):
        writer.writerow([harmless.cell(value) for value in row])
    return buffer.getvalue().encode()


def recipe(spec: FigureSpec) -> bytes:
    """Write how to make the figure again, as JSON with sorted keys.

    Raises:
        FigureError: the figure has no recipe.
    """
    if not spec.recipe:
        raise FigureError("This figure has no recipe, so there is no JSON to write.", code="no_recipe")
    return recipe_json(spec).encode()
