"""What the regions' crosses look like, and the words that KPSEM's pictures have in common."""

from __future__ import annotations

from vizkit.figure.spec import LegendKey, Marker, Role
from vizkit.motion.kpsem.analysis import KeyPointShifts
from vizkit.motion.kpsem.module import side_of

CROSS_SHARE = 8 / 224
"""Side of a cross over the frame's shorter side: 8 px of 224."""
ROLES: tuple[Role, ...] = ("region_1", "region_2", "region_3", "region_4")
MARKERS: tuple[Marker, ...] = ("cross", "plus", "star", "fork")


def region_mark(region: int, regions: int) -> tuple[Role, Marker]:
    """Colour and shape of a region's crosses, no two alike.

    Up to four regions have a colour and a shape each: red diagonal crosses at the top left, yellow upright ones at the top right, white
    ones of six arms at the bottom left, cyan ones of three at the bottom right. Nine or sixteen have the colour of their column and the
    shape of their row, both in that order.
    """
    side = side_of(regions)
    row, column = divmod(region, side)
    return (ROLES[region], MARKERS[region]) if side <= 2 else (ROLES[column], MARKERS[row])


def region_legend(result: KeyPointShifts) -> LegendKey:
    """The legend of the regions' crosses.

    Args:
        result: key points.
    """
    marks = [region_mark(region, result.regions) for region in range(result.regions)]
    names = tuple((role, result.region_name(region)) for region, (role, _) in enumerate(marks))
    return LegendKey(names, kind="point", markers=tuple(marker for _, marker in marks))


def block_words(result: KeyPointShifts) -> str:
    """Which block or stage of which network.

    Args:
        result: key points.
    """
    what = "the KPSEM block" if result.learned else "stage"
    return f"{what} {result.block} of {result.provenance.model} ({result.provenance.origin} weights)"


def channel_words(result: KeyPointShifts) -> str:
    """The channels shown, and how they were chosen.

    Args:
        result: key points.
    """
    named = ", ".join(map(str, result.channels))
    return named if result.params.channels else f"{named} (largest mean of region weight x value)"


def set_words(result: KeyPointShifts) -> str:
    """Which set of separation centres is shown.

    Args:
        result: key points.
    """
    return f"set {result.params.set_shown} of {len(result.value)}" if result.learned else "equal regions"


def frame_words(result: KeyPointShifts) -> str:
    """The source frames of the steps, as a sentence.

    Args:
        result: key points.
    """
    stride = result.grid.stride_frames
    shown = result.clip.index[: result.grid.shape[0] * stride : stride]
    every = f" (one for every {stride} that the network sees)" if stride > 1 else ""
    return f"Source frames {', '.join(map(str, shown))}{every} of {result.provenance.clip}."
