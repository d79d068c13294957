"""Pixel-wise temporal projection: what of a segment does not change stays behind, what changes becomes one RGB-like frame.

Source: "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training", sections 3.1 to 3.3, figures 2 and 3.
Formulas that the text lost are derived in docs/pwtp.md.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from vizkit.baseline import rank_pooling_weights
from vizkit.errors import SettingError, unknown_name

Initial = Literal["random", "dct", "rank"]

RIDGE = 1e-6  # of the subspace's mean energy: columns that coincide or vanish have no inverse, and QR gives NaN gradients there
FLOOR = 1e-12
DCT_GAIN = 0.1
RANK_BEND, RANK_GAIN = 0.01, 0.002


def project(x: torch.Tensor, subspace: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split every pixel's values along time into their projection on that pixel's subspace and the rest: ``P = A (A^T A)^-1 A^T X``.

    A^T A has 1e-6 of its mean diagonal (and 1e-12) added to its diagonal, so that columns that vanish or coincide give finite values
    and gradients: they span what is left of them. Computed in float32 where the input or autocast has fewer digits.

    Args:
        x: [B, C, T, H, W].
        subspace: A, [B, T, D, H, W]: D columns along time for every pixel.

    Returns:
        ``static`` (P) and ``residual`` (X - P), [B, C, T, H, W] both.

    Raises:
        SettingError: shapes that do not belong together.
    """
    wanted = (x.shape[0], x.shape[2], *x.shape[3:]) if x.dim() == 5 else ()
    if subspace.dim() != 5 or wanted != (*subspace.shape[:2], *subspace.shape[3:]):
        told = "x [B, C, T, H, W] and subspace [B, T, D, H, W] of the same B, T, H, W are accepted"
        raise SettingError(f"x has shape {tuple(x.shape)} and subspace {tuple(subspace.shape)}, but {told}.", code="shape")
    digits = torch.promote_types(torch.promote_types(x.dtype, subspace.dtype), torch.float32)
    with torch.autocast(x.device.type if x.device.type != "meta" else "cpu", enabled=False):
        values, columns = x.to(digits), subspace.to(digits)
        static = _onto_line(values, columns[:, :, 0]) if columns.shape[2] == 1 else _onto_span(values, columns)
        return static.to(x.dtype), (values - static).to(x.dtype)


