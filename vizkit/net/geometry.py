"""Where the cells of a feature map lie on the frame, from kernels, strides and paddings."""

from __future__ import annotations

from typing import NamedTuple


class CellGeometry(NamedTuple):
    """Cell i of a map has its centre at pixel index ``origin_px + i * stride_px``."""

    origin_px: float = 0.0
    stride_px: float = 1.0

    def through(self, kernel: int, stride: int = 1, padding: int = 0) -> CellGeometry:
        """The geometry after a convolution or a pooling.

        A 7-tap convolution of stride 2 with padding 3 keeps the origin: ``CellGeometry().through(7, 2, 3) == (0.0, 2.0)``;
        a patch embedding moves it: ``CellGeometry().through(16, 16) == (7.5, 16.0)``.
        """
        return CellGeometry(self.origin_px + ((kernel - 1) / 2 - padding) * self.stride_px, self.stride_px * stride)

    def shrunk(self, factor: int) -> CellGeometry:
        """The geometry after a bilinear resize by ``1 / factor`` with half-pixel centres (``align_corners=False``)."""
        return CellGeometry(self.origin_px + (factor - 1) / 2 * self.stride_px, self.stride_px * factor)
