"""Which clips a data set holds, and which of them are for testing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vizkit.errors import SettingError
from vizkit.learn.listing import VideoEntry, divide, listing_of, read_listing


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def seen(folder: Path, *files: str) -> list[tuple[str, str, str]]:
    return [(entry.path.relative_to(folder).as_posix(), entry.label, entry.split) for entry in read_listing(folder, files).entries]


# ------------------------------------------------------------------------------------------------ folders of classes


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    touch(tmp_path, "run/b.mp4", "run/a.avi", "run/.hidden.mp4", "run/notes.txt", "jump/x.webm", "jump/frames/0001.jpg", ".cache/z.mp4")
    assert read_listing(tmp_path).labels == ("jump", "run")
    assert seen(tmp_path) == [("jump/frames", "jump", ""), ("jump/x.webm", "jump", ""), ("run/a.avi", "run", ""), ("run/b.mp4", "run", "")]


def test_folders_of_splits_above_those_of_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/run/a.mp4", "train/jump/b.mp4", "validation/run/c.mp4", "test/jump/d.mp4")
    assert {split for _, _, split in seen(tmp_path)} == {"train", "val", "test"}
    assert ("validation/run/c.mp4", "run", "val") in seen(tmp_path)


def test_a_class_without_clips_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4", "jump/readme.txt")
    with pytest.raises(SettingError, match="jump: no video"):
        read_listing(tmp_path)


def test_one_class_is_too_few(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4")
    with pytest.raises(SettingError, match="1 clips of 1 class found"):
        read_listing(tmp_path)
    with pytest.raises(SettingError, match="folder is"):
        read_listing(tmp_path / "nowhere")


# ------------------------------------------------------------------------------------------------ lists


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(
        "path,label,split,fold,group,start_s,end_s,remark\n"
        "a.mp4,run,Train,0,anna,,,sunny\n"
        'sub/b.mp4,"jump, high",validation,1,ben,1.5,2.5,\n',
        encoding="utf-8",
    )
    listing = read_listing(tmp_path, ("clips.csv",))
    assert listing.labels == ("jump, high", "run")
    assert listing.entries == (
        VideoEntry(tmp_path / "a.mp4", "run", "anna", "train", 0, 0.0, None),
        VideoEntry(tmp_path / "sub" / "b.mp4", "jump, high", "ben", "val", 1, 1.5, 2.5),
    )


def test_without_groups_every_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path,label,start_s,end_s\na.mp4,run,0,1\na.mp4,jump,1,2\nb.mp4,run,,\n", encoding="utf-8")
    assert [entry.group for entry in read_listing(tmp_path, ("clips.csv",)).entries] == ["a.mp4", "a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a.mp4,,,,,", "line 3: label is empty"),
        (",run,,,,", "line 3: path is empty"),
        ("a.mp4,run,later,,,", "line 3: split is 'later'; known are train, val, test"),
        ("a.mp4,run,,one,,", "line 3: fold is 'one'"),
        ("a.mp4,run,,,2,1", "line 3: start_s is 2, end_s 1.0"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "clips.csv").write_text(f"path,label,split,fold,start_s,end_s\nb.mp4,jump,,,,\n{row}\n", encoding="utf-8")
    with pytest.raises(SettingError, match=told):
        read_listing(tmp_path, ("clips.csv",))


def test_something_something_version_2(tmp_path: Path) -> None:
    """Labels are templates without brackets; clips are films or folders of pictures named after their number."""
    touch(tmp_path, "7.webm", "8/0001.jpg")
    first = {"id": "7", "label": "pushing a cup", "template": "Pushing [something]", "placeholders": ["a cup"]}
    second = {"id": 8, "label": "holding a pen", "template": "Holding [something]", "placeholders": ["a pen"]}
    (tmp_path / "something-something-v2-train.json").write_text(json.dumps([first]), encoding="utf-8")
    (tmp_path / "something-something-v2-validation.json").write_text(json.dumps([second]), encoding="utf-8")
    files = ("something-something-v2-train.json", "something-something-v2-validation.json")
    assert seen(tmp_path, *files) == [("7.webm", "Pushing something", "train"), ("8", "Holding something", "val")]
    train, test = divide(_both(tmp_path, files), test="val")
    assert [entry.path.name for entry in train] == ["7.webm", "7.webm"]
    assert [entry.path.name for entry in test] == ["8", "8"]


def _both(folder: Path, files: tuple[str, ...]):
    """Both clips with both labels, since each side needs clips of every class."""
    entries = read_listing(folder, files).entries
    labels = [entry.label for entry in entries]
    return listing_of("both", [VideoEntry(entry.path, label, entry.group, entry.split) for entry in entries for label in labels])


def test_something_something_version_1(tmp_path: Path) -> None:
    touch(tmp_path, "100218/00001.jpg")
    lines = "100218;Something falling like a feather or paper\n24413;Throwing something, then catching it\n"
    (tmp_path / "something-something-v1-train.csv").write_text(lines, encoding="utf-8")
    assert seen(tmp_path, "something-something-v1-train.csv") == [
        ("100218", "Something falling like a feather or paper", "train"),
        ("24413", "Throwing something, then catching it", "train"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("list.csv", "file,class\na,b\n", "line 1: neither the columns"),
        ("list.csv", "1;one\ntwo\n", "line 2: 'two' is not of the form"),
        ("list.json", "{", "not valid JSON"),
        ("list.json", '[{"id": "7", "label": "x"}]', "entry 1: id or template is missing"),
        ("list.json", '{"id": "7"}', "a list of objects"),
    ],
)
def test_a_list_of_no_known_form_is_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=told):
        read_listing(tmp_path, (name,))


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no readable list"):
        read_listing(tmp_path, ("nowhere.csv",))


# ------------------------------------------------------------------------------------------------ sides


def clips(*rows: tuple[str, str, str, int | None]):
    return listing_of(
        "set", [VideoEntry(Path(f"{n}.mp4"), label, group, split, fold) for n, (label, group, split, fold) in enumerate(rows)]
    )


def test_a_fold_is_tested_and_the_others_are_trained_on() -> None:
    listing = clips(*((label, f"pair {fold}", "", fold) for fold in range(3) for label in ("run", "jump")))
    train, test = divide(listing, fold=1)
    assert {entry.fold for entry in train} == {0, 2}
    assert {entry.fold for entry in test} == {1}
    with pytest.raises(SettingError, match="fold is 3; set has the folds 0, 1, 2"):
        divide(listing, fold=3)


def test_splits_are_taken_as_named() -> None:
    listing = clips(*((label, split, split, None) for split in ("train", "val", "test") for label in ("run", "jump")))
    train, test = divide(listing)
    assert ({entry.split for entry in train}, {entry.split for entry in test}) == ({"train"}, {"test"})
    train, test = divide(listing, train=("train", "val"))
    assert {entry.split for entry in train} == {"train", "val"}
    with pytest.raises(SettingError, match="also in train"):
        divide(listing, train=("train", "test"))


def test_without_splits_whole_groups_are_drawn_whatever_else_is_there() -> None:
    rows = [(label, f"person {number}", "", None) for number in range(200) for label in ("run", "jump")]
    train, test = divide(clips(*rows), test_share=0.25)
    assert not {entry.group for entry in train} & {entry.group for entry in test}
    assert len(train) + len(test) == 400
    assert 70 <= len(test) <= 130  # 100 on average
    fewer, _ = divide(clips(*rows[:300]), test_share=0.25)
    assert {entry.group for entry in fewer} <= {entry.group for entry in train}
    assert {entry.group for entry in divide(clips(*rows), seed=1)[1]} != {entry.group for entry in test}


def test_a_group_on_both_sides_is_refused() -> None:
    rows = [("run", "anna", "train", 0), ("jump", "anna", "train", 0), ("run", "anna", "test", 1), ("jump", "ben", "test", 1)]
    for how in ({}, {"fold": 1}):
        with pytest.raises(SettingError, match="must not be trained and tested on, but these are: anna"):
            divide(clips(*rows), **how)


def test_a_side_without_a_class_is_refused() -> None:
    with pytest.raises(SettingError, match="no clip to test on of jump"):
        divide(clips(("run", "a", "train", None), ("jump", "b", "train", None), ("run", "c", "test", None)))
