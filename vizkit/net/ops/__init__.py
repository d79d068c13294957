"""Tensor functions that several papers share. Plain torch, CPU and GPU."""

from __future__ import annotations

from vizkit.net.ops.correlation import correlate
from vizkit.net.ops.nearest import NearestCells, full_precision, nearest_cells

__all__ = ["NearestCells", "correlate", "full_precision", "nearest_cells"]
