"""The models page: what every model is, and weights of a visitor's own on all pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

import vizkit
from tests.pages.parts import components, open_page, words
from vizkit.digest import digest_tensors
from vizkit.ui import compute, own, registry


@pytest.fixture
def few(tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Two checkpoints and one architecture, instead of all."""
    chosen = tuple(entry for entry in vizkit.architectures() if entry.name in ("cpnet-18", "c2d-18"))
    monkeypatch.setattr(registry.vizkit, "architectures", lambda _module=None: chosen)


@pytest.mark.usefixtures("few")
def test_table_says_what_every_model_costs_and_shows():
    page = open_page("models").run()
    assert not page.exception
    table = page.dataframe[0].value
    assert set(table["name"]) == {*registry._names()}
    assert set(table["view cpnet"]) <= {"yes", "no"}
    assert "yes" in set(table.loc[table["name"] == "cpnet-18", "view cpnet"])
    assert "no" in set(table.loc[table["name"] == "cpnet-18", "view corrnet"])


@pytest.mark.usefixtures("few")
def test_one_model_with_its_stages_reasons_and_card():
    page = open_page("models", looked_at="cpnet-18").run()
    assert page.selectbox(key="looked_at").value == "cpnet-18"
    views = next(frame.value for frame in page.dataframe if "view" in frame.value.columns)
    assert "no correlation block" in views.set_index("view").loc["corrnet", "there, or why not"]
    assert "Random weights." in words(page)
    page.selectbox(key="looked_at").select("tiny").run()
    assert "Card" in words(page)
    assert compute.card("tiny")["digest"][:8] in words(page)


@pytest.mark.usefixtures("few")
def test_chosen_model_is_that_of_the_other_pages():
    page = open_page("models", looked_at="cpnet-18").run()
    next(button for button in page.button if "on the other pages" in button.label).click().run()
    assert page.session_state["model"] == "cpnet-18"


def give(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader[0].set_value((name, content, "application/octet-stream"))
    next(button for button in page.button if button.label == "Load").click()
    return page.run()


@pytest.mark.usefixtures("few")
def test_own_weights_become_a_model_of_the_session():
    network = vizkit.load_network("c2d-18", seed=7)
    page = open_page("models").run()
    box = next(box for box in page.selectbox if box.label == "Architecture")
    box.select("c2d-18")
    give(page, "mine.safetensors", save(network.module.state_dict()))
    assert not page.exception
    assert not page.error
    (name,) = page.session_state["own_networks"]
    assert name.startswith("own:c2d-18:")
    assert name in compute.OWN
    assert name in page.success[0].value.replace("\\", "")
    assert "mine.safetensors" in page.success[0].value.replace("\\", "")
    found = compute.network(name)
    assert found.origin == "own"
    assert found.digest == network.digest
    next(button for button in page.button if button.label == "Forget it").click().run()
    assert not page.session_state["own_networks"]


@pytest.mark.usefixtures("few")
def test_own_weights_may_be_built_like_a_checkpoint_that_ships():
    shipped = vizkit.load_network("tiny")
    page = open_page("models").run()
    next(box for box in page.selectbox if box.label == "Architecture").select("tiny")
    give(page, "mine.safetensors", save(shipped.module.state_dict()))
    assert not page.error
    (name,) = page.session_state["own_networks"]
    found = compute.network(name)
    assert found.origin == "own"
    assert found.digest == digest_tensors(shipped.module.state_dict())
    assert (found.labels, found.sampling, found.mean) == (shipped.labels, shipped.sampling, shipped.mean)


@pytest.mark.usefixtures("few")
def test_own_models_are_bounded_and_any_of_them_can_be_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own, "MOST_MODELS", 1)
    first, second = (save(vizkit.load_network("c2d-18", seed=seed).module.state_dict()) for seed in (7, 8))
    page = open_page("models").run()
    next(box for box in page.selectbox if box.label == "Architecture").select("c2d-18")
    give(page, "first.safetensors", first)
    (name,) = page.session_state["own_networks"]
    give(page, "second.safetensors", second)
    assert [error.value.replace("\\", "") for error in page.error] == [
        "second.safetensors: you hold 1 models already. Forget one first. (quota)"
    ]
    page.button(key=f"forget-{name}").click().run()
    give(page, "second.safetensors", second)
    assert not page.error
    assert list(page.session_state["own_networks"]) != [name]
    monkeypatch.setattr(own, "MOST_BYTES", 10**6)
    give(page, "first.safetensors", first)
    next(button for button in page.button if button.label == "Forget it").click().run()
    give(page, "first.safetensors", first)
    assert "server_full" in page.error[0].value.replace("\\", "")


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("name", "content"), [("junk.pt", b"no weights"), ("junk.safetensors", b"\x08\0\0\0\0\0\0\0{}"), ("bad.pth", b"")])
def test_file_that_is_refused_is_one_sentence_with_the_visitors_name(name, content):
    page = give(open_page("models").run(), name, content)
    assert not page.exception
    (error,) = page.error
    assert "\n" not in error.value
    assert name in error.value.replace("\\", "")
    assert not page.session_state["own_networks"] if "own_networks" in page.session_state else True


@pytest.mark.usefixtures("few")
def test_no_file_is_a_sentence():
    page = open_page("models").run()
    next(button for button in page.button if button.label == "Load").click().run()
    assert [error.value for error in page.error] == ["Choose a file of weights first."]


def test_link_to_somebodys_weights_says_what_to_do():
    page = open_page("clip", model="own:c2d-18:0123456789abcdef").run()
    assert not page.exception
    assert "someone's own weights" in words(page)
    assert components(page, "vizkit_player")


def test_files_are_gone_after_reading(tmp_path: Path):
    from vizkit.ui.store import Store

    box = Store(tmp_path / "home").box()
    with box.held("../../evil.pt", b"content") as path:
        assert path.read_bytes() == b"content"
        assert path.parent == box.folder
        assert path.suffix == ".pt"
    assert not list(box.folder.iterdir())
    assert own.PREFIX == "own:"


def test_same_weights_of_two_sessions_share_a_network_only_with_the_same_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from vizkit.ui.store import Store

    store = Store(tmp_path / "home")
    content = save(vizkit.load_network("c2d-18", num_classes=2).module.state_dict())

    def bring(session: dict, *labels: str) -> str:
        monkeypatch.setattr(own, "_kept", lambda: session)
        return own.receive(store.box(), "mine.safetensors", content, "c2d-18", labels).name

    one, other, third = {}, {}, {}
    name, again, different = bring(one, "yes", "no"), bring(other, "yes", "no"), bring(third, "left", "right")
    assert name == again != different
    assert compute.network(different).labels == ("left", "right")
    assert compute.network(name).labels == ("yes", "no")
    other.clear()
    assert compute.network(name) is one[name], "it lasts as long as any session that brought it"


def test_card_of_a_network_of_real_people_says_what_the_folds_gave(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VIZKIT_CHECKPOINTS")
    page = open_page("models", looked_at="kpsem-ut").run()
    assert not page.exception
    card = compute.card("kpsem-ut")
    (rows,) = [frame.value.set_index("measure") for frame in page.dataframe if "measure" in frame.value.columns]
    said = card["folds"]["scores"]["in_order"]["class"]["value"]
    assert rows.loc["class, frames in order", "value"] == said
    assert rows.loc["direction, frames shuffled", "command"] == card["folds"]["command"]
    table = page.dataframe[0].value.set_index("name")
    assert table.loc["kpsem-ut", "top1"] == said
    assert list(table.index)[:2] == ["corrnet-world", "corrnet-world-twin"]
