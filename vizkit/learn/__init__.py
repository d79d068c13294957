"""Training: configs, data, objectives and a loop that can be killed and goes on. What PWTP is trained on can be used by itself."""

from __future__ import annotations

from vizkit.motion.pwtp.fit import fit_to_clip
from vizkit.motion.pwtp.objective import enopr, mgda_weight, scale_at

__all__ = ["enopr", "fit_to_clip", "mgda_weight", "scale_at"]
