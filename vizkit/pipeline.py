"""From names to pictures: what the command line, the recipes and the pages call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizkit.catalog import VIEWS, module, params_of, resolve, step
from vizkit.clip import open_clip
from vizkit.contracts import Sampling, VideoClip, ViewResult
from vizkit.errors import NotAvailableError, SettingError
from vizkit.figure.spec import FigureSpec
from vizkit.recipe import recipe_of

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun
    from vizkit.world import Truth

CLASS_MAP = "vizkit.motion.gradcam.overlay:lay_over"


def open_source(source: str | Path) -> tuple[VideoClip, Truth | None]:
    """Open a clip by path, or a clip of the motion world by its address.

    Args:
        source: a file or folder, or ``"world:SPLIT:INDEX"`` (``"world:demo:12"``; ``"world:test:3:side_px=64,seed=1"``).

    Returns:
        The clip, and the truth about its motion where it is known.

    Raises:
        ClipError: the file cannot be used.
        SettingError: an address that names no clip.
    """
    if str(source).startswith("world:"):
        from vizkit.world import clip_at

        world = clip_at(str(source))
        return world.clip, world.truth
    return open_clip(source), None


def available(network: Network) -> dict[str, bool | str]:
    """For every view, True or why it cannot be had of this network."""
    reasons = {entry.key: step(entry, "unavailable")(network) for entry in VIEWS}
    return {key: True if reason is None else str(reason) for key, reason in reasons.items()}


def analyze(view: str, run: ProbedRun, **params: Any) -> ViewResult:
    """Compute a view of a probed run.

    Args:
        view: name of the view (``"cpnet"``).
        run: from :func:`vizkit.probe`.
        params: fields of the view's ``Params``.

    Raises:
        SettingError: an unknown view or parameter; the message lists the known ones.
        NotAvailableError: the view cannot be had of this network.
    """
    entry = module(view)
    reason = step(entry, "unavailable")(run.network)
    if reason is not None:
        raise NotAvailableError(str(reason))
    result: ViewResult = step(entry, "analyze")(run, params_of(entry).parse(**params))
    notes = run.network.notes
    return replace(result, notes=(*result.notes, *notes)) if notes else result  # type: ignore[type-var]


def draw(result: ViewResult, **look: Any) -> FigureSpec:
    """Describe the picture of a result, with the recipe that makes it again.

    Args:
        result: from :func:`analyze`.
        look: fields of the view's ``Look``.

    Raises:
        SettingError: an unknown look.
    """
    spec: FigureSpec = step(module(result.provenance.view), "figure")(result, **look)
    return replace(spec, recipe=recipe_of(result.provenance, look).model_dump(mode="json"))


def lay_over(spec: FigureSpec, attention: ViewResult, limit: float | None = None) -> FigureSpec:
    """Lay a class map over the frames of a figure, as one more layer with its own bar and words.

    Args:
        spec: the figure of any view.
        attention: the result of the view ``gradcam`` on the same frames.
        limit: raw value of the last colour, for one scale over several networks; None for parts of the map's largest value.
    """
    laid: FigureSpec = resolve(CLASS_MAP)(spec, attention, limit)
    return laid


def judge(result: ViewResult, truth: Truth | None) -> dict[str, float] | None:
    """The measures of one picture where the truth is known, else None.

    Only a clip that was sampled whole, frame by frame and unscaled, can be compared with its truth.
    """
    if truth is None or not _sampled_whole(result, truth):
        return None
    scores: dict[str, float] = step(module(result.provenance.view), "judge")(result, truth)
    return scores


def _sampled_whole(result: ViewResult, truth: Truth) -> bool:
    clip = getattr(result, "clip", None)
    return clip is not None and clip.frames.shape[:3] == truth.object_id.shape and list(clip.index) == list(range(len(clip.index)))


def parse_sampling(network: Network, settings: Sequence[tuple[str, str]]) -> Sampling:
    """The network's sampling with some fields changed; another short side takes the place of a fixed height and width.

    Raises:
        SettingError: an unknown field or value.
    """
    unknown = [key for key, _ in settings if key not in Sampling.model_fields]
    if unknown:
        raise SettingError(f"Setting {unknown[0]!r} is not known. Known: {Sampling.known()}.")
    own = network.sampling.model_dump()
    if "short_side_px" in dict(settings):
        own.pop("resize_hw", None)
    return Sampling.parse(**{**own, **dict(settings)})
