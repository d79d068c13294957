"""The parts that pages are put together from: frames, timeline, prediction, a view's picture, its shapes and its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, step
from vizkit.contracts import FAR_APART_S, Prediction, ReceptiveField, SampledClip, Settings
from vizkit.figure.layers import dress
from vizkit.figure.spec import FigureSpec, ImageLayer, Panel, Table
from vizkit.harmless import cell, visible
from vizkit.pipeline import draw, lay_over
from vizkit.ui import class_map, compute, layer_looks, state
from vizkit.ui.measured import measured
from vizkit.ui.page import Scene, caught, guarded, sample_neighbours, use_model
from vizkit.ui.player import Pick, PlayerLayout, figure_payload, player
from vizkit.ui.points import point_bar
from vizkit.ui.waiting import waiting_words
from vizkit.ui.words import ORIGINS, SYNTHETIC_MODEL, plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

TOP = 5


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


def frames_payload(frames: SampledClip) -> dict[str, Any]:
    """The sampled frames alone, as the player takes them."""

    def make() -> dict[str, Any]:
        return figure_payload(frames_figure(frames), times_s=frames.times_s.tolist(), clip_digest=frames.digest, frames=frames)

    return compute.RESULTS.get(("frames", frames.digest, frames.name, compute.settings_key(frames.sampling)), make)


def clip_film(scene: Scene) -> None:
    """Play the sampled frames."""
    player(frames_payload(scene.frames), key="film", playing=True, layout="film", points=state.points())


def neighbours_hint(scene: Scene) -> None:
    """Say when the sampled frames lie so far apart that neighbouring ones hardly match, and offer the way out."""
    step_s = scene.frames.step_s
    if step_s > FAR_APART_S:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/info: The sampled frames lie {step_s:.1f} s apart: most motion between them is beyond reach.")
            st.button("Sample neighbouring frames", on_click=sample_neighbours, type="tertiary", icon=":material/tune:")


# --------------------------------------------------------------------------------------------- the prediction


def prediction(scene: Scene) -> None:
    """Show the most probable labels; computed here unless the run is at hand."""
    with guarded():
        run = scene.run(lambda: compute.run(scene.model, scene.frames))
        st.html(bars_html(run.prediction))
        _truth(scene, run.prediction)
        network_caption(run.network)
        if scene.clip.codec != "world" and is_synthetic(run.network.labels):
            st.info(SYNTHETIC_MODEL, icon=":material/info:")


def _truth(scene: Scene, found: Prediction) -> None:
    """Say whether the label is right: a clip of the motion world knows its own, of any other a visitor may say it."""
    from vizkit.world import label_at

    if scene.clip.codec == "world":
        label: str | None = label_at(scene.clip.name)
    else:
        key = f"truth:{scene.clip.digest}"
        label = st.selectbox("True label", found.labels, index=None, key=key, placeholder="not said", help="Yours; it stays on this page.")
    if label in found.labels:
        ranked = [row.label for row in found.top(len(found.labels))]
        place = ranked.index(label)
        share = 100 * float(found.probabilities[found.labels.index(label)])
        verdict = ":material/check: **Right**" if not place else f":material/close: **Wrong**: number {place + 1} of {len(ranked)}"
        st.markdown(f"{verdict}, true label *{plain(label)}* ({share:.1f} %)")


def network_caption(network: Network) -> None:
    """Say which weights were at work and where they come from."""
    st.caption(f"{plain(network.name)} · {ORIGINS[network.origin]} · weights {network.digest[:8]}")
    for note in network.notes:
        st.caption(f":material/info: {plain(note)}")


def is_synthetic(labels: tuple[str, ...]) -> bool:
    """Whether a network was trained on the motion world: it knows that world's labels."""
    from vizkit.world import LABELS

    return set(labels) == set(LABELS)


