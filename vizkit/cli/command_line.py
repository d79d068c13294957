"""How a command ends: its exit status, and one line for an error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from vizkit.atomic import FULL
from vizkit.cli.output import echo_json
from vizkit.errors import VizkitError
from vizkit.harmless import visible

MENDABLE = 2
INTERRUPTED = 130


class CommandLine(click.Group):
    """A group that tells every error that the caller can mend in one line, and leaves bugs loud.

    A command returns its exit status; None stands for 0.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands in the order in which they are told."""
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **settings: Any) -> NoReturn:  # type: ignore[override]
        """Run a command and leave the process.

        Args:
            args: the arguments; those of the process when None.
            prog_name: name of the program in the help.
            settings: further settings of :meth:`click.Group.main`.
        """
        logging.getLogger("vizkit").addHandler(logging.NullHandler())  # the one line says it; nothing beside it
        given = list(sys.argv[1:] if args is None else args)
        try:
            status = super().main(given, prog_name, **{**settings, "standalone_mode": False})
        except VizkitError as error:
            status = _tell(error.code, error.message, given)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            status = MENDABLE
        except click.ClickException as error:
            status = _tell("usage", error.format_message(), given)
        except OSError as error:
            if error.errno not in FULL:
                raise
            where = error.filename or "the temporary folder"
            again = "What was finished before is whole: make room and run the same command again (train: with --resume)."
            status = _tell("disk_full", f"There is no room left for {where}. {again}", given)
        except click.Abort:
            status = INTERRUPTED
        sys.exit(status or 0)


def _tell(code: str, message: str, given: Sequence[str]) -> int:
    """One line on standard error, and with ``--json`` one document on standard output."""
    if "--json" in given:
        echo_json({"error": {"code": code, "message": message}})
    click.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    return MENDABLE
