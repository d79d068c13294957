"""A figure's recipe as words to paste: a command line, a Python script, BibTeX of the paper and of this tool."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import vizkit
from vizkit.catalog import module, params_of
from vizkit.contracts import Sampling, Settings
from vizkit.recipe import Recipe

OUT = "figure.pdf"
RECIPE = "figure.json"
WORLD = "world:"
ADJUST = "adjust"
"""Among a recipe's arguments: settings of blocks that no weight depends on."""


def command_line(recipe: Recipe, own: Sampling) -> str:
    """The command that draws a figure again.

    What the command line has no words for (layers that were set, a class map laid over, arguments of the network but for ``adjust``)
    stands in the recipe alone; the command then reads that, as ``figure.json``.

    Args:
        recipe: of the figure.
        own: the network's own sampling, which need not be said.
    """
    told = [*_pairs("--set", recipe.params, params_of(module(recipe.view))), *_pairs("--look", recipe.look, None)]
    told += _pairs("--adjust", _adjusted(recipe), None)
    told += _pairs("--sampling", _changed(recipe.sampling, own), None)
    if not _plain(recipe) or None in told:
        clip = [] if recipe.clip.name.startswith(WORLD) else ["--clip", _file(recipe.clip.name)]
        return shlex.join(["vizkit", "render", RECIPE, *clip, "--out", OUT])
    blocks = [word for block in recipe.without for word in ("--without", block)]
    points = [word for point in recipe.params.get("points", ()) for word in ("--point", ",".join(f"{value:g}" for value in point))]
    words = ["vizkit", "render", _file(recipe.clip.name), "--model", recipe.model, "--view", recipe.view]
    return shlex.join([*words, *filter(None, told), *points, *blocks, "--out", OUT])


def python_lines(recipe: Recipe, own: Sampling) -> str:
    """A script that draws a figure again.

    Args:
        recipe: of the figure.
        own: the network's own sampling, which need not be said.
    """
    name = recipe.clip.name
    opened = f"vizkit.world.clip_at({name!r}).clip" if name.startswith(WORLD) else f"vizkit.open_clip({name!r})"
    if recipe.class_map is not None or recipe.layers:
        lines = [f"clip = {opened}", f'figure = vizkit.load_recipe("{RECIPE}").run(clip)', f'vizkit.render(figure, "{OUT}")']
        return "\n".join(["import vizkit", "", *lines, ""])
    sampled, changed = "", _changed(recipe.sampling, own)
    if changed:
        sampled = f", sampling=network.sampling.model_copy(update={changed!r})"
    without = f", without={recipe.without!r}" if recipe.without else ""
    params = _arguments(_said(recipe.params, params_of(module(recipe.view))))
    arguments = {name: value for name, value in recipe.arguments.items() if name != ADJUST}
    adjusted = [f"network = adjust(network, {recipe.arguments[ADJUST]!r})"] if ADJUST in recipe.arguments else []
    lines = [
        f"clip = {opened}",
        f"network = vizkit.load_network({recipe.model!r}{_arguments(arguments)})",
        *adjusted,
        f"run = vizkit.probe(network, clip{sampled}{without})",
        f"result = vizkit.analyze({recipe.view!r}, run{params})",
        f'vizkit.render(vizkit.figure(result{_arguments(recipe.look)}), "{OUT}")',
    ]
    imported = ["from vizkit.net.adjust import adjust"] if adjusted else []
    return "\n".join(["import vizkit", *imported, "", *lines, ""])


def bibtex(view: str) -> str:
    """BibTeX of the paper behind a view, and of this tool."""
    tool = f"@software{{vizkit,\n  title = {{vizkit: a look inside video action recognition}},\n  version = {{{vizkit.__version__}}}\n}}\n"
    return f"{module(view).citation.bibtex(view)}\n{tool}"


def _file(name: str) -> str:
    """A file's name that is no option."""
    return f"./{name}" if name.startswith("-") else name


def _plain(recipe: Recipe) -> bool:
    return recipe.class_map is None and not recipe.layers and recipe.arguments.keys() <= {ADJUST}


def _adjusted(recipe: Recipe) -> dict[str, Any]:
    """Run-time settings of blocks that were changed, as ``--adjust`` names them."""
    changes: Mapping[str, Mapping[str, Any]] = recipe.arguments.get(ADJUST, {})
    return {f"{block}.{name}": value for block, values in changes.items() for name, value in values.items()}


def _said(values: Mapping[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """What is not at its default."""
    usual = kind.parse().model_dump(mode="json")
    return {name: value for name, value in values.items() if value != usual.get(name) and not (value in ((), []) and not usual.get(name))}


def _changed(sampling: Sampling, own: Sampling) -> dict[str, Any]:
    """What a sampling has otherwise than the network's own; the window's length is always that of the network where it is not said."""
    usual = own.model_copy().model_dump()
    fields = {name: getattr(sampling, name) for name in Sampling.model_fields}
    return {name: value for name, value in fields.items() if value != usual.get(name, getattr(own, name))}


def _pairs(option: str, values: Mapping[str, Any], kind: type[Settings] | None) -> list[str | None]:
    """``option key=value`` for every value; None stands for one that has no words."""
    said = values if kind is None else _said(values, kind)
    words: list[str | None] = []
    for name, value in said.items():
        if name != "points":
            words += [option, None if (text := _text(value)) is None else f"{name}={text}"]
    return words


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(entry, str | int | float) for entry in value):
        return ",".join(map(str, value))
    return None


def _arguments(values: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())
