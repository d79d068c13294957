"""The parts that pages are put together from: frames, timeline, prediction, a view's picture, its shapes and its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, step
from vizkit.clip import motion_energy
from vizkit.contracts import FAR_APART_S, Prediction, SampledClip, Settings
from vizkit.figure.spec import FigureSpec, ImageLayer, Panel, Table
from vizkit.pipeline import draw
from vizkit.ui import compute, state
from vizkit.ui.measured import measured
from vizkit.ui.page import Scene, caught, guarded, sample_neighbours, use_model
from vizkit.ui.player import Pick, PlayerLayout, figure_payload, player
from vizkit.ui.timeline import timeline, timeline_payload
from vizkit.ui.words import ORIGINS, SYNTHETIC_MODEL, plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

TOP = 5
COMPUTING = "computing …"
HEAVY_GMACS = 20
"""From here on a page says that a run takes a while."""


# --------------------------------------------------------------------------------------------- the clip


def frames_figure(frames: SampledClip) -> FigureSpec:
    """The sampled frames alone, as a figure."""
    height, width = frames.frames.shape[1:3]
    panels = tuple(
        Panel(f"frame {number}", f"t = {number}   {time:.2f} s", (width, height), 0, number, (ImageLayer(pixels),), number)
        for number, (pixels, time) in enumerate(zip(frames.frames, frames.times_s, strict=True))
    )
    title = f"{len(panels)} sampled frames of {frames.name}"
    alt = f"{title}: source frames {', '.join(str(index) for index in frames.index)}."
    return FigureSpec(title=title, caption=alt, alt=alt, panels=panels)


def _frames_payload(frames: SampledClip) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        return figure_payload(frames_figure(frames), times_s=frames.times_s.tolist(), clip_digest=frames.digest)

    return compute.RESULTS.get(("frames", frames.digest, frames.name, compute.settings_key(frames.sampling)), make)


def clip_film(scene: Scene) -> None:
    """Play the sampled frames."""
    player(_frames_payload(scene.frames), key="film", playing=True, layout="film")


def neighbours_hint(scene: Scene) -> None:
    """Say when the sampled frames lie so far apart that neighbouring ones hardly match, and offer the way out."""
    step_s = scene.frames.step_s
    if step_s > FAR_APART_S:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/info: The sampled frames lie {step_s:.1f} s apart: most motion between them is beyond reach.")
            st.button("Sample neighbouring frames", on_click=sample_neighbours, type="tertiary", icon=":material/tune:")


def clip_timeline(scene: Scene) -> None:
    """Show motion energy, sampled frames and the window; a clip of one frame has none of these."""
    if scene.clip.frames < 2:
        return
    times_s, energy = compute.RESULTS.get(("energy", scene.clip.digest), lambda: motion_energy(scene.clip))

    def moved(start_s: float, end_s: float) -> None:
        state.set_window(start_s, end_s if end_s < payload["duration_s"] else None)

    payload = timeline_payload(scene.clip, scene.frames, times_s, energy)
    timeline(payload, key="timeline", on_window=moved)


# --------------------------------------------------------------------------------------------- the prediction


def prediction(scene: Scene) -> None:
    """Show the most probable labels; computed here unless the run is at hand."""
    with guarded():
        run = scene.queue.run(lambda: compute.run(scene.model, scene.frames))
        st.html(bars_html(run.prediction))
        network_caption(run.network)
        if scene.clip.codec != "world" and _is_synthetic(run.network.labels):
            st.info(SYNTHETIC_MODEL, icon=":material/info:")


def network_caption(network: Network) -> None:
    """Say which weights were at work and where they come from."""
    st.caption(f"{plain(network.name)} · {ORIGINS[network.origin]} · weights {network.digest[:8]}")
    for note in network.notes:
        st.caption(f":material/info: {plain(note)}")


def _is_synthetic(labels: tuple[str, ...]) -> bool:
    """Whether a network was trained on the motion world: it knows that world's labels."""
    from vizkit.world import LABELS

    return set(labels) == set(LABELS)


def bars_html(found: Prediction) -> str:
    """A table with one bar for each of the most probable labels; labels are escaped."""
    rows = "".join(_bar_row(escape(row.label), 100 * row.probability) for row in found.top(TOP))
    return f'<table class="vz-bars" aria-label="Most probable labels">{rows}</table>'


def _bar_row(label: str, percent: float) -> str:
    name = f'<th scope="row" title="{label}">{label}</th>'
    bar = f'<td class="bar"><div style="width: {percent:.1f}%"></div></td>'
    return f'<tr>{name}{bar}<td class="value">{percent:.1f} %</td></tr>'


# --------------------------------------------------------------------------------------------- a view's picture


@dataclass(frozen=True)
class Choice:
    """What is wanted of a view."""

    params: Settings
    """What is computed."""
    look: Mapping[str, Any]
    """How it is drawn."""


@dataclass(frozen=True)
class Picture:
    """A picture that is on the page."""

    network: Network
    """The network behind it."""
    record: Any
    """The view's result."""
    spec: FigureSpec
    """The figure, as it is exported."""
    choice: Choice
    """What was wanted."""


