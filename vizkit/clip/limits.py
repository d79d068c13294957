"""What one clip may cost. Everything here is enforced, not advised."""

from __future__ import annotations

from pydantic import Field

from vizkit.contracts import Settings


class Limits(Settings):
    """Upper bounds for opening and reading one clip."""

    wall_s: float = Field(20.0, gt=0, le=3600)
    """Seconds that the decoder may run; then it is killed."""
    cpu_s: int = Field(20, ge=1, le=3600)
    """CPU seconds that the decoder may use."""
    memory_bytes: int = Field(2_500_000_000, ge=500_000_000)
    """Address space of the decoder."""
    side_px: int = Field(8192, ge=16, le=32768)
    """Longest side of a frame."""
    side_min_px: int = Field(16, ge=1)
    """Shortest side of a frame."""
    frame_px: int = Field(36_000_000, ge=256)
    """Pixels of a frame."""
    frames: int = Field(20_000, ge=1, le=200_000)
    """Frames that are decoded; a longer clip is cut there, with a warning."""
    file_bytes: int = Field(1_000_000_000, ge=1)
    """Size of a file, and of the unpacked contents of an archive."""
    unpack_ratio: int = Field(200, ge=1)
    """How many times larger than an archive its contents may be."""
    read_bytes: int = Field(400_000_000, ge=1)
    """Pixels handed out by one read, and pixels held of an array."""
    preview_bytes: int = Field(64_000_000, ge=1)
    """Pixels of the preview, which stays in memory."""
    cache_bytes: int = Field(64_000_000, ge=0)
    """Pixels of the latest reads that are kept per clip."""
