"""What the projection is trained on: the energy that it leaves unexplained, and how that is weighed against the task.

Source: "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training", equations 7 to 9 (ENoPR, the joint loss),
10 to 12 and algorithm 1 (multiple gradient descent), appendix D (the scheduler).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from vizkit.errors import SettingError, unknown_name

Kind = Literal["rms", "norm"]

FLOOR = 1e-12  # under the root: the gradient of a norm has no value at zero
EVEN = 0.5

Gradient = torch.Tensor | Sequence[torch.Tensor]


def enopr(residual: torch.Tensor, kind: Kind = "rms") -> torch.Tensor:
    """Energy of the non-projected rest: the mean over clips of the norm of the residual. Needs no labels.

    Args:
        residual: [B, C, T, H, W], of :meth:`vizkit.motion.pwtp.module.PWTP.separate`.
        kind: ``"norm"``: the Euclidean norm of a whole clip, as the paper defines it; ``"rms"``: the same over the square root of the
            number of values of a clip, which does not grow with its size.

    Returns:
        A scalar.

    Raises:
        SettingError: an unknown kind.
    """
    if kind not in get_args(Kind):
        raise unknown_name("kind", kind, get_args(Kind))
    squares = residual.flatten(1).square()
    return ((squares.mean(1) if kind == "rms" else squares.sum(1)) + FLOOR).sqrt().mean()


def mgda_weight(grad_task: Gradient, grad_enopr: Gradient) -> torch.Tensor:
    """The weight w of ENoPR for which ``(1 - w) grad_task + w grad_enopr`` is shortest, 0 <= w <= 1.

    Two tasks have a closed form: w = <g_R - g_E, g_R> / |g_R - g_E|^2, clipped. The shortest combination lowers both losses, or is zero.
    Where both gradients are the same, every weight gives the same, and it is 0.5.

    Args:
        grad_task: gradient of the recognition loss with respect to the projection's parameters: one tensor, or one for each parameter.
        grad_enopr: gradient of ENoPR with respect to the same.

    Returns:
        A scalar, without a graph.

    Raises:
        SettingError: gradients of different sizes.
    """
    task, rest = _flat(grad_task), _flat(grad_enopr)
    if task.shape != rest.shape:
        raise SettingError(
            f"grad_task has {task.numel()} numbers and grad_enopr {rest.numel()}; gradients of the same parameters are needed."
        )
    apart = task - rest
    squared = apart.dot(apart)
    if not bool(squared > 0):
        return torch.full_like(squared, EVEN)
    return (apart.dot(task) / squared).clamp(0, 1)


def joint_backward(
    task: torch.Tensor,
    rest: torch.Tensor,
    *,
    shared: Sequence[nn.Parameter],
    own: Sequence[nn.Parameter],
    scale: float | None = None,
    normalized: bool = False,
) -> float:
    """Fill the gradients of a step of joint training (algorithm 1): the projection sees both losses, everything else the task alone.

    Args:
        task: recognition loss.
        rest: ENoPR, which depends on ``shared`` alone.
        shared: the projection's parameters: ``(1 - w) g_R + w g_E`` with the weight of :func:`mgda_weight`, or ``g_R + scale g_E``.
        own: all other parameters: plain gradients of the task.
        scale: a fixed weight of ENoPR; None for the closed form.
        normalized: both gradients of ``shared`` are brought to length 1 first (one of the normalisations of Sener and Koltun, Multi-task
            learning as multi-objective optimization, NeurIPS 2018); the closed form then halves the angle between them.

    Returns:
        The weight of ENoPR.
    """
    of_task = torch.autograd.grad(task, [*shared, *own], retain_graph=True, materialize_grads=True)
    of_rest = torch.autograd.grad(rest, list(shared), materialize_grads=True)
    of_shared, of_own = of_task[: len(shared)], of_task[len(shared) :]
    if normalized:
        of_shared, of_rest = _unit(of_shared), _unit(of_rest)
    weight = float(mgda_weight(of_shared, of_rest)) if scale is None else scale
    kept = 1 - weight if scale is None else 1.0
    for parameter, first, second in zip(shared, of_shared, of_rest, strict=True):
        parameter.grad = kept * first + weight * second
    for parameter, gradient in zip(own, of_own, strict=True):
        parameter.grad = gradient
    return weight


def _flat(gradient: Gradient) -> torch.Tensor:
    parts = [gradient] if isinstance(gradient, torch.Tensor) else list(gradient)
    return torch.cat([part.detach().reshape(-1) for part in parts])


def _unit(gradient: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The same direction with length 1; zero stays zero."""
    length = _flat(gradient).norm().clamp_min(torch.finfo(gradient[0].dtype).tiny)
    return tuple(part / length for part in gradient)


def scale_at(step: int, steps: int, *, largest: float, gamma: float, smallest: float = 0.01) -> float:
    """Scale of ENoPR at a step of joint training: it starts large and falls to a minimum.

    Half a cosine whose time runs as ``(step / steps)^gamma``. A reconstruction of equation 13: its formula is lost, and the text says that
    it imitates cosine annealing and has two parameters.

    Args:
        step: number of the step, 0 to ``steps``.
        steps: number of steps.
        largest: scale at the start.
        gamma: above 1 the scale stays large for longer, below 1 it falls sooner.
        smallest: scale at the end.

    Raises:
        SettingError: a step outside the run, a ``gamma`` of zero or less, or scales that do not fall.
    """
    if not 0 <= step <= steps or steps < 1:
        raise SettingError(f"step is {step} of {steps}, 0 to the number of steps (at least 1) is accepted.")
    if gamma <= 0:
        raise SettingError(f"gamma is {gamma}, a number above 0 is needed.")
    if not 0 <= smallest <= largest:
        raise SettingError(f"largest is {largest} and smallest {smallest}; 0 <= smallest <= largest is needed.")
    return smallest + 0.5 * (largest - smallest) * (1 + math.cos(math.pi * (step / steps) ** gamma))
