"""Correlation without filters as one batched matrix product per chunk of frames."""

from __future__ import annotations

import math

import torch

from vizkit.net.ops.correlation_setting import Setting, chunk_frames, chunks

TILE_ROWS, TILE_COLUMNS = (4, 5, 6, 7), (7, 6, 5, 4)  # sides of a tile to choose from, the preferred one first


class Tiles:
    """The tiled form for maps of one size; its buffers serve one chunk after the other.

    A cell meets only cells of equal (y mod D, x mod D), so a map under dilation D is D^2 interleaved maps with dense
    neighbourhoods. Each is cut into tiles of h x w queries; the keys of a tile are the window of (h+K-1) x (w+K-1) cells around
    it. The product of all queries with all keys of a tile runs at the speed of a matrix product; a band of it, seen through
    strides, is the result.

    Args:
        like: [B, C, T, H, W], whose sizes and device are used.
        setting: patch K, dilation D, groups, factor and type.
    """

    def __init__(self, like: torch.Tensor, setting: Setting) -> None:
        self.setting, self.height, self.width = setting, like.shape[3], like.shape[4]
        patch, dilation, groups, _, computed = setting
        phase = [math.ceil(side / dilation) for side in (self.height, self.width)]
        self.tile = [_tile_side(cells, sides) for cells, sides in zip(phase, (TILE_ROWS, TILE_COLUMNS), strict=True)]
        self.tiles = [math.ceil(cells / tile) for cells, tile in zip(phase, self.tile, strict=True)]
        self.window = [tile + patch - 1 for tile in self.tile]
        self.spread = [math.ceil(window / tile) for window, tile in zip(self.window, self.tile, strict=True)]
        outer = (dilation, dilation, *self.tiles, groups)
        cells, keys, channels = math.prod(self.tile), math.prod(self.window), like.shape[1] // groups
        frames = chunk_frames(like, math.prod(outer) * keys * (channels + cells) * computed.itemsize)
        self.chunks = chunks(like, frames)
        side = [dilation * tile * tiles for tile, tiles in zip(self.tile, self.tiles, strict=True)]
        outer_side = [size + dilation * tile * (spread - 1) for size, tile, spread in zip(side, self.tile, self.spread, strict=True)]
        self.is_padded = side != [self.height, self.width]
        self.query_map = like.new_zeros(frames, *side, groups * channels, dtype=computed)
        self.key_map = like.new_zeros(frames, *outer_side, groups * channels, dtype=computed)
        self.volume_map = like.new_zeros(frames if self.is_padded else 0, *side, groups * patch**2, dtype=computed)
        self.queries = like.new_empty(frames, *outer, *self.tile, channels, dtype=computed)
        self.keys = like.new_empty(frames, *outer, *self.window, channels, dtype=computed)
        self.products = like.new_zeros(frames, *outer, cells, keys, dtype=computed)

    def forward(self, query: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        """Correlate; both and the result are [B, channels, T, H, W], the result with its channels last in memory."""
        patch = self.setting.patch
        volume = query.new_empty(*query.shape[0:3:2], self.height, self.width, self.setting.groups * patch**2)
        for clip, part in self.chunks:
            queries, keys, products = self._pack(query[clip, :, part], search[clip, :, part])
            torch.baddbmm(products, queries, keys.mT, beta=0, alpha=self.setting.factor, out=products)
            number = part.stop - part.start
            tiled = self.volume_map[:number] if self.is_padded else volume[clip, part]
            self._in_tiles(tiled, patch, patch).copy_(self._band(number))
            if self.is_padded:
                volume[clip, part] = tiled[:, : self.height, : self.width]
        return volume.permute(0, 4, 1, 2, 3)

    def backward(self, grad: torch.Tensor, query: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients of ``query`` and ``search`` from that of the result, and none of filters."""
        patch, dilation, _, factor, _ = self.setting
        inside = slice(self.height), slice(self.width)
        shifted = [slice(patch // 2 * dilation, patch // 2 * dilation + side.stop) for side in inside]
        grads = torch.empty_like(query), torch.empty_like(search)
        for clip, part in self.chunks:
            number = part.stop - part.start
            queries, keys, products = self._pack(query[clip, :, part], search[clip, :, part])
            volume = grad[clip, :, part].permute(1, 2, 3, 0)
            if self.is_padded:
                self.volume_map[:number, *inside] = volume
                volume = self.volume_map[:number]
            self._band(number).copy_(self._in_tiles(volume, patch, patch))
            of_queries = torch.baddbmm(queries, products, keys, beta=0, alpha=factor)
            of_keys = torch.baddbmm(keys, products.mT, queries, beta=0, alpha=factor, out=keys)
            for target, maps in ((grads[0], self._untile(of_queries)[:, *inside]), (grads[1], self._sum_windows(of_keys)[:, *shifted])):
                target[clip, :, part] = maps.permute(3, 0, 1, 2)
        return *grads, None

    def _pack(self, query: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries [N, h*w, c] and keys [N, window, c] of every phase, tile and group of a chunk [C, T, H, W], and room for products."""
        number, reach = query.shape[1], self.setting.patch // 2 * self.setting.dilation
        self.query_map[:number, : self.height, : self.width] = query.permute(1, 2, 3, 0)
        self.key_map[:number, reach : reach + self.height, reach : reach + self.width] = search.permute(1, 2, 3, 0)
        self.queries[:number] = self._in_tiles(self.query_map[:number], -1)
        keys = self.keys[:number]
        tiled = self._in_tiles(self.key_map[:number], -1)
        keys.copy_(tiled.as_strided(keys.shape, tiled.stride()))
        return self.queries[:number].flatten(6, 7).flatten(0, 5), keys.flatten(6, 7).flatten(0, 5), self.products[:number].flatten(0, 5)

    def _in_tiles(self, maps: torch.Tensor, *inner: int) -> torch.Tensor:
        """[T, y, x, groups * inner] as [T, D, D, tiles down, tiles across, groups, h, w, inner]."""
        dilation, (high, wide) = self.setting.dilation, self.tile
        split = maps.unflatten(3, (self.setting.groups, *inner)).unflatten(2, (-1, wide, dilation)).unflatten(1, (-1, high, dilation))
        return split.permute(0, 3, 6, 1, 4, 7, 2, 5, *range(8, split.dim()))

    def _untile(self, queries: torch.Tensor) -> torch.Tensor:
        """[N, h*w, c] of a chunk as maps [T, y, x, C]."""
        dilation, groups = self.setting.dilation, self.setting.groups
        tiled = queries.view(-1, dilation, dilation, *self.tiles, groups, *self.tile, queries.shape[2])
        return tiled.permute(0, 3, 6, 1, 4, 7, 2, 5, 8).reshape(len(tiled), *self.query_map.shape[1:])

    def _sum_windows(self, keys: torch.Tensor) -> torch.Tensor:
        """The maps [T, y, x, C] that the overlapping windows [N, window, c] add up to, block by block."""
        windows = keys.view(-1, *self.keys.shape[1:])
        maps = torch.zeros_like(self.key_map[: len(windows)])
        tiled, (high, wide), (down, across) = self._in_tiles(maps, -1), self.tile, self.tiles
        for row in range(self.spread[0]):
            for column in range(self.spread[1]):
                block = windows[..., row * high : (row + 1) * high, column * wide : (column + 1) * wide, :]
                at = tiled[:, :, :, row : row + down, column : column + across, :, : block.shape[6], : block.shape[7]]
                at += block
        return maps

    def _band(self, number: int) -> torch.Tensor:
        """The products of each query with its own patch, [T, D, D, tiles down, tiles across, groups, h, w, K, K]."""
        products, (high, wide), across, patch = self.products[:number], self.tile, self.window[1], self.setting.patch
        step = products.stride(6)
        return products.as_strided(
            (*products.shape[:6], high, wide, patch, patch), (*products.stride()[:6], wide * step + across, step + 1, across, 1)
        )


def _tile_side(cells: int, sides: tuple[int, ...]) -> int:
    """The side whose tiles reach least beyond so many cells."""
    return min((min(side, cells) for side in sides), key=lambda side: math.ceil(cells / side) * side)
