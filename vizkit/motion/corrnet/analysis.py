"""From a probed run to a correlation block's filters: where they point, how active they are, what one of them passes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from vizkit.contracts import COPIES, Grid, Provenance, Record, SampledClip, Settings
from vizkit.errors import SettingError, unknown_name
from vizkit.motion.corrnet.module import CorrelationBlock, CorrelationOperator
from vizkit.net.ops import correlate

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

FLAT = 1e-6  # weights that differ by less, relative to the largest (at least 1), are all the same
LAST_CHANNEL = 4095

Floats = NDArray[np.float32]


class Params(Settings):
    """What is computed for CorrNet's view."""

    block: str = ""
    """Correlation block ("res2.1"); empty for the shallowest one."""
    channel: int | None = Field(None, ge=0, le=LAST_CHANNEL)
    """Channel whose response on the clip is computed; None for the most active one (the strongest features where all filters are flat)."""
    response: Literal["passed", "learned"] = "passed"
    """What the channel's filter passes on; "learned": what it passes on beyond a flat filter of the same mean."""
    sort: Literal["index", "activity", "direction", "consistency"] = "index"
    """Order of the channels: by number, by falling activity, by the angle of their mean arrow, by falling consistency."""
    first: int = Field(0, ge=0, le=LAST_CHANNEL)
    """First channel shown, counted in that order."""
    channels_shown: int = Field(8, ge=1, le=64)
    """Number of channels shown."""


@dataclass(frozen=True, eq=False, repr=False)
class FilterGrid(Record):
    """The filters of one correlation block (figure 4), and the response of one channel's filters on the clip."""

    weights: Floats
    """[T, C, P, P] filters; row iy, column ix of a filter weigh the match at ``dilation_cells * (ix - R, iy - R)`` cells."""
    peak_xy: Floats
    """[T, C, 2] (x, y) cells, dilation included: where the largest weight lies in the previous frame; NaN where a filter is flat."""
    activity: Floats
    """[C] standard deviation of a channel's weights over all frames and neighbours."""
    consistency: Floats
    """[C] mean resultant length of a channel's arrows over the frames, 0..1; NaN with fewer than two arrows."""
    direction_deg: Floats
    """[C] angle of the mean arrow, from x to the right, clockwise on the screen, -180..180; NaN without arrows."""
    shown: NDArray[np.int64]
    """[N] channels in the order shown."""
    channel: int
    """Channel of the response."""
    response: Floats
    """[T, H, W] on ``grid``; see :func:`respond`."""
    match_xy: Floats
    """[T, H, W, 2] (x, y) cells: displacement with the largest output of the operator, summed over groups; NaN where all are equal."""
    dilation_cells: int
    """Cells between neighbours of a filter."""
    initial: float
    """Value around which the weights started."""
    grid: Grid
    """Grid of the block's features."""
    block: str
    """Name of the block."""
    clip: SampledClip
    """The frames."""
    params: Params
    """Settings of the analysis."""
    shapes: tuple[tuple[str, str], ...]
    """The strip frame -> features -> operator -> picture."""
    notes: tuple[str, ...]
    """What a reader must know."""
    provenance: Provenance
    """What it was made from."""

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        sizes = dict(zip("THW", self.grid.shape, strict=True))
        self._expect("weights", ("T", "C", "P", "P"), sizes, "float32")
        self._expect("peak_xy", ("T", "C", 2), sizes, "float32")
        for name in ("activity", "consistency", "direction_deg"):
            self._expect(name, ("C",), sizes, "float32")
        self._expect("shown", ("N",), sizes, "int64")
        self._expect("response", ("T", "H", "W"), sizes, "float32")
        self._expect("match_xy", ("T", "H", "W", 2), sizes, "float32")

    @property
    def patch(self) -> int:
        """Side of a filter."""
        return self.weights.shape[-1]

    @property
    def flat(self) -> NDArray[np.bool_]:
        """[T, C] filters whose weights are all the same."""
        return np.isnan(self.peak_xy[..., 0])

    @property
    def arrows(self) -> NDArray[np.bool_]:
        """[T, C] filters whose largest weight lies off the centre."""
        return (np.nan_to_num(self.peak_xy) != 0).any(-1)

    @property
    def unit_px(self) -> float:
        """Pixels between neighbours of a filter."""
        return self.dilation_cells * self.grid.stride_px

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under the names of the record, and the sampled frames' numbers and times."""
        names = ("weights", "peak_xy", "activity", "consistency", "direction_deg", "shown", "response", "match_xy")
        return {name: getattr(self, name) for name in names} | {"frame_index": self.clip.index, "frame_times_s": self.clip.times_s}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers."""
        several = ~np.isnan(self.consistency)
        return {
            "block": self.block,
            "filters": self.flat.size,
            "flat_share": float(self.flat.mean()),
            "arrow_share": float(self.arrows.mean()),
            "weight_min": float(self.weights.min()),
            "weight_max": float(self.weights.max()),
            "activity_max": float(self.activity.max()),
            **({"consistency_mean": float(self.consistency[several].mean())} if several.any() else {}),
            "channel": self.channel,
            "response_min": float(self.response.min()),
            "response_max": float(self.response.max()),
        }


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network; None where it can."""
    if correlation_blocks(network):
        return None
    return f"{network.name} has no correlation block, so there are no filters to show; corrnet-26, corrnet-50 and corrnet-101 have them."


