"""UT-Interaction: where a user gets it, and whether a copy is the one that networks were trained and measured on.

The clips themselves are not part of this project; the table beside this file names them, with their sizes and digests.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from vizkit.contracts import Record
from vizkit.digest import digest_file
from vizkit.errors import SettingError
from vizkit.learn.listing import Listing, VideoEntry, listing_of

NAME = "ut-interaction"
PAGE = "https://cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html"
ARCHIVES = ("ut-interaction_segmented_set1.zip", "ut-interaction_segmented_set2.zip")
TERMS = "for research"
CITATION = "Ryoo and Aggarwal, UT-Interaction Dataset, ICPR contest on Semantic Description of Human Activities (SDHA), 2010"
TABLE = "ut_interaction.csv"


@dataclass(frozen=True, repr=False)
class UtClip(Record):
    """One of the 120 clips."""

    file: str
    """Its name, ``NUMBER_SEQUENCE_CLASS.avi``; no two clips share one."""
    label: str
    """Its class."""
    sequence: str
    """The recording it was cut from: one pair of people in one place."""
    fold: int
    """One of five folds; a sequence lies in one of them as a whole."""
    split: str
    """``"train"``, ``"val"`` (sequences 4 and 14) or ``"test"`` (9, 10, 19, 20)."""
    frames: int
    """Number of frames."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Digest of the file."""


@dataclass(frozen=True, repr=False)
class UtCheck(Record):
    """What a copy of the data set is."""

    folder: str
    """Where it was looked for."""
    found: int
    """Clips whose bytes are the expected ones."""
    missing: tuple[str, ...]
    """Clips that are not there."""
    different: tuple[str, ...]
    """Clips with other bytes: another encoding or a damaged file."""

    @property
    def complete(self) -> bool:
        """Whether all clips are there and are the expected ones."""
        return not self.missing and not self.different


@cache
def ut_clips() -> tuple[UtClip, ...]:
    """The 120 clips of the segmented sets 1 and 2: six classes, twenty sequences."""
    rows = csv.DictReader((files("vizkit.learn") / TABLE).read_text(encoding="utf-8").splitlines())
    return tuple(
        UtClip(
            row["file"], row["label"], row["sequence"], int(row["fold"]), row["split"], int(row["frames"]), int(row["bytes"]), row["sha256"]
        )
        for row in rows
    )


def check_copy(folder: Path) -> UtCheck:
    """Compare a copy with the table, byte by byte.

    Args:
        folder: holds the clips, in folders of any name.

    Raises:
        SettingError: there is no such folder.
    """
    there = _there(folder)
    missing = tuple(clip.file for clip in ut_clips() if clip.file not in there)
    different = tuple(clip.file for clip in ut_clips() if clip.file in there and not _same(there[clip.file], clip))
    return UtCheck(str(folder), len(ut_clips()) - len(missing) - len(different), missing, different)


def ut_listing(folder: Path) -> Listing:
    """The clips of a copy, grouped by sequence.

    Raises:
        SettingError: there is no such folder, or clips are missing in it.
    """
    there = _there(folder)
    missing = [clip.file for clip in ut_clips() if clip.file not in there]
    if missing:
        raise SettingError(
            f"{folder}: {len(missing)} of the {len(ut_clips())} clips of UT-Interaction are not there ({missing[0]} is the first). "
            "`vizkit data ut-interaction --folder DIR` says where to get them and checks a copy.",
            code="missing",
        )
    entries = [VideoEntry(there[clip.file], clip.label, f"sequence {clip.sequence}", clip.split, clip.fold) for clip in ut_clips()]
    return listing_of(NAME, entries)


def _there(folder: Path) -> dict[str, Path]:
    """Clips by name, wherever they lie under a folder: archives unpack into folders of several names."""
    if not folder.is_dir():
        where = "`vizkit data ut-interaction --help` says where to get it"
        raise SettingError(f"folder is {str(folder)!r}; give the folder that holds UT-Interaction ({where}).", code="missing")
    return {path.name: path for path in sorted(folder.rglob("*.avi"), reverse=True)}


def _same(path: Path, clip: UtClip) -> bool:
    return path.stat().st_size == clip.bytes and digest_file(path) == clip.sha256
