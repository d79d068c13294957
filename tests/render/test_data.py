from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from vizkit.figure.spec import Table
from vizkit.render import data


def rows(spec):
    return list(csv.reader(io.StringIO(data.table(spec).decode(), newline="")))


def test_npz_holds_the_arrays_and_the_provenance(strip):
    with np.load(io.BytesIO(data.npz(strip)), allow_pickle=False) as archive:
        assert set(archive.files) == {"query", "change", "provenance"}
        assert (archive["query"] == strip.arrays["query"]).all()
        assert archive["change"].dtype == np.float32
        assert json.loads(str(archive["provenance"]))["model"] == "cpnet-18"


def test_npz_bytes_do_not_depend_on_the_order_or_the_clock(strip, monkeypatch):
    first = data.npz(strip)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert data.npz(replace(strip, arrays=dict(reversed(strip.arrays.items())))) == first


def test_csv_has_a_header_and_one_line_per_row(strip):
    assert rows(strip) == [["query", "rank", "active"], ["0", "1", "True"], ["0", "2", "False"]]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_csv_disarms_text_that_would_run_as_a_formula(strip, text):
    table = Table((text, "b"), ((text, -1.5), ("safe=1", -2)))
    assert rows(replace(strip, table=table)) == [["'" + text, "b"], ["'" + text, "-1.5"], ["safe=1", "-2"]]


def test_csv_quotes_what_csv_must_quote(strip):
    table = Table(("a",), (('x,"y"\nz',),))
    assert rows(replace(strip, table=table))[1] == ['x,"y"\nz']


def test_recipe_is_sorted_json_that_ends_in_a_line_break(strip):
    text = data.recipe(strip).decode()
    assert json.loads(text) == strip.recipe
    assert text.index('"params"') < text.index('"view"')
    assert text.endswith("}\n")
