"""Values of described settings, read from a form: only what differs from its default is kept."""

from collections.abc import Mapping
from typing import Any

from control_plane.errors import Invalid
from engine.core_api import schema

PREFIX = "s."
TABLE_ROWS = 24
_BAD = object()


def read_settings(
    described: list[schema.Setting], form: Mapping[str, str], present: schema.Settings, prefix: str = PREFIX
) -> tuple[schema.Settings, dict[str, str]]:
    """(settings, secrets). What the form does not name stays as in `present`; an empty secret stays too.

    Invalid with one sentence a field, named with its prefix.
    """
    settings, secrets, problems = {**present}, {}, {}
    for setting in described:
        name = prefix + setting.name
        if setting.secret:
            if form.get(name, "").strip():
                secrets[setting.name] = form[name].strip() + "\n" * (setting.kind == "pem")
            continue
        raw = _raw(setting, form, name)
        if raw is None:
            continue
        try:
            value = _value(setting, raw)
        except ValueError as error:
            problems[name] = str(error)
            continue
        if value is None or value == setting.default:
            settings.pop(setting.name, None)
        else:
            settings[setting.name] = value
    if problems:
        raise Invalid(problems)
    return settings, secrets


def _raw(setting: schema.Setting, form: Mapping[str, str], name: str) -> Any:
    if setting.kind == "table":
        if f"{name}.0.{setting.columns[0].name}" not in form:
            return None
        rows = []
        for row in range(TABLE_ROWS):
            cells = {column.name: form.get(f"{name}.{row}.{column.name}", "") for column in setting.columns}
            if any(cell.strip() for cell in cells.values()):
                rows.append(cells)
        return rows
    return form.get(name)


def _value(setting: schema.Setting, raw: Any) -> Any:
    """None: left empty, the default. ValueError with a sentence."""
    if setting.kind == "table":
        return [
            {column.name: value for column in setting.columns
             if (value := _value(column, row[column.name])) is not None}
            for row in raw
        ]  # fmt: skip
    text = str(raw).strip()
    if setting.kind == "flag":
        return text.casefold() in ("1", "true", "on", "yes")
    if setting.kind == "lines":
        return [line.strip() for line in text.replace(",", "\n").split("\n") if line.strip()]
    if setting.choices and setting.kind == "choice":
        return _choice(setting, text)
    if setting.kind in ("whole", "number"):
        return _number(setting, text)
    return text


def _choice(setting: schema.Setting, text: str) -> Any:
    """A choice's value has the type of the default: numbers are chosen too."""
    if text not in [str(choice) for choice in setting.choices]:
        raise ValueError("Choose one of those offered.")
    if isinstance(setting.default, int) and not isinstance(setting.default, bool):
        return int(text, 0)
    return text


def _number(setting: schema.Setting, text: str) -> int | float | None:
    if not text:
        return None
    try:
        value = int(text, 0) if setting.kind == "whole" else float(text)
    except ValueError:
        wanted = "A whole number is needed." if setting.kind == "whole" else "A number is needed."
        raise ValueError(wanted) from None
    if setting.minimum is not None and value < setting.minimum:
        raise ValueError(f"At least {setting.minimum:g}.")
    if setting.maximum is not None and not value <= setting.maximum:  # also of NaN
        raise ValueError(f"At most {setting.maximum:g}.")
    return value
