"""Any ``torch.nn.Module`` that maps clips to classes as a :class:`Network`: its stages are found by a dry run."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import nn

from vizkit.contracts import Axes, Sampling, Stage
from vizkit.errors import SettingError, VizkitError
from vizkit.net.network import Network
from vizkit.net.probe import one_clip
from vizkit.net.receptive import Places, PlaceTrace, first

ORDERS: dict[int, tuple[Axes, ...]] = {5: ("BCTHW", "BTHWC"), 4: ("FCHW",), 3: ("BNC",)}
"""Number of a map's axes -> the orders that they may have."""

ROUNDING = 1e-3
"""Cells that far off a straight line (in strides) are on it."""

SHOWN_CHILDREN = 12


def wrap(
    module: nn.Module,
    *,
    stages: Mapping[str, str],
    sampling: Sampling,
    mean: Sequence[float],
    std: Sequence[float],
    labels: Sequence[str] | None = None,
) -> Network:
    """Make a network of a module of one's own, so that it can be probed, drawn and compared like any other.

    Each stage's channels, order of axes, strides and origin are found by a dry run on a clip of the sampling's size, on shapes
    alone where the module allows it: :class:`vizkit.net.receptive.PlaceTrace` follows which pixels a cell looks at. Where an
    operation hides that, cells are taken for patches that tile the frame: stride = side of the frame / cells of the map, origin =
    (stride - 1) / 2. An axis with one cell has the whole side for a stride. A stage's maps may be [B, C, T, H, W],
    [B, T, H, W, C], frames folded into the batch [B*T, C, H, W], or a tuple of tokens [B, N, C] (class token first) and (T, H, W).

    Args:
        module: maps clips [B, 3, T, H, W] to logits [B, classes]. The network holds a float32 copy in eval mode: the module itself,
            its mode and its hooks stay as they are, and training it on does not change the network.
        stages: name of a stage -> path of the submodule that gives its map, e.g. ``{"res2": "layer1", "res3": "layer2"}``.
        sampling: how clips are sampled for it.
        mean: of the input, RGB in [0, 1].
        std: standard deviation of the input.
        labels: names of the classes; ``"class 0"``, ... when None.

    Returns:
        A network with origin "own", named after the module's class, its stages in the order in which they run.

    Raises:
        SettingError: no module, or no table of stages; a stage that does not exist, is not run or gives no map with square
            cells; a module that does not run on such a clip or gives no logits; labels, mean or std of another length.
    """
    name = type(module).__name__
    accepted = (("module", module, nn.Module, "a torch.nn.Module"), ("stages", stages, Mapping, "a table such as {'res2': 'layer1'}"))
    for what, given, base, words in accepted:
        if not isinstance(given, base):
            raise SettingError(f"{what} is of type {type(given).__name__}, but {words} is accepted.", code=what)
    if not stages:
        raise SettingError(f"stages is empty: name at least one submodule of {name}, e.g. stages={{'res2': 'layer1'}}.", code="stages")
    for kind, values in (("mean", mean), ("std", std)):
        if len(values) != 3 or not all(torch.isfinite(torch.tensor(value)) for value in values) or (kind == "std" and min(values) <= 0):
            raise SettingError(f"{kind} is {values!r}; three numbers are needed, for RGB in [0, 1]{' and above 0' * (kind == 'std')}.")
    for stage, path in stages.items():
        _check_path(module, name, stage, path)
    own = _own_copy(module, name)
    side = sampling.crop_px or min(sampling.resize_hw or (sampling.short_side_px,))
    found, classes = dry_run(own, name, stages, (sampling.total_frames, side, side))
    told = tuple(f"class {number}" for number in range(classes)) if labels is None else tuple(labels)
    if len(told) != classes or isinstance(labels, str):
        raise SettingError(f"labels has {len(told)} names, but {name} gives {classes} classes; give one name for each.", code="labels")
    return Network(name, name, own, found, (), told, sampling, tuple(mean), tuple(std), "own")  # type: ignore[arg-type]


def _check_path(module: nn.Module, name: str, stage: str, path: str) -> None:
    known = {known: part for known, part in module.named_modules() if known}
    if path in known:
        return
    near = difflib.get_close_matches(path, known, n=3)
    parent = path.rpartition(".")[0]
    inside = known.get(parent, module)
    children = [f"{parent}.{child}" if inside is not module else child for child, _ in inside.named_children()][:SHOWN_CHILDREN]
    hint = f"Near: {', '.join(near)}. " if near else ""
    raise SettingError(
        f"Stage {stage!r}: {name} has no submodule {path!r}. {hint}Known{' there' if inside is not module else ''}: {', '.join(children)}.",
        code="stages",
    )


