"""Described settings as fields of a form: grouped, default and meaning beside each."""

from collections.abc import Iterable, Mapping
from typing import Any

from control_plane.channels.settings_form import PREFIX
from control_plane.web.translation import _
from engine.core_api import schema

SPARE_ROWS = 2
UNITS = {"s": "seconds", "ms": "milliseconds"}


def setting_groups(
    described: Iterable[schema.Setting],
    values: Mapping[str, Any],
    form: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    secrets_set: Iterable[str] = (),
    prefix: str = PREFIX,
) -> list[dict[str, Any]]:
    """Groups in their order; `changed` counts what is not the default, `open` those one should see."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for setting in described:
        field = _field(setting, values, form, errors, setting.name in secrets_set, prefix)
        groups.setdefault(setting.group, []).append(field)
    listed = []
    for title, fields in groups.items():
        changed = sum(field["changed"] for field in fields)
        wrong = any(field["error"] for field in fields)
        listed.append({"title": title, "fields": fields, "changed": changed, "open": wrong})
    return listed


def setting_facts(described: Iterable[schema.Setting], values: Mapping[str, Any]) -> list[dict[str, str]]:
    """What differs from the defaults, for a page that only shows it."""
    return [
        {"term": label(setting.name), "value": shown(values[setting.name]), "note": setting.description}
        for setting in described
        if setting.name in values and not setting.secret
    ]


def label(name: str) -> str:
    """enquire_link_s: Enquire link; the unit stands beside the field."""
    words = name.removesuffix("_s").removesuffix("_ms").removesuffix("_pem").replace("_", " ")
    for small, right in (("tls", "TLS"), ("tps", "TPS"), ("tlv", "TLV"), ("tz", "time zone"), ("dlt", "DLT"),
                         ("ton", "TON"), ("npi", "NPI"), ("sm", "SM"), ("gsm", "GSM"), ("id", "id"),
                         ("ca", "CA"), ("udh", "UDH"), ("ack", "ACK")):  # fmt: skip
        words = " ".join(right if word == small else word for word in words.split(" "))
    return words[:1].upper() + words[1:]


def shown(value: Any) -> str:
    match value:
        case True:
            return _("on")
        case False:
            return _("off")
        case None | "" | []:
            return _("nothing")
        case list():
            return ", ".join(shown(one) for one in value)
        case dict():
            return " ".join(str(one) for one in value.values())
        case str() if "\n" in value:
            return _("set, %(n)d lines") % {"n": value.count("\n") + 1}
    return str(value)


def _field(
    setting: schema.Setting,
    values: Mapping[str, Any],
    form: Mapping[str, str],
    errors: Mapping[str, str],
    is_set: bool,
    prefix: str,
) -> dict[str, Any]:
    name = prefix + setting.name
    value = values.get(setting.name, setting.default)
    changed = is_set if setting.secret else setting.name in values
    return {
        "name": name,
        "key": setting.name,
        "label": label(setting.name),
        "kind": setting.kind,
        "description": setting.description,
        "unit": UNITS.get(setting.unit, setting.unit if setting.unit not in ("pem", "zone", "share") else ""),
        "default": "" if setting.secret else shown(setting.default),
        "choices": [str(choice) for choice in setting.choices],
        "value": form.get(name, "" if setting.secret else _text(setting, value)),
        "secret": setting.secret,
        "is_set": is_set,
        "changed": changed,
        "error": errors.get(name) or errors.get(setting.name, ""),
        "columns": [{"name": one.name, "label": label(one.name)} for one in setting.columns],
        "rows": _rows(setting, value, form, name) if setting.kind == "table" else [],
    }


def _text(setting: schema.Setting, value: Any) -> str:
    if setting.kind == "flag":
        return "1" if value else "0"
    if setting.kind == "lines":
        return "\n".join(value or ())
    return "" if value is None else str(value)


def _rows(setting: schema.Setting, value: Any, form: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    filled = [{column.name: row.get(column.name, "") for column in setting.columns} for row in value or ()]
    empty = [{column.name: "" for column in setting.columns} for _row in range(SPARE_ROWS)]
    return [
        {
            "cells": [
                {"name": f"{name}.{number}.{key}", "value": form.get(f"{name}.{number}.{key}", cell)}
                for key, cell in row.items()
            ]
        }
        for number, row in enumerate(filled + empty)
    ]
