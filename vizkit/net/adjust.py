"""Settings of inserted blocks that no weight depends on: changed for a run, with the weights as they are.

A block that has such settings says so itself: a class attribute ``RunTime``, a :class:`~vizkit.contracts.Settings` class whose fields
are attributes of the module, and ``fixed()``, which names the settings that the weights were made for, each with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.net.network import Network

Changes = Mapping[str, Mapping[str, Any]]
"""Block -> setting -> value."""


def adjustable(network: Network, block: str) -> tuple[type[Settings], dict[str, Any]] | None:
    """The settings of a block that can be changed at run time.

    Args:
        network: the network.
        block: name of an inserted block.

    Returns:
        The settings class and the values that the block was built with; None where the block has no such settings.

    Raises:
        SettingError: an unknown block.
    """
    holder = _holder(_module(network, block), "RunTime")
    if holder is None:
        return None
    kind: type[Settings] = holder.RunTime  # type: ignore[assignment]
    return kind, {name: getattr(holder, name) for name in kind.model_fields}


def fixed(network: Network, block: str) -> dict[str, str]:
    """The settings of a block that its weights were made for: name -> why it stays as it is.

    Args:
        network: the network.
        block: name of an inserted block.

    Raises:
        SettingError: an unknown block.
    """
    holder = _holder(_module(network, block), "fixed")
    return {} if holder is None else dict(holder.fixed())  # type: ignore[operator]


def adjust(network: Network, changes: Changes) -> Network:
    """The same network over the same weight tensors, with other run-time settings of some blocks.

    Args:
        network: the network; it stays as it is.
        changes: block -> setting -> value; values that a block has already are no change.

    Returns:
        A network whose notes name every change, and whose recipes make it again; the given one where nothing changes.

    Raises:
        SettingError: an unknown block or setting, a value outside its range, or a setting that the weights were made for.
    """
    tree, made, notes = network.tree(), dict[str, dict[str, Any]](), list[str]()
    for block, values in changes.items():
        _check_fixed(network, block, values)
        found = adjustable(network, block)
        if found is None:
            raise SettingError(f"Block {block} of {network.name} has no settings that can be changed at run time.", code="fixed")
        kind, own = found
        asked = kind.parse(**{**own, **values}).model_dump()
        made[block] = {name: value for name, value in asked.items() if value != own[name]}
        holder = _holder(tree.get_submodule(network.block(block).path), "RunTime")
        for name, value in made[block].items():
            setattr(holder, name, value)
            notes.append(f"Changed for this run: {block} has {name} {value} instead of {own[name]}; the weights are as they were.")
    made = {block: values for block, values in made.items() if values}
    if not made:
        return network
    arguments = {**network.arguments, "adjust": made}
    return replace(network, module=tree, arguments=arguments, notes=(*network.notes, *notes))


def _check_fixed(network: Network, block: str, values: Mapping[str, Any]) -> None:
    for name, reason in fixed(network, block).items():
        if name in values:
            raise SettingError(f"{name} of block {block} cannot be changed at run time: {reason}", code="fixed")


def _module(network: Network, block: str) -> nn.Module:
    return network.module.get_submodule(network.block(block).path)


def _holder(block: nn.Module, name: str) -> nn.Module | None:
    """The block, or the part of it that declares what is asked for."""
    return next((part for part in block.modules() if hasattr(part, name)), None)
