"""Which clips a data set of videos holds (folders of classes, CSV tables, Something-Something's lists), and which are for testing."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizkit.clip.decode import ARCHIVE_SUFFIXES, ARRAY_SUFFIXES, VIDEO_SUFFIXES
from vizkit.clip.frames import is_picture
from vizkit.contracts import Record
from vizkit.digest import digest_settings
from vizkit.errors import SettingError

SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "split", "fold", "group", "start_s", "end_s")
"""Columns that a CSV table may have; ``path`` and ``label`` it must have, others are left alone."""

SHOWN = 5
_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
_CLIP_SUFFIXES = VIDEO_SUFFIXES | ARCHIVE_SUFFIXES | ARRAY_SUFFIXES


@dataclass(frozen=True, repr=False)
class VideoEntry(Record):
    """One clip of a data set."""

    path: Path
    """A video, or a folder of pictures."""
    label: str
    """Name of its class."""
    group: str
    """What it shares with other clips (people, place, recording): clips of a group never lie on both sides of a split."""
    split: str = ""
    """``"train"``, ``"val"``, ``"test"``, or empty where the data set says nothing."""
    fold: int | None = None
    """Number of its fold, where the data set gives folds."""
    start_s: float = 0.0
    """Where the clip begins in the file."""
    end_s: float | None = None
    """Where it ends; None for the end of the file."""


@dataclass(frozen=True, repr=False)
class Listing(Record):
    """The clips of a data set."""

    name: str
    """What it is called in messages."""
    labels: tuple[str, ...]
    """Names of the classes, sorted."""
    entries: tuple[VideoEntry, ...]
    """The clips, in the order of the list."""


def listing_of(name: str, entries: Sequence[VideoEntry]) -> Listing:
    """Collect the labels of clips.

    Raises:
        SettingError: there are no clips, or clips of one class only.
    """
    labels = tuple(sorted({entry.label for entry in entries}))
    if len(labels) < 2:
        found = f"{len(entries)} clips of {len(labels)} {'class' if len(labels) == 1 else 'classes'}"
        raise SettingError(f"{name}: {found} found; a classifier needs clips of two or more classes.", code="no_clips")
    return Listing(name, labels, tuple(entries))


def read_listing(folder: Path, files: Sequence[str] = ()) -> Listing:
    """Find the clips of a data set.

    * No list: a folder for each class, ``CLASS/CLIP``, or under splits, ``train/CLASS/CLIP``; a clip is a video or a folder of pictures.
    * A CSV table with the columns ``path`` (from the folder on) and ``label``, and, where known, ``split`` (train, val, test),
      ``fold`` (a number), ``group`` (see :class:`VideoEntry`; the path where the column is missing), ``start_s`` and ``end_s``.
    * Something-Something's lists: version 2 as JSON (``id``, ``template``), version 1 as lines ``id;label``. The clips lie in the
      folder as ``ID``, a folder of pictures, or as ``ID.webm``. The list's name says the split (``...-train.json``).

    Args:
        folder: where the clips lie.
        files: the lists, by path or by name in the folder; none for folders of classes.

    Returns:
        The clips; whether a file can be read is seen when it is decoded.

    Raises:
        SettingError: a folder or a list that is not what it should be; the message names the line.
    """
    if not folder.is_dir():
        raise SettingError(f"folder is {str(folder)!r}; give the folder in which the clips lie.", code="missing")
    if not files:
        return listing_of(folder.name, list(_class_folders(folder)))
    entries: list[VideoEntry] = []
    for name in files:
        path = folder / name  # an absolute name stays as it is
        entries += _reader(path)(path, folder)
    return listing_of(Path(files[0]).name if len(files) == 1 else folder.name, entries)


def divide(
    listing: Listing,
    *,
    fold: int | None = None,
    train: Sequence[str] = ("train",),
    test: str = "test",
    test_share: float = 0.2,
    seed: int = 0,
) -> tuple[tuple[VideoEntry, ...], tuple[VideoEntry, ...]]:
    """Clips to train on and clips to test on.

    Args:
        listing: the clips.
        fold: the fold to test on, all others are for training; None to go by splits.
        train: the splits to train on.
        test: the split to test on.
        test_share: share of the groups to test on, where the data set gives no splits.
        seed: draws those groups; a clip more or less moves no group to the other side.

    Raises:
        SettingError: an unknown fold or split, one side without clips or without one of the classes, or a group on both sides.
    """
    if fold is not None:
        sides = _by_fold(listing, fold)
    elif any(entry.split for entry in listing.entries):
        sides = _by_split(listing, train, test)
    else:
        drawn = {entry.group for entry in listing.entries if _share_of(entry.group, seed) < test_share}
        sides = [[entry for entry in listing.entries if (entry.group in drawn) == testing] for testing in (False, True)]
    for side, what in zip(sides, ("train", "test"), strict=True):
        missing = sorted(set(listing.labels) - {entry.label for entry in side})
        if missing:
            raise SettingError(f"{listing.name}: there is no clip to {what} on of {_listed(missing)}.", code="no_clips")
    both = sorted({entry.group for entry in sides[0]} & {entry.group for entry in sides[1]})
    if both:
        raise SettingError(
            f"{listing.name}: clips of one group must not be trained and tested on, but these are: {_listed(both)}.", code="groups"
        )
    return tuple(sides[0]), tuple(sides[1])


def _by_fold(listing: Listing, fold: int) -> list[list[VideoEntry]]:
    known = sorted({entry.fold for entry in listing.entries if entry.fold is not None})
    if fold not in known:
        raise SettingError(f"fold is {fold}; {listing.name} has the folds {', '.join(map(str, known)) or 'none'}.", code="fold")
    without = [entry.path.name for entry in listing.entries if entry.fold is None]
    if without:
        raise SettingError(f"{listing.name}: these clips belong to no fold: {_listed(without)}.", code="fold")
    return [[entry for entry in listing.entries if (entry.fold == fold) == testing] for testing in (False, True)]


def _by_split(listing: Listing, train: Sequence[str], test: str) -> list[list[VideoEntry]]:
    if test in train:
        raise SettingError(f"test is {test!r}, which is also in train ({', '.join(train)}); a split serves one of them.", code="split")
    return [[entry for entry in listing.entries if entry.split in wanted] for wanted in (tuple(train), (test,))]


def _share_of(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but group and seed."""
    return int(digest_settings([seed, group])[:12], 16) / 16**12


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------------------------ a folder for each class