def correlation_blocks(network: Network) -> list[str]:
    """Names of the correlation blocks, shallow to deep."""
    return [block.name for block in network.blocks if isinstance(network.module.get_submodule(block.path), CorrelationBlock)]


def analyze(run: ProbedRun, params: Params) -> FilterGrid:
    """Read the filters of a block and work out the response of one channel.

    The block's own steps are called again on its tapped input, so the picture is made by the code that computed the prediction.

    Args:
        run: a probed run.
        params: block, channel, order.

    Raises:
        SettingError: an unknown block, or a channel that it does not have.
        NotAvailableError: the block is switched off in this run.
    """
    name = params.block or _default_block(run)
    if name not in correlation_blocks(run.network):
        raise unknown_name("block", name, correlation_blocks(run.network))
    block, tap = run.block(name), run.taps[name]
    assert isinstance(block, CorrelationBlock)  # noqa: S101
    with torch.no_grad():
        features, filters, match_xy = _kept_steps(run, name, block, tap.before)
        weights = filters.cpu().numpy()
        peaks = find_peaks(weights, block.operator.dilation)
        activity = weights.std((0, 2, 3))
        channel = _channel(params, activity, bool(np.isnan(peaks).all()), features)
        response = respond(features, filters, block.operator, channel, learned=params.response == "learned")[0]
    length, angle = mean_direction(peaks)
    grid = tap.stage.grid(features.shape[2:])
    return FilterGrid(
        weights=weights,
        peak_xy=peaks,
        activity=activity,
        consistency=length,
        direction_deg=angle,
        shown=_shown(params, activity, length, angle),
        channel=channel,
        response=response.cpu().numpy(),
        match_xy=match_xy,
        dilation_cells=block.operator.dilation,
        initial=0.0 if block.operator.filtered and block.operator.initial == "kaiming" else 1.0,
        grid=grid,
        block=name,
        clip=run.clip,
        params=params,
        shapes=_shapes(run, tap.before, features, block.operator),
        notes=_notes(run, block.operator, grid, np.isnan(peaks[..., 0])),
        provenance=replace(run.provenance, view="corrnet", params=params.model_dump()),
    )


class _Steps(NamedTuple):
    """What a block works out on its way, whatever is shown of it."""

    features: torch.Tensor
    """[1, C, T, H, W] what the operator is given."""
    filters: torch.Tensor
    """[T, C, P, P] for the clip's frames."""
    match_xy: Floats
    """[T, H, W, 2] the displacement with the largest output."""


_KEPT: WeakKeyDictionary[ProbedRun, tuple[str, _Steps]] = WeakKeyDictionary()


