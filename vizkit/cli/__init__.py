"""The command line: ``python -m vizkit COMMAND``. Every command imports what it needs when it runs."""

from __future__ import annotations

import click

import vizkit
from vizkit.cli.checks import doctor, score
from vizkit.cli.claims import reproduce
from vizkit.cli.command_line import CommandLine
from vizkit.cli.data import data
from vizkit.cli.folds import folds
from vizkit.cli.making import train, world
from vizkit.cli.stock import inspect, models
from vizkit.cli.views import analyze, predict, render
from vizkit.cli.worth import worth


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(vizkit.__version__, prog_name="vizkit", message="%(prog)s %(version)s")
def main() -> None:
    """Look inside video classifiers that learn motion.

    Exit status: 0 done; 1 a check or a claim failed; 2 something that you can mend (one line on standard error says what).
    """


for command in (predict, analyze, render, models, inspect, world, score, reproduce, train, worth, folds, data, doctor):
    main.add_command(command)
