"""Joins the components' JavaScript: Streamlit takes a component's code as one text, so that nothing is fetched or built."""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[\w.]+";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function |const |class )", re.MULTILINE)

DOM = Path(__file__).parent / "dom.js"
"""Helpers that every component starts with."""


def bundle(*modules: Path) -> str:
    """Join ES modules into one: imports between them go away, only the last one's default export stays an export.

    Args:
        modules: files in an order in which each uses only earlier ones.

    Returns:
        The text of one ES module.
    """
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", module.read_text(encoding="utf-8"))) for module in modules)
