"""The base of the records and of what users set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from vizkit.errors import SettingError


def _shown(value: object) -> str:
    """Describe a field without its contents."""
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return f"{str(value.dtype).replace('torch.', '')}[{', '.join(map(str, shape))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items()) + "}"
    if callable(value):
        return f"<{getattr(value, '__name__', type(value).__name__)}>"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Record:
    """Base of the records: a repr that shows shapes, and one way to check them."""

    def __repr__(self) -> str:
        """Show every field; arrays as dtype and shape."""
        shown = (f"{entry.name}={_shown(getattr(self, entry.name))}" for entry in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _expect(self, name: str, shape: Sequence[int | str], sizes: dict[str, int], dtype: str | None = None) -> None:
        """Check one array field against a shape such as ``("T", "H", "W", 3)``.

        Letters are bound in ``sizes`` the first time they are met and must agree afterwards.

        Raises:
            ValueError: the field has another number of axes, another size or another kind of dtype.
        """
        array = getattr(self, name)
        got = tuple(int(side) for side in array.shape)
        wanted = f"{type(self).__name__}.{name}: expected [{', '.join(map(str, shape))}]"
        if len(got) != len(shape):
            raise ValueError(f"{wanted}, got shape {list(got)}.")
        for axis, side in zip(shape, got, strict=True):
            expected = axis if isinstance(axis, int) else sizes.setdefault(axis, side)
            if side != expected:
                raise ValueError(f"{wanted} with {axis}={expected}, got shape {list(got)}.")
        kind = str(array.dtype).replace("torch.", "")
        if dtype is not None and not kind.startswith(dtype):
            raise ValueError(f"{wanted} of {dtype}, got {kind}.")


class Settings(BaseModel):
    """Base of everything a user sets: frozen, validated, JSON in and out, one way to say what is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    @classmethod
    def known(cls) -> str:
        """List the fields with their ranges, in one line."""
        return "; ".join(f"{name} ({_range_of(schema)})" for name, schema in cls.model_json_schema().get("properties", {}).items())

    @classmethod
    def parse(cls, **values: Any) -> Self:
        """Build the settings; text such as ``"8"``, or ``"none"`` where there may be none, is read as the field's type.

        Raises:
            SettingError: an unknown field or a value outside its range; the message lists the known ones.
        """
        optional = {name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        none = {name: None for name in optional & values.keys() if str(values[name]).strip().lower() == "none"}
        try:
            return cls(**{**values, **none})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            what = " is not known" if first["type"] == "extra_forbidden" else f": {first['msg'].removeprefix('Value error, ')}"
            raise SettingError(f"Setting {name!r}{what}. Known: {cls.known()}.") from error


def _range_of(schema: Mapping[str, Any]) -> str:
    """Say in words what one JSON-schema entry allows."""
    if "anyOf" in schema:
        return " or ".join(_range_of(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = {"null": "none", "array": "list"}.get(str(schema.get("type", "value")), str(schema.get("type", "value")))
    if kind == "list":
        points = "list; --point t,x,y on the command line"
        words = {"string": "names, separated by commas", "integer": "whole numbers, separated by commas", "array": points}
        return words.get(str(schema.get("items", {}).get("type")), kind)
    if low is None and high is None:
        return kind
    return f"{kind} {low if low is not None else ''}..{high if high is not None else ''}"
