"""Recipes: everything that makes a figure again, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vizkit.contracts import Provenance, Sampling, Settings, VideoClip
from vizkit.errors import SettingError

if TYPE_CHECKING:
    from vizkit.figure.spec import FigureSpec
    from vizkit.net.network import Network


class RecipeClip(Settings):
    """Which clip a figure was made from; the clip itself is not in the recipe."""

    name: str
    """Its name; an address such as ``"world:demo:12"`` can be opened again."""
    digest: str
    """SHA-256 of its bytes."""


class Recipe(Settings):
    """How to make one figure again."""

    version: Literal[1] = 1
    """Of this format."""
    clip: RecipeClip
    """The clip."""
    model: str
    """Checkpoint or architecture."""
    arguments: dict[str, Any] = {}
    """What the network is loaded with besides its name."""
    model_digest: str
    """SHA-256 over its weights."""
    sampling: Sampling
    """How the clip was sampled."""
    without: tuple[str, ...] = ()
    """Blocks that were switched off."""
    view: str
    """Name of the view."""
    params: dict[str, Any] = {}
    """Its parameters."""
    look: dict[str, Any] = {}
    """How it is drawn."""

    def run(self, clip: VideoClip | None = None, *, network: Network | None = None) -> FigureSpec:
        """Make the figure again.

        Args:
            clip: the clip; may be left out for a clip of the motion world. With another clip than the recipe's, or other
                weights, the figure is made all the same and says so in its notes.
            network: the network, where it cannot be loaded by the recipe's name (a checkpoint in a folder of your own, a module
                that was wrapped).

        Returns:
            The figure; rendered, it gives the same bytes as the first time.

        Raises:
            SettingError: the clip or the network is needed and was not given.
        """
        from vizkit.net.probe import probe
        from vizkit.pipeline import analyze, draw, open_source

        if clip is None:
            if not self.clip.name.startswith("world:"):
                raise SettingError(
                    f"This recipe needs the clip {self.clip.name!r} (SHA-256 {self.clip.digest[:12]}...); give it.", code="clip"
                )
            clip, _ = open_source(self.clip.name)
        network = network or self._load_network()
        run = probe(network, clip, sampling=self.sampling, without=self.without)
        spec = draw(analyze(self.view, run, **self.params), **self.look)
        notes = []
        if clip.digest != self.clip.digest:
            notes.append(f"The recipe was made for another clip ({self.clip.name}, SHA-256 {self.clip.digest[:12]}...).")
        if network.digest != self.model_digest:
            notes.append(f"The recipe was made with other weights of {self.model} (SHA-256 {self.model_digest[:12]}...).")
        return replace(spec, notes=(*spec.notes, *notes)) if notes else spec

    def _load_network(self) -> Network:
        from vizkit.checkpoint import load_network

        try:
            return load_network(self.model, **self.arguments)
        except SettingError as error:
            if not error.message.startswith("Unknown model"):
                raise
            told = f"The recipe was made with another one of this name (SHA-256 {self.model_digest[:12]}...): give it as network=."
            raise SettingError(f"{error.message} {told}", code=error.code) from error


def recipe_of(source: Provenance, look: Mapping[str, Any]) -> Recipe:
    """The recipe of a result that was drawn with ``look``."""
    return Recipe(
        clip=RecipeClip(name=source.clip, digest=source.clip_digest),
        model=source.model,
        arguments=dict(source.arguments),
        model_digest=source.model_digest,
        sampling=Sampling(**source.sampling),
        without=source.without,
        view=source.view,
        params=dict(source.params),
        look=dict(look),
    )


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        SettingError: the file is missing, not JSON, or not a recipe.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path.name}: there is no readable recipe of this name.", code="missing") from error
    except ValueError as error:
        raise SettingError(f"{path.name}: not a recipe (not JSON).", code="recipe") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path.name}: not a recipe (not a JSON object).", code="recipe")
    return Recipe.parse(**values)
