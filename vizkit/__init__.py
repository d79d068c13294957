"""Look inside video classifiers that learn motion.

``import vizkit`` is cheap: every name is loaded on first use, so that torch, Streamlit and the plotting libraries are
imported only by what needs them.

    clip = vizkit.open_clip("cups.mp4")
    network = vizkit.load_network("cpnet-world")
    run = vizkit.probe(network, clip)
    result = vizkit.analyze("cpnet", run, points=[(3, 56, 40)], neighbors=8)
    vizkit.render(vizkit.figure(result), "figure.pdf")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vizkit import catalog, clip, errors, figure, motion, net, render, world
    from vizkit.catalog import architectures
    from vizkit.checkpoint import checkpoints, load_network
    from vizkit.clip import open_clip, sample
    from vizkit.net.probe import predict, probe
    from vizkit.net.wrap import wrap
    from vizkit.pipeline import analyze
    from vizkit.recipe import load_recipe
    from vizkit.scores import score
    from vizkit.weightfile.load import load_weights

__version__ = "0.1.0"

__all__ = [
    "analyze",
    "architectures",
    "catalog",
    "checkpoints",
    "clip",
    "errors",
    "figure",
    "load_network",
    "load_recipe",
    "load_weights",
    "motion",
    "net",
    "open_clip",
    "predict",
    "probe",
    "render",
    "sample",
    "score",
    "world",
    "wrap",
]

_HOME = {
    "analyze": "pipeline",
    "architectures": "catalog",
    "checkpoints": "checkpoint",
    "load_network": "checkpoint",
    "load_recipe": "recipe",
    "load_weights": "weightfile.load",
    "open_clip": "clip",
    "predict": "net.probe",
    "probe": "net.probe",
    "sample": "clip",
    "score": "scores",
    "wrap": "net.wrap",
}
"""Public function -> the module that it lives in; the other names of ``__all__`` are modules."""


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"vizkit.{_HOME[name]}"), name)
    if name in __all__:
        return import_module(f"vizkit.{name}")
    raise AttributeError(f"module 'vizkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