def _onto_line(values: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
    """Projection of [B, C, T, H, W] on one column [B, T, H, W] per pixel."""
    energy = line.square().sum(1) * (1 + RIDGE) + FLOOR  # [B, H, W]
    coefficient = (values * line[:, None]).sum(2) / energy[:, None]  # [B, C, H, W]
    return coefficient[:, :, None] * line[:, None]


def _onto_span(values: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Projection of [B, C, T, H, W] on the span of [B, T, D, H, W] per pixel."""
    pixels = columns.permute(0, 3, 4, 1, 2)  # [B, H, W, T, D]
    gram = pixels.mT @ pixels  # [B, H, W, D, D]
    mean_energy = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    gram = gram + (RIDGE * mean_energy + FLOOR) * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    coefficients = torch.linalg.solve(gram, pixels.mT @ values.permute(0, 3, 4, 2, 1))  # [B, H, W, D, C]
    return (pixels @ coefficients).permute(0, 4, 3, 1, 2)


class ResidualUnit(nn.Module):
    """``y + GELU(FC(GELU(FC(BN(y)))))`` on every position, through a narrow middle (figure 3)."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.down = nn.Conv2d(channels, middle, 1)
        self.up = nn.Conv2d(middle, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, E, h, w] -> the same shape."""
        return x + F.gelu(self.up(F.gelu(self.down(self.norm(x)))))


class PWTP(nn.Module):
    """Pixel-wise temporal projection of one segment: [B, 3, T, H, W] -> its dynamic appearance [B, 3, H, W].

    The steps are public and are what :meth:`forward` runs: :meth:`embed`, :meth:`compare`, :meth:`span`, :meth:`upsample`
    (together :meth:`subspace`), :func:`project` (:meth:`separate`). Fully connected layers act on every position, as 1 x 1 convolutions.

    Args:
        frames: T, length of a segment, at least 2.
        rank: D, dimensions of the static subspace. Above T / 2 little but noise is left of the residual.
        kernel: side of the first convolution, odd, padded by half of it.
        stride: its stride.
        channels: its outputs.
        expansion: e; the MLP is e times T (T - 1) / 2 wide.
        bottleneck: r; the middle of a residual unit is that share of the MLP wide, rounded up.
        blocks: number of residual units.
        in_channels: C of the input, 3 for RGB.
        initial: start of the last layer: ``"random"``, or ``"dct"``, whose bias is the first D cosines of the DCT-II (the first one
            constant, so that an untrained module already gives about the temporal mean as static part) with a tenth of the weights, or
            ``"rank"``, likewise, but with 0.002 of the weights and the first column at 1 - 0.01 alpha, alpha the weights of a dynamic
            image: an untrained module then gives about a faint dynamic image, of which one frame can tell a motion from its reversal.

    Raises:
        SettingError: a number below what is needed, a rank above the frames, an even kernel, an unknown start.
    """

    def __init__(
        self,
        frames: int = 8,
        rank: int = 1,
        kernel: int = 9,
        stride: int = 8,
        channels: int = 24,
        expansion: int = 2,
        bottleneck: float = 0.25,
        blocks: int = 1,
        in_channels: int = 3,
        initial: Initial = "random",
    ) -> None:
        super().__init__()
        sizes = {"kernel": kernel, "stride": stride, "channels": channels, "expansion": expansion, "in_channels": in_channels}
        for name, number, least in (("frames", frames, 2), ("blocks", blocks, 0), *((name, number, 1) for name, number in sizes.items())):
            if number < least:
                raise SettingError(f"{name} is {number}, at least {least} is needed.", code=name)
        if not 1 <= rank <= frames:
            raise SettingError(f"rank is {rank}, but 1 to {frames} is accepted for {frames} frames (the paper: at most half).", code="rank")
        if kernel % 2 == 0:
            raise SettingError(f"kernel is {kernel}, an odd number of pixels is needed.", code="kernel")
        if not 0 < bottleneck <= 1:
            raise SettingError(f"bottleneck is {bottleneck}, a share above 0 and up to 1 is needed.", code="bottleneck")
        if initial not in get_args(Initial):
            raise unknown_name("initial", initial, get_args(Initial))
        self.frames, self.rank = frames, rank
        pairs = frames * (frames - 1) // 2
        width = expansion * pairs
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)
        self.expand = nn.Conv2d(pairs, width, 1)
        self.units = nn.Sequential(*(ResidualUnit(width, math.ceil(round(bottleneck * width, 6))) for _ in range(blocks)))
        self.out = nn.Conv2d(width, frames * rank, 1)
        if initial != "random":
            self.start_from_cosines(rank_pooling_weights(frames) if initial == "rank" else None)

    @torch.no_grad()
    def start_from_cosines(self, alpha: torch.Tensor | None = None) -> None:
        """Start the last layer by cosines, the first of them bent by weights of frames ``alpha`` [T], see ``initial``."""
        centre = torch.arange(self.frames)[:, None] + 0.5
        columns = torch.cos(math.pi / self.frames * centre * torch.arange(self.rank))  # [T, D]
        if alpha is not None:
            columns[:, 0] -= RANK_BEND * alpha.to(columns.dtype)
        self.out.weight.mul_(DCT_GAIN if alpha is None else RANK_GAIN)
        self.out.bias.copy_(columns.flatten())  # type: ignore[union-attr]  # the layer has a bias

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution on every frame: [B, C, T, H, W] -> [B, T, channels, h, w], h = ceil(H / stride).

        Raises:
            SettingError: other axes, or another number of frames than the module was built for.
        """
        if x.dim() != 5:
            raise SettingError(f"x has shape {tuple(x.shape)}, but 5 axes [B, C, T, H, W] are accepted.", code="shape")
        if x.shape[2] != self.frames:
            raise SettingError(
                f"A segment has {x.shape[2]} frames where a projection for {self.frames} stands; sample segments of that length, or "
                "build the module with another number of frames.",
                code="frames",
            )
        embedded: torch.Tensor = self.conv(x.transpose(1, 2).flatten(0, 1))
        return embedded.unflatten(0, (-1, self.frames))

    @staticmethod
    def compare(embedded: torch.Tensor) -> torch.Tensor:
        """Dot products of all pairs of frames i < j, 01, 02, .., 12, ..: [B, T, channels, h, w] -> [B, T (T - 1) / 2, h, w]."""
        frames = range(embedded.shape[1] - 1)
        return torch.cat([(embedded[:, [i]] * embedded[:, i + 1 :]).sum(2) for i in frames], dim=1)

    def span(self, products: torch.Tensor) -> torch.Tensor:
        """The MLP on every position: [B, T (T - 1) / 2, h, w] -> columns of the subspace [B, T, D, h, w]."""
        columns: torch.Tensor = self.out(self.units(F.gelu(self.expand(products))))
        return columns.unflatten(1, (self.frames, self.rank))

    @staticmethod
    def upsample(columns: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        """Bilinear, to the size of the frames: [B, T, D, h, w] -> [B, T, D, H, W]."""
        fine = F.interpolate(columns.flatten(1, 2), size=size_hw, mode="bilinear", align_corners=False)
        return fine.unflatten(1, columns.shape[1:3])

    def subspace(self, x: torch.Tensor) -> torch.Tensor:
        """The static subspace of every pixel, from [B, C, T, H, W]: [B, T, D, H, W]."""
        return self.upsample(self.span(self.compare(self.embed(x))), (x.shape[3], x.shape[4]))

    @staticmethod
    def project(x: torch.Tensor, subspace: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Static appearance and residual of [B, C, T, H, W] on a given subspace [B, T, D, H, W]: :func:`project`."""
        return project(x, subspace)

    def separate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Static appearance and residual of [B, C, T, H, W], of the same shape each; see :func:`project`."""
        return self.project(x, self.subspace(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> dynamic appearance, the mean of the residual over time: [B, C, H, W]."""
        return self.separate(x)[1].mean(2)

    def fixed(self) -> dict[str, str]:
        """Settings that the weights were made for, each with the reason."""
        reason = f"the last convolution gives {self.frames} frames x {self.rank} dimensions at every pixel."
        return {"frames": reason, "rank": reason}

    @staticmethod
    def neutral(x: torch.Tensor) -> torch.Tensor:
        """What a backbone sees when the projection is switched off: the middle frame, [B, C, T, H, W] -> [B, C, H, W]."""
        return x[:, :, x.shape[2] // 2]