def _own_copy(module: nn.Module, name: str) -> nn.Module:
    try:
        own = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise SettingError(f"{name} cannot be copied, which every probe has to do: {_line(error)}.", code="copy") from error
    return own.float().eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------ the dry run


class Seen(NamedTuple):
    """What a submodule gave in a dry run."""

    output: Any
    """The output itself."""
    places: Places | None
    """Where its elements look, if that could be followed."""


class Located(NamedTuple):
    """A map and its geometry."""

    axes: Axes
    """Order of its axes."""
    channels: int
    """Number of channels."""
    stride: tuple[float, float, float]
    """(t, y, x) frames, pixels, pixels from cell to cell."""
    origin_yx: tuple[float, float]
    """Centre of cell 0 in pixels."""
    exact: bool
    """Followed through the network; False for patches that are supposed to tile the frame."""


def dry_run(module: nn.Module, name: str, stages: Mapping[str, str], clip_shape: tuple[int, int, int]) -> tuple[tuple[Stage, ...], int]:
    """Find the geometry of a module's maps on a clip of (T, H, W); the module is left as it is.

    Args:
        module: in eval mode.
        name: what messages call it.
        stages: name -> path.
        clip_shape: frames, height and width; a square.

    Returns:
        The stages in the order in which they run, and the number of classes.

    Raises:
        SettingError: as in :func:`wrap`.
    """
    try:
        seen, logits = _watch(_on_shapes(module), set(stages.values()), torch.empty(1, 3, *clip_shape, device="meta"))
        whole = all(path in seen and _is_exact(seen[path], clip_shape) for path in stages.values())
    except Exception:  # whatever a foreign module says about tensors without values, tensors with values will tell
        whole = False
    if not whole:
        seen, logits = _run_on_values(module, name, set(stages.values()), clip_shape)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1 or not logits.is_floating_point():
        given = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise SettingError(f"{name} gives {given} for a clip {[1, 3, *clip_shape]}; logits [1, classes] are needed.", code="output")
    missing = [stage for stage, path in stages.items() if path not in seen]
    if missing:
        raise SettingError(
            f"Stage {missing[0]!r}: {stages[missing[0]]!r} is not run when {name} sees a clip; name one that is.", code="stages"
        )
    return tuple(
        _stage(stage, stages[stage], seen, clip_shape) for path in seen for stage in stages if stages[stage] == path
    ), logits.shape[1]


def _on_shapes(module: nn.Module) -> nn.Module:
    """The same tree without values."""
    memo: dict[int, Any] = {id(entry): torch.empty_like(entry, device="meta") for entry in module.buffers()}
    for entry in module.parameters():
        memo[id(entry)] = nn.Parameter(torch.empty_like(entry, device="meta"), requires_grad=False)
    return copy.deepcopy(module, memo)


def _run_on_values(module: nn.Module, name: str, paths: set[str], clip_shape: tuple[int, int, int]) -> tuple[dict[str, Seen], Any]:
    device = next((entry.device for entry in module.parameters()), torch.device("cpu"))
    clip = torch.rand(1, 3, *clip_shape, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with torch.random.fork_rng():
            return _watch(copy.deepcopy(module), paths, clip)
    except VizkitError:
        raise
    except Exception as error:  # a foreign module may raise anything
        told = f"{name} does not run on a clip {list(clip.shape)} ([clips, RGB, frames, height, width])"
        raise SettingError(f"{told}: {type(error).__name__}: {_line(error)}.", code="forward") from error


def _watch(tree: nn.Module, paths: set[str], clip: torch.Tensor) -> tuple[dict[str, Seen], Any]:
    """Run a tree of one's own; what its submodules gave, by path in the order in which they ran (the last time counts)."""
    seen: dict[str, Seen] = {}
    trace = PlaceTrace(clip)
    with ExitStack() as hooks:
        for path in paths:

            def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any, path: str = path) -> None:
                head = first(output)
                seen[path] = Seen(output, trace.of(head) if isinstance(head, torch.Tensor) else None)

            hooks.callback(tree.get_submodule(path).register_forward_hook(keep).remove)
        with torch.no_grad(), trace:
            logits = tree(clip)
    return seen, logits


def _line(error: Exception) -> str:
    """The first line of an error, without its full stop."""
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")


# ------------------------------------------------------------------------------------------------ from places to geometry


