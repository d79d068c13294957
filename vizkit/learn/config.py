"""Training configs: TOML, validated, complete."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vizkit.contracts import Settings
from vizkit.errors import SettingError

SMALLEST_SCALE = 0.01
"""Where a schedule ends."""


class Phase(Settings):
    """A part of a run with a learning rate cycle of its own: warm-up, then half a cosine down to zero."""

    clips: int = Field(ge=1)
    """Clips seen, each rendered once."""
    sides_px: tuple[Annotated[int, Field(ge=32, le=512)], ...] = Field((64,), min_length=1)
    """Frame sides; batches take them in turn."""
    nuisances: bool = True
    """Noise, shake, pan, bystanders; False makes an easy beginning."""
    peak_rate: float = Field(3e-3, gt=0)
    """Highest learning rate."""
    warm_up: float = Field(0.15, ge=0, le=1)
    """Share of the phase in which the rate rises from zero."""


class JointTraining(Settings):
    """How ENoPR, the loss that needs no labels, is weighed against the labels in the gradient of a projection in front of the network."""

    weighting: Literal["mgda", "constant", "schedule"] = "mgda"
    """``mgda``: the closed form at every step; ``constant``: always ``scale``; ``schedule``: from ``scale`` down to 0.01."""
    scale: float = Field(1.0, gt=0)
    """Weight of ENoPR; at the start, where it is scheduled. Table 5 compares three constants, whose values are lost: try 0.1, 1, 10."""
    gamma: float = Field(1.0, gt=0)
    """Shape of the schedule: above 1 the weight stays large for longer."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        users = {"scale": ("constant", "schedule"), "gamma": ("schedule",)}
        for name in users:
            if getattr(self, name) != type(self).model_fields[name].default and self.weighting not in users[name]:
                raise ValueError(f"{name} has no meaning with weighting '{self.weighting}', but with {' and '.join(users[name])}")
        if self.weighting == "schedule" and self.scale < SMALLEST_SCALE:
            raise ValueError(f"scale ({self.scale}) must not lie below the end of the schedule, {SMALLEST_SCALE}")
        return self


class TrainingConfig(Settings):
    """One training run."""

    name: str
    """Name of the checkpoint."""
    architecture: str
    """A named architecture."""
    options: dict[str, Any] = {}
    """Arguments of its builder."""
    objective: Literal["classify", "follow", "dense", "joint", "separate", "behind"] = "classify"
    """``classify``: cross-entropy on the 16 classes; ``follow``: that, and the true motion of cells; ``dense``: objects and true
    correspondences, no labels. For networks with PWTP in front: ``joint``: cross-entropy, and ENoPR for the projection; ``separate``:
    ENoPR alone, no labels, the backbone is left as it is; ``behind``: cross-entropy, the projection is left as it is."""
    joint: JointTraining | None = None
    """Weighing of the two losses of ``joint``, its defaults when left out."""
    start: str = ""
    """Checkpoint whose weights are taken where key and shape agree; empty for random weights."""
    twin: str = ""
    """Name of the checkpoint without the module."""
    phases: tuple[Phase, ...] = Field(min_length=1)
    """Parts of the run, one after the other."""
    frames: int = Field(8, ge=2, le=64)
    """Frames of a clip."""
    batch: int = Field(16, ge=1, le=256)
    """Clips of a step."""
    weight_decay: float = Field(0.02, ge=0)
    """AdamW's."""
    clip_norm: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""
    precision: Literal["float32", "bf16"] = "bf16"
    """``bf16``: autocast for convolutions and linear layers (matching and positions stay float32)."""
    seed: int = 0
    """Of the weights and of the data."""
    threads: int = Field(1, ge=1, le=64)
    """Intra-op threads; part of the config because the last bits depend on it."""
    notes: tuple[str, ...] = ()
    """Sentences for the card."""
    save_every: int = Field(1600, ge=1)
    """Clips between two saved states."""

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        short = min(phase.clips for phase in self.phases)
        if short < self.batch:
            raise ValueError(f"clips of a phase ({short}) must not be fewer than batch ({self.batch})")
        return self

    @model_validator(mode="after")
    def _joint_alone(self) -> Self:
        if self.joint is not None and self.objective != "joint":
            raise ValueError(f"joint belongs to objective 'joint', the objective is '{self.objective}'")
        return self

    @property
    def steps(self) -> int:
        """Number of steps of the whole run."""
        return sum(phase.clips // self.batch for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that a step belongs to and the step's number in it."""
        for phase in self.phases:
            if step < phase.clips // self.batch:
                return phase, step
            step -= phase.clips // self.batch
        raise IndexError(f"Step {step} lies after the end of the run.")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a config.

    Args:
        path: a TOML file.
        overrides: ``key=value`` texts; values are TOML (``batch=8``, ``start="world-start"``), dots go down (``options.width=8``).

    Raises:
        SettingError: the file or a value is not what it should be; the message lists what is known.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{Path(path).name}: there is no readable config of this name.", code="missing") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{Path(path).name}: not valid TOML ({error}).", code="config") from error
    for text in overrides:
        _override(values, text)
    return TrainingConfig.parse(**values)


def _override(values: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator:
        raise SettingError(f"--set needs key=value, got {text!r}.")
    *parents, leaf = key.strip().split(".")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise SettingError(f"--set {text}: {parent!r} has no parts to set; give it whole, as TOML.")
        values = inner
    values[leaf] = parsed
