"""How a verb of the `heliograph` command reaches a running engine: by its certificates, and in one line where
it cannot."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from engine.core_api.client import CoreClient, CoreError, CoreUnavailable

T = TypeVar("T")

URL_FILE = "core_url"  # in the data folder of `heliograph up`: a line for each engine that runs


@dataclass(frozen=True, slots=True)
class CoreLink:
    """Where the engines' Core API is. The first that answers is asked."""

    urls: tuple[str, ...]
    certs: Path


def core_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name the engine; the verb gets a CoreLink as `link`."""

    def run(data: Path, core_url: str | None, certs: Path | None, **rest: Any) -> Any:
        return verb(link=core_link(data, core_url, certs), **rest)

    run.__name__, run.__doc__ = verb.__name__, verb.__doc__
    run.__click_params__ = getattr(verb, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        click.option(
            "--certs",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="HELIOGRAPH_CERTS_DIR",
            help="Folder of the Core API's certificates. Default: `certs` in the data folder.",
        ),
        click.option(
            "--core-url",
            envvar="HELIOGRAPH_CORE_URL",
            help="The engine's Core API, https://HOST:PORT. Default: the one `heliograph up` runs.",
        ),
        click.option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("var"),
            show_default=True,
            envvar="HELIOGRAPH_DATA",
            help="Data folder of `heliograph up`, to find what it runs.",
        ),
    ):
        run = option(run)
    return run


def core_link(data: Path, core_url: str | None, certs: Path | None) -> CoreLink:
    """The engines of a data folder, or the one named. Raises ClickException where none runs."""
    if core_url:
        return CoreLink((core_url,), certs or data / "certs")
    file = data / URL_FILE
    if not file.is_file():
        raise click.ClickException(
            f"no Heliograph runs on {data}: start `heliograph up`, "
            "or name the engine with --core-url and --certs"
        )
    return CoreLink(tuple(file.read_text("utf-8").split()), certs or data / "certs")


def ask(link: CoreLink, act: Callable[[CoreClient], Awaitable[T]]) -> T:
    """`act` with a client of the first engine that answers. Raises ClickException: one line for a person."""
    return asyncio.run(_ask(link, act))


async def _ask(link: CoreLink, act: Callable[[CoreClient], Awaitable[T]]) -> T:
    away = "there is none"
    for url in link.urls:
        try:
            client = CoreClient(url, link.certs)
        except OSError as error:
            raise click.ClickException(
                f"the certificates in {link.certs} cannot be read: {error.strerror}"
            ) from error
        try:
            await client.health()
            return await act(client)
        except CoreUnavailable as error:
            away = str(error)
        except CoreError as error:
            raise click.ClickException(str(error)) from error
        finally:
            await client.close()
    raise click.ClickException(f"no engine answers: {away}")


def print_json(value: object) -> None:
    """One JSON document for programs."""
    json.dump(msgspec.to_builtins(value), sys.stdout)
    sys.stdout.write("\n")
