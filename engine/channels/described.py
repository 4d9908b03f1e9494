"""A Struct of settings as the fields of a form, and values checked against it with the faulty field named."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from engine.channels.interface import BadSettings
from engine.core_api import schema

T = TypeVar("T", bound=msgspec.Struct)

_PATH = re.compile(r"^(?P<detail>.*?) - at `\$\.?(?P<field>[A-Za-z0-9_]*)[^`]*`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>[^`]*)`")
_NAMED = re.compile(r"^(?P<field>[a-z][a-z0-9_]*): (?P<detail>.*)$", re.DOTALL)


def describe(kind: type[msgspec.Struct], group: str = "") -> list[schema.Setting]:
    """Every field of a Struct, in its order. `group`: for fields whose metadata name none."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return [_setting(each, group) for each in info.fields]


def convert(values: dict[str, Any], kind: type[T]) -> T:
    """Raises BadSettings, its `field` being the setting that does not fit. Numbers may be strings, as forms
    send them."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


def _named(message: str) -> BadSettings:
    for pattern in (_PATH, _UNKNOWN, _NAMED):
        if match := pattern.match(message):
            parts = match.groupdict()
            detail = parts.get("detail") or "there is no such setting"
            return BadSettings(f"{parts['field']}: {detail}", parts["field"])
    return BadSettings(message)


def _setting(field: inspect.Field, group: str) -> schema.Setting:
    extra: dict[str, Any] = {}
    kind, description = field.type, ""
    while isinstance(kind, inspect.Metadata):
        extra |= kind.extra or {}
        description = (kind.extra_json_schema or {}).get("description", description)
        kind = kind.type
    if isinstance(kind, inspect.UnionType):  # a value or nothing
        (kind,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    unit = extra.get("unit", "")
    return schema.Setting(
        name=field.encode_name,
        group=extra.get("group", group),
        kind=_form(kind, unit),
        description=description,
        unit=unit if unit not in ("pem", "zone") else "",
        default=None if default is msgspec.NODEFAULT else msgspec.to_builtins(default),
        choices=_choices(kind),
        minimum=_limit(kind, "ge", "gt"),
        maximum=_limit(kind, "le", "lt"),
        pattern=getattr(kind, "pattern", None) or "",
        columns=_columns(kind),
    )


def _form(kind: inspect.Type, unit: str) -> Any:
    if unit in ("pem", "zone"):
        return unit
    match kind:
        case inspect.BoolType():
            return "flag"
        case inspect.IntType():
            return "whole"
        case inspect.FloatType():
            return "number"
        case inspect.LiteralType():
            return "choice"
        case inspect.StrType():
            return "text"
    item = _item(kind)
    if isinstance(item, inspect.StructType):
        return "table"
    assert item is not None, f"no form for {kind}"
    return "lines"


def _item(kind: inspect.Type) -> inspect.Type | None:
    if not isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        return None
    item = kind.item_type
    while isinstance(item, inspect.Metadata):
        item = item.type
    return item


def _choices(kind: inspect.Type) -> list[str]:
    """Of a choice, or of each line of a list of choices."""
    chosen = kind if isinstance(kind, inspect.LiteralType) else _item(kind)
    return [str(value) for value in chosen.values] if isinstance(chosen, inspect.LiteralType) else []


def _columns(kind: inspect.Type) -> list[schema.Setting]:
    item = _item(kind)
    return describe(item.cls) if isinstance(item, inspect.StructType) else []


def _limit(kind: inspect.Type, *names: str) -> float | None:
    return next((value for name in names if (value := getattr(kind, name, None)) is not None), None)
