"""What one file of weights may cost. Everything here is enforced, not advised."""

from __future__ import annotations

from pydantic import Field

from vizkit.contracts import Settings


class WeightLimits(Settings):
    """Upper bounds for reading one file of weights."""

    wall_s: float = Field(60.0, gt=0, le=3600)
    """Seconds that the loading process may run; then it is killed."""
    cpu_s: int = Field(60, ge=1, le=3600)
    """CPU seconds that it may use."""
    file_bytes: int = Field(1 << 30, ge=1)
    """Size of the file."""
    tensor_bytes: int = Field(2 << 30, ge=1)
    """Size of all tensors together."""
    tensors: int = Field(20_000, ge=1)
    """Number of tensors."""
    opcodes: int = Field(1_000_000, ge=1)
    """Steps of a pickle; a tensor takes about 35."""
    unpack_ratio: float = Field(1.2, ge=1)
    """How many times larger than a zip file its contents may be."""
    header_bytes: int = Field(16 << 20, ge=1)
    """Header of a safetensors file."""
    memory_bytes: int = Field(1_500_000_000, ge=1_000_000_000)
    """Memory of the loading process, beside three times the size of the file; torch alone takes 0.8 GB."""
