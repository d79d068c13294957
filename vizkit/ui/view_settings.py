"""Controls of any view for pages that show several views: a few fields of its settings, with the choices that networks have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vizkit.catalog import look_of, module, params_of
from vizkit.ui import state
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.panels import Choice

if TYPE_CHECKING:
    from vizkit.net.network import Network

OWN = "own"
"""Of a block: the place that the view itself chooses, in each network its own."""
CONTROL_PX = 150
WORDS = {"neighbors": "k neighbours", "offset": "Frame offset", "raw": "Raw displacement", "cells": "Show cells", "smooth": "Smooth",
         "channels_shown": "Channels shown", "frames": "T, frames", "rank": "D, dimensions", "tvl1": "TV-L1",
         "rule": "Display rule", "patch": "K, patch", "heat": "Heat map"}  # fmt: skip


@dataclass(frozen=True)
class Offered:
    """What is offered of one view."""

    params: tuple[str, ...] = ()
    """Fields of its ``Params``."""
    look: tuple[str, ...] = ()
    """Fields of its ``Look``."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values to start from, where not the field's own."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """Values that a second setting starts from, so that two settings differ from the start."""
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values that are offered of a field, where fewer than it allows."""
    most: Mapping[str, int] = field(default_factory=dict)
    """Smaller upper limits."""


OFFERED: Mapping[str, Offered] = {
    "cpnet": Offered(("block", "neighbors", "metric"), ("heat", "arrows"), other={"metric": "spatiotemporal"}),
    "corrnet": Offered(
        ("block", "channel", "response", "channels_shown"),
        ("layout", "colors"),
        values={"layout": "response"},
        other={"response": "learned"},
        choices={"layout": ["response", "filters"]},
        most={"channels_shown": 16, "channel": 63},
    ),
    "dcf": Offered(
        ("source", "stages", "patch"),
        ("offset", "cells", "backdrop"),
        values={"patch": "5"},
        other={"patch": "7"},
        choices={"offset": [-2, -1, 1, 2], "patch": ["3", "5", "7", "9"]},
    ),
    "pwtp": Offered(("frames", "rank", "tvl1"), ("rule",), values={"tvl1": False}, other={"rule": "minmax"}),
    "kpsem": Offered(("block", "channels_shown"), ("arrows", "borders"), other={"channels_shown": 1}, most={"channels_shown": 8}),
    "gradcam": Offered(("stage", "target", "method"), ("values", "smooth"), other={"method": "layercam"}),
}
"""By view; a view that is not named is shown as it is by itself."""


def view_settings(
    view: str,
    networks: Sequence[Network],
    *,
    prefix: str,
    other: bool = False,
    without: Sequence[str] = (),
    free: bool = True,
    first: str = "",
) -> Choice:
    """Draw the controls of a view and read them.

    Args:
        view: name of the view.
        networks: those that it is shown for; stages, blocks and labels are offered that all of them have.
        prefix: starts the keys of the widgets.
        other: start from the values of a second setting.
        without: blocks that are switched off in one of the runs, so that they cannot be shown.
        free: offer each network's own place where a block can be chosen.
        first: the block to start with, where it can be chosen.

    Raises:
        SettingError: settings that do not go together.
    """
    offered, entry = OFFERED.get(view, Offered()), module(view)
    params, looks = params_of(entry), look_of(entry)
    choices = {**offered.choices, **_choices(view, networks, without, free=free)}
    values = {name: options[0] for name, options in choices.items() if name in ("block", "stage", "target")}
    values |= {"block": first} if first in choices.get("block", ()) else {}
    values |= {**offered.values, **_usual(view, networks[0], choices), **(offered.other if other else {})}

    def controls(kind: Any, names: Sequence[str]) -> dict[str, Any]:
        shown = [name for name in names if choices.get(name, True)]
        return settings_controls(
            kind, shown, values=values, choices=choices, most=offered.most, words=WORDS, prefix=prefix, width_px=CONTROL_PX
        )

    chosen, look = controls(params, offered.params), controls(looks, offered.look)
    if chosen.get("block") == OWN:
        del chosen["block"]
    chosen = changed(params, {**_silent(view), **chosen})
    if "points" in params.model_fields:
        chosen["points"] = state.points()[-params_limit(params) :] if state.points() else ()
    return Choice(params.parse(**chosen), changed(looks, look))


def params_limit(kind: Any) -> int:
    """How many points a view takes."""
    return int(kind.model_json_schema()["properties"]["points"].get("maxItems", 1))


def takes_points(view: str) -> bool:
    """Whether cells can be picked for a view."""
    return "points" in params_of(module(view)).model_fields


def _silent(view: str) -> dict[str, Any]:
    """What is left out here, since it takes long and is no part of what is compared."""
    return {"tvl1": False, "tvnet": False} if view == "pwtp" else {}


def _usual(view: str, network: Network, choices: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What the view starts from in this network."""
    if view != "dcf":
        return {}
    from vizkit.motion.dcf.analysis import dcf_blocks, first_stages

    blocks = dcf_blocks(network)
    own = [block.stage for block, _ in blocks] or first_stages(network)
    stages = [name for name in own if name in choices["stages"]]
    return {"stages": stages, "patch": str(blocks[0][1].patch)} if blocks else {"stages": stages}


def _choices(view: str, networks: Sequence[Network], without: Sequence[str], *, free: bool) -> dict[str, list[Any]]:
    """What all of the networks have, in the order of the first."""
    found: dict[str, list[Any]] = {}
    for name, of in _places(view).items():
        first, *rest = (of(network) for network in networks)
        found[name] = [place for place in first if place not in without and all(place in others for others in rest)]
    if "block" in found and free:
        found["block"].insert(0, OWN)
    return found


def _places(view: str) -> dict[str, Callable[[Network], list[Any]]]:
    """Field -> its choices in a network."""

    def stages(network: Network) -> list[Any]:
        return [stage.name for stage in network.stages]

    if view == "cpnet":
        from vizkit.motion.cpnet.analysis import places

        return {"block": places}
    if view == "corrnet":
        from vizkit.motion.corrnet.analysis import correlation_blocks

        return {"block": correlation_blocks}
    if view == "kpsem":
        from vizkit.motion.kpsem.analysis import kpsem_blocks

        return {"block": lambda network: [*kpsem_blocks(network), *stages(network)]}
    if view == "dcf":
        from vizkit.motion.dcf.analysis import dcf_blocks

        sources: Callable[[Network], list[Any]] = lambda network: ["cosine", "model"] if dcf_blocks(network) else ["cosine"]  # noqa: E731
        return {"stages": lambda network: [stage.name for stage in network.stages if stage.stride_px > 1], "source": sources}
    if view == "gradcam":
        deepest: Callable[[Network], list[Any]] = lambda network: stages(network)[::-1]  # noqa: E731
        return {"stage": deepest, "target": lambda network: ["predicted", *network.labels]}
    return {}
