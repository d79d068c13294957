"""``python -m vizkit``: the command line."""

from __future__ import annotations

from vizkit.cli import main

if __name__ == "__main__":
    main()
