"""What TV-L1 and TVNet share: settings, pictures, pyramids, and the data term around a flow."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field

from vizkit.contracts import Settings
from vizkit.errors import SettingError

LUMINANCE = (0.299, 0.587, 0.114)
GREY_LEVELS = 255.0
SMALLEST_SIDE_PX = 16
SMOOTHING_PX = 0.8
LEAST_STEPS = 5
TINY = 1e-12


class FlowSettings(Settings):
    """What can be set; the symbols are those of Sanchez, Meinhardt-Llopis, Facciolo (IPOL 2013)."""

    attachment: float = Field(0.15, gt=0, le=10)
    """Weight of the data term, lambda, for grey levels of 0..255; smaller gives a smoother flow."""
    tightness: float = Field(0.3, gt=0, le=10)
    """How far the two halves of the problem may lie apart, theta."""
    time_step: float = Field(0.25, gt=0, le=0.25)
    """Step of the dual variables, tau."""
    scales: int = Field(5, ge=1, le=12)
    """Levels of the pyramid, each half the side of the one before; fewer where a side would be shorter than 16 px."""
    warps: int = Field(5, ge=1, le=100)
    """Times that the second picture is warped on every level."""
    iterations: int = Field(20, ge=1, le=1000)
    """Steps after each warp on the finest level; half as many on every coarser one, but not below 5."""
    stretch: bool = False
    """Stretch the two pictures together to 0..255 and smooth them (Gaussian, 0.8 px) first, as in the IPOL paper and in TVNet."""

    def steps(self, level: int) -> int:
        """Steps after each warp on a level; 0 is the finest."""
        return max(self.iterations >> level, min(self.iterations, LEAST_STEPS))


class DataTerm(NamedTuple):
    """The difference I1(x + u) - I0(x), made linear around a flow: ``difference`` + ``gradient`` . u."""

    difference: torch.Tensor
    """[B, H, W]"""
    gradient: torch.Tensor
    """[B, 2, H, W] of the warped second picture along x and y; zero where the flow leaves the picture."""


def grey_pictures(first: torch.Tensor, second: torch.Tensor, stretch: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Make two pictures grey, in levels of 0..255 above the darkest; where asked, stretch them together to that range and smooth them.

    Contrast below one grey level is not stretched any further, so that a constant picture stays one.

    Args:
        first: [B, 1 or 3, H, W], pixels in [0, 1]; in float32 or float64.
        second: the same shape.
        stretch: whether to stretch and smooth.

    Returns:
        Two of [B, 1, H, W].

    Raises:
        SettingError: NaN or infinite values.
    """
    grey = torch.stack([first, second], 1)  # [B, 2, C, H, W]
    if grey.shape[2] == 3:
        grey = (grey * grey.new_tensor(LUMINANCE)[:, None, None]).sum(2, keepdim=True)
    low, high = (value.view(-1, 1, 1, 1, 1) for value in torch.aminmax(grey.flatten(1), dim=1))
    if not bool(torch.isfinite(high - low).all()):
        raise SettingError("first or second holds NaN or infinite values, but finite ones are accepted.", code="not_finite")
    grey = (grey - low) * GREY_LEVELS
    if stretch:
        grey = grey / (high - low).clamp_min(1 / GREY_LEVELS)
        grey = _smooth(grey.flatten(0, 1)).unflatten(0, (-1, 2))
    return grey[:, 0], grey[:, 1]


def _smooth(maps: torch.Tensor) -> torch.Tensor:
    """Gaussian of 5 x 5 taps over [B, 1, H, W]; the border is repeated."""
    distance = torch.arange(-2, 3, device=maps.device, dtype=maps.dtype)
    taps = torch.exp(-(distance**2) / (2 * SMOOTHING_PX**2))
    taps = (taps / taps.sum()).view(1, 1, 1, 5)
    padded = F.pad(maps, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps), taps.transpose(2, 3))


def count_levels(size: tuple[int, int], scales: int) -> int:
    """Levels of a pyramid of halves: at most ``scales``, and none but the finest with a side below 16 px."""
    levels = 1
    while levels < scales and min(level_sizes(size, levels + 1)[-1]) >= SMALLEST_SIDE_PX:
        levels += 1
    return levels


def level_sizes(size: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """Height and width of the levels, finest first; halves are rounded up."""
    sizes = [size]
    for _ in range(levels - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def pyramid(pictures: torch.Tensor, sizes: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Shrink [B, 1, H, W] to every size, level by level; the centres of the pictures stay where they are."""
    levels = [pictures]
    for size in sizes[1:]:
        levels.append(F.interpolate(levels[-1], size=size, mode="bilinear", align_corners=False, antialias=True))
    return levels


def with_gradient(pictures: torch.Tensor) -> torch.Tensor:
    """[B, 1, H, W] -> [B, 3, H, W]: the picture and its central differences along x and y (half as long at the border)."""
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.cat([pictures, along_x, along_y], 1)


def data_term(first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor) -> DataTerm:
    """Warp the second picture by a flow, by bicubic interpolation, and make the difference linear around it.

    Args:
        first: [B, 1, H, W].
        second: [B, 3, H, W] with its gradient.
        flow: [B, 2, H, W] in pixels.
    """
    warped, inside = warp(second, flow)
    gradient = warped[:, 1:] * inside
    return DataTerm(warped[:, 0] - first[:, 0] - (gradient * flow).sum(1), gradient)


def warp(pictures: torch.Tensor, flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read [B, C, H, W] at x + flow; the border is repeated. Also [B, 1, H, W] whether that place lies inside."""
    height, width = flow.shape[2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + 0.5
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + 0.5
    place = torch.stack([(flow[:, 0] + x) * (2 / width) - 1, (flow[:, 1] + y) * (2 / height) - 1], -1)  # -1..1 from edge to edge
    inside = (place.detach().abs() <= 1).all(-1)
    return F.grid_sample(pictures, place, mode="bicubic", padding_mode="border", align_corners=False), inside[:, None].to(flow.dtype)


def resize_flow(flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring [B, 2, H, W] to another size; its vectors grow with the sides."""
    if tuple(flow.shape[2:]) == size:
        return flow
    ratio = flow.new_tensor([size[1] / flow.shape[3], size[0] / flow.shape[2]])
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * ratio[:, None, None]
