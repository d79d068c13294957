"""From a probed run to static and dynamic appearance, segment by segment, with other pictures of motion beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vizkit import baseline
from vizkit.contracts import COPIES, FAR_APART_S, Grid, Provenance, Record, SampledClip, Settings
from vizkit.errors import SettingError
from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.lengths import LONGEST, SHORTEST, LongerSequence, sequences
from vizkit.motion.pwtp.module import PWTP, project
from vizkit.motion.pwtp.network import BLOCK, STAGE, Front
from vizkit.motion.pwtp.objective import enopr

if TYPE_CHECKING:
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

Origin = Literal["own", "start", "fit"]
Pictures = NDArray[np.float32]

FRAMES, RANK = 8, 1  # the paper's, for a network without PWTP


class Params(Settings):
    """What is computed for PWTP's view."""

    frames: int | None = Field(None, ge=2, le=16)
    """T, sampled frames of a segment; None for the network's own, or 8 (all of a shorter clip)."""
    rank: int | None = Field(None, ge=1, le=16)
    """D, dimensions of the static subspace, at most T; None for the network's own, or 1."""
    fit_steps: int = Field(0, ge=0, le=1000)
    """Steps of training on this clip alone, without labels; 0 for the network's own projection, or an untrained one."""
    seed: int = Field(0, ge=0)
    """Of the projection that is fitted, or untrained."""
    tvl1: bool = True
    """Optical flow by TV-L1 between the frames of a segment."""
    tvnet: bool = True
    """Optical flow by TVNet, untrained, between the frames of a segment."""
    lengths: tuple[Annotated[int, Field(ge=SHORTEST, le=LONGEST)], ...] = Field((), max_length=6)
    """Also dynamic appearance of the first so many sampled frames, for each of these (the paper's figure 9)."""

    @field_validator("lengths", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


@dataclass(frozen=True, eq=False, repr=False)
class DynamicAppearance(Record):
    """Segments of one run, split into what stays and what changes; values are the network's normalised RGB."""

    static: Pictures
    """[segments, T, H, W, 3] projection of every pixel on its subspace."""
    residual: Pictures
    """[segments, T, H, W, 3] the rest."""
    dynamic: Pictures
    """[segments, H, W, 3] dynamic appearance: mean of the residual over time."""
    weight: Pictures
    """[segments, T, H, W] w of ``dynamic = mean over t of w_t x_t``: how much each frame adds at each pixel."""
    cosine: Pictures
    """[segments, H, W] cosine of the angle between the subspace and a constant: 1 where what never changes vanishes."""
    enopr: Pictures
    """[segments] root of the mean square of the residual."""
    enopr_of_mean: Pictures
    """[segments] the same for the temporal mean as static part."""
    dynamic_image: Pictures
    """[segments, H, W, 3] approximate rank pooling of the same frames."""
    dynamic_image_exact: Pictures
    """[segments, H, W, 3] exact rank pooling."""
    rgb_difference: Pictures
    """[segments, T - 1, H, W, 3] next frame minus frame."""
    flow_px: Pictures | None
    """[segments, T - 1, H, W, 2] TV-L1, from frame t to t + 1; None where it was not asked for."""
    flow_tvnet_px: Pictures | None
    """[segments, T - 1, H, W, 2] TVNet, likewise."""
    longer: tuple[LongerSequence, ...]
    """Dynamic appearance of the first so many frames; empty where it was not asked for."""
    frame_number: NDArray[np.int64]
    """[segments, T] sampled frames of every segment."""
    origin: Origin
    """Where the projection comes from: the network's ``own``, an untrained ``start``, or a ``fit`` to this clip."""
    rank: int
    """D, dimensions of the static subspace."""
    std: tuple[float, float, float]
    """What one unit of a value is, in RGB from 0 to 1."""
    clip: SampledClip
    """The frames."""
    grid: Grid
    """Pixels of the model's frames; a time step is a segment."""
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
        sizes: dict[str, int] = {}
        for name in ("static", "residual"):
            self._expect(name, ("segments", "T", "H", "W", 3), sizes, "float32")
        for name in ("dynamic", "dynamic_image", "dynamic_image_exact"):
            self._expect(name, ("segments", "H", "W", 3), sizes, "float32")
        self._expect("weight", ("segments", "T", "H", "W"), sizes, "float32")
        self._expect("cosine", ("segments", "H", "W"), sizes, "float32")
        self._expect("enopr", ("segments",), sizes, "float32")
        self._expect("enopr_of_mean", ("segments",), sizes, "float32")
        self._expect("rgb_difference", ("segments", sizes["T"] - 1, "H", "W", 3), sizes, "float32")
        self._expect("frame_number", ("segments", "T"), sizes, "int64")
        for name in ("flow_px", "flow_tvnet_px"):
            if getattr(self, name) is not None:
                self._expect(name, ("segments", sizes["T"] - 1, "H", "W", 2), sizes, "float32")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array of the record under its name; a flow that was not asked for is left out."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
        for sequence in self.longer:
            arrays |= sequence.arrays()
        return arrays | {"frame_index": self.clip.index, "frame_times_s": self.clip.times_s}

    def summary(self) -> dict[str, float | int | str | bool]:
        """What was found, in a few numbers."""
        segments, frames = self.weight.shape[:2]
        return {
            "segments": segments,
            "frames": frames,
            "projection": self.origin,
            "enopr_rms": float(self.enopr.mean()),
            "enopr_rms_of_temporal_mean": float(self.enopr_of_mean.mean()),
            "mean_abs_dynamic": float(np.abs(self.dynamic).mean()),
            "mean_cosine": float(self.cosine.mean()),
        }


def unavailable(_network: Network) -> str | None:
    """Why the view cannot be had of a network: never. A projection can be fitted to the frames of any."""
    return None


def analyze(run: ProbedRun, params: Params) -> DynamicAppearance:
    """Split the segments of a clip into static and dynamic appearance.

    A network with PWTP in front shows its own projection. The frames of any other are cut into segments, and projected by an
    untrained PWTP that starts from cosines (its static part is about the temporal mean), or by one that is trained on this clip.

    Args:
        run: a probed run.
        params: segments, rank, training, other pictures.

    Raises:
        SettingError: fewer frames than a segment or than two, a rank above them, or another T or D than those of the network's
            own projection.
        NotAvailableError: the network's own projection is asked for and switched off in this run.
    """
    projection, segments = _prepared(run, params)
    with torch.no_grad():
        parts = [_split(projection, segment[None]) for segment in segments]
    appearance = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    frames, rank = projection.frames, projection.rank
    numbers = np.arange(len(segments) * frames).reshape(-1, frames)
    return DynamicAppearance(
        **appearance,
        **_baselines(run, segments, params),  # type: ignore[arg-type]  # the flows alone may be None
        longer=_longer(run, params, rank),
        frame_number=numbers,
        origin=_origin(run, params),
        rank=rank,
        std=run.network.std,
        clip=run.clip,
        grid=Grid(STAGE, 0.0, 1.0, frames, (len(segments), *run.clip.frames.shape[1:3])),
        params=params,
        shapes=_shapes(run, projection, len(segments)),
        notes=(*_notes(run, params, numbers, rank), *_uneven(run, params)),
        provenance=replace(run.provenance, view="pwtp", params=params.model_dump()),
    )


def fit(run: ProbedRun, params: Params, on_step: Callable[[int, float], bool] | None = None) -> Params:
    """Train a projection on a run's clip, ahead of :func:`analyze`, which then finds it trained.

    Args:
        run: a probed run.
        params: as for :func:`analyze`; ``fit_steps`` steps at most.
        on_step: called after each step with its number (from 1) and its ENoPR; returning False stops.

    Returns:
        The same with the number of steps that were taken: a fit that was stopped is a fit of fewer steps.

    Raises:
        SettingError: see :func:`analyze`.
    """
    taken = 0

    def count(step: int, value: float) -> bool:
        nonlocal taken
        taken = step
        return on_step is None or on_step(step, value)

    segments = segments_of(run, params)
    rank = _rank(run, params)
    fitted = fit_to_clip(segments, rank=rank, steps=params.fit_steps, seed=params.seed, on_step=count)
    reached = params.model_copy(update={"fit_steps": taken})
    _kept(run)["fit", segments.shape[2], rank, taken, params.seed] = fitted
    return reached


def segments_of(run: ProbedRun, params: Params) -> torch.Tensor:
    """A run's frames as the network sees them, cut into segments: [S, 3, T, H, W]; frames that fill no segment are left out.

    Raises:
        SettingError: fewer frames than a segment or than two.
    """
    front = front_of(run.network)
    given = len(run.clip.frames)
    own = min(FRAMES, given) if front is None else front.pwtp.frames
    frames = params.frames or own
    if given < max(frames, 2):
        raise SettingError(
            f"The clip was sampled to {given} frame{'s' * (given != 1)}, but segments of {max(frames, 2)} are asked for; "
            "sample more frames, or choose fewer frames for a segment.",
            code="frames",
        )
    clip = run.network.normalized(run.clip.tensor)[0, :, : given // frames * frames]
    return clip.unflatten(1, (-1, frames)).transpose(0, 1).contiguous()


def front_of(network: Network) -> Front | None:
    """The network's own projection, if it has one."""
    blocks = [network.module.get_submodule(block.path) for block in network.blocks]
    return next((block for block in blocks if isinstance(block, Front)), None)


_KEPT: WeakKeyDictionary[ProbedRun, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()
"""Projections and flows of each run that is still there: the slow parts, which most settings leave alone."""


def _kept(run: ProbedRun) -> dict[tuple[Any, ...], Any]:
    return _KEPT.setdefault(run, {})


def _rank(run: ProbedRun, params: Params) -> int:
    front = front_of(run.network)
    return params.rank or (RANK if front is None else front.pwtp.rank)


def _origin(run: ProbedRun, params: Params) -> Origin:
    if params.fit_steps:
        return "fit"
    return "start" if front_of(run.network) is None else "own"


def _prepared(run: ProbedRun, params: Params) -> tuple[PWTP, torch.Tensor]:
    """The projection and the segments that it is for."""
    if _origin(run, params) == "own":
        front: Front = run.block(BLOCK)  # type: ignore[assignment]
        for name, asked, own in (("frames", params.frames, front.pwtp.frames), ("rank", params.rank, front.pwtp.rank)):
            if asked not in (None, own):
                raise SettingError(
                    f"{name} is {asked}, but the projection of {run.network.name} is for {own}; with fit_steps above 0 another one is "
                    "trained on this clip.",
                    code=name,
                )
        return front.pwtp, segments_of(run, params)
    segments, rank, kept = segments_of(run, params), _rank(run, params), _kept(run)
    key = ("fit", segments.shape[2], rank, params.fit_steps, params.seed)
    if key not in kept:
        kept[key] = fit_to_clip(segments, rank=rank, steps=params.fit_steps, seed=params.seed)
    return kept[key], segments


def _split(projection: PWTP, segment: torch.Tensor) -> dict[str, Pictures]:
    """The record's arrays of one segment [1, 3, T, H, W] that the projection makes, each with a first axis of one."""
    segment = segment.to(projection.conv.weight.device)
    subspace = projection.subspace(segment)
    static, residual = project(segment, subspace)
    constant, weight = project(torch.ones_like(segment[:, :1]), subspace)
    found = {
        "static": static.movedim(1, -1),
        "residual": residual.movedim(1, -1),
        "dynamic": residual.mean(2).movedim(1, -1),
        "weight": weight[:, 0],
        "cosine": constant[:, 0].square().sum(1).sqrt() / math.sqrt(projection.frames),
        "enopr": enopr(residual)[None],
        "enopr_of_mean": enopr(segment - segment.mean(2, keepdim=True))[None],
    }
    return {name: _array(value) for name, value in found.items()}


def _longer(run: ProbedRun, params: Params, rank: int) -> tuple[LongerSequence, ...]:
    """Sequences of different lengths; those of a run are kept as long as the run."""
    kept, key = _kept(run), ("longer", params.lengths, rank, params.fit_steps, params.seed)
    if key not in kept:
        clip = run.network.normalized(run.clip.tensor)[0]
        kept[key] = sequences(clip, params.lengths, rank=rank, steps=params.fit_steps, seed=params.seed)
    found: tuple[LongerSequence, ...] = kept[key]
    return found


def _uneven(run: ProbedRun, params: Params) -> list[str]:
    """A sentence where the frames of the longest sequence do not follow each other evenly."""
    if len(set(np.diff(run.clip.index[: max(params.lengths, default=0)]).tolist())) <= 1:
        return []
    return ["The frames of the longer sequences do not follow each other evenly; take neighbouring ones (sampling scheme=dense)."]


def _array(value: torch.Tensor) -> Pictures:
    return np.ascontiguousarray(value.float().cpu().numpy())


def _baselines(run: ProbedRun, segments: torch.Tensor, params: Params) -> dict[str, Pictures | None]:
    """The other pictures of the same segments."""
    made: dict[str, Callable[[], Pictures]] = {
        "dynamic_image": lambda: _array(baseline.dynamic_image(segments).movedim(1, -1)),
        "dynamic_image_exact": lambda: _array(baseline.dynamic_image(segments, exact=True).movedim(1, -1)),
        "rgb_difference": lambda: _array(baseline.rgb_difference(segments).movedim(1, -1)),
        "flow_px": lambda: _flow(run, segments.shape[2], baseline.tvl1),
        "flow_tvnet_px": lambda: _flow(run, segments.shape[2], baseline.TVNet()),
    }
    kept, found = _kept(run), {}
    for name, make in made.items():
        wanted = {"flow_px": params.tvl1, "flow_tvnet_px": params.tvnet}.get(name, True)
        key = (name, segments.shape[2])
        if wanted and key not in kept:
            kept[key] = make()
        found[name] = kept[key] if wanted else None
    return found


@torch.no_grad()
def _flow(run: ProbedRun, frames: int, estimate: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Pictures:
    """[segments, T - 1, H, W, 2] flow between the neighbouring frames of every segment, in [0, 1] and one segment at a time."""
    clip = run.clip.tensor[0].transpose(0, 1)  # [N, 3, H, W]
    starts = range(0, len(clip) - frames + 1, frames)
    return np.stack([_array(estimate(clip[start : start + frames - 1], clip[start + 1 : start + frames])) for start in starts])


def _shapes(run: ProbedRun, projection: PWTP, segments: int) -> tuple[tuple[str, str], ...]:
    count, height, width, _ = run.clip.frames.shape
    frames, rank = projection.frames, projection.rank
    cells = " x ".join(str(-(-side // projection.conv.stride[0])) for side in (height, width))
    return (
        ("frames", f"{count} x {height} x {width}"),
        ("segments", f"{segments} x {frames} frames"),
        ("similarities of all pairs of frames", f"{frames * (frames - 1) // 2} x {cells} cells"),
        ("subspace of every pixel", f"{rank} of {frames} dimensions"),
        ("picture", f"{segments} x {height} x {width} pixels"),
    )


def _notes(run: ProbedRun, params: Params, numbers: NDArray[np.int64], rank: int) -> tuple[str, ...]:
    notes = run.switched_off
    origin, network = _origin(run, params), run.network
    if origin == "start":
        notes.append(
            "The projection is untrained: it starts from cosines, whose first is constant, and what it leaves has no meaning yet. Fit it "
            "to this clip (fit_steps above 0) to see its motion."
        )
    elif origin == "own" and network.origin == "random":
        notes.append(f"The projection of {network.name} has random weights: what it calls static or dynamic has not been learned.")
    elif origin == "fit":
        notes.append(f"The projection was trained on this clip alone, {params.fit_steps} steps on ENoPR without labels.")
    frames = numbers.shape[1]
    if 2 * rank > frames:
        notes.append(f"rank is {rank}, above half of the {frames} frames of a segment: the residual holds little more than noise.")
    left = len(run.clip.frames) - numbers.size
    if left:
        notes.append(f"The last {left} of {len(run.clip.frames)} frames fill no segment of {frames} and are left out.")
    if any(len(set(run.clip.index[row].tolist())) < frames for row in numbers):
        notes.append(f"{COPIES}: nothing changes between copies of a frame.")
    apart_s = float(np.median(np.abs(np.diff(run.clip.times_s)[: frames - 1])))
    if apart_s > FAR_APART_S:
        notes.append(
            f"The frames of a segment lie {apart_s:.2g} s apart: things jump, and flow finds no match. Take frames that follow each other "
            f"(sampling frames_per_segment={frames}, or scheme=dense) to see motion."
        )
    return tuple(notes)