def picture(
    scene: Scene,
    view: str,
    choose: Callable[[Network], Choice],
    *,
    key: str,
    on_pick: Callable[[Pick], None] | None = None,
    controls_px: int = 0,
) -> Picture | None:
    """Show a view's picture in the player. While one is being computed, the last good one stays under a veil.

    Args:
        scene: clip, frames and model.
        view: name of the view.
        choose: draws the controls above the picture and reads them, once the network is there.
        key: the player's name on the page.
        on_pick: makes the panels clickable.
        controls_px: height that is kept free for the controls until the network is there.

    Returns:
        The picture, or None where there is none; a sentence on the page says why.
    """
    controls, canvas = st.container(), st.container()
    with canvas:
        if not compute.has_network(scene.model):
            if controls_px:
                controls.skeleton(height=controls_px)
            _wait(scene, _Place(key), scene.model, lambda: compute.network(scene.model))
            return None
    network = compute.network(scene.model)
    reason = step(module(view), "unavailable")(network)
    if reason:
        _offer_others(view, reason)
        return None
    drawn = None
    with controls, guarded():
        choice = choose(network)
        with canvas:
            drawn = _draw(scene, view, choice, _Place(key, on_pick))
            with st.container(gap="xxsmall"):
                for note in drawn.spec.notes if drawn else ():
                    st.caption(f":material/info: {plain(note)}")
                measured(view, scene.model)
    return drawn


def further(
    scene: Scene, view: str, choice: Choice, *, key: str, layout: PlayerLayout = "strip", on_pick: Callable[[Pick], None] | None = None
) -> Picture | None:
    """Show another picture of a view that is on the page already.

    Args:
        scene: clip, frames and model.
        view: name of the view.
        choice: what is computed and how it is drawn.
        key: the player's name on the page.
        layout: how the player uses its space.
        on_pick: makes the panels clickable.

    Returns:
        The picture, or None while it is being computed and where a sentence on the page says why there is none.

    Raises:
        SettingError: a look that does not go with the result.
    """
    return _draw(scene, view, choice, _Place(key, on_pick, layout))


@dataclass(frozen=True)
class _Place:
    """A player on the page."""

    key: str
    on_pick: Callable[[Pick], None] | None = None
    layout: PlayerLayout = "strip"

    def show(self, payload: dict[str, Any], busy: str = "") -> None:
        player(payload, key=self.key, on_pick=self.on_pick, busy=busy, layout=self.layout)


def _offer_others(view: str, reason: str) -> None:
    """Say why a network has no such view, and offer networks that have."""
    st.info(plain(reason), icon=":material/info:")
    with st.container(horizontal=True):
        for name in compute.models_with(view)[:3]:
            untrained = "" if name in compute.checkpoint_names() else ", untrained"
            st.button(f"Use {name}{untrained}", key=f"use-{name}", on_click=use_model, args=(name,))


def _draw(scene: Scene, view: str, choice: Choice, place: _Place) -> Picture | None:
    wanted = compute.record_key(view, scene.model, scene.frames, choice.params)
    if wanted not in compute.RESULTS:
        _wait(scene, place, wanted, lambda: compute.record(view, scene.model, scene.frames, choice.params))
        return None
    record = compute.record(view, scene.model, scene.frames, choice.params)
    words = (*wanted, compute.settings_key(choice.look))
    spec = compute.RESULTS.get(("figure", *words), lambda: draw(record, **choice.look))
    payload = compute.RESULTS.get(("payload", *words), lambda: _payload(scene, record, spec))
    st.session_state[f"{place.key}:good"] = (scene.clip.digest, payload)
    place.show(payload)
    return Picture(compute.network(scene.model), record, spec, choice)


def _payload(scene: Scene, record: Any, spec: FigureSpec) -> dict[str, Any]:
    return figure_payload(spec, times_s=scene.frames.times_s.tolist(), clip_digest=scene.clip.digest, grid=record.grid)


def _wait(scene: Scene, place: _Place, wanted: object, job: Callable[[], Any]) -> None:
    """Compute under the last good picture and draw the page again; a job that has failed already is not tried again."""
    digest, payload = st.session_state.get(f"{place.key}:good", ("", {}))
    shown = payload if digest == scene.clip.digest else _frames_payload(scene.frames)
    failed, sentence = st.session_state.get(f"{place.key}:failed", (None, ""))
    if failed == wanted:
        place.show(shown)
        st.error(sentence, icon=":material/error:")
        return
    place.show(shown, _waiting(scene))
    with caught(lambda said: st.session_state.update({f"{place.key}:failed": (wanted, said)})):
        scene.queue.run(job)
    st.rerun()


def _waiting(scene: Scene) -> str:
    """Say that something is being computed, and how much where that takes a while; shipped checkpoints are small."""
    if not compute.has_network(scene.model) or compute.run_key(scene.model, scene.frames) in compute.RESULTS:
        return COMPUTING
    if scene.model in compute.checkpoint_names():
        return COMPUTING
    cost = compute.gmacs(scene.model, scene.frames)
    words = f"{COMPUTING} {scene.model} takes {cost:.0f} billion multiply-adds for this clip: many seconds without a GPU"
    return words if cost >= HEAVY_GMACS else COMPUTING


def account(shown: Picture, *further: Picture | None) -> None:
    """Say what a page shows: network, way from the frames to the picture, captions, and the first picture as a table."""
    network_caption(shown.network)
    st.subheader("From the frames to the picture", anchor=False)
    steps_strip(shown.record)
    st.subheader("What is drawn", anchor=False)
    for picture in (shown, *further):
        if picture is not None:
            st.caption(plain(picture.spec.caption))
    if shown.spec.table:
        table_view(shown.spec.table)


def steps_strip(record: Any) -> None:
    """Show the way from the frames to the picture with this run's shapes."""
    items = "".join(f"<li>{escape(name)}<span>{escape(shape)}</span></li>" for name, shape in record.shapes)
    st.html(f'<ol class="vz-steps" aria-label="From the frames to the picture">{items}</ol>')


def table_view(table: Table) -> None:
    """Show what is drawn as a table that can be sorted: the text alternative of the picture; empty text is a missing number."""
    columns = {name: [None if row[number] == "" else row[number] for row in table.rows] for number, name in enumerate(table.columns)}
    st.dataframe(columns, hide_index=True, height=320)
