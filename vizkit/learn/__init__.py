"""Training: configs, data, objectives and a loop that can be killed and goes on."""

from __future__ import annotations