def bars_html(found: Prediction) -> str:
    """A table with one bar for each of the most probable labels; labels are escaped."""
    rows = "".join(_bar_row(escape(visible(row.label)), 100 * row.probability) for row in found.top(TOP))
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
    over: Any = None
    """The class map that is laid over its frames, if there is one."""


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
        st.info(plain(reason), icon=":material/info:")
        offer_models([name for name in compute.models_with(view) if name != scene.model][:3])
        return None
    drawn = None
    with controls, guarded():
        choice = choose(network)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            class_map.switch(network)
            if on_pick:
                point_bar(scene.frames)
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
        """Mount it, with the points of this session and with what was set for its layers."""
        looks, keep = layer_looks.for_browser(self.key), partial(layer_looks.keep, self.key)
        options: dict[str, Any] = {"points": state.points(), "layers": looks, "on_layers": keep}
        player(payload, key=self.key, on_pick=self.on_pick, busy=busy, layout=self.layout, **options)


def offer_models(names: Sequence[str]) -> None:
    """Buttons that choose another model.

    Args:
        names: models to choose from.
    """
    with st.container(horizontal=True):
        for name in names:
            untrained = "" if name in compute.checkpoint_names() else ", untrained"
            st.button(f"Use {plain(name)}{untrained}", key=f"use-{name}", on_click=use_model, args=(name,))


def _draw(scene: Scene, view: str, choice: Choice, place: _Place) -> Picture | None:
    wanted = compute.record_key(view, scene.model, scene.frames, choice.params)
    if wanted not in compute.RESULTS:
        _wait(scene, place, wanted, lambda: _work(scene, view, choice))
        return None
    network, record = compute.network(scene.model), compute.record(view, scene.model, scene.frames, choice.params)
    over = class_map.wanted(network) if view != class_map.VIEW else None
    mapped = compute.record_key(class_map.VIEW, scene.model, scene.frames, over) if over else ()
    if over and mapped not in compute.RESULTS and _failed(place, mapped) is None:
        _wait(scene, place, mapped, lambda: compute.record(class_map.VIEW, scene.model, scene.frames, over))
        return None
    attention = compute.record(class_map.VIEW, scene.model, scene.frames, over) if over and mapped in compute.RESULTS else None
    words = (*wanted, compute.settings_key(choice.look), *(mapped if attention else ()))
    spec = compute.RESULTS.get(("figure", *words), lambda: _figure(record, choice, attention))
    payload = compute.RESULTS.get(("payload", *words), lambda: _payload(scene, record, spec))
    st.session_state[f"{place.key}:good"] = (scene.clip.digest, payload)
    place.show(payload)
    if over and not attention:
        st.info(str(_failed(place, mapped)), icon=":material/info:")
    return Picture(network, record, dress(spec, layer_looks.kept(place.key)), choice, attention)


def _work(scene: Scene, view: str, choice: Choice) -> None:
    """All that takes long of a picture: its record, and what its cells look at."""
    fields(scene.model, scene.frames, compute.record(view, scene.model, scene.frames, choice.params))


def _figure(record: Any, choice: Choice, attention: Any) -> FigureSpec:
    """The picture, with the class map over its frames where there is one."""
    spec = draw(record, **choice.look)
    return lay_over(spec, attention) if attention else spec


def _payload(scene: Scene, record: Any, spec: FigureSpec) -> dict[str, Any]:
    frames = scene.frames
    seen = fields(scene.model, frames, record)
    return figure_payload(
        spec, times_s=frames.times_s.tolist(), clip_digest=scene.clip.digest, grid=record.grid, frames=frames, fields=seen
    )


