"""Commands that look at one clip: predict, analyze, render."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vizkit.cli import options
from vizkit.cli.output import as_json, echo, echo_json, facts, table
from vizkit.errors import SettingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vizkit.contracts import SampledClip, VideoClip, ViewResult
    from vizkit.figure.spec import FigureSpec
    from vizkit.net.network import Network
    from vizkit.world import Truth

LISTED_NUMBERS = 1 << 20
"""Larger arrays are described instead of listed."""


@click.command()
@click.argument("clip")
@options.model
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="Number of labels.")
@options.adjust
@options.sampling
@as_json
def predict(clip: str, model: str, top: int, changes: options.Pairs, sampling: options.Pairs, as_json: bool) -> None:
    """Say what a network takes CLIP for.

    CLIP is a video, a folder or zip of pictures, a .npy or .npz array, or a synthetic clip such as world:demo:12.
    """
    from vizkit.clip import sample
    from vizkit.net.network import fix_threads
    from vizkit.net.probe import predict as predict_clip
    from vizkit.pipeline import open_source

    video, _ = open_source(clip)
    network = options.load(model, changes)
    sampled = sample(video, options.sampling_of(network, sampling))
    rows = predict_clip(sampled, network).top(top)
    if as_json:
        return echo_json(
            {
                "clip": clip_facts(video),
                "sampling": sampling_facts(sampled),
                "model": model_facts(network),
                "top": rows,
                "threads": fix_threads(),
            }
        )
    echo(f"{video.name}: {video.frames} frames, {video.duration_s:.2f} s, {video.size_wh[0]}x{video.size_wh[1]}, {video.codec}")
    for warning in sampled.warnings:
        echo(f"  {warning.message}")
    echo(f"{network.name} ({network.architecture}, {network.origin} weights)")
    echo(table(("label", "probability"), ((row.label, f"{row.probability:.4f}") for row in rows)))
    for note in (*network.card.get("notes", ()), *network.notes):
        echo(f"  {note}")
    return None


@click.command()
@click.argument("clip")
@options.model
@click.option("--view", required=True, metavar="V", help="What to look at, e.g. cpnet.")
@options.view_options
@options.adjust
@options.sampling
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the record's arrays as NPZ.")
@as_json
def analyze(
    clip: str,
    model: str,
    view: str,
    settings: options.Pairs,
    points: tuple[options.Point, ...],
    without: tuple[str, ...],
    changes: options.Pairs,
    sampling: options.Pairs,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compute a view of a network on CLIP and show its numbers."""
    from vizkit.pipeline import draw, judge
    from vizkit.render.write import render as write_figure

    if out is not None and out.suffix.lower() != ".npz":
        raise SettingError(f"{out.name}: the arrays are written as .npz; name the file so.", code="unknown_suffix")
    result, truth = _look(clip, model, view, options.params_of(settings, points), without, changes, sampling)
    if out is not None:
        write_figure(draw(result), out)
    score = judge(result, truth)
    if as_json:
        return echo_json(
            {
                "view": view,
                "params": result.params,
                "grid": result.grid,
                "record": {name: listed(array) for name, array in result.arrays().items()},
                "summary": result.summary(),
                "score": score,
                "provenance": result.provenance,
            }
        )
    echo(facts({**result.summary(), **(score or {})}))
    for note in result.notes:
        echo(note)
    return None


