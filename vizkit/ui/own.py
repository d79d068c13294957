"""Weights of a visitor's own: looked at, put into an architecture, and a model on all pages of the session that brought them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

import vizkit
from vizkit.checkpoint import inspect_checkpoint
from vizkit.clip.messages import shown_name
from vizkit.digest import digest_bytes, digest_settings
from vizkit.errors import VizkitError
from vizkit.ui import compute
from vizkit.ui.store import Box
from vizkit.weightfile.messages import shown_key

if TYPE_CHECKING:
    from vizkit.net.network import Network

PREFIX = "own:"
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
        architecture: name of the architecture.
        labels: names of the classes.
        classes: number of outputs, where no labels are given; the architecture's own when None.
    """
    from vizkit.weightfile.load import load_weights

    called = shown_name(name)
    held = ""
    try:
        with box.held(name, content) as path:
            held = shown_key(path.name)
            seen = inspect_checkpoint(path)
            if seen["verdict"] == "reject":
                return Reception("", "reject", seen["code"], seen["message"].replace(held, called), {})
            network = vizkit.load_network(architecture, num_classes=len(labels) or classes)
            report = load_weights(path, network.module, labels=labels or None)
    except VizkitError as error:
        return Reception("", "reject", error.code, error.message.replace(held, called) if held else error.message, {})
    told = digest_settings(
        {"weights": digest_bytes(content), "labels": list(labels)}
    )  # what is kept under a name is shared by all sessions
    own = f"{PREFIX}{architecture}:{told[:16]}"
    _keep(replace(network, name=own, origin="own", labels=tuple(labels) or network.labels))
    facts = {**seen["facts"], "name": called}
    return Reception(own, report.verdict, report.code, report.message.replace(held, called), facts, report.missing)


def own_names() -> tuple[str, ...]:
    """The models that this session brought."""
    return tuple(_kept())


def forget(name: str) -> None:
    """Let a model go; an unknown one is no error."""
    _kept().pop(name, None)


def _keep(network: Network) -> None:
    """Keep one network for all sessions that brought it: it lasts as long as any of them."""
    _kept()[network.name] = compute.OWN.setdefault(network.name, network)


def _kept() -> dict[str, Network]:
    kept: dict[str, Network] = st.session_state.setdefault(_KEPT, {})
    return kept