def _kept_steps(run: ProbedRun, name: str, block: CorrelationBlock, before: torch.Tensor) -> _Steps:
    """The steps of a block; those of a run's last block are kept, as another channel or order correlates nothing anew."""
    kept = _KEPT.get(run)
    if kept is None or kept[0] != name:
        features = block.reduce(before[None])
        match = strongest_match(block.correlate(features), block.operator)[0]
        kept = name, _Steps(features, block.operator.filters_for(features.shape[2]).float(), match.cpu().numpy())
        _KEPT[run] = kept
    return kept[1]


def _default_block(run: ProbedRun) -> str:
    """The shallowest correlation block that is on."""
    blocks = correlation_blocks(run.network)
    return next((name for name in blocks if name not in run.without), blocks[0])


# --------------------------------------------------------------------------------------------- filters


def find_peaks(weights: Floats, dilation: int) -> Floats:
    """Where the arrows of figure 4 point: the largest weight (signed, not by amount; the first in row-major order of equal ones).

    Args:
        weights: [T, C, P, P].
        dilation: cells between neighbours.

    Returns:
        [T, C, 2] (x, y) cells from the centre, dilation included; NaN where all weights are the same up to 1e-6.
    """
    patch = weights.shape[-1]
    flat = weights.reshape(*weights.shape[:2], -1)
    row, column = np.divmod(flat.argmax(-1), patch)
    peaks = (np.stack([column, row], -1) - patch // 2).astype(np.float32) * dilation
    spread, largest = flat.max(-1) - flat.min(-1), np.abs(flat).max(-1)
    peaks[spread < FLAT * np.maximum(1, largest)] = np.nan
    return peaks


def mean_direction(peak_xy: Floats) -> tuple[Floats, Floats]:
    """Length and angle of the mean of each channel's unit arrows over the frames.

    Args:
        peak_xy: [T, C, 2] from :func:`find_peaks`; peaks at the centre and flat filters have no arrow.

    Returns:
        Mean resultant length [C], 1 where all arrows agree, NaN with fewer than two arrows; angle [C] in degrees from x to the
        right, clockwise on the screen, NaN without arrows.
    """
    size = np.linalg.norm(np.nan_to_num(peak_xy).astype(np.float64), axis=-1, keepdims=True)
    unit = np.divide(np.nan_to_num(peak_xy), size, out=np.zeros(peak_xy.shape), where=size > 0)
    count = (size[..., 0] > 0).sum(0)
    mean = unit.sum(0) / np.maximum(count, 1)[:, None]
    length = np.where(count > 1, np.minimum(np.linalg.norm(mean, axis=-1), 1), np.nan)
    angle = np.where(count > 0, np.degrees(np.arctan2(mean[:, 1], mean[:, 0])), np.nan)
    return length.astype(np.float32), angle.astype(np.float32)


def _shown(params: Params, activity: Floats, consistency: Floats, direction_deg: Floats) -> NDArray[np.int64]:
    """The channels shown; ties by number, channels without a value last."""
    number = np.arange(len(activity), dtype=np.float32)
    keys = {"index": number, "activity": -activity, "direction": direction_deg, "consistency": -consistency}
    if params.first >= len(activity):
        raise SettingError(f"first is {params.first}, but the block's filters have channels 0..{len(activity) - 1}.", code="channel")
    order = np.argsort(keys[params.sort], kind="stable")  # NaN goes last
    return order[params.first : params.first + params.channels_shown].astype(np.int64)


# --------------------------------------------------------------------------------------------- on the clip


def respond(
    features: torch.Tensor, filters: torch.Tensor, operator: CorrelationOperator, channel: int, *, learned: bool = False
) -> torch.Tensor:
    """What one channel adds to the operator's output, summed over the neighbours.

    ``response[t, y, x] = 1/g * sum over (iy, ix) of W[t, c, iy, ix] * Q[t, c, y, x] * Q[t-1, c, y + dy, x + dx]``, with the
    channel's features Q (frame 0 against itself), its filters W and the channels of a group g; ``learned`` puts W minus its mean
    over (iy, ix) in the place of W, so that a flat filter responds nowhere.

    Args:
        features: [B, C, T, H, W], what the operator is given.
        filters: [T, C, P, P], for the clip's frames.
        operator: gives dilation and groups.
        channel: c.
        learned: only what goes beyond a flat filter of the same mean.

    Returns:
        [B, T, H, W].
    """
    own, weights = features[:, channel : channel + 1], filters[:, channel : channel + 1]
    if learned:
        weights = weights - weights.mean((2, 3), keepdim=True)
    passed = correlate(own, operator.search(own), patch=operator.patch, dilation=operator.dilation, filters=weights, scale="sum")
    return passed.sum(1) * operator.groups / operator.channels


def strongest_match(correlated: torch.Tensor, operator: CorrelationOperator) -> torch.Tensor:
    """The displacement with the largest output of the operator, summed over its groups (the first in row-major order of equal ones).

    Args:
        correlated: [B, groups * P^2, T, H, W], the operator's output.
        operator: gives patch, dilation and groups.

    Returns:
        [B, T, H, W, 2] (x, y) cells, dilation included, into the previous frame; NaN where all displacements are equal.
    """
    total = correlated.unflatten(1, (operator.groups, -1)).sum(1)
    best = total.argmax(1)
    index = torch.stack([best % operator.patch, best // operator.patch], -1)
    match = (index - operator.patch // 2).float() * operator.dilation
    return match.masked_fill((total.amax(1) == total.amin(1))[..., None], torch.nan)


def _channel(params: Params, activity: Floats, flat: bool, features: torch.Tensor) -> int:
    """The channel asked for, else the most active one, else the one with the strongest features."""
    if params.channel is None:
        return int(features.square().mean((0, 2, 3, 4)).argmax()) if flat else int(activity.argmax())
    if params.channel >= len(activity):
        raise SettingError(f"channel is {params.channel}, but the block's filters have channels 0..{len(activity) - 1}.", code="channel")
    return params.channel


# --------------------------------------------------------------------------------------------- words


def _shapes(run: ProbedRun, before: torch.Tensor, features: torch.Tensor, operator: CorrelationOperator) -> tuple[tuple[str, str], ...]:
    frames, height, width, _ = run.clip.frames.shape
    filters = (features.shape[2], operator.channels, operator.patch, operator.patch)
    return (
        ("frames", f"{frames} x {height} x {width}"),
        ("features (C x T x H x W)", " x ".join(map(str, before.shape))),
        ("reduced features", " x ".join(map(str, features.shape[1:]))),
        ("filters (T x C x P x P)", " x ".join(map(str, filters))),
        ("operator", f"{operator.groups} x {operator.patch**2} channels, dilation {operator.dilation}"),
        ("picture", "one filter for each frame and channel"),
    )


def _notes(run: ProbedRun, operator: CorrelationOperator, grid: Grid, flat: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = run.switched_off
    if not operator.filtered:
        notes.append("This network correlates without filters: all weights are one, so there are no arrows.")
    elif flat.all():
        notes.append("All filters are flat, as at the start of training: nothing was learned yet, so there are no arrows.")
    elif flat.any():
        notes.append(f"{int(flat.sum())} of {flat.size} filters are flat and have no arrow.")
    if operator.filtered and grid.shape[0] != operator.frames:
        notes.append(f"The filters of {operator.frames} frames are interpolated to {grid.shape[0]}.")
    side = max(grid.shape[1:])
    if operator.patch // 2 * operator.dilation >= side:
        notes.append(f"The map has {grid.shape[1]} x {grid.shape[2]} cells: weights {side} or more cells away meet nothing.")
    if run.clip.repeats:
        notes.append(f"{COPIES}: a copy matches itself without motion.")
    notes.append(
        "Features are at or above zero, and zero beyond the image: responses, and what filters learn, lean towards small displacements."
    )
    return tuple(notes)
