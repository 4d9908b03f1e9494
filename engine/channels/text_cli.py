"""`heliograph text`: what a text becomes on the way, and why."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from engine.channels.described import convert
from engine.channels.explain import explain as explained
from engine.channels.interface import BadSettings
from engine.channels.message_settings import MessageSettings
from engine.core_api import schema
from engine.core_api.console_link import ask, core_link, print_json
from engine.smpp.alphabets import RULES, SPLITTINGS

_ALPHABETS = ["gsm_unpacked", "gsm_packed", "ia5", "latin1"]


@click.group()
def text() -> None:
    """What a text becomes on the way."""


@text.command()
@click.argument("words", metavar="TEXT")
@click.option("--alphabet", type=click.Choice(_ALPHABETS), help="What the SMSC takes data_coding 0 for.")
@click.option(
    "--latin1", type=click.Choice(["140", "160"]), help="Characters of a Latin-1 message, if allowed."
)
@click.option("--shift", multiple=True, metavar="LANGUAGE", help="A single shift table that may be used.")
@click.option("--locking", multiple=True, metavar="LANGUAGE", help="A locking shift table that may be used.")
@click.option("--splitting", type=click.Choice(list(SPLITTINGS)), help="How several parts go out.")
@click.option(
    "--rule",
    type=click.Choice(list(RULES)),
    default="ucs2",
    show_default=True,
    help="For characters outside the alphabet.",
)
@click.option("--flash", is_flag=True, help="Shown at once and not stored.")
@click.option("--channel", default="", help="Explain for this channel of a running Heliograph.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="With --channel: data folder of `heliograph up`.",
)
@click.option("--core-url", envvar="HELIOGRAPH_CORE_URL", help="With --channel: the engine's Core API.")
@click.option(
    "--certs",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HELIOGRAPH_CERTS_DIR",
    help="With --channel: folder of the Core API's certificates.",
)
def explain(
    words: str,
    alphabet: str | None,
    latin1: str | None,
    shift: tuple[str, ...],
    locking: tuple[str, ...],
    splitting: str | None,
    rule: schema.CharsetRule,
    flash: bool,
    channel: str,
    as_json: bool,
    data: Path,
    core_url: str | None,
    certs: Path | None,
) -> None:
    """Encoding and parts of TEXT, what forced them, and what it would cost otherwise. `-` reads standard
    input.

    Without --channel nothing needs to run: the text is explained for a channel with the default settings and
    what the options say.
    """
    settings: dict[str, Any] = {
        "default_alphabet": alphabet,
        "latin1_characters": int(latin1) if latin1 else None,
        "national_single_shift": shift or None,
        "national_locking_shift": locking or None,
        "splitting": splitting,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    options = schema.MessageOptions(charset_rule=rule, flash=flash)
    words = sys.stdin.read() if words == "-" else words
    try:
        if channel:
            question = schema.TextQuestion(text=words, channel=channel, settings=settings, options=options)
            found = ask(core_link(data, core_url, certs), lambda client: client.explain_text(question))
        else:
            found = explained(words, convert(settings, MessageSettings), options)
    except BadSettings as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(found)
    else:
        for line in _lines(found):
            click.echo(line)


def _lines(found: schema.TextExplanation) -> Iterator[str]:
    if found.encoding:
        yield f"encoding   {found.encoding} (data_coding 0x{found.data_coding:02X})"
        yield f"parts      {_parts(found.parts)}, {found.units} {found.unit}, room for {found.room} a part"
    if found.rejected:
        yield "rejected   it is not sent"
    if found.transliterated:
        yield f"sent       {found.sent}"
    for forced in found.forced:
        places = ", ".join(str(place) for place in forced.positions)
        more = ", ..." if forced.count > len(forced.positions) else ""
        written = "" if forced.replacement is None else f", transliterated: {forced.replacement!r}"
        yield f"forced by  {_shown(forced.character)} {forced.code} {forced.name} at {places}{more}{written}"
    for form in found.forms:
        cost = "cannot carry it" if form.parts is None else f"{_parts(form.parts)}, {form.units} {form.unit}"
        yield f"as         {form.encoding}: {cost}"
    for note in found.notes:
        yield f"note       {note}"


def _parts(count: int) -> str:
    return f"{count} part" if count == 1 else f"{count} parts"


def _shown(character: str) -> str:
    return character if character.isprintable() else "?"
