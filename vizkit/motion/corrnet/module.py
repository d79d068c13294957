"""The learnable correlation operator over a clip, and the two blocks that put it into a network.

Source: Wang, Tran, Torresani, Feiszli, "Video Modeling with Correlation Networks", CVPR 2020, section 3, equation 1, figures 1 and 2.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypedDict, Unpack, get_args

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from vizkit.contracts import Settings
from vizkit.errors import SettingError, unknown_name
from vizkit.net.ops import correlate

Initial = Literal["ones", "kaiming"]
OtherLength = Literal["error", "interpolate"]


class OperatorSettings(TypedDict, total=False):
    """What a block hands on to its :class:`CorrelationOperator`, which describes it."""

    patch: int
    dilation: int
    group_size: int | None
    filtered: bool
    initial: Initial
    other_length: OtherLength


class RunTime(Settings):
    """What can be changed with the weights as they are."""

    dilation: int = Field(2, ge=1, le=8)
    """Cells between the neighbours that a filter weighs."""
    other_length: OtherLength = "error"
    """What happens to a clip of another length than the filters'."""


class CorrelationOperator(nn.Module):
    """Correlation of every frame with the frame before it, with a filter per frame, channel and displacement (section 3).

    ``out[b, n*P^2 + iy*P + ix, t, y, x]`` is the mean, over the channels c of group n, of
    ``filters[t, c, iy, ix] * x[b, c, t, y, x] * x[b, c, t-1, y + dilation*(iy-R), x + dilation*(ix-R)]``, R = (P-1)/2: a filter's
    largest weight points to where the match lies in the *previous* frame. Frame 0 is correlated with itself; outside the image
    the searched features are zero.

    Args:
        channels: C.
        frames: T, length of the clips at this depth; every frame number has filters of its own.
        patch: P, side of the neighbourhood, odd.
        dilation: cells between its neighbours.
        group_size: channels of a group, a divisor of C; one group where C is smaller or this is None.
        filtered: False leaves the filters out: all stay one and are no parameters (table 4, "w/o filter").
        initial: start of the filters: ``"ones"``, the plain group correlation, or ``"kaiming"``, a normal distribution of
            variance 2 / (T P^2). The paper does not say.
        other_length: what happens to a clip of another length than ``frames``: ``"error"``, or ``"interpolate"``, linearly along
            the frames, the first filter staying with the first frame and the last with the last. Without filters any length will do.

    Raises:
        SettingError: an even patch, channels that are no multiple of the group size, or a number below one.
    """

    filters: torch.Tensor
    """[T, C, P, P]"""
    RunTime: ClassVar = RunTime

    def __init__(
        self,
        channels: int,
        frames: int,
        *,
        patch: int = 7,
        dilation: int = 2,
        group_size: int | None = 32,
        filtered: bool = True,
        initial: Initial = "ones",
        other_length: OtherLength = "error",
    ) -> None:
        super().__init__()
        sizes = {"channels": channels, "frames": frames, "patch": patch, "dilation": dilation, "group_size": group_size or channels}
        for name, size in sizes.items():
            if size < 1:
                raise SettingError(f"{name} is {size}, at least 1 is needed.")
        if patch % 2 == 0:
            raise SettingError(f"patch is {patch}, an odd number of cells is needed.", code="patch")
        for kind, given, known in (("initial", initial, get_args(Initial)), ("other_length", other_length, get_args(OtherLength))):
            if given not in known:
                raise unknown_name(kind, given, known)
        inside = min(group_size or channels, channels)
        if channels % inside:
            raise SettingError(f"group_size is {group_size}, but {channels} channels are no multiple of it.", code="groups")
        self.channels, self.frames, self.patch, self.dilation, self.groups = channels, frames, patch, dilation, channels // inside
        self.filtered, self.initial, self.other_length = filtered, initial, other_length
        start = torch.ones(frames, channels, patch, patch)
        if filtered:
            deviation = (2 / (frames * patch**2)) ** 0.5
            self.filters = nn.Parameter(torch.randn_like(start) * deviation if initial == "kaiming" else start)
        else:
            self.register_buffer("filters", start, persistent=False)

    @property
    def out_channels(self) -> int:
        """Channels of the output: groups times neighbours."""
        return self.groups * self.patch**2

    @staticmethod
    def search(x: torch.Tensor) -> torch.Tensor:
        """The frame that each frame is searched in: the one before, frame 0 for frame 0. [B, C, T, H, W] -> the same shape."""
        return torch.cat([x[:, :, :1], x[:, :, :-1]], dim=2)

    def fixed(self) -> dict[str, str]:
        """Settings that the weights were made for, each with the reason."""
        side = f"{self.patch} x {self.patch}"
        return {
            "patch": f"a filter has {side} learned weights.",
            "group_size": f"the next layer takes {self.out_channels} channels, {self.groups} groups x {side} neighbours.",
        }

    def filters_for(self, frames: int) -> torch.Tensor:
        """The filters of a clip of so many frames: [frames, C, P, P].

        Raises:
            SettingError: another length than the filters', where that is not interpolated.
        """
        if frames == self.frames:
            return self.filters
        if not self.filtered:
            return self.filters[:1].expand(frames, -1, -1, -1)
        if self.other_length == "error":
            raise SettingError(
                f"A clip has {frames} frames where correlation filters for {self.frames} stand; sample clips of that length "
                f"({self.frames} segments, or frames), or build the network with other_length='interpolate'.",
                code="frames",
            )
        along = self.filters.flatten(1).T[None]  # [1, C*P*P, T]
        return F.interpolate(along, size=frames, mode="linear", align_corners=True)[0].T.unflatten(1, self.filters.shape[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, groups * P^2, T, H, W], group by group, neighbours row by row."""
        filters = self.filters_for(x.shape[2])
        return correlate(
            x, self.search(x), patch=self.patch, dilation=self.dilation, groups=self.groups, filters=filters if self.filtered else None
        )


class FrameNorm(nn.Module):
    """Batch norm with means, variances, weights and biases for each frame number, as the filters have.

    A norm over all frames leaves the filters the ratios between frames, and what they learn first is *when* in a clip a displacement
    counts, all channels alike. Here weights and biases of the norm say that, and filters say which channels count where.

    Args:
        channels: C.
        frames: T.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.norm = nn.BatchNorm2d(channels * frames)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> the same shape.

        Raises:
            SettingError: a clip of another length.
        """
        if x.shape[2] != self.frames:
            raise SettingError(f"A clip has {x.shape[2]} frames where a norm for {self.frames} stands.", code="frames")
        normed: torch.Tensor = self.norm(x.flatten(1, 2))
        return normed.view(x.shape)


class CorrelationBlock(nn.Module):
    """What both blocks of figure 2 share: :meth:`reduce`, then :meth:`correlate`. Every convolution is 1 x 1 x 1, without bias, with norm.

    Args:
        channels: C, in and out.
        frames: T, length of the clips at this depth.
        reduction: the operator works on C // reduction channels.
        frame_norm: the norm after the operator treats each frame number by itself, see :class:`FrameNorm`.
        settings: of the operator.

    Raises:
        SettingError: a reduction out of range, or ``frame_norm`` beside ``other_length="interpolate"``.
    """

    def __init__(
        self, channels: int, frames: int, *, reduction: int = 4, frame_norm: bool = False, **settings: Unpack[OperatorSettings]
    ) -> None:
        super().__init__()
        if frame_norm and settings.get("other_length") == "interpolate":
            raise SettingError("frame_norm is True, which ties the block to one length: it needs other_length='error'.", code="frames")
        if not 1 <= reduction <= channels:
            raise SettingError(f"reduction is {reduction}, 1..{channels} is accepted for {channels} channels.")
        reduced = channels // reduction
        self.reduction = nn.Sequential(_pointwise(channels, reduced), nn.BatchNorm3d(reduced), nn.ReLU(inplace=True))
        self.operator = CorrelationOperator(reduced, frames, **settings)
        outputs = self.operator.out_channels
        self.norm = FrameNorm(outputs, frames) if frame_norm else nn.BatchNorm3d(outputs)

    def reduce(self, x: torch.Tensor) -> torch.Tensor:
        """Features that are matched: [B, C, T, H, W] -> [B, C // reduction, T, H, W], at or above zero."""
        return self.reduction(x)

    def correlate(self, reduced: torch.Tensor) -> torch.Tensor:
        """The operator on what :meth:`reduce` gave: [B, groups * P^2, T, H, W]."""
        return self.operator(reduced)

    @staticmethod
    def neutral(x: torch.Tensor) -> torch.Tensor:
        """What leaves when the block is switched off: its input."""
        return x


class CorrelationSum(CorrelationBlock):
    """Correlation-sum block (figure 2 a): a bottleneck whose 3 x 3 is the operator, with a shortcut.

    The steps are public and are what :meth:`forward` runs: :meth:`reduce`, :meth:`correlate`, :meth:`expand`. Norm and ReLU after the
    operator are ours, as in any bottleneck; arguments as :class:`CorrelationBlock`.
    """

    def __init__(
        self, channels: int, frames: int, *, reduction: int = 4, frame_norm: bool = False, **settings: Unpack[OperatorSettings]
    ) -> None:
        super().__init__(channels, frames, reduction=reduction, frame_norm=frame_norm, **settings)
        self.expansion = nn.Sequential(_pointwise(self.operator.out_channels, channels), nn.BatchNorm3d(channels))

    def expand(self, correlated: torch.Tensor) -> torch.Tensor:
        """Norm, ReLU and back to C channels: [B, groups * P^2, T, H, W] -> [B, C, T, H, W], what is added."""
        return self.expansion(F.relu(self.norm(correlated)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> the same shape."""
        return F.relu(x + self.expand(self.correlate(self.reduce(x))))


class CorrelationConcat(CorrelationBlock):
    """Correlation-concat block (figure 2 b): the operator's output beside a 1 x 1 x 1 branch, without a shortcut.

    The figure's channels are not told in the text; here both branches together keep C, so that groups * P^2 has to be below C.
    Steps: :meth:`reduce`, :meth:`correlate`, :meth:`concatenate` with :meth:`carry`; arguments as :class:`CorrelationBlock`.
    """

    def __init__(
        self, channels: int, frames: int, *, reduction: int = 4, frame_norm: bool = False, **settings: Unpack[OperatorSettings]
    ) -> None:
        super().__init__(channels, frames, reduction=reduction, frame_norm=frame_norm, **settings)
        carried = channels - self.operator.out_channels
        if carried < 1:
            raise SettingError(
                f"patch is {self.operator.patch} and the groups are {self.operator.groups}: the correlation gives "
                f"{self.operator.out_channels} channels, and the concat block needs fewer than its {channels}.",
                code="channels",
            )
        self.carrier = nn.Sequential(_pointwise(channels, carried), nn.BatchNorm3d(carried), nn.ReLU(inplace=True))

    def carry(self, x: torch.Tensor) -> torch.Tensor:
        """The other branch: [B, C, T, H, W] -> [B, C - groups * P^2, T, H, W]."""
        return self.carrier(x)

    def concatenate(self, correlated: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """Norm and ReLU of the correlation, then the other branch: [B, C, T, H, W]."""
        return torch.cat([F.relu(self.norm(correlated)), carried], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] -> the same shape."""
        return self.concatenate(self.correlate(self.reduce(x)), self.carry(x))


def _pointwise(inputs: int, outputs: int) -> nn.Conv3d:
    """A 1 x 1 x 1 convolution, started like those of the backbone."""
    layer = nn.Conv3d(inputs, outputs, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
