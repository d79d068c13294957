"""The comparison: what is compared, the picture of both sides on one scale, and what both sides say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import streamlit as st

from vizkit.catalog import VIEWS, architecture, module, step
from vizkit.comparison import Comparison
from vizkit.contracts import SampledClip
from vizkit.figure.layers import dress
from vizkit.ui import class_map, compute, layer_looks, panels, state
from vizkit.ui.changes import predictions
from vizkit.ui.export import export_buttons
from vizkit.ui.gallery import gallery_clip, gallery_names
from vizkit.ui.page import Scene, caught, guarded
from vizkit.ui.player import figure_payload, player
from vizkit.ui.points import point_bar
from vizkit.ui.sides import NAMES, Side, Wanted
from vizkit.ui.switchboard import switchboard
from vizkit.ui.view_settings import takes_points, view_settings
from vizkit.ui.waiting import waiting_words
from vizkit.ui.words import SYNTHETIC_MODEL, plain

if TYPE_CHECKING:
    from vizkit.net.network import Network

Kind = Literal["two models", "two settings", "two clips", "modules on and off"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIX = "compare_"
KEY = "compare"
CONTROL_PX = 220
ABOUT = {
    "two models": "The same frames through two networks.",
    "two settings": "One run of one network, looked at in two ways.",
    "two clips": "Two clips, sampled alike, through one network.",
    "modules on and off": "One network before (A) and after (B) a change: blocks switched off, settings that no weight depends on.",
}


@dataclass(frozen=True)
class Compared:
    """What is on the page."""

    wanted: Wanted
    """The two sides."""
    drawn: Comparison
    """Their pictures."""


def comparison(scene: Scene) -> Compared | None:
    """Draw the controls and the picture of both sides.

    Args:
        scene: clip, frames and model of side A.

    Returns:
        What is shown, or None where there is nothing; a sentence on the page says why.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control("Compare", KINDS, default=KINDS[0], required=True, key=f"{PREFIX}kind", bind="query-params")
        view = _choose_view(scene.model)
        models, frames = _other(scene, kind)
    networks = _networks(scene, models)
    if kind == KINDS[3] and not networks[0].blocks:
        _no_blocks(networks[0])
        return None
    without, changes = switchboard(networks[1]) if kind == KINDS[3] else ((), {})
    if not _available(view, networks):
        return None
    first = _first_changed(networks[1], without, changes)
    _go_to(f"{PREFIX}{view}_block", first)
    choices = _choices(kind, view, networks, without, first)
    wipe, apart, locked = _how(view, scene.frames, networks)
    sides = (Side(models[0], frames[0]), Side(models[1], frames[1], without, changes))
    _say_sides(scene, kind, sides, networks)
    over = class_map.wanted(*networks) if view != class_map.VIEW else None
    return _show(scene, Wanted(view, sides, choices, locked, apart, over), wipe=wipe)


# --------------------------------------------------------------------------------------------- what is compared


def _choose_view(model: str) -> str:
    """The view; to begin with that of the model's own paper."""
    titles = {entry.key: entry.title for entry in VIEWS}
    card = compute.card(model)
    own = architecture(card["architecture"] if card else model.partition(":")[0]).module
    start = list(titles).index(own) if own in titles else 0
    key = f"{PREFIX}view"
    if key not in st.session_state and st.query_params.get(key) in titles:
        st.query_params[key] = titles[st.query_params[key]]  # a link may hold the view's name; the address keeps its title
        st.rerun()
    return st.selectbox("View", list(titles), start, format_func=titles.__getitem__, key=key, bind="query-params", width=CONTROL_PX)