def fields(model: str, frames: SampledClip, record: Any, *, without: tuple[str, ...] = ()) -> dict[str, ReceptiveField]:
    """What the cells of a record look at, by stage: those that go into its block, or those of its stages; where it is known.

    Args:
        model: name of the network.
        frames: what it sees.
        record: a view's result.
        without: blocks that are switched off.
    """
    network = compute.network(model)
    blocks = {block.name for block in network.blocks}
    block = getattr(record, "block", "")
    stages = dict.fromkeys([record.grid.stage, *(level.grid.stage for level in getattr(record, "levels", ()))])
    known = {stage.name for stage in network.stages}
    places = {stage: block if block in blocks else stage for stage in stages if stage in known}
    found = compute.receptive_fields(model, frames, tuple(places.values()), without)
    return {stage: field for stage, place in places.items() if (field := found[place])}


def _wait(scene: Scene, place: _Place, wanted: object, job: Callable[[], Any]) -> None:
    """Compute under the last good picture and draw the page again; a job that has failed already is not tried again."""
    digest, payload = st.session_state.get(f"{place.key}:good", ("", {}))
    shown = payload if digest == scene.clip.digest else frames_payload(scene.frames)
    sentence = _failed(place, wanted)
    if sentence is not None:
        place.show(shown)
        say_failed(sentence, f"{place.key}:failed")
        return
    place.show(shown, _waiting(scene))
    with caught(lambda said: st.session_state.update({f"{place.key}:failed": (wanted, said)})):
        scene.run(job)
    st.rerun()


def _failed(place: _Place, wanted: object) -> str | None:
    """Why there is no such result; None where it was not tried."""
    failed, sentence = st.session_state.get(f"{place.key}:failed", (None, ""))
    return str(sentence) if failed == wanted else None


def say_failed(sentence: str, key: str) -> None:
    """Say why there is no picture, with a button that tries again.

    Args:
        sentence: why, safe as Markdown.
        key: where the session keeps what has failed.
    """
    st.error(sentence, icon=":material/error:")
    st.button("Try again", key=f"{key}:again", on_click=st.session_state.pop, args=(key,), icon=":material/refresh:")


def _waiting(scene: Scene) -> str:
    """Say that something is being computed, and what the network takes for it."""
    at_hand = not compute.has_network(scene.model) or compute.run_key(scene.model, scene.frames) in compute.RESULTS
    return waiting_words([] if at_hand else [(scene.model, scene.frames)])


def account(shown: Picture, *further: Picture | None) -> None:
    """Say what a page shows: network, way from the frames to the picture, captions, and tables of what is drawn."""
    network_caption(shown.network)
    st.subheader("From the frames to the picture", anchor=False)
    steps_strip(shown.record)
    st.subheader("What is drawn", anchor=False)
    for picture in (shown, *further):
        if picture is not None:
            st.caption(plain(picture.spec.caption))
    if shown.spec.table:
        table_view(shown.spec.table)
    for picture in further:
        if picture is not None and picture.spec.table and picture.spec.table.columns != (shown.spec.table or picture.spec.table).columns:
            with st.expander(plain(f"{picture.spec.title} ({picture.network.name}), as a table"), icon=":material/table:"):
                table_view(picture.spec.table)
    over = next((picture.over for picture in (shown, *further) if picture is not None and picture.over), None)
    if over:
        st.caption("The class map over the frames, by its time steps:")
        map_table(over)


def map_table(over: Any) -> None:
    """Show a class map that is laid over the frames as a table.

    Args:
        over: the result of the view ``gradcam``.
    """
    table_view(draw(over).table or Table((), ()))


def steps_strip(record: Any) -> None:
    """Show the way from the frames to the picture with this run's shapes."""
    items = "".join(f"<li>{escape(name)}<span>{escape(shape)}</span></li>" for name, shape in record.shapes)
    st.html(f'<ol class="vz-steps" aria-label="From the frames to the picture">{items}</ol>')


def table_view(table: Table) -> None:
    """Show what is drawn as a table that can be sorted: the text alternative of the picture; empty text is a missing number."""
    columns = {name: [None if row[number] == "" else cell(row[number]) for row in table.rows] for number, name in enumerate(table.columns)}
    st.dataframe(columns, hide_index=True)