def _class_folders(folder: Path) -> Iterator[VideoEntry]:
    tops = _folders(folder)
    if tops and all(top.name.lower() in _WORDS for top in tops):
        for top in tops:
            yield from _clips_of_classes(top, folder, _WORDS[top.name.lower()])
    else:
        yield from _clips_of_classes(folder, folder, "")


def _clips_of_classes(folder: Path, root: Path, split: str) -> Iterator[VideoEntry]:
    for home in _folders(folder):
        clips = [path for path in sorted(home.iterdir()) if not path.name.startswith(".") and _is_clip(path)]
        if not clips:
            raise SettingError(f"{home.relative_to(root)}: no video and no folder of pictures in this folder of a class.", code="no_clips")
        for path in clips:
            yield VideoEntry(path, home.name, path.relative_to(root).as_posix(), split)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_clip(path: Path) -> bool:
    if path.is_dir():
        return any(is_picture(entry.name) for entry in path.iterdir())
    return path.suffix.lower() in _CLIP_SUFFIXES


# ------------------------------------------------------------------------------------------------ lists


def _reader(path: Path) -> Callable[[Path, Path], list[VideoEntry]]:
    """How a list is written, by its suffix and its first line."""
    if path.suffix.lower() == ".json":
        return _second_version
    first = next(iter(_text(path).splitlines()), "")
    if {"path", "label"} <= {cell.strip() for cell in first.split(",")}:
        return _table
    if re.fullmatch(r"[^;,]+;[^;]+", first):
        return _first_version
    raise SettingError(
        f"{path.name}, line 1: neither the columns of a CSV table ({', '.join(COLUMNS)}) nor Something-Something's id;label.",
        code="listing",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingError(f"{path.name}: there is no readable list of this name.", code="missing") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path.name}: not UTF-8 text ({error.reason} at byte {error.start}).", code="listing") from error


