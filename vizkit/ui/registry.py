"""The models page: every model with its costs, what it can show and its card; and weights of a visitor's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

import vizkit
from vizkit.catalog import VIEWS, architecture
from vizkit.checkpoint import Checkpoint
from vizkit.harmless import cell, visible
from vizkit.ui import compute, own
from vizkit.ui.page import forget_copies, guarded, link, use_model
from vizkit.ui.state import session_box
from vizkit.ui.words import ORIGINS, plain

TYPES = ["safetensors", "pt", "pth", "bin", "ckpt"]
SCORES = ("measure", "value", "95 % interval", "clips", "command")

Facts = Mapping[str, Any]


def overview() -> str:
    """Show all models as a table, and which views they have.

    Returns:
        The model whose row is chosen; the first one where none is.
    """
    from vizkit.describe import MODEL_COLUMNS, model_row

    names = _names()
    known = [facts(name) for name in names]
    rows = [model_row(entry) for entry in known]
    columns = {column: [row[place] for row in rows] for place, column in enumerate(MODEL_COLUMNS)}
    views = {f"view {view.key}": ["yes" if entry["views"][view.key] is True else "no" for entry in known] for view in VIEWS}
    named = {"name": st.column_config.TextColumn(width="medium", pinned=True)}
    st.dataframe({**columns, **views}, hide_index=True, height=360, column_config=named)
    return st.selectbox("Model", names, key="looked_at", bind="query-params")


def _names() -> tuple[str, ...]:
    return (*(entry.name for entry in sorted(vizkit.checkpoints(), key=compute.turn)), *(entry.name for entry in vizkit.architectures()))


def facts(name: str) -> Facts:
    """What a model is; shapes only, nothing is computed."""

    def describe() -> Facts:
        from vizkit.describe import describe_architecture, describe_checkpoint

        shipped: dict[str, Checkpoint] = {entry.name: entry for entry in vizkit.checkpoints()}
        return describe_checkpoint(shipped[name]) if name in shipped else describe_architecture(architecture(name))

    return compute.RESULTS.get(("facts", name, compute.card(name).get("digest", ""), vizkit.__version__), describe)


def details(name: str) -> None:
    """Show one model: what it is, its stages and blocks, its views or why not, and its card."""
    with guarded():
        entry = facts(name)
        st.subheader(plain(name), anchor=False)
        _summary(entry)
        st.button("Use this model on the other pages", on_click=use_model, args=(name,), icon=":material/check:")
        link("pages/clip.py", "Look at a clip with it →")
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**Stages** — where features are taken from")
            columns = ("name", "channels", "stride_px", "stride_frames", "origin_px", "grid")
            st.dataframe({column: [_cell(stage[column]) for stage in entry["stages"]] for column in columns}, hide_index=True)
            if entry["block_params"]:
                st.markdown("**Inserted blocks** — what can be switched off")
                st.dataframe({"block": list(entry["block_params"]), "parameters": list(entry["block_params"].values())}, hide_index=True)
        with right:
            st.markdown("**Views**")
            why = {key: "yes" if answer is True else str(answer) for key, answer in entry["views"].items()}
            st.dataframe({"view": list(why), "there, or why not": list(why.values())}, hide_index=True)
        if card := compute.card(name):
            _card(card)


def _cell(value: object) -> object:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _summary(entry: Facts) -> None:
    size = f"{entry['params']:,} parameters · {entry['gmacs']:.3g} billion multiply-adds for {entry['frames']} x {entry['size_px']} px"
    st.markdown(f"{plain(entry['backbone'])} · {entry['classes']} classes · {size}")
    if entry["published"]:
        from vizkit.describe import counted

        off = f", {entry['difference_percent']:+.1f} %" if entry["difference_percent"] is not None else ""
        told = f"Published: {counted(entry['published'])}; ours so counted: {counted(entry['ours_in_convention'])}{off}."
        st.caption(plain(f"{told} {entry['published']['convention']}"))
    if entry["checkpoint"] is None:
        weights = ", ".join(name.partition(":")[2] for name in entry["weights"])
        st.caption("Random weights." + (f" Published weights, fetched on demand: {plain(weights)}." if weights else ""))


def _card(card: Facts) -> None:
    """A checkpoint's card: where its weights come from, and every number with the command that gives it."""
    st.markdown("**Card**")
    parts = [ORIGINS[card["origin"]], card.get("license", ""), f"weights {card['digest'][:8]}"]
    if {"data", "training"} <= card.keys():
        data, training = card["data"], card["training"]
        parts += [f"data: {data['source']}", f"objective {training['objective']}", f"{data['clips']:,} clips"]
        parts.append(f"{training['seconds']} s on {training['threads']} thread{'s' * (training['threads'] > 1)}")
    st.markdown(plain(" · ".join(filter(None, parts))))
    for note in card.get("notes", ()):
        st.caption(f":material/info: {plain(note)}")
    if twin := card.get("twin"):
        st.caption(f"Its twin without the module: {plain(twin)}")
    if rows := [*_test_rows(card), *_fold_rows(card)]:
        st.dataframe({title: [row[place] for row in rows] for place, title in enumerate(SCORES)}, hide_index=True)


