"""Errors that a caller can mend.

Each carries a short machine-readable ``code`` and one sentence for a person. Bugs are never wrapped in these.
"""

from __future__ import annotations


class VizkitError(Exception):
    """Base of every error that the caller can mend.

    Args:
        message: one sentence that says what is wrong and what to do.
        code: a short stable word for programs, e.g. ``"unreadable"``.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class ClipError(VizkitError):
    """A clip that cannot be read, or that goes over a limit."""

    default_code = "unreadable"


class CheckpointError(VizkitError, ValueError):
    """Weights or a card that cannot be used."""

    default_code = "unreadable"


class SettingError(VizkitError, ValueError):
    """A setting, a name or a point outside what is allowed; the message lists what is allowed."""

    default_code = "setting"


class NotAvailableError(VizkitError):
    """A view that this network cannot give; the message says why."""

    default_code = "not_available"


class FigureError(VizkitError):
    """A figure that cannot be written as asked."""

    default_code = "figure"


class TrainingError(VizkitError):
    """A training run that cannot start or go on."""

    default_code = "training"


def unknown_name(kind: str, name: object, known: list[str] | tuple[str, ...]) -> SettingError:
    """Build the error for an unknown name; it lists the known ones."""
    return SettingError(f"Unknown {kind} {str(name)!r}. Known: {', '.join(sorted(known)) or 'none'}.", code="unknown_name")