@click.command()
@click.argument("source", metavar="CLIP|RECIPE")
@click.option("--model", metavar="M", help="Checkpoint, folder with card.json, architecture, architecture:weights.")
@click.option("--view", metavar="V", help="What to look at, e.g. cpnet.")
@options.view_options
@click.option("--look", type=options.PairType(), multiple=True, help="How it is drawn, e.g. heat=false. Repeatable.")
@options.adjust
@options.sampling
@click.option("--clip", metavar="CLIP", help="The clip of a recipe.")
@click.option("--venue", metavar="NAME", help="Width of the page, e.g. cvpr-column; an unknown name lists the known ones.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The suffix names the format.")
@as_json
def render(source: str, clip: str | None, venue: str | None, out: Path, as_json: bool, **chosen: Any) -> None:
    """Draw a view of a network on CLIP, or a figure again from its RECIPE (a .json file).

    Formats: .png .svg .pdf .gif .webp .webm .npz .csv .html, and .json for the recipe. The same call writes the same bytes.
    """
    from vizkit.digest import digest_file
    from vizkit.render.write import render as write_figure

    figure = _from_recipe(Path(source), clip, chosen) if Path(source).suffix.lower() == ".json" else _from_clip(source, clip, **chosen)
    write_figure(figure, out, venue=venue)
    written = {"file": out, "bytes": out.stat().st_size, "sha256": digest_file(out), "recipe": figure.recipe}
    if as_json:
        echo_json(written)
    else:
        echo(f"{out}: {written['bytes']} bytes, SHA-256 {written['sha256']}")


def _from_recipe(path: Path, clip: str | None, chosen: dict[str, Any]) -> FigureSpec:
    from vizkit.checkpoint import load_network
    from vizkit.pipeline import open_source
    from vizkit.recipe import load_recipe

    given = sorted(name for name, value in chosen.items() if value and name != "model")
    if given:
        raise click.UsageError(
            f"{path.name} is a recipe, which says this already: {', '.join(given)}. Give only --clip, --model, --venue and --out."
        )
    network = load_network(chosen["model"]) if chosen["model"] else None
    return load_recipe(path).run(open_source(clip)[0] if clip is not None else None, network=network)


def _from_clip(
    source: str,
    clip: str | None,
    *,
    model: str | None,
    view: str | None,
    settings: options.Pairs,
    points: tuple[options.Point, ...],
    without: tuple[str, ...],
    changes: options.Pairs,
    look: options.Pairs,
    sampling: options.Pairs,
) -> FigureSpec:
    from vizkit.pipeline import draw

    if clip is not None:
        raise click.UsageError("--clip belongs to a recipe; here the first argument is the clip.")
    if model is None or view is None:
        raise click.UsageError("Rendering a clip needs --model and --view.")
    result, _ = _look(source, model, view, options.params_of(settings, points), without, changes, sampling)
    return draw(result, **options.look_of(look))


def _look(
    clip: str, model: str, view: str, params: dict[str, Any], without: tuple[str, ...], changes: options.Pairs, sampling: options.Pairs
) -> tuple[ViewResult, Truth | None]:
    """Open, load, probe, analyze."""
    from vizkit.catalog import module
    from vizkit.net.probe import probe
    from vizkit.pipeline import analyze as analyze_run
    from vizkit.pipeline import open_source

    module(view)
    video, truth = open_source(clip)
    network = options.load(model, changes)
    run = probe(network, video, sampling=options.sampling_of(network, sampling), without=without)
    return analyze_run(view, run, **params), truth


def clip_facts(clip: VideoClip) -> dict[str, Any]:
    """What a clip is."""
    return {
        "name": clip.name,
        "digest": clip.digest,
        "frames": clip.frames,
        "duration_s": clip.duration_s,
        "size_wh": clip.size_wh,
        "codec": clip.codec,
        "verdict": clip.verdict,
        "warnings": clip.warnings,
    }


def sampling_facts(clip: SampledClip) -> dict[str, Any]:
    """Which frames were taken."""
    return {**clip.sampling.model_dump(), "index": clip.index, "times_s": clip.times_s}


def model_facts(network: Network) -> dict[str, Any]:
    """Which network it was."""
    return {"name": network.name, "architecture": network.architecture, "digest": network.digest, "origin": network.origin}


def listed(array: NDArray[Any]) -> Any:
    """An array's values, or a description of a large one."""
    if array.size <= LISTED_NUMBERS:
        return array
    import numpy as np

    known = array[np.isfinite(array)]
    extremes = {"min": known.min(), "max": known.max(), "mean": known.mean()} if known.size else {"min": None, "max": None, "mean": None}
    return {"shape": array.shape, "dtype": str(array.dtype), **extremes}
