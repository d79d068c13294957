"""From a correlation volume to a displacement and how sure it is: what the colours of the paper's figures 4 and 5 show.

The paper does not say how it turned K x K correlations into one direction; this decoder was chosen by its error on known motion
(docs/dcf.md, section 6).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from vizkit.errors import SettingError

SHARPNESS = 3.0  # beta of the softmax
FLATNESS = 0.1  # share of the median spread that is added to each cell's own: flat cells count as flat
TINY = 1e-12


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
    whole = (inside_map(height, width, patch, dilation) if inside is None else inside).to(volume.device)
    z = _standardize(volume, whole)
    return Decoded(_local_mean(z, patch) * dilation, _confidence(z, whole))


def _standardize(volume: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Standardised correlations of step 1; minus infinity outside."""
    count = inside.sum(0).clamp_min(1)
    mean = (volume * inside).sum(-3, keepdim=True) / count
    spread = (((volume - mean) ** 2 * inside).sum(-3, keepdim=True) / count).sqrt()
    median = spread.flatten(-2).quantile(0.5, dim=-1)[..., None, None]
    return ((volume - mean) / (spread + FLATNESS * median).clamp_min(TINY)).masked_fill(~inside, -torch.inf)


def _local_mean(z: torch.Tensor, patch: int) -> torch.Tensor:
    """[..., H, W, 2] steps (x, y) from the centre: the softmax-weighted mean of the 3 x 3 neighbours around the largest z."""
    highest, peak = z.max(-3)
    centre = patch**2 // 2
    peak = torch.where(z.select(-3, centre) == highest, centre, peak)
    row, column = (peak // patch).unsqueeze(-3), (peak % patch).unsqueeze(-3)
    beside = neighborhood_cells(3).to(z.device)
    columns, rows = (beside[:, axis, None, None] + at for axis, at in ((0, column), (1, row)))  # [..., 9, H, W]
    there = (columns >= 0) & (columns < patch) & (rows >= 0) & (rows < patch)
    near = z.gather(-3, torch.where(there, rows * patch + columns, 0)).masked_fill(~there, -torch.inf)
    share = torch.softmax(SHARPNESS * near, -3)
    return torch.stack([(share * (at - patch // 2)).sum(-3) for at in (columns, rows)], -1)


def _confidence(z: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """1 - entropy / log(n), times the share of the neighbourhood inside."""
    count = inside.sum(0)
    share = torch.softmax(SHARPNESS * z, -3)
    entropy = torch.special.entr(share).sum(-3)
    sure = 1 - entropy / count.clamp_min(2).log()
    return (sure * (count > 1)).clamp(0, 1) * count / len(inside)
