"""`heliograph config`: what the settings are, and what is wrong with them."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from pydantic_settings import BaseSettings

# Named as text: the control plane does not import the engine.
PROGRAMS = {
    "engine": ("engine.settings:EngineSettings", "HELIOGRAPH_ENGINE_"),
    "control-plane": ("control_plane.settings:ControlPlaneSettings", "HELIOGRAPH_CONTROL_"),
}


@click.group()
def config() -> None:
    """Look at the settings of a program."""


@config.command()
@click.argument("program", type=click.Choice(list(PROGRAMS)))
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file; default: the one the environment names.",
)
def check(program: str, file: Path | None) -> None:
    """Read the settings of PROGRAM as it would, and explain every fault."""
    prefix = PROGRAMS[program][1]
    if file is not None:
        os.environ[f"{prefix}CONFIG"] = str(file)
    try:
        settings = settings_class(program)()
    except ValidationError as error:
        for fault in error.errors():
            click.echo(f"{prefix}{explain(fault)}", err=True)
        sys.exit(1)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    for name, value in settings.model_dump().items():
        click.echo(f"{name} = {value}")


def settings_class(program: str) -> type[BaseSettings]:
    module, name = PROGRAMS[program][0].split(":")
    kind: type[BaseSettings] = getattr(importlib.import_module(module), name)
    return kind


def explain(fault: Any) -> str:
    """One line: the setting, what is wrong, what was given (secrets are not shown)."""
    name = ".".join(str(part) for part in fault["loc"]).upper()
    secret = any(word in name.lower() for word in ("dsn", "password", "secret", "key"))
    given = "" if fault["type"] == "missing" or secret else f" (given: {fault['input']!r})"
    return f"{name}: {fault['msg']}{given}"
