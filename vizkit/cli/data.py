"""The command about data sets that are not part of the project: where to get them, and whether a copy is the expected one."""

from __future__ import annotations

from pathlib import Path

import click

from vizkit.cli.output import as_json, echo_json, facts


@click.group()
def data() -> None:
    """Say where a data set is found that networks here were trained on, and check a copy of it."""


@data.command("ut-interaction")
@click.option("--folder", type=click.Path(path_type=Path), help="Where your copy lies, in folders of any name.")
@as_json
def ut_interaction(folder: Path | None, as_json: bool) -> int:
    """UT-Interaction: 120 clips of two people, six classes (handshake, hug, kick, point, punch, push), twenty sequences.

    By Ryoo and Aggarwal, for the ICPR contest SDHA 2010, for research. Its makers give it away on their page,
    https://cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html: fetch the segmented sets 1 and 2
    (ut-interaction_segmented_set1.zip and ..._set2.zip), unpack both under one folder, and name it with --folder. Exit
    status 1 if clips are missing there or have other bytes than those that the checkpoints were trained on.
    """
    from vizkit.learn.ut_interaction import ARCHIVES, CITATION, NAME, PAGE, TERMS, check_copy, ut_clips

    clips = ut_clips()
    told: dict[str, object] = {
        "name": NAME, "page": PAGE, "archives": list(ARCHIVES), "terms": TERMS, "citation": CITATION, "clips": len(clips),
        "classes": sorted({clip.label for clip in clips}), "sequences": len({clip.sequence for clip in clips}),
    }  # fmt: skip
    check = None if folder is None else check_copy(folder)
    if check is not None:
        told |= {"folder": check.folder, "found": check.found, "missing": list(check.missing), "different": list(check.different)}
    if as_json:
        echo_json(told)
    else:
        click.echo(facts(told))
    return int(check is not None and not check.complete)
