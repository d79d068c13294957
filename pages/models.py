"""The models: what each costs, what it can show, what its card says; and weights of your own."""

from __future__ import annotations

from vizkit.ui import page, registry

page.setup_plain("Models", about="Checkpoints that ship, the papers' architectures, and weights of your own.")
registry.details(registry.overview())
registry.bring_your_own()
