"""Widgets from a settings class: its JSON schema says what is allowed, so no range is written twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import streamlit as st

from vizkit.contracts import Settings
from vizkit.ui.words import field_words

MOST_SEGMENTS = 4
"""Up to so many words stand side by side; more go into a list."""


def settings_controls(
    kind: type[Settings],
    names: Sequence[str],
    *,
    values: Mapping[str, Any] | None = None,
    choices: Mapping[str, Sequence[str | int]] | None = None,
    most: Mapping[str, int] | None = None,
    words: Mapping[str, str] | None = None,
    prefix: str = "",
    width_px: int | None = None,
    empty: str = "own",
) -> dict[str, Any]:
    """Show a widget for each field and read it.

    The key of a widget is the name of its field; it stays on other pages and in the page's address. What stays there from another
    page, another model or a hand-written address and is not allowed here is forgotten.

    Args:
        kind: the settings class.
        names: its fields to show, in order.
        values: values to start from; the class's defaults elsewhere.
        choices: allowed values of text and number fields, and the words that a list may hold, where only the run time knows them.
        most: smaller upper limits than the class's.
        words: labels of fields whose name does not make a good one.
        prefix: starts the keys, so that pages whose fields mean different things do not share them.
        width_px: width of sliders, lists and numbers in a row, where words and switches take what they need; without it every
            widget takes all the width.
        empty: what an optional number says while there is none.

    Returns:
        Field -> value; not validated, :meth:`Settings.parse` does that.
    """
    properties = kind.model_json_schema()["properties"]
    chosen: dict[str, Any] = {}
    for name in names:
        schema = dict(properties[name])
        if choices and name in choices:
            schema["enum"] = list(choices[name])
        if most and name in most:
            schema["maximum"] = most[name]
        value = (values or {}).get(name, schema.get("default"))
        if "enum" in schema and schema.get("type") != "array" and value not in schema["enum"]:
            value = schema["enum"][0]
        _forget_refused(prefix + name, schema)
        common = {"key": prefix + name, "bind": "query-params", "help": schema.get("description")}
        label = (words or {}).get(name) or field_words(name)
        schema["empty"] = empty
        widget = _widget(schema)
        own: Literal["content"] | int | None = "content" if widget in (_segments, _several, _toggle) else width_px
        with st.container(width="stretch" if own is None or width_px is None else own):
            chosen[name] = widget(label, schema, value, common)
    return chosen


def _forget_refused(key: str, schema: Mapping[str, Any]) -> None:
    """Drop a widget's value that its choices do not hold, or that lies beyond its limits."""
    kept = st.session_state.get(key)
    if kept is None:
        return
    values = kept if isinstance(kept, list) else [kept]
    allowed, low, high = (schema.get(name) for name in ("enum", "minimum", "maximum"))
    inside = all((low is None or value >= low) and (high is None or value <= high) for value in values if isinstance(value, int))
    if not inside or (allowed is not None and not set(values) <= set(allowed)):
        del st.session_state[key]


def _widget(schema: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any], Any, Mapping[str, Any]], Any]:
    """The widget for what a field allows.

    Raises:
        TypeError: there is no widget for this kind of field.
    """
    if schema.get("type") == "array" and "enum" in schema:
        return _several
    if "enum" in schema:
        return _segments if len(schema["enum"]) <= MOST_SEGMENTS else _list
    if "anyOf" in schema:
        return _optional_number
    if schema.get("type") == "boolean":
        return _toggle
    if schema.get("type") == "integer" and "minimum" in schema and "maximum" in schema:
        return _slider
    raise TypeError(f"No widget for a field that allows {dict(schema)}.")


def _several(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.pills(label, schema["enum"], selection_mode="multi", default=value, **common)


def _toggle(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.toggle(label, value, **common)


def _segments(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.segmented_control(label, schema["enum"], default=value, required=True, format_func=_word, **common)


def _word(choice: str | int) -> str:
    return f"{choice:+d}" if isinstance(choice, int) else choice


def _list(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.selectbox(label, schema["enum"], index=schema["enum"].index(value), format_func=_word, **common)


def _slider(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    low, high = schema["minimum"], schema["maximum"]
    return st.slider(label, low, high, min(max(value, low), high), **common)


def _optional_number(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    number = next(part for part in schema["anyOf"] if part.get("type") == "integer")
    low, high = number["minimum"], schema["maximum"] if "maximum" in schema else number["maximum"]
    return st.number_input(label, low, high, value, step=1, placeholder=schema["empty"], **common)


def changed(kind: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is at its default."""
    return {name: value for name, value in values.items() if value != kind.model_fields[name].get_default(call_default_factory=True)}