def _test_rows(card: Facts) -> list[tuple[object, ...]]:
    return [_score_row(key, said, said["command"]) for key, said in card.get("test", {}).items()]


def _fold_rows(card: Facts) -> list[tuple[object, ...]]:
    """Cross-validation on real videos: by order of the frames, what was said right."""
    found = card.get("folds", {"scores": {}})
    return [
        _score_row(f"{name}, frames {order.replace('_', ' ')}", said, found["command"])
        for order, scores in found["scores"].items()
        for name, said in scores.items()
    ]


def _score_row(name: str, said: Facts, command: str) -> tuple[object, ...]:
    return name, said["value"], " – ".join(f"{end:.3f}" for end in said["interval"]), said["n"], command


def bring_your_own() -> None:
    """Take a file of weights: say what it is, and put it into an architecture."""
    st.subheader("Your own weights", anchor=False)
    st.markdown(
        "A file of tensors (safetensors, or a state dict saved by torch) for one of the architectures. It is read in a process of its own, "
        "which runs nothing that is in the file, and stays in this session."
    )
    with st.form("own", border=True):
        left, right = st.columns(2, gap="large")
        names = [*(entry.name for entry in vizkit.architectures()), *(entry.name for entry in vizkit.checkpoints())]
        wanted = left.selectbox("Architecture", names, help="Or a checkpoint of this list that was built like yours, in width and options.")
        classes = left.number_input("Classes", 1, 100_000, None, placeholder="its own")
        turn = st.session_state.setdefault("own_turn", 0)
        upload = left.file_uploader("Weights", TYPES, key=f"weights-{turn}")
        said = right.text_area("Labels, one a line (optional)", height=210)
        sent = st.form_submit_button("Load", icon=":material/upload:")
    labels = tuple(line.strip() for line in said.splitlines() if line.strip())
    if sent and upload is None:
        st.error("Choose a file of weights first.", icon=":material/error:")
    if sent and upload is not None:
        content = upload.getvalue()
        forget_copies()
        with guarded(), st.spinner("Looking at the file …"):
            st.session_state["own_reception"] = own.receive(session_box(), upload.name, content, wanted, labels, classes)
            st.session_state["own_turn"] = turn + 1  # an empty uploader
            st.rerun()
    reception: own.Reception | None = st.session_state.get("own_reception")
    if reception is not None:
        _report(reception)
    for name in own.own_names():
        if reception is None or name != reception.name:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(name))
                st.button("Forget it", key=f"forget-{name}", on_click=_forget, args=(name,), type="tertiary", icon=":material/delete:")


def _report(found: own.Reception) -> None:
    """What became of the file: refused with the reason, or a model of this session, with what is odd about it."""
    if not found.name:
        st.error(f"{plain(found.message)} ({plain(found.code)})", icon=":material/error:")
        return
    say = st.success if found.verdict == "ok" else st.warning
    say(f"{plain(found.message)} It is the model **{plain(found.name)}** of this session.")
    st.dataframe({"fact": list(found.facts), "value": [cell(visible(str(value))) for value in found.facts.values()]}, hide_index=True)
    if found.missing:
        st.caption(f"Left out by the file: {plain(', '.join(found.missing))}")
    st.button("Use it on the other pages", on_click=use_model, args=(found.name,), icon=":material/check:")
    st.button("Forget it", on_click=_forget, args=(found.name,), type="tertiary", icon=":material/delete:")
    link("pages/clip.py", "Look at a clip with it →")


def _forget(name: str) -> None:
    own.forget(name)
    if name == st.session_state["own_reception"].name:
        del st.session_state["own_reception"]
    if st.session_state.get("model") == name:
        del st.session_state["model"]
