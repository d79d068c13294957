"""Recipes: everything that makes a figure again, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from vizkit.contracts import Provenance, Sampling, Settings, VideoClip
from vizkit.errors import SettingError
from vizkit.figure.layers import LayerLook, dress

if TYPE_CHECKING:
    from vizkit.figure.spec import FigureSpec
    from vizkit.net.network import Network


LATER = ("class_map", "class_map_limit", "layers")
"""Fields of :class:`Recipe` that its first form did not have."""


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
    """What the network is loaded with besides its name; ``adjust``: run-time settings of its blocks."""
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
    class_map: dict[str, Any] | None = None
    """Parameters of the Grad-CAM that is laid over its frames, if there is one."""
    class_map_limit: float | None = None
    """Raw value of its last colour; None for parts of its largest value."""
    layers: dict[str, LayerLook] = {}
    """What a reader has set for its layers, by their names."""

    @model_serializer(mode="wrap")
    def _since(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out where they are empty: recipes of what needs none of them stay as they were."""
        values: dict[str, Any] = dump(self)
        layers = {name: look.model_dump(mode="json", exclude_defaults=True) for name, look in self.layers.items()}
        later = {name: values[name] for name in ("class_map", "class_map_limit") if values[name] is not None}
        return {**{name: value for name, value in values.items() if name not in LATER}, **later, **({"layers": layers} if layers else {})}

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
        from vizkit.pipeline import analyze, draw, lay_over, open_source

        if clip is None:
            if not self.clip.name.startswith("world:"):
                raise SettingError(
                    f"This recipe needs the clip {self.clip.name!r} (SHA-256 {self.clip.digest[:12]}...); give it.", code="clip"
                )
            clip, _ = open_source(self.clip.name)
        network = network or self._load_network()
        run = probe(network, clip, sampling=self.sampling, without=self.without)
        spec = draw(analyze(self.view, run, **self.params), **self.look)
        if self.class_map is not None:
            spec = lay_over(spec, analyze("gradcam", run, **self.class_map), self.class_map_limit)
        spec = dress(spec, self.layers)
        notes = []
        if clip.digest != self.clip.digest:
            notes.append(f"The recipe was made for another clip ({self.clip.name}, SHA-256 {self.clip.digest[:12]}...).")
        if network.digest != self.model_digest:
            notes.append(f"The recipe was made with other weights of {self.model} (SHA-256 {self.model_digest[:12]}...).")
        return replace(spec, notes=(*spec.notes, *notes)) if notes else spec

    def _load_network(self) -> Network:
        from vizkit.checkpoint import load_network
        from vizkit.net.adjust import adjust

        arguments = {name: value for name, value in self.arguments.items() if name != "adjust"}
        try:
            return adjust(load_network(self.model, **arguments), self.arguments.get("adjust", {}))
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
