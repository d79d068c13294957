"""Words to paste: run, they draw the same figure."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import vizkit
from vizkit.cli import main
from vizkit.net.adjust import adjust
from vizkit.recipe import Recipe, load_recipe
from vizkit.snippets import bibtex, command_line, python_lines

MODEL = "cpnet-world"
CASES = {
    "plain": {},
    "points": {"params": {"points": [(2, 30, 20), (1, 12.5, 40)], "neighbors": 4}, "look": {"heat": False}},
    "blocks": {"without": ("res3.1",), "params": {"points": [(2, 30, 20)]}},
    "settings of a block": {"adjust": {"res3.1": {"neighbors": 2}}, "without": ("res4.0",)},
    "shuffled": {"sampling": {"order": "shuffled"}},
    "frozen": {"sampling": {"order": "frozen"}},
    "window": {"sampling": {"order": "reversed", "short_side_px": 64, "crop_px": 64}},
}


def make(**asked: object) -> Recipe:
    network = adjust(vizkit.load_network(MODEL), asked.get("adjust", {}))  # type: ignore[arg-type]
    sampling = network.sampling.model_copy(update=asked.get("sampling", {}))  # type: ignore[call-overload]
    run = vizkit.probe(network, vizkit.world.clip_at("world:demo:4").clip, sampling=sampling, without=asked.get("without", ()))  # type: ignore[arg-type]
    spec = vizkit.figure(vizkit.analyze("cpnet", run, **asked.get("params", {})), **asked.get("look", {}))  # type: ignore[arg-type]
    return Recipe.parse(**spec.recipe)


@pytest.mark.parametrize("case", CASES)
def test_command_and_script_write_what_the_recipe_writes(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = make(**CASES[case])
    own = vizkit.load_network(MODEL).sampling
    wanted = vizkit.render(recipe.run(), "svg")

    words = shlex.split(command_line(recipe, own).replace("figure.pdf", "a.svg"))
    assert words[0] == "vizkit"
    said = CliRunner().invoke(main, words[1:])
    assert said.exit_code == 0, said.output
    assert Path("a.svg").read_bytes() == wanted

    exec(python_lines(recipe, own).replace("figure.pdf", "b.svg"), {})
    assert Path("b.svg").read_bytes() == wanted


def test_what_the_command_line_has_no_words_for_is_read_from_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = make()
    layered = Recipe.parse(**{**recipe.model_dump(mode="json"), "class_map": {}})
    own = vizkit.load_network(MODEL).sampling
    assert command_line(layered, own) == "vizkit render figure.json --out figure.pdf"
    assert 'load_recipe("figure.json")' in python_lines(layered, own)
    Path("figure.json").write_text(layered.model_dump_json(), encoding="utf-8")
    assert load_recipe("figure.json").class_map == {}


def test_names_with_blanks_and_quotes_stay_one_word():
    recipe = make()
    odd = Recipe.parse(**{**recipe.model_dump(mode="json"), "clip": {"name": "my 'best' clip.mp4", "digest": "0"}})
    own = vizkit.load_network(MODEL).sampling
    assert "my 'best' clip.mp4" in shlex.split(command_line(odd, own))
    assert "vizkit.open_clip(\"my 'best' clip.mp4\")" in python_lines(odd, own)


def test_bibtex_names_the_paper_and_the_tool():
    text = bibtex("cpnet")
    assert text.startswith("@inproceedings{cpnet,")
    assert "@software{vizkit," in text
    assert text.count("{") == text.count("}")
