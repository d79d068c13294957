"""Correlation with filters or tiny patches: one product and one batch of matrix-vector products per row of displacements."""

from __future__ import annotations

import torch

from vizkit.net.ops.correlation_setting import Setting, chunk_frames, chunks


class Rows:
    """The form for filters: they vary with the displacement, so no matrix product of queries and keys can carry them.

    A map is kept as a line: its rows with ``reach`` zeros between them, so that a displacement is one offset into the line, and
    the zeros right of a row are those left of the next. For each row of the patch, the line of queries is multiplied by K shifted
    lines of keys, and the filters sum the products over the channels of each group.

    Args:
        like: [B, C, T, H, W], whose sizes and device are used.
        setting: patch K, dilation D, groups, factor and type.
        filters: [T, C, K, K], ones for none.
    """

    def __init__(self, like: torch.Tensor, setting: Setting, filters: torch.Tensor) -> None:
        self.setting, self.width = setting, like.shape[4]
        channels, height = like.shape[1], like.shape[3]
        self.reach = setting.patch // 2 * setting.dilation
        self.pitch = self.width + self.reach
        self.length = height * self.pitch
        self.frames = chunk_frames(like, (setting.patch + 2) * channels * self.length * setting.computed.itemsize)
        self.chunks = chunks(like, self.frames)
        self.weights = filters.to(setting.computed) * setting.factor
        self.queries = like.new_zeros(self.frames, channels, self.length, dtype=setting.computed)
        self.keys = like.new_zeros(self.frames, channels, self.length + 2 * self.reach * (self.pitch + 1), dtype=setting.computed)

    def forward(self, query: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        """Correlate; both and the result are [B, channels, T, H, W]."""
        patch, groups = self.setting.patch, self.setting.groups
        volume = query.new_empty(query.shape[0], groups, patch, patch, *query.shape[2:])
        channels, by_row = query.shape[1], self.weights.permute(2, 0, 3, 1).contiguous()  # [K, T, K, C]
        products = self.keys.new_empty(self.frames, patch, channels, self.length)
        sums = self.keys.new_empty(self.frames, patch, groups, self.length)
        for clip, part in self.chunks:
            number = self._pack(query[clip, :, part], search[clip, :, part])
            batch = number * patch * groups
            for row in range(patch):
                torch.mul(self.queries[:number, None], self._shifted(row)[:number].transpose(1, 2), out=products[:number])
                weights = by_row[row, part].reshape(batch, 1, channels // groups)
                torch.bmm(weights, products[:number].view(batch, -1, self.length), out=sums[:number].view(batch, 1, -1))
                volume[clip, :, row, :, part] = self._maps(sums[:number]).permute(2, 1, 0, 3, 4)
        return volume.flatten(1, 3)

    def backward(self, grad: torch.Tensor, query: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Gradients of ``query``, ``search`` and the filters from that of the result.

        The products lie with ``dilation`` zeros around each, so that a matrix whose rows are one dilation too short holds them
        shifted back to their keys.
        """
        patch, dilation, groups, factor, _ = self.setting
        channels, margin = query.shape[1], (patch - 1) * dilation
        grads = torch.empty_like(query), torch.empty_like(search), torch.zeros_like(self.weights)
        of_queries, of_keys = torch.empty_like(self.queries), torch.empty_like(self.keys)
        lines = self.keys.new_zeros(self.frames, groups, patch, patch, self.length)
        room = self.keys.new_zeros(self.frames * channels, patch, self.length + margin + dilation)
        products = room[..., margin : margin + self.length]
        for clip, part in self.chunks:
            number = self._pack(query[clip, :, part], search[clip, :, part])
            batch = number * channels
            self._maps(lines[:number]).copy_(grad[clip, :, part].unflatten(0, (groups, patch, patch)).permute(3, 0, 1, 2, 4, 5))
            of_queries.zero_()
            of_keys.zero_()
            shifted_back = room.as_strided((batch, patch, self.length + margin), (room.stride(0), room.stride(1) - dilation, 1), margin)
            by_group = products[:batch].unflatten(0, (number, groups, -1))  # [T, groups, c, K, length]
            for row in range(patch):
                weights, line = self.weights[part, :, row].reshape(batch, 1, patch), lines[:number, :, None, row]
                torch.mul(self._shifted(row)[:number].unflatten(1, (groups, -1)), line, out=by_group)
                of_queries[:number].view(batch, 1, -1).baddbmm_(weights, products[:batch])
                of_row = torch.bmm(products[:batch], self.queries[:number].view(batch, -1, 1))
                grads[2][part, :, row] += of_row.view(number, channels, patch)
                torch.mul(self.queries[:number].unflatten(1, (groups, -1, 1)), line, out=by_group)
                start = row * dilation * self.pitch
                of_keys[:number, :, start : start + self.length + margin] += torch.bmm(weights, shifted_back).view(number, channels, -1)
            grads[0][clip, :, part] = self._maps(of_queries[:number]).transpose(0, 1)
            grads[1][clip, :, part] = self._inside(of_keys[:number]).transpose(0, 1)
        return grads[0], grads[1], grads[2].mul_(factor)

    def _pack(self, query: torch.Tensor, search: torch.Tensor) -> int:
        """Put a chunk [C, T, H, W] into the lines; the number of its frames."""
        number = query.shape[1]
        self._maps(self.queries[:number]).copy_(query.transpose(0, 1))
        self._inside(self.keys[:number]).copy_(search.transpose(0, 1))
        return number

    def _shifted(self, row: int) -> torch.Tensor:
        """The lines of keys at the displacements of one row of the patch: [T, C, K, length]."""
        patch, dilation = self.setting[:2]
        frame, line, _ = self.keys.stride()
        shape = *self.keys.shape[:2], patch, self.length
        return self.keys.as_strided(shape, (frame, line, dilation, 1), row * dilation * self.pitch)

    def _maps(self, lines: torch.Tensor) -> torch.Tensor:
        """Lines [..., length] as maps [..., H, W]."""
        return lines.unflatten(-1, (-1, self.pitch))[..., : self.width]

    def _inside(self, lines: torch.Tensor) -> torch.Tensor:
        """Lines of keys as the maps [..., H, W] without the zeros around them."""
        start = self.reach * (self.pitch + 1)
        return self._maps(lines[..., start : start + self.length])
