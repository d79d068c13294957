"""Weights of a visitor's own: looked at, put into an architecture, and a model on all pages of the session that brought them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.checkpoint import build_like, inspect_checkpoint
from vizkit.clip.messages import shown_name
from vizkit.digest import digest_bytes, digest_settings
from vizkit.errors import CheckpointError, VizkitError
from vizkit.ui import compute
from vizkit.ui.store import Box
from vizkit.weightfile.messages import shown_key

if TYPE_CHECKING:
    from vizkit.net.network import Network

PREFIX = "own:"
MOST_BYTES = 4 * 10**9
"""Of all visitors' own weights together."""
MOST_MODELS = 5
"""Of one session."""
_KEPT = "own_networks"


@dataclass(frozen=True)
class Reception:
    """What became of a file of weights."""

    name: str
    """The model's name in this session; empty where the file was refused."""
    verdict: str
    """``"ok"``, ``"warn"`` or ``"reject"``."""
    code: str
    """A short word for the oddity or the reason."""
    message: str
    """One sentence."""
    facts: Mapping[str, Any]
    """What the file is: format, tensors, bytes."""
    missing: tuple[str, ...] = ()
    """Keys of the network that the file left out."""


def receive(box: Box, name: str, content: bytes, architecture: str, labels: Sequence[str] = (), classes: int | None = None) -> Reception:
    """Look at a file of weights and put it into a new network, all of it or nothing.

    Args:
        box: of the session; the file lies there while it is being read.
        name: what the visitor's file is called.
        content: its bytes.
        architecture: name of an architecture, or of a shipped checkpoint that was built like this one.
        labels: names of the classes.
        classes: number of outputs, where no labels are given; the architecture's own when None.
    """
    from vizkit.weightfile.load import load_weights

    called, labels = shown_name(name), [shown_key(label) for label in labels]
    held = ""
    try:
        with box.held(name, content) as path:
            held = shown_key(path.name)
            seen = inspect_checkpoint(path)
            if seen["verdict"] == "reject":
                return Reception("", "reject", seen["code"], seen["message"].replace(held, called), {})
            network = build_like(architecture, len(labels) or classes)
            report = load_weights(path, network.module, labels=labels or None)
        told = digest_settings({"weights": digest_bytes(content), "labels": list(labels)})  # all sessions share what a name means
        own = f"{PREFIX}{architecture}:{told[:16]}"
        _keep(replace(network, name=own, origin="own", labels=tuple(labels) or network.labels), called)
    except VizkitError as error:
        return Reception("", "reject", error.code, error.message.replace(held, called) if held else error.message, {})
    facts = {**seen["facts"], "name": called}
    return Reception(own, report.verdict, report.code, report.message.replace(held, called), facts, report.missing)


def own_names() -> tuple[str, ...]:
    """The models that this session brought."""
    return tuple(_kept())


def forget(name: str) -> None:
    """Let a model go; an unknown one is no error."""
    _kept().pop(name, None)


def _keep(network: Network, called: str) -> None:
    """Keep one network for all sessions that brought it: it lasts as long as any of them.

    Raises:
        CheckpointError: the session or the server holds as much as it may.
    """
    if network.name not in _kept() and len(_kept()) >= MOST_MODELS:
        raise CheckpointError(f"{called}: you hold {MOST_MODELS} models already. Forget one first.", code="quota")
    held = sum(compute.size_of(other.module) for other in compute.OWN.values())
    if network.name not in compute.OWN and held + compute.size_of(network.module) > MOST_BYTES:
        raise CheckpointError(f"{called}: the server holds as many weights as it may. Try again later.", code="server_full")
    _kept()[network.name] = compute.OWN.setdefault(network.name, network)


def _kept() -> dict[str, Network]:
    kept: dict[str, Network] = st.session_state.setdefault(_KEPT, {})
    return kept
