"""What people are told: one table of refusals, one of warnings, and how a name may be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from vizkit.contracts import ClipWarning
from vizkit.errors import ClipError

NAME_CHARACTERS = 80
LINE_NAME_CHARACTERS = 40

SAVE_AGAIN = "Save it again, as MP4 (H.264) for instance."

REFUSALS: dict[str, tuple[str, str, str]] = {
    "missing": ("missing", "there is no such file", "Check the path."),
    "empty": ("empty", "the file is empty", "Save or upload it again."),
    "suffix": ("type_not_allowed", "this kind of file is not read", "Use mp4, mov, avi, mkv, webm, gif, npz, or a zip of pictures."),
    "source": ("type_not_allowed", "a {type} is no clip", "Give a path, bytes, a file object, a folder or a uint8 array."),
    "unreadable": ("unreadable", "the file is damaged or holds no video", SAVE_AGAIN),
    "not_a_file": ("unreadable", "this is neither a file nor a folder", "Give the path of a video."),
    "not_bytes": ("unreadable", "the file object gives text", "Open it in binary mode."),
    "no_permission": ("unreadable", "the file may not be read", "Change its permissions."),
    "picture": ("unreadable", "picture {number} cannot be decoded", "Remove it or save it again as PNG."),
    "archive": ("unreadable", "the archive is damaged, encrypted or holds unsafe names", "Pack the pictures again, plainly."),
    "array_type": ("unreadable", "the array is {dtype} {shape}, not uint8 [N, H, W, 3]", "Convert it first, to 0..255."),
    "array_times": ("unreadable", "times_s is not one finite, ascending number per frame", "Correct or remove it."),
    "array_file": ("unreadable", "the file holds no plain array of numbers", "Write it by numpy.savez(file, frames=frames)."),
    "no_video_stream": ("no_video_stream", "the file holds no moving pictures", "Choose a video."),
    "codec_not_allowed": ("codec_not_allowed", "its codec is not read", "Convert it to H.264."),
    "no_frames": ("no_frames", "no picture could be decoded", SAVE_AGAIN),
    "no_pictures": ("no_frames", "it holds no PNG, JPEG, BMP, WebP or TIFF pictures", "Put the frames there, one file each."),
    "too_small": ("too_small", "the picture is smaller than {side_min_px} pixels", "Use a larger picture."),
    "too_large_file": ("too_large", "it is larger than {file_mb} MB", "Cut the clip or compress it more."),
    "too_large_picture": ("too_large", "a picture is larger than {side_px} pixels a side or {frame_mpx} megapixels", "Make it smaller."),
    "too_large_memory": ("too_large", "decoding needs more than {memory_mb} MB of memory", "Make the picture smaller."),
    "too_large_archive": ("too_large", "the archive unpacks to too much", "Use fewer or smaller pictures, or a video."),
    "too_large_array": ("too_large", "the array holds more than {read_mb} MB of pixels", "Write it as a video."),
    "too_large_read": ("too_large", "these frames hold more than {read_mb} MB of pixels", "Read fewer at a time, or sample them smaller."),
    "too_slow": ("too_slow", "decoding takes longer than {wall_s:g} s", "Cut the clip or make its picture smaller."),
    "crashed": ("crashed", "the decoder broke down on this file", SAVE_AGAIN),
    "stopped": ("too_large", "the decoder was stopped by the system, most likely for want of memory", "Make the clip smaller."),
    "changed": ("changed", "the file has changed since it was opened", "Open it again."),
    "disk_full": ("disk_full", "the temporary folder has no room left", "Make room there and try again."),
}
"""Reason -> (code, what is wrong, what to do)."""

WARNINGS: dict[str, str] = {
    "short_read": "the file breaks off: {declared} frames are declared, {frames} could be read",
    "corrupt_frames": "{corrupt} of {frames} frames are marked as damaged, with {errors} decoding errors: they may show garbage",
    "count_mismatch": "{declared} frames are declared, {frames} were read: indices count those that were read",
    "frame_budget": "{what}: cut out the part you need",
    "timestamps": "some time stamps are missing, repeated, out of order or far apart: check the times shown",
    "times_assumed": "no usable times are given: {fps:g} frames per second are assumed",
    "vfr": "the frame rate varies: frames are chosen by their own times",
    "odd_fps": "{what}: check the times shown",
    "streams": "there are {streams} picture streams: the first one is used",
    "size_change": "the picture size changes within the clip: every frame is scaled to the first one's",
    "rotation": "the picture is tagged as turned by {rotation} degrees: it is shown unturned",
    "hdr": "the colours are HDR ({transfer}) and are not converted: they look pale",
    "repeated_frames": "{wanted} frames are wanted of a window that gives {frames} different ones: some are repeated",
    "frames_reversed": "the frames run backwards",
    "frames_shuffled": "the frames stand in a random order: what is seen of motion is not the clip's",
    "frames_frozen": "one frame stands for all of them: nothing moves",
    "too_short": "the clip has {what}: sampling repeats what is there",
    "aspect": "the picture is {width}x{height}: a centred crop keeps little of it",
    "small_picture": "the picture is only {width}x{height} pixels",
    "downscaled": "only {whole} whole frames can be read at once: they are scaled down while they are sampled",
}
"""Code -> one sentence, without the full stop; in the order in which they are told."""


def shown_name(name: str) -> str:
    """Turn a name that somebody chose into text that is safe to show: no path, no control characters, <= 80 characters."""
    last = name.replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    text = unicodedata.normalize("NFC", last)
    text = "".join(letter for letter in text if unicodedata.category(letter)[0] != "C").strip()
    if len(text) > NAME_CHARACTERS:
        text = text[: NAME_CHARACTERS - 8] + "…" + text[-7:]
    return text if text.strip(".") else "clip"


def _shortened(name: str) -> str:
    """Cut a shown name so that a whole line stays within 160 characters."""
    return name if len(name) <= LINE_NAME_CHARACTERS else name[: LINE_NAME_CHARACTERS - 8] + "…" + name[-7:]


def refusal(name: str, reason: str, **facts: Any) -> ClipError:
    """Build the error for a clip that is not taken.

    Args:
        name: the clip's shown name.
        reason: a key of :data:`REFUSALS`.
        facts: what the sentence mentions.
    """
    code, what, advice = REFUSALS[reason]
    return ClipError(f"{_shortened(name)}: {what.format(**facts)} ({code}). {advice}", code=code)


def warning(code: str, **facts: Any) -> ClipWarning:
    """Build a warning; ``code`` is a key of :data:`WARNINGS`."""
    sentence = WARNINGS[code].format(**facts)
    return ClipWarning(code, sentence[0].upper() + sentence[1:] + ".")


def told(warnings: Sequence[ClipWarning]) -> tuple[ClipWarning, ...]:
    """Put warnings into the order of :data:`WARNINGS`: the gravest first."""
    order = list(WARNINGS)
    return tuple(sorted(warnings, key=lambda entry: order.index(entry.code)))


def warning_line(name: str, entry: ClipWarning) -> str:
    """Say a warning about a clip in one line."""
    return f"{_shortened(name)}: {entry.message[0].lower()}{entry.message[1:-1]} ({entry.code})."
