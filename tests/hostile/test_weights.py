"""Hostile files of weights: each gets its verdict and its reason in one line, nothing in them is run, a module is changed whole or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.hostile.weights import CASES, FAST, LABELS, Case, network
from vizkit import load_weights
from vizkit.checkpoint import inspect_checkpoint
from vizkit.digest import digest_tensors
from vizkit.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:Sparse CSR:UserWarning")


def _marked(case: Case) -> object:
    return pytest.param(case, id=case.name, marks=() if case.name in FAST else pytest.mark.hostile)


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_weights_are_what_they_are_said_to_be(case: Case, tmp_path: Path) -> None:
    path, canary, module = tmp_path / case.name, tmp_path / "canary", network()
    path.write_bytes(case.make(canary))
    with torch.no_grad():
        module[0].bias.add_(1)  # type: ignore[operator, union-attr]
    before = digest_tensors(module.state_dict())
    if case.verdict == "reject":
        with pytest.raises(CheckpointError) as caught:
            load_weights(path, module, labels=LABELS)
        code, message = caught.value.code, caught.value.message
        assert digest_tensors(module.state_dict()) == before
    else:
        report = load_weights(path, module, labels=LABELS)
        code, message = report.code, report.message
        assert report.verdict == case.verdict
        assert digest_tensors(module.state_dict()) != before
    assert code == case.code, message
    _is_one_plain_line(message, tmp_path)
    found = inspect_checkpoint(path)
    assert (found["verdict"], found["code"]) == case.alone, found["message"]
    _is_one_plain_line(found["message"], tmp_path)
    assert not canary.exists()


def _is_one_plain_line(message: str, folder: Path) -> None:
    assert len(message) <= 160
    assert message.isprintable()
    assert "weights_only" not in message
    assert str(folder) not in message


def test_there_are_70_files() -> None:
    assert len({case.name for case in CASES}) == 70
    assert {case.code for case in CASES if case.name in FAST} >= {
        "",
        "unsafe",
        "unreadable",
        "checksum",
        "keys",
        "size",
        "layout",
        "not_finite",
    }
