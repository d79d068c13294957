"""Sessions beside each other: same bits as one after another, and nothing of one is seen in another."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

import vizkit
from tests.pages.conftest import SIDE_PX
from tests.pages.parts import components, open_page
from vizkit.catalog import module
from vizkit.contracts import Sampling
from vizkit.pipeline import draw, open_source, params_of
from vizkit.ui import compute, own

SESSIONS = 10
MODELS = {"cpnet": "tiny", "corrnet": "tiny-filters", "dcf": "tiny-fields", "kpsem": "tiny-points", "pwtp": "tiny", "gradcam": "tiny"}
Job = tuple[str, str, int, int]


def digest(value: Any) -> str:
    """Every bit of a result."""
    told = sha256()

    def eat(part: Any) -> None:
        if hasattr(part, "detach"):
            part = part.detach().numpy()
        if isinstance(part, np.ndarray):
            told.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        elif is_dataclass(part) and not isinstance(part, type):
            for entry in fields(part):
                eat(getattr(part, entry.name))
        elif isinstance(part, dict):
            for key in part:
                eat([key, part[key]])
        elif isinstance(part, list | tuple):
            for entry in part:
                eat(entry)
        elif isinstance(part, str | int | float | bool | type(None)):
            told.update(repr(part).encode())

    eat(value)
    return told.hexdigest()


def answer(job: Job) -> tuple[str, str, str]:
    """What the pages get of a job, by the code that they call: logits, the view's record, its figure."""
    view, model, clip, segments = job
    entry = module(view)
    frames = compute.sampled(open_source(f"world:demo:{clip}")[0], Sampling(segments=segments, short_side_px=SIDE_PX, crop_px=SIDE_PX))
    run = compute.run(model, frames)
    record = compute.record(view, model, frames, params_of(entry).parse())
    return digest(run.prediction.logits), digest(record), digest(draw(record).arrays)


def jobs(sessions: int, views: int) -> list[Job]:
    """A job of every view for each session, on clips and samplings of their own."""
    return [
        (view, model, session, (4, 6)[session % 2] if view not in ("corrnet", "kpsem") else 4)
        for session in range(sessions)
        for view, model in list(MODELS.items())[:views]
    ]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget all results."""
    return lambda: monkeypatch.setattr(compute, "RESULTS", compute.Results())


@pytest.mark.parametrize(("sessions", "views"), [(4, 3), pytest.param(10, 6, marks=pytest.mark.slow)])
def test_threads_on_shared_models_give_the_bits_of_one(sessions: int, views: int, fresh: Callable[[], None]):
    fresh()
    every = jobs(sessions, views)
    alone = {job: answer(job) for job in every}
    assert len({logits for logits, _, _ in alone.values()}) >= sessions, "clips and settings differ"
    fresh()
    mixed, start = random.Random(0).sample(every, len(every)), threading.Barrier(sessions)

    def session(number: int) -> dict[Job, tuple[str, str, str]]:
        start.wait()
        return {job: answer(job) for job in mixed[number::sessions]}

    with ThreadPoolExecutor(sessions) as pool:
        together = {job: found for part in pool.map(session, range(sessions)) for job, found in part.items()}
    assert together == alone
    for name in {model for _, model, _, _ in every}:
        for part in compute.network(name).module.modules():
            assert not part._forward_hooks
            assert not part._forward_pre_hooks
        assert all(weight.grad is None for weight in compute.network(name).module.parameters())


def sent(page: AppTest) -> str:
    """All that a page has sent."""
    return "\n".join(str(getattr(node, "proto", "")) for node in page._tree)


def packed(value: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.full((12, 48, 64, 3), value, np.uint8))
    return buffer.getvalue()


def test_nothing_of_one_session_is_seen_in_another():
    one, other = open_page("cpnet", p="1,20,21").run(), open_page("cpnet").run()
    before = components(other.run(), "vizkit_player")
    one.file_uploader[0].set_value(("private.npz", packed(77), "application/octet-stream")).run()
    label = one.selectbox(key="clip").value
    assert label.startswith("private.npz")
    for word in ("private.npz", label[-8:]):
        assert word in sent(one)
    other.run()
    assert components(other, "vizkit_player") == before
    for word in ("private", label[-8:], "1,20,21", one.session_state["box"].folder.name, one.session_state["box"].clips[label].digest):
        assert word not in sent(other), word
    assert other.session_state["box"].clips == {}
    assert one.session_state["box"] is not other.session_state["box"]
    asks = open_page("cpnet", clip=label).run()
    assert asks.selectbox(key="clip").value != label, "an address does not open what another session brought"


def test_own_weights_of_one_session_are_no_model_of_another():
    content = save(vizkit.load_network("c2d-18", num_classes=3, seed=5).module.state_dict())
    one = open_page("clip").run()
    box = one.session_state["box"]
    kept: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "_kept", lambda: kept)
        name = own.receive(box, "mine.safetensors", content, "c2d-18", ("a", "b", "c")).name
    one.session_state["own_networks"] = kept
    one.run()
    assert name in one.selectbox(key="model").options
    other = open_page("clip", model=name).run()
    assert not other.exception
    assert name not in other.selectbox(key="model").options
    assert other.selectbox(key="model").value != name
