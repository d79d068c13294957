"""Training configs: TOML, validated, complete."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vizkit.contracts import Settings
from vizkit.errors import SettingError
from vizkit.world.labels import Augmentation

SMALLEST_SCALE = 0.01
"""Where a schedule ends."""

Followed = Literal["out", "into"]


class Phase(Settings):
    """A part of a run with a learning rate cycle of its own: warm-up, then half a cosine down to zero."""

    clips: int = Field(ge=1)
    """Clips seen."""
    rendered: int = Field(0, ge=0)
    """Distinct clips of each side, rendered before the run and kept for every run that asks for the same; 0: every clip is a new one."""
    sides_px: tuple[Annotated[int, Field(ge=32, le=512)], ...] = Field((64,), min_length=1)
    """Frame sides; batches take them in turn."""
    frames: int | None = Field(None, ge=2, le=64)
    """Frames of a clip of the motion world in this phase, for networks that take any number; the config's when left out. The motion over
    a whole clip does not depend on it, so that fewer frames make faster motion."""
    nuisances: bool = True
    """Noise, shake, pan, bystanders; False makes an easy beginning."""
    peak_rate: float = Field(3e-3, gt=0)
    """Highest learning rate."""
    warm_up: float = Field(0.15, ge=0, le=1)
    """Share of the phase in which the rate rises from zero."""
    filters_rate: float = Field(4.0, ge=0)
    """What the rate of correlation filters is multiplied by; 0 leaves them as they are. See :mod:`vizkit.learn.optimizer`."""
    projection_rate: float = Field(1.0, ge=0)
    """What the rate of a projection in front of the network is multiplied by; 0 leaves it as it is."""


class JointTraining(Settings):
    """How ENoPR, the loss that needs no labels, is weighed against the labels in the gradient of a projection in front of the network."""

    weighting: Literal["mgda", "constant", "schedule"] = "mgda"
    """``mgda``: the closed form at every step; ``constant``: always ``scale``; ``schedule``: from ``scale`` down to 0.01."""
    scale: float = Field(1.0, gt=0)
    """Weight of ENoPR; at the start, where it is scheduled. Table 5 compares three constants, whose values are lost: try 0.1, 1, 10."""
    gamma: float = Field(1.0, gt=0)
    """Shape of the schedule: above 1 the weight stays large for longer."""
    normalized: bool = False
    """Whether both gradients of the projection are brought to length 1 before they are weighed. ENoPR's is often tens of times shorter
    than the labels': without this, ``mgda`` leaves the labels next to nothing, and the constants mean what the lengths happen to be."""
    follow: bool = False
    """Whether the true motion of cells is learned beside the labels, as with ``follow``; the projection takes part in it."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        users = {"scale": ("constant", "schedule"), "gamma": ("schedule",)}
        for name in users:
            if getattr(self, name) != type(self).model_fields[name].default and self.weighting not in users[name]:
                raise ValueError(f"{name} has no meaning with weighting '{self.weighting}', but with {' and '.join(users[name])}")
        if self.weighting == "schedule" and self.scale < SMALLEST_SCALE:
            raise ValueError(f"scale ({self.scale}) must not lie below the end of the schedule, {SMALLEST_SCALE}")
        return self


class VideoData(Settings):
    """Real videos to train on instead of the motion world, and which of them are for testing."""

    folder: str
    """Where the clips lie; give your own by ``--set videos.folder=...``."""
    lists: tuple[str, ...] = ()
    """CSV tables or Something-Something's lists, see :func:`vizkit.learn.listing.read_listing`; none for a folder for each class;
    ``["ut-interaction"]`` for the table of that data set, which ships with this project."""
    fold: int | None = None
    """Fold to test on; all others are trained on."""
    train: tuple[Literal["train", "val", "test"], ...] = Field(("train",), min_length=1)
    """Splits to train on, where there is no ``fold``."""
    test: Literal["train", "val", "test"] = "test"
    """Split to test on, where there is no ``fold``."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the groups to test on, where the data set gives neither folds nor splits."""
    direction: bool = False
    """Whether the network also says if a clip runs forwards or backwards: two labels for each class, every clip shown both ways."""
    mirror: bool = True
    """Whether half of the training clips are mirrored; not for classes that tell left from right."""
    kept_frames: int = Field(48, ge=2, le=64)
    """Frames of a clip that are kept to draw from."""
    kept_px: int = Field(144, ge=32, le=512)
    """Side of the kept frames; whole frames, their shape made square. Some of it is cropped away at random."""
    skip_bad: bool = False
    """Leave out clips that cannot be read, and say so; without it they end the run."""

    @property
    def ways(self) -> int:
        """How often a clip is shown in a batch."""
        return 2 if self.direction else 1


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
    followed: Followed = "out"
    """Which motion of a cell ``follow`` asks for: ``out`` of its frame, to the next one, or ``into`` it, from the frame before. Correlation
    operators compare a frame with the one before: what they see of a cell is the motion into its frame."""
    joint: JointTraining | None = None
    """Weighing of the two losses of ``joint``, its defaults when left out."""
    videos: VideoData | None = None
    """Real videos; None for the motion world."""
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
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """``bf16``: autocast for convolutions and linear layers (matching and positions stay float32); ``auto``: bf16 where the processor has
    instructions for it, else float32, as bf16 without them was some eight times slower (`c2d-18`, AVX2)."""
    augment: tuple[Augmentation, ...] = ()
    """What is done to half of the clips each; labels and true motion change with the frames."""
    seed: int = Field(0, ge=0)
    """Of the weights, of the order of the clips and of augmentations."""
    data_seed: int = Field(0, ge=0)
    """Of the world that the clips are from."""
    trap: float = Field(0.0, ge=0, le=1)
    """Share of the clips whose background has the colour of the label; augmentations that change the label would break the tie."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network is: ``cuda`` for a GPU (bf16 with ``auto`` where it can; float32 results differ from a processor's in the last
    bits)."""
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
    def _tied_to_the_label(self) -> Self:
        if self.trap and self.augment:
            raise ValueError("trap ties the background to the label, augment changes the label and not the background: take one of them")
        return self

    @model_validator(mode="after")
    def _joint_alone(self) -> Self:
        if self.joint is not None and self.objective != "joint":
            raise ValueError(f"joint belongs to objective 'joint', the objective is '{self.objective}'")
        return self

    @model_validator(mode="after")
    def _cells_followed(self) -> Self:
        if self.followed != "out" and self.objective != "follow":
            raise ValueError(f"followed belongs to objective 'follow', the objective is '{self.objective}'")
        return self

    @model_validator(mode="after")
    def _known_motion(self) -> Self:
        if self.videos is None:
            return self
        if self.objective in ("follow", "dense") or (self.joint and self.joint.follow):
            named = "joint.follow" if self.joint else f"objective '{self.objective}'"
            raise ValueError(f"{named} needs the known motion of the world; with videos take 'classify'")
        if self.augment or any(phase.rendered for phase in self.phases):
            raise ValueError("augment and rendered belong to the motion world; videos have crops and mirror")
        if self.batch % self.videos.ways:
            raise ValueError(f"batch is {self.batch}; with direction every clip is shown both ways, so it must be even")
        if self.videos.kept_frames < self.frames:
            raise ValueError(f"kept_frames ({self.videos.kept_frames}) must not be fewer than frames ({self.frames})")
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
