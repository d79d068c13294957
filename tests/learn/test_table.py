from __future__ import annotations

from vizkit.checkpoint import checkpoint_folder, checkpoints
from vizkit.learn.table import PAGE, write_page


def test_the_page_of_numbers_is_what_the_cards_say() -> None:
    page = (checkpoint_folder() / PAGE).read_text(encoding="utf-8")
    assert page == write_page(), "run `make tables`"
    assert all(f"`{entry.name}`" in page for entry in checkpoints())
