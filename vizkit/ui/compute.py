"""Results for the pages: computed once, kept within a limit, keyed by our own digests and by nothing else.

A key is a tuple of words: what it is, clip digest, model digest, settings as JSON. Streamlit's caches never see pixels.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import vizkit
from vizkit.catalog import MODULES, architecture
from vizkit.contracts import Prediction, ReceptiveField, SampledClip, Sampling, Settings, VideoClip
from vizkit.errors import SettingError
from vizkit.interruption import LOOK_UPS
from vizkit.ui import jobs
from vizkit.ui.pace import PACE

if TYPE_CHECKING:
    from vizkit.checkpoint import Checkpoint
    from vizkit.net.network import Network
    from vizkit.net.probe import ProbedRun

Key = tuple[str, ...]
Made = TypeVar("Made")

LIMIT_BYTES = 10**9
MANY_PIXELS = 4_000_000
"""From here on a page asks whether there are time and memory for a pass."""
LARGE_GMACS = 20
"""From here on a page says what a pass takes before any was measured."""
MOST_GMACS = 15_000.0
"""Multiply-adds of one pass, in 1e9: what a fast processor does within the time of a job (50e9 a second)."""


def size_of(value: Any) -> int:
    """Bytes of the arrays, tensors and texts in a result; anything else counts a little."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, str | bytes):
        return len(value)
    if hasattr(value, "parameters"):
        return sum(int(parameter.nbytes) for parameter in value.parameters())
    if is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return sum(size_of(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return sum(size_of(entry) for entry in value)
    return 64


class Results:
    """The most recently used results, up to a number of bytes; what is being computed is waited for, not computed again.

    Args:
        limit_bytes: the oldest results go beyond this.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._making: dict[Key, Future[Any]] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: Key) -> bool:
        """Whether the result is at hand."""
        with self._lock:
            return key in self._kept

    def get(self, key: Key, make: Callable[[], Made]) -> Made:
        """Give a result, computing it at most once at a time; an exception reaches everyone who waits and is not kept.

        Where the job that computes it is given up, one of those who wait computes it.
        """
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key][0]
                mine = key not in self._making
                future: Future[Made] = self._making.setdefault(key, Future())
            if mine:
                self._make(key, make, future)
                return future.result()
            while not wait([future], jobs.POLL_S).done:
                jobs.check()
            if not isinstance(future.exception(), jobs.SupersededError):
                return future.result()

    def _make(self, key: Key, make: Callable[[], Made], future: Future[Made]) -> None:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._making[key]
            future.set_exception(error)
            return
        with self._lock:
            self._kept[key] = (made, size_of(made))
            del self._making[key]
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)
        future.set_result(made)


RESULTS = Results()
"""Of all sessions: equal clips and settings share their results."""

LARGE = ("pass", "large")
"""Passes of large networks, whichever: their pace is told by multiply-adds."""

OWN: WeakValueDictionary[str, Network] = WeakValueDictionary()
"""Networks with visitors' own weights, by a name that holds the weights' digest; the sessions that brought them keep them alive."""


def settings_key(settings: Settings | Mapping[str, Any]) -> str:
    """Settings as a word of a key."""
    values = settings.model_dump(mode="json") if isinstance(settings, Settings) else settings
    return json.dumps(values, sort_keys=True)


def sampled(clip: VideoClip, sampling: Sampling) -> SampledClip:
    """The frames that a network sees."""
    return RESULTS.get(("sample", clip.digest, clip.name, settings_key(sampling)), lambda: vizkit.sample(clip, sampling))


def model_names() -> tuple[str, ...]:
    """Checkpoints in the order of the catalogue, the papers' architectures with random weights, then published weights."""
    places = {entry.key: place for place, entry in enumerate(MODULES)}

    def order(entry: Checkpoint) -> tuple[int, bool, str]:
        return places.get(architecture(entry.card["architecture"]).module, len(places)), *turn(entry)

    shipped = (entry.name for entry in sorted(vizkit.checkpoints(), key=order))
    published = (f"{entry.name}:{weights.name}" for entry in vizkit.architectures() for weights in entry.weights)
    return (*shipped, *(entry.name for entry in vizkit.architectures() if entry.module), *published)


def model_sampling(name: str) -> Sampling:
    """The sampling that a model was trained or described with; loads no weights."""
    if name in OWN:
        return OWN[name].sampling
    if said := card(name):
        return Sampling.parse(**said["sampling"])
    plain, _, weights = name.partition(":")
    entry = architecture(plain)
    return entry.published_weights(weights).sampling(entry) if weights else entry.sampling


def card(name: str) -> Mapping[str, Any]:
    """The card of a checkpoint; empty for an architecture."""
    return next((entry.card for entry in vizkit.checkpoints() if entry.name == name), {})


def _model_key(name: str) -> tuple[str, str]:
    """A model's words of a key: a checkpoint is told by its digest, others by their name (random weights, published weights)."""
    return name, card(name).get("digest", "")


@cache
def _load_torch() -> None:
    """Import torch, let jobs look up, and take its objects out of the garbage collector's way after every page."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    register_module_forward_pre_hook(jobs.check)
    LOOK_UPS.append(jobs.check)
    gc.collect()
    gc.freeze()


def has_network(name: str) -> bool:
    """Whether a network is loaded."""
    return name in OWN or ("network", *_model_key(name)) in RESULTS


def network(name: str) -> Network:
    """A network by name; shared, since every run works on its own module tree."""
    _load_torch()
    if name in OWN:
        return OWN[name]
    return RESULTS.get(("network", *_model_key(name)), lambda: vizkit.load_network(name))


def models_with(view: str) -> tuple[str, ...]:
    """Models with a view's own blocks, checkpoints first."""
    untrained = {entry.name for entry in vizkit.architectures(view)}
    shipped = (entry for entry in vizkit.checkpoints() if entry.card["architecture"] in untrained)
    return (*(entry.name for entry in sorted(shipped, key=turn)), *(entry.name for entry in vizkit.architectures(view)))


def turn(entry: Checkpoint) -> tuple[bool, str]:
    """The key that checkpoints are listed by: those of the motion world, whose clips are at hand, before those of other people's videos."""
    return entry.card.get("data", {}).get("source") == "videos", entry.name


def twin_of(name: str) -> str:
    """The network without the module that was trained beside a checkpoint; empty where there is none."""
    twin = card(name).get("twin") or ""
    return twin if twin in checkpoint_names() else ""


def checkpoint_names() -> set[str]:
    """Models with trained weights."""
    return {entry.name for entry in vizkit.checkpoints()}


def gmacs(name: str, frames: SampledClip) -> float:
    """Multiply-adds of one forward pass, in 1e9; shapes only, nothing is computed."""

    def count() -> float:
        from vizkit.net.count import count_network

        length, side = frames.frames.shape[0], min(frames.frames.shape[1:3])
        return count_network(network(name).module, length, side).gmacs

    return RESULTS.get(("gmacs", *_model_key(name), str(frames.frames.shape)), count)


def is_large(name: str, frames: SampledClip) -> bool:
    """Whether a forward pass is much work; shipped checkpoints are small."""
    return name not in checkpoint_names() and gmacs(name, frames) >= LARGE_GMACS


@contextmanager
def timed_pass(name: str, frames: SampledClip) -> Iterator[None]:
    """Measure a forward pass, by which later ones are told; one that fails or is given up is not measured."""
    began_s = time.monotonic()
    yield
    taken_s = time.monotonic() - began_s
    PACE.note(("pass", *_model_key(name)), frames.frames.size, taken_s)
    if is_large(name, frames):
        PACE.note(LARGE, gmacs(name, frames), taken_s)


def was_timed(name: str) -> bool:
    """Whether a pass of this network was measured."""
    return PACE.seconds(("pass", *_model_key(name)), 1) is not None


def pass_seconds(name: str, frames: SampledClip, passes: int = 1) -> float | None:
    """How long forward passes take: at the pace of this network's own, else that of large ones; None where none was measured."""
    own = PACE.seconds(("pass", *_model_key(name)), passes * frames.frames.size)
    if own is not None or not is_large(name, frames):
        return own
    return PACE.seconds(LARGE, passes * gmacs(name, frames))


def run_key(name: str, frames: SampledClip) -> Key:
    """The key of one forward pass."""
    return ("run", *_model_key(name), frames.digest, frames.name, settings_key(frames.sampling), vizkit.__version__)


def check_time(name: str, frames: SampledClip) -> None:
    """Say before a long pass starts that no job has the time for it; ordinary clips are not asked about.

    Raises:
        SettingError: it needs more multiply-adds than a job can do.
    """
    length, height, width = frames.frames.shape[:3]
    if length * height * width < MANY_PIXELS or (needed := gmacs(name, frames)) <= MOST_GMACS:
        return
    asked = f"{name} on {length} frames of {width} x {height} px takes {needed:,.0f} billion multiply-adds"
    raise SettingError(f"{asked}, and {MOST_GMACS:,.0f} are allowed (too_slow). Choose fewer or smaller frames.", code="too_slow")


def check_memory(net: Network, frames: SampledClip) -> None:
    """Say before a long pass starts that its memory is not there; ordinary clips are not asked about.

    Raises:
        SettingError: it needs more than is free.
    """
    from vizkit.net.memory import free_bytes, needed_bytes

    length, height, width = frames.frames.shape[:3]
    free = free_bytes()
    if length * height * width < MANY_PIXELS or free is None:
        return
    needed = RESULTS.get(("memory", *_model_key(net.name), str(frames.frames.shape)), lambda: needed_bytes(net, length, height, width))
    if needed > free:
        asked = f"{net.name} on {length} frames of {width} x {height} px needs about {needed / 1e9:.1f} GB of memory"
        raise SettingError(f"{asked}, and {free / 1e9:.1f} GB are free (memory). Choose fewer or smaller frames.", code="memory")


def run(name: str, frames: SampledClip) -> ProbedRun:
    """One forward pass with its taps.

    Raises:
        SettingError: it needs more time than a job has, or more memory than is free.
    """

    def make() -> ProbedRun:
        check_time(name, frames)
        check_memory(network(name), frames)
        with timed_pass(name, frames):
            return vizkit.probe(network(name), frames)

    return RESULTS.get(run_key(name, frames), make)


def prediction_key(name: str, clip: VideoClip, sampling: Sampling) -> Key:
    """The key of what a network says of a part of a clip."""
    return ("prediction", *_model_key(name), clip.digest, clip.name, settings_key(sampling), vizkit.__version__)


def prediction(name: str, clip: VideoClip, sampling: Sampling) -> Prediction:
    """What a network says of a part of a clip.

    Raises:
        SettingError: it needs more time than a job has, or more memory than is free.
    """

    def make() -> Prediction:
        frames = vizkit.sample(clip, sampling)
        check_time(name, frames)
        check_memory(network(name), frames)
        with timed_pass(name, frames):
            return vizkit.predict(frames, network(name))

    return RESULTS.get(prediction_key(name, clip, sampling), make)


def receptive_fields(
    name: str, frames: SampledClip, places: tuple[str, ...], without: tuple[str, ...] = ()
) -> Mapping[str, ReceptiveField | None]:
    """What the cells at some stages, or going into some blocks, look at; shapes only, nothing is computed."""

    def make() -> Mapping[str, ReceptiveField | None]:
        from vizkit.net.field import receptive_fields

        length, height, width, _ = frames.frames.shape
        return receptive_fields(network(name), places, frames=length, size_hw=(height, width), without=without) if places else {}

    return RESULTS.get(("field", *_model_key(name), str(frames.frames.shape), *places, settings_key({"without": without})), make)


def record_key(view: str, name: str, frames: SampledClip, params: Settings) -> Key:
    """The key of a view's result."""
    return ("record", view, *run_key(name, frames), settings_key(params))


def record(view: str, name: str, frames: SampledClip, params: Settings) -> Any:
    """A view's result record."""

    def make() -> Any:
        return vizkit.analyze(view, run(name, frames), **params.model_dump())

    return RESULTS.get(record_key(view, name, frames, params), make)
