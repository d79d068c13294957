"""From a probed run to a map of what speaks for a label, with the frames that each of its time steps looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from vizkit.contracts import AttentionVolume, Grid, Provenance, Record, SampledClip, Settings
from vizkit.net.attention import METHODS, NOT_ON_VIDEO, PREDICTED, Method, attend
from vizkit.net.timemap import frames_covered

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

FAINT = 0.05
"""Maps whose values above zero reach so little of those below are said to be weak."""


class Params(Settings):
    """What is computed for Grad-CAM's view."""

    stage: str = ""
    """Stage ("res4"); empty for the last one."""
    target: str = PREDICTED
    """Label that is explained: its name or its number; "predicted" for the most probable one."""
    method: Method = "gradcam"
    """How activations and gradients make a map."""

    @field_validator("target", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("method", mode="before")
    @classmethod
    def _on_video(cls, value: object) -> object:
        if isinstance(value, str) and value in NOT_ON_VIDEO:
            raise ValueError(f"{value} cannot be had of a clip: {NOT_ON_VIDEO[value]}")
        return value


@dataclass(frozen=True, eq=False, repr=False)
class ClassAttention(Record):
    """Where a stage's features speak for a label, beside the frames."""

    volume: AttentionVolume
    """The raw map."""
    probability: float
    """Of the label, as the network says."""
    logit: float
    """Of the label."""
    frames_covered: NDArray[np.int64]
    """[T, 2] first and last sampled frame that a time step looks at; its own frames alone where ``covers_known`` is False."""
    covers_known: bool
    """Whether the windows in time could be followed."""
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
        """Check the shapes."""
        self._expect("frames_covered", (self.grid.shape[0], 2), {}, "int64")

    @property
    def grid(self) -> Grid:
        """Where the cells lie."""
        return self.volume.grid

    @property
    def values(self) -> NDArray[np.float32]:
        """[T, H, W] raw values at or above zero."""
        return self.volume.values

    @property
    def signed(self) -> NDArray[np.float32]:
        """[T, H, W] before negative values are cut off."""
        return self.volume.signed

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under the names of the record, and the sampled frames' numbers and times."""
        return {
            "values": self.values,
            "signed": self.signed,
            "frames_covered": self.frames_covered,
            "frame_index": self.clip.index,
            "frame_times_s": self.clip.times_s,
        }

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers."""
        return {
            "stage": self.volume.stage,
            "label": self.volume.label,
            "target": self.volume.target,
            "method": self.volume.method,
            "probability": self.probability,
            "logit": self.logit,
            "value_max": float(self.values.max()),
            "signed_min": float(self.signed.min()),
            "signed_max": float(self.signed.max()),
            "zero": not bool(self.values.any()),
        }


def unavailable(network: Network) -> str | None:
    """Why the view cannot be had of a network; None where it can."""
    return None if network.stages else f"{network.name} publishes no stages whose features could be looked at."


def analyze(run: ProbedRun, params: Params) -> ClassAttention:
    """Work out where a stage's features speak for a label.

    Args:
        run: a probed run.
        params: stage, label, method.

    Raises:
        SettingError: an unknown stage or label, or a map that is too large for the method.
        NotAvailableError: the network does not give the same logits again.
    """
    volume = attend(run, stage=params.stage or None, target=params.target, method=params.method)
    covered = frames_covered(run, run.network.stage(volume.stage))
    return ClassAttention(
        volume=volume,
        probability=float(run.prediction.probabilities[volume.target]),
        logit=float(run.prediction.logits[volume.target]),
        frames_covered=_own_frames(volume.grid, len(run.clip.frames)) if covered is None else covered,
        covers_known=covered is not None,
        clip=run.clip,
        params=params,
        shapes=_shapes(run, volume),
        notes=_notes(run, volume),
        provenance=replace(run.provenance, view="gradcam", params=params.model_dump()),
    )


def _own_frames(grid: Grid, frames: int) -> NDArray[np.int64]:
    """[T, 2] the frames from one time step to the next."""
    start = np.arange(grid.shape[0]) * grid.stride_frames
    return np.stack([start, np.minimum(start + grid.stride_frames, frames) - 1], -1).astype(np.int64)


def _shapes(run: ProbedRun, volume: AttentionVolume) -> tuple[tuple[str, str], ...]:
    frames, height, width, _ = run.clip.frames.shape
    features = run.taps[volume.stage].after.shape
    return (
        ("frames", f"{frames} x {height} x {width}"),
        (f"features at {volume.stage} (C x T x H x W)", " x ".join(str(side) for side in features)),
        ("label", f"{volume.label} ({volume.target} of {len(run.prediction.labels)})"),
        (f"{METHODS[volume.method].title}, sum over {features[0]} channels", " x ".join(str(side) for side in volume.values.shape)),
    )


def _notes(run: ProbedRun, volume: AttentionVolume) -> tuple[str, ...]:
    notes = run.switched_off
    if run.network.origin == "random":
        notes.append("The weights are random: this map is meaningless; it shows the picture, not what a network learned.")
    if volume.zero_because:
        notes.append(volume.zero_because)
    above, below, method = float(volume.values.max()), -float(volume.signed.min()), METHODS[volume.method]
    if method.uses_label and not method.decomposes and 0 < above < FAINT * below:
        notes.append(
            f"Next to nothing speaks for {volume.label!r}: values above zero reach {above:.2g}, those below {-below:.2g}. "
            "What is bright is weak all the same."
        )
    if not method.uses_label:
        notes.append(f"{method.title}: this map does not depend on the label.")
    if method.decomposes:
        notes.append("The sign of a principal component is arbitrary: what is shown as above zero may as well be below.")
    if volume.undefined_cells:
        notes.append(f"The formula gives no number for {volume.undefined_cells} of {volume.values.size} cells; they are shown as zero.")
    return tuple(notes)