def _other(scene: Scene, kind: Kind) -> tuple[tuple[str, str], tuple[SampledClip, SampledClip]]:
    """Models and frames of both sides."""
    if kind == "two models":
        twin = compute.twin_of(scene.model)
        names = [name for name in dict.fromkeys((twin, *compute.model_names())) if name and name != scene.model]
        return (scene.model, _pick("Model B", "model", names)), (scene.frames, scene.frames)
    if kind == "two clips":
        uploads = state.session_box().clips
        names = [name for name in (*gallery_names(), *uploads) if name != st.session_state.get("clip")]
        name = _pick("Clip B", "clip", names)
        clip = uploads[name] if name in uploads else gallery_clip(name)
        with guarded(stop=True):
            frames = compute.sampled(clip, state.sampling(scene.frames.sampling, clip.duration_s))
        return (scene.model, scene.model), (scene.frames, frames)
    return (scene.model, scene.model), (scene.frames, scene.frames)


def _pick(label: str, name: str, options: Sequence[str]) -> str:
    """A list whose choice is forgotten where it is no longer offered."""
    key = f"{PREFIX}{name}"
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]
    return st.selectbox(label, options, key=key, bind="query-params", width=CONTROL_PX)


def _networks(scene: Scene, models: tuple[str, str]) -> tuple[Network, Network]:
    with guarded(stop=True):
        if not all(compute.has_network(name) for name in models):
            with st.spinner("Loading the models …"):
                scene.queue.run(lambda: [compute.network(name) for name in models], about=models)
    return compute.network(models[0]), compute.network(models[1])


def _no_blocks(network: Network) -> None:
    st.info(f"{plain(network.name)} has no inserted block, so there is nothing to switch on or off.", icon=":material/info:")
    panels.offer_models([entry.name for entry in _with_blocks()])


def _with_blocks() -> list[Any]:
    import vizkit

    return [entry for entry in vizkit.checkpoints() if architecture(entry.card["architecture"]).module and not entry.name.endswith("-twin")]


def _available(view: str, networks: tuple[Network, Network]) -> bool:
    """Whether both networks have the view; says for each why not."""
    reasons = {name: step(module(view), "unavailable")(network) for name, network in zip(NAMES, networks, strict=True)}
    for name, reason in reasons.items():
        if reason:
            st.info(f"Not available for {name}: {plain(str(reason))}", icon=":material/info:")
    return not any(reasons.values())


def _choices(
    kind: Kind, view: str, networks: tuple[Network, Network], without: Sequence[str], first: str
) -> tuple[panels.Choice, panels.Choice]:
    """What is computed and how it is drawn on both sides."""
    found: list[panels.Choice] = []
    with guarded(stop=True):
        if kind != "two settings":
            free = kind != "modules on and off"
            with st.container(horizontal=True, vertical_alignment="bottom"):
                both = view_settings(view, networks, prefix=f"{PREFIX}{view}_", without=without, free=free, first=first)
            found = [both, both]
        for name in NAMES[len(found) :]:
            with st.container(horizontal=True, vertical_alignment="bottom"):
                st.markdown(f"**{name}**", width=20)
                found.append(view_settings(view, networks[:1], prefix=f"{PREFIX}{view}_{name}_", other=name == NAMES[1]))
    return found[0], found[1]


def _go_to(key: str, block: str) -> None:
    """Show the first block that a new change can be seen at; a block that was chosen since stays."""
    before = st.session_state.get(f"{KEY}:first")
    st.session_state[f"{KEY}:first"] = block
    if before is not None and block and block != before:
        st.session_state[key] = block


def _first_changed(network: Network, without: Sequence[str], changes: Mapping[str, Any]) -> str:
    """The shallowest block that a change can be seen at: a changed one that is on, or the next one after it; empty without a change."""
    names = [block.name for block in network.blocks]
    reached = names[min((names.index(block) for block in (*without, *changes)), default=len(names)) :]
    return next((name for name in reached if name not in without), "")


