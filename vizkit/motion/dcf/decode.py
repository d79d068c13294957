"""From a correlation volume to a displacement and how sure it is: what the colours of the paper's figures 4 and 5 show.

The paper does not say how it turned K x K correlations into one direction; this decoder was chosen by its error on known motion
(docs/dcf.md, section 6).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from vizkit.errors import SettingError

SHARPNESS = 3.0  # beta of the softmax
FLATNESS = 0.1  # share of the median spread that is added to each cell's own: flat cells count as flat
TINY = 1e-12
CACHED = 100_000  # values that are decoded at once; they stay in the cache
FAR = 1e9  # below every standardised correlation


class Decoded(NamedTuple):
    """The result of :func:`decode_displacement`."""

    displacement_cells: torch.Tensor
    """[..., H, W, 2] (x, y) from each cell to its match."""
    confidence: torch.Tensor
    """[..., H, W] in 0..1: 1 for one sharp peak, 0 for a flat neighbourhood; times the share of the neighbourhood inside the map."""


def neighborhood_cells(patch: int, dilation: int = 1) -> torch.Tensor:
    """Displacements of a neighbourhood: int64 [patch^2, 2] (x, y) in cells, row by row."""
    steps = (torch.arange(patch) - patch // 2) * dilation
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)


def inside_map(height: int, width: int, patch: int, dilation: int = 1) -> torch.Tensor:
    """Which displaced cells lie inside the map: bool [patch^2, H, W]."""
    x, y = neighborhood_cells(patch, dilation).T[:, :, None, None]
    columns, rows = torch.arange(width) + x, torch.arange(height)[:, None] + y
    return (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)


def decode_displacement(volume: torch.Tensor, *, patch: int, dilation: int = 1, inside: torch.Tensor | None = None) -> Decoded:
    """Decode the displacement of each cell by a local soft-argmax, and a confidence from the entropy of the whole neighbourhood.

    1. Correlations are standardised over the part of the neighbourhood that lies inside the map: z = (c - mean) / (std + 0.1 m), m the
       median over the map of std. So a flat cell stays flat, and brightness or contrast of the features plays no part.
    2. The displacement is the mean of the 3 x 3 neighbours around the largest z (the centre where it ties), weighted by softmax(3 z).
    3. The confidence is 1 - entropy(softmax(3 z)) / log(n) over all n neighbours inside, times n / patch^2.

    Args:
        volume: [..., patch^2, H, W] correlations, row-major displacements (x fastest); half types are decoded in float32.
        patch: cells on a side of the neighbourhood, odd.
        dilation: distance of its cells.
        inside: bool [patch^2, H, W], which correlations are whole; those whose target lies inside the map when None.

    Returns:
        ``displacement_cells`` [..., H, W, 2] (x, y), in cells of the map, and ``confidence`` [..., H, W].

    Raises:
        SettingError: a volume that does not have patch^2 channels, or an even patch.
    """
    if patch < 1 or patch % 2 == 0 or dilation < 1:
        raise SettingError(
            f"patch is {patch} and dilation {dilation}, but an odd patch and a dilation from 1 up are accepted.", code="patch"
        )
    if volume.dim() < 3 or volume.shape[-3] != patch**2:
        raise SettingError(
            f"volume has shape {tuple(volume.shape)}, but [..., {patch**2}, H, W] is accepted for patch {patch}.", code="shape"
        )
    volume = volume.to(torch.promote_types(volume.dtype, torch.float32))
    height, width = volume.shape[-2:]
    whole = (inside_map(height, width, patch, dilation) if inside is None else inside).to(volume)
    leading, maps = volume.shape[:-3], volume.reshape(-1, *volume.shape[-3:])
    parts = [_decode_maps(part, whole, patch) for part in maps.split(max(1, CACHED // maps[0].numel()))]
    displacement, confidence = (torch.cat(found) for found in zip(*parts, strict=True))
    return Decoded(displacement.view(*leading, height, width, 2) * dilation, confidence.view(*leading, height, width))


def _decode_maps(maps: torch.Tensor, inside: torch.Tensor, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps (x, y) from the centre [N, H, W, 2] and confidence [N, H, W] of maps [N, patch^2, H, W].

    Args:
        maps: correlations.
        inside: [patch^2, H, W], 1 where they count, 0 elsewhere, in the maps' dtype.
        patch: cells on a side.
    """
    volume, inside = maps.transpose(0, 1).contiguous(), inside[:, None]  # [patch^2, N, H, W]
    count = inside.sum(0)
    z = _standardize(volume, inside, count)
    highest, peak = (z + (inside - 1) * FAR).max(0)
    peak = torch.where(z[patch**2 // 2] == highest, patch**2 // 2, peak)
    below = (z - highest) * inside * SHARPNESS
    share = below.exp() * inside
    return _local_mean(share, peak, patch), _confidence(share, below, count)


def _standardize(volume: torch.Tensor, inside: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Standardised correlations of step 1; 0 outside."""
    count = count.clamp_min(1)
    centred = (volume - (volume * inside).sum(0) / count) * inside
    spread = ((centred * centred).sum(0) / count).sqrt()
    flat = FLATNESS * spread.flatten(-2).quantile(0.5, dim=-1)[..., None, None]
    return centred / (spread + flat).clamp_min(TINY)


def _local_mean(share: torch.Tensor, peak: torch.Tensor, patch: int) -> torch.Tensor:
    """[N, H, W, 2] steps (x, y) from the centre: the mean of the 3 x 3 neighbours around the largest z, weighted by softmax(3 z)."""
    beside = neighborhood_cells(3).to(share.device)
    row, column = peak // patch, peak % patch
    framed = F.pad(share.unflatten(0, (patch, patch)), (0, 0) * 3 + (1, 1) * 2).flatten(0, 1)  # no neighbours beyond the edge
    width = patch + 2
    near = framed.gather(0, ((row + 1) * width + column + 1) + (beside[:, 1] * width + beside[:, 0])[:, None, None, None])  # [9, N, H, W]
    step = torch.einsum("knhw,kd->nhwd", near, beside.to(near.dtype)) / near.sum(0)[..., None]
    return step + torch.stack([column, row], -1) - patch // 2


def _confidence(share: torch.Tensor, below: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """1 - entropy / log(n), times the share of the neighbourhood inside."""
    total = share.sum(0)
    entropy = total.log() - (share * below).sum(0) / total
    sure = 1 - entropy / count.clamp_min(2).log()
    return (sure * (count > 1)).clamp(0, 1) * count / len(share)
