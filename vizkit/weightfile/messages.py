"""What people are told about files of weights: one table of refusals, one of warnings."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from vizkit.errors import CheckpointError

LINE_CHARACTERS = 160
KEY_CHARACTERS = 40
SHOWN_KEYS = 5

CONVERT = "Convert it where it was made: safetensors.torch.save_file(model.state_dict(), 'w.safetensors')."
FETCH = "Fetch or save it again."

REFUSALS: dict[str, tuple[str, str, str]] = {
    "missing": ("missing", "there is no such file", "Check the path."),
    "large_file": ("size", "larger than {file_mb} MB", "Save the weights alone, without the optimizer."),
    "unreadable": ("unreadable", "damaged, or no file of weights", FETCH),
    "crashed": ("unreadable", "the loader broke down on this file", FETCH),
    "too_slow": ("too_slow", "loading takes longer than {wall_s:g} s", CONVERT),
    "stopped": ("size", "loading was stopped by the system, most likely for want of memory", CONVERT),
    "foreign": ("keys", "it holds more than weights: {what}", CONVERT),
    "checksum": ("checksum", "{what} is not what its checksum says", FETCH),
    "card": ("checksum", "not the file that its card describes", FETCH),
    "unsafe": ("unsafe", "it asks for {what}, which weights never need; nothing of it was run", CONVERT),
    "layout": ("layout", "a tensor is sparse, quantized or without numbers", CONVERT),
    "unpacks": ("size", "it unpacks to more than it holds", CONVERT),
    "declares": ("size", "a tensor is declared larger than the file or {tensor_mb} MB", CONVERT),
    "too_many": ("too_many", "more than {tensors} tensors", CONVERT),
    "not_a_state_dict": ("not_a_state_dict", "no table of names and tensors{what}", CONVERT),
    "no_tensors": ("keys", "it holds no tensors", "Save model.state_dict()."),
    "keys": ("keys", "the keys are not this network's: {what}", "Pick the architecture they were made for."),
    "strange_keys": ("keys", "{what}", "Pick the architecture they were made for."),
    "classes": ("classes", "it has {found} classes, but {expected} are expected", "Give the label file it was trained with."),
    "shape": ("shape", "{what} has shape {found}, expected {expected}", "Pick the architecture it was made for."),
    "dtype": ("dtype", "{what} holds {found}, expected {expected}", "Save it in floating point."),
    "not_finite": ("not_finite", "{what} holds NaN or infinite values", "Choose an earlier checkpoint."),
}
"""Reason -> (code, what is wrong, what to do)."""

WARNINGS: dict[str, str] = {
    "overflow": "{what} holds values up to {largest:.0e}: results will overflow",
    "constant": "every weight tensor holds one and the same value: every map will be blank",
    "dtype": "{what} weights were converted to the module's type",
}
"""Code -> one sentence, without the full stop; in the order in which they are told."""


def shown_key(key: object) -> str:
    """A key or a name from a file as text that is safe to show: one line, no control characters, <= 40 characters."""
    text = "".join(letter for letter in str(key)[:200] if unicodedata.category(letter)[0] != "C")
    return text if len(text) <= KEY_CHARACTERS else f"{text[: KEY_CHARACTERS // 2 - 1]}…{text[-KEY_CHARACTERS // 2 :]}"


def shown_keys(keys: Sequence[str], most: int = SHOWN_KEYS) -> str:
    """The first of many keys."""
    return ", ".join(shown_key(key) for key in keys[:most])


def keys_refusal(name: str, missing: Sequence[str], unexpected: Sequence[str]) -> CheckpointError:
    """Build the error for keys that are not the network's; as many of them are shown as the line holds, five at most."""
    kinds = [(keys, kind) for keys, kind in ((missing, "missing"), (unexpected, "unexpected")) if keys]

    def told(most: int) -> str:
        return " and ".join(f"{len(keys)} {kind} ({shown_keys(keys, most)})" for keys, kind in kinds)

    room = LINE_CHARACTERS - len(refusal(name, "keys", what="").message.partition(" (keys).")[0]) - len(" (keys).")
    what = next((told(most) for most in range(SHOWN_KEYS, 0, -1) if len(told(most)) <= room), "")
    return refusal(name, "keys", what=what or " and ".join(f"{len(keys)} {kind}" for keys, kind in kinds))


def refusal(name: str, reason: str, **facts: Any) -> CheckpointError:
    """Build the error for a file that is not taken; the advice gives way where the line gets longer than 160 characters.

    Args:
        name: the file's name.
        reason: a key of :data:`REFUSALS`.
        facts: what the sentence mentions.
    """
    code, what, advice = REFUSALS[reason]
    told = f"{shown_key(name)}: {what.format(**facts)}"
    room = LINE_CHARACTERS - len(f" ({code}).")
    line = f"{told if len(told) <= room else told[: room - 1] + '…'} ({code})."
    return CheckpointError(f"{line} {advice}" if len(line) + len(advice) < LINE_CHARACTERS else line, code=code)


def warning_line(name: str, code: str, **facts: Any) -> str:
    """Say what is odd about a file in one line; ``code`` is a key of :data:`WARNINGS`."""
    return f"{shown_key(name)}: {WARNINGS[code].format(**facts)} ({code})."
