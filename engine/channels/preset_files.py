"""Starting points for accounts and channels: presets/*.toml, checked when they are read."""

import tomllib
from functools import cache
from importlib import resources

from engine.channels.account_settings import AccountSettings
from engine.channels.described import convert
from engine.channels.message_settings import MessageSettings
from engine.core_api import schema


@cache
def presets() -> tuple[schema.Preset, ...]:
    """By name. Raises BadSettings where a file holds a setting there is not."""
    files = (resources.files("engine.channels") / "presets").iterdir()
    return tuple(
        _read(file.name.removesuffix(".toml"), file.read_text("utf-8"))
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".toml")
    )


def _read(name: str, text: str) -> schema.Preset:
    values = tomllib.loads(text)
    preset = schema.Preset(
        name=name,
        title=values.pop("title"),
        description=values.pop("description"),
        account=values.pop("account", {}),
        settings=values.pop("settings", {}),
        message_settings=values.pop("message", {}),
    )
    assert not values, f"{name}.toml: {sorted(values)}"
    convert(preset.settings, AccountSettings)
    convert(preset.message_settings, MessageSettings)
    return preset
