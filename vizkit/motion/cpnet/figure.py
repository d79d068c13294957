"""CPNet's picture (the paper's figure 5): a film strip with the feature change, and arrows from queries to their proposals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts import Settings
from vizkit.figure.spec import ColorBarKey, FigureSpec, HeatLayer, ImageLayer, Key, LegendKey, LinkLayer, Panel, PointLayer, Role, Table
from vizkit.motion.cpnet.analysis import Correspondences
from vizkit.motion.cpnet.blocks import draw_blocks
from vizkit.motion.cpnet.removal import Removal

WINNERS = (
    "rank", "to_t", "dx_px", "dy_px", "distance_squared", "channels_won", "win_share", "change_share", "probability_change",
    "probability_without", "label_without",
)  # fmt: skip
"""Columns of the table that say who won at one cell."""
FILTERED_OPACITY = 0.7
FAINTEST_WIN = 0.45
CHANGE = "feature change, L1 over channels"
LEGEND: dict[Role, str] = {
    "query": "picked cell",
    "filtered": "proposal, wins no channel (filtered)",
    "active": "proposal in the active set (wins a channel)",
    "proposal": "nearest neighbour (no module decides)",
}


class Look(Settings):
    """How the picture is drawn; nothing here changes a number."""

    layout: Literal["arrows", "blocks"] = "arrows"
    """``arrows``: proposals over the film strip; ``blocks``: features before and after each module of the network, and their change."""
    heat: bool = True
    """Lay the feature change over the frames."""
    heat_opacity: float = Field(0.5, ge=0, le=1)
    """Opacity of the feature change."""
    arrows: bool = True
    """Draw the arrows."""
    shown: int = Field(64, ge=1, le=64)
    """Arrows per query, nearest first."""
    columns: int = Field(4, ge=1, le=16)
    """Frames in a row; with ``blocks``, frames shown."""
    limits: dict[str, tuple[float, float]] = {}
    """Ends of the colour bar, by what is written on it, to draw several pictures on one scale; its own range where none are given."""


def draw(result: Correspondences, **look: object) -> FigureSpec:
    """Describe the picture of correspondences.

    Filtered arrows are drawn first, active ones on top; an active arrow is the
    more opaque the more live channels it wins (0.45 for none to 1 for the largest share in the figure).

    Args:
        result: from :func:`vizkit.motion.cpnet.analysis.analyze`.
        look: fields of :class:`Look`.

    Raises:
        SettingError: an unknown look; the message lists the known ones.
        NotAvailableError: blocks are asked for, and none is on in the run.
    """
    style = Look.parse(**look)
    if style.layout == "blocks":
        return draw_blocks(result, columns=style.columns, limits=style.limits)
    largest = _largest(result, style)
    heat = style.heat and largest > 0
    panels = tuple(_panel(result, frame, style, largest if heat else 0.0) for frame in range(len(result.clip.frames)))
    links = tuple(link for link in _links(result, style) if len(link.group)) if style.arrows else ()
    keys: tuple[Key, ...] = (LegendKey(tuple((role, LEGEND[role]) for role in _roles(links))),) if links else ()
    if heat:
        keys += (ColorBarKey(CHANGE, (0.0, largest), "inferno", "one scale for all frames", "feature change"),)
    return FigureSpec(
        title=f"Correspondence proposals at {result.block}",
        caption=_caption(result, style, heat),
        alt=_alt(result),
        panels=panels,
        links=links,
        keys=keys,
        notes=result.notes,
        provenance=result.provenance,
        arrays=result.arrays(),
        table=tabulate(result),
    )


def _largest(result: Correspondences, style: Look) -> float:
    """Feature change of the last colour."""
    return style.limits[CHANGE][1] if CHANGE in style.limits else float(result.change.max())


def _panel(result: Correspondences, frame: int, style: Look, largest: float) -> Panel:
    pixels = result.clip.frames[frame]
    layers: list[ImageLayer | HeatLayer | PointLayer] = [ImageLayer(pixels)]
    grid, step = result.change_grid, frame // result.change_grid.stride_frames
    if largest > 0 and step < len(result.change):
        layers.append(
            HeatLayer(
                result.change[step], grid.origin_px, grid.stride_px, (0.0, largest), "feature change", "L1", opacity=style.heat_opacity
            )
        )
    here = result.query[:, 0] * result.grid.stride_frames == frame
    if here.any():
        xy = result.grid.centre_px(result.query[here][:, :0:-1])
        label = tuple(
            f"query {number}: cell (t {t}, y {y}, x {x})" for number, (t, y, x) in zip(np.nonzero(here)[0], result.query[here], strict=True)
        )
        layers.append(PointLayer(xy, "query", label, "square", result.grid.stride_px, "queries"))
    return Panel(
        name=f"frame {frame}",
        title=f"t = {frame}   frame {result.clip.index[frame]}, {result.clip.times_s[frame]:.2f} s",
        size_wh=(pixels.shape[1], pixels.shape[0]),
        row=frame // style.columns,
        column=frame % style.columns,
        layers=tuple(layers),
        frame=frame,
    )


def _links(result: Correspondences, style: Look) -> list[LinkLayer]:
    """Filtered arrows, then active ones; one layer where no module decides."""
    shown = np.zeros_like(result.active)
    shown[:, : style.shown] = True
    if not result.decided:
        return [_link(result, shown, "proposal", np.full(result.active.shape, FILTERED_OPACITY, np.float32))]
    strength = FAINTEST_WIN + (1 - FAINTEST_WIN) * result.win_share / max(float(result.win_share.max()), 1e-12)
    faint = np.full(result.active.shape, FILTERED_OPACITY, np.float32)
    return [
        _link(result, shown & ~result.active, "filtered", faint),
        _link(result, shown & result.active, "active", strength.astype(np.float32)),
    ]


def _link(result: Correspondences, chosen: NDArray[np.bool_], role: Role, weight: NDArray[np.float32]) -> LinkLayer:
    query, rank = np.nonzero(chosen)
    start, end = result.query[query], result.proposal[query, rank]
    return LinkLayer(
        start_panel=start[:, 0] * result.grid.stride_frames,
        start_xy_px=result.grid.centre_px(start[:, :0:-1]),
        end_panel=end[:, 0] * result.grid.stride_frames,
        end_xy_px=result.grid.centre_px(end[:, :0:-1]),
        role=role,
        weight=weight[chosen],
        group=query.astype(np.int64),
        label=tuple(_label(result, int(q), int(r)) for q, r in zip(query, rank, strict=True)),
        head_px=result.grid.stride_px,
        name=LEGEND[role],
    )


def _label(result: Correspondences, query: int, rank: int) -> str:
    t, y, x = result.proposal[query, rank]
    where = f"query {query}, rank {rank + 1} -> cell (t {t}, y {y}, x {x}); squared distance {result.distance_squared[query, rank]:.4g}"
    if not result.decided:
        return where
    won = f"{where}; wins {result.channels_won[query, rank]:.3g} of {result.live_channels[query]} live channels"
    won += f", {result.change_share[query, rank]:.0%} of the change"
    if result.removal is None:
        return won
    return f"{won}; without it {100 * result.removal.probability_change[query, rank]:+.3g} points"


def _roles(links: tuple[LinkLayer, ...]) -> list[Role]:
    present = {link.role for link in links}
    ordered: tuple[Role, ...] = ("active", "filtered", "proposal")
    return [role for role in ordered if role in present]


def _caption(result: Correspondences, style: Look, heat: bool) -> str:
    source = result.provenance
    neighbors = result.proposal.shape[1]
    parts = [
        f"Correspondence proposals of {source.model} ({source.origin} weights) at {result.block}: for {len(result.query)} picked cells the "
        f"{neighbors} nearest neighbours in the other frames ({result.metric} metric, {result.grid.stride_px:g}-px cells)."
    ]
    if style.shown < neighbors:
        parts.append(f"The {style.shown} nearest are drawn.")
    if result.decided:
        parts.append("Red, solid: in the max-pool-active set over live channels; blue, dashed: filtered.")
    if result.removal is not None:
        parts.append(removal_words(result.removal))
    if heat:
        parts.append(f"Heat: L1 change of the features by the module, 0 to {_largest(result, style):.3g}, one scale for all frames.")
    parts.append(f"Source frames {', '.join(str(number) for number in result.clip.index)} of {source.clip}.")
    return " ".join(parts)


def removal_words(removal: Removal) -> str:
    """What leaving out one proposal at a time does to the prediction, in a sentence.

    Args:
        removal: of a result.
    """
    label, largest = removal.before.top(1)[0], 100 * float(np.abs(removal.probability_change).max())
    changed = int((removal.top_without != label.index).sum())
    return (
        f"Each proposal left out in turn moves {label.label!r} ({label.probability:.1%}) by up to {largest:.2g} points and changes the "
        f"label in {changed} of {removal.top_without.size} cases."
    )


def _alt(result: Correspondences) -> str:
    queries, neighbors, _ = result.proposal.shape
    found = f"{queries} picked cells with {neighbors} arrows each into other frames of a film strip of {len(result.clip.frames)} frames"
    return f"{found}; {int(result.active.sum())} of {result.active.size} are in the active set." if result.decided else f"{found}."


def tabulate(result: Correspondences) -> Table:
    """One row for each arrow: cells, pixels, distance, channels won, and what the network says without it where that was asked for."""
    columns: tuple[str, ...] = (
        "query", "rank", "from_t", "from_y", "from_x", "to_t", "to_y", "to_x", "from_x_px", "from_y_px", "to_x_px", "to_y_px",
        "dx_px", "dy_px", "frames_apart", "distance_squared", "active", "channels_won", "win_share", "change_share",
    )  # fmt: skip
    removal = result.removal
    columns += ("label", "label_without", "probability", "probability_without", "probability_change") if removal else ()
    rows = []
    for number, start in enumerate(result.query):
        from_px = result.grid.centre_px(start[:0:-1])
        for rank, end in enumerate(result.proposal[number]):
            to_px = result.grid.centre_px(end[:0:-1])
            rows.append((
                number, rank + 1, *(int(part) for part in (*start, *end)),
                *(float(part) for part in (*from_px, *to_px, *(to_px - from_px))), int((end[0] - start[0]) * result.grid.stride_frames),
                float(result.distance_squared[number, rank]), bool(result.active[number, rank]),
                float(result.channels_won[number, rank]), float(result.win_share[number, rank]),
                float(result.change_share[number, rank]), *(_without(removal, number, rank) if removal else ()),
            ))  # fmt: skip
    return Table(columns, tuple(rows))


def _without(removal: Removal, query: int, rank: int) -> tuple[str, str, float, float, float]:
    """The label with all proposals and without one, and the probabilities of the former."""
    label, change = removal.before.top(1)[0], float(removal.probability_change[query, rank])
    return label.label, removal.labels[removal.top_without[query, rank]], label.probability, label.probability + change, change


def tabulate_winners(result: Correspondences, query: int) -> Table:
    """The rows of one query, and of them what says who won.

    Args:
        result: from :func:`vizkit.motion.cpnet.analysis.analyze`.
        query: its number.
    """
    whole = tabulate(result)
    kept = [whole.columns.index(name) for name in WINNERS if name in whole.columns]
    rows = (row for row in whole.rows if row[0] == query)
    return Table(tuple(whole.columns[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in rows))


def no_difference(one: Correspondences, other: Correspondences, _look: Mapping[str, object]) -> str | None:
    """Why a difference of two feature changes would mean nothing; None where it means something."""
    if one.provenance.model_digest != other.provenance.model_digest:
        return "A feature change has the unit of the features, and those of two networks have none in common: no difference is drawn."
    if one.block != other.block:
        return f"A feature change has the unit of the features; {one.block} and {other.block} have none in common: no difference is drawn."
    return None
