from __future__ import annotations

import re
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

import vizkit.render
from vizkit.atomic import write_atomically
from vizkit.errors import FigureError, SettingError
from vizkit.render.write import FORMATS, render

MAGIC = {
    "png": b"\x89PNG",
    "svg": b"<?xml",
    "pdf": b"%PDF",
    "gif": b"GIF89a",
    "webp": b"RIFF",
    "webm": b"\x1aE\xdf\xa3",
    "npz": b"PK",
    "csv": b"query,",
    "json": b"{",
    "html": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_name_gives_bytes_and_a_path_holds_the_same(strip, form, tmp_path):
    data = vizkit.render(strip, form)
    assert data.startswith(MAGIC[form])
    path = tmp_path / f"figure.{form.upper()}"
    assert vizkit.render(strip, path) is None
    assert path.read_bytes() == data


def test_a_path_may_be_text_or_a_path(strip, tmp_path):
    render(strip, str(tmp_path / "a.json"))
    render(strip, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_venue_sets_the_width(strip):
    narrow, wide = (vizkit.render(strip, "pdf", venue=venue) for venue in ("cvpr-column", "cvpr"))
    assert b"/MediaBox [ 0 0 234 " in narrow
    assert b"/MediaBox [ 0 0 495 " in wide


@pytest.mark.parametrize("target", ["figure.bmp", "figure", "PNG", ".png"])
def test_an_unknown_suffix_lists_the_known_ones(strip, target, tmp_path):
    with pytest.raises(FigureError, match=r"\.webm, \.npz") as caught:
        render(strip, tmp_path / target)
    assert caught.value.code == "unknown_suffix"


@pytest.mark.parametrize("form", ["png", "csv"])
def test_an_unknown_venue_is_refused_for_every_format(strip, form):
    with pytest.raises(SettingError, match="cvpr-column"):
        render(strip, form, venue="nature")


@pytest.mark.parametrize("missing", ["nowhere", "file"])
def test_a_folder_that_cannot_be_written_is_one_sentence(strip, missing, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FigureError, match=r"^Cannot write .*figure\.json: .+\. Choose a writable folder.*\.$") as caught:
        render(strip, tmp_path / missing / "figure.json")
    assert caught.value.code == "unwritable"
    assert len(re.findall(r"\n", caught.value.message)) == 0


def test_a_full_disk_leaves_the_old_file_and_nothing_else(strip, tmp_path):
    old = tmp_path / "figure.svg"
    old.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # the disk ends after 10 kB
    try:
        with pytest.raises(FigureError, match="Cannot write"):
            render(strip, old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_atomic_files_have_ordinary_permissions_and_links_stay(tmp_path):
    target, ordinary, link = tmp_path / "target", tmp_path / "ordinary", tmp_path / "link"
    ordinary.write_bytes(b"")
    link.symlink_to(target)
    write_atomically(link, b"data")
    assert link.is_symlink()
    assert target.read_bytes() == b"data"
    assert target.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(("field", "form"), [({"table": None}, "csv"), ({"arrays": {}}, "npz"), ({"recipe": {}}, "json")])
def test_a_figure_without_the_data_says_so(strip, field, form):
    with pytest.raises(FigureError, match="This figure has no"):
        render(replace(strip, **field), form)


def test_data_formats_load_no_plotting_library(strip, tmp_path):
    import pickle

    (tmp_path / "figure").write_bytes(pickle.dumps(strip))
    code = (
        "import pathlib, pickle, sys, vizkit.render; spec = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "[vizkit.render(spec, form) for form in ('npz', 'csv', 'json', 'gif')];"
        "assert not {'matplotlib', 'plotly', 'torch'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "figure")], check=False).returncode == 0