def _table(path: Path, folder: Path) -> list[VideoEntry]:
    return [_row(row, f"{path.name}, line {number}", folder) for number, row in enumerate(csv.DictReader(_text(path).splitlines()), 2)]


def _row(row: Mapping[str, str | None], place: str, folder: Path) -> VideoEntry:
    cells = {name.strip(): (value or "").strip() for name, value in row.items() if name is not None}
    for name in ("path", "label"):
        if not cells[name]:
            raise SettingError(f"{place}: {name} is empty.", code="listing")
    split = cells.get("split", "")
    if split and split.lower() not in _WORDS:
        raise SettingError(f"{place}: split is {split!r}; known are {', '.join(SPLITS)}.", code="listing")
    entry = VideoEntry(
        folder / cells["path"],
        cells["label"],
        cells.get("group") or cells["path"],
        _WORDS[split.lower()] if split else "",
        _number(cells, "fold", int, place),
        _number(cells, "start_s", float, place) or 0.0,
        _number(cells, "end_s", float, place),
    )
    if entry.start_s < 0 or (entry.end_s is not None and entry.end_s <= entry.start_s):
        raise SettingError(f"{place}: start_s is {entry.start_s:g}, end_s {entry.end_s}; 0 <= start_s < end_s is needed.", code="listing")
    return entry


def _number(cells: Mapping[str, str], name: str, kind: Callable[[str], Any], place: str) -> Any:
    text = cells.get(name, "")
    try:
        return kind(text) if text else None
    except ValueError as error:
        raise SettingError(f"{place}: {name} is {text!r}; a number is needed.", code="listing") from error


def _second_version(path: Path, folder: Path) -> list[VideoEntry]:
    """``[{"id": "78687", "label": "...", "template": "Holding [something] next to [something]", ...}, ...]``."""
    try:
        rows = json.loads(_text(path))
    except ValueError as error:
        raise SettingError(f"{path.name}: not valid JSON ({error}).", code="listing") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SettingError(f"{path.name}: a list of objects with id and template is needed.", code="listing")
    pairs = []
    for number, row in enumerate(rows, 1):
        if not row.get("id") or not row.get("template"):
            raise SettingError(
                f"{path.name}, entry {number}: id or template is missing; only lists with labels can be used.", code="listing"
            )
        pairs.append((str(row["id"]), re.sub(r"[\[\]]", "", str(row["template"]))))
    return _numbered(path, folder, pairs)


def _first_version(path: Path, folder: Path) -> list[VideoEntry]:
    """Lines ``100218;Something falling like a feather or paper``."""
    pairs = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        name, separator, label = line.partition(";")
        if not separator or not name.strip() or not label.strip():
            raise SettingError(f"{path.name}, line {number}: {line!r} is not of the form id;label.", code="listing")
        pairs.append((name.strip(), label.strip()))
    return _numbered(path, folder, pairs)


def _numbered(path: Path, folder: Path, pairs: Sequence[tuple[str, str]]) -> list[VideoEntry]:
    """Clips by their number: a folder of pictures of this name, or a film."""
    words = [word for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _WORDS]
    split = _WORDS[words[-1]] if words else ""
    films = {found.stem: found.name for found in folder.iterdir() if found.suffix.lower() in VIDEO_SUFFIXES}
    return [VideoEntry(folder / films.get(name, name), label, name, split) for name, label in pairs]
