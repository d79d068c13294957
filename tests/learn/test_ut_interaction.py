"""UT-Interaction: the table that ships, and how a copy is checked."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from vizkit.cli.data import data
from vizkit.errors import SettingError
from vizkit.learn.listing import divide
from vizkit.learn.ut_interaction import check_copy, ut_clips, ut_listing

CODES = {"0": "handshake", "1": "hug", "2": "kick", "3": "point", "4": "punch", "5": "push"}


def empty_copy(folder: Path) -> Path:
    """All names, no contents."""
    for place, clip in enumerate(ut_clips()):
        home = folder / ("segmented_set1" if place < 60 else "deeper/set2")
        home.mkdir(parents=True, exist_ok=True)
        (home / clip.file).write_bytes(b"")
    return folder


def test_the_table_is_the_data_set() -> None:
    clips = ut_clips()
    assert len({clip.file for clip in clips}) == len({clip.sha256 for clip in clips}) == 120
    for clip in clips:
        _, sequence, code = Path(clip.file).stem.split("_")
        assert (clip.sequence, clip.label) == (sequence, CODES[code])
    assert len({clip.sequence for clip in clips}) == 20
    assert set(Counter(clip.label for clip in clips).values()) == {20}
    for fold in range(5):
        inside, outside = ({clip.sequence for clip in clips if (clip.fold == fold) == here} for here in (True, False))
        assert len(inside) == 4
        assert not inside & outside
    assert {clip.sequence for clip in clips if clip.split == "test"} == {"9", "10", "19", "20"}
    assert {clip.sequence for clip in clips if clip.split == "val"} == {"4", "14"}


def test_a_copy_is_listed_wherever_its_clips_lie(tmp_path: Path) -> None:
    listing = ut_listing(empty_copy(tmp_path))
    assert listing.labels == tuple(sorted(CODES.values()))
    train, test = divide(listing, fold=4)
    assert (len(train), len(test)) == (96, 24)
    assert {entry.group for entry in test} == {f"sequence {number}" for number in (9, 10, 19, 20)}
    train, test = divide(listing)
    assert (len(train), len(test)) == (84, 24)


def test_a_copy_is_compared_byte_by_byte(tmp_path: Path) -> None:
    check = check_copy(empty_copy(tmp_path))
    assert (check.found, len(check.missing), len(check.different), check.complete) == (0, 0, 120, False)
    (tmp_path / "segmented_set1" / "0_1_4.avi").unlink()
    assert check_copy(tmp_path).missing == ("0_1_4.avi",)
    with pytest.raises(SettingError, match="1 of the 120 clips"):
        ut_listing(tmp_path)
    with pytest.raises(SettingError, match="folder is"):
        check_copy(tmp_path / "nowhere")


def test_the_command_says_where_it_is_and_what_is_missing(tmp_path: Path) -> None:
    told = CliRunner().invoke(data, ["ut-interaction"], standalone_mode=False)
    assert "https://cvrc.ece.utexas.edu/SDHA2010" in told.output
    assert not told.return_value
    told = CliRunner().invoke(data, ["ut-interaction", "--folder", str(tmp_path), "--json"], standalone_mode=False)
    assert len(json.loads(told.output)["missing"]) == 120
    assert told.return_value == 1


@pytest.mark.media
def test_the_real_copy_is_the_one_of_the_table(media: Path, tmp_path: Path) -> None:
    folder = media / "data" / "ut_interaction"
    check = check_copy(folder)
    assert check.complete
    assert check.found == 120
    rows = {Path(row["path"]).name: row for row in csv.DictReader((folder / "manifest.csv").open(encoding="utf-8"))}
    for clip in ut_clips():
        row = rows[clip.file]
        assert (clip.label, clip.sequence, clip.fold, clip.split, clip.frames) == (
            row["label"], row["sequence"], int(row["fold5"]), row["split"], int(row["frames"])
        )  # fmt: skip
    for path in folder.rglob("*.avi"):
        (tmp_path / path.name).symlink_to(path)
    content = bytearray((tmp_path / "0_1_4.avi").read_bytes())
    content[-1] ^= 1
    (tmp_path / "0_1_4.avi").unlink()
    (tmp_path / "0_1_4.avi").write_bytes(content)
    assert check_copy(tmp_path).different == ("0_1_4.avi",)
