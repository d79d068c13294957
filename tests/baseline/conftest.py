"""Pictures whose motion is known exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

Shifted = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def _shifted(height: int, width: int, *moves_px: tuple[float, float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut-outs of a periodic random texture, and the same texture moved by each (x, y), exact to the last bit of a Fourier series."""
    side = 256
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None]).clamp_min(1 / side)
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectrum = torch.fft.fft2(noise) * radius**-1.5 * (radius < 0.35)
    spectrum[0, 0] = 0
    still = torch.fft.ifft2(spectrum).real
    low, high = still.min(), still.max()

    def cut(x_px: float, y_px: float) -> torch.Tensor:
        turned = spectrum * torch.exp(-2j * torch.pi * (frequency[None] * x_px + frequency[:, None] * y_px))
        return ((torch.fft.ifft2(turned).real - low) / (high - low))[40 : 40 + height, 40 : 40 + width]

    first = cut(0, 0).expand(len(moves_px), 1, -1, -1)
    return first.contiguous(), torch.stack([cut(*move) for move in moves_px])[:, None]


@pytest.fixture(scope="session")
def shifted() -> Shifted:
    """``shifted(height, width, (x, y), ..., seed=0)``: two float64 [B, 1, H, W]; pixel p of the first is at p + (x, y) in the second."""
    return _shifted


@pytest.fixture(scope="session")
def end_point_error() -> Callable[..., list[float]]:
    """``end_point_error(flow, moves_px, border_px)``: mean distance [B] from the true move, the border left out."""

    def measure(flow: torch.Tensor, moves_px: tuple[tuple[float, float], ...], border_px: int) -> list[float]:
        inner = flow[:, border_px:-border_px, border_px:-border_px].double()
        return (inner - torch.tensor(moves_px, dtype=torch.float64)[:, None, None]).norm(dim=-1).mean((1, 2)).tolist()

    return measure
