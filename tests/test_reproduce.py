"""Claims: the runner, the command and the catalogue's entries, with claims whose outcome is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from pydantic import Field

from vizkit import catalog
from vizkit.cli import main
from vizkit.contracts import Claim, ClaimSettings, Measured, Verdict
from vizkit.errors import SettingError
from vizkit.reproduce import reproduce

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"claim", "paper", "published", "ours", "verdict", "seconds"}


class PaddedSettings(ClaimSettings):
    seeds: int = Field(2, ge=1, le=10)
    """Seeds."""
    padding: str = "circular"
    """Padding."""


def draw(params: ClaimSettings, report: Callable[[str], None]) -> Verdict:
    """Reproduced at the small size, not at the full one; every number says its seed."""
    ours = []
    for seed in range(params.seeds):
        torch.manual_seed(seed)
        report(f"seed {seed}")
        ours.append(Measured("net", seed, float(torch.rand(()))))
    return Verdict(not params.full, tuple(ours), "The bar was met." if not params.full else "The bar was missed.")


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue with two claims: ``planted`` and ``padded``."""
    module = ModuleType("planted_claims")
    module.draw, module.PaddedSettings = draw, PaddedSettings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted_claims", module)
    plain = Claim("planted", "cpnet", "It holds.", "Table 0: it holds", "vizkit.contracts:ClaimSettings", "planted_claims:draw", 0.1)
    padded = replace(plain, name="padded", params="planted_claims:PaddedSettings", minutes=3)
    monkeypatch.setattr(catalog, "MODULES", (replace(catalog.MODULES[0], claims=(plain, padded)),))


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["reproduce", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ------------------------------------------------------------------------------------------------ runner


def test_a_claim_is_run_and_told_whole() -> None:
    lines: list[str] = []
    found = reproduce("padded", report=lines.append)
    assert (found.claim, found.paper, found.statement, found.published) == ("padded", "cpnet", "It holds.", "Table 0: it holds")
    assert found.settings == {"full": False, "seeds": 2, "padding": "circular"}
    assert (found.verdict, found.reason) == ("reproduced", "The bar was met.")
    assert [(entry.network, entry.seed) for entry in found.ours] == [("net", 0), ("net", 1)]
    assert lines == ["seed 0", "seed 1"]
    assert found.seconds >= 0


def test_a_missed_bar_is_not_reproduced() -> None:
    assert reproduce("planted", full=True).verdict == "not reproduced"


def test_the_same_settings_give_the_same_numbers_and_leave_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first = reproduce("planted")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert reproduce("planted").ours == first.ours


def test_unknown_claims_and_settings_list_the_known_ones() -> None:
    with pytest.raises(SettingError, match=r"Unknown claim 'other'\. Known: padded, planted"):
        reproduce("other")
    with pytest.raises(SettingError, match=r"'padding' is not known\. Known: full \(boolean\); seeds \(integer 1\.\.10\)"):
        reproduce("planted", padding="zero")


# ------------------------------------------------------------------------------------------------ command


def test_json_says_what_the_paper_says_and_what_came_out() -> None:
    said = run("padded", "--seeds", "1", "--padding", "zero", "--json")
    assert said.exit_code == 0
    found = json.loads(said.stdout)
    assert found.keys() >= KEYS
    assert (found["claim"], found["paper"], found["published"], found["verdict"]) == ("padded", "cpnet", "Table 0: it holds", "reproduced")
    assert [entry.keys() for entry in found["ours"]] == [{"network", "seed", "value"}]
    assert found["settings"] == {"full": False, "seeds": 1, "padding": "zero"}
    assert said.stderr == "seed 0\n"


def test_the_exit_status_is_1_if_it_is_not_reproduced() -> None:
    said = run("planted", "--full", "--json")
    assert said.exit_code == 1
    assert json.loads(said.stdout)["verdict"] == "not reproduced"


def test_people_read_statement_numbers_verdict_and_reason() -> None:
    said = run("planted", "--seeds", "2")
    lines = said.stdout.splitlines()
    assert lines[:2] == ["It holds.", "published: Table 0: it holds"]
    assert lines[3].split() == ["network", "seed", "value"]
    assert [line.split()[:2] for line in lines[4:6]] == [["net", "0"], ["net", "1"]]
    assert lines[-2].startswith("planted: reproduced (")
    assert lines[-1] == "The bar was met."


def test_the_list() -> None:
    entries = json.loads(run("--list", "--json").stdout)
    assert entries == [
        {"claim": name, "paper": "cpnet", "statement": "It holds.", "published": "Table 0: it holds", "minutes": minutes}
        for name, minutes in (("planted", 0.1), ("padded", 3))
    ]
    told = run("--list").stdout
    assert told.splitlines()[:3] == ["planted (cpnet, seconds)", "  It holds.", "  published: Table 0: it holds"]
    assert "padded (cpnet, about 3 min)" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give the name of a claim, or --list"),
        (("planted", "--list"), "Give the name of a claim, or --list"),
        (("--list", "--full"), "Give the name of a claim, or --list"),
        (("other",), "Unknown claim 'other'"),
        (("planted", "--padding", "zero"), "Setting 'padding' is not known"),
        (("planted", "--seeds", "0"), "Setting 'seeds'"),
    ],
)
def test_what_the_caller_can_mend_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    said = run(*arguments)
    assert said.exit_code == 2
    assert said.stdout == ""
    assert said.stderr.startswith(f"error: {message}")
    assert said.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------------ catalogue


def entries() -> list[Claim]:
    return [entry for module in catalog.MODULES for entry in module.claims]


SHIPPED = entries()


def test_every_paper_has_claims_with_names_of_their_own() -> None:
    assert {entry.paper for entry in SHIPPED} >= {"cpnet", "corrnet", "dcf"}
    assert len({entry.name for entry in SHIPPED}) == len(SHIPPED)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_claims_can_be_run_and_read(entry: Claim) -> None:
    assert entry.name.startswith(f"{entry.paper}-")
    assert issubclass(catalog.resolve(entry.params), ClaimSettings)
    assert callable(catalog.resolve(entry.run))
    assert entry.statement.endswith(".")
    assert entry.published
    assert 0 < entry.minutes <= 60


def test_listing_loads_no_torch() -> None:
    code = "import sys; from vizkit.cli import main\ntry: main(['reproduce', '--list'])\nexcept SystemExit: print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told.splitlines()[-1] == "False"
    assert "cpnet-toy" in told
