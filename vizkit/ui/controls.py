"""Widgets from a settings class: its JSON schema says what is allowed, so no range is written twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    choices: Mapping[str, Sequence[str]] | None = None,
    most: Mapping[str, int] | None = None,
    words: Mapping[str, str] | None = None,
    width_px: int | None = None,
) -> dict[str, Any]:
    """Show a widget for each field and read it.

    The key of a widget is the name of its field; it stays on other pages and in the page's address.

    Args:
        kind: the settings class.
        names: its fields to show, in order.
        values: values to start from; the class's defaults elsewhere.
        choices: allowed words of text fields that are only known at run time.
        most: smaller upper limits than the class's.
        words: labels of fields whose name does not make a good one.
        width_px: width of the widgets; all that there is when None.

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
        if "enum" in schema and value not in schema["enum"]:
            value = schema["enum"][0]
        common = {"key": name, "bind": "query-params", "help": schema.get("description")}
        label = (words or {}).get(name) or field_words(name)
        with st.container(width=width_px or "stretch"):
            chosen[name] = _widget(schema)(label, schema, value, common)
    return chosen


def _widget(schema: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any], Any, Mapping[str, Any]], Any]:
    """The widget for what a field allows.

    Raises:
        TypeError: there is no widget for this kind of field.
    """
    if "enum" in schema:
        return _segments if len(schema["enum"]) <= MOST_SEGMENTS else _list
    if "anyOf" in schema:
        return _optional_number
    if schema.get("type") == "integer" and "minimum" in schema and "maximum" in schema:
        return _slider
    raise TypeError(f"No widget for a field that allows {dict(schema)}.")


def _segments(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.segmented_control(label, schema["enum"], default=value, required=True, **common)


def _list(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    return st.selectbox(label, schema["enum"], index=schema["enum"].index(value), **common)


def _slider(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    low, high = schema["minimum"], schema["maximum"]
    return st.slider(label, low, high, min(max(value, low), high), **common)


def _optional_number(label: str, schema: Mapping[str, Any], value: Any, common: Mapping[str, Any]) -> Any:
    number = next(part for part in schema["anyOf"] if part.get("type") == "integer")
    low, high = number["minimum"], schema.get("maximum", number["maximum"])
    return st.number_input(label, low, high, value, step=1, placeholder="own", **common)
