"""Reading a page that AppTest has run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

TIMEOUT_S = 120

PAGES = Path(__file__).parents[2] / "pages"


def open_page(name: str, **query: str) -> AppTest:
    """A page alone, with an address, before its first run."""
    page = AppTest.from_file(PAGES / f"{name}.py", default_timeout=TIMEOUT_S)
    for key, value in query.items():
        page.query_params[key] = value
    return page


def components(page: AppTest, name: str) -> list[dict[str, Any]]:
    """The data of every component of this name on the page."""
    return [json.loads(found.proto.json) for found in page.get("bidi_component") if found.proto.component_name == name]


def arrows(player: dict[str, Any]) -> int:
    """Number of arrows in a player's figure."""
    return sum(len(layer["weight"]) for layer in player["figure"]["links"])


def words(page: AppTest) -> str:
    """All text on the page, as it is read."""
    elements = [*page.markdown, *page.caption, *page.error, *page.info, *page.title, *page.subheader]
    return "\n".join(str(element.value).replace("\\", "") for element in elements)