def _how(view: str, frames: SampledClip, networks: tuple[Network, Network]) -> tuple[bool, bool, bool]:
    """How both are shown: with a divider, with their difference, on one scale; and the class map, which is read where it is drawn."""
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = st.segmented_control(
            "Show", ["side by side", "wipe"], default="side by side", required=True, key=f"{PREFIX}show", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        apart = st.toggle("Difference", True, key=f"{PREFIX}difference", bind="query-params", help="B minus A, where it means something.")
        locked = st.toggle(
            "One scale", True, key=f"{PREFIX}locked", bind="query-params", help="Colours mean the same on both sides: limits hold both."
        )
        if view != class_map.VIEW:
            class_map.switch(*networks)
        if takes_points(view):
            point_bar(frames)
    return shown == "wipe", apart, locked


# --------------------------------------------------------------------------------------------- words


def _say_sides(scene: Scene, kind: Kind, sides: tuple[Side, Side], networks: tuple[Network, Network]) -> None:
    """Say what A and B are, and where they cannot share frames or sampling."""
    told = (f"**{name}** {plain(_side_words(side, kind))}" for name, side in zip(NAMES, sides, strict=True))
    st.markdown(f"{ABOUT[kind]} {' — '.join(told)}")
    if kind == "modules on and off" and not sides[1].without and not sides[1].changes:
        st.info("Nothing is changed yet: switch a block off, or change one of its settings.", icon=":material/toggle_on:")
    for sentence in _sampling_words(scene, sides, networks):
        st.caption(f":material/info: {plain(sentence)}")


def _side_words(side: Side, kind: Kind) -> str:
    parts = [side.frames.name if kind == "two clips" else side.model]
    parts += [f"without {', '.join(side.without)}"] if side.without else []
    parts += [f"{block} with {name} {value}" for block, values in side.changes.items() for name, value in values.items()]
    return ", ".join(parts)


def _sampling_words(scene: Scene, sides: tuple[Side, Side], networks: tuple[Network, Network]) -> list[str]:
    said = []
    own, taken = networks[1].sampling, scene.frames.sampling
    if networks[0] is not networks[1] and (own.total_frames, own.crop_px) != (taken.total_frames, taken.crop_px):
        said.append(
            f"Both see the same frames, {taken.total_frames} at {taken.crop_px} px; {networks[1].name} was made for {own.total_frames} at "
            f"{own.crop_px} px."
        )
    one, other = (side.frames for side in sides)
    if one.frames.shape != other.frames.shape:
        said.append(
            f"The clips cannot share their sampling: A has {len(one.frames)} frames of {one.frames.shape[2]} x {one.frames.shape[1]} px, "
            f"B {len(other.frames)} of {other.frames.shape[2]} x {other.frames.shape[1]}. Frames of one number stand beside each other."
        )
    elif one is not other and (one.sampling != other.sampling):
        said.append("The chosen window lies beyond the end of clip B, which is sampled whole.")
    if one is not other:
        said.append(f"Frames of one number stand beside each other: they lie {one.step_s:.2f} s apart in A and {other.step_s:.2f} s in B.")
    return said


# --------------------------------------------------------------------------------------------- the picture


def _show(scene: Scene, wanted: Wanted, *, wipe: bool) -> Compared | None:
    canvas = st.container()
    if not wanted.at_hand():
        with canvas:
            _wait(scene, wanted, wipe=wipe)
        return None
    shown: list[Compared] = []
    with guarded():
        drawn = wanted.drawn()
        payload = compute.RESULTS.get(("payload", "comparison", *wanted.key), lambda: _payload(scene, wanted, drawn))
        st.session_state[f"{KEY}:good"] = (scene.clip.digest, payload)
        with canvas:
            _player(payload, wanted.view, wipe=wipe)
            _say_scales(drawn, wanted)
        shown.append(Compared(wanted, drawn))
    return shown[0] if shown else None


def _payload(scene: Scene, wanted: Wanted, drawn: Comparison) -> dict[str, Any]:
    frames = scene.frames
    times_s, one = frames.times_s.tolist(), wanted.cells()[NAMES[0]]
    return figure_payload(
        drawn.spec,
        times_s=times_s,
        clip_digest=scene.clip.digest,
        grid=one.grid,
        frames=frames,
        fields=one.fields,
        sides=wanted.cells(),
    )


def _player(payload: Mapping[str, Any], view: str, *, wipe: bool, busy: str = "") -> None:
    picking: Callable[..., None] | None = state.add_point if takes_points(view) else None
    points = state.points() if takes_points(view) else ()
    looks, keep = layer_looks.for_browser(KEY), partial(layer_looks.keep, KEY)
    player(dict(payload), key=KEY, on_pick=picking, busy=busy, points=points, layers=looks, on_layers=keep, wipe=wipe)


def _say_scales(drawn: Comparison, wanted: Wanted) -> None:
    """Say what is locked, why there is no difference, and what a reader must know."""
    with st.container(gap="xxsmall"):
        if wanted.apart and drawn.no_difference:
            st.caption(f":material/info: No difference: {plain(drawn.no_difference)}")
        if not drawn.one_scale:
            st.caption(":material/lock_open: A and B have scales of their own: their colours do not compare.")
        for note in drawn.spec.notes:
            st.caption(f":material/info: {plain(note)}")


def _wait(scene: Scene, wanted: Wanted, *, wipe: bool) -> None:
    """Compute both sides under the last good picture and draw the page again; what has failed is not tried again."""
    digest, payload = st.session_state.get(f"{KEY}:good", ("", {}))
    shown = payload if digest == scene.clip.digest else panels.frames_payload(scene.frames)
    failed, sentence = st.session_state.get(f"{KEY}:failed", (None, ""))
    if failed == wanted.record_keys:
        _player(shown, wanted.view, wipe=wipe)
        panels.say_failed(sentence, f"{KEY}:failed")
        return
    _player(shown, wanted.view, wipe=wipe, busy=_waiting(wanted))
    with caught(lambda said: st.session_state.update({f"{KEY}:failed": (wanted.record_keys, said)})):
        scene.queue.run(wanted.work, about=[side.key for side in wanted.sides])
    st.rerun()


def _waiting(wanted: Wanted) -> str:
    """Say what is computed, and what that takes."""
    missing = {side.key: side for side in wanted.sides if side.key not in compute.RESULTS}
    return waiting_words([(side.model, side.frames) for side in missing.values()])


# --------------------------------------------------------------------------------------------- below the picture


def said_by_both(scene: Scene, shown: Compared) -> None:
    """What both sides predict; one prediction where both are one run."""
    st.subheader("What both say", anchor=False)
    with guarded():
        one, other = (side.run().prediction for side in shown.wanted.sides)
        if shown.wanted.sides[0].key != shown.wanted.sides[1].key:
            predictions(one, other)
        else:
            st.caption("Both sides are one run: it says one thing.")
            st.html(panels.bars_html(one))
        if scene.clip.codec != "world" and panels.is_synthetic(one.labels):
            st.info(SYNTHETIC_MODEL, icon=":material/info:")


def exports(shown: Compared) -> None:
    """Buttons for both together and for each side alone, which has a recipe."""
    figures = (shown.drawn.spec, *shown.drawn.sides)
    dressed = (dress(spec, layer_looks.kept(KEY)) for spec in figures)
    export_buttons(dict(zip(("A and B", *NAMES), dressed, strict=True)), key="export")


def account(shown: Compared) -> None:
    """Say where both sides come from, the way from frames to pictures, the captions, and what is drawn as a table."""
    runs = [side.run() for side in shown.wanted.sides]
    for run in {id(run.network): run for run in runs}.values():
        panels.network_caption(run.network)
    st.subheader("From the frames to the picture", anchor=False)
    records = shown.wanted.records()
    for name, record in zip(NAMES, records, strict=True):
        if name == NAMES[0] or record.shapes != records[0].shapes:
            st.markdown(f"**{name}**" if records[0].shapes != records[1].shapes else "**A and B**")
            panels.steps_strip(record)
    st.subheader("What is drawn", anchor=False)
    st.caption(plain(shown.drawn.spec.caption))
    if shown.drawn.spec.table:
        panels.table_view(shown.drawn.spec.table)
    for name, over in zip(NAMES, shown.wanted.maps() or (), strict=False):
        st.caption(f"The class map over the frames of {name}, by its time steps:")
        panels.map_table(over)