def _stage(name: str, path: str, seen: Mapping[str, Seen], clip_shape: tuple[int, int, int]) -> Stage:
    try:
        found = locate(seen[path], clip_shape)
        frames, (row, column) = round(found.stride[0]), found.stride[1:]
        if abs(found.stride[0] - frames) > ROUNDING:
            raise ValueError(f"its time steps are {found.stride[0]:g} frames apart, whole frames are needed")
        if abs(row - column) > ROUNDING * row or abs(found.origin_yx[0] - found.origin_yx[1]) > ROUNDING * row:
            raise ValueError(
                f"its cells are {column:g} px wide and {row:g} px high, from (x, y) = ({found.origin_yx[1]:g}, {found.origin_yx[0]:g}) on; "
                "square cells are needed"
            )
    except ValueError as error:
        raise SettingError(f"Stage {name!r} ({path}) gives no map: {error}.", code="stages") from error
    return Stage(name, path, found.channels, found.stride[2], frames, found.origin_yx[1], found.axes)


def _is_exact(seen: Seen, clip_shape: tuple[int, int, int]) -> bool:
    try:
        return locate(seen, clip_shape).exact
    except ValueError:
        return False


def locate(seen: Seen, clip_shape: tuple[int, int, int]) -> Located:
    """Order of the axes, strides and origin of a map.

    Raises:
        ValueError: it is none; the message says what it is.
    """
    tensor, tokens = _tensor_of(seen.output), isinstance(seen.output, tuple)
    sizes = seen.output[1] if tokens and len(seen.output) > 1 else None
    orders = [axes for axes in ORDERS.get(tensor.ndim, ()) if axes != "BNC" or _are_sizes(sizes, tensor.shape[1])]
    if not orders:
        told = "tokens without their (T, H, W) beside them" if tensor.ndim == 3 else f"{tensor.ndim} axes"
        raise ValueError(f"its output {list(tensor.shape)} has {told}; [B, C, T, H, W], [B, T, H, W, C] or [B*T, C, H, W] are needed")
    for axes in orders if seen.places is not None else ():
        maps = [one_clip((part, sizes), axes).nanmean(0) for part in seen.places or ()]
        lines = [_line_of(part, axis, side) for axis, (part, side) in enumerate(zip(maps, clip_shape, strict=True))]
        if all(line is not None for line in lines):
            stride, origin = zip(*lines, strict=True)
            return Located(axes, one_clip((tensor, sizes), axes).shape[0], stride, origin[1:], True)
    return _tiled(tensor, sizes, orders, clip_shape)


def _tensor_of(output: Any) -> torch.Tensor:
    tensor = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"its output is of type {type(output).__name__}, a tensor is needed")
    return tensor


def _are_sizes(sizes: Any, tokens: int) -> bool:
    """Whether this is (T, H, W) of so many tokens, with a class token or without."""
    if not isinstance(sizes, list | tuple | torch.Size) or len(sizes) != 3 or not all(isinstance(side, int) for side in sizes):
        return False
    return tokens - sizes[0] * sizes[1] * sizes[2] in (0, 1)


def _line_of(places: torch.Tensor, axis: int, side: int) -> tuple[float, float] | None:
    """(stride, origin) along one axis of places [T, H, W]; None where they do not lie on a line, or change along other axes."""
    line = places.movedim(axis, 0).flatten(1).nanmedian(1).values
    off = (places - line.view([-1 if other == axis else 1 for other in range(3)])).abs()
    steps = line.diff()
    steps = steps[~steps.isnan()]
    if bool(line.isnan().all()) or not float(off.nanmedian()) <= ROUNDING or 2 * len(steps) < len(line) - 1:
        return None
    if len(line) == 1:
        return float(side), float(line)
    stride = float(steps.median())
    origin = float((line - stride * torch.arange(len(line))).nanmedian())
    straight = ((steps - stride).abs() <= ROUNDING * abs(stride)).float().mean() >= 0.5
    inside = origin > -stride and origin + stride * (len(line) - 1) < side - 1 + stride
    return (stride, origin) if stride > 0 and straight and inside else None


def _tiled(tensor: torch.Tensor, sizes: Any, orders: Sequence[Axes], clip_shape: tuple[int, int, int]) -> Located:
    """Patches that tile the clip, where a map's cells could not be followed to their pixels."""
    for axes in orders:
        channels, *cells = one_clip((tensor, sizes), axes).shape
        if cells[1] == cells[2] and all(0 < count <= side for count, side in zip(cells, clip_shape, strict=True)):
            stride = tuple(side / count for side, count in zip(clip_shape, cells, strict=True))
            return Located(axes, channels, stride, ((stride[1] - 1) / 2, (stride[2] - 1) / 2), False)  # type: ignore[arg-type]
    raise ValueError(
        f"its output {list(tensor.shape)} does not fit a clip of {clip_shape[0]} frames of {clip_shape[1]} x {clip_shape[2]} px"
    )
