"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vizkit.contracts import Sampling
    from vizkit.net.network import Network

Pairs = tuple[tuple[str, str], ...]
Point = tuple[int, float, float]


class PairType(click.ParamType[tuple[str, str]]):
    """``key=value``."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first ``=``."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not separator or not key.strip():
            self.fail(f"{value!r} is not of the form key=value.", param, ctx)
        return key.strip(), text.strip()


class PointType(click.ParamType[Point]):
    """``t,x,y``: sampled frame, model pixels."""

    name = "t,x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Point:
        """Read a frame number and two positions."""
        if isinstance(value, tuple):
            return value
        try:
            t, x, y = str(value).split(",")
            return int(t), float(x), float(y)
        except ValueError:
            self.fail(f"{value!r} is not of the form t,x,y, such as 3,56,40.", param, ctx)


model = click.option("--model", required=True, metavar="M", help="Checkpoint, folder with card.json, architecture, architecture:weights.")
"""Option ``--model``."""

sampling = click.option(
    "--sampling", "sampling", type=PairType(), multiple=True, help="Change how the clip is sampled, e.g. start_s=1.5. Repeatable."
)
"""Option ``--sampling``."""

adjust = click.option(
    "--adjust", "changes", type=PairType(), multiple=True,
    help="Change a setting of a block that no weight depends on, e.g. res3.1.neighbors=2. Repeatable.",
)  # fmt: skip
"""Option ``--adjust``."""


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a view: what is computed."""
    for option in (
        click.option("--without", multiple=True, metavar="BLOCK", help="Switch an inserted block off, e.g. res3.1. Repeatable."),
        click.option(
            "--point", "points", type=PointType(), multiple=True, help="Sampled frame and model pixels, e.g. 3,56,40. Repeatable."
        ),
        click.option("--set", "settings", type=PairType(), multiple=True, help="Parameter of the view, e.g. neighbors=8. Repeatable."),
    ):
        command = option(command)
    return command


def load(model: str, changes: Pairs) -> Network:
    """The network with the changes of ``--adjust``."""
    from vizkit.checkpoint import load_network
    from vizkit.net.adjust import adjust

    told: dict[str, dict[str, str]] = {}
    for place, value in changes:
        block, _, name = place.rpartition(".")
        if not block:
            raise click.UsageError(f"--adjust {place}={value} names no block: say BLOCK.SETTING=VALUE, such as res3.1.neighbors=2.")
        told.setdefault(block, {})[name] = value
    return adjust(load_network(model), told)


def params_of(settings: Pairs, points: tuple[Point, ...]) -> dict[str, Any]:
    """Parameters of a view from ``--set`` and ``--point``."""
    return {**dict(settings), **({"points": points} if points else {})}


def look_of(pairs: Pairs) -> dict[str, Any]:
    """How a view is drawn, from ``--look``: numbers and switches as such, as in the recipe of the same figure made elsewhere."""
    return {name: _typed(text) for name, text in pairs}


def _typed(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def sampling_of(network: Network, changes: Pairs) -> Sampling:
    """The network's sampling with the changes of ``--sampling``."""
    from vizkit.pipeline import parse_sampling

    return parse_sampling(network, changes)
