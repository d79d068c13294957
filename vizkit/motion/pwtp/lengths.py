"""Dynamic appearance of sequences of different lengths with the same first frame (the paper's figure 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit import baseline
from vizkit.contracts import Record
from vizkit.errors import SettingError
from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.module import project
from vizkit.motion.pwtp.objective import enopr

SHORTEST, LONGEST = 4, 64


@dataclass(frozen=True, eq=False, repr=False)
class LongerSequence(Record):
    """Dynamic appearance of the first so many sampled frames; values are the network's normalised RGB."""

    frames: int
    """T."""
    dynamic: NDArray[np.float32]
    """[H, W, 3] dynamic appearance: mean of the residual over time."""
    dynamic_image: NDArray[np.float32]
    """[H, W, 3] approximate rank pooling of the same frames."""
    enopr: float
    """Root of the mean square of the residual."""
    enopr_of_mean: float
    """The same for the temporal mean as static part."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        sizes: dict[str, int] = {}
        for name in ("dynamic", "dynamic_image"):
            self._expect(name, ("H", "W", 3), sizes, "float32")

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The pictures under names that hold the length."""
        return {f"{name}_{self.frames}": getattr(self, name) for name in ("dynamic", "dynamic_image")}


def usual_lengths(frames: int) -> tuple[int, ...]:
    """4, 8, 16 and so on, up to a number of frames and 64.

    Args:
        frames: sampled frames.
    """
    return tuple(2**power for power in range(2, 7) if 2**power <= frames)


def sequences(clip: torch.Tensor, lengths: Sequence[int], *, rank: int, steps: int, seed: int) -> tuple[LongerSequence, ...]:
    """Dynamic appearance of the first T frames, for several T.

    Every length has a projection of its own, made in the same way: a network's own one knows a single length.

    Args:
        clip: [3, N, H, W] normalised frames.
        lengths: T of each, at most N.
        rank: D.
        steps: of training each projection on its own frames; 0 for untrained ones.
        seed: of the projections.

    Raises:
        SettingError: more frames than there are, or a rank that the shortest does not have.
    """
    if max(lengths, default=0) > clip.shape[1]:
        raise SettingError(
            f"lengths has {max(lengths)}, but the clip was sampled to {clip.shape[1]} frames; sample more, or choose shorter sequences.",
            code="lengths",
        )
    return tuple(_sequence(clip[None, :, :length].contiguous(), rank, steps, seed) for length in lengths)


def _sequence(segment: torch.Tensor, rank: int, steps: int, seed: int) -> LongerSequence:
    """Of one sequence [1, 3, T, H, W]."""
    projection = fit_to_clip(segment, rank=rank, steps=steps, seed=seed)
    with torch.no_grad():
        residual = project(segment, projection.subspace(segment))[1]
        image = baseline.dynamic_image(segment)
        pictures = (value[0].movedim(0, -1).float().cpu().numpy() for value in (residual.mean(2), image))
        dynamic, dynamic_image = (np.ascontiguousarray(picture) for picture in pictures)
        left, mean_left = (float(enopr(value)) for value in (residual, segment - segment.mean(2, keepdim=True)))
    return LongerSequence(segment.shape[2], dynamic, dynamic_image, left, mean_left)
